"""What rankings show has drifted when it changed by more than exposures and days make, and else it has not."""

from __future__ import annotations

import numpy as np
import pytest

from setpoint.inputs.detection import FEWEST_DAYS, Drift, in_words
from setpoint.inputs.exposure_drift import FEATURES, ExposureDetector, ShownDay
from setpoint.stats.special import FloatArray
from setpoint.store.exposure import EXPOSURE
from setpoint.store.states import StateTable

ITEMS, TOP = 300, 5
COVERAGE, CONCENTRATION, NEW = FEATURES.values()
ODDS = np.arange(1.0, ITEMS + 1.0) ** -0.8


def days(
    rng: np.random.Generator,
    count: int,
    odds: FloatArray = ODDS,
    *,
    rankings: int = 400,
    new: float = 0.0,
    mood: float = 0.0,
) -> list[ShownDay]:
    """Return days of rankings of five different items, fewer on weekends, of which a share of exposures is new."""
    found: list[ShownDay] = []
    for n in range(count):
        odds_today = np.log(odds) + rng.normal(0.0, mood, len(odds))
        keys = odds_today + rng.gumbel(size=(rankings if n % 7 < 5 else rankings // 2, len(odds)))
        first = np.argpartition(-keys, TOP, axis=1)[:, :TOP].ravel()
        first[rng.random(len(first)) < new] = ITEMS
        counts = np.bincount(first)
        found.append(ShownDay({f"{item}": float(counts[item]) for item in np.flatnonzero(counts)}, n % 7))
    return found


def found_by(drifts: list[Drift]) -> set[str]:
    return {drift.feature for drift in drifts if drift.is_alarm}


@pytest.mark.parametrize("mood", [0.0, 0.3])
def test_quiet_days_alarm_hardly_ever(mood: float) -> None:
    alarms = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        detector, later = ExposureDetector(days(rng, 28, mood=mood)), days(rng, 28, mood=mood)
        alarms += sum(bool(found_by(detector.judge(later[max(n - 15, 0) : n + 1]))) for n in range(28))
    assert alarms == 0


SHRUNK = np.where(np.random.default_rng(0).random(ITEMS) < 0.2, 1e-9, ODDS)


@pytest.mark.parametrize(
    ("odds", "new", "feature", "said"),
    [
        (ODDS**1.2, 0.0, CONCENTRATION, "more concentrated"),
        (SHRUNK, 0.0, COVERAGE, "fewer different items"),
        (ODDS, 0.05, NEW, "new items in 5.0 %"),
    ],
    ids=["popularity collapses", "a fifth of the catalogue goes", "new items come"],
)
def test_a_change_is_found_in_two_days(odds: FloatArray, new: float, feature: str, said: str) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        detector = ExposureDetector(days(rng, 28))
        drifts = detector.judge([*days(rng, 6), *days(rng, 2, odds, rankings=1000, new=new)])
        drift = next(drift for drift in drifts if drift.feature == feature)
        assert drift.is_alarm
        assert said[:9] in in_words(drift.foremost)
        assert drift.foremost.low <= drift.foremost.effect <= drift.foremost.high


def test_days_of_another_size_are_no_change() -> None:
    rng = np.random.default_rng(3)
    detector = ExposureDetector(days(rng, 28))
    for rankings in (200, 1600):
        assert found_by(detector.judge(days(rng, 4, rankings=rankings))) == set()


def test_rankings_that_go_together_are_no_change() -> None:
    rng = np.random.default_rng(4)
    tastes = np.exp(rng.normal(0.0, 2.0, (20, ITEMS)))

    def day(n: int) -> ShownDay:
        shown = np.zeros(ITEMS)
        for taste in rng.integers(0, len(tastes), 40):  # forty users, each of whom sees ten times the same
            shown[np.argsort(-np.log(tastes[taste]) - rng.gumbel(size=ITEMS) * 0.3)[:TOP]] += 10.0
        return ShownDay({f"{item}": float(shown[item]) for item in np.flatnonzero(shown)}, n % 7)

    detector = ExposureDetector([day(n) for n in range(28)])
    later = [day(n) for n in range(14)]
    assert [found_by(detector.judge(later[: n + 1])) for n in range(14)] == [set()] * 14


def test_fewer_than_fourteen_days_say_nothing_and_days_before_help() -> None:
    rng = np.random.default_rng(5)
    week, before, later = days(rng, 7), days(rng, 14), days(rng, 1, ODDS**2)
    alone, helped = ExposureDetector(week), ExposureDetector(week, before)
    assert (alone.judge(later), alone.measures(later)) == ([], {})
    assert alone.unknown == f"how days differ is unknown, that takes {FEWEST_DAYS} of them"
    assert helped.unknown == ""
    assert CONCENTRATION in found_by(helped.judge(later))


def test_empty_days_and_single_rankings_are_left_out() -> None:
    rng = np.random.default_rng(6)
    quiet = days(rng, 28)
    empty, single = ShownDay({}, 0), ShownDay({"1": 1.0, "2": 1.0}, 1)
    detector = ExposureDetector([*quiet, empty, single])
    assert detector.unknown == ""
    assert (detector.judge([empty]), detector.judge([single]), detector.judge([])) == ([], [], [])
    assert {answer.days for drift in detector.judge([*days(rng, 1), empty]) for answer in drift.answers} == {2}
    for nothing in ([], [empty] * 28, [single] * 28):
        assert "fewer than 50 items a day" in ExposureDetector(nothing).unknown


def test_one_item_that_is_always_shown_is_usual_until_another_is() -> None:
    always = [ShownDay({"a": 200.0}, n % 7) for n in range(28)]
    detector = ExposureDetector(always)
    assert found_by(detector.judge(always[:3])) == set()
    assert found_by(detector.judge([ShownDay({"a": 100.0, "b": 100.0}, 0)])) == {CONCENTRATION, NEW}


def test_sampled_rows_count_as_many_as_were_kept() -> None:
    rows = [(0, "v", None, "a", 3.0, 30.0), (0, "w", None, "a", 1.0, 10.0), (0, "v", None, 7, 2.0, 20.0)]
    assert ShownDay.of(StateTable.of(EXPOSURE, rows), 0).shown == pytest.approx({"a": 4.0, "7": 2.0})
    assert ShownDay.of(StateTable.of(EXPOSURE, []), 0).exposures == 0.0
