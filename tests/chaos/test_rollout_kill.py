"""A controller killed at every transition of a rollout: nothing is lost or repeated, traffic follows decisions."""

from __future__ import annotations

import signal
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from tests.chaos.conftest import Actor
from tests.control.served import MINUTE, OWNED, RULES, Service

from setpoint.control.rollouts import override
from setpoint.core.route_plan import RoutePlan
from setpoint.project.rollouts import start_rollout
from setpoint.store.decisions import decisions_of
from setpoint.store.rollouts import Numbers, events_of, evidence_of, last_look
from setpoint.store.route_file import history, last_plan
from setpoint.testing import Behaviour

PLACES = [f"{when} {what}" for what in ("evidence", "event", "plan", "file") for when in ("before", "after")]
QUICK = replace(RULES, soak=MINUTE // 2, last_soak=MINUTE // 2, steps=(0.1, 0.5))
Told = tuple[list[tuple[object, ...]], list[tuple[str, str]], list[tuple[str, Numbers]], bytes, list[RoutePlan]]


def story(folder: Path, place: str, *, errors: float, actor: Actor | None = None) -> Told:
    """Let a rollout run its course, each move by a process that is killed at a place, then by one that is not."""
    versions = {"v1": Behaviour(), "v2": Behaviour(errors=errors)}
    service = Service(folder, replace(OWNED, rollout=QUICK), versions, rate=3000)
    rollout, _ = start_rollout(service.folder, "m", "v2")
    for minute in range(9):
        if minute:
            service.serve(1)
        if actor:
            before = last_plan(service.layout, "m")
            service.wait(3_000_000)
            assert actor(place, folder) in {0, signal.SIGKILL}
            after = last_plan(service.layout, "m")
            assert before is not None
            assert after is not None
            assert after.generation - before.generation <= 1
            service.wait(-3_000_000)
        if service.look() is None:
            break
    layout = service.layout
    return (
        [(one.seq, one.phase, one.share, one.cause) for one in events_of(layout, rollout.rollout_id)],
        [(one.decision.action, one.decision.said) for one in decisions_of(layout)],
        evidence_of(layout, rollout.rollout_id),
        last_look(layout, rollout).state,
        history(layout, "m"),
    )


@cache
def undisturbed(errors: float) -> Told:
    return story(Path(mkdtemp()) / "s", "", errors=errors)


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_a_controller_killed_at_every_transition_changes_nothing(tmp_path: Path, actor: Actor, place: str) -> None:
    events, decisions, evidence, state, plans = story(tmp_path / "s", place, errors=0.01, actor=actor)
    expected = undisturbed(0.01)
    assert (events, decisions, evidence, state) == expected[:4]
    assert events[-1][1] == "stable"
    # One that was written and not put in force is written again under another number: its route is the same.
    routes = [one.route for n, one in enumerate(plans) if not n or one.route != plans[n - 1].route]
    assert routes == [one.route for one in expected[4]]


@pytest.mark.chaos
def test_a_rollback_that_was_decided_is_carried_out_by_whoever_comes_next(tmp_path: Path, actor: Actor) -> None:
    events, *_, plans = story(tmp_path / "s", "after event", errors=0.05, actor=actor)
    assert events[-1][1] == "rolled_back"
    assert plans[-1].route.shares == (("v1", 1.0),)


@pytest.mark.chaos
def test_a_person_can_roll_back_between_a_decision_and_its_plan(tmp_path: Path, actor: Actor) -> None:
    service = Service(tmp_path / "s", replace(OWNED, rollout=QUICK))
    start_rollout(service.folder, "m", "v2")
    service.wait(3_000_000)
    assert actor("after event", service.folder) == signal.SIGKILL
    override(service.layout, "m", "roll_back", actor="ada")
    plan = last_plan(service.layout, "m")
    assert plan is not None
    assert plan.route.shares == (("v1", 1.0),)
