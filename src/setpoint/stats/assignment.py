"""Evidence that one of two versions is worse, batch by batch: exact, for all that is random is who was assigned where.

If the versions are equal, each request of a batch might as well have gone to the other one. What the batch holds in all
is taken as it is, so neither changing shares of the traffic nor what befalls both versions at once is evidence.
Somebody bets that the candidate is worse; if it is not, the wealth reaches x with a chance of at most 1 / x, however
often one looks (Ville, 1939). Requests that fail together, such as those of a session, must enter as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from setpoint.stats.special import FloatArray, IntArray


def log_odds_factors(
    stable: tuple[int, int], candidate: tuple[int, int], odds: Sequence[float], null_odds: Sequence[float] = (1.0,)
) -> FloatArray:
    """Return the logarithm of what each bet on an odds ratio wins in one batch.

    Whoever bets on more than the null's wins nothing on average while the true odds ratio is at most that, and who
    bets on less while it is at least that: the first is evidence that the candidate is worse than it may be, the
    second that it is better than a red line.

    Args:
        stable: Rows of the stable version, and those of them in which it happened.
        candidate: The same of the candidate.
        odds: Odds ratios that are bet on, above 0, shape (bets,).
        null_odds: The odds ratio that is bet against: one for all, or one a bet.

    Returns:
        Shape (bets,); zeros when nothing or everything happened, or a version has no rows.

    Example:
        >>> log_odds_factors((900, 9), (100, 4), (2.0, 4.0)).round(2).tolist()
        [1.54, 2.17]
        >>> log_odds_factors((900, 9), (100, 1), (2.0, 4.0)).round(2).tolist()
        [-0.26, -1.22]

    Source: Fisher (1935), the noncentral hypergeometric distribution of a table whose margins are given; Lindon & Malek
    (2022), "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 35, for such bets on counts in experiments.
    """
    (stable_rows, stable_hits), (rows, hits) = stable, candidate
    happened = stable_hits + hits
    least, most = max(0, happened - stable_rows), min(rows, happened)
    if least == most:
        return np.zeros(len(odds))
    ratios = sorted({*odds, *null_odds})
    low, high = (_likeliest(stable_rows, rows, happened, one) for one in (ratios[0], ratios[-1]))
    spread = math.sqrt(_NOTHING / 2.0 * min(rows, happened)) + 1.0  # Hoeffding: the count is a sum of independent ones
    counts = np.arange(max(least, math.floor(low - spread)), min(most, math.ceil(high + spread)) + 1, dtype=np.float64)
    before = counts[:-1]  # the chance of one more is the chance of as many times this
    steps = (rows - before) * (happened - before) / ((before + 1.0) * (stable_rows - happened + before + 1.0))
    chances = np.concatenate([[0.0], np.log(steps).cumsum()])
    tilted = np.log(ratios)[:, None] * (counts - hits)
    tilted += chances
    peaks = tilted.max(axis=1)
    tilted -= peaks[:, None]
    logs = dict(zip(ratios, peaks + np.log(np.exp(tilted, out=tilted).sum(axis=1)), strict=True))
    nulls = null_odds if len(null_odds) > 1 else [*null_odds] * len(odds)
    return np.array([logs[null] - logs[bet] for bet, null in zip(odds, nulls, strict=True)])


def _likeliest(stable_rows: int, rows: int, happened: int, odds: float) -> float:
    """Return the peak of the noncentral hypergeometric distribution, where one more is as likely as one less."""
    square, linear, constant = 1.0 - odds, stable_rows - happened + odds * (rows + happened), odds * rows * happened
    return 2.0 * constant / (linear + math.sqrt(max(0.0, linear**2 + 4.0 * square * constant)))


_NOTHING = 40.0  # counts whose chance is less than exp(-40) are left out of sums


def log_pair_factors(
    only_stable: int, only_candidate: int, odds: Sequence[float], null_odds: Sequence[float] = (1.0,)
) -> FloatArray:
    """Return the logarithm of what each bet on an odds ratio wins when both versions answered the same requests.

    Only the requests tell something in which it happened to one of them: if they are equal, to each as likely.

    Args:
        only_stable: Requests in which it happened to the stable version alone.
        only_candidate: The same of the candidate.
        odds: How many of the candidate alone there are for one of the stable version alone, shape (bets,).
        null_odds: As in `log_odds_factors`.

    Example:
        >>> log_pair_factors(3, 12, (2.0, 4.0)).round(2).tolist()
        [2.24, 2.89]

    Source: McNemar (1947); the sequential test of one binomial rate of Wald (1945).
    """
    bet, null = np.asarray(odds, dtype=np.float64), np.asarray(null_odds, dtype=np.float64)
    pairs = only_stable + only_candidate
    return np.asarray(only_candidate * np.log(bet / null) - pairs * np.log((1.0 + bet) / (1.0 + null)))


def log_block_factors(stable: FloatArray, candidate: FloatArray, tilt: float, rungs: int = 1) -> FloatArray:
    """Return the logarithm of what each bet on larger values of the candidate wins in one batch.

    The rows of the version that has more of them are dealt out to those of the other one. In each block, any of its
    values might as well have been the single one's: what is won is exp(tilt * its value) over the mean of that in the
    block. On average over who might have been the single one that is 1, whatever the values are. Of as many rows each,
    the first is dealt out to the first: so are pairs.

    Args:
        stable: Values of the stable version in the order of time, finite, shape (..., rows).
        candidate: The same of the candidate, with the same leading shape: that of several batches.
        tilt: How boldly the first bet is, per unit of the values, above 0; the best is the shift over the variance.
        rungs: How many bets; each is twice as bold as the one before.

    Returns:
        Shape (rungs, ...); zeros when a version has no rows.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> usual, slower = rng.normal(0.0, 1.0, 900), rng.normal(0.5, 1.0, 100)
        >>> log_block_factors(usual, slower, 0.25, rungs=2).round(1).tolist()
        [8.0, 10.3]

    Source: the permutation test (Pitman, 1937) as a product of e-values, one a block; Koning (2023), "Post-hoc and
    anytime valid permutation and group invariance testing", arXiv 2310.01153.
    """
    if not stable.shape[-1] or not candidate.shape[-1]:
        return np.zeros((rungs, *stable.shape[:-1]))
    is_candidate_rare = candidate.shape[-1] <= stable.shape[-1]
    single, many = (candidate, stable) if is_candidate_rare else (stable, candidate)
    rows, blocks = int(many.shape[-1]), int(single.shape[-1])
    is_pairs = rows == blocks  # then nothing is to be repeated or added up, which takes most of the time
    # Neighbours in time are a block, so that what changes within a batch cancels.
    starts: IntArray = np.arange(0 if is_pairs else blocks) * rows // blocks
    sizes = np.diff(starts, append=rows)
    away = many - (single if is_pairs else np.repeat(single, sizes, axis=-1))
    away *= tilt if is_candidate_rare else -tilt
    farthest = _FARTHEST / 2.0 ** (rungs - 1)
    ratios = np.exp(np.clip(away, -farthest, farthest, out=away), out=away)
    log_sizes = blocks * math.log(2.0) if is_pairs else float(np.log(1.0 + sizes).sum())
    found: list[FloatArray] = []
    for rung in range(rungs):
        if rung:
            np.square(ratios, out=ratios)
        in_all = ratios if is_pairs else np.add.reduceat(ratios, starts, axis=-1)
        found.append(log_sizes - np.log(1.0 + in_all).sum(axis=-1))
    return np.array(found)


_FARTHEST = 600.0


def log_mean(log_wealth: FloatArray, weights: FloatArray) -> float:
    """Return the logarithm of the weighted mean of what several bets have won: itself a bet's.

    Args:
        log_wealth: Of each bet, shape (bets,).
        weights: What each was staked, sum 1.

    Example:
        >>> round(float(np.exp(log_mean(np.log([1.0, 9.0]), np.array([0.5, 0.5])))), 3)
        5.0
    """
    return float(np.logaddexp.reduce(log_wealth + np.log(weights)))
