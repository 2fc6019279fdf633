"""The few functions of scipy.special that we use, with types (scipy ships none).

It is imported when the first of them is called: its import takes longer than reading a million rows,
and a comparison of two files needs none of them.
"""

from functools import cache
from types import ModuleType
from typing import cast

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def no_index() -> IntArray:
    """Return the bins of a window without rows.

    Example:
        >>> no_index().tolist()
        []
    """
    return np.zeros(0, dtype=np.int64)


def no_counts() -> FloatArray:
    """Return the weights of a window without rows.

    Example:
        >>> no_counts().tolist()
        []
    """
    return np.zeros(0, dtype=np.float64)


@cache
def _special() -> ModuleType:
    from scipy import special  # noqa: PLC0415 — see above

    return cast("ModuleType", special)


def student_t_quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's t distribution.

    Args:
        probability: Between 0 and 1, both excluded.
        degrees: Degrees of freedom, positive, not necessarily whole.

    Example:
        >>> round(student_t_quantile(0.975, 9), 4)
        2.2622
    """
    return float(cast("float", _special().stdtrit(degrees, probability)))


def chi_square_quantile(probability: float, degrees: float) -> float:
    """Return the quantile of the chi-square distribution.

    Args:
        probability: Between 0 and 1, both excluded.
        degrees: Degrees of freedom, positive, not necessarily whole.

    Example:
        >>> round(chi_square_quantile(0.975, 9), 4)
        19.0228
    """
    return 2.0 * float(cast("float", _special().gammaincinv(degrees / 2.0, probability)))


def binomial_cdf(successes: int, trials: int, probability: float) -> float:
    """Return P(X <= successes) for a binomial X.

    Args:
        successes: Between 0 and `trials`.
        trials: At least 1.
        probability: Of one success, between 0 and 1.

    Example:
        >>> binomial_cdf(1, 2, 0.5)
        0.75
    """
    return float(cast("float", _special().bdtr(successes, trials, probability)))


def expit(values: FloatArray) -> FloatArray:
    """Return the logistic function 1 / (1 + exp(-x)), element by element, without overflow.

    Args:
        values: Log odds, any shape.

    Example:
        >>> expit(np.array([0.0, 800.0])).tolist()
        [0.5, 1.0]
    """
    return cast("FloatArray", _special().expit(values))


def erf(values: FloatArray) -> FloatArray:
    """Return the error function, element by element.

    Args:
        values: Any shape.

    Example:
        >>> erf(np.array([0.0, 1.0])).round(4).tolist()
        [0.0, 0.8427]
    """
    return cast("FloatArray", _special().erf(values))


def normal_cdf(values: FloatArray) -> FloatArray:
    """Return the standard normal distribution function, element by element, exact far in the lower tail.

    Example:
        >>> normal_cdf(np.array([-1.96, 0.0])).round(3).tolist()
        [0.025, 0.5]
    """
    return cast("FloatArray", _special().ndtr(values))


def normal_quantile(probabilities: FloatArray) -> FloatArray:
    """Return the standard normal quantile, element by element.

    Example:
        >>> normal_quantile(np.array([0.5, 0.975])).round(2).tolist()
        [0.0, 1.96]
    """
    return cast("FloatArray", _special().ndtri(probabilities))


def log_gamma(values: FloatArray) -> FloatArray:
    """Return the logarithm of the gamma function of positive numbers, element by element.

    Example:
        >>> log_gamma(np.array([1.0, 5.0])).round(3).tolist()
        [0.0, 3.178]
    """
    return cast("FloatArray", _special().gammaln(values))


def student_t_cdf(values: FloatArray, degrees: float) -> FloatArray:
    """Return Student's distribution function, element by element.

    Example:
        >>> student_t_cdf(np.array([-2.2622]), 9.0).round(3).tolist()
        [0.025]
    """
    return cast("FloatArray", _special().stdtr(degrees, values))


def chi_square_tail(values: FloatArray, degrees: FloatArray | float) -> FloatArray:
    """Return how likely a chi-square value is at least as large, element by element.

    Example:
        >>> chi_square_tail(np.array([3.841]), 1.0).round(3).tolist()
        [0.05]
    """
    return cast("FloatArray", _special().chdtrc(degrees, values))


def binomial_at_least(successes: FloatArray, trials: FloatArray, probability: FloatArray | float) -> FloatArray:
    """Return P(X >= successes) for a binomial X, element by element; counts need not be whole.

    Example:
        >>> binomial_at_least(np.array([0.0, 2.0]), np.array([2.0, 2.0]), 0.5).tolist()
        [1.0, 0.25]
    """
    tail = _special().betainc(np.maximum(successes, 1e-300), np.maximum(trials - successes + 1.0, 1e-300), probability)
    return cast("FloatArray", np.where(successes > 0.0, tail, 1.0))
