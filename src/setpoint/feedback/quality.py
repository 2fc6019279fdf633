"""Quality of a window, from its state: the metrics of each task, with their intervals.

Only predictions whose outcome is known count. `Arrival` says how many that is; a quality number
without it would hide that the slow outcomes may differ from the quick ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from setpoint.core.metric import Direction, Metric
from setpoint.core.model import Expectation, Model, Task
from setpoint.core.verdict import Verdict
from setpoint.stats import calibration, classification, ranking, regression
from setpoint.stats.classification import BinaryState
from setpoint.stats.estimate import Estimate
from setpoint.stats.regression import RegressionState
from setpoint.store.states import StateTable

Unit = Literal["ratio", "nats", "outcome"]
State = TypeVar("State", BinaryState, RegressionState)


@dataclass(frozen=True, slots=True)
class Arrival:
    """How complete the outcomes of a window are.

    Attributes:
        predictions: Predictions of the window, weighted by 1/keep_probability.
        with_outcome: Those whose outcome is known.
        rows: Rows with an outcome, unweighted: what intervals rest on.
    """

    predictions: float
    with_outcome: float
    rows: int

    @property
    def share(self) -> float | None:
        """Share of outcomes that have arrived, 0 to 1; None without predictions."""
        return self.with_outcome / self.predictions if self.predictions else None


@dataclass(frozen=True, slots=True)
class _Measure(Generic[State]):
    name: str
    unit: Unit
    better: Direction
    estimate: Callable[[State], Estimate]


_BINARY: tuple[_Measure[BinaryState], ...] = (
    _Measure("auc", "ratio", "higher", ranking.auc),
    _Measure("accuracy", "ratio", "higher", classification.accuracy),
    _Measure("precision", "ratio", "higher", classification.precision),
    _Measure("recall", "ratio", "higher", classification.recall),
    _Measure("f1", "ratio", "higher", classification.f1),
    _Measure("log_loss", "nats", "lower", classification.log_loss),
    _Measure("brier", "ratio", "lower", classification.brier),
    _Measure("calibration_error", "ratio", "lower", calibration.calibration_error),
    _Measure("base_rate", "ratio", "none", classification.base_rate),
    _Measure("mean_score", "ratio", "none", classification.mean_score),
)

_REGRESSION: tuple[_Measure[RegressionState], ...] = (
    _Measure("rmse", "outcome", "lower", regression.rmse),
    _Measure("mae", "outcome", "lower", regression.mae),
    _Measure("bias", "outcome", "none", regression.bias),
    _Measure("r_squared", "ratio", "higher", regression.r_squared),
    _Measure("skill", "ratio", "higher", regression.skill),
    _Measure("within_tolerance", "ratio", "higher", regression.within_tolerance),
)


def quality(state: StateTable, model: Model, *, outcome_shift: float = 0.0) -> list[Metric]:
    """Return the quality metrics of a state, headline first.

    Args:
        state: Rows of one group: root rows of an endpoint, or all rows of a version.
        model: The declaration.
        outcome_shift: Regression: what outcomes were summed about.
    """
    rows = arrival(state).rows
    if model.task is Task.REGRESSION:
        errors = regression_state(state, outcome_shift)
        found = [_metric(measure, measure.estimate(errors), rows) for measure in _REGRESSION]
        return found if model.success.tolerance is not None else [*found[:-1], _no_tolerance(rows)]
    counts = binary_state(state)
    return [_metric(measure, measure.estimate(counts), rows) for measure in _BINARY]


def _no_tolerance(rows: int) -> Metric:
    why = "nothing says what counts as correct: declare success.tolerance"
    return Metric("within_tolerance", None, None, None, "ratio", "higher", rows, why)


def headline(model: Model) -> str:
    """Return the metric that is shown first: the first expected one, or the task's own."""
    if model.expectations:
        return model.expectations[0].metric
    return "rmse" if model.task is Task.REGRESSION else "auc"


def arrival(state: StateTable) -> Arrival:
    """Return how complete the outcomes of a state are."""
    known = np.array([key is not None for key in _outcome_keys(state)], dtype=bool)
    weights = state.column("weight")
    return Arrival(float(weights.sum()), float(weights[known].sum()), int(state.column("rows")[known].sum()))


def binary_state(state: StateTable) -> BinaryState:
    """Return a binary quality state as counts for `stats`; rows without outcome are left out."""
    outcomes = np.array([-1 if key is None else key for key in state.key("outcome")], dtype=np.int64)
    bins = np.array([_NO_BIN if key is None else key for key in state.key("bin")], dtype=np.int64)
    decisions = np.array([-1 if key is None else key for key in state.key("decision")], dtype=np.int64)
    weights = state.column("weight")
    scored = (outcomes >= 0) & (bins != _NO_BIN)
    index, place = np.unique(bins[scored], return_inverse=True)

    def per_bin(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(place, weights=values[scored], minlength=len(index)).astype(np.float64)

    lowest, highest = np.full(len(index), np.inf), np.zeros(len(index))
    np.minimum.at(lowest, place, state.column("lowest_score")[scored])
    np.maximum.at(highest, place, state.column("highest_score")[scored])

    def total(column: str, outcome: int) -> float:
        return float(state.column(column)[outcomes == outcome].sum())

    def confusion(decision: int, outcome: int) -> float:
        return float(weights[(decisions == decision) & (outcomes == outcome)].sum())

    def loss(column: str) -> float:
        return float(state.column(column)[scored].sum())

    return BinaryState(
        index,
        per_bin(weights * (outcomes == 0)),
        per_bin(weights * (outcomes == 1)),
        per_bin(state.column("score")),
        lowest,
        highest,
        positive_weight=total("weight", 1),
        negative_weight=total("weight", 0),
        positive_weight_of_squares=total("weight_squares", 1),
        negative_weight_of_squares=total("weight_squares", 0),
        true_positives=confusion(1, 1),
        false_positives=confusion(1, 0),
        false_negatives=confusion(0, 1),
        true_negatives=confusion(0, 0),
        brier_sum=loss("brier"),
        brier_sum_of_squares=loss("brier_squares"),
        log_loss_sum=loss("log_loss"),
        log_loss_sum_of_squares=loss("log_loss_squares"),
    )


def regression_state(state: StateTable, shift: float) -> RegressionState:
    """Return a regression quality state as sums for `stats`; rows without outcome are left out."""
    known = state.only(has_outcome=1)
    return RegressionState(
        shift,
        known.total("weight"),
        known.total("weight_squares"),
        known.total("error"),
        known.total("error_2"),
        known.total("error_3"),
        known.total("error_4"),
        known.total("absolute"),
        known.total("outcome"),
        known.total("outcome_2"),
        known.total("outcome_3"),
        known.total("outcome_4"),
        known.total("error_2_outcome"),
        known.total("error_2_outcome_2"),
        known.only(success=1).total("weight"),
    )


def judge(metric: Metric, expectation: Expectation) -> Verdict:
    """Return whether a metric keeps its declared bar.

    The whole interval beyond the bar is a breach; the point beyond it but not the interval is a
    warning; no value is unknown.
    """
    if metric.value is None:
        return Verdict.UNKNOWN
    low = metric.value if metric.low is None else metric.low
    high = metric.value if metric.high is None else metric.high
    if expectation.at_least is not None and metric.value < expectation.at_least:
        return Verdict.BREACH if high < expectation.at_least else Verdict.WARNING
    if expectation.at_most is not None and metric.value > expectation.at_most:
        return Verdict.BREACH if low > expectation.at_most else Verdict.WARNING
    return Verdict.OK


_NO_BIN = 1 << 20


def _outcome_keys(state: StateTable) -> list[object]:
    if "outcome" in state.kind.keys:
        return state.key("outcome")
    return [key if key == 1 else None for key in state.key("has_outcome")]


def _metric(measure: _Measure[State], found: Estimate, rows: int) -> Metric:
    return Metric(measure.name, found.value, found.low, found.high, measure.unit, measure.better, rows, found.reason)
