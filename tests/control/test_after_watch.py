"""After a rollout the previous version is kept ready for a while, and no longer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.control.served import MINUTE, OWNED, RULES, Service

from setpoint.control.loop import tick
from setpoint.control.rollouts import override
from setpoint.control.route_plans import publish
from setpoint.core.errors import UsageError
from setpoint.core.guardrail import Guardrail
from setpoint.core.rollout import Phase
from setpoint.core.route_plan import Route
from setpoint.project.guardrails import watched
from setpoint.project.rollouts import explain, start_rollout
from setpoint.store.rollouts import events_of
from setpoint.store.route_file import history, last_plan
from setpoint.testing import Behaviour


def in_force(service: Service) -> Route:
    plan = last_plan(service.layout, "m")
    assert plan is not None
    return plan.route


def promoted(service: Service) -> None:
    """Let a rollout of v2 begin, and a person promote it."""
    start_rollout(service.folder, "m", "v2")
    service.look()
    override(service.layout, "m", "promote", actor="ada")
    service.serve(1)
    service.look()
    assert events_of(service.layout, "m/v2/1")[-1].phase is Phase.STABLE
    assert in_force(service).fallback[0] == "v1"


def test_the_previous_version_is_taken_out_of_the_route_when_the_watch_is_over(tmp_path: Path) -> None:
    service = Service(tmp_path / "s")
    begun = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",))
    publish(service.layout, "m", begun)
    promoted(service)
    service.wait(RULES.watch - MINUTE)
    assert service.look() is None
    assert in_force(service).fallback == ("v1", "v0")
    service.wait(MINUTE)
    (moved,) = tick(service.layout).moved
    assert moved.decision.said == "v1 was kept ready for 7 d: the route is as declared again, with v2"
    assert in_force(service) == Route("fallback", (("v2", 1.0),), stable="v2", fallback=("v0",))
    assert explain(service.folder, "m").table("decisions").rows[-1][1:4] == ("retire", "watch", True)
    assert tick(service.layout).moved == []
    with pytest.raises(UsageError, match="no rollout of m is under way"):
        override(service.layout, "m", "roll_back", actor="ada")


def test_a_declared_fallback_stays_when_the_watch_is_over(tmp_path: Path) -> None:
    service = Service(tmp_path / "s")
    promoted(service)
    service.layout.declare(replace(OWNED, route=Route("fallback", (("v2", 1.0),), stable="v2", fallback=("v1",))))
    service.wait(RULES.watch)
    before = history(service.layout, "m")
    assert service.look() is None
    assert history(service.layout, "m") == before
    service.layout.declare(replace(OWNED, route=Route("single", (("v2", 1.0),), stable="v2")))
    moved = service.look()
    assert moved is not None
    assert in_force(service) == Route("single", (("v2", 1.0),), stable="v2")


def test_a_route_that_somebody_published_stays_when_the_watch_is_over(tmp_path: Path) -> None:
    service = Service(tmp_path / "s")
    promoted(service)
    own = replace(in_force(service), fallback=("v1", "v0"))
    publish(service.layout, "m", own)
    service.wait(RULES.watch)
    assert service.look() is None
    assert in_force(service) == own


def test_what_an_earlier_rollout_kept_ready_is_taken_out_too(tmp_path: Path) -> None:
    service = Service(tmp_path / "s", versions={name: Behaviour() for name in ("v1", "v2", "v3")})
    promoted(service)
    start_rollout(service.folder, "m", "v3")
    service.look()
    override(service.layout, "m", "roll_back", actor="ada")
    assert in_force(service).fallback == ("v1",)
    start_rollout(service.folder, "m", "v3")
    service.look()
    override(service.layout, "m", "promote", actor="ada")
    service.serve(1)
    service.look()
    assert in_force(service).fallback == ("v2", "v1")
    service.wait(RULES.watch)
    service.look()
    assert in_force(service) == Route("single", (("v3", 1.0),), stable="v3")


def test_a_guardrail_is_told_that_nothing_is_left_to_roll_back_to_when_the_watch_is_over(tmp_path: Path) -> None:
    service = Service(tmp_path / "s")
    promoted(service)
    back = replace(OWNED, guardrails=(Guardrail("errors", "error_ratio", above=0.5, actions=("roll_back",)),))
    assert watched(service.layout, back).doubts == ()
    service.wait(RULES.watch)
    assert "no version is left to roll back to" in watched(service.layout, back).doubts[0]
