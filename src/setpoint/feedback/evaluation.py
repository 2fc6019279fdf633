"""What an evaluation set says of quality: with how many rows it could decide, and how far such sets were off before."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.core.clock import DAY
from setpoint.core.metric import QUALITY_METRICS, Metric
from setpoint.core.model import Expectation, Model, Task
from setpoint.core.window import Window, local_monday
from setpoint.feedback.quality import arrival, quality_metric
from setpoint.stats import calibration, classification, ranking, regression
from setpoint.stats.classification import BinaryState
from setpoint.stats.estimate import Estimate
from setpoint.stats.regression import RegressionState
from setpoint.stats.special import FloatArray
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable, merge

_OF_SCORES: Mapping[str, Callable[[BinaryState], Estimate]] = {
    "auc": ranking.auc,
    "log_loss": classification.log_loss,
    "brier": classification.brier,
    "calibration_error": calibration.calibration_error,
}
_OF_DECISIONS: Mapping[str, Callable[[BinaryState], Estimate]] = {
    "accuracy": classification.accuracy,
    "precision": classification.precision,
    "recall": classification.recall,
    "f1": classification.f1,
}
_OF_NUMBERS: Mapping[str, Callable[[RegressionState], Estimate]] = {
    "rmse": regression.rmse,
    "mae": regression.mae,
    "bias": regression.bias,
    "r_squared": regression.r_squared,
}
NO_ANSWERS = (
    "the set has no answers of the model: name them with --map score=COLUMN, or give the model with --estimator"
)


def binary_quality(outcomes: FloatArray, scores: FloatArray | None, decisions: FloatArray | None) -> list[Metric]:
    """Return the quality of yes-or-no answers on a set, the one that is shown first first.

    Args:
        outcomes: 0 or 1, shape (rows,); nan is missing and left out.
        scores: Probabilities, shape (rows,); None when the set has none.
        decisions: 0 or 1 where the model said no or yes; None when it has only scores, which then decide from 0.5 on.

    Example:
        >>> truth = np.tile([0.0, 1.0], 50)
        >>> [metric.name for metric in binary_quality(truth, None, truth)]
        ['accuracy', 'precision', 'recall', 'f1']
    """
    answers = scores if scores is not None else decisions
    if answers is None:
        return [_metric(Task.BINARY, "auc", Estimate.unknown(NO_ANSWERS), 0)]
    known = ~np.isnan(outcomes) & ~np.isnan(answers)
    found: list[Metric] = []
    if scores is not None:
        inside = known & (scores >= 0.0) & (scores <= 1.0)
        state = BinaryState.from_rows(outcomes[inside], scores=scores[inside])
        found = [_metric(Task.BINARY, name, of(state), int(inside.sum())) for name, of in _OF_SCORES.items()]
        known = inside
        decisions = (scores >= 0.5).astype(np.float64) if decisions is None else decisions  # noqa: PLR2004 — likelier
    if decisions is not None:
        known = known & ~np.isnan(decisions)
        state = BinaryState.from_rows(outcomes[known], decisions=decisions[known])
        found += [_metric(Task.BINARY, name, of(state), int(known.sum())) for name, of in _OF_DECISIONS.items()]
    return found


def regression_quality(outcomes: FloatArray, predictions: FloatArray | None) -> list[Metric]:
    """Return the quality of predicted numbers on a set; see `binary_quality`.

    Example:
        >>> [metric.name for metric in regression_quality(np.arange(30.0), np.arange(30.0) + 1)]
        ['rmse', 'mae', 'bias', 'r_squared']
    """
    if predictions is None:
        return [_metric(Task.REGRESSION, "rmse", Estimate.unknown(NO_ANSWERS), 0)]
    known = ~np.isnan(outcomes) & ~np.isnan(predictions)
    shift = float(outcomes[known].mean()) if known.any() else 0.0
    state = RegressionState.from_rows(predictions[known], outcomes[known], shift=shift)
    return [_metric(Task.REGRESSION, name, of(state), int(known.sum())) for name, of in _OF_NUMBERS.items()]


def class_quality(right: FloatArray | None) -> list[Metric]:
    """Return the quality of answered classes on a set.

    Args:
        right: Whether each is the class that came, 1 or 0, nan where nobody knows; None without answers.

    Example:
        >>> class_quality(np.array([1.0, 1.0, 0.0, np.nan]))[0].rows
        3
    """
    if right is None:
        return [_metric(Task.MULTICLASS, "accuracy", Estimate.unknown(NO_ANSWERS), 0)]
    known = right[~np.isnan(right)]
    state = BinaryState.from_rows(known, decisions=np.ones(len(known)))
    return [_metric(Task.MULTICLASS, "accuracy", classification.accuracy(state), len(known))]


def _metric(task: Task, name: str, found: Estimate, rows: int) -> Metric:
    known = next(one for one in QUALITY_METRICS[task] if one.name == name)
    return Metric(name, found.value, found.low, found.high, known.unit, known.better, rows, found.reason)


def rows_needed(metric: Metric, bar: float) -> int | None:
    """Return how many rows the set needs in all until the interval no longer holds the bar, if the value stays.

    Half the interval shrinks with the square root of the rows. The value will not stay exactly, so that this is the
    order of magnitude, and at a value near the bar no number of rows is enough.

    Args:
        metric: On the set.
        bar: What it is held against, in its unit.

    Returns:
        At least the rows there are when the interval holds the bar; the rows there are or fewer when it does not.
        None when the value is unknown, is the bar, or has no end on the bar's side.

    Example:
        >>> rows_needed(Metric("auc", 0.72, 0.68, 0.76, "ratio", "higher", rows=1000), 0.70)
        4000
    """
    if metric.value is None:
        return None
    end = metric.low if bar < metric.value else metric.high
    margin = abs(metric.value - bar)
    if end is None or margin <= 1e-12 * max(abs(bar), 1e-12):
        return None
    return math.ceil(round(metric.rows * ((metric.value - end) / margin) ** 2, 6))


@dataclass(frozen=True, slots=True)
class Told:
    """What was once measured offline, before production had its say.

    Attributes:
        metric: Such as `auc`.
        value: As measured.
        low: Lower end of its interval; None when nobody wrote it down.
        high: Upper end of its interval.
        source: On what, in words.
    """

    metric: str
    value: float
    low: float | None
    high: float | None
    source: str


def told_offline(expectation: Expectation) -> Told | None:
    """Return what the source of a declared bar says was measured, as `setpoint init` writes it; None for other words.

    Example:
        >>> told_offline(Expectation("auc", at_least=0.71, source="auc 0.729 measured on later.parquet; the bar")).value
        0.729
    """
    found = _MEASURED.match(expectation.source)
    if found is None or found["metric"] != expectation.metric:
        return None
    return Told(expectation.metric, float(found["value"]), None, None, found["where"])


_MEASURED = re.compile(r"(?P<metric>\w+) (?P<value>-?\d+(\.\d+)?(e[+-]?\d+)?) measured on (?P<where>[^;]+)")


@dataclass(frozen=True, slots=True)
class Online:
    """What production measured in some time.

    Attributes:
        window: Which time, from the first day with predictions to the end of the last.
        metric: With its interval.
        gap: Online less offline, with its interval.
        completeness: Share of the predictions whose outcome has arrived, 0 to 1.
    """

    window: Window
    metric: Metric
    gap: Estimate
    completeness: float


def measured_online(evidence: RowEvidence, told: Told, window: Window | None) -> list[Online]:
    """Return how production compared with what was told offline: all of a window first, then its weeks.

    Args:
        evidence: The model's states.
        told: What was measured offline.
        window: Predictions of this window; None for all.
    """
    days = [(at, state.only(is_root=True)) for at, state in evidence.quality_by_day(window)]
    if not days:
        return []
    weeks: dict[int, list[StateTable]] = {}
    for midnight, state in days:
        weeks.setdefault(local_monday(midnight, evidence.model.timezone), []).append(state)
    starts = [*weeks, days[-1][0] + DAY]
    found = [_online(evidence, told, [state for _, state in days], Window(days[0][0], days[-1][0] + DAY))]
    for start, end in itertools.pairwise(starts):
        found.append(_online(evidence, told, weeks[start], Window(start, end)))
    return found


def _online(evidence: RowEvidence, told: Told, states: Sequence[StateTable], window: Window) -> Online:
    state = merge(states[0].kind, list(states))
    shift = evidence.definition.outcome_shift
    metric = quality_metric(state, evidence.model, told.metric, outcome_shift=shift)
    return Online(window, metric, gap(metric, told), arrival(state).share or 0.0)


def gap(online: Metric, offline: Told) -> Estimate:
    """Return online less offline. An offline value without interval counts as exact: then the gap is too sure.

    Example:
        >>> gap(Metric("auc", 0.70, 0.67, 0.73, "ratio", "higher", 900), Told("auc", 0.74, 0.70, 0.78, "set")).low
        -0.09
    """
    if online.value is None:
        return Estimate.unknown(online.unknown)
    value = online.value - offline.value
    if online.low is None or online.high is None:
        return Estimate(value, None, None, "production has no interval")
    below = math.hypot(online.value - online.low, 0.0 if offline.high is None else offline.high - offline.value)
    above = math.hypot(online.high - online.value, 0.0 if offline.low is None else offline.value - offline.low)
    return Estimate(round(value, 12), round(value - below, 12), round(value + above, 12))


def expected(model: Model | None, metric: str) -> Expectation | None:
    """Return the declared bar of a metric, if any."""
    bars = () if model is None else model.expectations
    return next((one for one in bars if one.metric == metric), None)
