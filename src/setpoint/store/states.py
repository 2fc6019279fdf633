"""Mergeable states: named sums, minima and maxima by key, which add up over any split of the rows.

Everything statistical is computed from a few KB of these; nothing statistical is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
import numpy as np
from numpy.typing import NDArray

Key = tuple[object, ...]
Floats = NDArray[np.float64]
Codes = NDArray[np.int32]
# The values of a key column; whole numbers, of which there are most, need no Python step each.
Levels = list[object] | NDArray[np.int64]


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

    def __init__(self, kind: StateKind, levels: Sequence[Levels], codes: Codes, values: Floats) -> None:
        """Put together what `of`, `decode` and `merge` made.

        Args:
            kind: What is counted.
            levels: The values of each key column; an array when all are whole numbers.
            codes: Place of each row's key among the levels, shape (rows, key columns).
            values: Shape (rows, value columns).
        """
        self.kind = kind
        self.levels = list(levels)
        self.codes = codes
        self.values = values

    @classmethod
    def of(cls, kind: StateKind, rows: Iterable[Sequence[object]]) -> StateTable:
        """Make a table from rows of keys then values; a null value counts as nothing."""
        columns = list(zip(*rows, strict=True)) or [() for _ in (*kind.keys, *kind.values)]
        width, count = len(kind.keys), len(columns[0])
        levels: list[Levels] = []
        codes = np.empty((count, width), dtype=np.int32)
        for place, column in enumerate(columns[:width]):
            known = {key: code for code, key in enumerate(dict.fromkeys(column))}
            codes[:, place] = np.fromiter(map(known.__getitem__, column), np.int32, count)
            levels.append(_levels(known))
        values = np.empty((count, len(kind.values)))
        for place, (column, blank) in enumerate(zip(columns[width:], _blanks(kind), strict=True)):
            told = cast("tuple[float | None, ...]", column)
            values[:, place] = [blank if value is None else value for value in told] if None in told else told
        return cls(kind, levels, codes, values)

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
        levels, codes = self.levels[place], self.codes[:, place]
        if isinstance(levels, np.ndarray):
            return cast("list[object]", levels[codes].tolist())
        return [levels[code] for code in codes.tolist()]

    def numbers(self, name: str, none: int) -> NDArray[np.int64]:
        """Return a key column of whole numbers as an array, with a number for null."""
        place = self.kind.keys.index(name)
        levels = self.levels[place]
        if not isinstance(levels, np.ndarray):
            levels = np.array([none if one is None else one for one in levels], dtype=np.int64)
        return levels[self.codes[:, place]] if len(levels) else np.empty(0, dtype=np.int64)

    def known(self, name: str) -> NDArray[np.bool_]:
        """Return in which rows a key column is not null."""
        place = self.kind.keys.index(name)
        nulls = [n for n, level in enumerate(_listed(self.levels[place])) if level is None]
        return ~np.isin(self.codes[:, place], nulls)

    def only(self, **equal: object) -> StateTable:
        """Return the rows in which each named key has the given value."""
        return self.take(self._equal(equal))

    def without(self, **equal: object) -> StateTable:
        """Return the other rows."""
        return self.take(~self._equal(equal))

    def _equal(self, equal: Mapping[str, object]) -> NDArray[np.bool_]:
        chosen = np.ones(len(self), dtype=bool)
        for name, value in equal.items():
            place = self.kind.keys.index(name)
            # `True == 1` holds in Python: a level is the same only when its type is the same too.
            levels = enumerate(_listed(self.levels[place]))
            wanted = [n for n, level in levels if level == value and type(level) is type(value)]
            codes = self.codes[:, place]
            chosen &= codes == wanted[0] if len(wanted) == 1 else np.isin(codes, wanted)
        return chosen

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
        levels = [*self.levels[:place], _levels([value]), *self.levels[place + 1 :]]
        return StateTable(self.kind, levels, codes, self.values)

    def with_keys(self, **columns: Sequence[object]) -> StateTable:
        """Return the table with other values in some key columns; keys may then repeat."""
        codes, levels = self.codes.copy(), list(self.levels)
        for name, values in columns.items():
            known: dict[object, int] = {}
            place = self.kind.keys.index(name)
            codes[:, place] = [known.setdefault(value, len(known)) for value in values]
            levels[place] = _levels(known)
        return StateTable(self.kind, levels, codes, self.values)

    def total(self, name: str) -> float:
        """Return the sum of a value column."""
        return float(self.column(name).sum())

    def encode(self) -> bytes:
        """Return the table as bytes: codes as short as their levels allow, columns as they differ from one before."""
        used = _without_unused(self)
        codes = [
            np.ascontiguousarray(used.codes[:, place], dtype=_code_type(len(levels))).tobytes()
            for place, levels in enumerate(used.levels)
        ]
        levels = [known.tobytes() if isinstance(known, np.ndarray) else known for known in used.levels]
        numbers = np.ascontiguousarray(used.values.T)
        columns = [_shortened(numbers, n, blank) for n, blank in enumerate(_blanks(self.kind))]
        return _encoder.encode((len(used), levels, codes, columns))

    @classmethod
    def decode(cls, kind: StateKind, content: bytes) -> StateTable:
        """Read what `encode` returned."""
        count, stored, shorts, columns = _decoder.decode(content)
        levels = [np.frombuffer(known, dtype=np.int64) if isinstance(known, bytes) else known for known in stored]
        codes = np.empty((count, len(kind.keys)), dtype=np.int32)
        for place, short in enumerate(shorts):
            codes[:, place] = np.frombuffer(short, dtype=_code_type(len(levels[place])))
        values = np.empty((count, len(kind.values)))
        for n, (blank, (base, places, width, numbers)) in enumerate(zip(_blanks(kind), columns, strict=True)):
            found = np.frombuffer(numbers, dtype=_NUMBER_TYPES[width])
            if places is None:
                values[:, n] = found
            else:
                values[:, n] = blank if base < 0 else values[:, base]
                values[np.frombuffer(places, dtype=_code_type(count)), n] = found
        return cls(kind, levels, codes, values)


def merge(kind: StateKind, tables: Sequence[StateTable]) -> StateTable:
    """Merge states of disjoint rows: sums add, minima and maxima compare. Order does not matter."""
    full = [table for table in tables if len(table)]
    if not full:
        return StateTable.of(kind, [])
    levels, codes, where = aligned(kind, full)
    stacked = np.concatenate([table.values for table in full])
    merged = np.empty((len(codes), len(kind.values)))
    merged[:] = _blanks(kind)
    sums, minima = len(kind.sums), len(kind.sums) + len(kind.minima)
    for place in range(len(kind.values)):
        column = stacked[:, place]
        if place < sums:
            merged[:, place] = np.bincount(where, weights=column, minlength=len(codes))
        elif place < minima:
            np.minimum.at(merged[:, place], where, column)
        else:
            np.maximum.at(merged[:, place], where, column)
    return StateTable(kind, levels, codes, merged)


def aligned(kind: StateKind, tables: Sequence[StateTable]) -> tuple[list[Levels], Codes, NDArray[np.int64]]:
    """Return the keys that tables have together, as `merge` orders them, and each row's place among them."""
    levels, codes = _common_codes(kind, tables)
    _, first, where = np.unique(_ranks(codes, levels), return_index=True, return_inverse=True)
    return levels, codes[first], where.astype(np.int64)


def _levels(known: Iterable[object]) -> Levels:
    listed = list(known)
    are_numbers = bool(listed) and all(type(level) is int for level in listed)
    return np.array(listed, dtype=np.int64) if are_numbers else listed


def _listed(levels: Levels) -> list[object]:
    return cast("list[object]", levels.tolist()) if isinstance(levels, np.ndarray) else levels


def _common_codes(kind: StateKind, tables: Sequence[StateTable]) -> tuple[list[Levels], Codes]:
    """Return the levels of all tables together, and every row's codes among them."""
    levels: list[Levels] = []
    columns: list[Codes] = []
    for place in range(len(kind.keys)):
        common, owns = _common_levels([table.levels[place] for table in tables])
        levels.append(common)
        columns.append(np.concatenate([own[table.codes[:, place]] for own, table in zip(owns, tables, strict=True)]))
    return levels, np.stack(columns, axis=1) if columns else np.zeros((0, 0), dtype=np.int32)


def _common_levels(parts: Sequence[Levels]) -> tuple[Levels, list[Codes]]:
    """Return the levels of all parts together, and the place among them of each part's own."""
    numbers = [part for part in parts if isinstance(part, np.ndarray)]
    if len(numbers) == len(parts):
        common = np.unique(np.concatenate(numbers))
        return common, [np.searchsorted(common, part).astype(np.int32) for part in numbers]
    known: dict[tuple[type, object], int] = {}
    owns = [
        np.array([known.setdefault((type(level), level), len(known)) for level in _listed(part)], dtype=np.int32)
        for part in parts
    ]
    return _levels(level for _, level in known), owns


def _ranks(codes: Codes, levels: Sequence[Levels]) -> NDArray[np.int64]:
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
    levels = list(table.levels)
    codes = table.codes
    for place, known in enumerate(levels):
        is_used = np.bincount(table.codes[:, place], minlength=len(known)) > 0
        if is_used.all():
            continue
        codes = codes.copy() if codes is table.codes else codes
        codes[:, place] = (np.cumsum(is_used) - 1)[table.codes[:, place]]
        used = np.flatnonzero(is_used)
        levels[place] = known[used] if isinstance(known, np.ndarray) else [known[n] for n in used.tolist()]
    return StateTable(table.kind, levels, codes, table.values)


def _blanks(kind: StateKind) -> list[float]:
    return [0.0] * len(kind.sums) + [np.inf] * len(kind.minima) + [-np.inf] * len(kind.maxima)


def _code_type(levels: int) -> type[np.uint8 | np.uint16 | np.int32]:
    if levels <= 1 << 8:
        return np.uint8
    return np.uint16 if levels <= 1 << 16 else np.int32


def _shortened(columns: Floats, n: int, blank: float) -> _Column:
    """Return a column as bytes: where it differs from blanks or from a column before, if that is mostly the same.

    Without sampling a weight is a count, and in a bin of one row the lowest score is the score.
    """
    column = columns[n]
    others = (blank, *columns[:n])
    counts = [np.count_nonzero(column != other) for other in others]
    base = counts.index(min(counts)) - 1
    if 2 * counts[base + 1] > len(column):
        return -1, None, *_narrowed(column)
    places = np.flatnonzero(column != others[base + 1])
    return base, places.astype(_code_type(len(column))).tobytes(), *_narrowed(column[places])


def _narrowed(numbers: Floats) -> tuple[int, bytes]:
    """Return numbers as bytes, counts in as few as they need."""
    largest = numbers.max() if len(numbers) else np.inf  # nan when one is: then no comparison holds
    if largest <= _LARGEST_COUNT and numbers.min() >= 0.0 and np.array_equal(numbers, np.floor(numbers)):
        width = 1 if largest <= _LARGEST_BYTE else 2
        return width, numbers.astype(_NUMBER_TYPES[width]).tobytes()
    return 8, np.ascontiguousarray(numbers).tobytes()


_LARGEST_BYTE, _LARGEST_COUNT = 255, 65_535
_NUMBER_TYPES: dict[int, type[np.uint8 | np.uint16 | np.float64]] = {1: np.uint8, 2: np.uint16, 8: np.float64}
_Column = tuple[int, bytes | None, int, bytes]
_Encoded = tuple[int, list[bytes | list[object]], list[bytes], list[_Column]]
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[_Encoded] = msgspec.msgpack.Decoder(_Encoded)
