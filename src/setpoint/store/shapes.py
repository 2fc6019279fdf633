"""Which rows look alike: the types of a row's values, decided once for all rows of one shape.

Checking 18 types a row costs as much as encoding it. Rows of one program have few shapes (names
and types in order), so each shape is looked at once and then found in a dictionary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Protocol, cast

import msgspec

from setpoint.core.events import InputValue

TEXT_LIMIT = 256
REDACTED = "[text]"

Types = dict[str, str | None]

_encoder = msgspec.json.Encoder()
_NAN, _INFINITY, _MINUS_INFINITY = "NaN", "Infinity", "-Infinity"


class _Scalar(Protocol):
    def item(self) -> str | float: ...


class _Array(Protocol):
    def tolist(self) -> list[object]: ...


class Shape:
    """The names and Python types of a row's inputs, and what must be done to rows like it.

    Attributes:
        types: Column type a feature; None for a null, which fits every type.
        missing: Features without a value.
        plain: Whether the values can be encoded as they are, but for non-finite floats and long texts.
    """

    __slots__ = ("_floats", "_texts", "missing", "plain", "types")

    def __init__(self, names: tuple[str, ...], kinds: tuple[type, ...]) -> None:
        self.types: Types = {}
        self.plain = True
        floats: list[str] = []
        texts: list[str] = []
        for name, kind in zip(names, kinds, strict=True):
            self.types[name] = column_type(kind)
            self.plain &= kind in _PLAIN
            if kind is float:
                floats.append(name)
            elif kind is str:
                texts.append(name)
        self.missing = tuple(name for name, kind in self.types.items() if kind is None)
        self._floats = _getter(floats)
        self._texts = _getter(texts)

    def is_ready(self, inputs: Mapping[str, InputValue]) -> bool:
        """Return whether a row of this shape can be encoded untouched."""
        return (
            self.plain
            and (self._floats is None or math.isfinite(sum(cast("tuple[float, ...]", self._floats(inputs)))))
            and (self._texts is None or max(map(len, cast("tuple[str, ...]", self._texts(inputs)))) <= TEXT_LIMIT)
        )


def shape_of(inputs: Mapping[str, InputValue]) -> tuple[tuple[str, ...], tuple[type, ...]]:
    """Return what a shape is found by."""
    return tuple(inputs), tuple(map(type, inputs.values()))


def column_type(kind: type) -> str | None:
    """Return the column type of a Python type; None for null.

    Example:
        >>> column_type(int), column_type(bool), column_type(dict)
        ('DOUBLE', 'BOOLEAN', 'VARCHAR')
    """
    if kind.__name__ in _NULLS:
        return None
    if kind.__name__ in {"bool", "bool_"}:
        return "BOOLEAN"
    if _is_number(kind):
        return "DOUBLE"
    return "VARCHAR"


def fits(found: str | None, column: str | None) -> bool:
    """Return whether values of one type can stand in a column of another, without loss.

    Example:
        >>> fits("BOOLEAN", "DOUBLE"), fits("DOUBLE", "BOOLEAN"), fits(None, "VARCHAR")
        (True, False, True)
    """
    if found is None or column is None or found == column:
        return True
    return column in _NUMBERS and (found == "BOOLEAN" or found in _NUMBERS)


def clean(inputs: Mapping[str, InputValue], kept_texts: frozenset[str]) -> dict[str, InputValue]:
    """Return a row that can be encoded: non-finite floats spelled out, long texts dropped.

    Args:
        inputs: The row, with values of any type.
        kept_texts: Features whose free text is kept on purpose.
    """
    cleaned: dict[str, InputValue] = {}
    for name, value in inputs.items():
        plain = scalar(value)
        if isinstance(plain, str) and len(plain) > TEXT_LIMIT and name not in kept_texts:
            plain = REDACTED
        cleaned[name] = plain
    return cleaned


def scalar(value: object) -> InputValue:
    """Return any value as one that JSON can hold: a number, a text, a boolean or null.

    Non-finite floats become the texts that the store reads back as such; NumPy scalars become
    Python ones; everything else becomes its JSON text.

    Example:
        >>> scalar(float("nan")), scalar([1, 2]), scalar(2.5)
        ('NaN', '[1,2]', 2.5)
    """
    kind = type(value)
    if value is None or kind.__name__ in _NULLS:
        return None
    for plain in (bool, int, str, float):
        if isinstance(value, plain):
            return _spelled(plain(value))
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        return _spelled(cast("_Scalar", value).item())
    if _is_number(kind):
        return _spelled(float(cast("float", value)))
    if hasattr(value, "tolist"):
        value = cast("_Array", value).tolist()
    try:
        return _encoder.encode(value).decode().strip('"')
    except (TypeError, OverflowError, msgspec.MsgspecError):
        return str(value)


_NUMBERS = ("DOUBLE", "BIGINT")  # a fraction in a whole-number column is caught by its value, not its type
_NULLS = frozenset({"NoneType", "NAType", "NaTType"})  # pandas spells null in two ways of its own
_PLAIN = frozenset({float, int, bool, str, type(None)})


def _spelled(value: str | float) -> InputValue:
    if isinstance(value, str) or math.isfinite(value):
        return value
    if math.isnan(value):
        return _NAN
    return _INFINITY if value > 0 else _MINUS_INFINITY


def _is_number(kind: type) -> bool:
    return hasattr(kind, "__float__") and not hasattr(kind, "__len__")  # an array has both


def _getter(names: list[str]) -> Callable[[Mapping[str, InputValue]], object] | None:
    if not names:
        return None
    # itemgetter of one name returns the bare value: ask twice for it, a sum or maximum does not mind.
    return itemgetter(*names, names[0])
