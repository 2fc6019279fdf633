"""How single values are spelled in a declaration, and what is said when one cannot be read."""

from __future__ import annotations

import re
from typing import Annotated, NoReturn
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from setpoint.core.clock import DAY, MICROS, parse_duration, parse_time, time_zone
from setpoint.core.errors import SetpointError
from setpoint.core.expression import parse
from setpoint.core.model import GROUPINGS, NAME_PATTERN
from setpoint.core.reference import is_table_file
from setpoint.core.window import Window
from setpoint.declare.problems import did_you_mean, shown

BROKEN = "broken"
FIRST = "first"
SIZES = {
    "TiB": 2**40,
    "TB": 10**12,
    "GiB": 2**30,
    "GB": 10**9,
    "MiB": 2**20,
    "MB": 10**6,
    "KiB": 2**10,
    "KB": 10**3,
    "B": 1,
}

_LONGEST_DURATION = 200 * 365 * DAY
_SOME_DAY = 20_000 * DAY  # windows such as "last month" are checked as of this day
_SIZE = re.compile(rf"\s*(\d+(?:\.\d+)?)\s*({'|'.join(SIZES)})\s*", re.IGNORECASE)


def duration_spelling(length: int) -> str:
    """Return a duration exactly, in its largest whole unit.

    Example:
        >>> duration_spelling(90 * MICROS), duration_spelling(14 * 86400 * MICROS), duration_spelling(1500)
        ('90s', '14d', '0.001500s')
    """
    seconds, rest = divmod(length, MICROS)
    if rest:
        return f"{seconds}.{rest:06d}s"
    unit, size = next(
        (unit, size) for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)) if seconds % size == 0
    )
    return f"{seconds // size}{unit}"


def refuse(message: str, hint: str = "", *, at: tuple[str, ...] = (), whole: bool = False) -> NoReturn:
    """Raise an error through pydantic that carries our words.

    Args:
        message: What was found and expected.
        hint: What to do next.
        at: The key below the validated one that is to blame.
        whole: Whether another file, laid over this one, may still mend it.
    """
    context = {"message": message, "hint": hint, "at": list(at), "whole": whole}
    raise PydanticCustomError(BROKEN, "{message}", context)


def shape(value: object) -> str | None:
    """Return which of several shapes a value has: the tag that picks a branch of a union."""
    if isinstance(value, str):
        return "(text)"
    if isinstance(value, list):
        return "(list)"
    return "(mapping)" if isinstance(value, dict) or hasattr(value, "model_fields_set") else None


def _unread(error: SetpointError, value: object, expected: str, hint: str = "") -> NoReturn:
    refuse(f"found {shown(value)}, expected {expected}", hint or error.hint)


def _unit_needed(value: object) -> object:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value <= 0:
            refuse(f"found {shown(value)}, expected a duration above zero", "write a number and a unit: 1s, 1h or 1d")
        message = f"found {shown(value)}, expected a duration"
        refuse(message, f"add a unit: {value}s, {value}h or {value}d")
    return value


def _duration(value: str) -> str:
    try:
        length = parse_duration(value)
    except OverflowError:
        length = _LONGEST_DURATION + 1
    except SetpointError as error:
        _unread(error, value, "a duration")
    if not 0 < length <= _LONGEST_DURATION:
        message = f"found {shown(value)}, expected a duration above zero and below 200 years"
        refuse(message)
    return value


def _new_for(value: str) -> str:
    return value if value == FIRST else _duration(value)


def _time(value: str) -> str:
    try:
        parse_time(value)
    except SetpointError as error:
        _unread(error, value, "a time")
    except OverflowError:
        message = f"found {shown(value)}, expected a time within the years 1 to 9999"
        refuse(message)
    return value


def _reference(value: str) -> str:
    if value and not is_table_file(value):
        try:
            Window.parse(value, now=_SOME_DAY)
        except SetpointError as error:
            if ".." in value:
                refuse(f"found {shown(value)}: {error.message}", error.hint)
            _unread(error, value, "a window, or a file of rows")
        except OverflowError:
            message = f"found {shown(value)}, expected a window within the years 1 to 9999"
            refuse(message)
    return value


def _zone(value: str) -> str:
    try:
        time_zone(value)
    except SetpointError as error:
        _unread(error, value, "a time zone", did_you_mean(value, available_timezones()))
    return value


def _condition(value: str) -> str:
    if value:
        try:
            parse(value)
        except SetpointError as error:
            refuse(error.message, error.hint)
    return value


def _no_grouping(value: str) -> str:
    if value in GROUPINGS:
        hint = f"`--by {value}` needs no cohort; for an input of that name write {{name: {value}_value, by: {value}}}"
        refuse(f"found {shown(value)}, a word that answers group by already", hint)
    return value


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        message = f"found {shown(value)}, expected a size"
        refuse(message, "write a number and a unit: 500MB, 50GB or 2TiB")
    unit = next(size for name, size in SIZES.items() if name.lower() == match[2].lower())
    whole, _, fraction = match[1].partition(".")
    return int(whole) * unit + int(fraction or 0) * unit // 10 ** len(fraction)


def _scalar_text(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else value


Word = Annotated[str, StringConstraints(min_length=1)]
Name = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]
CohortName = Annotated[Word, AfterValidator(_no_grouping)]
Duration = Annotated[
    str,
    BeforeValidator(_unit_needed),
    AfterValidator(_duration),
    Field(json_schema_extra={"pattern": r"^\s*\d+(\.\d+)?\s*[smhdw]\s*$", "examples": ["90s", "12h", "30d"]}),
]
NewFor = Annotated[
    str,
    BeforeValidator(_unit_needed),
    AfterValidator(_new_for),
    Field(json_schema_extra={"examples": [FIRST, "7d"]}),
]
Size = Annotated[
    int,
    BeforeValidator(_size),
    Field(ge=1),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["500MB", "50GB"]}),
]
TimeText = Annotated[str, AfterValidator(_time)]
ReferenceText = Annotated[str, AfterValidator(_reference)]
ZoneName = Annotated[str, AfterValidator(_zone)]
Condition = Annotated[str, AfterValidator(_condition)]
ScalarText = Annotated[
    str,
    BeforeValidator(_scalar_text),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
