"""The queries that make profiles from rows: moments in one scan, then the bins or the values of each feature."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import duckdb

from setpoint.store.engines.duck import Row, literal, rows
from setpoint.store.measures import (
    COHORT_VALUES,
    OTHER,
    PROFILE,
    UNSEEN,
    Column,
    Definition,
    Scale,
    Vocabulary,
    grouping,
    value_of,
    which,
)
from setpoint.store.primitives import VALUE_BINS, finite, is_missing, printed, value_bin, weight
from setpoint.store.states import StateTable
from setpoint.store.texts import measured, part_columns, texts_of


def query_profile(
    connection: duckdb.DuckDBPyConnection,
    definition: Definition,
    columns: Mapping[str, Column],
    *,
    where: str = "",
    time: str = "",
    is_weighted: bool = True,
) -> StateTable:
    """Return the profile state of all rows.

    Args:
        connection: Where `predictions` is a view.
        definition: How features are binned.
        columns: How each is read; one that the definition lacks is left out.
        where: SQL over predictions `p`.
        time: SQL of the bucket that a row belongs to; empty for none.
        is_weighted: Whether any row stands for more than itself. Minima and maxima are never weighted.
    """
    source = f"predictions AS p{f' WHERE {where}' if where else ''}"
    whole = _Scan(connection, source, time, printed(weight()) if is_weighted else "", definition, columns)
    found: list[Row] = []
    with whole.and_of_texts() as scans:
        for scan in scans:
            found += scan.moments()
            for name, how in scan.numeric.items():
                found += scan.bins(name, how)
            for name, how in scan.named.items():
                found += scan.values(name, how)
    return StateTable.of(PROFILE, found)


def query_cohort_profiles(
    connection: duckdb.DuckDBPyConnection,
    definition: Definition,
    columns: Mapping[str, Column],
    cohorts: Mapping[str, tuple[str, Sequence[str]]],
    *,
    where: str,
    time: str = "",
    is_weighted: bool = True,
) -> dict[str, StateTable]:
    """Return the profile states of the values of each cohort.

    One query counts the bins of all numeric features for all cohorts, another the values of the
    categorical ones: a query a feature and cohort takes five times as long on a thousand rows.

    Args:
        connection: Where `predictions` is a view.
        definition: How features are binned.
        columns: How each feature is read.
        cohorts: SQL of each cohort's value over predictions `p`, and the values that are told apart;
            while those are fewer than `COHORT_VALUES`, all are.
        where: SQL over predictions `p`.
        time: SQL of the bucket that a row belongs to; empty for none.
        is_weighted: Whether any row stands for more than itself.
    """
    told = [f"{_told_apart(sql, values)} AS cohort_{n}" for n, (sql, values) in enumerate(cohorts.values())]
    source = f"(SELECT p.*, {', '.join(told)} FROM predictions AS p WHERE {where})"
    whole = _Scan(
        connection,
        source,
        time,
        printed(weight()) if is_weighted else "",
        definition,
        columns,
        tuple(f"cohort_{n}" for n in range(len(cohorts))),
    )
    found: list[Row] = []
    with whole.and_of_texts() as scans:
        for scan in scans:
            found += [*scan.moments(), *scan.all_bins(), *scan.all_values()]
    return {name: StateTable.of(PROFILE, (row[1:] for row in found if row[0] == n)) for n, name in enumerate(cohorts)}


def _told_apart(column: str, known: Sequence[str]) -> str:
    text = f"CAST({column} AS VARCHAR)"
    if len(known) < COHORT_VALUES:
        return text
    listed = ", ".join(literal(value) for value in known)
    return f"CASE WHEN {text} IN ({listed}) THEN {text} WHEN {text} IS NOT NULL THEN {literal(OTHER)} END"


@dataclass(frozen=True)
class _Scan:
    """The rows that a profile is made from, and how they are grouped.

    With cohorts every row of a result begins with the number of its cohort.
    """

    connection: duckdb.DuckDBPyConnection
    source: str
    time: str
    weight: str
    definition: Definition
    columns: Mapping[str, Column]
    cohorts: tuple[str, ...] = ()

    @contextmanager
    def and_of_texts(self) -> Generator[list[_Scan]]:
        """Yield this, and another of what is measured of texts: each is read once, into a table."""
        texts = {n: words.known for n, words in texts_of(self.definition).items() if n in self.columns}
        if not texts:
            yield [self]
            return
        kept = [
            *([f"{self.time} AS bucket"] if self.time else []),
            *([f"{self.weight} AS weight"] if self.weight else []),
            *self.cohorts,
        ]
        sql = measured({n: (self.columns[n].sql, known) for n, known in texts.items()}, self.source, kept)
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE texts AS {sql}")
        try:
            time, weighed = "bucket" if self.time else "", "weight" if self.weight else ""
            parts = part_columns(tuple(texts))
            yield [self, _Scan(self.connection, "texts", time, weighed, self.definition, parts, self.cohorts)]
        finally:
            self.connection.execute("DROP TABLE texts")

    @cached_property
    def numeric(self) -> dict[str, Scale]:
        """The numeric features."""
        features = self.definition.features
        return {n: how for n, how in features.items() if n in self.columns and isinstance(how, Scale)}

    @cached_property
    def named(self) -> dict[str, Vocabulary]:
        """The categorical features."""
        features = self.definition.features
        return {n: how for n, how in features.items() if n in self.columns and isinstance(how, Vocabulary)}

    @property
    def count(self) -> str:
        return f"sum({self.weight})" if self.weight else "count(*)"

    @property
    def _keys(self) -> str:
        """What a result begins with: cohort number if any, bucket, cohort value."""
        number = f"{which(self.cohorts)} AS cohort, " if self.cohorts else ""
        return f"{number}{self.time or 0} AS bucket, {value_of(self.cohorts)} AS cohort_value"

    def _by(self, *names: str) -> str:
        """Return the GROUP BY clause: a constant bucket in it would cost as much as the counting."""
        keys = [*(["bucket"] if self.time else []), *names]
        if self.cohorts:
            return f" GROUP BY {grouping(keys, self.cohorts)}"
        return f" GROUP BY {', '.join(keys)}" if keys else ""

    def moments(self) -> list[Row]:
        """Return rows, missing values, sums about the centre, minimum and maximum of each feature.

        Sums over plain values are quick, and tell by not being finite when a column holds a NaN or
        an infinity: only such columns are asked again, with care.
        """
        found = self._select({name: self._plain(name, how.center) for name, how in self.numeric.items()})
        width = 3 if self.cohorts else 2  # keys before the name
        careful = {cast("str", row[width]) for row in found if not _is_finite(row[width + 6 : width + 8])}
        if careful:
            found = [row for row in found if row[width] not in careful]
            found += self._select({name: self._careful(name, self.numeric[name].center) for name in careful})
        nulls = {n: [self._missing(f"{self.columns[n].sql} IS NULL"), *_NO_MOMENTS] for n in self.named}
        return [*found, *self._select(nulls)]

    def _plain(self, name: str, center: float) -> list[str]:
        column = self.columns[name].sql
        x = f"CAST({column} AS DOUBLE)"
        w = f"{self.weight} * " if self.weight else ""
        shifted = f"({x} - ({center!r}))"
        missing = self._missing(f"{column} IS NULL") if self.weight else f"count(*) - count({column})"
        return [missing, "0", f"sum({w}{shifted})", f"sum({w}{shifted} * {shifted})", f"min({x})", f"max({x})"]

    def _careful(self, name: str, center: float) -> list[str]:
        x = f"CAST({self.columns[name].sql} AS DOUBLE)"
        good = printed(finite(x))
        w = f"{self.weight} * " if self.weight else ""
        shifted = f"({good} - ({center!r}))"
        return [
            self._missing(printed(is_missing(x, "DOUBLE"))),
            self._missing(f"isinf({x})"),
            f"sum({w}{shifted})",
            f"sum({w}{shifted} * {shifted})",
            f"min({good})",
            f"max({good})",
        ]

    def _missing(self, condition: str) -> str:
        return f"sum(CASE WHEN {condition} THEN {self.weight or 1} ELSE 0 END)"

    def _select(self, parts: Mapping[str, list[str]]) -> list[Row]:
        if not parts:
            return []
        selected = ", ".join(", ".join(part) for part in parts.values())
        squares = f"sum({self.weight} * {self.weight})" if self.weight else "count(*)"
        found = rows(
            self.connection, f"SELECT {self._keys}, {self.count}, {squares}, {selected} FROM {self.source}{self._by()}"
        )
        width = 3 if self.cohorts else 2
        moments: list[Row] = []
        for row in found:
            keys, count, weight_squares, cells = row[:width], row[width], row[width + 1], row[width + 2 :]
            for n, name in enumerate(parts):
                *sums, low, high = cells[6 * n : 6 * n + 6]
                moments.append((*keys, name, "moments", None, count, *sums, weight_squares, low, high))
        return moments

    def bins(self, name: str, how: Scale) -> list[Row]:
        """Return the weight of each bin; what is missing or not finite is in none."""
        picked = f"{self._keys}, {self._binned(name, how)} AS bin, {self.count} AS n"
        counts = rows(self.connection, f"SELECT {picked} FROM {self.source}{self._by('bin')}")
        found: dict[tuple[object, ...], float] = {}
        for *keys, place, count in counts:  # a few groups: here it costs nothing to look at each
            if place is not None and cast("float", place) <= VALUE_BINS:  # NaN is not
                key = (*keys, min(int(cast("float", place)), VALUE_BINS - 1))
                found[key] = found.get(key, 0.0) + cast("float", count)
        return [_counted(keys, name, "bin", str(place), count) for (*keys, place), count in found.items()]

    def _binned(self, name: str, how: Scale) -> str:
        return printed(value_bin(f"CAST({self.columns[name].sql} AS DOUBLE)", how.center, how.scale))

    def _bin(self, name: str, how: Scale) -> str:
        binned = self._binned(name, how)
        last = VALUE_BINS - 1  # what lies some 2⁵³ scales up reads one more; NaN is greater than any number
        return f"CASE WHEN {binned} <= {VALUE_BINS}.0 THEN CAST(least({binned}, {last}.0) AS SMALLINT) END"

    def all_bins(self) -> list[Row]:
        """Return the weight of each bin of every numeric feature, in one query."""
        names = list(self.numeric)
        return [
            _counted(keys, names[cast("int", place)], "bin", str(label), count)
            for *keys, place, label, count in self._unnested([self._bin(n, how) for n, how in self.numeric.items()])
        ]

    def all_values(self) -> list[Row]:
        """Return the weight of each value of every categorical feature, in one query."""
        names = list(self.named)
        labels = [{**dict.fromkeys(how.seen, OTHER), **{v: v for v in how.named}} for how in self.named.values()]
        found: dict[tuple[object, ...], float] = {}
        for *keys, place, value, count in self._unnested([f"CAST({self.columns[n].sql} AS VARCHAR)" for n in names]):
            feature = cast("int", place)
            key = (*keys, names[feature], labels[feature].get(cast("str", value), UNSEEN))
            found[key] = found.get(key, 0.0) + cast("float", count)
        return [_counted(keys, cast("str", name), "value", str(label), n) for (*keys, name, label), n in found.items()]

    def _unnested(self, labels: Sequence[str]) -> list[Row]:
        """Return keys, place of the feature, label and weight for every label that is not null."""
        if not labels:
            return []
        kept = f"{self.time or 0} AS bucket, {self.weight or 1} AS w, {', '.join(self.cohorts)}"
        inner = (
            f"SELECT {kept}, unnest([{', '.join(labels)}]) AS label, unnest(range({len(labels)})) AS place"
            f" FROM {self.source}"
        )
        number = f"{which(self.cohorts)} AS cohort, bucket, {value_of(self.cohorts)} AS cohort_value"
        return rows(
            self.connection,
            f"SELECT {number}, place, label, sum(w) FROM ({inner}) AS counted WHERE label IS NOT NULL"
            f" GROUP BY {grouping(['bucket', 'place', 'label'], self.cohorts)}",
        )

    def values(self, name: str, how: Vocabulary) -> list[Row]:
        """Return the weight of each named value, of other values seen before, and of unseen ones.

        Rows are counted by value first: naming is then done once a value, not once a row.
        """
        text = f"CAST({self.columns[name].sql} AS VARCHAR)"
        inner = f"SELECT {self._keys}, {text} AS value, {self.count} AS n FROM {self.source}{self._by('value')}"
        counts = rows(
            self.connection,
            f"SELECT bucket, cohort_value, {value_label(how)} AS label, sum(n) FROM ({inner}) AS counted"
            " WHERE value IS NOT NULL GROUP BY ALL",
        )
        return [_counted(keys, name, "value", cast("str", label), n) for *keys, label, n in counts]


_NO_MOMENTS = ("0", "0.0", "0.0", "NULL", "NULL")


def value_label(how: Vocabulary) -> str:
    """Return SQL for what a value is counted as: itself, one seen before, or a new one."""
    named = ", ".join(literal(value) for value in how.named)
    seen = ", ".join(literal(value) for value in how.seen)
    cases = f" WHEN value IN ({named}) THEN value" if how.named else ""
    cases += f" WHEN value IN ({seen}) THEN {literal(OTHER)}" if how.seen else ""
    return f"CASE{cases} ELSE {literal(UNSEEN)} END" if cases else literal(UNSEEN)


def _is_finite(sums: Sequence[object]) -> bool:
    return all(value is None or math.isfinite(cast("float", value)) for value in sums)


def _counted(keys: Sequence[object], feature: str, part: str, label: str, count: object) -> Row:
    return (*keys, feature, part, label, count, 0, 0, 0, 0, 0, None, None)
