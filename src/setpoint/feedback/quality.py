"""Quality of a window, from its state: the metrics of each task, with their intervals.

Only predictions whose outcome is known count. `Arrival` says how many that is; a quality number
without it would hide that the slow outcomes may differ from the quick ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from setpoint.core.metric import QUALITY_METRICS, Metric, QualityMetric
from setpoint.core.model import Expectation, Model, Task
from setpoint.core.verdict import Verdict
from setpoint.feedback.classes import class_estimates, right_or_wrong
from setpoint.feedback.graded import generation_estimates, ranking_estimates
from setpoint.stats import calibration, classification, ranking, regression
from setpoint.stats.classification import BinaryState
from setpoint.stats.estimate import Estimate
from setpoint.stats.regression import RegressionState
from setpoint.store.states import StateTable


@dataclass(frozen=True, slots=True)
class Arrival:
    """How complete the outcomes of a window are.

    Attributes:
        predictions: Predictions of the window, weighted by 1/keep_probability.
        with_outcome: Those whose outcome is known.
        rows: Rows with an outcome, unweighted: what intervals rest on.
        squares: The sum of the squared weights of those.
    """

    predictions: float
    with_outcome: float
    rows: int
    squares: float = 0.0

    @property
    def share(self) -> float | None:
        """Share of outcomes that have arrived, 0 to 1; None without predictions."""
        return self.with_outcome / self.predictions if self.predictions else None


_BINARY: Mapping[str, Callable[[BinaryState], Estimate]] = {
    "auc": ranking.auc,
    "accuracy": classification.accuracy,
    "precision": classification.precision,
    "recall": classification.recall,
    "f1": classification.f1,
    "log_loss": classification.log_loss,
    "brier": classification.brier,
    "calibration_error": calibration.calibration_error,
    "base_rate": classification.base_rate,
    "mean_score": classification.mean_score,
}

_REGRESSION: Mapping[str, Callable[[RegressionState], Estimate]] = {
    "rmse": regression.rmse,
    "mae": regression.mae,
    "bias": regression.bias,
    "r_squared": regression.r_squared,
    "skill": regression.skill,
    "within_tolerance": regression.within_tolerance,
}


def quality(state: StateTable, model: Model, *, outcome_shift: float = 0.0) -> list[Metric]:
    """Return the quality metrics of a state, headline first.

    Args:
        state: Rows of one group: root rows of an endpoint, or all rows of a version.
        model: The declaration.
        outcome_shift: Regression: what outcomes were summed about.
    """
    return _measured(state, model, metrics_of(model), outcome_shift)


def metrics_of(model: Model) -> tuple[QualityMetric, ...]:
    """Return what can be measured of a model: nothing of a judge where there is none."""
    known = QUALITY_METRICS[model.task]
    return known if model.judge_kind else tuple(one for one in known if not one.name.startswith("judge_"))


def quality_metric(state: StateTable, model: Model, name: str, *, outcome_shift: float = 0.0) -> Metric:
    """Return one of the metrics of `quality`."""
    wanted = [known for known in QUALITY_METRICS[model.task] if known.name == name]
    return _measured(state, model, wanted, outcome_shift)[0]


def _measured(state: StateTable, model: Model, wanted: Sequence[QualityMetric], outcome_shift: float) -> list[Metric]:
    rows = arrival(state).rows
    if model.task is Task.MULTICLASS:
        found = class_estimates(state, binary_state(right_or_wrong(state)), [known.name for known in wanted])
    elif model.task is Task.RANKING:
        found = ranking_estimates(state)
    elif model.task is Task.GENERATION:
        found = generation_estimates(state, model)
    elif model.task is Task.REGRESSION:
        errors = regression_state(state, outcome_shift)
        found = {known.name: _REGRESSION[known.name](errors) for known in wanted}
        if model.success.tolerance is None:
            why = "nothing says what counts as correct: declare success.tolerance"
            found["within_tolerance"] = Estimate.unknown(why)
    else:
        counts = binary_state(state)
        found = {known.name: _BINARY[known.name](counts) for known in wanted}
        if len(state) and (state.numbers("bin", _NO_BIN) == _NO_BIN).all():
            # However many outcomes come, these stay unknown.
            found.update(dict.fromkeys(_OF_SCORES, Estimate.unknown(NO_SCORE)))
    return [_metric(known, found[known.name], rows) for known in wanted]


NO_SCORE = "no score was recorded, or none from 0 to 1; in a file, name its column with score="
NO_PREDICTION = "no prediction was recorded; in a file, name its column with prediction="
_OF_SCORES = ("auc", "log_loss", "brier", "calibration_error", "mean_score")


def odd_outcome_words(model: Model) -> str:
    """Return what is wrong with outcomes that came and cannot be read, and what to do.

    Example:
        >>> odd_outcome_words(Model("fraud"))
        'outcomes are neither yes nor no: declare positive in models/fraud.yaml'
    """
    if model.task is Task.GENERATION:
        return "outcomes are no grades: record numbers, pass or fail, win, tie or loss"
    if model.task is Task.RANKING:
        return "outcomes are no items: record one, a list, or a mapping from item to gain"
    if model.task is Task.REGRESSION:
        return "outcomes are no numbers: declare the task, or record numbers"
    where = f"in models/{model.name}.yaml" if model.name else "with model=Model(name, positive='yes')"
    return f"outcomes are neither yes nor no: declare positive {where}"


def headline(model: Model) -> str:
    """Return the metric that is shown first: the first expected one that is no rate of a proxy, or the task's own."""
    rates = {f"{kind.name}_rate" for kind in model.outcomes if not kind.final}
    default = QUALITY_METRICS[model.task][0].name
    return next((one.metric for one in model.expectations if one.metric not in rates), default)


def shown_first(metrics: Sequence[Metric], model: Model) -> str:
    """Return the metric that an answer is about: the headline, or of a model that only decides one that needs no score.

    Args:
        metrics: The measured quality.
        model: The declaration; what it expects is never replaced.
    """
    name = headline(model)
    known = {metric.name: metric.value for metric in metrics}
    if model.expectations or known.get(name) is not None or known.get("mean_score", 0.0) is not None:
        return name
    return next((one.name for one in metrics if one.value is not None and one.better != "none"), name)


def arrival(state: StateTable) -> Arrival:
    """Return how complete the outcomes of a state are."""
    known = _has_outcome(state)
    weights = state.column("weight")
    squares = float(state.column("weight_squares")[known].sum())
    return Arrival(float(weights.sum()), float(weights[known].sum()), int(state.column("rows")[known].sum()), squares)


def binary_state(state: StateTable) -> BinaryState:
    """Return a binary quality state as counts for `stats`; rows without outcome are left out."""
    outcomes, decisions = state.numbers("outcome", -1), state.numbers("decision", -1)
    bins = state.numbers("bin", _NO_BIN)
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


def _has_outcome(state: StateTable) -> NDArray[np.bool_]:
    return state.known("outcome") if "outcome" in state.kind.keys else state.numbers("has_outcome", 0) == 1


def _metric(known: QualityMetric, found: Estimate, rows: int) -> Metric:
    return Metric(known.name, found.value, found.low, found.high, known.unit, known.better, rows, found.reason)
