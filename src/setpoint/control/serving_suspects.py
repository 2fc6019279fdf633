"""What happened around the model: prices, retries, waits, caches, thresholds, and how outcomes come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from setpoint.control.suspects import Suspect
from setpoint.control.symptoms import Shift
from setpoint.core.guardrail import LATENCY
from setpoint.store.cause_rows import TABLE
from setpoint.store.engines.duck import literal, rows
from setpoint.store.evidence import RowEvidence

_COSTS = {"cost_per_prediction_usd", "cost_per_success_usd", "spend_usd"}
_PRICE_MOVED = 0.02
_MOVED = 0.02


def serving(evidence: RowEvidence, shift: Shift) -> Iterator[Suspect]:
    """Yield what may have changed a symptom without any row being another."""
    metric = shift.symptom.metric
    if metric in _COSTS:
        yield from _prices(evidence, shift)
        yield from _retries(evidence, shift, "cost_usd - coalesce(retry_usd, 0)")
        yield from _cache(evidence, shift)
    elif LATENCY.fullmatch(metric) or metric == "latency_seconds":
        without = "greatest(latency_seconds - coalesce(retry_seconds, 0), 1e-6)"
        yield from _retries(evidence, shift, f"ln({without})" if LATENCY.fullmatch(metric) else without)
        yield from _upstream(evidence, shift)
        yield from _cache(evidence, shift)
    elif metric == "outcome_ratio":
        yield from _delay(evidence, shift)
    elif "success" in shift.symptom.value or "decision" in shift.symptom.value:
        yield from _threshold(evidence, shift)


def _two(evidence: RowEvidence, shift: Shift, sql: str) -> tuple[float | None, float | None]:
    """Return an aggregate of the rows before the change, and of those since."""
    turn = shift.current.start
    found = rows(
        evidence.connection, f"SELECT {sql} FILTER (moment < {turn}), {sql} FILTER (moment >= {turn}) FROM {TABLE}"
    )[0]
    return cast("tuple[float | None, float | None]", found)


def _prices(evidence: RowEvidence, shift: Shift) -> Iterator[Suspect]:
    turn = shift.current.start
    own = "(cost_usd - coalesce(retry_usd, 0)) / nullif(tokens, 0)"
    found = rows(
        evidence.connection,
        f"SELECT provider_model, median({own}) FILTER (moment < {turn}), median({own}) FILTER (moment >= {turn})"
        f" FROM {TABLE} WHERE coalesce(attempts, 1) = 1 AND NOT coalesce(is_cached, false) GROUP BY 1 ORDER BY 1",
    )
    for model, before, after in cast("list[tuple[str | None, float | None, float | None]]", found):
        if before and after and abs(after / before - 1.0) > _PRICE_MOVED:
            said = f"a token of {model or 'the provider'} costs {after / before:.2f} times what it did"
            which = "provider_model IS NULL" if model is None else f"provider_model = {literal(model)}"
            restored = f"CASE WHEN {which} THEN cost_usd * {before / after!r} ELSE cost_usd END"
            yield Suspect("price", model or "", said, restored=restored)


def _retries(evidence: RowEvidence, shift: Shift, restored: str) -> Iterator[Suspect]:
    before, after = _two(evidence, shift, "avg(CAST(attempts > 1 AS DOUBLE))")
    if after is not None and after > 2.0 * (before or 0.0) + _MOVED:
        said = f"{after:.0%} of the rows needed another attempt, before {before or 0.0:.0%}"
        yield Suspect("retries", "", said, restored=restored)


def _cache(evidence: RowEvidence, shift: Shift) -> Iterator[Suspect]:
    before, after = _two(evidence, shift, "avg(CAST(coalesce(is_cached, false) AS DOUBLE))")
    if before and after is not None and after < before - _MOVED:
        said = f"{after:.0%} of the rows were answered from the cache, before {before:.0%}"
        told = f"{(1.0 - before) / (1.0 - after)!r}"
        hit = f"{before / after!r}" if after else "0.0"
        weight = f"CASE WHEN coalesce(is_cached, false) THEN {hit} ELSE {told} END"
        if after:
            yield Suspect("cache_broken", "", said, reweighted=weight)
        elif shift.symptom.metric in _COSTS:  # what would have been known would have cost nothing
            yield Suspect("cache_broken", "", said, restored=f"cost_usd * {told}")
        else:
            yield Suspect("cache_broken", "", said, where="NOT coalesce(is_cached, false)")


def _upstream(evidence: RowEvidence, shift: Shift) -> Iterator[Suspect]:
    before, after = _two(evidence, shift, "avg(upstream_seconds - coalesce(retry_seconds, 0))")
    if before is not None and after is not None and after > 1.1 * before:
        said = f"upstream takes {after * 1000:.0f} ms, before {before * 1000:.0f} ms"
        rest = "latency_seconds - coalesce(upstream_seconds - coalesce(retry_seconds, 0), 0)"
        slower = f"coalesce(upstream_seconds - coalesce(retry_seconds, 0), 0) * {before / after!r}"
        restored = f"greatest({rest} + {slower}, 1e-6)"
        told = f"ln({restored})" if shift.symptom.value.startswith("ln") else restored
        yield Suspect("upstream_slow", "", said, restored=told)


def _threshold(evidence: RowEvidence, shift: Shift) -> Iterator[Suspect]:
    """The score from which on the answer is yes, where decisions follow the scores: read off the rows."""
    first, last, kept = rows(
        evidence.connection,
        f"SELECT quantile_cont(score, 0.005) FILTER (decision = 1), quantile_cont(score, 0.995) FILTER (decision = 0),"
        f" count(*) FROM {TABLE} WHERE moment < {shift.surely_before} AND score IS NOT NULL AND decision IS NOT NULL",
    )[0]
    if first is None or last is None or not kept:
        return
    old = (cast("float", first) + cast("float", last)) / 2.0
    if abs(cast("float", first) - cast("float", last)) > 5 * _MOVED:
        return
    by_score = f"CAST(score >= {old!r} AS DOUBLE)"
    before, after = _two(evidence, shift, f"avg(CAST({by_score} <> decision AS DOUBLE))")
    if after is not None and after > 2.0 * (before or 0.0) + _MOVED:
        said = f"{after:.0%} of the scores are answered otherwise than by the threshold of before, {old:.2f}"
        restored = f"CASE WHEN outcome_number IS NOT NULL THEN CAST({by_score} = outcome_number AS DOUBLE) END"
        yield Suspect("threshold_changed", "", said, restored=restored)


def _delay(evidence: RowEvidence, shift: Shift) -> Iterator[Suspect]:
    before, after = _two(evidence, shift, "median(outcome_age)")
    if before and after and after > 1.2 * before:
        said = f"outcomes take {after / 3600:.3g} hours, before {before / 3600:.3g}"
        came = f"CASE WHEN ({shift.symptom.value}) IS NOT NULL THEN CAST(outcome_age IS NOT NULL AS DOUBLE) END"
        yield Suspect("outcome_delay", "", said, restored=came)
