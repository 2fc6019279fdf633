"""The states that are kept of every window, and the queries that make most of them from rows.

Four kinds: traffic (from tallies), quality (score bin × decision × outcome, with costs), profile
(moments, bins and values of each feature) and spending (calls and rates). Quality and profile are
also kept by cohort, one table a cohort: then `cohort_value` is set. A query groups by time bucket,
or by nothing when the bucket is 0 seconds long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from setpoint.core.events import CACHE
from setpoint.core.model import Model, Task
from setpoint.core.prices import INPUT_CLASSES, OUTPUT_CLASSES, TOKEN_CLASSES
from setpoint.core.window import Window
from setpoint.store.engines.duck import at, literal, rows
from setpoint.store.matching import Matching, examples, family_costs
from setpoint.store.primitives import (
    brier_loss,
    bucket,
    latency_bin,
    log_loss,
    printed,
    score_bin,
)
from setpoint.store.quality_kinds import quality_kind
from setpoint.store.states import StateKind, StateTable

TRAFFIC = StateKind(
    "traffic",
    ("bucket", "version", "endpoint", "role", "measure", "feature", "bin"),
    ("amount",),
)
PROFILE = StateKind(
    "profile",
    ("bucket", "cohort_value", "feature", "part", "bin"),
    ("rows", "missing", "infinite", "shifted", "shifted_squares", "weight_squares"),
    ("minimum",),
    ("maximum",),
)
SPENDING = StateKind(
    "spending",
    ("bucket", "version", "endpoint", "role", "line"),
    ("rows", "usd", "unpriced", "input_tokens", "output_tokens"),
)


@dataclass(frozen=True, slots=True)
class Column:
    """A feature as it stands in the predictions view.

    Attributes:
        sql: How it is read: a field of the struct, or a flat column of a file.
        kind: Its SQL type.
        is_text: Whether its values look like free text; a declared kind decides first.
    """

    sql: str
    kind: str
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """Where the bins of a numeric feature lie."""

    center: float
    scale: float


@dataclass(frozen=True, slots=True)
class Words(Scale):
    """Where the bins of a text's share of new words lie, and which words are not new; see `texts`."""

    known: bytes


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


OTHER, UNSEEN = "\x02other", "\x02unseen"
NO_VALUE = "(none)"
COHORT_VALUES = 50


def query_quality(
    connection: duckdb.DuckDBPyConnection,
    matching: Matching,
    definition: Definition,
    *,
    cohorts: Sequence[str] = ("",),
    time: str = "",
) -> dict[str, StateTable]:
    """Return the quality state of a window from rows for each cohort.

    Args:
        connection: Where the views are.
        matching: What examples are made from.
        definition: What regression's outcomes are summed about.
        cohorts: Their names; the empty one is all rows.
        time: SQL of the bucket that a row belongs to; empty for none.
    """
    kind = quality_kind(matching.model)
    source = f"({examples(matching)})"
    cost = "e.cost_usd"
    if matching.has_children:
        source += f" AS e LEFT JOIN ({family_costs(matching)}) AS f ON f.root_id = e.root_id"
        cost = "CASE WHEN e.is_root THEN f.family_cost_usd ELSE e.cost_usd END"
    else:
        source += " AS e"
    parts = _parts(matching.model, cost, definition)
    return query_grouped(connection, kind, source, matching, *parts, cohorts=cohorts, time=time)


def _parts(model: Model, cost: str, definition: Definition) -> tuple[dict[str, str], list[str]]:
    """Return SQL of the keys and of the sums of a model's quality state."""
    match model.task:
        case Task.BINARY:
            return _binary(cost)
        case Task.REGRESSION:
            return _regression(cost, definition.outcome_shift)
        case Task.MULTICLASS:
            return _multiclass(cost)
        case Task.RANKING:
            return _ranking(cost)
        case Task.GENERATION:
            return _generation(cost, model)


def query_grouped(
    connection: duckdb.DuckDBPyConnection,
    kind: StateKind,
    source: str,
    matching: Matching,
    keys: Mapping[str, str],
    sums: Sequence[str],
    *,
    cohorts: Sequence[str],
    time: str,
) -> dict[str, StateTable]:
    """Return the states of rows for each cohort, in one query.

    Args:
        connection: Where the views are.
        kind: What is counted.
        source: The rows, with `cohort_N` for each cohort of the matching.
        matching: What the rows are made from.
        keys: SQL of the kind's keys that are no column of the same name.
        sums: SQL of the kind's values, in order.
        cohorts: Their names; the empty one is all rows.
        time: SQL of the bucket that a row belongs to; empty for none.
    """
    places = [name for name, _ in matching.cohorts]
    columns = [f"cohort_{places.index(name)}" if name else "" for name in cohorts]
    told = {"bucket": time or "CAST(0 AS BIGINT)", "cohort_value": value_of(columns), **keys}
    selected = ", ".join(f"{told.get(name, name)} AS key_{name}" for name in kind.keys)
    grouped = [f"key_{name}" for name in kind.keys if name != "cohort_value"]
    found = rows(
        connection,
        f"SELECT {which(columns)}, {selected}, {', '.join(sums)} FROM {source} GROUP BY {grouping(grouped, columns)}",
    )
    return {name: StateTable.of(kind, (row[1:] for row in found if row[0] == n)) for n, name in enumerate(cohorts)}


def which(columns: Sequence[str]) -> str:
    """Return SQL for the number of the cohort that a grouping set is about; an empty column is no cohort."""
    cases = "".join(f" WHEN GROUPING({column}) = 0 THEN {n}" for n, column in enumerate(columns) if column)
    overall = columns.index("") if "" in columns else "NULL"
    return f"CASE{cases} ELSE {overall} END" if cases else f"{overall}"


def value_of(columns: Sequence[str]) -> str:
    """Return SQL for the value of the cohort that a grouping set is about; null for all rows."""
    cases = "".join(
        f" WHEN GROUPING({column}) = 0 THEN coalesce(CAST({column} AS VARCHAR), {literal(NO_VALUE)})"
        for column in columns
        if column
    )
    return f"CASE{cases} END" if cases else "NULL"


def grouping(grouped: Sequence[str], columns: Sequence[str]) -> str:
    """Return the GROUP BY clause of several cohorts at once; an empty column is no cohort."""
    sets = (", ".join([*grouped, *([column] if column else [])]) for column in columns)
    return f"GROUPING SETS ({', '.join(f'({names})' for names in sets)})"


def _binary(cost: str) -> tuple[dict[str, str], list[str]]:
    keys = {
        "bin": f"CASE WHEN score IS NOT NULL THEN {printed(score_bin('score'))} END",
        "decision": "CAST(decision AS INTEGER)",
        "outcome": "CAST(outcome_number AS INTEGER)",
    }
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


def _multiclass(cost: str) -> tuple[dict[str, str], list[str]]:
    score_bins = printed(score_bin("score"))
    keys = {
        # A quarter of a logit is fine enough for calibration, and there are classes times classes of them.
        "bin": f"CASE WHEN score IS NOT NULL THEN CAST(floor(({score_bins}) / {CONFIDENCE_BINS}.0) AS INTEGER) END",
        "decision": "decision_class",
        "outcome": "outcome_class",
    }
    return keys, [
        *_WEIGHTS,
        "sum(weight * score)",
        "sum(CASE WHEN class_brier IS NOT NULL THEN weight END)",
        *_with_squares("class_brier"),
        *_with_squares("class_log_loss"),
        *_cost_sums(cost),
        _VALUE,
        "min(score)",
        "max(score)",
    ]


CONFIDENCE_BINS = 8
"""Score bins that make one bin of a confidence."""


def _ranking(cost: str) -> tuple[dict[str, str], list[str]]:
    sums = [*_WEIGHTS, *_with_squares("outcome_number"), *_with_squares("recall"), *_cost_sums(cost), _VALUE]
    return _GRADED, sums


def _generation(cost: str, model: Model) -> tuple[dict[str, str], list[str]]:
    judge = "judge_number" if model.judge_kind else "CAST(NULL AS DOUBLE)"
    # Sums of the grade are over all rows that have one; where the judge's is known too is a key.
    judged = f"CASE WHEN {judge} IS NOT NULL THEN CAST({judge} >= {model.success.at_least!r} AS INTEGER) END"
    sums = [*_WEIGHTS, *_with_squares("outcome_number"), *_with_squares(judge)]
    sums += [f"sum(weight * outcome_number * {judge})", *_cost_sums(cost), _VALUE]
    return {**_GRADED, "judged": judged}, sums


_GRADED = {"success": "CAST(is_success AS INTEGER)", "has_outcome": "CAST(has_outcome AS INTEGER)"}


def _with_squares(term: str) -> tuple[str, str]:
    return f"sum(weight * {term})", f"sum(weight * {term} * {term})"


def _regression(cost: str, shift: float) -> tuple[dict[str, str], list[str]]:
    keys = {
        "success": "CAST(is_success AS INTEGER)",
        "has_outcome": "CAST(has_outcome AND decision IS NOT NULL AS INTEGER)",
    }
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


def query_traffic(
    connection: duckdb.DuckDBPyConnection, window: Window | None, *, tallies: str = "tallies", bucket_seconds: int = 0
) -> StateTable:
    """Return the traffic state of a window from tallies, which count every prediction; None is all of them."""
    where = f" WHERE bucket_at >= {at(window.start)} AND bucket_at < {at(window.end)}" if window else ""
    source = f"SELECT {bucketed('bucket_at', bucket_seconds)} AS bucket, * FROM {tallies}{where}"
    who = "bucket, version, endpoint, role"
    parts = [
        f"SELECT {who}, {literal(name)} AS measure, NULL AS feature, 0 AS bin, {name} AS n FROM counted"
        for name in _TOTALS
    ]
    parts += [
        f"SELECT {who}, {literal(measure)}, {key}, entry.value FROM"
        f" (SELECT {who}, unnest(map_entries({column})) AS entry FROM counted)"
        for measure, (column, key) in _COUNTED.items()
    ]
    # One query: to look for the files and to plan takes longer than to count.
    found = rows(
        connection,
        f"WITH counted AS MATERIALIZED ({source}) SELECT {who}, measure, feature, bin, sum(n)"
        f" FROM ({' UNION ALL '.join(parts)}) GROUP BY ALL",
    )
    return StateTable.of(TRAFFIC, found)


def query_tokens(connection: duckdb.DuckDBPyConnection, window: Window, *, bucket_seconds: int = 0) -> StateTable:
    """Return the tokens of each class in the calls of a window, as a part of its traffic: calls are never sampled."""
    who = f"{bucketed('c.called_at', bucket_seconds)} AS bucket, p.version, p.endpoint, coalesce(p.role, u.role)"
    # Counts that contradict each other come out negative: no token was given back.
    sums = ", ".join(f"sum(greatest(c.{name}_tokens, 0))" for name in TOKEN_CLASSES)
    found = rows(
        connection,
        f"SELECT {who}, {sums} FROM calls AS c LEFT JOIN predictions AS p ON p.prediction_id = c.prediction_id"
        f"{_ROLES_OF_UNKEPT} WHERE c.called_at >= {at(window.start)} AND c.called_at < {at(window.end)} GROUP BY ALL",
    )
    told = [
        (*row[:4], "tokens", name, 0, amount)
        for row in found
        for name, amount in zip(TOKEN_CLASSES, row[4:], strict=True)
        if amount
    ]
    return StateTable.of(TRAFFIC, told)


_ROLES_OF_UNKEPT = (
    " LEFT JOIN (SELECT prediction_id, role FROM unkept WHERE role IS NOT NULL) AS u"
    " ON u.prediction_id = c.prediction_id"
)
_TOTALS = ("requests", "errors", "not_kept", "dropped", "unsent", "compute_seconds")
_COUNTED = {
    "latency": ("latency_bins", "NULL, entry.key"),
    "first_chunk": ("first_chunk_bins", "NULL, entry.key"),
    "score": ("score_bins", "NULL, entry.key"),
    "missing": ("missing", "entry.key, 0"),
    "seconds": ("seconds", "entry.key, 0"),
    "machine_seconds": ("machine_seconds", "entry.key, 0"),
    "error_kind": ("error_kinds", "entry.key, 0"),
}
"""By measure, the map that counts it and SQL of the entry's feature and bin."""


def tallies_of_rows(window: Window | None = None) -> str:
    """Return SQL that counts rows as tallies do: for files, and for history that is imported."""
    where = f"WHERE predicted_at >= {at(window.start)} AND predicted_at < {at(window.end)}" if window else ""
    quarter = printed(bucket("predicted_at", 900))
    who = "bucket_at, version, endpoint, role"

    def bins(seconds: str) -> str:
        return f"CASE WHEN {seconds} IS NOT NULL THEN {printed(latency_bin(seconds))} END"

    scores = f"CASE WHEN score BETWEEN 0.0 AND 1.0 THEN {printed(score_bin('score'))} END"
    rows_sql = (
        f"SELECT make_timestamptz({quarter}) AS bucket_at, version, endpoint, role, error,"
        f" left(error, 100) AS error_kind, {', '.join(_PARTS.values())}, {bins('latency_seconds')} AS latency,"
        f" {bins('first_chunk_seconds')} AS first_chunk, {scores} AS score FROM predictions {where}"
    )
    histogram = (
        "(SELECT {who}, map_from_entries(list((v, n))) AS {name} FROM (SELECT {who}, {value} AS v,"
        " count(*) AS n FROM counted WHERE {value} IS NOT NULL GROUP BY ALL) GROUP BY {who})"
    )
    on = " AND ".join(f"{{0}}.{c} IS NOT DISTINCT FROM t.{c}" for c in who.split(", "))
    latency = histogram.format(who=who, name="latency_bins", value="latency")
    first_chunk = histogram.format(who=who, name="first_chunk_bins", value="first_chunk")
    named, values = ", ".join(map(literal, _PARTS)), ", ".join(_PARTS.values())
    seconds = (
        f"(SELECT {who}, map_from_entries(list((part, amount))) AS seconds FROM (SELECT {who}, part, sum(one) AS amount"
        f" FROM (SELECT {who}, unnest([{named}]) AS part, unnest([{values}]) AS one FROM counted"
        f" WHERE latency_seconds IS NOT NULL) WHERE one IS NOT NULL GROUP BY ALL) GROUP BY {who})"
    )
    kinds = histogram.format(who=who, name="error_kinds", value="error_kind")
    score = histogram.format(who=who, name="score_bins", value="score")
    return (
        f"WITH counted AS MATERIALIZED ({rows_sql}), t AS (SELECT {who}, count(*) AS requests, count(error) AS errors,"
        f" sum(compute_seconds) AS compute_seconds FROM counted GROUP BY {who})"
        " SELECT t.*, NULL::VARCHAR AS run_id, CAST(0 AS BIGINT) AS not_kept, CAST(0 AS BIGINT) AS dropped,"
        " CAST(0 AS BIGINT) AS failed, CAST(0 AS BIGINT) AS unsent,"
        " p.seconds, NULL::MAP(VARCHAR, DOUBLE) AS machine_seconds, l.latency_bins,"
        " f.first_chunk_bins, s.score_bins, NULL::MAP(VARCHAR, BIGINT) AS missing, k.error_kinds FROM t"
        f" LEFT JOIN {latency} AS l ON {on.format('l')} LEFT JOIN {first_chunk} AS f ON {on.format('f')}"
        f" LEFT JOIN {score} AS s ON {on.format('s')} LEFT JOIN {kinds} AS k ON {on.format('k')}"
        f" LEFT JOIN {seconds} AS p ON {on.format('p')}"
    )


_PARTS = {
    "latency": "latency_seconds",
    "queue": "queue_seconds",
    "features": "features_seconds",
    "model": "compute_seconds",
    "upstream": "upstream_seconds",
}
"""Column of a row by what a tally calls its seconds."""


def query_spending(
    connection: duckdb.DuckDBPyConnection, window: Window | None, *, has_unkept: bool, bucket_seconds: int = 0
) -> StateTable:
    """Return what was spent in a window by line: calls, retries, and the shadow rows' calls.

    `calls` are never sampled, so these are totals and not estimates. The role of a row that was not
    kept is in `unkept`.
    """
    where = f" WHERE c.called_at >= {at(window.start)} AND c.called_at < {at(window.end)}" if window else ""
    role, unkept = "p.role", ""
    if has_unkept:
        role, unkept = "coalesce(p.role, u.role)", _ROLES_OF_UNKEPT
    who = f"{bucketed('c.called_at', bucket_seconds)} AS bucket, p.version, p.endpoint, {role} AS role"
    line = (
        f"CASE WHEN c.purpose = 'judge' THEN 'judging' WHEN {role} = 'shadow' THEN 'shadow'"
        f" WHEN c.purpose = {literal(CACHE)} THEN 'cached'"
        " WHEN c.attempt > 1 THEN 'retries' ELSE 'calls' END"
    )
    tokens = ", ".join(" + ".join(f"coalesce(sum(greatest(c.{name}, 0)), 0)" for name in names) for names in _TOKENS)
    found = rows(
        connection,
        f"SELECT {who}, {line} AS line, count(*), sum(c.cost_nano_usd) / 1e9, count(*) - count(c.cost_nano_usd),"
        f" {tokens}"
        f" FROM calls AS c LEFT JOIN predictions AS p ON p.prediction_id = c.prediction_id{unkept}"
        f"{where} GROUP BY bucket, p.version, p.endpoint, {role}, line",
    )
    return StateTable.of(SPENDING, found)


_TOKENS = tuple([f"{name}_tokens" for name in classes] for classes in (INPUT_CLASSES, OUTPUT_CLASSES))


def query_joined_spending(
    connection: duckdb.DuckDBPyConnection, window: Window | None, bucket_seconds: int
) -> StateTable:
    """Return the same of rows that have their cost themselves."""
    where = f" AND predicted_at >= {at(window.start)} AND predicted_at < {at(window.end)}" if window else ""
    found = rows(
        connection,
        f"SELECT {bucketed('predicted_at', bucket_seconds)} AS bucket, version, endpoint, role, 'calls', count(*),"
        f" sum(cost_usd), count(*) - count(cost_usd), 0, 0 FROM predictions"
        f" WHERE (SELECT count(cost_usd) > 0 FROM predictions){where} GROUP BY ALL",
    )
    return StateTable.of(SPENDING, found)


def bucketed(column: str, bucket_seconds: int) -> str:
    """Return SQL for the start of a row's time bucket; 0 when its length is."""
    return printed(bucket(column, bucket_seconds)) if bucket_seconds else "CAST(0 AS BIGINT)"
