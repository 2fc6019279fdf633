"""A rollback claims no help where the old version breaks the contract that is declared now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.control.served import MINUTE, OWNED, RULES, Service

from setpoint.control.rollouts import Moved, override
from setpoint.control.route_plans import publish
from setpoint.core.contract import Contract, ContractField
from setpoint.core.errors import UsageError
from setpoint.core.route_plan import Route
from setpoint.project.plan import plan
from setpoint.project.rollouts import start_rollout, status_of
from setpoint.store.decisions import decisions_of
from setpoint.store.rollouts import events_of
from setpoint.store.route_file import last_plan
from setpoint.testing import Behaviour

CONTRACT = Contract((ContractField("x", at_least=0.0),))
OLD = Behaviour(inputs={"x": -1.0})


def rolled_out(folder: Path, *, fallback: tuple[str, ...] = (), x: float = 1.0) -> tuple[Service, list[Moved]]:
    rules = replace(RULES, steps=(0.5,), last_soak=10 * MINUTE)
    versions = {"v1": OLD, "v2": Behaviour(errors=0.2, inputs={"x": x}), "cheap": Behaviour()}
    service = Service(folder, replace(OWNED, rollout=rules, contract=CONTRACT), versions)
    if fallback:
        publish(service.layout, "m", Route("fallback", (("v1", 1.0),), "v1", fallback=fallback))
    start_rollout(service.folder, "m", "v2")
    service.look()
    return service, service.until_over(looks=3)


def test_it_falls_back_instead_as_declared(tmp_path: Path) -> None:
    service, moved = rolled_out(tmp_path / "s", fallback=("cheap",))
    decision = moved[-1].decision
    assert (decision.action, decision.rule) == ("fall_back", "no_way_back")
    assert "going back would not help: v1 breaks x.range of the contract in force: 100.0 % [" in decision.said
    assert "and 0.0 % of those of v2; cheap answers instead" in decision.said
    assert decision.alternatives["roll_back"].startswith("it would not help")
    published = last_plan(service.layout, "m")
    assert published is not None
    assert published.route.shares == (("cheap", 1.0),)
    assert status_of(service.folder, "m").exit_code == 1


def test_without_a_fallback_a_person_decides_once(tmp_path: Path) -> None:
    service, _ = rolled_out(tmp_path / "s")
    service.until_over(looks=2)
    events = events_of(service.layout, "m/v2/1")
    assert [(one.phase, one.cause) for one in events if one.phase == "paused"] == [("paused", "no_way_back")]
    assert "no fallback is declared, so a person has to decide" in events[-1].said
    with pytest.raises(UsageError, match="going back to v1 would not help"):
        override(service.layout, "m", "roll_back", actor="guardrail", must_help=True)
    override(service.layout, "m", "roll_back", actor="ada")
    told = decisions_of(service.layout, subject="m/v2/1")[-1].decision
    assert told.said.startswith("ada says so; it may not help: v1 breaks x.range")


def test_a_rule_that_both_break_is_no_reason_against_a_rollback(tmp_path: Path) -> None:
    service, moved = rolled_out(tmp_path / "s", x=-1.0)
    assert moved[-1].decision.action == "roll_back"
    assert "not help" not in events_of(service.layout, "m/v2/1")[-1].said


def test_plan_says_what_is_left_when_no_rollback_helps(tmp_path: Path) -> None:
    service, _ = rolled_out(tmp_path / "s")
    (tmp_path / "models").mkdir()
    (tmp_path / "setpoint.yaml").write_text("store: ./s\n")
    (tmp_path / "models" / "m.yaml").write_text("contract: {fields: {x: {at_least: 0}}}\n")
    assert "no rollback to v1 helps: v1 breaks x.range" in plan(tmp_path).text()
    assert "what is left is to page: no fallback is declared" in plan(tmp_path).text()
    (tmp_path / "models" / "m.yaml").write_text("contract: {fields: {x: {at_least: -2}}}\n")
    assert "no rollback to v1" not in plan(tmp_path).text()
    override(service.layout, "m", "roll_back", actor="ada")
