"""`names.txt` lists everything that users can name: whoever adds, renames or removes one sees it here.

`make golden` writes it anew.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import setpoint
import setpoint.cli
from setpoint.answers.answer import Answer
from setpoint.core.events import TABLES, column_types
from setpoint.core.verdict import Verdict

GOLDEN = Path(__file__).with_name("names.txt")


def public_names() -> list[str]:
    """Return one line a name: Python, command line, tables, answers."""
    return [*sorted(_python()), *sorted(_commands()), *_columns(), *sorted(_answer_keys())]


def _python() -> Iterator[str]:
    for name in setpoint.__all__:
        value: object = getattr(setpoint, name)
        yield f"python setpoint.{name}{_parameters(value)}"
        if inspect.isclass(value):
            yield from (f"python setpoint.{name}.{line}" for line in _members(value))


def _members(owner: type) -> Iterator[str]:
    """Yield what a class offers that was written here: methods, properties, fields."""
    ours = [base for base in owner.__mro__ if base.__module__.partition(".")[0] == "setpoint"]
    names = {name for base in ours for name in [*vars(base), *inspect.get_annotations(base)]}
    for name in sorted(names):
        if not name.startswith("_"):
            value = inspect.getattr_static(owner, name, None)
            is_method = isinstance(value, staticmethod | classmethod) or inspect.isfunction(value)
            yield name + (_parameters(getattr(owner, name), owner) if is_method else "")


def _parameters(value: object, owner: type | None = None) -> str:
    """Return a signature by its names alone: defaults and types may change without breaking a caller."""
    if inspect.isclass(value) and issubclass(value, Exception | str):
        return ""
    if not callable(value):
        return ""
    shown: list[str] = []
    for name, parameter in inspect.signature(value).parameters.items():
        if owner is not None and name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not any(part.startswith("*") for part in shown):
            shown.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        shown.append(stars + name)
    return f"({', '.join(shown)})"


def _commands() -> Iterator[str]:
    for module in pkgutil.iter_modules(setpoint.cli.__path__, "setpoint.cli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)  # a command exists once its module is imported
    yield from _command("setpoint", typer.main.get_command(setpoint.cli.app))


def _command(path: str, command: Any) -> Iterator[str]:  # noqa: ANN401 — typer's own copy of click has no public types
    yield f"command {path}"
    for parameter in command.params:
        options = [*parameter.opts, *parameter.secondary_opts]
        if parameter.param_type_name == "argument":
            options = [str(parameter.make_metavar() if parameter.metavar else parameter.name.upper())]
        yield f"command {path} {' '.join(sorted(options, key=len, reverse=True))}"
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _command(f"{path} {name}", inner)


def _columns() -> Iterator[str]:
    """Yield the columns of the tables in their order; the type of `inputs` depends on the model."""
    for table, event in TABLES.items():
        types = column_types(table)
        yield from (f"column {table}.{name} {types.get(name, 'STRUCT')}" for name in event.__struct_fields__)


def _answer_keys() -> Iterator[str]:
    answer = Answer("status", "fraud", Verdict.OK, "fine", (), (), as_of=0, zone="UTC", tables=())
    yield from (f"answer {key}" for key in answer.to_dict())


def test_public_names_are_those_in_the_golden_file() -> None:
    listed = GOLDEN.read_text(encoding="utf-8").splitlines()
    found = public_names()
    new = [name for name in found if name not in listed]
    vanished = [name for name in listed if name not in found]
    assert (new, vanished) == ([], []), "read them as a user would; then `make golden`"
    assert found == listed


def test_a_name_is_listed_once() -> None:
    found = public_names()
    assert len(set(found)) == len(found)


if __name__ == "__main__":
    lines = public_names()
    GOLDEN.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write(f"{GOLDEN.name}: {len(lines)} names\n")
