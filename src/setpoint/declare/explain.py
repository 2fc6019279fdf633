"""Pydantic's errors in our words: the line, the dotted key, found, expected, and what was probably meant."""

from __future__ import annotations

import re
import typing
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel

from setpoint.core.model import NAME_RULE
from setpoint.declare.problems import Problem, did_you_mean, listed, shown
from setpoint.declare.source import Path, Source, dotted
from setpoint.declare.spellings import BROKEN

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_EXPECTED = {
    "string_type": "text",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "finite_number": "a finite number",
    "string_too_short": "text that is not empty",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "string_pattern_mismatch": NAME_RULE,
}


def explain(
    error: ValidationError, declaration: type[BaseModel], source: Source, *, partial: bool = False
) -> list[Problem]:
    """Return every error of a validation as a problem with its place in the source.

    Args:
        error: What pydantic found.
        declaration: The declaration that was validated.
        source: What it was validated from.
        partial: Leave out what keys that are still to come may mend.
    """
    details = [detail for detail in error.errors(include_url=False) if not (partial and _mendable(detail))]
    return [_problem(detail, declaration, source) for detail in details]


def _mendable(detail: ErrorDetails) -> bool:
    return detail["type"] == "missing" or bool(detail.get("ctx", {}).get("whole"))


def _problem(detail: ErrorDetails, declaration: type[BaseModel], source: Source) -> Problem:
    context = cast("dict[str, object]", detail.get("ctx", {}))
    path = (*_path(detail["loc"], source.data), *cast("list[str]", context.get("at", [])))
    file, line = source.place(path)
    message, hint = _words(detail, context, declaration)
    return Problem(file, line, dotted(path), message, hint)


def _path(location: tuple[str | int, ...], data: object) -> Path:
    """Return a location without what pydantic adds to it: the tags of unions and of mapping keys."""
    path: list[str | int] = []
    for place, part in enumerate(location):
        if part == "[key]" or (isinstance(part, str) and part.startswith("(") and not _holds(data, part)):
            continue
        last = place == len(location) - 1
        if _holds(data, part):
            data = cast("dict[str | int, object]", data)[part]
        elif not last:
            continue
        path.append(part)
    return tuple(path)


def _holds(data: object, part: str | int) -> bool:
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(cast("list[object]", data))


def _words(detail: ErrorDetails, context: dict[str, object], declaration: type[BaseModel]) -> tuple[str, str]:  # noqa: PLR0911 - one a sort
    sort, value = detail["type"], detail["input"]
    if sort == BROKEN:
        return str(context["message"]), str(context["hint"])
    if sort == "extra_forbidden":
        known = _keys(declaration, detail["loc"][:-1])
        close = did_you_mean(detail["loc"][-1], known)
        return "unknown key", close or f"the keys are {listed(known).replace(' or ', ' and ')}"
    if sort == "missing":
        return "the key is missing", ""
    if sort == "literal_error":
        choices = re.findall(r"'([^']*)'", str(context["expected"]))
        return f"found {shown(value)}, expected {listed(choices)}", did_you_mean(value, choices)
    if sort == "shape":
        return f"found {shown(value)}, expected {detail['msg']}", ""
    expected = _EXPECTED.get(sort)
    if expected is None:
        return f"found {shown(value)}: {detail['msg']}", ""
    hint = ""
    if sort == "string_type" and isinstance(value, (bool, int, float)):
        hint = f'write it in quotes: "{shown(value)}"'
    if sort in {"float_type", "int_type"} and isinstance(value, str):
        hint = "write numbers without quotes or units"
    return f"found {shown(value)}, expected {expected.format(**context)}", hint


def _keys(declaration: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """Return the keys that may stand at a location of a declaration."""
    here: list[object] = [declaration]
    for part in location:
        if isinstance(part, int) or part.startswith("("):
            continue
        fields = [one.model_fields.get(part) for one in _models(here)]
        here = [one.annotation for one in fields if one is not None] or here
    return sorted({name for one in _models(here) for name in one.model_fields})


def _models(annotations: list[object]) -> list[type[BaseModel]]:
    """Return the declarations that types hold, at any depth of unions, lists and mappings."""
    found: list[type[BaseModel]] = []
    waiting = list(annotations)
    while waiting:
        one = waiting.pop()
        if isinstance(one, type) and issubclass(one, BaseModel):
            found.append(one)
        else:
            waiting.extend(typing.get_args(one))
    return found
