"""All that a nested value is made of, to compare two: an engine sums rows in any order, so that last digits differ."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec


def same(one: object, other: object) -> bool:
    """Return whether two nested values are the same but for the last digits of their numbers."""
    left, right = list(_leaves(one)), list(_leaves(other))
    return len(left) == len(right) and all(map(_are_close, left, right))


def _are_close(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return one == other


def _leaves(value: object) -> Iterator[object]:
    value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        for name in sorted(value):
            yield name
            yield from _leaves(value[name])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value
