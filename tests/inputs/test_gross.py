"""A gross change is found within 500 rows; nights, weather and short references are no gross change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bench.gross import CHANGES, HOURS, MOST_ROWS, days, false_alarms, rows_until_found

from setpoint.inputs.gross import FEWEST_DAYS, Counts, DayByHour, judge, learn
from setpoint.testing.drift import DriftWorld

ROWS = 500


@pytest.mark.parametrize("seed", range(2))
def test_each_gross_change_is_found_within_500_rows(seed: int) -> None:
    found = rows_until_found(HOURS * ROWS, seed)
    assert set(found) == set(CHANGES)
    assert all(rows <= MOST_ROWS for rows in found.values()), found


def test_a_feature_that_is_missing_every_night_is_no_alarm() -> None:
    assert not false_alarms("moody", HOURS * ROWS, 12, seed=3)


def flat(world: np.random.Generator, count: int, *, values: int = 4, alike: bool = False) -> list[DayByHour]:
    """Return days of one feature whose rows have one of some values each, or whose hours have one each."""
    found: list[DayByHour] = []
    for _ in range(count):
        shares = np.full(values, 1.0 / values)
        cells = world.multinomial(1 if alike else ROWS, shares, HOURS).T * (ROWS if alike else 1.0)
        rows = np.full(HOURS, float(ROWS))
        counts = Counts(rows, np.zeros(HOURS), tuple("abcd"[:values]), cells.astype(float), is_number=False)
        found.append(DayByHour(0, tuple(range(HOURS)), np.arange(HOURS), {"x": counts}))
    return found


def with_new_value(day: DayByHour, hours: range) -> DayByHour:
    """Return a day in some hours of which all rows have a value that was never seen."""
    counts = day.features["x"]
    is_new = np.isin(np.arange(HOURS), hours)
    values = np.concatenate([counts.values * ~is_new, (ROWS * is_new)[None]])
    return replace(day, features={"x": replace(counts, labels=(*counts.labels, "new"), values=values)})


def test_rows_of_an_hour_that_share_their_value_are_worth_few() -> None:
    rng = np.random.default_rng(5)
    apart, together = flat(rng, 28), flat(rng, 28, alike=True)
    known, alike = learn(apart), learn(together)
    assert known["x"].alike == pytest.approx(0.0, abs=0.01)
    assert alike["x"].alike == pytest.approx(1.0, abs=0.05)
    [found] = [gross for gross in judge(known, with_new_value(apart[0], range(9, 10))) if gross.sign == "unseen"]
    assert (found.began_at, found.noticed_at, found.rate, found.rows) == (9, 9, 1.0, ROWS)
    assert found.said == "values never seen in 100.0 % of 500 rows, usually in 0.0 %"
    assert not judge(alike, with_new_value(together[0], range(9, 10)))
    assert judge(alike, with_new_value(together[0], range(9, 24)))


def test_a_reference_of_fewer_than_seven_days_says_nothing() -> None:
    rng = np.random.default_rng(6)
    assert learn(flat(rng, FEWEST_DAYS - 1)) == {}
    assert set(learn(flat(rng, FEWEST_DAYS))) == {"x"}


def test_hours_without_rows_a_feature_without_values_and_features_that_are_not_there() -> None:
    rng = np.random.default_rng(7)
    empty = Counts(np.zeros(HOURS), np.zeros(HOURS), (), np.zeros((0, HOURS)), is_number=False)
    all_missing = Counts(np.full(HOURS, 9.0), np.full(HOURS, 9.0), (), np.zeros((0, HOURS)), is_number=True)
    reference = [replace(day, features={**day.features, "e": empty, "m": all_missing}) for day in flat(rng, 8)]
    known = learn(reference)
    assert not judge(known, reference[0])
    assert not judge(known, replace(reference[0], features={}))
    assert not judge({}, reference[0])


def test_numbers_far_beyond_the_reference_are_never_seen_and_a_little_beyond_are_not() -> None:
    usual = days(DriftWorld(ROWS, seed=1), 8)
    known, day = learn(usual), usual[0]
    counts = day.features["n0"]
    low, high = min(map(int, counts.labels)), max(map(int, counts.labels))
    for moved, is_found in ((1, False), (high - low, True)):
        labels = tuple(str(int(label) + moved) for label in counts.labels)
        now = replace(day, features={"n0": replace(counts, labels=labels)})
        assert any(gross.sign == "unseen" for gross in judge(known, now)) is is_found
