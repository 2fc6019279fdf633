"""What a guardrail measures: its value now, and whether that is beyond the red line by more than chance explains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from setpoint.control.event_counts import RISK, counted_events, events_in, flagged
from setpoint.core.clock import HOUR, MICROS
from setpoint.core.guardrail import COUNTED_METRICS, FLAGGED, LATENCY, SPEND, Guardrail
from setpoint.core.metric import QUALITY_METRICS, Metric, number
from setpoint.core.window import Window
from setpoint.feedback.quality import quality_metric
from setpoint.predictions.meter import latency
from setpoint.predictions.spending import cost_per_success
from setpoint.stats.estimate import Estimate, Z
from setpoint.stats.intervals import mean
from setpoint.stats.special import normal_quantile
from setpoint.store.cohort_traffic import cohort_traffic
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable


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


def read_each(evidence: RowEvidence, guardrail: Guardrail, now: int) -> Iterator[tuple[Guardrail, Reading]]:
    """Yield a guardrail on a metric, or that of each value of its cohort, with what it sees; see `read`."""
    each = _each(evidence, guardrail, now)
    state = _rows(evidence, guardrail, Window(now - guardrail.over, now)) if len(each) > 1 else None
    for one in each:
        yield one, read(evidence, one, now, among=len(each), state=state)


def _each(evidence: RowEvidence, guardrail: Guardrail, now: int) -> list[Guardrail]:
    """Return a guardrail, or that of each value of its cohort: at most 50 in the window up to now, and crossed ones."""
    if not guardrail.cohort or guardrail.value or guardrail.cohort not in evidence.cohorts:
        return [guardrail]
    told = evidence.told_apart(guardrail.cohort, Window(now - guardrail.over, now))
    crossed = [one.subject for one in evidence.open_findings() if guardrail.is_about(one.subject)]
    names = dict.fromkeys([*told, *(subject.removeprefix(f"{guardrail.name}: ") for subject in crossed)])
    return [guardrail.of_value(value) for value in names]


def read(
    evidence: RowEvidence, guardrail: Guardrail, now: int, *, among: int = 1, state: StateTable | None = None
) -> Reading:
    """Return what a guardrail on a metric sees in the window up to now.

    Ratios and quantiles of latency are tested by a bet on each quarter of an hour, which may be looked at as often as
    one likes; other metrics by a one-sided interval at 99.9 %. Values of a cohort share the risk. Assumes that requests
    fail one by one.

    Args:
        evidence: The model's states.
        guardrail: With a metric.
        now: Microseconds.
        among: How many values of its cohort are read beside each other.
        state: The state of all of these, when it was read already.
    """
    window, risk = Window(now - guardrail.over, now), RISK / among
    if guardrail.metric == FLAGGED or _is_of_traffic(guardrail):
        return _counted(evidence, guardrail, window, risk, state)
    metric = _measured(evidence, guardrail, window, state)
    if metric.value is None:
        return Reading(metric, is_crossed=False, is_well=False, since=window.start)
    line = cast("float", guardrail.red_line)
    side = 1.0 if guardrail.above is not None else -1.0
    near = metric.low if side > 0 else metric.high
    sure = float(normal_quantile(np.array([1.0 - risk / 2.0]))[0])
    room = 0.0 if near is None else abs(metric.value - near) * sure / Z
    beyond = side * (metric.value - line)
    return Reading(metric, is_crossed=beyond > room, is_well=beyond <= 0.0, since=window.start)


def unfed(evidence: RowEvidence, guardrail: Guardrail, now: int) -> str:
    """Return in words why a guardrail watches nothing; empty when it watches something."""
    if guardrail.finding:
        return ""
    if guardrail.cohort:
        if guardrail.cohort not in evidence.cohorts:
            return f"no cohort is called {guardrail.cohort}"
        if guardrail.value and guardrail.value not in evidence.told_apart(guardrail.cohort):
            return f"{guardrail.cohort} {guardrail.value} never occurred"
        if not guardrail.value:  # what no row says, no value of the cohort does
            guardrail = replace(guardrail, cohort="")
    metric = read(evidence, guardrail, now).metric
    return "" if metric.value is not None else f"nothing feeds {guardrail.metric}: {metric.unknown}"


def _counted(
    evidence: RowEvidence, guardrail: Guardrail, window: Window, risk: float, state: StateTable | None
) -> Reading:
    """Return what a guardrail on something that happens or does not sees."""
    limit = line = cast("float", guardrail.red_line)
    found = LATENCY.fullmatch(guardrail.metric)
    own = None
    if guardrail.metric == FLAGGED or guardrail.cohort:
        own = _own(guardrail, _rows(evidence, guardrail, window) if state is None else state)
    if own is None:
        counts = counted_events(evidence, guardrail.metric, line, window)
    else:
        counts = flagged(own) if guardrail.metric == FLAGGED else events_in(own, guardrail.metric, line)
    if found:
        # A quantile is above a limit when more than the rest is.
        limit = 1.0 - int(found[1]) / 100
        metric = latency(evidence.traffic(window) if own is None else own, int(found[1]) / 100)
    else:
        told, better = counts.ratio, "none" if guardrail.metric == FLAGGED else "lower"
        metric = Metric(
            guardrail.metric, told.value, told.low, told.high, "share", better, int(counts.total), told.reason
        )
    if not counts.total:
        return Reading(metric, is_crossed=False, is_well=False, since=window.start)
    if guardrail.below is not None:  # of what must not be rarer, the others must not be more frequent
        counts, limit = counts.others, 1.0 - limit
    is_well = cast("float", counts.ratio.value) <= limit
    is_crossed = not is_well and counts.is_beyond(limit, risk=risk)
    return Reading(metric, is_crossed=is_crossed, is_well=is_well, since=counts.since(limit))


def _measured(evidence: RowEvidence, guardrail: Guardrail, window: Window, state: StateTable | None) -> Metric:
    """Return a metric of quality or money."""
    name, model = guardrail.metric, evidence.model
    if name == SPEND:
        return _spent(evidence.spending(window))
    roots = _own(guardrail, _rows(evidence, guardrail, window) if state is None else state)
    if name == "cost_per_success_usd":
        return cost_per_success(roots, model)
    if name == "cost_per_prediction_usd":
        return _cost(roots)
    known = [one.name for one in QUALITY_METRICS[model.task]]
    if name not in known:
        why = f"no metric of a {model.task} model: {', '.join(known)}"
        return Metric(name, None, None, None, "ratio", "none", 0, why)
    return quality_metric(roots, model, name, outcome_shift=evidence.definition.outcome_shift)


def _is_of_traffic(guardrail: Guardrail) -> bool:
    return guardrail.metric in COUNTED_METRICS or LATENCY.fullmatch(guardrail.metric) is not None


def _rows(evidence: RowEvidence, guardrail: Guardrail, window: Window) -> StateTable:
    """Return the state that a guardrail and each value of its cohort are parts of; of flags it is by hour."""
    if _is_of_traffic(guardrail):
        return cohort_traffic(evidence, guardrail.cohort, window)
    seconds = HOUR // MICROS if guardrail.metric == FLAGGED else 0
    cohort = "" if guardrail.cohort in FIXED else guardrail.cohort
    return evidence.quality(window, cohort=cohort, bucket_seconds=seconds).only(is_root=True)


def _own(guardrail: Guardrail, state: StateTable) -> StateTable:
    if not guardrail.cohort:
        return state
    is_split = guardrail.cohort not in FIXED or _is_of_traffic(guardrail)
    return state.only(**{"cohort_value" if is_split else guardrail.cohort: guardrail.value})


FIXED = ("version", "endpoint")


def _spent(spending: StateTable) -> Metric:
    rows_total, unpriced = int(spending.total("rows")), spending.total("unpriced")
    why = f"{unpriced:,.0f} calls have no price" if unpriced else ""
    return Metric(SPEND, None if why else spending.total("usd"), None, None, "usd", "lower", rows_total, why)


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
