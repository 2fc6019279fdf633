"""Evidence that one of two versions is worse, batch by batch: exact, for all that is random is who was assigned where.

If the versions are equal, each request of a batch might as well have gone to the other one. What the batch holds in all
is taken as it is, so neither changing shares of the traffic nor what befalls both versions at once is evidence.
Somebody bets that the candidate is worse; if it is not, the wealth reaches x with a chance of at most 1 / x, however
often one looks (Ville, 1939). Requests that fail together, such as those of a session, must enter as one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from setpoint.stats.special import FloatArray, log_gamma


def log_odds_factors(
    stable: tuple[int, int], candidate: tuple[int, int], odds: Sequence[float], *, null_odds: float = 1.0
) -> FloatArray:
    """Return the logarithm of what each bet on an odds ratio wins in one batch.

    Whoever bets on more than `null_odds` wins nothing on average while the true odds ratio is at most that, and who
    bets on less while it is at least that: the first is evidence that the candidate is worse than it may be, the
    second that it is better than a red line.

    Args:
        stable: Rows of the stable version, and those of them in which it happened.
        candidate: The same of the candidate.
        odds: Odds ratios that are bet on, above 0, shape (bets,).
        null_odds: The odds ratio that is bet against.

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
    tilts = np.log(np.asarray([*odds, null_odds], dtype=np.float64))
    least, most = max(0, happened - stable_rows), min(rows, happened)
    if least == most:
        return np.zeros(len(odds))
    counts = np.arange(least, most + 1, dtype=np.float64)
    chances = -(
        log_gamma(counts + 1.0)
        + log_gamma(rows - counts + 1.0)
        + log_gamma(happened - counts + 1.0)
        + log_gamma(stable_rows - happened + counts + 1.0)
    )
    logs = hits * tilts - np.logaddexp.reduce(chances + counts * tilts[:, None], axis=1)
    return np.asarray(logs[:-1] - logs[-1])


def log_block_factors(stable: FloatArray, candidate: FloatArray, tilts: Sequence[float]) -> FloatArray:
    """Return the logarithm of what each bet on larger values of the candidate wins in one batch.

    The rows of the version that has more of them are dealt out to those of the other one. In each block, any of its
    values might as well have been the single one's: what is won is exp(tilt * its value) over the mean of that in the
    block. On average over who might have been the single one that is 1, whatever the values are.

    Args:
        stable: Values of the stable version in the order of time, finite, shape (rows,).
        candidate: The same of the candidate.
        tilts: How boldly is bet, per unit of the values, above 0; the best is the shift over the variance.

    Returns:
        Shape (bets,); zeros when a version has no rows.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> usual, slower = rng.normal(0.0, 1.0, 900), rng.normal(0.5, 1.0, 100)
        >>> log_block_factors(usual, slower, (0.5,)).round(1).tolist()
        [10.3]

    Source: the permutation test (Pitman, 1937) as a product of e-values, one a block; Koning (2023), "Post-hoc and
    anytime valid permutation and group invariance testing", arXiv 2310.01153.
    """
    if not len(stable) or not len(candidate):
        return np.zeros(len(tilts))
    is_candidate_rare = len(candidate) <= len(stable)
    single, many = (candidate, stable) if is_candidate_rare else (stable, candidate)
    block = np.arange(len(many)) * len(single) // len(many)  # neighbours in time: what changes within a batch cancels
    sizes = 1.0 + np.bincount(block, minlength=len(single))
    found: list[float] = []
    for tilt in tilts if is_candidate_rare else [-one for one in tilts]:
        away = np.exp(np.clip(tilt * (many - single[block]), -_FARTHEST, _FARTHEST))
        mean = (1.0 + np.bincount(block, weights=away, minlength=len(single))) / sizes
        found.append(-float(np.log(mean).sum()))
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
