"""How evenly items are shown, by definition."""

from __future__ import annotations

import numpy as np
import pytest

from setpoint.stats.exposure import gini, top_share


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
