"""Rare events counted in two windows, exactly: few rows are no normal distribution."""

import numpy as np

from setpoint.stats.special import FloatArray, binomial_at_least


def more_often(
    events: FloatArray, rows: FloatArray | float, before: FloatArray, rows_before: FloatArray | float
) -> FloatArray:
    """Return how likely at least as many events are, if they are as frequent as before: one-sided.

    Given the events of both windows together, those of the later one are binomial with its share of all rows.

    Args:
        events: In the later window, not negative, any shape.
        rows: Of the later window, positive.
        before: Events in the earlier window.
        rows_before: Of the earlier window, positive.

    Returns:
        Between 0 and 1, in the shape of `events`. Exact for whole counts; interpolated for weighted ones.

    Example:
        >>> more_often(np.array([3.0]), 100.0, np.array([0.0]), 300.0).round(4).tolist()
        [0.0156]

    Source: Przyborowski & Wilenski (1940), Biometrika 31.
    """
    share = np.asarray(rows / (rows + rows_before), dtype=np.float64)
    return binomial_at_least(events, events + before, share)


def as_often(
    events: FloatArray, rows: FloatArray | float, before: FloatArray, rows_before: FloatArray | float
) -> FloatArray:
    """Return the two-sided p-value of `more_often`: twice the smaller side, at most 1.

    Example:
        >>> as_often(np.array([3.0]), 100.0, np.array([9.0]), 300.0).tolist()
        [1.0]
    """
    above = more_often(events, rows, before, rows_before)
    below = more_often(before, rows_before, events, rows)
    return np.minimum(2.0 * np.minimum(above, below), 1.0)


def stabilised(events: FloatArray, rows: FloatArray | float) -> FloatArray:
    """Return shares on a scale on which their sampling variance is 1 / rows, whatever the share.

    Args:
        events: Not negative and at most `rows`, any shape.
        rows: Positive.

    Example:
        >>> stabilised(np.array([0.0, 50.0]), 100.0).round(3).tolist()
        [0.122, 1.571]

    Source: Anscombe (1948), Biometrika 35.
    """
    share = (events + 0.375) / (np.asarray(rows) + 0.75)
    return 2.0 * np.arcsin(np.sqrt(np.clip(share, 0.0, 1.0)))
