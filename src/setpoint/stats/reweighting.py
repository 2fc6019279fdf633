"""What a mean would be if groups came as often as in another window, and were in themselves as before."""

import math

import numpy as np

from setpoint.stats.estimate import Estimate, Z
from setpoint.stats.special import FloatArray

FAR = 0.5
"""Share of the rows that may lie in groups that are unknown before nothing can be said."""


def reweighted_change(
    rows: FloatArray, sums: FloatArray, squares: FloatArray, now: FloatArray, *, rows_now: float | None = None
) -> Estimate:
    """Return by how much a mean changes when rows come from groups in other shares.

    Assumes that rows of a group would on average be as they were: what else changed with the groups is not in it.

    Args:
        rows: Rows of each group before, shape (groups,).
        sums: Sum of the number over those, same shape.
        squares: Sum of its squares, same shape.
        now: Rows of each group in the other window, same shape. Those of groups that had no row before are left out.
        rows_now: Effective rows of the other window; None means their total.

    Returns:
        The change with a 95 % interval (normal, from both windows' rows); unknown when a window has no row, or more
        than half of the rows lie in groups that had none before.

    Example:
        >>> found = reweighted_change(np.array([800.0, 200.0]), np.array([80.0, 100.0]), np.array([80.0, 100.0]),
        ...                           np.array([500.0, 500.0]))
        >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
        (0.12, 0.093, 0.147)

    Source: Kitagawa (1955), JASA 50, for the part of a change that comes with the mix; Horvitz & Thompson (1952), JASA
        47, for weighting.
    """
    known = rows > 0.0
    total = float(now.sum())
    if not known.any() or total <= 0.0:
        return Estimate.unknown("one of the windows has no row")
    if float(now[known].sum()) < FAR * total:
        return Estimate.unknown("most rows lie where there were none before")
    means = sums[known] / rows[known]
    before, after = rows[known] / rows[known].sum(), now[known] / now[known].sum()
    change = float((after - before) @ means)
    inside = np.maximum(squares[known] / rows[known] - means**2, 0.0) / rows[known]
    between = float(after @ means**2 - (after @ means) ** 2) / (total if rows_now is None else rows_now)
    between += float(before @ means**2 - (before @ means) ** 2) / float(rows[known].sum())
    half = Z * math.sqrt(max(between, 0.0) + float((after - before) ** 2 @ inside))
    return Estimate(change, change - half, change + half)
