"""Distances between profiles are those between the rows they were made from."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

import setpoint

RANDOM = np.random.default_rng(5)
ROWS = 20_000
PAIRS = {
    "normal": (RANDOM.normal(10, 2, ROWS), RANDOM.normal(10.5, 2, ROWS)),
    "skewed": (RANDOM.lognormal(0, 1, ROWS), RANDOM.lognormal(0.2, 1, ROWS)),
    "a tail that moves": (
        RANDOM.exponential(1, ROWS),
        RANDOM.exponential(1, ROWS) * (1 + 3 * (RANDOM.random(ROWS) < 0.05)),
    ),
    "whole numbers": (RANDOM.poisson(3, ROWS).astype(float), RANDOM.poisson(4, ROWS).astype(float)),
    "far away": (RANDOM.normal(0, 1, ROWS), RANDOM.normal(50, 1, ROWS)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_wasserstein_is_that_of_the_rows(name: str) -> None:
    before, after = PAIRS[name]
    table = setpoint.diff(pl.DataFrame({"x": before}), pl.DataFrame({"x": after})).table("features")
    found = dict(zip(table.columns, table.rows[0], strict=True))
    truth = stats.wasserstein_distance(before, after) / float(np.std(before, ddof=1))
    # Bins are a sixty-fourth of the spread wide at its centre, and ever wider far beyond it.
    assert found["wasserstein"] == pytest.approx(truth, rel=0.1 if name == "far away" else 0.03, abs=0.003)
