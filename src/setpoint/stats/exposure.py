"""How evenly a ranking shows a catalogue, and how much of it, comparable between stretches of any length."""

from __future__ import annotations

import numpy as np

from setpoint.stats.special import FloatArray, log_gamma

TOP = 0.1
"""The share of the catalogue whose part of all exposure is told."""


def gini(shown: FloatArray, items: int | None = None) -> float | None:
    """Return the Gini index of exposure: 0 when every item is shown as often, near 1 when one item is all that is.

    Args:
        shown: How often each item was shown, shape (items,), not negative.
        items: How many items there are, when some were never shown; None for those in `shown`.

    Returns:
        None when nothing was shown.

    Example:
        >>> gini(np.array([5.0, 5.0])), gini(np.array([10.0]), 4)
        (0.0, 0.75)

    Source: Gini (1912); Fleder & Hosanagar (2009), Management Science 55, for what recommendations show.
    """
    counts = _all_items(shown, items)
    total = float(counts.sum())
    if total <= 0.0:
        return None
    places = np.arange(1, len(counts) + 1)
    return float((2.0 * places - len(counts) - 1.0) @ counts / (len(counts) * total))


def top_share(shown: FloatArray, items: int | None = None) -> float | None:
    """Return the share of all exposure that the most shown tenth of the items has, at least one item.

    Args:
        shown: How often each item was shown, shape (items,).
        items: How many items there are; None for those in `shown`.

    Returns:
        None when nothing was shown.

    Example:
        >>> top_share(np.array([50.0, 5, 5, 5, 5, 5, 5, 5, 5, 10]))
        0.5
    """
    counts = _all_items(shown, items)
    total = float(counts.sum())
    if total <= 0.0:
        return None
    return float(counts[-max(round(TOP * len(counts)), 1) :].sum()) / total


def distinct_items(shown: FloatArray, draws: int) -> tuple[float, float]:
    """Return how many different items some exposures show on average, drawn from all, and its sampling variance.

    The more is shown, the more items are: so stretches of different length are compared at the same number of draws.

    Args:
        shown: How often each item was shown, shape (items,), not negative, not necessarily whole.
        draws: Exposures that are drawn, without replacement; fewer than there are.

    Raises:
        ValueError: There are not more exposures than draws.

    Example:
        >>> [round(found, 3) for found in distinct_items(np.array([6.0, 3.0, 1.0]), 2)]
        [1.6, 0.022]

    Source: Hurlbert (1971), Ecology 52, for the mean; Efron & Stein (1981), Annals of Statistics 9, for the variance:
    the jackknife over exposures, not too small on average when they are independent.
    """
    counts = shown[shown > 0.0]
    total = float(counts.sum())
    if total - 1.0 < draws:
        msg = f"{draws} of {total:g} exposures cannot be drawn without one of them"
        raise ValueError(msg)
    found = 1.0 - _undrawn(counts, total, draws)
    others = 1.0 - _undrawn(counts, total - 1.0, draws)
    without_one = others.sum() - others + 1.0 - _undrawn(counts - 1.0, total - 1.0, draws)
    return float(found.sum()), _jackknife(without_one, counts)


def concentration(shown: FloatArray) -> tuple[float, float]:
    """Return how likely two exposures show the same item, and the sampling variance of that.

    It is 1 when one item is all that is shown, and 1 / n when n items are shown alike. However many exposures there
    are, it is the same on average.

    Args:
        shown: How often each item was shown, shape (items,), not negative.

    Raises:
        ValueError: There are fewer than three exposures.

    Example:
        >>> [round(found, 4) for found in concentration(np.array([6.0, 3.0, 1.0]))]
        [0.4, 0.0225]

    Source: Simpson (1949), Nature 163; the jackknife of `distinct_items`.
    """
    counts = shown[shown > 0.0]
    total = float(counts.sum())
    if total < 3.0:  # noqa: PLR2004 — of two of which one is left out no pair is left
        msg = "how concentrated exposure is takes three exposures"
        raise ValueError(msg)
    pairs = float(counts @ (counts - 1.0))
    without_one = (pairs - 2.0 * (counts - 1.0)) / ((total - 1.0) * (total - 2.0))
    return pairs / (total * (total - 1.0)), _jackknife(without_one, counts)


def _undrawn(counts: FloatArray, total: float, draws: int) -> FloatArray:
    """Return how likely an item with so many of all exposures is in none of the draws."""
    rest = total - counts
    possible = np.maximum(rest, draws)
    ways = log_gamma(np.array([total - draws + 1.0, total + 1.0]))
    chance = np.exp(log_gamma(possible + 1.0) - log_gamma(possible - draws + 1.0) + ways[0] - ways[1])
    return np.where(rest >= draws, chance, 0.0)


def _jackknife(without_one: FloatArray, counts: FloatArray) -> float:
    """Return the variance of what all exposures come to, by what they do without one of each item's."""
    total = float(counts.sum())
    mean = float(counts @ without_one) / total
    return float(counts @ (without_one - mean) ** 2) * (total - 1.0) / total


def _all_items(shown: FloatArray, items: int | None) -> FloatArray:
    missing = max((items or 0) - len(shown), 0)
    return np.concatenate([np.zeros(missing), np.sort(np.asarray(shown, dtype=np.float64))])
