"""How far a model's probabilities are from the rates that come true."""

import math
from dataclasses import dataclass

import numpy as np

from setpoint.stats.classification import (
    NO_SCORES,
    BinaryState,
    effective_rows,
    missing_rows,
    weighted_share,
)
from setpoint.stats.estimate import LEVEL, Estimate, Z
from setpoint.stats.intervals import bounded, effective_size, gamma_interval
from setpoint.stats.special import FloatArray, erf, student_t_quantile

GROUPS = 15
ROWS_PER_GROUP = 20
FEWEST_ROWS = 100
DISTANCES = 40
SMALLEST_NOISE = 1e-9
FARTHEST = 10.0
"""Standard errors from 0 at which a folded normal is a normal."""

PRIOR_ROWS = 2.0
"""Rows at the model's own rate added to a group before its variance is taken, which is then never 0."""


@dataclass(frozen=True, slots=True)
class ReliabilityGroup:
    """Rows of neighbouring scores, and how often they came true: one point of a reliability diagram.

    Attributes:
        lowest_score: Smallest score of the group, 0 to 1.
        highest_score: Largest score of the group.
        mean_score: What the model said on average.
        rate: Share of positive outcomes, with its interval.
        weight: Sum of row weights; the number of rows when each was kept.
    """

    lowest_score: float
    highest_score: float
    mean_score: float
    rate: Estimate
    weight: float


@dataclass(frozen=True, slots=True)
class BrierDecomposition:
    """The Brier score in parts: brier = reliability - resolution + uncertainty + within_groups, exactly.

    Attributes:
        brier: Mean squared difference between score and outcome, 0 to 1.
        reliability: Mean squared gap between score and rate of a group; 0 is calibrated. Debiased, at least 0.
        resolution: Mean squared difference between a group's rate and the base rate; more is better. Debiased.
        uncertainty: base rate * (1 - base rate): the loss of a forecast that always says the base rate. Debiased.
        within_groups: What grouping hides: the variance of scores inside groups less twice their covariance with
            outcomes. Near 0; negative when scores still tell rows of one group apart.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_groups: float


@dataclass(frozen=True, slots=True)
class _Groups:
    """Groups of neighbouring score bins: share of weight, mean score, event rate, effective rows of each."""

    shares: FloatArray
    scores: FloatArray
    rates: FloatArray
    rows: FloatArray


def reliability(state: BinaryState, groups: int = GROUPS) -> list[ReliabilityGroup]:
    """Return the reliability table: groups of about equal weight, lowest scores first.

    Whole score bins are put together, so a group is never cut inside a bin and many equal scores make one large
    group. Each group has at least about 20 rows.

    Args:
        state: Counts of the window, with scores.
        groups: At most so many.

    Returns:
        Empty without scored rows.

    Example:
        >>> scores = np.repeat([0.2, 0.6], 500)
        >>> honest = BinaryState.from_rows(np.arange(1000) % 5 < np.repeat([1, 3], 500), scores=scores)
        >>> [(round(group.mean_score, 3), group.rate.value, group.weight) for group in reliability(honest)]
        [(0.2, 0.2, 500.0), (0.6, 0.6, 500.0)]

    Source: Murphy & Winkler (1977), Applied Statistics 26; Wilson's interval for the rates.
    """
    rows, _ = _scored_rows(state)
    if rows <= 0.0:
        return []
    filled = np.flatnonzero(state.positives + state.negatives)
    group_of = _group_of(state, _count(rows, groups))[filled]
    found: list[ReliabilityGroup] = []
    for group in np.unique(group_of).tolist():
        bins = filled[group_of == group]
        positive, negative = float(np.sum(state.positives[bins])), float(np.sum(state.negatives[bins]))
        found.append(
            ReliabilityGroup(
                float(state.lowest_scores[bins[0]]),
                float(state.highest_scores[bins[-1]]),
                float(np.sum(state.score_sums[bins])) / (positive + negative),
                weighted_share(state, (positive, None), (None, negative)),
                positive + negative,
            )
        )
    return found


def brier_decomposition(state: BinaryState) -> BrierDecomposition | None:
    """Return the Brier score as reliability, resolution, uncertainty and what lies within the groups.

    The plain parts are biased: noise in a group's rate reads as unreliability and as resolution. The expected
    excess is taken off both, and what would make reliability negative is taken off resolution too, so the sum
    holds exactly.

    Args:
        state: Counts of the window, with scores.

    Returns:
        None with fewer than 100 scored rows.

    Example:
        >>> scores = np.repeat([0.2, 0.6], 500)
        >>> honest = BinaryState.from_rows(np.arange(1000) % 5 < np.repeat([1, 3], 500), scores=scores)
        >>> parts = brier_decomposition(honest)
        >>> round(parts.brier, 4), round(parts.reliability, 4), round(parts.resolution, 4), round(parts.uncertainty, 4)
        (0.2, 0.0, 0.0402, 0.2402)

    Source: Murphy (1973), Journal of Applied Meteorology 12; Ferro & Fricker (2012), QJRMS 138, for the bias;
    Stephenson, Coelho & Jolliffe (2008), Weather and Forecasting 23, for what lies within the groups.
    """
    rows, row_weight = _scored_rows(state)
    if rows < FEWEST_ROWS - 1e-9:
        return None
    groups = _grouped(state, _count(rows), row_weight)
    base = float(groups.shares @ groups.rates)
    excess = float(groups.shares @ (groups.rates * (1.0 - groups.rates) / np.maximum(groups.rows - 1.0, 1.0)))
    spread = base * (1.0 - base) / (rows - 1.0)
    plain = float(groups.shares @ (groups.scores - groups.rates) ** 2)
    resolution = float(groups.shares @ (groups.rates - base) ** 2)
    brier = state.brier_sum / float(np.sum(state.positives + state.negatives))
    within = brier - plain + resolution - base * (1.0 - base)
    removed = min(excess, plain)
    return BrierDecomposition(
        brier, plain - removed, resolution - removed + spread, base * (1.0 - base) + spread, within
    )


def calibration_in_the_large(state: BinaryState) -> Estimate:
    """Return mean score - base rate: above 0 the model forecasts too much, below 0 too little.

    The interval is Student's, moved by the skewness of the differences, which rare outcomes have.

    Args:
        state: Counts of the window, with scores.

    Returns:
        Between -1 and 1; unknown with fewer than 10 scored rows of either outcome.

    Example:
        >>> proud = BinaryState.from_rows(np.arange(1000) % 5 < 1, scores=np.repeat([0.2, 0.6], 500))
        >>> gap = calibration_in_the_large(proud)
        >>> round(gap.value, 3), round(gap.low, 3), round(gap.high, 3)
        (0.2, 0.172, 0.227)

    Source: Cox (1958), Biometrika 45, for the measure; Johnson (1978), JASA 73, for the interval.
    """
    missing = _missing_outcomes(state)
    if missing:
        return Estimate.unknown(missing)
    rows, _ = _scored_rows(state)
    weight = float(np.sum(state.positives + state.negatives))
    gap = float(np.sum(state.score_sums) - np.sum(state.positives)) / weight
    scores, (positives, negatives) = _bin_scores(state), _row_weights(state)
    missed, called = scores - 1.0 - gap, scores - gap
    squares = positives * float(state.positives @ missed**2) + negatives * float(state.negatives @ called**2)
    cubes = positives**2 * float(state.positives @ missed**3) + negatives**2 * float(state.negatives @ called**3)
    student = student_t_quantile((1.0 + LEVEL) / 2.0, rows - 1.0)
    moved = cubes / squares * (1.0 + 2.0 * student**2) / (6.0 * weight)
    half = student * math.sqrt(squares * rows / (rows - 1.0)) / weight
    return Estimate(gap, max(min(gap + moved - half, gap), -1.0), min(max(gap + moved + half, gap), 1.0))


def observed_to_expected(state: BinaryState) -> Estimate:
    """Return positive outcomes / sum of scores: 1.2 says that a fifth more came true than forecast.

    The interval is `gamma_interval`, with the variance of the ratio by linearisation.

    Args:
        state: Counts of the window, with scores.

    Returns:
        At least 0; unknown with fewer than 10 scored rows of either outcome or when all scores are 0.

    Example:
        >>> proud = BinaryState.from_rows(np.arange(1000) % 5 < 1, scores=np.repeat([0.2, 0.6], 500))
        >>> ratio = observed_to_expected(proud)
        >>> round(ratio.value, 3), round(ratio.low, 3), round(ratio.high, 3)
        (0.5, 0.442, 0.571)

    Source: Riley et al. (2019), BMJ 366, for the measure; Cochran, Sampling Techniques (1977), section 6.3.
    """
    missing = _missing_outcomes(state)
    if missing:
        return Estimate.unknown(missing)
    expected, observed = float(np.sum(state.score_sums)), float(np.sum(state.positives))
    if expected <= 0.0:
        return Estimate.unknown("all scores are 0, so nothing was expected")
    rows, _ = _scored_rows(state)
    ratio, scores, (positives, negatives) = observed / expected, _bin_scores(state), _row_weights(state)
    squares = positives * float(state.positives @ (1.0 - ratio * scores) ** 2)
    squares += negatives * float(state.negatives @ (ratio * scores) ** 2)
    return bounded(ratio, *gamma_interval(ratio, squares / observed**2 * rows / (rows - 1.0)))


def calibration_error(state: BinaryState) -> Estimate:
    """Return the expected calibration error: the mean gap between score and event rate, debiased.

    Score bins are put into at most 15 groups of about equal weight and at least 20 rows. The raw sum of
    absolute gaps is biased upwards: a perfectly calibrated model never reads 0. So the error is found by
    inversion: the value is the distance from the scores at which the median reading is what was measured; the
    interval holds the distances for which the measured number is not in a tail of 2.5 %. Readings at a distance
    are a weighted sum of folded normals; its quantiles come from its first three cumulants. How the distance is
    spread over groups is unknown and matters: the value uses the measured gaps, the interval the union of two
    extremes, gaps only where they are significant and gaps even over all groups. A little wide: see
    `bench/coverage.py`. Errors that cancel inside a group are not seen.

    Args:
        state: Counts of the window, with scores.

    Returns:
        Between 0 and 1, 0 is perfect; unknown with fewer than 100 scored rows.

    Example:
        >>> scores = np.repeat([0.2, 0.6], 500)
        >>> honest = BinaryState.from_rows(np.arange(1000) % 5 < np.repeat([1, 3], 500), scores=scores)
        >>> proud = BinaryState.from_rows(np.arange(1000) % 5 < 1, scores=scores)
        >>> round(calibration_error(honest).value, 3), round(calibration_error(proud).value, 3)
        (0.0, 0.193)

    Source: Bröcker (2012), Climate Dynamics 39, Kumar, Liang & Ma (2019), "Verified uncertainty calibration", and
    Roelofs et al. (2022), "Mitigating bias in calibration error estimation", for the bias and equal weights; Leone,
    Nelson & Nottingham (1961), Technometrics 3, for the folded normal; the inversion is ours.
    """
    rows, row_weight = _scored_rows(state)
    if rows < FEWEST_ROWS - 1e-9:
        return Estimate.unknown(f"needs {int(np.ceil(FEWEST_ROWS - rows - 1e-9))} more outcomes with a score")
    groups = _grouped(state, _count(rows), row_weight)
    gaps, noise = groups.scores - groups.rates, _noise(groups)
    measured = float(groups.shares @ np.abs(gaps))
    furthest = measured + 4.0 * float(np.sqrt(np.sum((groups.shares * noise) ** 2)))
    sides, sizes = np.where(gaps < 0.0, -1.0, 1.0), np.maximum(np.abs(gaps), 1e-9)
    clear = sizes / noise >= min(Z, float(np.max(sizes / noise)))
    value = _distances_that_fit(groups, sides * sizes, measured, furthest)[1]
    even = _distances_that_fit(groups, sides * noise, measured, furthest)
    sparse = _distances_that_fit(groups, sides * sizes * clear, measured, furthest)
    return Estimate(value, min(value, even[0], sparse[0]), max(value, even[2], sparse[2]))


def _missing_outcomes(state: BinaryState) -> str:
    """Return what keeps scores from being compared with outcomes, or an empty string."""
    positive, negative = float(np.sum(state.positives)), float(np.sum(state.negatives))
    if positive + negative <= 0.0:
        return NO_SCORES
    return missing_rows(effective_rows(state, (positive, 0.0)), "positive outcomes") or missing_rows(
        effective_rows(state, (0.0, negative)), "negative outcomes"
    )


def _scored_rows(state: BinaryState) -> tuple[float, float]:
    """Return the effective number of scored rows and the mean weight of a row."""
    total = float(np.sum(state.positives + state.negatives))
    row_weight = state.weight_of_squares / state.weight if state.weight > 0.0 else 1.0
    return effective_size(total, total * row_weight), row_weight


def _row_weights(state: BinaryState) -> tuple[float, float]:
    """Return the mean weight, by weight, of a row with a positive and of one with a negative outcome."""
    return (
        state.positive_weight_of_squares / state.positive_weight,
        state.negative_weight_of_squares / state.negative_weight,
    )


def _bin_scores(state: BinaryState) -> FloatArray:
    """Return the mean score of each bin, 0 where a bin is empty."""
    weights = state.positives + state.negatives
    return np.divide(state.score_sums, weights, out=np.zeros(len(weights)), where=weights > 0.0)


def _count(rows: float, most: int = GROUPS) -> int:
    """Return into how many groups rows are put."""
    return max(min(most, int(rows / ROWS_PER_GROUP)), 1)


def _group_of(state: BinaryState, count: int) -> FloatArray:
    """Return the group of each bin: `count` groups of about equal weight, some of them perhaps empty."""
    weights = state.positives + state.negatives
    middle = np.cumsum(weights) - weights / 2.0
    return np.minimum(np.floor(count * middle / np.sum(weights)), count - 1)


def _grouped(state: BinaryState, count: int, row_weight: float) -> _Groups:
    """Return at most `count` groups of neighbouring bins of about equal weight."""
    weights, group_of = state.positives + state.negatives, _group_of(state, count).astype(np.int64)
    sums = [np.bincount(group_of, column, count) for column in (weights, state.score_sums, state.positives)]
    held = sums[0] > 0.0
    total, scores, positives = (column[held].astype(np.float64) for column in sums)
    return _Groups(total / np.sum(total), scores / total, positives / total, total / row_weight)


def _noise(groups: _Groups) -> FloatArray:
    """Return the standard error of each group's event rate, at least that of a calibrated group."""
    smooth = (groups.rows * groups.rates + PRIOR_ROWS * groups.scores) / (groups.rows + PRIOR_ROWS)
    spread = np.maximum(smooth * (1.0 - smooth), groups.scores * (1.0 - groups.scores))
    return np.sqrt(np.maximum(spread, 1e-12) / groups.rows)


def _distances_that_fit(
    groups: _Groups, shape: FloatArray, measured: float, furthest: float
) -> tuple[float, float, float]:
    """Return the distances, spread like `shape`, whose readings have `measured` at 97.5 %, 50 % and 2.5 %.

    The last one takes at least the median of perfect calibration as measured: luck is no proof of perfection.
    """
    steps = np.linspace(0.0, furthest, DISTANCES) / float(groups.shares @ np.abs(shape))
    rates = np.clip(groups.scores - steps[:, None] * shape, 0.0, 1.0)
    gaps = np.abs(groups.scores - rates)
    low, middle, high = _readings(gaps, np.sqrt(rates * (1.0 - rates) / groups.rows), groups.shares)
    distances = np.maximum.accumulate(gaps @ groups.shares)
    return (
        float(np.interp(measured, high, distances)),
        float(np.interp(measured, middle, distances)),
        float(np.interp(max(measured, float(middle[0])), low, distances)),
    )


def _readings(gaps: FloatArray, noise: FloatArray, shares: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return quantiles at 2.5 %, 50 % and 97.5 % of sum(share * |gap + noise * normal|), per row of gaps."""
    noise = np.maximum(noise, SMALLEST_NOISE)
    # farther out nothing is folded, and the powers of z would only add rounding
    z = np.minimum(gaps / noise, FARTHEST)
    inside, density = erf(z / math.sqrt(2.0)), math.sqrt(2.0 / math.pi) * np.exp(-0.5 * z * z)
    mean = density + z * inside
    variance = 1.0 + z * z - mean * mean
    third = (z**3 + 3.0 * z) * inside + (z * z + 2.0) * density - 3.0 * mean * (1.0 + z * z) + 2.0 * mean**3
    scale = shares * noise
    centre = np.sum(scale * mean + shares * np.maximum(gaps - FARTHEST * noise, 0.0), axis=1)
    spread = np.sqrt(np.sum(scale**2 * variance, axis=1))
    skewness = np.sum(scale**3 * third, axis=1) / spread**3
    quantiles = (centre + spread * (side * Z + skewness / 6.0 * (side * side * Z * Z - 1.0)) for side in (-1, 0, 1))
    low, middle, high = (np.maximum.accumulate(quantile) for quantile in quantiles)
    return low, middle, high
