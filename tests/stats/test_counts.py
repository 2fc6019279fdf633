"""Rare events are counted exactly: the same as SciPy's binomial tests, and shares of one spread on another scale."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from setpoint.stats.counts import as_often, more_often, stabilised


@pytest.mark.parametrize(
    ("events", "rows", "before", "rows_before"), [(3, 100, 0, 300), (25, 5000, 300, 140_000), (0, 50, 4, 90)]
)
def test_it_is_the_binomial_test_given_all_events(events: int, rows: int, before: int, rows_before: int) -> None:
    share = rows / (rows + rows_before)
    found = more_often(np.array([events]), rows, np.array([before]), rows_before)
    assert found[0] == pytest.approx(stats.binom.sf(events - 1, events + before, share))
    below = stats.binom.cdf(events, events + before, share)
    both = as_often(np.array([events]), rows, np.array([before]), rows_before)
    assert both[0] == pytest.approx(min(2.0 * min(float(found[0]), float(below)), 1.0))


def test_no_event_anywhere_is_no_change() -> None:
    nothing = np.zeros(1)
    assert as_often(nothing, 10.0, nothing, 100.0).tolist() == [1.0]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_shares_have_one_variance_on_the_other_scale(share: float) -> None:
    found = stabilised(np.random.default_rng(0).binomial(2000, share, 20_000).astype(np.float64), 2000.0)
    assert float(found.var()) * 2000.0 == pytest.approx(1.0, abs=0.06)
