"""The error of a number-predicting model before its outcomes: what errors such predictions had.

Assumes that the concept is unchanged: predictions of a size err as they did in the reference. Direct loss estimation on
counts: everything is a function of how many rows predict about as much.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from setpoint.stats.estimation import Expected, density_ratio_of_bins
from setpoint.stats.intervals import effective_size
from setpoint.stats.score_map import long_run_sum
from setpoint.stats.special import FloatArray, IntArray

FEWEST_OUTCOMES = 200
"""Outcomes that losses are learned from, at least."""

CURVE_ROWS = 5.0
"""Rows of the smooth curve that join those of each bin."""

_KNOTS = (0.1, 0.5, 0.9)
_LEVEL, _SLOPE, _BEND = 1.0, 1.0, 0.5
_FEWEST_DAYS, _STEPS, _CONVERGED = 7, 60, 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class LossHistogram:
    """Rows with an outcome by group (a day) and bin of the prediction, with their losses; cells add up.

    Attributes:
        group: Of each cell, 0, 1, 2 ... in order of time, shape (cells,).
        bin_index: Value bin of the prediction (see `value_bin`).
        weight: Sum of row weights (1 / keep probability).
        weight_of_squares: Sum of squared row weights.
        loss: Sum of weight * loss, such as the absolute or the squared error.
        loss_squared: Sum of weight * loss**2.
    """

    group: IntArray
    bin_index: IntArray
    weight: FloatArray
    weight_of_squares: FloatArray
    loss: FloatArray
    loss_squared: FloatArray

    @classmethod
    def from_rows(
        cls,
        bins: IntArray,
        losses: FloatArray,
        *,
        groups: IntArray | None = None,
        weights: FloatArray | None = None,
    ) -> "LossHistogram":
        """Return the histogram of rows.

        Args:
            bins: Value bin of each prediction, shape (rows,).
            losses: Not negative, without missing values.
            groups: 0, 1, 2 ... of each row; None puts all rows into one.
            weights: Of each row; None counts each row 1.

        Example:
            >>> rows = LossHistogram.from_rows(np.array([3, 3, 5]), np.array([1.0, 2.0, 4.0]))
            >>> rows.bin_index.tolist(), rows.loss.tolist()
            ([3, 5], [3.0, 4.0])
        """
        group = np.zeros(len(bins), dtype=np.int64) if groups is None else groups.astype(np.int64)
        pairs, cell = np.unique(np.stack([group, bins]), axis=1, return_inverse=True)
        w = np.ones(len(bins)) if weights is None else weights
        sums = (
            np.bincount(cell.ravel(), column, pairs.shape[1]).astype(np.float64)
            for column in (w, w**2, w * losses, w * losses**2)
        )
        return cls(pairs[0], pairs[1], *sums)


def missing_losses(reference: LossHistogram) -> str:
    """Return how many outcomes are missing, or an empty string.

    Args:
        reference: Rows whose outcomes are mature.

    Example:
        >>> missing_losses(LossHistogram.from_rows(np.array([1]), np.array([2.0])))
        'needs 199 more mature outcomes to learn how large errors are'
    """
    rows = effective_size(float(np.sum(reference.weight)), float(np.sum(reference.weight_of_squares)))
    short = math.ceil(FEWEST_OUTCOMES - rows - 1e-9)
    return f"needs {short} more mature outcomes to learn how large errors are" if short > 0 else ""


class LossCurve:
    """How large the loss of each prediction is: a smooth curve, and near it each bin's own mean as far as it has rows.

    The logarithm of the curve is linear in the bin but for some bends, by penalised quasi-likelihood. A bin's loss is
    the mean of its rows and of `CURVE_ROWS` rows on the curve.

    Example:
        >>> learned = LossCurve(LossHistogram.from_rows(np.repeat([1, 2], 500), np.repeat([1.0, 2.0], 500)))
        >>> learned.losses(np.array([1, 2])).round(2).tolist()
        [1.0, 2.0]
    """

    def __init__(self, reference: LossHistogram) -> None:
        """Learn it.

        Args:
            reference: Rows whose outcomes are mature; see `missing_losses`.

        Raises:
            ValueError: There are no rows.
        """
        total = float(np.sum(reference.weight))
        if total <= 0.0:
            msg = "a loss curve is learned from outcomes: there are none"
            raise ValueError(msg)
        self.reference = reference
        self.bins, self.place = np.unique(reference.bin_index, return_inverse=True)
        self.each = total / float(np.sum(reference.weight_of_squares))  # independent rows a unit of weight is worth
        self.rows, self.sums, squares = (
            np.bincount(self.place, column * self.each, len(self.bins)).astype(np.float64)
            for column in (reference.weight, reference.loss, reference.loss_squared)
        )
        count = float(np.sum(self.rows))
        self.scale = max(float(np.sum(self.sums)) / count, 1e-300)
        self._relative = max(float(np.sum(squares)) / count / self.scale**2, 1.0)
        self._center = float(self.rows @ self.bins) / count
        self._spread = max(math.sqrt(float(self.rows @ (self.bins - self._center) ** 2) / count), 1e-3)
        middle = (np.cumsum(self.rows) - self.rows / 2.0) / count
        self._knots = np.interp(_KNOTS, middle, (self.bins - self._center) / self._spread)
        self._coefficients, self.covariance = self._fitted()
        means = self.losses(self.bins)
        self.spreads = np.maximum(squares - 2.0 * means * self.sums + self.rows * means**2, 0.0) / self.rows
        self._spread_ratio = float(np.sum(self.rows * self.spreads)) / max(float(self.rows @ means**2), 1e-300)

    def curve(self, bin_index: IntArray) -> FloatArray:
        """Return the loss of each bin by the curve alone."""
        return (self.scale * _exp(self.basis(bin_index) @ self._coefficients)).astype(np.float64)

    def losses(self, bin_index: IntArray) -> FloatArray:
        """Return the expected loss of a row of each bin, in the unit of the loss."""
        at, held = self.places(bin_index)
        rows, sums = np.where(held, self.rows[at], 0.0), np.where(held, self.sums[at], 0.0)
        return (sums + CURVE_ROWS * self.curve(bin_index)) / (rows + CURVE_ROWS)

    def variances(self, bin_index: IntArray) -> FloatArray:
        """Return the variance of the loss of one row of each bin."""
        at, held = self.places(bin_index)
        rows = np.where(held, self.rows[at], 0.0)
        typical = self._spread_ratio * self.losses(bin_index) ** 2
        return (np.where(held, self.spreads[at], 0.0) * rows + CURVE_ROWS * typical) / (rows + CURVE_ROWS)

    def influence(self, bin_index: IntArray, share: FloatArray) -> tuple[FloatArray, float]:
        """Return what a unit of loss in each bin of the reference adds to a sum of losses, and the prior's variance.

        Args:
            bin_index: Shape (bins,).
            share: Weight of each loss in the sum.
        """
        at, held = self.places(bin_index)
        rows = np.where(held, self.rows[at], 0.0)
        direct = np.bincount(at[held], share[held] / (rows[held] + CURVE_ROWS), len(self.bins))
        to_curve = (share * CURVE_ROWS / (rows + CURVE_ROWS) * self.curve(bin_index)) @ self.basis(bin_index)
        moved = self.covariance @ to_curve
        through = self.basis(self.bins) @ moved / (self._relative * self.scale)
        return direct + through, float(_penalty(len(moved)) @ moved**2)

    def places(self, bin_index: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
        """Return where each bin is among those of the reference, and whether it is there."""
        at = np.minimum(np.searchsorted(self.bins, bin_index), len(self.bins) - 1)
        return at, self.bins[at] == bin_index

    def basis(self, bin_index: IntArray) -> FloatArray:
        """Return what each coefficient adds to the logarithm of the curve, shape (bins, coefficients)."""
        reach = (float(self.bins[0]), float(self.bins[-1]))
        z = (np.clip(bin_index.astype(np.float64), *reach) - self._center) / self._spread
        bends = [np.maximum(z - knot, 0.0) for knot in self._knots.tolist()]
        return np.stack([np.ones(len(z)), z, *bends], axis=1).astype(np.float64)

    def _fitted(self) -> tuple[FloatArray, FloatArray]:
        basis, penalty = self.basis(self.bins), _penalty(len(self._knots) + 2)
        rows, sums = self.rows / self._relative, self.sums / self.scale / self._relative
        found = np.zeros(basis.shape[1])
        for _ in range(_STEPS):
            mean = _exp(basis @ found)
            curvature = (basis * (rows * mean)[:, None]).T @ basis + np.diag(penalty)
            step = np.linalg.solve(curvature, basis.T @ (sums - rows * mean) - penalty * found)
            found = found + np.clip(step, -1.0, 1.0)
            if float(np.max(np.abs(step))) < _CONVERGED:
                break
        mean = _exp(basis @ found)
        information = (basis * (rows * mean)[:, None]).T @ basis + np.diag(penalty)
        return found, np.linalg.inv(information).astype(np.float64)


def _exp(values: FloatArray) -> FloatArray:
    """Return the exponential of numbers, within what the next Newton step can use."""
    return np.exp(np.clip(values, -50.0, 50.0)).astype(np.float64)


def _penalty(coefficients: int) -> FloatArray:
    """Return the precision of the prior of each coefficient about 0: one loss for all."""
    return np.array([_LEVEL, _SLOPE, *[_BEND] * (coefficients - 2)]) ** -2.0


def expected_loss(
    learned: LossCurve,
    bin_index: IntArray,
    weight: FloatArray,
    weight_of_squares: FloatArray,
    *,
    days: float | None = None,
    careful: bool = False,
) -> Expected:
    """Return the mean loss as it will be measured when the outcomes of a window have come, if the concept is unchanged.

    The variance is that of the losses to come, plus that of the losses learned, plus what rows of a day have in common,
    as much as in the reference.

    Args:
        learned: How large losses are.
        bin_index: Value bins of the window's predictions, shape (cells,); they may repeat.
        weight: Sum of row weights of each cell, shape (cells,), not all 0.
        weight_of_squares: Sum of squared row weights.
        days: Over how many groups, such as those of the reference, the rows are spread; None for independent rows.
        careful: See `expected_quality`.

    Returns:
        In the unit of the loss.

    Example:
        >>> bins = np.repeat([1, 2], 500)
        >>> learned = LossCurve(LossHistogram.from_rows(bins, np.tile([0.5, 1.5], 500) * bins))
        >>> found = expected_loss(learned, np.array([2]), np.array([100.0]), np.array([100.0]))
        >>> round(found.value, 2), round(found.standard_error, 2)
        (2.0, 0.11)

    Source: NannyML, direct loss estimation (2022, documentation), which fits a regression; bins of the prediction and
    the intervals are ours.
    """
    reference, size = learned.reference, float(np.sum(weight))
    outcome = float(weight_of_squares @ learned.variances(bin_index)) / size**2
    influence, prior = learned.influence(bin_index, weight / size)
    groups = int(reference.group.max()) + 1
    apart = (reference.loss - reference.weight * learned.curve(reference.bin_index)) * learned.each
    alone = float((learned.rows * learned.spreads) @ influence**2)
    together = long_run_sum(_centred(reference, apart * influence[learned.place], groups), alone if careful else 0.0)
    common, degrees = 0.0, math.inf
    if days is not None and groups >= _FEWEST_DAYS:
        at = np.clip(np.searchsorted(learned.bins, bin_index), 0, len(learned.bins) - 1)
        now = np.bincount(at, weight, len(learned.bins)).astype(np.float64)
        ratio = density_ratio_of_bins(learned.rows, now)
        sums = _centred(reference, apart * ratio[learned.place], groups)
        by_chance = float((learned.rows * learned.spreads) @ ratio**2)
        long_run, squares = long_run_sum(sums, by_chance if careful else 0.0), float(sums @ sums)
        beyond = max(long_run - by_chance, 0.0)
        sizes = np.bincount(reference.group, reference.weight * learned.each, groups)
        common = beyond / float(sizes @ sizes) / max(days, 1.0)
        degrees = max((groups - 1.0) * squares / long_run, 1.0) if long_run > 0.0 else groups - 1.0
    value = float(weight @ learned.losses(bin_index)) / size
    return Expected(value, outcome, common, max(alone, together) + prior, 0.0, (0.0, math.inf), degrees)


def _centred(reference: LossHistogram, sums: FloatArray, groups: int) -> FloatArray:
    """Return the sum of each group, less its part of the total."""
    found = np.bincount(reference.group, sums, groups)
    sizes = np.bincount(reference.group, reference.weight, groups)
    return (found - float(np.sum(found)) * sizes / float(np.sum(sizes))).astype(np.float64)
