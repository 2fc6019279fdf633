"""Quality of a yes-or-no model before its outcomes: expected from scores, and how often such scores came true.

Assumes that the concept is unchanged: rows with a score come true as often as they did in the reference. Nothing here
can see that this is no longer so. The estimator is NannyML's confidence-based one (CBPE), on counts: everything is a
function of how many rows are in each score bin.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from setpoint.stats.bins import SCORE_BIN_HIGHEST, SCORE_BIN_LOWEST, score_bin
from setpoint.stats.classification import LOG_LOSS_CLIP
from setpoint.stats.estimate import LEVEL, Estimate, Z
from setpoint.stats.score_map import (
    FEWEST_OF_EACH,
    UNDECIDED,
    CalibrationMap,
    OutcomeHistogram,
    log_odds,
    logistic,
    long_run_sum,
)
from setpoint.stats.special import FloatArray, IntArray, student_t_quantile

METRICS = ("auc", "accuracy", "precision", "recall", "f1", "log_loss", "brier", "base_rate")
_NO_SCORES = "no scores in this window"


@dataclass(frozen=True, slots=True, eq=False)
class ScoreHistogram:
    """Rows by score bin and decision, outcomes not needed; merging two windows puts their cells together.

    Attributes:
        bin_index: Score bin of each cell (see `score_bin`), shape (cells,); it may repeat.
        decision: 1 where the model said yes, 0 no, `UNDECIDED` neither.
        weight: Sum of row weights (1 / keep probability).
        weight_of_squares: Sum of squared row weights.
        score_sums: Sum of weight * score.

    Raises:
        ValueError: Shapes differ.
    """

    bin_index: IntArray
    decision: IntArray
    weight: FloatArray
    weight_of_squares: FloatArray
    score_sums: FloatArray

    def __post_init__(self) -> None:
        """Refuse columns of different length."""
        columns = (self.decision, self.weight, self.weight_of_squares, self.score_sums)
        if any(column.shape != self.bin_index.shape for column in columns):
            msg = "a histogram has one number of each kind a cell"
            raise ValueError(msg)

    @classmethod
    def from_rows(
        cls, scores: FloatArray, *, decisions: IntArray | None = None, weights: FloatArray | None = None
    ) -> Self:
        """Return the histogram of rows; the reference for every engine that computes it in SQL.

        Args:
            scores: Predicted probability of a positive outcome, shape (rows,), without missing values.
            decisions: 1 where the model said yes, 0 no, shape (rows,); None when it only scores.
            weights: 1 / keep probability per row; None counts each row 1.

        Raises:
            ValueError: A score lies outside [0, 1] or is nan.

        Example:
            >>> rows = ScoreHistogram.from_rows(np.array([0.2, 0.2, 0.9]), decisions=np.array([0, 0, 1]))
            >>> rows.bin_index.tolist(), rows.weight.tolist()
            ([-45, 70], [2.0, 1.0])
        """
        bins = score_bin(scores)
        said = np.full(len(scores), UNDECIDED, dtype=np.int64) if decisions is None else decisions.astype(np.int64)
        w = np.ones(len(scores)) if weights is None else weights
        width, place = 3, (bins - SCORE_BIN_LOWEST) * 3 + said - UNDECIDED
        size = (SCORE_BIN_HIGHEST - SCORE_BIN_LOWEST + 1) * width
        sums = [np.bincount(place, column, size) for column in (w, w * w, w * scores)]
        held = np.flatnonzero(np.bincount(place, minlength=size))
        weight, squares, total = (column[held].astype(np.float64) for column in sums)
        return cls(held // width + SCORE_BIN_LOWEST, held % width + UNDECIDED, weight, squares, total)

    def merge(self, other: Self) -> Self:
        """Return the histogram of both windows together.

        Args:
            other: Of another window, without common rows.
        """
        return type(self)(
            np.concatenate([self.bin_index, other.bin_index]),
            np.concatenate([self.decision, other.decision]),
            np.concatenate([self.weight, other.weight]),
            np.concatenate([self.weight_of_squares, other.weight_of_squares]),
            np.concatenate([self.score_sums, other.score_sums]),
        )


@dataclass(frozen=True, slots=True)
class Expected:
    """A metric as it is expected to be measured once the outcomes of a window have come.

    Attributes:
        value: Its expectation, to first order.
        outcome_variance: Variance because outcomes are chance even when their probabilities are known.
        group_variance: Variance because rows of a day share causes, as much as they did in the reference; 0 when no
            days are told apart.
        map_variance: Variance because the calibration map was learned from finitely many outcomes.
        step: Half of what one more outcome changes, for shares; 0 for means of many values.
        bounds: What the metric lies between.
        degrees: Of freedom, of Student's distribution; infinite when no days are told apart.
    """

    value: float
    outcome_variance: float
    group_variance: float
    map_variance: float
    step: float
    bounds: tuple[float, float]
    degrees: float

    @property
    def standard_error(self) -> float:
        """Standard deviation of what will be measured about the value."""
        return math.sqrt(self.outcome_variance + self.group_variance + self.map_variance)

    @property
    def estimate(self) -> Estimate:
        """The value with the interval that holds what will be measured in 95 of 100 windows."""
        low, high = self.interval((1.0 - LEVEL) / 2.0)
        return Estimate(self.value, low, high)

    def interval(self, tail: float) -> tuple[float, float]:
        """Return what will be measured, but for a chance of `tail` at either end."""
        if tail == (1.0 - LEVEL) / 2.0 and math.isinf(self.degrees):
            reach = Z
        else:
            reach = student_t_quantile(1.0 - tail, min(self.degrees, _AS_GOOD_AS_NORMAL))
        if self.bounds == _MEAN_OF_LOSSES and self.value > 0.0:
            return _skewed(self.value, reach * self.standard_error / self.value)
        half = reach * self.standard_error + self.step
        low, high = max(self.value - half, self.bounds[0]), min(self.value + half, self.bounds[1])
        return min(low, self.value), max(high, self.value)


_AS_GOOD_AS_NORMAL = 1e6
_MEAN_OF_LOSSES = (0.0, math.inf)


def _skewed(value: float, half: float) -> tuple[float, float]:
    """Return the interval of a mean of losses, whose large values reach further than its small ones: as a gamma's.

    Args:
        value: The mean.
        half: Half the width of a symmetric interval, as a part of the mean.

    Source: Wilson and Hilferty (1931), PNAS 17: the cube root of a gamma is about normal.
    """
    return value * max(1.0 - half / 3.0, 0.0) ** 3, value * (1.0 + half / 3.0) ** 3


def expected_quality(
    histogram: ScoreHistogram,
    calibration: CalibrationMap,
    names: Sequence[str] = METRICS,
    *,
    days: float | None = None,
    careful: bool = False,
) -> dict[str, Expected | str]:
    """Return each metric as it will be measured when the outcomes of a window have come, if the concept is unchanged.

    The variance is that of outcomes that are independent given their scores (Poisson-binomial, by the delta method),
    plus that of the calibration map, plus, when days are told apart, what rows of a day and of neighbouring days have
    in common, as much as in the reference. The scores are given: they are those of the window itself.

    Args:
        histogram: Scores of the window.
        calibration: How often they come true.
        names: Of `METRICS`.
        days: Over how many groups, such as those of the reference, the rows of the window are spread evenly; None
            takes rows for independent.
        careful: Whether to be on the safe side about how much neighbouring days go together: where a gap is to be no
            noise, rather than an interval to hold what comes as often as it says.

    Returns:
        By name; words where one cannot be expected.

    Example:
        >>> from setpoint.stats.score_map import calibrate
        >>> scores = np.repeat([0.2, 0.6], 500)
        >>> y = np.arange(1000) % 5 < np.repeat([1, 3], 500)
        >>> learned = calibrate(OutcomeHistogram.from_rows(scores, y))
        >>> found = expected_quality(ScoreHistogram.from_rows(scores, decisions=(scores > 0.5).astype(int)), learned)
        >>> round(found["accuracy"].value, 2), round(found["auc"].value, 2)
        (0.7, 0.71)

    Source: NannyML, confidence-based performance estimation (2022, documentation); Guillory et al. (2021) for the idea;
    the intervals are ours.
    """
    if not float(np.sum(histogram.weight)) > 0.0:
        return dict.fromkeys(names, _NO_SCORES)
    window = _Window(histogram, calibration, days, careful=careful)
    return {name: _FORMULAS[name](window) for name in names}


def measured_quality(outcomes: OutcomeHistogram, names: Sequence[str] = METRICS) -> dict[str, float | str]:
    """Return metrics of rows whose outcomes have come, from the same cells and by the same formulas as their estimates.

    Args:
        outcomes: Rows with outcomes; groups do not matter. The scores of a bin count as its middle.
        names: Of `METRICS`.

    Returns:
        By name; words where one cannot be measured.

    Example:
        >>> rows = OutcomeHistogram.from_rows(np.repeat([0.2, 0.6], 50), np.arange(100) % 10 < np.repeat([2, 6], 50))
        >>> round(measured_quality(rows, ["auc"])["auc"], 3)
        0.708
    """
    weight = float(np.sum(outcomes.weight))
    if weight <= 0.0:
        return dict.fromkeys(names, _NO_SCORES)
    order = np.argsort(outcomes.bin_index, kind="stable")
    cells = _Cells(
        outcomes.bin_index[order],
        outcomes.decision[order],
        outcomes.weight[order],
        outcomes.positives[order],
        logistic(log_odds(outcomes.bin_index[order])),
        float(np.sum(outcomes.weight_of_squares)) / weight,
    )
    found = {name: _FORMULAS[name](cells) for name in names}
    return {name: one if isinstance(one, str) else one.value for name, one in found.items()}


class _Cells:
    """Rows by score bin, rising, and decision, with the weight that comes true of each."""

    def __init__(
        self,
        bin_index: IntArray,
        decision: IntArray,
        weight: FloatArray,
        positive: FloatArray,
        scores: FloatArray,
        row_weight: float,
    ) -> None:
        self.bin_index, self.decision = bin_index, decision
        self.weight, self.positive, self.negative = weight, positive, weight - positive
        self.scores, self.row_weight = scores, row_weight
        self.total = float(np.sum(weight))
        self.tied_with_itself = 0.0

    def decided(self, said: int) -> FloatArray:
        """Return the weight of each cell in which the model said yes (1) or no (0)."""
        return np.where(self.decision == said, self.weight, 0.0)

    def found(self) -> tuple[float, float]:
        """Return the weight that comes true of rows said yes to, and of all that have a decision."""
        hits = float(np.sum(self.positive[self.decision == 1]))
        return hits, hits + float(np.sum(self.positive[self.decision == 0]))

    def lacks(self, weight: float, kind: str) -> str:
        """Return words when fewer than ten rows of a kind are to be expected."""
        rows = weight / self.row_weight
        return f"only {rows:.1f} {kind} are expected, and {FEWEST_OF_EACH} needed" if rows < FEWEST_OF_EACH else ""

    def expected(
        self, value: float, gradient: FloatArray, bounds: tuple[float, float] = (0.0, 1.0), step: float = 0.0
    ) -> Expected:
        """Return a metric whose change per unit of positive weight in each cell is known."""
        del gradient, step  # what was measured has no chance left
        return Expected(value, 0.0, 0.0, 0.0, 0.0, bounds, math.inf)


class _Window(_Cells):
    """The cells of a window and, without weight, of the reference: what comes true is expected."""

    def __init__(
        self, histogram: ScoreHistogram, calibration: CalibrationMap, days: float | None, *, careful: bool
    ) -> None:
        reference = calibration.reference
        keys = [(part.bin_index - SCORE_BIN_LOWEST) * 3 + part.decision - UNDECIDED for part in (histogram, reference)]
        cells, place = np.unique(np.concatenate(keys), return_inverse=True)
        bin_index, size = cells // 3 + SCORE_BIN_LOWEST, len(cells)
        mine, self._reference_cell = place[: len(keys[0])], place[len(keys[0]) :]
        weight, self.squares, sums = (
            np.bincount(mine, column, size).astype(np.float64)
            for column in (histogram.weight, histogram.weight_of_squares, histogram.score_sums)
        )
        self.p = calibration.probabilities(bin_index)
        scores = np.divide(sums, weight, out=logistic(log_odds(bin_index)), where=weight > 0.0)
        row_weight = float(np.sum(self.squares)) / float(np.sum(weight))
        super().__init__(bin_index, cells % 3 + UNDECIDED, weight, weight * self.p, scores, row_weight)
        self.tied_with_itself = float(self.squares @ (self.p * (1.0 - self.p)))
        self._calibration, self._days, self._careful = calibration, days, careful
        before = np.bincount(self._reference_cell, reference.weight, size).astype(np.float64)
        self._ratio = density_ratio_of_bins(before, self.weight)

    def expected(
        self, value: float, gradient: FloatArray, bounds: tuple[float, float] = (0.0, 1.0), step: float = 0.0
    ) -> Expected:
        """Return the metric with its variances."""
        outcome = float((self.squares * self.p * (1.0 - self.p)) @ gradient**2)
        learned = self._calibration.variance(self.bin_index, self.weight * gradient, careful=self._careful)
        group, degrees = self._in_common(gradient)
        return Expected(value, outcome, group, learned, step * self.row_weight, bounds, degrees)

    def _in_common(self, gradient: FloatArray) -> tuple[float, float]:
        """Return the variance beyond independent rows, as in the days of the reference, and its degrees of freedom."""
        reference = self._calibration.reference
        if self._days is None or reference.groups < _FEWEST_DAYS:
            return 0.0, math.inf
        pull = (gradient * self._ratio)[self._reference_cell]
        gaps = self._calibration.gaps(pull)
        p = self._calibration.curve(reference.bin_index)
        alone = float((reference.weight_of_squares * p * (1.0 - p)) @ pull**2)
        days = np.bincount(reference.group, reference.weight, reference.groups)
        filled = float(np.count_nonzero(days))
        long_run = long_run_sum(gaps, alone if self._careful else 0.0)
        beyond = max(long_run * filled / (filled - 1.0) - alone, 0.0)
        # days that go together are as good as fewer days
        degrees = max((filled - 1.0) * float(gaps @ gaps) / long_run, 1.0) if long_run > 0.0 else filled - 1.0
        return beyond / float(days @ days) * self.total**2 / max(self._days, 1.0), degrees


_FEWEST_DAYS, _STRETCHES = 7, 20


def density_ratio_of_bins(before: FloatArray, now: FloatArray) -> FloatArray:
    """Return how much more of a window than of the reference lies about each cell, by twentieths of the reference.

    Args:
        before: Weight of the reference in each cell, cells in order, not all 0, shape (cells,).
        now: Weight of the window.

    Example:
        >>> density_ratio_of_bins(np.array([1.0, 1.0]), np.array([3.0, 1.0])).tolist()
        [1.5, 0.5]
    """
    middle = (np.cumsum(before) - before / 2.0) / np.sum(before)
    stretch = np.minimum((_STRETCHES * middle).astype(np.int64), _STRETCHES - 1)
    old, new = (np.bincount(stretch, weight, _STRETCHES) / np.sum(weight) for weight in (before, now))
    return np.divide(new, old, out=np.zeros(_STRETCHES), where=old > 0.0)[stretch]


def _auc(cells: _Cells) -> Expected | str:
    """Return the expected AUC: rows of one bin tie, and no row is compared with itself."""
    total = (float(np.sum(cells.positive)), float(np.sum(cells.negative)))
    missing = cells.lacks(total[0], "positive outcomes") or cells.lacks(total[1], "negative outcomes")
    if missing:
        return missing
    _, place = np.unique(cells.bin_index, return_inverse=True)
    positive, negative = np.bincount(place, cells.positive), np.bincount(place, cells.negative)
    below = np.cumsum(negative) - negative / 2.0
    above = total[0] - np.cumsum(positive) + positive / 2.0
    pairs = total[0] * total[1] - cells.tied_with_itself
    value = min(max((float(below @ positive) - cells.tied_with_itself / 2.0) / pairs, 0.0), 1.0)
    gradient = (below / total[1] - value) / total[0] - (above / total[0] - value) / total[1]
    return cells.expected(value, gradient[place])


def _accuracy(cells: _Cells) -> Expected | str:
    yes, no = cells.decided(1), cells.decided(0)
    total = float(np.sum(yes) + np.sum(no))
    if total <= 0.0:
        return "no decisions in this window"
    value = float(np.sum(cells.positive[cells.decision == 1]) + np.sum(cells.negative[cells.decision == 0])) / total
    gradient = (cells.decision == 1) * 1.0 - (cells.decision == 0)
    return cells.expected(value, gradient / total, step=0.5 / total)


def _precision(cells: _Cells) -> Expected | str:
    yes = cells.decided(1)
    total = float(np.sum(yes))
    missing = cells.lacks(total, "positive predictions")
    if missing:
        return missing
    return cells.expected(cells.found()[0] / total, (cells.decision == 1) / total, step=0.5 / total)


def _recall(cells: _Cells) -> Expected | str:
    found, total = cells.found()
    missing = cells.lacks(total, "positive outcomes")
    if missing:
        return missing
    gradient = ((cells.decision == 1) - found / total) * (cells.decision != UNDECIDED) / total
    return cells.expected(found / total, gradient, step=0.5 / total)


def _f1(cells: _Cells) -> Expected | str:
    found, total = cells.found()
    missing = cells.lacks(total, "positive outcomes")
    if missing:
        return missing
    size = float(np.sum(cells.decided(1))) + total
    value = 2.0 * found / size
    gradient = (2.0 * (cells.decision == 1) - value) * (cells.decision != UNDECIDED) / size
    return cells.expected(value, gradient, step=1.0 / size)


def _brier(cells: _Cells) -> Expected | str:
    scores, total = cells.scores, cells.total
    value = float(cells.positive @ (1.0 - scores) ** 2 + cells.negative @ scores**2) / total
    return cells.expected(value, (1.0 - 2.0 * scores) / total)


def _log_loss(cells: _Cells) -> Expected | str:
    scores, total = np.clip(cells.scores, LOG_LOSS_CLIP, 1.0 - LOG_LOSS_CLIP), cells.total
    if_positive, if_negative = -np.log(scores), -np.log1p(-scores)
    value = float(cells.positive @ if_positive + cells.negative @ if_negative) / total
    return cells.expected(value, (if_positive - if_negative) / total, (0.0, math.inf))


def _base_rate(cells: _Cells) -> Expected | str:
    total = cells.total
    gradient = np.full(len(cells.weight), 1.0 / total)
    return cells.expected(float(np.sum(cells.positive)) / total, gradient, step=0.5 / total)


_FORMULAS: Mapping[str, Callable[[_Cells], Expected | str]] = {
    "auc": _auc,
    "accuracy": _accuracy,
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
    "log_loss": _log_loss,
    "brier": _brier,
    "base_rate": _base_rate,
}
