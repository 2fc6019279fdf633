"""What a single value of a row is, whatever type it came in: a number, a text, a truth value, or none."""

from __future__ import annotations

from numbers import Real
from typing import Protocol, cast

_NULLS = frozenset({"NoneType", "NAType", "NaTType"})  # pandas spells null in two ways of its own


class _Scalar(Protocol):
    def item(self) -> object: ...


def plain(value: object) -> object:
    """Return the Python value of a NumPy scalar, and everything else as it is."""
    return cast("_Scalar", value).item() if getattr(value, "ndim", None) == 0 else value


def is_missing(value: object) -> bool:
    """Whether a value is none: null, or not a number.

    Example:
        >>> is_missing(None), is_missing(float("nan")), is_missing(""), is_missing(0)
        (True, True, False, False)
    """
    kind = value.__class__
    if kind is str or kind is int or kind is bool:
        return False
    if kind.__name__ in _NULLS:
        return True
    number = as_number(value)
    if number is None:
        return plain(value) is None
    return number != number  # noqa: PLR0124 - only NaN differs from itself


def as_number(value: object) -> float | None:
    """Return a number as a double, NaN too; None for what is no number, and for truth values.

    Example:
        >>> as_number(3), as_number("3"), as_number(True), as_number(10**400)
        (3.0, None, None, inf)
    """
    if value.__class__ is float:
        return cast("float", value)
    value = plain(value)
    if isinstance(value, bool) or not (isinstance(value, Real) or type(value).__name__ == "Decimal"):
        return None
    try:
        return float(cast("float", value))
    except ValueError:  # a signalling NaN
        return float("nan")
    except OverflowError:
        return float("inf") if cast("float", value) > 0 else float("-inf")


def as_text(value: object) -> str | None:
    """Return a text as it is; None for what is none."""
    if value.__class__ is str:
        return cast("str", value)
    return str(value) if isinstance(value, str) else None


def as_truth(value: object) -> bool | None:
    """Return a truth value as it is; None for what is none.

    Example:
        >>> as_truth(True), as_truth(1)
        (True, None)
    """
    value = plain(value)
    return value if isinstance(value, bool) else None
