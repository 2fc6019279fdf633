"""Tests of `setpoint.stats.distances`."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.spatial import distance as scipy_distance
from statsmodels.stats.proportion import confint_proportions_2indep

from setpoint.stats.distances import (
    Distance,
    Moments,
    expected_if_unchanged,
    jensen_shannon,
    kullback_leibler,
    pooled_effect,
    proportion_difference,
    psi,
    psi_expected,
    total_variation,
    wasserstein_binned,
)
from setpoint.stats.estimate import Estimate
from setpoint.stats.special import FloatArray

counts = hnp.arrays(np.float64, 12, elements=st.integers(0, 50).map(float)).filter(lambda c: c.sum() > 0)
DISTANCES: list[Distance] = ["psi", "kullback_leibler", "jensen_shannon", "total_variation", "wasserstein"]


def measure(name: Distance, reference: FloatArray, current: FloatArray) -> Estimate:
    """Return a distance by name, with bins at 0, 1, 2 ..."""
    if name == "wasserstein":
        return wasserstein_binned(np.arange(len(reference), dtype=np.float64), reference, current)
    functions = {
        "psi": psi,
        "kullback_leibler": kullback_leibler,
        "jensen_shannon": jensen_shannon,
        "total_variation": total_variation,
    }
    return functions[name](reference, current)


def number(value: float | None) -> float:
    """Return a number that must be known."""
    assert value is not None
    return value


@settings(deadline=None, derandomize=True)
@given(counts, counts)
def test_distances_equal_scipy(p: FloatArray, q: FloatArray) -> None:
    positions = np.cumsum(np.arange(1.0, 13.0))
    a, b = p / p.sum(), q / q.sum()
    with np.errstate(all="ignore"):
        exact = float(scipy_distance.jensenshannon(a, b, base=2))
    assert jensen_shannon(p, q).value == pytest.approx(0.0 if np.isnan(exact) else exact, abs=1e-7)
    floored = np.where((p == 0.0) & (q > 0.0), 0.5, p)
    assert kullback_leibler(p, q).value == pytest.approx(float(stats.entropy(q, floored)), abs=1e-12)
    transported = stats.wasserstein_distance(positions, positions, p, q)
    assert wasserstein_binned(positions, p, q).value == pytest.approx(transported, abs=1e-9)
    assert wasserstein_binned(positions, p, q, scale=2.0).value == pytest.approx(transported / 2, abs=1e-9)
    assert total_variation(p, q).value == pytest.approx(float(np.abs(a - b).sum()) / 2)


@settings(deadline=None, derandomize=True)
@given(counts, counts)
def test_psi_is_the_symmetric_divergence_and_never_negative(p: FloatArray, q: FloatArray) -> None:
    assert number(psi(p, q).value) >= 0.0
    assert psi(p, q).value == pytest.approx(psi(q, p).value)
    full, other = p + 1.0, q + 1.0
    symmetric = stats.entropy(full, other) + stats.entropy(other, full)
    assert psi(full, other).value == pytest.approx(symmetric, abs=1e-12)
    both_ways = number(kullback_leibler(full, other).value) + number(kullback_leibler(other, full).value)
    assert psi(full, other).value == pytest.approx(both_ways, abs=1e-12)


@pytest.mark.parametrize("name", DISTANCES)
def test_identical_windows_are_at_distance_zero(name: Distance) -> None:
    window = np.array([3.0, 0.0, 5.0])
    assert measure(name, window, window * 7).value == pytest.approx(0.0, abs=1e-7)


def test_psi_counts_an_empty_bin_as_half_a_row() -> None:
    by_hand = (0.5 - 0.005) * np.log(0.5 / 0.005) + (0.5 - 1.0) * np.log(0.5 / 1.0)
    assert psi(np.array([0.0, 100.0]), np.array([50.0, 50.0])).value == pytest.approx(by_hand)
    assert psi(np.array([0.0, 1.0]), np.array([0.0, 2.0])).value == 0.0


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize(("n", "m"), [(400, 400), (5000, 300)])
def test_unchanged_windows_read_what_was_expected(name: Distance, n: int, m: int) -> None:
    generator = np.random.default_rng(6)
    shares = generator.dirichlet(np.full(20, 5.0))
    positions = np.arange(20.0)
    reads, above, means = [], 0, []
    for seed in range(150):
        p = generator.multinomial(n, shares).astype(np.float64)
        q = generator.multinomial(m, shares).astype(np.float64)
        quiet = expected_if_unchanged(name, p, q, positions=positions, seed=seed)
        read = number(measure(name, p, q).value)
        above += read > number(quiet.high)
        reads.append(read)
        means.append(number(quiet.value))
    assert float(np.mean(reads)) == pytest.approx(float(np.mean(means)), rel=0.15)
    assert 0.0 < above / 150 < 0.11


def test_closed_form_of_psi_agrees_with_simulation() -> None:
    p, q = np.full(30, 200.0), np.full(30, 100.0)
    simulated = expected_if_unchanged("psi", p, q, draws=2000)
    assert psi_expected(p, q).value == pytest.approx(29 * (1 / 6000 + 1 / 3000))
    assert simulated.value == pytest.approx(psi_expected(p, q).value, rel=0.05)


def test_sampled_windows_expect_more_noise() -> None:
    p = np.full(10, 1000.0)
    whole = expected_if_unchanged("psi", p, p)
    sampled = expected_if_unchanged("psi", p, p, reference_rows=100.0, current_rows=100.0)
    assert number(sampled.value) > 20 * number(whole.value)


def test_simulation_repeats_and_is_fast() -> None:
    p, q = np.arange(40.0) + 10, np.arange(40.0)[::-1] + 3
    durations = []
    for _ in range(5):
        start = time.perf_counter()
        first = expected_if_unchanged("psi", p, q, seed=3)
        durations.append(time.perf_counter() - start)
        assert first == expected_if_unchanged("psi", p, q, seed=3)
    assert min(durations) < 0.05


@pytest.mark.parametrize("name", DISTANCES)
def test_empty_windows_are_unknown(name: Distance) -> None:
    full, empty = np.array([1.0, 2.0]), np.zeros(2)
    assert measure(name, empty, full).reason == "no rows in the reference window"
    assert measure(name, full, empty).reason == "no rows in the current window"
    assert not expected_if_unchanged(name, full, empty, positions=np.arange(2.0)).is_known
    assert not psi_expected(empty, empty).is_known


@pytest.mark.parametrize("bad", [np.array([1.0, np.nan]), np.array([1.0, -1.0]), np.array([1.0]), np.ones((2, 1))])
def test_bad_counts_are_refused(bad: FloatArray) -> None:
    with pytest.raises(ValueError, match=r"same bins|not negative"):
        psi(np.array([1.0, 1.0]), bad)


def test_a_constant_reference_cannot_scale_and_positions_must_rise() -> None:
    window = np.array([1.0, 1.0])
    assert "does not vary" in wasserstein_binned(np.arange(2.0), window, window, scale=0.0).reason
    with pytest.raises(ValueError, match="rise"):
        wasserstein_binned(np.zeros(2), window, window)
    with pytest.raises(ValueError, match="positions"):
        expected_if_unchanged("wasserstein", window, window)


def test_standardised_difference_covers_the_truth() -> None:
    generator = np.random.default_rng(7)
    for n, m, shift in ((20, 30, 0.5), (200, 200, 0.0), (50, 1000, 1.0)):
        hits = 0
        for _ in range(500):
            x, y = generator.normal(0.0, 1.0, n), generator.normal(shift, 1.0, m)
            estimate = pooled_effect(
                Moments(float(x.mean()), float(x.std(ddof=1)), n),
                Moments(float(y.mean()), float(y.std(ddof=1)), m),
            )
            hits += number(estimate.low) <= shift <= number(estimate.high)
        assert 0.92 < hits / 500 < 0.98


def test_difference_without_spread_is_unknown() -> None:
    assert "varies" in pooled_effect(Moments(1.0, 0.0, 50), Moments(2.0, 0.0, 50)).reason
    assert "at least 2 rows" in pooled_effect(Moments(1.0, 1.0, 1), Moments(2.0, 1.0, 50)).reason
    assert not pooled_effect(Moments(float("nan"), 1.0, 9), Moments(2.0, 1.0, 50)).is_known
    assert pooled_effect(Moments(1.0, 0.0, 50), Moments(2.0, 1.0, 50)).is_known


@pytest.mark.parametrize(("a", "n", "b", "m"), [(0, 100, 10, 100), (56, 70, 48, 80), (0, 10, 0, 20), (9, 10, 3, 10)])
def test_proportion_difference_equals_statsmodels(a: int, n: int, b: int, m: int) -> None:
    low, high = confint_proportions_2indep(b, m, a, n, method="newcomb", compare="diff")
    estimate = proportion_difference((a, n), (b, m))
    assert estimate.low == pytest.approx(low, abs=1e-9)
    assert estimate.high == pytest.approx(high, abs=1e-9)


def test_proportion_difference_of_empty_windows_is_unknown() -> None:
    assert "reference" in proportion_difference((0, 0), (1, 2)).reason
    assert "current" in proportion_difference((1, 2), (0, 0)).reason
    wide = proportion_difference((10, 100), (20, 100), reference_rows=10, current_rows=10)
    assert number(wide.high) > number(proportion_difference((10, 100), (20, 100)).high)
