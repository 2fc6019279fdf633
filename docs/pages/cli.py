"""The page of the command line."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import setpoint.cli
from pages.markdown import NOTE, anchor, as_table, cell, first, wrapped

_LEAD = """Data goes to stdout, words to stderr. Exit codes: 0 ok or warning, 1 breach, 2 the request or the
store is not usable as asked, 3 unknown for want of evidence, 4 unknown because the source is silent, 5 an error
inside Setpoint. Every command takes `--help`."""


def page() -> Iterator[str]:
    """Yield the lines of the page."""
    importlib.import_module("setpoint.cli.commands")  # registers the commands
    yield from ["# Command line", "", NOTE]
    yield from wrapped(_LEAD)
    yield ""
    commands = [*_commands("setpoint", typer.main.get_command(setpoint.cli.app))]
    yield from as_table(
        ("command", "what it does"), [(f"[`{path}`](#{anchor(path)})", first(c.help)) for path, c in commands]
    )
    for path, command in commands:
        yield from _command(path, command)


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 — typer's click has no public types
    for name, inner in sorted(command.commands.items()):
        if getattr(inner, "commands", None):
            yield from _commands(f"{path} {name}", inner)
        else:
            yield f"{path} {name}", inner


def _command(path: str, command: Any) -> Iterator[str]:  # noqa: ANN401 — as above
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    said = " ".join(p.name.upper() if p.required else f"[{p.name.upper()}]" for p in arguments)
    yield from ["", f"## {path}", "", *wrapped(command.help), ""]
    yield from ["```text", f"{path} {said} [OPTIONS]".replace("  ", " "), "```", ""]
    rows = [(f"`{p.name.upper()}`", cell(p.help), "" if p.required else _default(p)) for p in arguments]
    rows += [(_spelled(p), cell(p.help), "required" if p.required else _default(p)) for p in options]
    if rows:
        yield from as_table(("argument or option", "meaning", "default"), rows)


def _spelled(option: Any) -> str:  # noqa: ANN401 — as above
    value = "" if option.is_flag else f" {option.name.upper()}"
    return ", ".join(f"`{one}{value}`" for one in option.opts)


def _default(parameter: Any) -> str:  # noqa: ANN401 — as above
    value = parameter.default
    is_plain = value is None or value is False or value == "" or "[default:" in (parameter.help or "")
    if is_plain or not isinstance(value, str | int | float | Path):
        return ""
    return f"`{value}`"
