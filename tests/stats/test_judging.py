"""What a judge model says is corrected by what people say, and is refused without them."""

from __future__ import annotations

import numpy as np
import pytest

from setpoint.stats.intervals import mean
from setpoint.stats.judging import FEWEST_BOTH, Grades, Judged, judge_agreement, judge_bias, judged_mean

NOBODY = np.array([np.nan])

# People's grades, the judge's, share of good answers, how often the judge calls a bad one good and a good one bad.
CASES = {
    "few people": (60, 2000, 0.7, 0.5, 0.1),
    "kind judge": (100, 5000, 0.9, 0.3, 0.05),
    "blind judge": (100, 5000, 0.9, 1.0, 0.0),
    "good judge": (200, 20_000, 0.8, 0.05, 0.05),
    "rare failures": (300, 20_000, 0.95, 0.5, 0.02),
}


def drawn(rng: np.random.Generator, case: str) -> tuple[np.ndarray, np.ndarray]:
    people, judged, share, kind, harsh = CASES[case]
    truth = rng.random(people + judged) < share
    judge = np.where(truth, rng.random(len(truth)) > harsh, rng.random(len(truth)) < kind).astype(np.float64)
    return np.where(np.arange(len(truth)) < people, truth, np.nan), judge


@pytest.mark.parametrize("case", CASES)
def test_the_interval_holds_whatever_the_judge_is_like(case: str) -> None:
    rng = np.random.default_rng(8)
    runs, held, widths = 1000, 0, 0.0
    for _ in range(runs):
        found = judged_mean(Judged.from_rows(*drawn(rng, case)), is_share=True)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= CASES[case][2] <= found.high
        widths += found.high - found.low
    assert 0.92 <= held / runs <= 0.985


def test_a_good_judge_makes_the_interval_narrower_and_a_blind_one_no_wider() -> None:
    rng = np.random.default_rng(3)
    width: dict[str, float] = {}
    for case in ("good judge", "blind judge"):
        people, judge = drawn(rng, case)
        both = judged_mean(Judged.from_rows(people, judge), is_share=True)
        alone = judged_mean(Judged.from_rows(people, np.where(np.isnan(people), np.nan, judge)), is_share=True)
        width[case] = ((both.high or 0) - (both.low or 0)) / ((alone.high or 0) - (alone.low or 0))
    assert width["good judge"] < 0.75
    assert width["blind judge"] == pytest.approx(1.0, abs=0.05)


def test_without_a_judge_it_is_the_mean_of_what_people_say() -> None:
    grades = np.random.default_rng(1).normal(3.0, 1.0, 80)
    found = judged_mean(Judged.from_rows(grades, np.full(80, np.nan)), is_share=False)
    plain = mean(float(grades.sum()), float(grades @ grades), 80.0, 80.0)
    assert (found.value, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high))


def test_grades_of_a_judge_alone_are_refused() -> None:
    judge = np.ones(500)
    nobody = Judged.from_rows(np.full(500, np.nan), judge)
    wanted = f"needs {FEWEST_BOTH} more predictions that people graded as well as the judge"
    assert judged_mean(nobody, is_share=True).reason == wanted
    assert judge_bias(nobody.both).reason == wanted
    assert judge_agreement(0.0, nobody.both).reason == wanted
    few = Judged.from_rows(np.where(np.arange(500) < 29, 1.0, np.nan), judge)
    assert judged_mean(few, is_share=True).reason.startswith("needs 1 more prediction")
    assert judged_mean(Judged(Grades(), Grades(), Grades()), is_share=True).reason == (
        "no grade has arrived for this window"
    )


def test_the_bias_is_that_of_the_rows_that_both_graded() -> None:
    rng = np.random.default_rng(6)
    people = rng.normal(3.0, 1.0, 400)
    judge = people + rng.normal(0.4, 0.5, 400)
    found = judge_bias(Judged.from_rows(people, judge).both)
    assert found.value == pytest.approx(float(np.mean(judge - people)))
    assert found.value is not None
    half = 1.966 * float(np.std(judge - people, ddof=1)) / 20.0
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=1e-3)
