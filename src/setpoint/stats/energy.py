"""Whether two samples of vectors come from one distribution: the energy distance, with a permutation test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from setpoint.stats.estimate import Estimate, Z
from setpoint.stats.special import FloatArray

FEWEST = 20
"""Vectors that each sample must have."""

PERMUTATIONS = 999
"""Ways to deal the vectors out anew: the least p is one in a thousand."""


@dataclass(frozen=True, slots=True)
class EnergyTest:
    """What a test of two samples came to.

    Attributes:
        distance: The energy distance, unbiased: 0 on average when nothing differs, so that it may be less.
        coefficient: The distance over its largest possible value: 0 when the samples are alike, 1 when each is one
            point and the two lie apart.
        p: How likely as much is by chance.
    """

    distance: float
    coefficient: Estimate
    p: float


def energy_test(reference: FloatArray, current: FloatArray, *, seed: int = 0) -> EnergyTest:
    """Return how far two samples of vectors are apart, and how likely as much is by chance.

    The interval of the coefficient is normal, by the larger of two deviations: that of a sum over vectors, which holds
    when the samples differ, and that of the permutations, which holds when they do not.

    Args:
        reference: Shape (rows, dimensions), finite.
        current: Shape (rows, dimensions).
        seed: Of the permutations.

    Raises:
        ValueError: A sample has fewer than `FEWEST` vectors, or the two have not as many dimensions.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> before, alike, apart = (rng.normal(shift, 1.0, (200, 8)) for shift in (0.0, 0.0, 0.3))
        >>> energy_test(before, alike).p > 0.05, energy_test(before, apart).p
        (True, 0.001)

    Source: Székely & Rizzo (2013), Journal of Statistical Planning and Inference 143, 1249; Phipson & Smyth (2010),
        Statistical Applications in Genetics and Molecular Biology 9, for the p of permutations.
    """
    if min(len(reference), len(current)) < FEWEST or reference.shape[1:] != current.shape[1:]:
        msg = f"two samples of at least {FEWEST} vectors of one length, not {reference.shape} and {current.shape}"
        raise ValueError(msg)
    both = np.concatenate([reference, current])
    unit = float(np.abs(both).max()) or 1.0  # the square of a large number would be none
    apart = _distances(both / unit)
    rows, first = len(apart), len(reference)
    is_first = np.zeros((rows, PERMUTATIONS + 1))
    is_first[:first, 0] = 1.0
    rng = np.random.default_rng(seed)
    for n in range(1, PERMUTATIONS + 1):
        is_first[rng.permutation(rows)[:first], n] = 1.0
    found, between = _energy(apart, is_first)
    distance, chance = float(found[0]), found[1:]
    p = (1.0 + np.count_nonzero(chance >= distance - _ROUNDING)) / (PERMUTATIONS + 1.0)
    most = 2.0 * float(between[0])
    if most <= 0.0:
        return EnergyTest(0.0, Estimate(0.0, 0.0, 0.0), 1.0)
    value = min(max(distance / most, 0.0), 1.0)
    half = Z * max(_deviation(apart, first), float(chance.std())) / most
    return EnergyTest(distance * unit, Estimate(value, max(value - half, 0.0), min(value + half, 1.0)), float(p))


def _distances(vectors: FloatArray) -> FloatArray:
    """Return the Euclidean distance of every vector from every other, shape (rows, rows)."""
    centred = vectors - vectors.mean(axis=0)  # far from the origin digits would be lost
    squares = (centred**2).sum(axis=1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2.0 * centred @ centred.T, 0.0))
    np.fill_diagonal(apart, 0.0)
    return apart


def _energy(apart: FloatArray, is_first: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the unbiased energy distance, and the mean distance between samples, of each way to deal vectors out."""
    first = float(is_first[:, 0].sum())
    second = len(apart) - first
    reached = apart @ is_first
    within = (is_first * reached).sum(axis=0)
    across = reached.sum(axis=0) - within
    rest = apart.sum() - within - 2.0 * across
    between = across / (first * second)
    return 2.0 * between - within / (first * (first - 1.0)) - rest / (second * (second - 1.0)), between


def _deviation(apart: FloatArray, first: int) -> float:
    """Return the standard deviation of the energy distance: that of its projection on single vectors."""
    second = len(apart) - first
    here, there = apart[:first, :first], apart[first:, first:]
    across = apart[:first, first:]
    of_first = 2.0 * (across.mean(axis=1) - here.sum(axis=1) / (first - 1))
    of_second = 2.0 * (across.mean(axis=0) - there.sum(axis=1) / (second - 1))
    return float(np.sqrt(of_first.var(ddof=1) / first + of_second.var(ddof=1) / second))


_ROUNDING = 1e-12
