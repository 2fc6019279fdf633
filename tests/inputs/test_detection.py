"""Drift is found when there is some, and hardly ever when there is none: the short form of bench/drift.py."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from setpoint.inputs.detection import BUDGET, Day, Detector, Drift
from setpoint.testing.drift import Change, DriftWorld, Kind

ROWS = 5000


def judged(world: DriftWorld, reference: int = 28, days: int = 4, change: Change | None = None) -> list[list[Drift]]:
    """Return what is found at the end of each of some days after a reference."""
    usual = world.days(reference)
    later = world.days(days, change)
    detector = Detector(usual)
    return [detector.judge(later[: n + 1]) for n in range(days)]


def alarms(found: list[Drift]) -> set[str]:
    return {drift.feature for drift in found if drift.is_alarm}


@pytest.mark.parametrize("kind", ["alike", "moody", "heavy", "slow", "wave"])
def test_days_on_which_nothing_changed_are_quiet(kind: Kind) -> None:
    days = [day for seed in range(12) for day in judged(DriftWorld(ROWS, kind=kind, seed=seed), days=8)]
    # Of 96 days 1 % and 5 % are meant to be; ten are beyond both.
    assert sum(bool(alarms(day)) for day in days) <= (3 if kind == "alike" else 9)


@pytest.mark.parametrize(
    ("change", "question", "within"),
    [
        (Change(shift=0.1), "location", 1),
        (Change(width=1.2**0.5), "spread", 1),
        (Change(missing=0.05), "missing", 1),
        (Change(missing=0.03), "missing", 4),
        (Change(hump=0.05), "location", 4),
        (Change(new_value=0.005), "unseen", 1),
        (Change(swapped=(0, 1)), "shape", 1),
        (Change(swapped=(2, 9)), "shape", 1),
    ],
)
def test_a_change_is_found_by_its_question(change: Change, question: str, within: int) -> None:
    for seed in range(6):
        found = judged(DriftWorld(ROWS, seed=seed), days=within, change=change)
        changed = "c2" if question in {"unseen", "shape"} else "n0"
        first = next((day for day in found if changed in alarms(day)), None)
        assert first is not None, (seed, [(d.feature, d.p) for d in found[-1][:3]])
        (mine,) = [drift for drift in first if drift.feature == changed]
        assert mine.answers[0].question == question
        assert alarms(first) == {changed}


def test_an_effect_has_an_interval_that_agrees_with_its_test() -> None:
    (found,) = judged(DriftWorld(ROWS, seed=3), days=1, change=Change(shift=0.2))
    first = found[0].answers[0]
    assert first.effect == pytest.approx(0.2, abs=0.05)
    assert 0.0 < first.low < 0.2 < first.high
    for drift in found:
        for answer in drift.answers:
            assert (answer.low <= 0.0 <= answer.high) == (answer.p >= 0.05)


def test_without_two_weeks_margins_stand_in_for_days() -> None:
    world = DriftWorld(50_000, seed=1)
    detector = Detector(world.days(3))
    assert not detector.knows_days
    assert not alarms(
        detector.judge(world.days(1, Change(shift=0.03)))
    )  # a hundredth of a hundredth, and within the margin
    assert alarms(detector.judge(world.days(1, Change(shift=0.2)))) == {"n0"}


def test_features_that_come_or_go_are_not_judged() -> None:
    world = DriftWorld(ROWS, seed=2)
    usual, later = world.days(14), world.days(1)
    gone = Day({name: profile for name, profile in later[0].profiles.items() if name != "n1"}, later[0].weekday)
    assert {drift.feature for drift in Detector(usual).judge([gone])} == set(later[0].profiles) - {"n1"}
    assert Detector([gone, gone]).names == tuple(name for name in later[0].profiles if name != "n1")
    with pytest.raises(ValueError, match="at least one day"):
        Detector([])


def test_a_feature_without_a_value_now_is_missing_and_nothing_fails() -> None:
    world = DriftWorld(ROWS, seed=4)
    found = judged(world, days=1, change=Change(missing=1.0))[0]
    (mine,) = [drift for drift in found if drift.feature == "n0"]
    assert mine.is_alarm
    assert mine.answers[0].question == "missing"
    assert all(np.isfinite(answer.p) for answer in mine.answers)
    assert mine.p <= BUDGET


def test_days_before_a_short_reference_say_how_days_differ() -> None:
    false, alone, found = 0, 0, 0
    for seed in range(8):
        world = DriftWorld(50_000, kind="moody", seed=seed)
        before, usual = world.days(21), world.days(7)
        week = world.days(7)
        knowing, knowing_not = Detector(usual, before), Detector(usual)
        assert (knowing.knows_days, knowing_not.knows_days) == (True, False)
        false += bool(alarms(knowing.judge(week, is_window=True)))
        alone += bool(alarms(knowing_not.judge(week, is_window=True)))
        found += "n0" in alarms(knowing.judge(world.days(7, Change(shift=0.3)), is_window=True))
    assert (false, found) == (0, 8)
    assert alone >= 6  # what margins stand in for is more than they allow


def test_all_days_together_are_judged_when_they_are_a_window() -> None:
    world = DriftWorld(2000, seed=1)
    detector, week = Detector(world.days(28)), world.days(7)
    lengths = {answer.days for drift in detector.judge(week, is_window=True) for answer in drift.answers}
    assert lengths == {1, 2, 4, 7}
    assert {answer.days for drift in detector.judge(week) for answer in drift.answers} == {1, 2, 4}


def test_the_share_that_moved_is_that_of_normal_distributions_and_no_more_than_was_seen() -> None:
    world = DriftWorld(1_000_000, seed=1)
    detector = Detector(world.days(28))
    for change, true in (
        (Change(shift=0.5), 2 * stats.norm.cdf(0.25) - 1),
        (Change(width=2.0), 2 * (stats.norm.cdf(1.3596) - stats.norm.cdf(1.3596 / 2))),
        (Change(missing=0.12), 0.1),
    ):
        (mine,) = [drift for drift in detector.judge(world.days(1, change)) if drift.feature == "n0"]
        assert 0.6 * true < mine.moved <= 1.02 * true
    quiet = detector.judge(world.days(1))
    assert all(drift.moved == 0.0 for drift in quiet if not drift.is_alarm)


def test_a_single_day_holds_each_row_against_the_others() -> None:
    (day,) = DriftWorld(3000, seed=2).days(1)
    detector = Detector([day])
    (changed,) = DriftWorld(3000, seed=3).days(1, Change(new_value=0.02))
    assert alarms(detector.judge([changed])) == {"c2"}
    assert not alarms(detector.judge(DriftWorld(3000, seed=4).days(1)))
