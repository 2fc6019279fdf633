"""How much of a number's variance groups explain."""

import numpy as np

from setpoint.stats.estimate import Estimate
from setpoint.stats.special import FloatArray

FEWEST_ROWS = 30
"""Rows below which a share says nothing."""


def explained_share(rows: FloatArray, means: FloatArray, squares_within: float) -> Estimate:
    """Return the share of a number's variance that lies between groups: the correlation ratio, adjusted for chance.

    Groups differ by chance, the more the smaller they are: without the adjustment an identifier explains everything.

    Args:
        rows: Rows of each group, shape (groups,), positive.
        means: The number's mean in each, shape (groups,).
        squares_within: Sum over all rows of the squared distance to the mean of their group.

    Returns:
        0 for groups that are alike, 1 when they say all; without interval. Unknown with few rows beside the groups, or
        when the number does not vary.

    Example:
        >>> round(explained_share(np.array([50.0, 50.0]), np.array([0.2, 0.8]), 9.0).value, 3)
        0.495

    Source: Pearson (1905) for the correlation ratio, eta squared; Kelley (1935), PNAS 21, for its unbiased form.
    """
    total, groups = float(rows.sum()), len(rows)
    if total - groups < FEWEST_ROWS:
        return Estimate.unknown(f"needs {FEWEST_ROWS} more rows than groups, there are {total:.0f} in {groups}")
    grand = float(rows @ means) / total
    squares = float(rows @ np.square(means - grand)) + squares_within
    if squares <= 0.0:
        return Estimate.unknown("it does not vary")
    share = 1.0 - squares_within / squares * (total - 1.0) / (total - groups)
    return Estimate(max(share, 0.0), None, None)
