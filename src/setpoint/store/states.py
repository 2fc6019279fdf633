"""Mergeable states: named sums, minima and maxima by key, which add up over any split of the rows.

Everything statistical is computed from a few KB of these; nothing statistical is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
import numpy as np
from numpy.typing import NDArray

Key = tuple[object, ...]
Floats = NDArray[np.float64]
Codes = NDArray[np.int32]


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

    Keys are kept as columns of codes into their few levels, so that decoding and merging cost no
    Python step a row.

    Example:
        >>> kind = StateKind("visits", ("page",), ("rows",))
        >>> monday = StateTable.of(kind, [("a", 2.0), ("b", 1.0)])
        >>> tuesday = StateTable.of(kind, [("a", 3.0)])
        >>> sorted(merge(kind, [monday, tuesday]).rows())
        [('a', 5.0), ('b', 1.0)]
    """

    def __init__(self, kind: StateKind, levels: list[list[object]], codes: Codes, values: Floats) -> None:
        """Put together what `of`, `decode` and `merge` made.

        Args:
            kind: What is counted.
            levels: The values of each key column.
            codes: Place of each row's key among the levels, shape (rows, key columns).
            values: Shape (rows, value columns).
        """
        self.kind = kind
        self.levels = levels
        self.codes = codes
        self.values = values

    @classmethod
    def of(cls, kind: StateKind, rows: Iterable[Sequence[object]]) -> StateTable:
        """Make a table from rows of keys then values; a null value counts as nothing."""
        width = len(kind.keys)
        places: list[dict[object, int]] = [{} for _ in kind.keys]
        blanks = _blanks(kind)
        codes: list[list[int]] = []
        values: list[list[float]] = []
        for row in rows:
            codes.append([known.setdefault(key, len(known)) for known, key in zip(places, row[:width], strict=True)])
            cells = zip(row[width:], blanks, strict=True)
            values.append([blank if value is None else float(cast("float", value)) for value, blank in cells])
        return cls(
            kind,
            [list(known) for known in places],
            np.array(codes, dtype=np.int32).reshape(len(codes), width),
            np.array(values, dtype=np.float64).reshape(len(values), len(kind.values)),
        )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def keys(self) -> list[Key]:
        """The key of each row."""
        return list(zip(*(self.key(name) for name in self.kind.keys), strict=True))

    def rows(self) -> list[tuple[object, ...]]:
        """Return rows of keys then values."""
        return [(*key, *map(float, row)) for key, row in zip(self.keys, self.values, strict=True)]

    def column(self, name: str) -> Floats:
        """Return a value column, in the order of the keys."""
        return self.values[:, self.kind.values.index(name)]

    def key(self, name: str) -> list[object]:
        """Return a key column."""
        place = self.kind.keys.index(name)
        levels = self.levels[place]
        return [levels[code] for code in self.codes[:, place].tolist()]

    def only(self, **equal: object) -> StateTable:
        """Return the rows in which each named key has the given value."""
        chosen = np.ones(len(self), dtype=bool)
        for name, value in equal.items():
            place = self.kind.keys.index(name)
            # `True == 1` holds in Python: a level is the same only when its type is the same too.
            wanted = [n for n, level in enumerate(self.levels[place]) if level == value and type(level) is type(value)]
            chosen &= np.isin(self.codes[:, place], wanted)
        return self.take(chosen)

    def where(self, condition: Callable[[dict[str, object]], bool]) -> StateTable:
        """Return the rows whose keys meet a condition; `only` is quicker for equality."""
        names = self.kind.keys
        return self.take(np.array([condition(dict(zip(names, key, strict=True))) for key in self.keys], dtype=bool))

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> StateTable:
        """Return some rows, by a mask or by their places."""
        return StateTable(self.kind, self.levels, self.codes[chosen], self.values[chosen])

    def at(self, name: str, value: object) -> StateTable:
        """Return the table with one key set to a value in every row; keys may then repeat, so merge it."""
        place = self.kind.keys.index(name)
        codes = self.codes.copy()
        codes[:, place] = 0
        return StateTable(self.kind, [*self.levels[:place], [value], *self.levels[place + 1 :]], codes, self.values)

    def total(self, name: str) -> float:
        """Return the sum of a value column."""
        return float(self.column(name).sum())

    def encode(self) -> bytes:
        """Return the table as bytes."""
        used = _without_unused(self)
        return _encoder.encode((used.levels, used.codes.tobytes(), used.values.tobytes()))

    @classmethod
    def decode(cls, kind: StateKind, content: bytes) -> StateTable:
        """Read what `encode` returned."""
        levels, codes, values = _decoder.decode(content)
        return cls(
            kind,
            levels,
            np.frombuffer(codes, dtype=np.int32).reshape(-1, len(kind.keys)),
            np.frombuffer(values, dtype=np.float64).reshape(-1, len(kind.values)),
        )


def merge(kind: StateKind, tables: Sequence[StateTable]) -> StateTable:
    """Merge states of disjoint rows: sums add, minima and maxima compare. Order does not matter."""
    full = [table for table in tables if len(table)]
    if not full:
        return StateTable.of(kind, [])
    levels, codes = _common_codes(kind, full)
    _, first, where = np.unique(_ranks(codes, levels), return_index=True, return_inverse=True)
    stacked = np.concatenate([table.values for table in full])
    merged = np.empty((len(first), len(kind.values)))
    merged[:] = _blanks(kind)
    sums, minima = len(kind.sums), len(kind.sums) + len(kind.minima)
    for place in range(len(kind.values)):
        column = stacked[:, place]
        if place < sums:
            merged[:, place] = np.bincount(where, weights=column, minlength=len(first))
        elif place < minima:
            np.minimum.at(merged[:, place], where, column)
        else:
            np.maximum.at(merged[:, place], where, column)
    return StateTable(kind, levels, codes[first], merged)


def _common_codes(kind: StateKind, tables: Sequence[StateTable]) -> tuple[list[list[object]], Codes]:
    """Return the levels of all tables together, and every row's codes among them."""
    levels: list[list[object]] = []
    columns: list[Codes] = []
    for place in range(len(kind.keys)):
        known: dict[tuple[type, object], int] = {}
        parts: list[Codes] = []
        for table in tables:
            own = [known.setdefault((type(level), level), len(known)) for level in table.levels[place]]
            parts.append(np.array(own, dtype=np.int32)[table.codes[:, place]])
        levels.append([level for _, level in known])
        columns.append(np.concatenate(parts))
    return levels, np.stack(columns, axis=1) if columns else np.zeros((0, 0), dtype=np.int32)


def _ranks(codes: Codes, levels: Sequence[Sequence[object]]) -> NDArray[np.int64]:
    """Return one number a row that is equal for equal keys."""
    ranks = np.zeros(len(codes), dtype=np.int64)
    size = 1
    for place, known in enumerate(levels):
        if size * max(len(known), 1) >= 1 << 62:  # the product no longer fits: number what is there so far
            _, ranks = np.unique(ranks, return_inverse=True)
            size = int(ranks.max()) + 1
        ranks = ranks * max(len(known), 1) + codes[:, place]
        size *= max(len(known), 1)
    return ranks


def _without_unused(table: StateTable) -> StateTable:
    """Return the table without levels that no row has: a part of a table brings the whole one's."""
    levels: list[list[object]] = []
    codes = table.codes.copy()
    for place, known in enumerate(table.levels):
        used, codes[:, place] = np.unique(table.codes[:, place], return_inverse=True)
        levels.append([known[n] for n in used.tolist()])
    return StateTable(table.kind, levels, codes, table.values)


def _blanks(kind: StateKind) -> list[float]:
    return [0.0] * len(kind.sums) + [np.inf] * len(kind.minima) + [-np.inf] * len(kind.maxima)


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[tuple[list[list[object]], bytes, bytes]] = msgspec.msgpack.Decoder(
    tuple[list[list[object]], bytes, bytes]
)
