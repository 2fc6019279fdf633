"""Intervals for shares, means and ratios of means, from weighted sums."""

import math

from setpoint.stats.estimate import LEVEL, Estimate, Z
from setpoint.stats.special import chi_square_quantile, student_t_quantile

ROUNDING = 1e-12
"""Relative size below which a difference of two sums is rounding noise, not variance."""
LARGEST_RELATIVE_VARIANCE = 2.0
"""One degree of freedom: with fewer the quantiles of a gamma distribution collapse to 0."""
FEWEST_ROWS = 2
"""A spread needs two rows."""


def effective_size(weight: float, weight_of_squares: float) -> float:
    """Return how many equally weighted rows carry the same information: (sum of w)**2 / sum of w**2.

    Args:
        weight: Sum of row weights (1 / keep probability).
        weight_of_squares: Sum of squared row weights.

    Returns:
        A number of rows, 0 for an empty window.

    Example:
        >>> effective_size(30.0, 300.0)
        3.0

    Source: Kish, Survey Sampling (1965), section 11.7.
    """
    return weight * weight / weight_of_squares if weight_of_squares > 0.0 else 0.0


def wilson(successes: float, total: float, effective_total: float | None = None) -> Estimate:
    """Return a share with Wilson's score interval, which holds from the first row on and at 0 and 1.

    Args:
        successes: Rows (or weight) that count as a success.
        total: All rows (or weight).
        effective_total: Rows the interval may count on; None means `total`. See `effective_size`.

    Returns:
        A share between 0 and 1; unknown when there are no rows.

    Raises:
        ValueError: `successes` is not between 0 and `total`.

    Example:
        >>> share = wilson(8, 10)
        >>> share.value, round(share.low, 4), round(share.high, 4)
        (0.8, 0.4902, 0.9433)

    Source: Wilson (1927), JASA 22; recommended by Brown, Cai & DasGupta (2001), Statistical Science 16.
    """
    if not -ROUNDING * total <= successes <= total * (1.0 + ROUNDING):
        msg = f"successes must lie between 0 and the total `{total}`, got `{successes}`"
        raise ValueError(msg)
    size = total if effective_total is None else effective_total
    if total <= 0.0 or size <= 0.0:
        return Estimate.unknown("no rows in this window")
    share = min(max(successes / total, 0.0), 1.0)
    shrink = 1.0 + Z * Z / size
    middle = (share + Z * Z / (2.0 * size)) / shrink
    half = Z * math.sqrt(share * (1.0 - share) / size + Z * Z / (4.0 * size * size)) / shrink
    low = 0.0 if share == 0.0 else min(max(middle - half, 0.0), share)
    high = 1.0 if share == 1.0 else max(min(middle + half, 1.0), share)
    return Estimate(share, low, high)


def mean(sum_x: float, sum_xx: float, weight: float, weight_of_squares: float) -> Estimate:
    """Return a weighted mean with a Student interval on the effective number of rows.

    Assumes independent rows whose weights are unrelated to the value. Skewed values (latency, cost, log
    loss) need some hundred rows before the interval covers what it promises. Equal values give an interval of
    width 0.

    Args:
        sum_x: Sum of weight * value. Shift values of large size and small spread before squaring.
        sum_xx: Sum of weight * value**2.
        weight: Sum of weights.
        weight_of_squares: Sum of squared weights.

    Returns:
        In the unit of the values; unknown with fewer than two effective rows, or when a sum overflowed.

    Example:
        >>> estimate = mean(6.0, 14.0, 3.0, 3.0)
        >>> estimate.value, round(estimate.low, 3), round(estimate.high, 3)
        (2.0, -0.484, 4.484)
    """
    if not all(math.isfinite(number) for number in (sum_x, sum_xx, weight, weight_of_squares)):
        return Estimate.unknown("a value in this window is too large to be squared, or not a number")
    size = effective_size(weight, weight_of_squares)
    if size < FEWEST_ROWS - ROUNDING:
        return Estimate.unknown(f"needs {math.ceil(FEWEST_ROWS - size)} more rows")
    centre = sum_x / weight
    spread = variance(sum_x, sum_xx, weight) * size / (size - 1.0)
    half = student_t_quantile((1.0 + LEVEL) / 2.0, size - 1.0) * math.sqrt(spread / size)
    return Estimate(centre, centre - half, centre + half)


def share_of_variance(value: float, variance_of_value: float, rows: float) -> Estimate:
    """Return a number between 0 and 1 with Wilson's interval for as many rows as a share of its variance needs.

    So the interval stays inside [0, 1] and leans to the middle, as it must near the ends, where a symmetric one
    does not hold. Of a share it is Wilson's interval; without any variance all rows are counted.

    Args:
        value: Between 0 and 1, such as a mean of numbers that are.
        variance_of_value: Its variance, such as that of one row divided by the number of rows.
        rows: How many rows it rests on.

    Returns:
        Unknown without rows.

    Example:
        >>> found = share_of_variance(0.8, 0.8 * 0.2 / 10, 10)
        >>> round(found.low, 4), round(found.high, 4)  # as wilson(8, 10)
        (0.4902, 0.9433)

    Source: Korn & Graubard (1998), Survey Methodology 24, for the effective size; Wilson (1927), JASA 22.
    """
    value = min(max(value, 0.0), 1.0)
    largest = value * (1.0 - value)
    size = largest / variance_of_value if variance_of_value > 0.0 and largest > 0.0 else rows
    return wilson(value * size, size)


def mean_of_shares(sum_x: float, sum_xx: float, weight: float, weight_of_squares: float) -> Estimate:
    """Return a weighted mean of numbers between 0 and 1, such as nDCG, with an interval that stays there.

    Assumes independent rows whose weights are unrelated to the value.

    Args:
        sum_x: Sum of weight * value.
        sum_xx: Sum of weight * value**2.
        weight: Sum of weights.
        weight_of_squares: Sum of squared weights.

    Returns:
        Unknown with fewer than two effective rows.

    Example:
        >>> found = mean_of_shares(30.0, 15.0, 100.0, 100.0)
        >>> found.value, round(found.low, 3), round(found.high, 3)
        (0.3, 0.254, 0.35)

    Source: see `share_of_variance`.
    """
    size = effective_size(weight, weight_of_squares)
    if size < FEWEST_ROWS - ROUNDING:
        return Estimate.unknown(f"needs {math.ceil(FEWEST_ROWS - size)} more rows")
    return share_of_variance(sum_x / weight, variance(sum_x, sum_xx, weight) / (size - 1.0), size)


def gamma_interval(value: float, relative_variance: float) -> tuple[float, float]:
    """Return the interval of a mean of numbers that are not negative and lean to the right: losses, squared errors.

    Takes the mean for gamma distributed, so the interval reaches further up than down, as the truth does: windows
    without the rare large value read low and seem sure of it. For squares of normal errors about 0 and a relative
    variance of 2/rows it is the exact chi-square interval; it tends to the normal one as rows grow.

    Args:
        value: The mean, not negative.
        relative_variance: Variance of the mean divided by its square.

    Returns:
        Lower and upper end, 0 <= low <= value <= high; 0 and inf when the relative variance is above 2, where single
        rows decide. `bounded` puts that into words.

    Example:
        >>> low, high = gamma_interval(2.0, 0.01)
        >>> round(low, 3), round(high, 3)
        (1.659, 2.458)

    Source: Satterthwaite (1946), Biometrics Bulletin 2; Box (1953), Biometrika 40, for degrees by kurtosis.
    """
    if value <= 0.0 or relative_variance < ROUNDING:
        half = Z * value * math.sqrt(max(relative_variance, 0.0))
        return max(value - half, 0.0), value + half
    if relative_variance > LARGEST_RELATIVE_VARIANCE:
        return 0.0, math.inf
    degrees, tail = 2.0 / relative_variance, (1.0 - LEVEL) / 2.0
    low = value * degrees / chi_square_quantile(1.0 - tail, degrees)
    high = value * degrees / chi_square_quantile(tail, degrees)
    return min(low, value), max(high, value)


def mean_loss(total: float, squares: float, weight: float, rows: float, highest: float = math.inf) -> Estimate:
    """Return the mean of a loss that is never negative; `gamma_interval`, its variance raised by Student's quantile.

    Args:
        total: Sum of weight * loss.
        squares: Sum of weight * loss**2.
        weight: Sum of weights, positive.
        rows: Effective number of rows, more than 1.
        highest: No loss is above it.

    Example:
        >>> found = mean_loss(20.0, 8.0, 100.0, 100.0, 1.0)
        >>> found.value, round(found.low, 3), round(found.high, 3)
        (0.2, 0.165, 0.247)
    """
    value = total / weight
    if value <= 0.0:
        return Estimate(0.0, 0.0, 0.0)
    relative = variance(total, squares, weight) / value**2 / (rows - 1.0)
    student = student_t_quantile((1.0 + LEVEL) / 2.0, rows - 1.0) / Z
    low, high = gamma_interval(value, relative * student**2)
    return bounded(value, low, max(min(high, highest), value))


def bounded(value: float, low: float, high: float) -> Estimate:
    """Return an estimate in which an end that is infinite is missing, with the reason.

    Args:
        value: The point estimate.
        low: Lower end, -inf for none.
        high: Upper end, inf for none.

    Example:
        >>> bounded(2.0, 0.0, math.inf).reason
        'a few large values decide it: too few rows for an upper bound'
    """
    missing = [name for name, end in (("a lower", low), ("an upper", high)) if math.isinf(end)]
    reason = f"a few large values decide it: too few rows for {' and '.join(missing)} bound" if missing else ""
    return Estimate(value, None if math.isinf(low) else low, None if math.isinf(high) else high, reason)


def variance(sum_x: float, sum_xx: float, weight: float) -> float:
    """Return the weighted population variance, 0 where the difference is only rounding noise.

    Args:
        sum_x: Sum of weight * value.
        sum_xx: Sum of weight * value**2.
        weight: Sum of weights, positive.

    Example:
        >>> round(variance(6.0, 14.0, 3.0), 4)
        0.6667
    """
    second = sum_xx / weight
    difference = second - (sum_x / weight) ** 2
    return difference if difference > ROUNDING * second else 0.0


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Return by how much one estimate is greater than another of different rows, with MOVER's interval.

    Args:
        first: With its interval; an end that is missing has none.
        second: The same, independent of the first.

    Example:
        >>> found = difference(Estimate(0.75, 0.71, 0.79), Estimate(0.70, 0.67, 0.73))
        >>> round(found.value, 2), round(found.low, 2), round(found.high, 2)
        (0.05, 0.0, 0.1)

    Source: Zou & Donner (2008), Statistics in Medicine 27.
    """
    if first.value is None or second.value is None:
        return Estimate.unknown(first.reason or second.reason)
    (below1, above1), (below2, above2) = (
        (value - (-math.inf if one.low is None else one.low), (math.inf if one.high is None else one.high) - value)
        for one, value in ((first, first.value), (second, second.value))
    )
    value = first.value - second.value
    return bounded(value, value - math.hypot(below1, above2), value + math.hypot(above1, below2))


def log_ratio(
    values: tuple[float, float], ends: tuple[tuple[float, float], tuple[float, float]], together: float
) -> tuple[float, float]:
    """Return by which factors the ratio of two positive estimates may be off, below and above: MOVER on the log scale.

    Args:
        values: The numerator and the denominator.
        ends: The interval of each.
        together: Their correlation; 0 of different rows.

    Example:
        >>> low, high = log_ratio((2.0, 1.0), ((1.6, 2.5), (0.8, 1.25)), 0.0)
        >>> round(low, 3), round(high, 3)
        (0.729, 1.371)

    Source: Zou & Donner (2008), Statistics in Medicine 27.
    """
    (below1, above1), (below2, above2) = (
        (math.log(value / low) if low > 0.0 else math.inf, math.log(high / value))
        for value, (low, high) in zip(values, ends, strict=True)
    )

    def joined(first: float, second: float) -> float:
        if math.isinf(first) or math.isinf(second):
            return math.inf
        return math.sqrt(max(first**2 + second**2 - 2.0 * together * first * second, 0.0))

    above = joined(above1, below2)
    return math.exp(-joined(below1, above2)), math.exp(above) if above < _LARGEST_EXPONENT else math.inf


_LARGEST_EXPONENT = 600.0


def ratio_of_means(
    n: float,
    sum_x: float,
    sum_y: float,
    *,
    sum_xx: float,
    sum_yy: float,
    sum_xy: float,
    effective_total: float | None = None,
) -> Estimate:
    """Return sum(x) / sum(y) with Fieller's interval: cost per success, for x a cost and y a success, 0 or 1.

    Where the mean of y cannot be told from zero, the interval is unbounded: the missing end is None and
    `reason` says so. A delta-method interval would hide exactly that.

    Args:
        n: Rows (or weight) of both sums.
        sum_x: Sum of the numerator, weighted.
        sum_y: Sum of the denominator, weighted.
        sum_xx: Sum of squares of the numerator, weighted.
        sum_yy: Sum of squares of the denominator, weighted.
        sum_xy: Sum of products, weighted.
        effective_total: Rows the interval may count on; None means `n`.

    Returns:
        Units of x per unit of y; unknown when the denominator is 0 or with fewer than two rows.

    Example:
        >>> cost = ratio_of_means(100, 2.0, 80, sum_xx=0.05, sum_yy=80, sum_xy=1.6)
        >>> round(cost.value, 4), round(cost.low, 4), round(cost.high, 4)
        (0.025, 0.0217, 0.0288)

    Source: Fieller (1954), JRSS B 16.
    """
    size = n if effective_total is None else effective_total
    if not all(math.isfinite(number) for number in (n, sum_x, sum_y, sum_xx, sum_yy, sum_xy)):
        return Estimate.unknown("a value in this window is too large to be squared, or not a number")
    if n <= 0.0 or size < FEWEST_ROWS:
        return Estimate.unknown(f"needs {math.ceil(FEWEST_ROWS - max(size, 0.0))} more rows")
    if sum_y == 0.0:
        return Estimate.unknown("the denominator is zero: needs at least 1 success")
    x, y = sum_x / n, sum_y / n
    scale = student_t_quantile((1.0 + LEVEL) / 2.0, size - 1.0) ** 2 / (size - 1.0)
    return fieller(
        (x, y),
        scale * variance(sum_x, sum_xx, n),
        scale * variance(sum_y, sum_yy, n),
        scale * (sum_xy / n - x * y),
    )


def fieller(means: tuple[float, float], xx: float, yy: float, xy: float) -> Estimate:
    """Return the ratio of two estimates with Fieller's interval; see `ratio_of_means`.

    Args:
        means: Numerator and denominator; the denominator is not 0.
        xx: Variance of the numerator, times the square of the quantile.
        yy: That of the denominator.
        xy: Their covariance, times the same.

    Returns:
        The connected part that holds the ratio of {r: (x - r * y)**2 <= xx - 2 * r * xy + r**2 * yy}; an end that it
        does not have is None.

    Example:
        >>> found = fieller((2.0, 4.0), 0.16, 0.64, 0.0)
        >>> found.value, round(found.low, 3), round(found.high, 3)
        (0.5, 0.375, 0.667)
        >>> print(fieller((2.0, 0.1), 0.16, 0.64, 0.0).reason)
        the denominator cannot be told from zero yet: the ratio has no upper bound

    Source: Fieller (1954), JRSS B 16.
    """
    x, y = means
    value, a, b, c = x / y, y * y - yy, x * y - xy, x * x - xx
    root = math.sqrt(max(b * b - a * c, 0.0))
    if a > 0.0:
        return Estimate(value, min((b - root) / a, value), max((b + root) / a, value))
    reason = "the denominator cannot be told from zero yet: the ratio has no {} bound"
    if a == 0.0 or b * b <= a * c:
        return Estimate(value, None, None, reason.format("lower or upper"))
    ends = sorted(((b - root) / a, (b + root) / a))
    if value >= ends[1]:
        return Estimate(value, ends[1], None, reason.format("upper"))
    return Estimate(value, None, max(ends[0], value), reason.format("lower"))
