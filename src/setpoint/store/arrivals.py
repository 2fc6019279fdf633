"""When outcomes arrived, of every declared kind: the state behind delay, completeness and the rates of proxies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import duckdb

from setpoint.core.model import Task
from setpoint.store.engines.duck import literal
from setpoint.store.matching import Matching, latest_outcomes, outcome_age, outcome_number, outcome_of_ranking, windowed
from setpoint.store.measures import query_grouped
from setpoint.store.primitives import age_bin, printed, weight
from setpoint.store.states import StateKind, StateTable

ARRIVALS = StateKind(
    "arrivals",
    ("bucket", "version", "endpoint", "cohort_value", "kind", "age", "outcome"),
    ("rows", "weight", "weight_squares", "value_usd"),
)
"""Root predictions by what is known of them. `outcome` is null while none arrived, else 1 or 0: yes or no, right or
wrong, anything relevant or nothing (a number that a regression is judged by counts as 1). `age` is how old the
prediction was then, null when nobody knows."""


def query_arrivals(
    connection: duckdb.DuckDBPyConnection,
    matching: Matching,
    *,
    cohorts: Sequence[str] = ("",),
    time: str = "",
) -> dict[str, StateTable]:
    """Return the arrivals state of a window from rows for each cohort; see `query_quality`. A file has one kind."""
    model = matching.model
    names = [model.final_kind] if matching.is_joined else [kind.name for kind in model.outcomes]
    source = " UNION ALL ".join(_known(replace(matching, kind=name)) for name in names)
    sums = ("count(*)", "sum(weight)", "sum(weight * weight)", "sum(weight * value_usd)")
    return query_grouped(connection, ARRIVALS, f"({source})", matching, {}, sums, cohorts=cohorts, time=time)


def _known(matching: Matching) -> str:
    """Return SQL for every root prediction with what is known of its outcome of one kind."""
    kind = matching.kind
    is_final = kind == matching.model.final_kind
    is_graded = is_final or kind == matching.model.judge_kind
    outcome = _said(matching) if is_graded else _SAYS_YES
    joins = "" if matching.is_joined else f" LEFT JOIN ({latest_outcomes(matching)}) AS o ON o.root_id = p.root_id"
    cohorts = "".join(f", {sql} AS cohort_{n}" for n, (_, sql) in enumerate(matching.cohorts))
    age = printed(age_bin(outcome_age(matching)))
    return (
        f"SELECT *, CASE WHEN outcome IS NOT NULL THEN any_age END AS age FROM ("
        f"SELECT p.predicted_at, p.version, p.endpoint, {printed(weight())} AS weight, {literal(kind)} AS kind,"
        f" {outcome} AS outcome, {age} AS any_age, {matching.outcome_alias}.value_usd{cohorts}"
        f" FROM predictions AS p{joins} WHERE p.parent_id IS NULL{windowed('p.predicted_at', matching.window)})"
    )


def _said(matching: Matching) -> str:
    """Return SQL of what a final outcome says: whether it is yes, the answered class, or a grade that is enough."""
    model = matching.model
    if model.task is Task.RANKING:
        told = f"CAST({matching.outcome_alias}.outcome AS VARCHAR)"
        relevant = (
            f"CASE WHEN {told} IN ({', '.join(map(literal, _NOTHING))}) THEN 0.0 WHEN {told} IS NOT NULL THEN 1.0 END"
        )
        return f"CAST({outcome_of_ranking(matching, relevant)} AS INTEGER)"
    number = outcome_number(matching)
    if model.task is Task.REGRESSION:
        return f"CASE WHEN {number} IS NOT NULL THEN 1 END"
    return f"CAST({number} >= {float(model.success.at_least)!r} AS INTEGER)"


_NOTHING = ("[]", "{}")

# A proxy that came counts as yes, a complaint whatever it says, unless it says no.
_NO = ("0", "0.0", "false", "no", *_NOTHING)
_SAYS_YES = (
    "CASE WHEN o.root_id IS NULL THEN NULL WHEN lower(CAST(o.outcome AS VARCHAR)) IN"
    f" ({', '.join(literal(word) for word in _NO)}) THEN 0 ELSE 1 END"
)
