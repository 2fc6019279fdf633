"""The page of the Python names."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

import setpoint
from pages.docstring import doc_of, documented, parsed, prose
from pages.markdown import NOTE, WIDTH, anchor, as_table, first, wrapped
from setpoint.predictions.details import RequestDetails, RowDetails

_LEAD = """All of this is in the package `setpoint`; a name is loaded when it is first used. Examples are run
by the tests. What is not on this page may change without notice, apart from `setpoint.testing`, the kit for
your own tests."""


def page() -> Iterator[str]:
    """Yield the lines of the page."""
    yield from ["# Python", "", NOTE, *wrapped(_LEAD)]
    yield ""
    names = [(name, getattr(setpoint, name)) for name in setpoint.__all__]
    yield from as_table(
        ("name", "what it is"), [(f"[`{name}`](#{anchor(name)})", first(doc_of(value))) for name, value in names]
    )
    for name, value in names:
        yield from _name(name, value)
    yield from ["", "## Details", "", *wrapped(first(doc_of(RowDetails)))]
    yield from ["", *prose(parsed(doc_of(RowDetails)).lead[1:]), ""]
    yield from as_table(
        ("keyword", "type"),
        [(f"`{key}`", f"`{_type(hint)}`") for key, hint in typing.get_type_hints(RowDetails).items()],
    )
    asked = ", ".join(f"`{key}`" for key in typing.get_type_hints(RequestDetails))
    yield from [
        "",
        *wrapped(f"`RequestDetails`, those that `Endpoint.predict` takes, is known before anybody answers: {asked}."),
    ]


def _name(name: str, value: Any) -> Iterator[str]:  # noqa: ANN401 — whatever is public
    yield from ["", f"## {name}", ""]
    is_plain = inspect.isclass(value) and issubclass(value, Exception | str | Enum)
    if not is_plain:
        yield from ["```text", *_signature(f"setpoint.{name}", value), "```", ""]
    yield from documented(doc_of(value))
    if inspect.isclass(value) and issubclass(value, Enum):
        yield from ["", *as_table(("member", "value"), [(f"`{m.name}`", f"`{m.value}`") for m in value])]
    if inspect.isclass(value):
        for member, function in _methods(value):
            yield from ["", f"### {name}.{member}", ""]
            if not isinstance(function, property):
                yield from ["```text", *_signature(f"{name}.{member}", function), "```", ""]
            yield from documented(inspect.getdoc(function) or "")


def _methods(owner: type) -> Iterator[tuple[str, Any]]:
    for name, raw in vars(owner).items():
        if name.startswith("_"):
            continue
        if isinstance(raw, property):
            yield name, raw
        elif inspect.isfunction(raw) or isinstance(raw, classmethod | staticmethod):
            yield name, getattr(owner, name)


def _signature(name: str, value: Any) -> list[str]:  # noqa: ANN401 — whatever is public
    parameters = [p for p in inspect.signature(value).parameters.values() if p.name not in {"self", "cls"}]
    shown: list[str] = []
    for parameter in parameters:
        has_star = any(part.startswith("*") for part in shown)
        if parameter.kind is parameter.KEYWORD_ONLY and not has_star:
            shown.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f"={_value(parameter.default)}"
        shown.append(stars + parameter.name + default)
    one = f"{name}({', '.join(shown)})"
    return [one] if len(one) < WIDTH - 20 else [f"{name}(", *(f"    {part}," for part in shown), ")"]


def _value(value: object) -> str:
    if isinstance(value, Enum):
        return repr(value.value)
    text = repr(value)
    return "..." if "factory" in text or " at 0x" in text else text


def _type(hint: object) -> str:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return " or ".join(_type(one) for one in typing.get_args(hint))
    return "None" if hint is types.NoneType else getattr(hint, "__name__", str(hint))
