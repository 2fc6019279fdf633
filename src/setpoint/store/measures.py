"""The states that are kept of every window, and the queries that make them from rows.

Four kinds: traffic (from tallies), quality (score bin × decision × outcome, with costs), profile
(moments, bins and values of each feature) and spending (calls and rates). A query groups by time
bucket, or by nothing when the bucket is 0 seconds long.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import duckdb

from setpoint.core.model import Model, Task
from setpoint.core.window import Window
from setpoint.store.engines.duck import Row, at, literal, rows
from setpoint.store.matching import Matching, examples, family_costs
from setpoint.store.primitives import (
    VALUE_BINS,
    brier_loss,
    bucket,
    finite,
    is_missing,
    latency_bin,
    log_loss,
    printed,
    score_bin,
    value_bin,
    weight,
)
from setpoint.store.states import StateKind, StateTable

_WHO = ("bucket", "version", "endpoint", "is_root", "cohort", "cohort_value")
_COSTS = ("cost", "cost_squares", "unpriced")
_LATE = ("value_usd",)

BINARY_QUALITY = StateKind(
    "binary_quality",
    (*_WHO, "bin", "decision", "outcome"),
    (
        "rows",
        "weight",
        "weight_squares",
        "score",
        "brier",
        "brier_squares",
        "log_loss",
        "log_loss_squares",
        *_COSTS,
        *_LATE,
    ),
    ("lowest_score",),
    ("highest_score",),
)
REGRESSION_QUALITY = StateKind(
    "regression_quality",
    (*_WHO, "success", "has_outcome"),
    (
        "rows",
        "weight",
        "weight_squares",
        "error",
        "error_2",
        "error_3",
        "error_4",
        "absolute",
        "outcome",
        "outcome_2",
        "outcome_3",
        "outcome_4",
        "error_2_outcome",
        "error_2_outcome_2",
        *_COSTS,
        *_LATE,
    ),
)
TRAFFIC = StateKind(
    "traffic",
    ("bucket", "version", "endpoint", "role", "measure", "bin"),
    ("amount",),
)
PROFILE = StateKind(
    "profile",
    ("bucket", "feature", "part", "bin"),
    ("rows", "missing", "infinite", "shifted", "shifted_squares"),
    ("minimum",),
    ("maximum",),
)
SPENDING = StateKind(
    "spending",
    ("bucket", "version", "endpoint", "role", "line"),
    ("rows", "usd", "unpriced"),
)


def quality_kind(model: Model) -> StateKind:
    """Return the kind of quality state that a model's task needs."""
    return REGRESSION_QUALITY if model.task is Task.REGRESSION else BINARY_QUALITY


@dataclass(frozen=True, slots=True)
class Column:
    """A feature as it stands in the predictions view.

    Attributes:
        sql: How it is read: a field of the struct, or a flat column of a file.
        kind: Its SQL type.
    """

    sql: str
    kind: str


@dataclass(frozen=True, slots=True)
class Scale:
    """Where the bins of a numeric feature lie."""

    center: float
    scale: float


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The values of a categorical feature that are counted by name; others count as seen or unseen."""

    named: tuple[str, ...]
    seen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """What the states of a model depend on besides the rows: frozen when the first is made.

    Attributes:
        features: How each feature is binned.
        outcome_shift: Regression: outcomes are summed about it.
    """

    features: Mapping[str, Scale | Vocabulary]
    outcome_shift: float = 0.0


OTHER, UNSEEN = "\x00other", "\x00unseen"


def query_quality(
    connection: duckdb.DuckDBPyConnection,
    matching: Matching,
    definition: Definition,
    *,
    bucket_seconds: int = 0,
) -> StateTable:
    """Return the quality state of a window from rows, overall and by each cohort."""
    kind = quality_kind(matching.model)
    source = f"({examples(matching)})"
    cost = "e.cost_usd"
    if matching.has_children:
        source += f" AS e LEFT JOIN ({family_costs(matching)}) AS f ON f.root_id = e.root_id"
        cost = "CASE WHEN e.is_root THEN f.family_cost_usd ELSE e.cost_usd END"
    else:
        source += " AS e"
    binary = kind is BINARY_QUALITY
    keys, sums = _binary(cost) if binary else _regression(cost, definition.outcome_shift)
    cohorts = [f"cohort_{n}" for n in range(len(matching.cohorts))]
    who = f"{_bucketed('e.predicted_at', bucket_seconds)} AS bucket, version, endpoint, is_root"
    grouped = ["bucket", "version", "endpoint", "is_root", *(name for name, _ in keys)]
    sets = [grouped, *([*grouped, cohort] for cohort in cohorts)]
    sql = (
        f"SELECT {who}, {_which(cohorts)}, {', '.join(f'{sql} AS {name}' for name, sql in keys)},"
        f" {', '.join(sums)} FROM {source} GROUP BY GROUPING SETS ({', '.join('(' + ', '.join(s) + ')' for s in sets)})"
    )
    found = rows(connection, sql)
    names = [name for name, _ in matching.cohorts]
    return StateTable.of(kind, [_named_cohort(row, names) for row in found])


def _binary(cost: str) -> tuple[list[tuple[str, str]], list[str]]:
    keys = [
        ("bin", f"CASE WHEN score IS NOT NULL THEN {printed(score_bin('score'))} END"),
        ("decision_key", "CAST(decision AS INTEGER)"),
        ("outcome_key", "CAST(outcome_number AS INTEGER)"),
    ]
    brier = printed(brier_loss("score", "outcome_number"))
    loss = printed(log_loss("score", "outcome_number"))
    return keys, [
        *_WEIGHTS,
        "sum(weight * score)",
        f"sum(weight * ({brier}))",
        f"sum(weight * ({brier}) * ({brier}))",
        f"sum(weight * ({loss}))",
        f"sum(weight * ({loss}) * ({loss}))",
        *_cost_sums(cost),
        _VALUE,
        "min(score)",
        "max(score)",
    ]


def _regression(cost: str, shift: float) -> tuple[list[tuple[str, str]], list[str]]:
    keys = [
        ("success_key", "CAST(is_success AS INTEGER)"),
        ("outcome_key", "CAST(has_outcome AND decision IS NOT NULL AS INTEGER)"),
    ]
    error = "(decision - outcome_number)"
    # A row without a prediction or an outcome has a null error, and must not bring its outcome alone.
    shifted = f"(outcome_number - ({shift!r}) + 0.0 * {error})"
    terms = [
        *(" * ".join([error] * power) for power in (1, 2, 3, 4)),
        f"abs({error})",
        *(" * ".join([shifted] * power) for power in (1, 2, 3, 4)),
        f"{error} * {error} * {shifted}",
        f"{error} * {error} * {shifted} * {shifted}",
    ]
    return keys, [*_WEIGHTS, *(f"sum(weight * {term})" for term in terms), *_cost_sums(cost), _VALUE]


_VALUE = "sum(weight * value_usd)"
_WEIGHTS = ("count(*)", "sum(weight)", "sum(weight * weight)")


def _cost_sums(cost: str) -> tuple[str, str, str]:
    return (
        f"sum(weight * ({cost}))",
        f"sum(weight * ({cost}) * ({cost}))",
        f"sum(CASE WHEN ({cost}) IS NULL THEN weight ELSE 0.0 END)",
    )


def _which(cohorts: Sequence[str]) -> str:
    """Return SQL for the number of the cohort that a grouping set is about, and its value."""
    if not cohorts:
        return "NULL::INTEGER AS cohort, NULL::VARCHAR AS cohort_value"
    cases = " ".join(f"WHEN GROUPING({name}) = 0 THEN {n}" for n, name in enumerate(cohorts))
    values = " ".join(f"WHEN GROUPING({name}) = 0 THEN CAST({name} AS VARCHAR)" for name in cohorts)
    return f"CASE {cases} END AS cohort, CASE {values} END AS cohort_value"


def _named_cohort(row: Row, names: Sequence[str]) -> Row:
    number = cast("int | None", row[4])
    if number is None:
        return row
    value = "(none)" if row[5] is None else row[5]
    return (*row[:4], names[number], value, *row[6:])


def query_traffic(connection: duckdb.DuckDBPyConnection, window: Window, *, bucket_seconds: int = 0) -> StateTable:
    """Return the traffic state of a window from tallies, which count every prediction."""
    source = (
        f"SELECT {_bucketed('bucket_at', bucket_seconds)} AS bucket, * FROM tallies"
        f" WHERE bucket_at >= {at(window.start)} AND bucket_at < {at(window.end)}"
    )
    who = "bucket, version, endpoint, role"
    totals = ", ".join(f"sum({name})" for name in _TOTALS)
    found: list[Row] = []
    for row in rows(connection, f"SELECT {who}, {totals} FROM ({source}) GROUP BY {who}"):
        found += [(*row[:4], measure, None, amount) for measure, amount in zip(_TOTALS, row[4:], strict=True)]
    for measure, column in (("latency", "latency_bins"), ("score", "score_bins"), ("missing", "missing")):
        found += rows(
            connection,
            f"SELECT {who}, {literal(measure)}, entry.key, sum(entry.value) FROM"
            f" (SELECT {who}, unnest(map_entries({column})) AS entry FROM ({source}) WHERE {column} IS NOT NULL)"
            f" GROUP BY {who}, entry.key",
        )
    return StateTable.of(TRAFFIC, found)


_TOTALS = ("requests", "errors", "not_kept", "dropped", "compute_seconds")


def tallies_of_rows(window: Window | None = None) -> str:
    """Return SQL that counts rows as tallies do: for files, and for history that is imported."""
    where = f"WHERE predicted_at >= {at(window.start)} AND predicted_at < {at(window.end)}" if window else ""
    quarter = printed(bucket("predicted_at", 900))
    who = "bucket_at, version, endpoint, role"
    bins = f"CASE WHEN latency_seconds IS NOT NULL THEN {printed(latency_bin('latency_seconds'))} END"
    scores = f"CASE WHEN score BETWEEN 0.0 AND 1.0 THEN {printed(score_bin('score'))} END"
    rows_sql = (
        f"SELECT make_timestamptz({quarter}) AS bucket_at, version, endpoint, role, error, compute_seconds,"
        f" {bins} AS latency, {scores} AS score FROM predictions {where}"
    )
    histogram = (
        "(SELECT {who}, map_from_entries(list((v, n))) AS {name} FROM (SELECT {who}, {value} AS v,"
        " count(*) AS n FROM counted WHERE {value} IS NOT NULL GROUP BY ALL) GROUP BY {who})"
    )
    on = " AND ".join(f"{{0}}.{c} IS NOT DISTINCT FROM t.{c}" for c in who.split(", "))
    latency = histogram.format(who=who, name="latency_bins", value="latency")
    score = histogram.format(who=who, name="score_bins", value="score")
    return (
        f"WITH counted AS MATERIALIZED ({rows_sql}), t AS (SELECT {who}, count(*) AS requests, count(error) AS errors,"
        f" sum(compute_seconds) AS compute_seconds FROM counted GROUP BY {who})"
        " SELECT t.*, CAST(0 AS BIGINT) AS not_kept, CAST(0 AS BIGINT) AS dropped, l.latency_bins, s.score_bins,"
        " NULL::MAP(VARCHAR, BIGINT) AS missing"
        f" FROM t LEFT JOIN {latency} AS l ON {on.format('l')} LEFT JOIN {score} AS s ON {on.format('s')}"
    )


def query_spending(connection: duckdb.DuckDBPyConnection, matching: Matching, *, bucket_seconds: int = 0) -> StateTable:
    """Return what was spent in a window by line: calls, retries, and the shadow rows' calls.

    `calls` are never sampled, so these are totals and not estimates.
    """
    window = matching.window
    if matching.is_joined:
        return StateTable.of(SPENDING, _joined_spending(connection, window, bucket_seconds))
    where = f" WHERE c.called_at >= {at(window.start)} AND c.called_at < {at(window.end)}" if window else ""
    who = f"{_bucketed('c.called_at', bucket_seconds)} AS bucket, p.version, p.endpoint, p.role"
    line = "CASE WHEN p.role = 'shadow' THEN 'shadow' WHEN c.attempt > 1 THEN 'retries' ELSE 'calls' END"
    found = rows(
        connection,
        f"SELECT {who}, {line} AS line, count(*), sum(c.cost_nano_usd) / 1e9, count(*) - count(c.cost_nano_usd)"
        " FROM calls AS c LEFT JOIN predictions AS p ON p.prediction_id = c.prediction_id"
        f"{where} GROUP BY bucket, p.version, p.endpoint, p.role, line",
    )
    return StateTable.of(SPENDING, found)


def _joined_spending(connection: duckdb.DuckDBPyConnection, window: Window | None, bucket_seconds: int) -> list[Row]:
    where = f" AND predicted_at >= {at(window.start)} AND predicted_at < {at(window.end)}" if window else ""
    return rows(
        connection,
        f"SELECT {_bucketed('predicted_at', bucket_seconds)} AS bucket, version, endpoint, role, 'calls', count(*),"
        f" sum(cost_usd), 0 FROM predictions WHERE cost_usd IS NOT NULL{where} GROUP BY ALL",
    )


def query_profile(
    connection: duckdb.DuckDBPyConnection,
    definition: Definition,
    columns: Mapping[str, Column],
    *,
    where: str = "",
    bucket_seconds: int = 0,
    is_weighted: bool = True,
) -> StateTable:
    """Return the profile state of the features from rows: moments in one scan, then bins or values each.

    Args:
        connection: Where `predictions` is a view.
        definition: How features are binned.
        columns: How each is read; one that the definition lacks is left out.
        where: SQL over predictions.
        bucket_seconds: Length of a time bucket; 0 for none.
        is_weighted: Whether any row stands for more than itself. Minima and maxima are never weighted.
    """
    present = {name: how for name, how in definition.features.items() if name in columns}
    scan = _Scan(
        connection,
        f"predictions{f' WHERE {where}' if where else ''}",
        _bucketed("predicted_at", bucket_seconds) if bucket_seconds else "",
        printed(weight()) if is_weighted else "",
    )
    numeric = {name: how for name, how in present.items() if isinstance(how, Scale)}
    named = {name: how for name, how in present.items() if isinstance(how, Vocabulary)}
    found = scan.moments(numeric, named, columns)
    for name, how in numeric.items():
        found += scan.bins(name, how, columns[name].sql)
    for name, how in named.items():
        found += scan.values(name, how, columns[name].sql)
    return StateTable.of(PROFILE, found)


@dataclass(frozen=True, slots=True)
class _Scan:
    """The rows that a profile is made from."""

    connection: duckdb.DuckDBPyConnection
    source: str
    time: str
    weight: str

    @property
    def count(self) -> str:
        return f"sum({self.weight})" if self.weight else "count(*)"

    def moments(
        self, numeric: Mapping[str, Scale], named: Mapping[str, Vocabulary], columns: Mapping[str, Column]
    ) -> list[Row]:
        """Return rows, missing values, sums about the centre, minimum and maximum of each feature.

        Sums over plain values are quick, and tell by not being finite when a column holds a NaN or
        an infinity: only such columns are asked again, with care.
        """
        parts = {name: self._plain(columns[name].sql, how.center) for name, how in numeric.items()}
        found = self._select(parts)
        careful = {cast("str", name) for _, name, *cells in found if not _is_finite(cells[5:7])}
        if careful:
            found = [row for row in found if row[1] not in careful]
            found += self._select({n: self._careful(columns[n].sql, numeric[n].center) for n in careful})
        nulls = {name: [self._missing(f"{columns[name].sql} IS NULL"), *_NO_MOMENTS] for name in named}
        return [*found, *self._select(nulls)]

    def _plain(self, column: str, center: float) -> list[str]:
        x = f"CAST({column} AS DOUBLE)"
        w = f"{self.weight} * " if self.weight else ""
        shifted = f"({x} - ({center!r}))"
        missing = self._missing(f"{column} IS NULL") if self.weight else f"count(*) - count({column})"
        return [missing, "0", f"sum({w}{shifted})", f"sum({w}{shifted} * {shifted})", f"min({x})", f"max({x})"]

    def _careful(self, column: str, center: float) -> list[str]:
        x = f"CAST({column} AS DOUBLE)"
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

    def _by(self, *names: str) -> str:
        """Return the GROUP BY clause: a constant bucket in it would cost as much as the counting."""
        keys = [*(["bucket"] if self.time else []), *names]
        return f" GROUP BY {', '.join(keys)}" if keys else ""

    def _missing(self, condition: str) -> str:
        return f"sum(CASE WHEN {condition} THEN {self.weight or 1} ELSE 0 END)"

    def _select(self, parts: Mapping[str, list[str]]) -> list[Row]:
        if not parts:
            return []
        selected = ", ".join(", ".join(part) for part in parts.values())
        sql = f"SELECT {self.time or 0} AS bucket, {self.count}, {selected} FROM {self.source}{self._by()}"
        return [
            (row[0], name, "moments", None, row[1], *row[2 + 6 * n : 8 + 6 * n])
            for row in rows(self.connection, sql)
            for n, name in enumerate(parts)
        ]

    def bins(self, name: str, how: Scale, column: str) -> list[Row]:
        """Return the weight of each bin; what is missing or not finite is in none."""
        binned = printed(value_bin(f"CAST({column} AS DOUBLE)", how.center, how.scale))
        counts = rows(
            self.connection,
            f"SELECT {self.time or 0} AS bucket, {binned} AS bin, {self.count} AS n"
            f" FROM {self.source}{self._by('bin')}",
        )
        found: dict[tuple[object, int], float] = {}
        for start, place, count in cast("list[tuple[object, float | None, float]]", counts):
            if place is not None and place == place:  # noqa: PLR0124 — NaN is what differs from itself
                key = (start, min(int(place), VALUE_BINS - 1))
                found[key] = found.get(key, 0.0) + count
        return [_counted(start, name, "bin", str(place), count) for (start, place), count in found.items()]

    def values(self, name: str, how: Vocabulary, column: str) -> list[Row]:
        """Return the weight of each named value, of other values seen before, and of unseen ones.

        Rows are counted by value first: naming is then done once a value, not once a row.
        """
        text = f"CAST({column} AS VARCHAR)"
        picked = f"{self.time or 0} AS bucket, {text} AS value, {self.count} AS n"
        inner = f"SELECT {picked} FROM {self.source}{self._by('value')}"
        counts = rows(
            self.connection,
            f"SELECT bucket, {_label(how)} AS label, sum(n) FROM ({inner}) AS counted"
            " WHERE value IS NOT NULL GROUP BY ALL",
        )
        return [_counted(start, name, "value", cast("str", label), cast("float", n)) for start, label, n in counts]


_NO_MOMENTS = ("0", "0.0", "0.0", "NULL", "NULL")


def _label(how: Vocabulary) -> str:
    """Return SQL for what a value is counted as: itself, one seen before, or a new one."""
    named = ", ".join(literal(value) for value in how.named)
    seen = ", ".join(literal(value) for value in how.seen)
    cases = f" WHEN value IN ({named}) THEN value" if how.named else ""
    cases += f" WHEN value IN ({seen}) THEN {literal(OTHER)}" if how.seen else ""
    return f"CASE{cases} ELSE {literal(UNSEEN)} END" if cases else literal(UNSEEN)


def _is_finite(sums: Sequence[object]) -> bool:
    return all(value is None or math.isfinite(cast("float", value)) for value in sums)


def _counted(start: object, feature: str, part: str, label: str, count: float) -> Row:
    return (start, feature, part, label, count, 0, 0, 0, 0, None, None)


def _bucketed(column: str, bucket_seconds: int) -> str:
    return printed(bucket(column, bucket_seconds)) if bucket_seconds else "CAST(0 AS BIGINT)"
