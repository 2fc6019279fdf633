"""The short form of `bench/worth.py`: prices hold the truth, and a cascade's promise is kept."""

from __future__ import annotations

import numpy as np
import pytest
from bench.worth import (
    BROKEN,
    CASCADES,
    GAINS,
    HIGHEST,
    LOWEST,
    OF_FEW,
    OF_ORACLE,
    Cascades,
    Gains,
    called_broken,
    covered,
    followed,
    kept,
)


@pytest.mark.parametrize("world", GAINS, ids=lambda world: world.name)
def test_prices_hold_the_truth_as_often_as_they_say(world: Gains) -> None:
    runs = 600
    found, error = covered(world, runs, seed=3), 3.0 * np.sqrt(0.05 * 0.95 / runs)
    for share in (found.fieller, found.at_half, found.at_twice):
        assert LOWEST - error <= share <= HIGHEST + error


@pytest.mark.parametrize("world", CASCADES, ids=lambda world: world.name)
def test_a_promise_is_kept_and_takes_what_it_can(world: Cascades) -> None:
    runs = 40
    found = kept(world, 10_000, 0.02, runs, seed=3)
    assert found.broken <= BROKEN + 3.0 * np.sqrt(BROKEN * (1.0 - BROKEN) / runs)
    assert found.share >= OF_ORACLE * found.oracle


def test_a_lost_promise_is_noticed_and_a_kept_one_left_alone() -> None:
    assert called_broken(0.02, 0.02, 3000, 100, seed=3) <= BROKEN + 3.0 * np.sqrt(BROKEN * (1.0 - BROKEN) / 100)
    assert called_broken(0.05, 0.02, 3000, 40, seed=3) > 0.8


def test_pairs_of_few_units_break_no_promise_and_would_if_each_were_another_unit_s() -> None:
    runs = 100
    allowed = BROKEN + 3.0 * np.sqrt(BROKEN * (1.0 - BROKEN) / runs)
    assert kept(OF_FEW, 10_000, 0.02, runs, seed=3).broken <= allowed
    assert kept(OF_FEW, 10_000, 0.02, runs, seed=3, by_unit=False).broken > allowed


@pytest.mark.parametrize("world", CASCADES[:2], ids=lambda world: world.name)
def test_of_all_thresholds_that_a_cascade_is_tightened_to_a_kept_one_is_seldom_called_broken(world: Cascades) -> None:
    runs = 100
    found = followed(world, 0.5, 0.02, 20_000, runs, seed=3)
    assert found.wrongly <= BROKEN + 3.0 * np.sqrt(BROKEN * (1.0 - BROKEN) / runs)
    assert found.losing < 0.5
