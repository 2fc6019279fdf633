"""What a guardrail measures: its value now, and whether that is beyond the red line by more than chance explains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np

from setpoint.core.clock import QUARTER_HOUR
from setpoint.core.events import STAGE
from setpoint.core.guardrail import COUNTED_METRICS, LATENCY, Guardrail
from setpoint.core.metric import QUALITY_METRICS, Metric, number
from setpoint.core.window import Window
from setpoint.feedback.quality import quality_metric
from setpoint.predictions.meter import latency
from setpoint.predictions.spending import cost_per_success
from setpoint.stats.betting import likeliest_start, log_wealth
from setpoint.stats.bins import log_bin_edges
from setpoint.stats.estimate import Estimate, Z
from setpoint.stats.intervals import mean, wilson
from setpoint.stats.special import FloatArray
from setpoint.store.engines.duck import at, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable

RISK = 0.001
"""The chance that a model that keeps to its red line is ever found beyond it within one window."""
_SURE = 3.290526731491895
"""The standard normal quantile at 1 - RISK / 2."""
_GOALS = (0.05, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a guardrail sees.

    Attributes:
        metric: The value with its interval, or why it is unknown.
        is_crossed: Whether it is beyond the red line, by more than chance explains.
        is_well: Whether the value itself is on the right side.
        since: Since when it is likely to be beyond, microseconds; the start of the window when that cannot be told.
    """

    metric: Metric
    is_crossed: bool
    is_well: bool
    since: int

    @property
    def said(self) -> str:
        """The value in words."""
        return self.metric.text()


def read(evidence: RowEvidence, guardrail: Guardrail, now: int) -> Reading:
    """Return what a guardrail on a metric sees in the window up to now.

    Ratios and quantiles of latency are tested by a bet on each quarter of an hour, which may be looked at as often as
    one likes; other metrics by a one-sided interval at 99.9 %. Assumes that requests fail one by one.

    Args:
        evidence: The model's states.
        guardrail: With a metric.
        now: Microseconds.
    """
    window = Window(now - guardrail.over, now)
    counted = LATENCY.fullmatch(guardrail.metric)
    if guardrail.metric in COUNTED_METRICS or counted:
        return _counted(evidence, guardrail, window)
    metric = _measured(evidence, guardrail, window)
    if metric.value is None:
        return Reading(metric, is_crossed=False, is_well=False, since=window.start)
    line = cast("float", guardrail.red_line)
    side = 1.0 if guardrail.above is not None else -1.0
    near = metric.low if side > 0 else metric.high
    room = 0.0 if near is None else abs(metric.value - near) * _SURE / Z
    beyond = side * (metric.value - line)
    return Reading(metric, is_crossed=beyond > room, is_well=beyond <= 0.0, since=window.start)


def unfed(evidence: RowEvidence, guardrail: Guardrail, now: int) -> str:
    """Return in words why a guardrail watches nothing; empty when it watches something."""
    if guardrail.finding:
        return ""
    if guardrail.cohort:
        if guardrail.cohort not in evidence.cohorts:
            return f"no cohort is called {guardrail.cohort}"
        if guardrail.value not in evidence.told_apart(guardrail.cohort):
            return f"{guardrail.cohort} {guardrail.value} never occurred"
    metric = read(evidence, guardrail, now).metric
    return "" if metric.value is not None else f"nothing feeds {guardrail.metric}: {metric.unknown}"


def _counted(evidence: RowEvidence, guardrail: Guardrail, window: Window) -> Reading:
    """Return what a guardrail on something that happens or does not sees."""
    starts, hits, asked, limit, shown = _buckets(evidence, guardrail, window)
    total = asked.sum()
    if not total:
        metric = Metric(guardrail.metric, None, None, None, "share", "lower", 0, "no request in this window")
        return Reading(metric, is_crossed=False, is_well=False, since=window.start)
    has_any = asked > 0
    starts, hits, asked = starts[has_any], hits[has_any], asked[has_any]
    if guardrail.below is not None:  # of what must not be rarer, the others must not be more frequent
        hits, limit = asked - hits, 1.0 - limit
    ratio = float(hits.sum() / total)
    usual = np.full(len(asked), max(limit, 1e-9))
    wealth = log_wealth(hits, asked, usual, _GOALS, len(asked))
    is_crossed = ratio > limit and float(wealth[-1]) >= math.log(1 / RISK)
    since = int(starts[likeliest_start(hits, asked, usual, _GOALS)])
    return Reading(shown, is_crossed=is_crossed, is_well=ratio <= limit, since=since)


def _buckets(
    evidence: RowEvidence, guardrail: Guardrail, window: Window
) -> tuple[np.ndarray, FloatArray, FloatArray, float, Metric]:
    """Return quarters of an hour, how often it happened in each, of how many, how often it may, and the metric."""
    seconds = QUARTER_HOUR // 1_000_000
    state = evidence.traffic(window, bucket_seconds=seconds).without(role="shadow").without(role=STAGE)
    starts = np.array([int(cast("int", one)) for one in state.key("bucket")], dtype=np.int64)
    order = np.unique(starts)
    line = cast("float", guardrail.red_line)
    found = LATENCY.fullmatch(guardrail.metric)
    if found:
        waits = state.only(measure="latency")
        middles = _middles(waits)
        hits = _summed(waits, order, middles > line)
        asked = _summed(waits, order, middles > -1.0)
        probability = int(found[1]) / 100
        # A quantile is above a limit when more than the rest is.
        return order, hits, asked, 1.0 - probability, latency(evidence.traffic(window), probability)
    requests = state.only(measure="requests")
    asked = _summed(requests, order, np.ones(len(requests), dtype=np.bool_))
    if guardrail.metric == "error_ratio":
        errors = state.only(measure="errors")
        hits = _summed(errors, order, np.ones(len(errors), dtype=np.bool_))
    else:
        hits = _violations(evidence, window, order, seconds)
    told = (
        wilson(min(float(hits.sum()), float(asked.sum())), float(asked.sum()))
        if asked.sum()
        else Estimate.unknown("no request in this window")
    )
    metric = Metric(guardrail.metric, told.value, told.low, told.high, "share", "lower", int(asked.sum()), told.reason)
    return order, np.minimum(hits, asked), asked, line, metric


def _middles(state: StateTable) -> FloatArray:
    index = np.array([int(cast("str", key)) for key in state.key("bin")], dtype=np.int64)
    low, high = log_bin_edges(index)
    return (low + high) / 2.0


def _summed(state: StateTable, order: np.ndarray, chosen: np.ndarray) -> FloatArray:
    starts = np.array([int(cast("int", one)) for one in state.key("bucket")], dtype=np.int64)
    place = np.searchsorted(order, starts[chosen])
    return np.bincount(place, weights=state.column("amount")[chosen], minlength=len(order)).astype(np.float64)


def _violations(evidence: RowEvidence, window: Window, order: np.ndarray, seconds: int) -> FloatArray:
    step = seconds * 1_000_000
    found = rows(
        evidence.connection,
        f"SELECT epoch_us(predicted_at) // {step} * {step}, count(*) FROM predictions"
        f" WHERE parent_id IS NULL AND contract_violations IS NOT NULL AND predicted_at >= {at(window.start)}"
        f" AND predicted_at < {at(window.end)} GROUP BY 1",
    )
    told = dict(cast("list[tuple[int, int]]", found))
    return np.array([told.get(int(start), 0) for start in order], dtype=np.float64)


def _measured(evidence: RowEvidence, guardrail: Guardrail, window: Window) -> Metric:
    """Return a metric of quality or money."""
    name, model = guardrail.metric, evidence.model
    if name == "spend_usd":
        return _spent(evidence.spending(window))
    roots = _roots(evidence, guardrail, window)
    if name == "cost_per_success_usd":
        return cost_per_success(roots, model)
    if name == "cost_per_prediction_usd":
        return _cost(roots)
    known = [one.name for one in QUALITY_METRICS[model.task]]
    if name not in known:
        why = f"no metric of a {model.task} model: {', '.join(known)}"
        return Metric(name, None, None, None, "ratio", "none", 0, why)
    return quality_metric(roots, model, name, outcome_shift=evidence.definition.outcome_shift)


def _roots(evidence: RowEvidence, guardrail: Guardrail, window: Window) -> StateTable:
    """Return the quality state of what the guardrail is about."""
    if guardrail.cohort in FIXED:
        return evidence.quality(window).only(**{guardrail.cohort: guardrail.value}).only(is_root=True)
    state = evidence.quality(window, cohort=guardrail.cohort)
    return (state.only(cohort_value=guardrail.value) if guardrail.cohort else state).only(is_root=True)


FIXED = ("version", "endpoint")


def _spent(spending: StateTable) -> Metric:
    rows_total, unpriced = int(spending.total("rows")), spending.total("unpriced")
    why = f"{unpriced:,.0f} calls have no price" if unpriced else ""
    return Metric("spend_usd", None if why else spending.total("usd"), None, None, "usd", "lower", rows_total, why)


def _cost(roots: StateTable) -> Metric:
    weight, unpriced = roots.total("weight"), roots.total("unpriced")
    told = Estimate.unknown(f"{unpriced:,.0f} of {weight:,.0f} predictions have no known price")
    if weight and not unpriced:
        told = mean(roots.total("cost"), roots.total("cost_squares"), weight, roots.total("weight_squares"))
    rows_total = int(roots.total("rows"))
    return Metric("cost_per_prediction_usd", told.value, told.low, told.high, "usd", "lower", rows_total, told.reason)


def line_text(guardrail: Guardrail, metric: Metric) -> str:
    """Return the red line in words, such as `above 5.0 %`."""
    side = "above" if guardrail.above is not None else "below"
    return f"{side} {number(cast('float', guardrail.red_line), metric.unit)}"
