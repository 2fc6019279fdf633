"""Holm's correction against statsmodels, and at its edges."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from setpoint.stats import multiplicity
from setpoint.stats.multiplicity import holm


@pytest.mark.parametrize("tests", [1, 2, 7, 60])
@pytest.mark.parametrize("seed", range(5))
def test_holm_agrees_with_statsmodels(tests: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    p = random.random(tests) ** 4
    p[random.random(tests) < 0.3] = round(float(p[0]), 2)  # ties
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-15)


def test_no_test_needs_no_correction() -> None:
    assert holm(np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_what_is_no_p_value_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm(np.array([0.5, bad]))


def test_holm_rejects_falsely_at_most_once_in_twenty_families_of_which_some_are_false() -> None:
    random = np.random.default_rng(0)
    true = random.random((4000, 15))
    false = np.full((4000, 5), 1e-9)
    wrong = [bool(np.any(holm(np.concatenate(pair))[:15] <= 0.05)) for pair in zip(true, false, strict=True)]
    assert np.mean(wrong) <= 0.06


def test_examples_in_docstrings_hold() -> None:
    found = doctest.testmod(multiplicity)
    assert (found.attempted > 0, found.failed) == (True, 0)
