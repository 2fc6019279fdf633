"""What a guardrail measures: its value now, and whether that is beyond the red line by more than chance explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from setpoint.control.event_counts import counted_events
from setpoint.core.guardrail import COUNTED_METRICS, LATENCY, Guardrail
from setpoint.core.metric import QUALITY_METRICS, Metric, number
from setpoint.core.window import Window
from setpoint.feedback.quality import quality_metric
from setpoint.predictions.meter import latency
from setpoint.predictions.spending import cost_per_success
from setpoint.stats.estimate import Estimate, Z
from setpoint.stats.intervals import mean
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable

_SURE = 3.290526731491895
"""The standard normal quantile at 1 - RISK / 2."""


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
    line = cast("float", guardrail.red_line)
    counts, limit = counted_events(evidence, guardrail.metric, line, window), line
    if found := LATENCY.fullmatch(guardrail.metric):
        # A quantile is above a limit when more than the rest is.
        limit = 1.0 - int(found[1]) / 100
        metric = latency(evidence.traffic(window), int(found[1]) / 100)
    else:
        told = counts.ratio
        metric = Metric(
            guardrail.metric, told.value, told.low, told.high, "share", "lower", int(counts.total), told.reason
        )
    if not counts.total:
        return Reading(metric, is_crossed=False, is_well=False, since=window.start)
    if guardrail.below is not None:  # of what must not be rarer, the others must not be more frequent
        counts, limit = counts.others, 1.0 - limit
    is_well = cast("float", counts.ratio.value) <= limit
    is_crossed = not is_well and counts.is_beyond(limit)
    return Reading(metric, is_crossed=is_crossed, is_well=is_well, since=counts.since(limit))


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
