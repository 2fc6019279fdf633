"""How rows of one window are weighted to look like those of another: a small classifier that tells them apart.

Assumes that both windows draw from the same kinds of rows, only in other shares: what one of them never holds has no
weight, and then the answer is unknown.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.stats.intervals import effective_size
from setpoint.stats.score_map import logistic
from setpoint.stats.special import FloatArray, IntArray

FEWEST_EFFECTIVE_ROWS = 100
LARGEST_AUC = 0.95
"""A classifier that tells two windows apart better than this says that they have little in common."""

FOLDS = 3
_BINS, _LARGEST_WEIGHT, _PENALTY, _STEPS = 8, 20.0, 1.0, 12


@dataclass(frozen=True, slots=True, eq=False)
class DensityRatio:
    """Weights of reference rows.

    Attributes:
        weights: Of each reference row, with mean 1, shape (rows,); empty when they are unknown.
        effective_rows: Equally weighted rows that carry as much information.
        auc: How well rows of the two windows are told apart, by rows held out: 0.5 not at all, 1 always.
        unknown: Why there are no weights; empty when there are.
    """

    weights: FloatArray
    effective_rows: float
    auc: float
    unknown: str = ""


def density_ratio(reference: Sequence[FloatArray], current: Sequence[FloatArray], *, seed: int = 0) -> DensityRatio:
    """Return the weights with which the rows of a reference look like those of a current window.

    Each input is cut into at most eight parts of the pooled rows, a missing value is one of its own, and a logistic
    regression on these parts tells current from reference. It is fitted on two thirds of the rows for the last third,
    so that no row weighs itself. Weights above 20 are cut off.

    Args:
        reference: Each input of the reference, one array of numbers an input, nan for a missing value, shape (rows,).
            Categories are codes.
        current: The same inputs of the current window.
        seed: Of the random folds.

    Returns:
        Unknown when fewer than 100 effective rows are left, or the windows have little in common (AUC above 0.95).

    Raises:
        ValueError: The inputs are not the same in number, or there are none.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> before, now = rng.normal(0.0, 1.0, 4000), rng.normal(0.5, 1.0, 4000)
        >>> found = density_ratio([before], [now])
        >>> round(float(np.average(before, weights=found.weights)), 1), round(found.auc, 1)
        (0.5, 0.6)

    Source: Bickel, Brückner & Scheffer (2009), JMLR 10, for weights by a classifier; Białek et al. (2024), "Estimating
    model performance under covariate shift without labels", for their use here.
    """
    if not reference or len(reference) != len(current):
        msg = f"the same inputs of both windows are compared, got {len(reference)} and {len(current)}"
        raise ValueError(msg)
    rows, others = len(reference[0]), len(current[0])
    nothing = np.zeros(0)
    if min(rows, others) < FEWEST_EFFECTIVE_ROWS:
        short = FEWEST_EFFECTIVE_ROWS - min(rows, others)
        return DensityRatio(nothing, 0.0, math.nan, f"needs {short} more rows to tell the two windows apart")
    parts = np.concatenate([_parts(np.concatenate(pair)) for pair in zip(reference, current, strict=True)], axis=1)
    is_current = np.repeat([0.0, 1.0], [rows, others])
    balance = np.repeat([others / (rows + others), rows / (rows + others)], [rows, others])
    log_odds = _held_out(parts, is_current, balance, np.random.default_rng(seed))
    auc = _auc(log_odds[:rows], log_odds[rows:])
    if auc > LARGEST_AUC:
        why = f"the two windows have too little in common: rows are told apart with an AUC of {auc:.2f}"
        return DensityRatio(nothing, 0.0, auc, why)
    weights = np.minimum(np.exp(np.minimum(log_odds[:rows], 50.0)), _LARGEST_WEIGHT)
    weights = weights / np.mean(weights)
    effective = effective_size(float(np.sum(weights)), float(weights @ weights))
    if effective < FEWEST_EFFECTIVE_ROWS:
        why = f"only {effective:.0f} of {rows:,} rows look like those of now, and {FEWEST_EFFECTIVE_ROWS} are needed"
        return DensityRatio(nothing, effective, auc, why)
    return DensityRatio(weights, effective, auc)


def _parts(values: FloatArray) -> FloatArray:
    """Return which part of an input each row is in, as one column of 0 and 1 a part but the first.

    One column more says where in its part a number lies: the first and the last part are long.
    """
    is_known = ~np.isnan(values)
    known = values[is_known]
    distinct, place, counts = np.unique(known, return_inverse=True, return_counts=True)
    if len(distinct) <= _BINS:
        edges, trend = (distinct[1:] + distinct[:-1]) / 2.0, []
    else:
        edges = np.unique(np.quantile(known, np.arange(1, _BINS) / _BINS))
        below = (np.cumsum(counts) - counts / 2.0) / len(known)
        trend = [np.zeros(len(values))]
        trend[0][is_known] = np.log(below / (1.0 - below))[place]
    code: IntArray = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))
    parts = (code == part for part in range(1, len(edges) + 2))
    return np.stack([*parts, *trend], axis=1).astype(np.float64)


def _held_out(parts: FloatArray, is_current: FloatArray, balance: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return the log odds of each row to be current, from a regression on rows of the other folds."""
    fold = rng.permutation(np.arange(len(parts)) % FOLDS)
    with_level = np.concatenate([np.ones((len(parts), 1)), parts], axis=1)
    found = np.zeros(len(parts))
    for held in range(FOLDS):
        rest = fold != held
        found[~rest] = with_level[~rest] @ _regression(with_level[rest], is_current[rest], balance[rest])
    return found


def _regression(columns: FloatArray, is_current: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the coefficients of a ridge logistic regression, by Newton steps; its level is not penalised."""
    penalty = np.full(columns.shape[1], _PENALTY)
    penalty[0] = 1e-6
    found = np.zeros(columns.shape[1])
    for _ in range(_STEPS):
        p = logistic(columns @ found)
        curvature = (columns * (weights * p * (1.0 - p))[:, None]).T @ columns + np.diag(penalty)
        step = np.linalg.solve(curvature, columns.T @ (weights * (is_current - p)) - penalty * found)
        found = found + np.clip(step, -4.0, 4.0)
        if float(np.max(np.abs(step))) < 1e-6:  # noqa: PLR2004 - no weight changes any more
            break
    return found


def _auc(low: FloatArray, high: FloatArray) -> float:
    """Return how often a number of `high` is above one of `low`, ties half."""
    ordered = np.sort(low)
    below = np.searchsorted(ordered, high, side="left") + np.searchsorted(ordered, high, side="right")
    return float(np.mean(below)) / (2.0 * len(low))
