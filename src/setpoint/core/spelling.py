"""How a class or an item is spelled, whatever type it came in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast


def outcome_words(value: object) -> object:
    """Return an outcome that is kept as text, or a list of items or a mapping to gains, each item spelled alike.

    Example:
        >>> outcome_words(3.0), outcome_words([1, "b"]), outcome_words({7: 2.0}), outcome_words(None)
        ('3', ['1', 'b'], {'7': 2.0}, None)
    """
    if isinstance(value, Mapping):
        return {class_name(item): gain for item, gain in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [class_name(item) for item in cast("list[object]", value)]
    return None if value is None else class_name(value)


def class_name(value: object) -> str:
    """Return a class or an item as the text that it is known by: whole numbers without a point.

    Example:
        >>> class_name(3.0), class_name("cat"), class_name(True)
        ('3', 'cat', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def spelled(value: str | float) -> str:
    """Return a value as a column of texts holds it: whole numbers of 64 bits without a point.

    Example:
        >>> spelled(80331.0), spelled(True), spelled(0.5)
        ('80331', 'true', '0.5')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and -_LIMIT <= value < _LIMIT:
        return str(int(value))
    return str(value)


_LIMIT = 1 << 63
