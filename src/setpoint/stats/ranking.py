"""How well scores rank: the area under the ROC curve, from score bins."""

import math

import numpy as np

from setpoint.stats.classification import BinaryState, effective_rows, missing_rows
from setpoint.stats.estimate import LEVEL, Estimate
from setpoint.stats.intervals import wilson
from setpoint.stats.special import student_t_quantile

AUC_PRIOR_ROWS = 0.25
"""Rows per class at chance level that join the variance of AUC: at small n DeLong's is too small near 1."""


def auc(state: BinaryState) -> Estimate:
    """Return the area under the ROC curve: how often a positive row scores above a negative one, ties half.

    Rows of one score bin count as ties. The interval is DeLong's on the logit scale with Student's quantile
    (Satterthwaite degrees), its variance kept from vanishing near 1 by `AUC_PRIOR_ROWS`, and widened where
    needed to hold both `auc_bin_bounds`. It is never wider than Wilson's on the smaller class, whose size bounds the
    variance (Birnbaum & Klose 1957): near 1 the logit scale would open up to chance level. Assumes independent rows.

    Args:
        state: Counts of the window, with scores.

    Returns:
        Between 0 and 1, 0.5 is chance; unknown with fewer than 10 scored rows of either outcome.

    Example:
        >>> scores = np.arange(40) / 40
        >>> estimate = auc(BinaryState.from_rows(np.arange(40) % 20 > 9, scores=scores))
        >>> round(estimate.value, 3), round(estimate.low, 2), round(estimate.high, 2)
        (0.75, 0.55, 0.88)

    Source: DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44; Qin & Hotilovac (2008) for the logit scale.
    """
    positives, negatives = state.positives, state.negatives
    p, n = float(np.sum(positives)), float(np.sum(negatives))
    m1, m0 = effective_rows(state, (p, 0.0)), effective_rows(state, (0.0, n))
    missing = missing_rows(m1, "positive outcomes") or missing_rows(m0, "negative outcomes")
    if missing:
        return Estimate.unknown(missing)
    placed1 = (np.cumsum(negatives) - negatives / 2.0) / n
    placed0 = 1.0 - (np.cumsum(positives) - positives / 2.0) / p
    value = min(max(float(placed1 @ positives) / p, 0.0), 1.0)
    chance = AUC_PRIOR_ROWS * (0.5 - value) ** 2
    part1 = (float((placed1 - value) ** 2 @ positives) / p + chance / m1) / (m1 - 1.0)
    part0 = (float((placed0 - value) ** 2 @ negatives) / n + chance / m0) / (m0 - 1.0)
    lowest, highest = auc_bin_bounds(state)
    widest = wilson(value, 1.0, min(m1, m0))
    low, high = widest.low or 0.0, 1.0 if widest.high is None else widest.high
    if min(value, 1.0 - value) > 1e-12:  # noqa: PLR2004 - else a perfect ranking, up to rounding
        spread = part1 + part0
        degrees = spread**2 / (part1**2 / (m1 - 1.0) + part0**2 / (m0 - 1.0)) if spread > 0.0 else m1 + m0
        half = student_t_quantile((1.0 + LEVEL) / 2.0, degrees) * math.sqrt(spread) / (value * (1.0 - value))
        centre = math.log(value / (1.0 - value))
        ends = (1.0 / (1.0 + math.exp(-min(max(x, -700.0), 700.0))) for x in (centre - half, centre + half))
        low, high = max(low, next(ends)), min(high, next(ends))
    return Estimate(value, min(low, lowest, value), max(high, highest, value))


def auc_bin_bounds(state: BinaryState) -> tuple[float, float]:
    """Return the AUC if rows inside each bin were ranked worst, and if they were ranked best.

    The exact AUC of the rows lies between. A bin whose rows all have the same score is an exact tie and adds
    nothing.

    Args:
        state: Counts of the window, with scores.

    Returns:
        Both between 0 and 1; (0, 1), which says nothing, when an outcome is missing altogether.

    Example:
        >>> auc_bin_bounds(BinaryState.from_rows(np.array([0, 1, 1]), scores=np.array([0.5, 0.501, 0.9])))
        (0.5, 1.0)
    """
    pairs = float(np.sum(state.positives)) * float(np.sum(state.negatives))
    if pairs <= 0.0:
        return 0.0, 1.0
    together = state.positives * state.negatives
    below = float(state.positives @ (np.cumsum(state.negatives) - state.negatives))
    tied = state.lowest_scores == state.highest_scores
    below += float(np.sum(together[tied])) / 2.0
    return min(below / pairs, 1.0), min((below + float(np.sum(together[~tied]))) / pairs, 1.0)
