"""Which numbered batches were taken already: as stretches of numbers, so that a million in a row are two numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

Taken = dict[str, list[tuple[int, int]]]
"""By series, the first and last number of each stretch, rising. A series is a name with its last number made 0."""

_NUMBERED = re.compile(r"(.*?)(0|[1-9][0-9]*)([^0-9]*)", re.DOTALL | re.ASCII)


def take(taken: Taken, batch: str) -> bool:
    """Note a batch as taken; say whether it is new.

    Args:
        taken: What was taken so far.
        batch: Such as `12` or `12/moved`: the last number in it counts the batches of a series.

    Example:
        >>> taken = {}
        >>> [take(taken, name) for name in ("1/new", "2/new", "1/moved", "2/new")], taken
        ([True, True, True, False], {'0/new': [(1, 2)], '0/moved': [(1, 1)]})
    """
    series, number = _numbered(batch)
    return _add(taken, series, (number, number))


def add(taken: Taken, other: Mapping[str, list[tuple[int, int]]]) -> str | None:
    """Note batches that were taken elsewhere; when one was taken here too, return its series and note none.

    Args:
        taken: What was taken here.
        other: What was taken elsewhere.

    Example:
        >>> here = {"b0": [(1, 4)]}
        >>> add(here, {"b0": [(5, 9)]}), here, add(here, {"b0": [(9, 12)]})
        (None, {'b0': [(1, 9)]}, 'b0')
    """
    for series, first, last in _stretches(other):
        if any(begin <= last and first <= end for begin, end in taken.get(series, [])):
            return series
    for series, first, last in _stretches(other):
        _add(taken, series, (first, last))
    return None


def _stretches(taken: Mapping[str, list[tuple[int, int]]]) -> Iterator[tuple[str, int, int]]:
    return ((series, first, last) for series, stretches in taken.items() for first, last in stretches)


def _numbered(batch: str) -> tuple[str, int]:
    found = _NUMBERED.fullmatch(batch)
    if found is None:
        return batch, 0
    before, number, after = found.groups()
    return f"{before}0{after}", int(number)


def _add(taken: Taken, series: str, stretch: tuple[int, int]) -> bool:
    joined: list[tuple[int, int]] = []
    first, last = stretch
    for begin, end in taken.get(series, []):
        if begin <= last and first <= end:
            return False
        if end + 1 == first or last + 1 == begin:
            first, last = min(first, begin), max(last, end)
        else:
            joined.append((begin, end))
    taken[series] = sorted([*joined, (first, last)])
    return True
