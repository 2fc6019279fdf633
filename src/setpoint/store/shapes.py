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

from setpoint.core.events import InputValue, Prediction

TEXT_LIMIT = 256
REDACTED = "[text]"

Types = dict[str, str | None]

_encoder = msgspec.json.Encoder()
_NAN, _INFINITY, _MINUS_INFINITY = "NaN", "Infinity", "-Infinity"
SPELLED = frozenset({_NAN, _INFINITY, _MINUS_INFINITY})


class _Scalar(Protocol):
    def item(self) -> str | float: ...


class _Array(Protocol):
    def tolist(self) -> list[object]: ...


class Shape:
    """The names and Python types of a row's inputs, and what must be done to rows like it.

    Attributes:
        types: Column type a feature; None for a null, which fits every type.
        missing: Features without a value.
        verdicts: Why a row with a prediction of some type cannot be stored; empty when it can.
        casts: Features whose values are cast to the declared type, one by one.
        plain: Whether the values can be encoded as they are, but for non-finite floats and long texts.
        fault: Why no table can have columns of these names; empty when one can.
    """

    __slots__ = ("_floats", "_texts", "casts", "fault", "missing", "plain", "types", "verdicts")

    def __init__(self, inputs: Mapping[str, InputValue]) -> None:
        self.types: Types = {}
        self.plain = True
        self.verdicts: dict[type, str] = {}
        self.casts: tuple[str, ...] = ()
        floats: list[str] = []
        texts: list[str] = []
        self.fault = name_fault(tuple(inputs))
        for name, value in inputs.items():
            kind = type(value)
            self.types[str(name)] = column_type(kind)
            self.plain &= kind in _PLAIN and type(name) is str
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


def no_numbers(inputs: Mapping[str, InputValue]) -> tuple[str, ...]:
    """Return the features that hold a float which is not a number: they have no value.

    Example:
        >>> no_numbers({"a": float("nan"), "b": 1.0, "c": "NaN"})
        ('a',)
    """
    return tuple(name for name, value in inputs.items() if "float" in type(value).__name__ and value != value)  # noqa: PLR0124 — NaN is what differs from itself


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
        cleaned[str(name)] = plain
    return cleaned


def simplify(event: msgspec.Struct) -> None:
    """Make an odd event encodable, whatever its fields hold; what cannot be told becomes its type's name."""
    for name in event.__struct_fields__:
        value: object = getattr(event, name)
        if isinstance(value, dict):
            row = {_readable(key): _readable(inner) for key, inner in cast("dict[object, object]", value).items()}
            value = {str(key): REDACTED if len(str(inner)) > TEXT_LIMIT else inner for key, inner in row.items()}
        setattr(event, name, value if isinstance(value, dict) else _readable(value))


def _readable(value: object) -> InputValue:
    try:
        plain = scalar(value)
    except Exception:  # noqa: BLE001 — the value's own methods may raise anything
        plain = f"[{type(value).__name__}]"
    return plain.encode(errors="replace").decode() if isinstance(plain, str) else plain


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
    if hasattr(value, "item") and not hasattr(value, "__len__") and _is_number(kind):
        return _spelled(cast("_Scalar", value).item())
    if _is_number(kind):
        return _spelled(float(cast("float", value)))
    if hasattr(value, "tolist"):
        value = cast("_Array", value).tolist()
    try:
        return _encoder.encode(value).decode().strip('"')
    except (TypeError, OverflowError, msgspec.MsgspecError):
        return str(value)


def is_plain(event: Prediction) -> bool:
    """Return whether the numbers of a prediction can be encoded as they are; cheap, for every row."""
    try:
        total = (event.score or 0.0) + (event.latency_seconds or 0.0) + (event.compute_seconds or 0.0)
    except TypeError:
        return False
    prediction = event.prediction
    kind = type(prediction)
    if kind is float:
        total += cast("float", prediction)
    elif kind not in _PLAIN_ANSWERS:
        return False
    return type(total) is float and math.isfinite(total)


_PLAIN_ANSWERS = frozenset({bool, int, str, type(None)})


def spell_out(event: Prediction) -> str:
    """Make the numbers of a prediction encodable; return what is wrong with one that is no number."""
    event.prediction = cast("float | str | None", scalar(event.prediction))
    for name in ("score", "latency_seconds", "compute_seconds"):
        value = scalar(getattr(event, name))
        setattr(event, name, value)
        if isinstance(value, str) and value not in SPELLED:
            return f"{name} is a number and this row holds {value!r}"
    return ""


_NUMBERS = ("DOUBLE", "BIGINT")  # a fraction in a whole-number column is caught by its value, not its type
_NULLS = frozenset({"NoneType", "NAType", "NaTType"})  # pandas spells null in two ways of its own
_NO_NUMBERS = frozenset({"bytes_", "datetime64", "timedelta64"})  # NumPy gives every scalar a `__float__`
_PLAIN = frozenset({float, int, bool, str, type(None)})


def name_fault(names: tuple[object, ...]) -> str:
    """Return why no table can have columns of these names; empty when one can."""
    texts = [str(name) for name in names]
    if len({text.lower() for text in texts}) < len(texts):
        return "two inputs have one name, or differ only in upper and lower case"
    if any(not text or "\0" in text or text != text.encode(errors="replace").decode() for text in texts):
        return "an input has no name, or one that cannot be written"
    return ""


def _spelled(value: str | float) -> InputValue:
    if isinstance(value, str) or math.isfinite(value):
        return value
    if math.isnan(value):
        return _NAN
    return _INFINITY if value > 0 else _MINUS_INFINITY


def _is_number(kind: type) -> bool:
    has_number = hasattr(kind, "__float__") and not hasattr(kind, "__len__")  # an array has both
    return has_number and kind.__name__ not in _NO_NUMBERS


def _getter(names: list[str]) -> Callable[[Mapping[str, InputValue]], object] | None:
    if not names:
        return None
    # itemgetter of one name returns the bare value: ask twice for it, a sum or maximum does not mind.
    return itemgetter(*names, names[0])
