"""How evenly a ranking shows a catalogue."""

from __future__ import annotations

import numpy as np

from setpoint.stats.special import FloatArray

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


def _all_items(shown: FloatArray, items: int | None) -> FloatArray:
    missing = max((items or 0) - len(shown), 0)
    return np.concatenate([np.zeros(missing), np.sort(np.asarray(shown, dtype=np.float64))])
