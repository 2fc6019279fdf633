"""Quality before outcomes: what a window's outcomes will say if the concept is unchanged, from its scores.

The latest mature days before the window teach how often each score comes true. Every number here is an estimate, is
named so, and decides nothing: `control.estimate_checks` compares it with the truth when that is there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.core.clock import text
from setpoint.core.metric import QUALITY_METRICS, Metric
from setpoint.core.model import Task
from setpoint.core.window import Window, shift_days
from setpoint.feedback.classes import right_or_wrong
from setpoint.feedback.delay import PART, delay
from setpoint.feedback.estimated_losses import estimated_losses
from setpoint.feedback.quality import NO_SCORE
from setpoint.feedback.version_mix import lacks_outcomes, shares_of_versions
from setpoint.stats.estimation import METRICS, Expected, ScoreHistogram, expected_quality
from setpoint.stats.score_map import UNDECIDED, OutcomeHistogram, calibrate, missing_outcomes
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable, merge

REFERENCE_DAYS = 56
"""Mature days that a reference has at most: the latest."""

ASSUMED = "estimate: assumes the concept is unchanged"

Days = Sequence[tuple[int, StateTable]]


@dataclass(frozen=True, slots=True)
class Estimates:
    """The estimated quality of a window.

    Attributes:
        metrics: Named `estimated_auc` ..., each with its interval or what is missing.
        assumed: What they assume, for people.
        reference: The days whose outcomes they were learned from; None without any.
    """

    metrics: tuple[Metric, ...]
    assumed: str
    reference: Window | None


@dataclass(frozen=True, slots=True)
class Reference:
    """The latest days before a window whose outcomes are mature.

    Attributes:
        days: The quality state of each, root rows, by its midnight, oldest first.
        window: From the first to the last; None without any, or without times.
        unknown: Why there is none; empty when there is.
    """

    days: Days
    window: Window | None
    unknown: str = ""


def estimates(evidence: RowEvidence, window: Window | None) -> Estimates:
    """Return what the outcomes of a window will say of its quality, if the concept is unchanged.

    Args:
        evidence: The model's states.
        window: Predictions of this window; None takes all rows, and learns from those with an outcome.
    """
    reference = mature_reference(evidence, window)
    zone = evidence.model.timezone
    since = f" since the outcomes of {reference.window.text(zone)}" if reference.window else ""
    names = _names(evidence.model.task)
    if not names:
        metrics = ()
    elif reference.unknown:
        metrics = all_unknown(names, reference.unknown)
    elif evidence.model.task is Task.REGRESSION:
        metrics = estimated_losses(evidence, window, reference.window)
    else:
        metrics = _estimated(_as_binary(_roots_by_day(evidence, window)), _as_binary(reference.days), names)
    return Estimates(metrics, f"{ASSUMED}{since}", reference.window)


def _names(task: Task) -> tuple[str, ...]:
    return {
        Task.BINARY: METRICS,
        Task.REGRESSION: ("mae", "rmse"),
        Task.MULTICLASS: ("accuracy",),
    }.get(task, ())


def _as_binary(days: Days) -> Days:
    """Return the states of days as those of a yes-or-no model: of classes, whether the answered one is right."""
    is_multiclass = bool(days) and days[0][1].kind.name == "multiclass_quality"
    return [(midnight, right_or_wrong(state)) for midnight, state in days] if is_multiclass else days


def _estimated(days: Days, reference: Days, names: Sequence[str]) -> tuple[Metric, ...]:
    state = merge(days[0][1].kind, [one for _, one in days]) if days else None
    if state is None or not len(state):
        return all_unknown(names, "no prediction in this window")
    if all(key is None for key in state.key("bin")):
        return all_unknown(names, NO_SCORE)
    versions = shares_of_versions(state.key("version"), state.column("weight").tolist())
    known = [(midnight, _of_versions(one, versions)) for midnight, one in reference]
    missing = lacks_outcomes(
        versions, lambda version: missing_outcomes(outcome_histogram([one.only(version=version) for _, one in known]))
    )
    if missing:
        return all_unknown(names, missing)
    learned = outcome_histogram([one for _, one in known])
    expected = expected_quality(score_histogram(state), calibrate(learned), days=effective_days(days))
    rows = int(sum(one.without(outcome=None).total("rows") for _, one in known))
    return tuple(estimated_metric(name, expected[name], rows) for name in names)


def estimated_metric(name: str, expected: Expected | str, rows: int) -> Metric:
    """Return an expected metric as one that says it is an estimate.

    Args:
        name: Such as `auc`.
        expected: The expectation, or why there is none.
        rows: Outcomes that it was learned from.
    """
    known = next(one for task in QUALITY_METRICS.values() for one in task if one.name == name)
    if isinstance(expected, str):
        return Metric(f"estimated_{name}", None, None, None, known.unit, known.better, rows, expected)
    found = expected.estimate
    return Metric(f"estimated_{name}", found.value, found.low, found.high, known.unit, known.better, rows)


def all_unknown(names: Sequence[str], why: str) -> tuple[Metric, ...]:
    """Return metrics that are all unknown for one reason."""
    return tuple(estimated_metric(name, why, 0) for name in names)


def mature_reference(evidence: RowEvidence, window: Window | None) -> Reference:
    """Return the latest days before a window of which 90 % of all outcomes that ever come have come.

    Args:
        evidence: The model's states.
        window: What is to be estimated; None, or rows without a time, learn from all rows that have an outcome.
    """
    if window is None or evidence.span is None:
        return Reference([(0, evidence.quality(window).only(is_root=True))], None)
    zone, as_of = evidence.model.timezone, evidence.as_of
    before = Window(min(evidence.span.start, window.start), window.start)
    found = delay(
        evidence.arrivals_by_day(Window(before.start, max(window.end, before.end))),
        evidence.model.final_kind,
        as_of=as_of,
        zone=zone,
    )
    if found.curve is None and found.arrived and evidence.is_recorded:
        return Reference([], None, f"how long outcomes take: {found.unknown}")
    if not found.arrived:
        return Reference([], None, "no outcome has arrived yet, and what scores mean is learned from outcomes")
    first = shift_days(before.end, -2 * REFERENCE_DAYS, zone)
    days = _roots_by_day(evidence, Window(max(before.start, first), before.end))
    mature = [
        (midnight, state)
        for midnight, state in days
        if found.curve is None
        or (found.complete_ratio(Window(midnight, shift_days(midnight, 1, zone)), as_of) or 0.0) >= PART
    ][-REFERENCE_DAYS:]
    if not mature:
        due = found.complete_at(Window(before.start, shift_days(before.start, 1, zone)))
        when = "" if due is None else f"; the first day is by {text(due, zone)}"
        return Reference([], None, f"no day before this window has {PART:.0%} of its outcomes yet{when}")
    end = min(shift_days(mature[-1][0], 1, zone), before.end)
    return Reference(mature, Window(mature[0][0], end))


def _roots_by_day(evidence: RowEvidence, window: Window | None) -> Days:
    if window is None or evidence.span is None:
        return [(0, evidence.quality(window).only(is_root=True))]
    return [(midnight, state.only(is_root=True)) for midnight, state in evidence.quality_by_day(window)]


def score_histogram(state: StateTable) -> ScoreHistogram:
    """Return the scores of a quality state, with an outcome or without."""
    scored = _scored(state)
    return ScoreHistogram(
        np.array(scored.key("bin"), dtype=np.int64),
        _decisions(scored),
        scored.column("weight").copy(),
        scored.column("weight_squares").copy(),
        scored.column("score").copy(),
    )


def outcome_histogram(states: Sequence[StateTable]) -> OutcomeHistogram:
    """Return the scores and outcomes of some quality states, such as days; rows without an outcome are left out."""
    parts = [_scored(state).without(outcome=None) for state in states]
    sizes = [len(part) for part in parts]
    weights = np.concatenate([part.column("weight") for part in parts])
    came_true = np.array([key for part in parts for key in part.key("outcome")], dtype=np.float64)
    return OutcomeHistogram(
        np.repeat(np.arange(len(parts), dtype=np.int64), sizes),
        np.array([key for part in parts for key in part.key("bin")], dtype=np.int64),
        np.concatenate([_decisions(part) for part in parts]),
        weights * came_true,
        weights,
        np.concatenate([part.column("weight_squares") for part in parts]),
    )


def _scored(state: StateTable) -> StateTable:
    return state.without(bin=None)


def _decisions(state: StateTable) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([UNDECIDED if key is None else key for key in state.key("decision")], dtype=np.int64)


def effective_days(days: Days) -> float | None:
    """Return over how many days of equal size the rows are spread; None when rows have no time."""
    if len(days) == 1 and days[0][0] == 0:
        return None
    sizes = np.array([state.total("weight") for _, state in days])
    squares = float(sizes @ sizes)
    return float(sizes.sum()) ** 2 / squares if squares > 0.0 else None


def _of_versions(state: StateTable, versions: Collection[object]) -> StateTable:
    chosen = np.array([version in versions for version in state.key("version")], dtype=bool)
    return state.take(chosen)
