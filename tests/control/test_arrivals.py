"""Quality is not judged where the outcomes of one version arrive otherwise than those of the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.control.served import MINUTE, OWNED, RULES, Service

from setpoint.control.arrivals import Arrivals
from setpoint.control.judge import Counted, Judge
from setpoint.control.rollouts import override
from setpoint.core.rollout import AbRules, RedLine, Rollout
from setpoint.core.route_plan import Route
from setpoint.project.rollouts import start_rollout, status_of
from setpoint.store.arms import Late
from setpoint.store.rollouts import events_of
from setpoint.testing import Behaviour

LATE_RULES = replace(
    RULES, steps=(0.5,), last_soak=MINUTE, outcome_age=3 * MINUTE, red_lines=(RedLine("wrong_ratio", 1.5),)
)
ROLLOUT = Rollout("r", "m", "v1", "v2", LATE_RULES, {}, Route("single", (("v1", 1.0),), "v1"), 0)
UNITS = 200


def came(rng: np.random.Generator, known: np.ndarray) -> Late:
    """Return units of which those that are known have an outcome, at an age of less than three minutes."""
    age = np.where(known, rng.random(len(known)) * 3 * MINUTE, np.nan)
    nothing = np.full(len(known), np.nan)
    return Late(np.ones(len(known), dtype=np.bool_), known, age, nothing, nothing, nothing)


def test_outcomes_that_arrive_alike_are_rarely_called_different_however_often_one_looks() -> None:
    rng, called = np.random.default_rng(1), 0
    for _ in range(150):
        arrivals, is_called = Arrivals(), False
        for look in range(40):
            wave = 0.3 + 0.5 * (look % 10) / 10  # what befalls both is no difference
            who = rng.random(UNITS) < 0.2
            arrivals.update(came(rng, rng.random(UNITS) < wave), who, 3 * MINUTE)
            is_called |= bool(arrivals.difference(ROLLOUT))
        called += is_called
    assert called <= 4


@pytest.mark.parametrize("shares", [(0.6, 0.8), (0.8, 0.6)])
def test_a_difference_is_called_and_said_with_both_shares(shares: tuple[float, float]) -> None:
    rng, arrivals = np.random.default_rng(2), Arrivals()
    for _ in range(20):
        who = rng.random(UNITS) < 0.5
        arrivals.update(came(rng, rng.random(UNITS) < np.where(who, shares[1], shares[0])), who, 3 * MINUTE)
    said = arrivals.difference(ROLLOUT)
    assert said.startswith("outcomes do not arrive alike: after 3 min")
    for share, version in zip(shares, ("v1", "v2"), strict=True):
        assert f"{100 * share:.0f}" in said or f"{100 * share - 1:.0f}" in said
        assert version in said


def test_that_all_of_a_candidates_outcomes_are_young_is_a_difference_too() -> None:
    rng, arrivals = np.random.default_rng(3), Arrivals()
    for _ in range(20):
        who = rng.random(UNITS) < 0.5
        late = came(rng, rng.random(UNITS) < 0.9)
        arrivals.update(replace(late, first_age=np.where(who, late.first_age / 2.0, late.first_age)), who, 3 * MINUTE)
    assert "after 2 min an outcome is known of 89.5 % of the units of v2" in arrivals.difference(ROLLOUT)


def test_a_healthy_candidate_whose_wrong_answers_are_confirmed_sooner_is_not_rolled_back() -> None:
    """Without the check of arrivals each of these is rolled back: at equal age more of what is known is wrong."""
    rng, rolled_back, unchecked = np.random.default_rng(4), 0, 0
    for _ in range(60):
        judge, arrivals, is_called = Judge([Counted("wrong", 1.5)]), Arrivals(), False
        for _ in range(60):
            who, wrong = rng.random(UNITS) < 0.5, rng.random(UNITS) < 0.15
            known = rng.random(UNITS) < np.where(who, np.where(wrong, 0.9, 0.6), 0.8)
            arrivals.update(came(rng, known), who, 3 * MINUTE)
            told = [{"wrong": (int((known & side).sum()), int((known & side & wrong).sum()))} for side in (~who, who)]
            judge.update(*told)
            is_called |= bool(arrivals.difference(ROLLOUT))
            if judge.judgement(aside=["wrong"] if is_called else []).is_worse:
                rolled_back += 1
                break
            if is_called and judge.judgement().is_worse:
                unchecked += 1
                break
    assert rolled_back <= 1
    assert unchecked >= 50


def test_a_rollout_pauses_and_its_quality_is_not_judged(tmp_path: Path) -> None:
    rules = replace(LATE_RULES, red_lines=(RedLine("wrong_ratio", 1.5), RedLine("error_ratio", 2.0)))
    versions = {"v1": Behaviour(), "v2": Behaviour(wrong=0.3, late_minutes=2.5)}
    service = Service(tmp_path / "s", replace(OWNED, rollout=rules), versions)
    service.serve(1, outcomes=True)
    start_rollout(service.folder, "m", "v2")
    service.look()
    for _ in range(8):
        service.serve(1, outcomes=True)
        service.look()
    last = events_of(service.layout, "m/v2/1")[-1]
    assert (last.phase, last.cause) == ("paused", "arrival")
    assert last.said.startswith("outcomes do not arrive alike: after ")
    assert "there is no verdict on it" in last.said
    evidence = {row[:2]: row[-2] for row in status_of(service.folder, "m").table("metrics").rows}
    assert evidence["wrong_ratio", "v2"] == 1.0
    override(service.layout, "m", "resume", actor="ada")
    service.versions["v2"].errors = 0.2
    moved = service.until_over()
    assert (moved[-1].decision.action, moved[-1].decision.rule) == ("roll_back", "red_line")
    assert "error_ratio" in moved[-1].decision.said
    assert "wrong_ratio" not in moved[-1].decision.said


def test_a_test_whose_outcomes_do_not_arrive_alike_is_read_out_as_unknown(tmp_path: Path) -> None:
    rules = replace(LATE_RULES, red_lines=(RedLine("error_ratio", 2.0),), ab=AbRules("success"))
    versions = {"v1": Behaviour(), "v2": Behaviour(late_minutes=2.5)}
    service = Service(tmp_path / "s", replace(OWNED, rollout=rules), versions)
    service.serve(1, outcomes=True)
    start_rollout(service.folder, "m", "v2")
    service.look()
    for _ in range(8):
        service.serve(1, outcomes=True)
        service.look()
    assert status_of(service.folder, "m").table("readout").rows[0][1] == "unknown"
