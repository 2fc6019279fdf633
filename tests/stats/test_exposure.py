"""How evenly items are shown, by definition."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from setpoint.stats.exposure import concentration, distinct_items, gini, top_share
from setpoint.stats.special import FloatArray


def test_the_gini_index_is_half_the_mean_difference_of_all_pairs() -> None:
    shown = np.random.default_rng(0).integers(0, 50, 40).astype(np.float64)
    pairs = np.abs(shown[:, np.newaxis] - shown[np.newaxis, :])
    assert gini(shown) == pytest.approx(float(pairs.mean() / (2.0 * shown.mean())))
    whole = np.concatenate([shown, np.zeros(60)])
    pairs = np.abs(whole[:, np.newaxis] - whole[np.newaxis, :])
    assert gini(shown, 100) == pytest.approx(float(pairs.mean() / (2.0 * whole.mean())))


def test_the_top_tenth_has_its_share() -> None:
    shown = np.arange(1.0, 101.0)
    assert top_share(shown) == pytest.approx(float(shown[-10:].sum() / shown.sum()))
    assert top_share(np.array([7.0])) == 1.0


def test_nothing_shown_has_no_index() -> None:
    assert gini(np.array([])) is None
    assert top_share(np.array([]), 10) is None


def test_distinct_items_are_the_mean_over_all_ways_to_draw() -> None:
    shown = np.array([4.0, 2.0, 1.0, 0.0, 1.0])
    exposures = np.repeat(np.arange(len(shown)), shown.astype(np.int64)).tolist()
    for draws in (1, 3, 7):
        every = [len(set(drawn)) for drawn in combinations(exposures, draws)]
        assert distinct_items(shown, draws)[0] == pytest.approx(np.mean(every))


def test_concentration_is_the_share_of_pairs_of_the_same_item() -> None:
    exposures = [0, 0, 0, 1, 1, 2]
    pairs = [one == other for one, other in combinations(exposures, 2)]
    assert concentration(np.array([3.0, 2.0, 1.0]))[0] == pytest.approx(np.mean(pairs))


def test_the_jackknife_leaves_out_one_exposure_after_the_other() -> None:
    shown = np.array([4.0, 2.0, 1.0, 1.0])
    exposures = np.repeat(np.arange(4), shown.astype(np.int64))
    without = [np.bincount(np.delete(exposures, n), minlength=4).astype(np.float64) for n in range(8)]
    for found, left in (
        (distinct_items(shown, 3), [distinct_items(one, 3)[0] for one in without]),
        (concentration(shown), [concentration(one)[0] for one in without]),
    ):
        assert found[1] == pytest.approx(7.0 / 8.0 * np.sum((np.array(left) - np.mean(left)) ** 2))


@pytest.mark.parametrize("power", [0.8, 1.2])
def test_the_variances_are_those_of_simulated_exposures_or_somewhat_larger(power: float) -> None:
    rng = np.random.default_rng(1)
    odds = np.arange(1.0, 201.0) ** -power
    worlds = [rng.multinomial(2000, odds / odds.sum()).astype(np.float64) for _ in range(1500)]
    for measured in ([distinct_items(world, 500) for world in worlds], [concentration(world) for world in worlds]):
        values, variances = np.array(measured).T
        assert 0.9 <= float(variances.mean() / values.var()) <= 1.35


def test_neither_depends_on_how_much_is_shown() -> None:
    rng = np.random.default_rng(2)
    odds = 1.0 / np.arange(1.0, 101.0)
    few, many = (
        np.mean([_both(rng.multinomial(total, odds / odds.sum()).astype(np.float64)) for _ in range(1000)], axis=0)
        for total in (300, 3000)
    )
    assert few == pytest.approx(many, rel=0.01)


def _both(shown: FloatArray) -> tuple[float, float]:
    return distinct_items(shown, 200)[0], concentration(shown)[0]


def test_one_item_alone_is_one_item_and_wholly_concentrated() -> None:
    assert distinct_items(np.array([50.0]), 10) == pytest.approx((1.0, 0.0))
    assert concentration(np.array([50.0])) == pytest.approx((1.0, 0.0))


def test_too_few_exposures_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        distinct_items(np.array([2.0, 1.0]), 3)
    with pytest.raises(ValueError, match="takes three exposures"):
        concentration(np.array([1.0, 1.0]))
