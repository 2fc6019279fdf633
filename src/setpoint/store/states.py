"""Mergeable states: named sums, minima and maxima by key, which add up over any split of the rows.

Everything statistical is computed from a few KB of these; nothing statistical is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

Key = tuple[object, ...]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StateKind:
    """What a kind of state counts.

    Attributes:
        name: Such as `quality`.
        keys: Names of the key columns.
        sums: Columns that merge by addition.
        minima: Columns that merge by the smaller.
        maxima: Columns that merge by the larger.
    """

    name: str
    keys: tuple[str, ...]
    sums: tuple[str, ...]
    minima: tuple[str, ...] = ()
    maxima: tuple[str, ...] = ()

    @property
    def values(self) -> tuple[str, ...]:
        """All value columns in order."""
        return (*self.sums, *self.minima, *self.maxima)


class StateTable:
    """The state of a window: one row a key.

    Example:
        >>> kind = StateKind("visits", ("page",), ("rows",))
        >>> monday = StateTable.of(kind, [("a", 2.0), ("b", 1.0)])
        >>> tuesday = StateTable.of(kind, [("a", 3.0)])
        >>> sorted(merge(kind, [monday, tuesday]).rows())
        [('a', 5.0), ('b', 1.0)]
    """

    def __init__(self, kind: StateKind, keys: list[Key], values: Floats) -> None:
        self.kind = kind
        self.keys = keys
        self.values = values

    @classmethod
    def of(cls, kind: StateKind, rows: Iterable[Sequence[object]]) -> StateTable:
        """Make a table from rows of keys then values; a null value counts as nothing."""
        width = len(kind.keys)
        listed = [tuple(row) for row in rows]
        blanks = _blanks(kind)
        values = np.array(
            [[blank if v is None else v for v, blank in zip(row[width:], blanks, strict=True)] for row in listed],
            dtype=np.float64,
        ).reshape(len(listed), len(kind.values))
        return cls(kind, [row[:width] for row in listed], values)

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self) -> list[tuple[object, ...]]:
        """Return rows of keys then values."""
        return [(*key, *map(float, row)) for key, row in zip(self.keys, self.values, strict=True)]

    def column(self, name: str) -> Floats:
        """Return a value column, in the order of the keys."""
        return self.values[:, self.kind.values.index(name)]

    def key(self, name: str) -> list[object]:
        """Return a key column."""
        place = self.kind.keys.index(name)
        return [key[place] for key in self.keys]

    def where(self, condition: Callable[[dict[str, object]], bool]) -> StateTable:
        """Return the rows whose keys meet a condition."""
        names = self.kind.keys
        chosen = [n for n, key in enumerate(self.keys) if condition(dict(zip(names, key, strict=True)))]
        return StateTable(self.kind, [self.keys[n] for n in chosen], self.values[chosen])

    def total(self, name: str) -> float:
        """Return the sum of a value column."""
        return float(self.column(name).sum())

    def encode(self) -> bytes:
        """Return the table as bytes."""
        return _encoder.encode((self.keys, self.values.tobytes()))

    @classmethod
    def decode(cls, kind: StateKind, content: bytes) -> StateTable:
        """Read what `encode` returned."""
        keys, values = _decoder.decode(content)
        floats = np.frombuffer(values, dtype=np.float64).reshape(len(keys), len(kind.values))
        return cls(kind, [tuple(key) for key in keys], floats)


def merge(kind: StateKind, tables: Sequence[StateTable]) -> StateTable:
    """Merge states of disjoint rows: sums add, minima and maxima compare. Order does not matter."""
    full = [table for table in tables if len(table)]
    places: dict[Key, int] = {}
    index = [places.setdefault(key, len(places)) for table in full for key in table.keys]
    merged = np.empty((len(places), len(kind.values)))
    merged[:] = _blanks(kind)
    if not full:
        return StateTable(kind, [], merged)
    stacked = np.concatenate([table.values for table in full])
    where = np.array(index)
    sums, minima = len(kind.sums), len(kind.sums) + len(kind.minima)
    for place in range(len(kind.values)):
        column = stacked[:, place]
        if place < sums:
            merged[:, place] = np.bincount(where, weights=column, minlength=len(places))
        elif place < minima:
            np.minimum.at(merged[:, place], where, column)
        else:
            np.maximum.at(merged[:, place], where, column)
    return StateTable(kind, list(places), merged)


def _blanks(kind: StateKind) -> list[float]:
    return [0.0] * len(kind.sums) + [np.inf] * len(kind.minima) + [-np.inf] * len(kind.maxima)


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[tuple[list[list[object]], bytes]] = msgspec.msgpack.Decoder(
    tuple[list[list[object]], bytes]
)
