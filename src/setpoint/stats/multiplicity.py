"""Many tests at once: p-values adjusted so that a whole family of them can be trusted."""

import numpy as np

from setpoint.stats.special import FloatArray


def holm(p_values: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """Return Holm's adjusted p-values: reject those at most alpha, and any false rejection has chance alpha.

    Holds however the tests depend on each other, and rejects all that Bonferroni's correction rejects, often
    more.

    Args:
        p_values: Of all tests that were made, not only of the promising ones; each between 0 and 1, shape
            (tests,). A test that was not made is left out, not passed as nan.
        weights: How promising each test is, from other data than its own; positive, shape (tests,). A test that
            weighs twice as much is granted twice the chance of a false rejection. None weighs all the same.

    Returns:
        Between 0 and 1, in the order of `p_values`, shape (tests,).

    Raises:
        ValueError: A p-value is nan or lies outside [0, 1], or a weight is not positive and finite.

    Example:
        >>> holm(np.array([0.04, 0.01, 0.03])).tolist()
        [0.06, 0.03, 0.06]
        >>> holm(np.array([0.04, 0.01, 0.03]), np.array([4.0, 1.0, 1.0])).tolist()
        [0.06, 0.06, 0.06]

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, section 5 for weights; adjusted p-values as in Benjamini & Hochberg (1997), ibid. 24.
    """
    p = np.asarray(p_values, dtype=np.float64)
    w = np.ones_like(p) if weights is None else np.asarray(weights, dtype=np.float64)
    if not bool(np.all((p >= 0.0) & (p <= 1.0))):
        msg = "a p-value lies between 0 and 1, and is not missing"
        raise ValueError(msg)
    if w.shape != p.shape or not bool(np.all((w > 0.0) & np.isfinite(w))):
        msg = "each test has a positive weight"
        raise ValueError(msg)
    order = np.argsort(p / w, kind="stable")
    still_open = np.cumsum(w[order][::-1])[::-1]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] / w[order] * still_open), 1.0)
    return adjusted


def benjamini_hochberg(p_values: FloatArray) -> FloatArray:
    """Return Benjamini and Hochberg's adjusted p-values: of those at most q, a share of q is false on average.

    Holds for tests that are independent or go together; when nothing at all has changed, the chance of any rejection
    is at most q too.

    Args:
        p_values: Of all tests that were made; each between 0 and 1, shape (tests,).

    Returns:
        Between 0 and 1, in the order of `p_values`, shape (tests,).

    Raises:
        ValueError: A p-value is nan or lies outside [0, 1].

    Example:
        >>> benjamini_hochberg(np.array([0.04, 0.01, 0.03])).tolist()
        [0.04, 0.03, 0.04]

    Source: Benjamini & Hochberg (1995), JRSS B 57; Benjamini & Yekutieli (2001), Annals of Statistics 29, for
    tests that go together.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not bool(np.all((p >= 0.0) & (p <= 1.0))):
        msg = "a p-value lies between 0 and 1, and is not missing"
        raise ValueError(msg)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted
