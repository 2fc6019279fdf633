"""Does a column know what it cannot know? Tests on the columns of a training set and a later evaluation set.

Effects are judged by their size and not by a p-value alone: with a hundred thousand rows every honest column is
related to the outcome beyond chance. A leak is far too strong, or equal to what only the outcomes could tell.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from setpoint.stats.classification import BinaryState
from setpoint.stats.estimate import Estimate, Z
from setpoint.stats.intervals import wilson
from setpoint.stats.ranking import auc
from setpoint.stats.special import FloatArray, IntArray, chi_square_quantile

FEWEST_ROWS = 50
"""Rows with an outcome below which a column is not judged."""
STRONG = 0.75
"""Strength from which a column is looked at."""
ALONE = 1.0 / 3.0
"""A strong column stands out when what it leaves open is at most this share of what the next column leaves open."""
PRIOR_ROWS = 10.0
"""Rows at the overall average that join each category, so that rare ones are not taken at their word."""
REACHES = (1, 2, 4, 8, 16, 32, 64)
"""How many rows ahead are looked at for a column that knows the future."""
_SAME = 1e-6
_ROUNDING = 1e-10
_SPEARMAN_VARIANCE = 1.06
_SURE = 1e-6
_FEWEST_GROUPS = 20
_FEWEST_VALUES = 5
_FEWEST_STRETCHES = 100


def strength(values: FloatArray, outcomes: FloatArray, *, is_binary: bool) -> Estimate:
    """Return how far one column alone orders the outcomes: 0 not at all, 1 without a mistake.

    For a yes-or-no outcome |2 AUC - 1| with the interval of `ranking.auc`, else Spearman's |rank correlation|
    with Fisher's interval. Assumes independent rows. A relation that goes up and down again is not seen.

    Args:
        values: Of the column, shape (rows,); nan is missing and left out.
        outcomes: 0 or 1, or numbers, shape (rows,), without missing values.
        is_binary: Which of both.

    Returns:
        Between 0 and 1; unknown with fewer than `FEWEST_ROWS` values, or 10 of either outcome.

    Example:
        >>> found = strength(np.arange(100.0), np.arange(100.0) ** 2, is_binary=False)
        >>> round(found.value, 3), round(found.low, 3)
        (1.0, 1.0)

    Source: Bonett & Wright (2000), Psychometrika 65, for the interval of Spearman's correlation.
    """
    known = ~np.isnan(values)
    x, y = values[known], outcomes[known]
    if len(x) < FEWEST_ROWS:
        return Estimate.unknown(f"needs {FEWEST_ROWS - len(x)} more rows with a value and an outcome")
    if is_binary:
        return _folded(_exact_auc(x, y))
    rank_x, rank_y = ranks(x), ranks(y)
    if rank_x.std() == 0.0 or rank_y.std() == 0.0:
        return Estimate(0.0, 0.0, 0.0)
    value = min(abs(float(np.corrcoef(rank_x, rank_y)[0, 1])), 1.0)
    return _fisher(value, (len(x) - 3.0) / _SPEARMAN_VARIANCE)


def _exact_auc(values: FloatArray, outcomes: FloatArray) -> Estimate:
    """Return the AUC of any numbers: a bin for each different value, so that only equal ones tie."""
    different, place = np.unique(values, return_inverse=True)
    positives = np.bincount(place, weights=outcomes, minlength=len(different)).astype(np.float64)
    negatives = np.bincount(place, minlength=len(different)).astype(np.float64) - positives
    nothing = np.zeros(len(different))
    yes, no = float(positives.sum()), float(negatives.sum())
    index = np.arange(len(different), dtype=np.int64)
    return auc(BinaryState(index, negatives, positives, nothing, nothing, nothing, yes, no, yes, no))


def _folded(found: Estimate) -> Estimate:
    """Return |2 AUC - 1| of an AUC: which outcome the high values go with does not matter."""
    if found.value is None or found.low is None or found.high is None:
        return found
    ends = sorted((abs(2.0 * found.low - 1.0), abs(2.0 * found.high - 1.0)))
    value = abs(2.0 * found.value - 1.0)
    low = 0.0 if found.low <= 0.5 <= found.high else ends[0]  # noqa: PLR2004 — chance
    return Estimate(value, min(low, value), max(ends[1], value))


def _fisher(value: float, degrees: float) -> Estimate:
    """Return a correlation between 0 and 1 with Fisher's interval; `degrees` is 1 / variance of its arctanh."""
    if value >= 1.0 - 1e-12 or degrees <= 0.0:
        return Estimate(value, value if degrees > 0.0 else 0.0, 1.0)
    half = Z / math.sqrt(degrees)
    return Estimate(value, max(math.tanh(math.atanh(value) - half), 0.0), math.tanh(math.atanh(value) + half))


def ranks(values: FloatArray) -> FloatArray:
    """Return the rank of each value, from 0 on; equal values share the mean of theirs.

    Args:
        values: Shape (rows,), without missing values.

    Example:
        >>> ranks(np.array([5.0, 1.0, 5.0])).tolist()
        [1.5, 0.0, 1.5]
    """
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2.0)[place]


def averages(categories: FloatArray, outcomes: FloatArray, asked: FloatArray) -> FloatArray:
    """Return the average outcome of each row's category, drawn towards the overall one by `PRIOR_ROWS` rows.

    Args:
        categories: Codes, shape (rows,); nan is a category too.
        outcomes: Shape (rows,), without missing values, at least one.
        asked: Codes of the rows to answer for, which had no say, shape (asked,); unknown ones get the overall average.

    Example:
        >>> averages(np.zeros(90), np.ones(90), np.array([0.0, 7.0])).tolist()
        [1.0, 1.0]
    """
    overall = float(outcomes.mean())
    known, place = np.unique(np.concatenate([categories, asked]), return_inverse=True, equal_nan=True)
    seen = place[: len(categories)]
    sums = np.bincount(seen, weights=outcomes - overall, minlength=len(known))
    counts = np.bincount(seen, minlength=len(known))
    return (overall + sums / (counts + PRIOR_ROWS))[place[len(categories) :]]


def stand_out(strengths: Sequence[Estimate]) -> list[int]:
    """Return which columns are suspiciously strong: strong, and far above all the others.

    Strong columns are honest where a problem is easy; then there are many of them. So a column stands out only if the
    lower end of its strength is above `STRONG` and it leaves open at most `ALONE` of what the best of the others
    leaves open at the upper end of its own. At most a third of the columns can stand out.

    Args:
        strengths: Of each column; unknown ones are left out.

    Returns:
        Their places, the strongest first; none with fewer than two known strengths.

    Example:
        >>> stand_out([Estimate(0.1, 0.0, 0.2), Estimate(0.97, 0.95, 0.98), Estimate(0.2, 0.1, 0.3)])
        [1]
    """
    order = sorted((n for n, one in enumerate(strengths) if one.is_known), key=lambda n: -(strengths[n].value or 0.0))
    found = 0
    for count in range(1, min(len(order) - 1, max(1, len(order) // 3)) + 1):
        low, high = strengths[order[count - 1]].low or 0.0, strengths[order[count]].high or 0.0
        if low >= STRONG and 1.0 - low <= ALONE * (1.0 - high):
            found = count
    return order[:found]


@dataclass(frozen=True, slots=True)
class Tell:
    """What it tells that a value is missing, or that it is there.

    Attributes:
        strength: Of the flag "is missing", 0 to 1.
        purity: Share of the rarer outcome among the rows with the flag that is surer; unknown for numbers.
        is_missing: Whether it is the missing rows that have the rarer outcome.
        rest: Share of the rarer outcome among the other rows.
        rows: Rows with that flag.
    """

    strength: Estimate
    purity: Estimate
    is_missing: bool
    rest: float
    rows: int


def missing_tells(is_missing: FloatArray, outcomes: FloatArray, *, is_binary: bool) -> Tell:
    """Return how much the outcome is given away by a value being missing.

    Args:
        is_missing: 1 where it is, shape (rows,).
        outcomes: 0 or 1, or numbers, shape (rows,), without missing values, at least one.
        is_binary: Which of both.

    Example:
        >>> flag = np.repeat([1.0, 0.0], 50)
        >>> missing_tells(flag, flag, is_binary=True).strength.value
        1.0
    """
    flag = strength(is_missing, outcomes, is_binary=is_binary)
    if not is_binary:
        return Tell(flag, Estimate.unknown("the outcome is a number"), is_missing=True, rest=0.0, rows=0)
    rare = outcomes if outcomes.mean() <= 0.5 else 1.0 - outcomes  # noqa: PLR2004 — the rarer of two
    found: list[Tell] = []
    for which in (True, False):
        chosen = (is_missing == 1.0) == which
        count, rest = int(chosen.sum()), rare[~chosen]
        other = float(rest.mean()) if len(rest) else 0.0
        found.append(Tell(flag, wilson(float(rare[chosen].sum()), float(count)), which, other, count))
    return max(found, key=lambda one: one.purity.low or 0.0)


def own_averages(values: FloatArray, outcomes: FloatArray) -> float:
    """Return the share of rows whose value is the average outcome of the very rows that carry this value.

    A column that was encoded with the outcomes of these rows has 1; one that was encoded with other rows has about 0.

    Args:
        values: Shape (rows,); nan is missing and left out.
        outcomes: Shape (rows,), without missing values.

    Returns:
        Between 0 and 1; 0 with fewer than five different values that occur more than once.

    Example:
        >>> value, outcome = np.repeat(np.arange(5.0) / 4, 4), np.tile([0.0, 0.0, 1.0, 1.0], 5)
        >>> own_averages(np.full(20, 0.5), outcome), own_averages(value, np.floor(np.arange(20) % 4 / 4 + value))
        (0.0, 1.0)
    """
    different, counts, means = _by_value(values, outcomes)
    repeated = counts > 1
    if int(repeated.sum()) < _FEWEST_VALUES or not len(outcomes):
        return 0.0
    scale = max(float(np.abs(outcomes).max()), _SAME)
    same = repeated & (np.abs(different - means) <= _SAME * scale)
    return float(counts[same].sum() / counts[repeated].sum())


def _by_value(values: FloatArray, outcomes: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the different values, how many rows each has, and their mean outcome."""
    known = ~np.isnan(values)
    different, place = np.unique(values[known], return_inverse=True)
    counts = np.bincount(place, minlength=len(different)).astype(np.float64)
    sums = np.bincount(place, weights=outcomes[known], minlength=len(different))
    return different, counts, sums / np.maximum(counts, 1.0)


def too_calibrated(values: FloatArray, outcomes: FloatArray) -> Estimate:
    """Return how close the values come to the observed rates, where 1 is what chance leaves and 0 is equal.

    Even the true probability of a group of n rows misses its observed rate by p (1 - p) / n in the mean square. A
    column that misses it by much less was made with these outcomes. Unequal true probabilities and groups that
    fluctuate together only add to the misses of a column that was not.

    Args:
        values: Probabilities that groups of rows share, shape (rows,); nan is missing and left out.
        outcomes: 0 or 1, shape (rows,), without missing values.

    Returns:
        Mean squared miss in units of chance; its upper end is what can be excluded at one in a million. Unknown with
        fewer than 20 groups of values inside (0, 1).

    Example:
        >>> value = np.repeat(np.arange(1, 40) / 40, 40)
        >>> round(too_calibrated(value, (np.tile(np.arange(40), 39) < value * 40).astype(float)).high, 3)
        0.0

    Source: Hosmer & Lemeshow (1980), Communications in Statistics A9: their statistic, read at its lower tail.
    """
    different, counts, means = _by_value(values, outcomes)
    chance = different * (1.0 - different) / np.maximum(counts, 1.0)
    usable = (different > 0.0) & (different < 1.0) & (counts * counts * chance >= 1.0)
    groups = int(usable.sum())
    if groups < _FEWEST_GROUPS or bool(np.any((different < 0.0) | (different > 1.0))):
        return Estimate.unknown("the values are no probabilities shared by groups of rows")
    misses = float(((different - means)[usable] ** 2 / chance[usable]).sum())
    return Estimate(misses / groups, None, misses / max(chi_square_quantile(_SURE, float(groups)), 1e-300))


@dataclass(frozen=True, slots=True)
class Repeats:
    """How far the outcome is a function of a column, from values that occur more than once.

    Attributes:
        explained: Share of the outcome's variance that equal values share, corrected for their number; at most 1.
        rows: Rows with a value that occurs more than once.
        turns: How often the outcome turns from mostly no to mostly yes or back as the value rises.
    """

    explained: float
    rows: int
    turns: int


def repeats(values: FloatArray, outcomes: FloatArray) -> Repeats:
    """Return how far equal values go with equal outcomes, even where higher values do not go with higher ones.

    Args:
        values: Numbers, shape (rows,); nan is missing and left out.
        outcomes: 0 or 1, shape (rows,), without missing values.

    Example:
        >>> repeats(np.array([1.0, 1, 2, 2, 3, 3]), np.array([0.0, 0, 1, 1, 0, 0]))
        Repeats(explained=1.0, rows=6, turns=2)
    """
    _, counts, means = _by_value(values, outcomes)
    counts, means = counts[counts > 1], means[counts > 1]
    rows, groups = float(counts.sum()), len(counts)
    if rows - groups < 1.0:
        return Repeats(0.0, int(rows), 0)
    overall = float((counts * means).sum() / rows)
    total, within = rows * overall * (1.0 - overall), float((counts * means * (1.0 - means)).sum())
    explained = 1.0 - (within / (rows - groups)) / (total / (rows - 1.0)) if total > 0.0 else 0.0
    return Repeats(explained, int(rows), int(np.sum(np.diff(means >= 0.5) != 0)))  # noqa: PLR2004 — mostly yes


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a column says about the outcomes of later rows beyond what earlier rows and the present one say.

    Attributes:
        share: Share of their remaining variance that it explains, 0 to 1.
        reach: How many later rows they are.
        present: Share that it explains of the present outcome, beyond earlier rows.
    """

    share: Estimate
    reach: int
    present: float


def knows_ahead(values: FloatArray, outcomes: FloatArray, groups: IntArray) -> Ahead:
    """Return what a column says about the mean outcome of the next rows, at the reach where it says most.

    The mean of the next rows is regressed on the mean of as many rows before, on the present outcome, and on the
    column: what counts is what the column adds. A rolling mean of the past adds little, one of the future nearly all.
    Whatever causes later outcomes adds something honestly; the noise of single outcomes nobody can know.

    Args:
        values: Shape (rows,), in the order of time inside each group; nan is missing and left out.
        outcomes: Shape (rows,), without missing values.
        groups: Entity of each row, rows of one entity together, shape (rows,).

    Returns:
        The share has Fisher's interval, with rows divided by the reach since later means overlap. Unknown when no
        reach has 100 such rows.

    Example:
        >>> y = np.tile([0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0], 100)
        >>> found = knows_ahead(np.roll(y, -1), y, np.zeros(700, dtype=np.int64))
        >>> round(found.share.value, 3), found.reach
        (1.0, 1)
    """
    total = np.concatenate([[0.0], np.cumsum(outcomes - outcomes.mean() if len(outcomes) else outcomes)])
    best, most, where = 0, -1.0, np.zeros(0, dtype=np.int64)
    for reach in REACHES:
        at = np.arange(reach, max(len(outcomes) - reach, reach))
        at = at[(groups[at - reach] == groups[at + reach]) & ~np.isnan(values[at])] if len(at) else at
        if len(at) < _FEWEST_STRETCHES * reach:
            continue
        later = (total[at + reach + 1] - total[at + 1]) / reach
        share = _added(values[at], later, np.column_stack([_before(total, at, reach), outcomes[at]]))
        if share > most:
            best, most, where = reach, share, at
    if not best:
        return Ahead(Estimate.unknown("needs more rows in the order of time"), 0, 0.0)
    interval = _fisher(math.sqrt(most), len(where) / best - 6.0)
    low, high = (interval.low or 0.0) ** 2, 1.0 if interval.high is None else interval.high**2
    present = _added(values[where], outcomes[where], _before(total, where, best)[:, np.newaxis])
    return Ahead(Estimate(most, min(low, most), max(high, most)), best, present)


def _before(total: FloatArray, at: IntArray, reach: int) -> FloatArray:
    """Return the mean outcome of the rows before, from running sums."""
    return (total[at] - total[at - reach]) / reach


def _added(values: FloatArray, target: FloatArray, known: FloatArray) -> float:
    """Return the share of the target's variance left by what is known that the values explain: partial R squared."""
    table = np.vstack([target, values, known.T])
    table -= table.mean(axis=1, keepdims=True)
    products = table @ table.T
    # What the known columns explain goes away: the Schur complement leaves products of residuals.
    across = products[:2, 2:]
    solved = cast("FloatArray", np.linalg.lstsq(products[2:, 2:], across.T, rcond=None)[0])
    left = products[:2, :2] - across @ solved
    if left[0, 0] <= _ROUNDING * products[0, 0] or left[1, 1] <= _ROUNDING * products[1, 1]:
        return 0.0
    return min(float(left[0, 1] ** 2 / (left[0, 0] * left[1, 1])), 1.0)


def scaled_with_both(train: FloatArray, test: FloatArray) -> str:
    """Return how a column was scaled with the evaluation rows: `mean and deviation`, `range`, or an empty text.

    Args:
        train: Its values in the training rows, shape (rows,); nan is missing.
        test: Its values in the evaluation rows.

    Example:
        >>> both = np.random.default_rng(0).normal(size=400)
        >>> both = (both - both.mean()) / both.std()
        >>> scaled_with_both(both[:300], both[300:]), scaled_with_both(both[:300], both[:0])
        ('mean and deviation', '')
    """
    a, b = train[~np.isnan(train)], test[~np.isnan(test)]
    both = np.concatenate([a, b])
    if min(len(a), len(b)) < FEWEST_ROWS or len(np.unique(both)) < FEWEST_ROWS:
        return ""
    spreads = [float(both.std(ddof=freedom)) for freedom in (0, 1)]
    if abs(float(both.mean())) < _SAME and any(abs(spread - 1.0) < _SAME for spread in spreads):
        apart = 100 * _SAME
        return "mean and deviation" if abs(float(a.mean())) > apart or abs(float(a.std()) - 1.0) > apart else ""
    # A share of something has both ends in the training rows, or reaches an end more than once.
    ends = [(float(part.min()), float(part.max())) for part in (a, both)]
    at_ends = int(np.sum((both == 0.0) | (both == 1.0)))
    return "range" if ends[1] == (0.0, 1.0) and ends[0] != ends[1] and at_ends == 2 else ""  # noqa: PLR2004 — once each
