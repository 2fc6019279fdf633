"""How much likelier values are when all are larger by a factor: near the exact ratio, and never falling."""

from __future__ import annotations

import math

import numpy as np
import pytest

from setpoint.stats.likeness import Likeness


def test_it_is_the_ratio_of_densities_where_that_is_known() -> None:
    like = Likeness.fit(np.random.default_rng(1).lognormal(0.0, 0.5, 200_000), 1.25)
    values = np.exp(np.linspace(-0.8, 0.8, 9))
    shift = math.log(1.25)
    exact = shift * np.log(values) / 0.25 - shift**2 / 0.5
    assert like.of(values) == pytest.approx(exact, abs=0.06)


def test_larger_values_never_speak_less_against_a_version() -> None:
    rng = np.random.default_rng(2)
    many_fast = np.where(rng.random(50_000) < 0.7, rng.lognormal(-4.0, 0.3, 50_000), rng.lognormal(0.0, 0.3, 50_000))
    for history in (many_fast, np.where(rng.random(50_000) < 0.05, rng.pareto(1.5, 50_000), 0.0), rng.random(60)):
        logs = np.array(Likeness.fit(history, 1.5).logs)
        assert (np.diff(logs) >= 0.0).all()
        assert logs[0] < 0.0 < logs[-1]


def test_values_beyond_the_history_are_in_its_last_bins() -> None:
    like = Likeness.fit(np.random.default_rng(3).lognormal(0.0, 0.5, 1_000), 1.25)
    assert like.of(np.array([0.0, 1e-300, 1e300])).tolist() == [like.logs[0], like.logs[0], like.logs[-1]]
