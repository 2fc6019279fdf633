"""A model that is recorded and that nobody answers for is one quiet finding, until somebody does."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from tests.control.served import OWNED

from setpoint.control.alerts import alerts_of
from setpoint.control.guardrails import spoiling
from setpoint.control.loop import Tick, tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.errors import DeclarationError
from setpoint.core.finding import UNOWNED
from setpoint.core.guardrail import Guardrail
from setpoint.core.incident import Alert
from setpoint.core.model import Model, Owner, Schedule
from setpoint.predictions.recorder import Recorder
from setpoint.project.incidents import list_incidents
from setpoint.store.findings import open_findings, read_findings
from setpoint.store.layout import Layout, ReplayClock
from setpoint.testing import temporary_store

START = 1_767_225_600_000_000  # 2026-01-01
NOBODY = "owner.team, owner.on_call, business_metric, guardrails, runbook"


@contextmanager
def recorded(model: Model) -> Generator[Layout]:
    """Give a store in which a model answered twice, an hour apart."""
    with temporary_store(model, replay_now=START) as (layout, spool):
        recorder = Recorder(layout, model.name, spool=spool)
        for at in (START - HOUR, START):
            recorder.record({"x": 1.0}, prediction=1.0, predicted_at=at, version="v1", run_id=str(at))
        assert spool.flush(30)
        tick(layout)
        yield layout


def tick_at(layout: Layout, at: int) -> Tick:
    assert isinstance(layout.clock, ReplayClock)
    layout.clock.set(at)
    return tick(layout)


def still(layout: Layout) -> list[str]:
    return [one.subject for one in open_findings(read_findings(layout, "m")) if one.kind == UNOWNED]


def test_a_model_that_nobody_answers_for_is_found_once_when_the_loop_has_seen_it_for_a_week() -> None:
    with recorded(Model("m")) as layout:
        assert tick_at(layout, START + 7 * DAY - HOUR).findings == []
        (found,) = tick_at(layout, START + 7 * DAY).findings
        assert (found.kind, found.subject, found.severity) == (UNOWNED, NOBODY, "warning")
        assert found.said == f"nobody answers for m: declare {NOBODY}"
        assert tick_at(layout, START + 9 * DAY).findings == []
        assert tick_at(layout, START + 9 * DAY).incidents == [], "nobody is told"
        listed = list_incidents(layout.root)
        assert listed.headline == "no incident is open"
        assert [row[1] for row in listed.table("digest").rows] == [UNOWNED]


def test_it_says_what_is_left_and_is_over_when_all_is_declared() -> None:
    with recorded(Model("m")) as layout:
        tick_at(layout, START + 8 * DAY)
        errors = Guardrail("too-many-errors", "error_ratio", above=0.05)
        layout.declare(Model("m", owner=Owner("risk", "ada"), guardrails=(errors,)))
        done = tick_at(layout, START + 9 * DAY)
        states = [(one.subject, one.state) for one in done.findings]
        assert states == [(NOBODY, "closed"), ("business_metric, runbook", "open")]
        assert still(layout) == ["business_metric, runbook"]
        layout.declare(OWNED)
        assert [one.state for one in tick_at(layout, START + 10 * DAY).findings] == ["closed"]
        assert still(layout) == []


def test_it_is_no_part_of_what_else_is_wrong_and_keeps_no_rows_from_training() -> None:
    with recorded(Model("m", schedule=Schedule(every=7 * DAY - HOUR, grace=HOUR))) as layout:
        tick_at(layout, START + 7 * DAY + 2 * HOUR)
        found = open_findings(read_findings(layout, "m"))
        assert {one.kind for one in found} == {UNOWNED, "missed_run"}
        (unowned, missed) = sorted(alerts_of(Model("m"), found), key=lambda one: one.urgency)
        assert (unowned.kind, unowned.urgency, missed.kind, missed.urgency) == (
            UNOWNED,
            "digest",
            "missed_run",
            "ticket",
        )
        assert [one.kind for one in spoiling(layout, "m", read_findings(layout, "m"))] == ["missed_run"]


def alert(model: Model, layout: Layout) -> Alert:
    (found,) = alerts_of(model, open_findings(read_findings(layout, "m")))
    return found


def test_it_is_a_ticket_where_a_guardrail_says_so_and_never_a_page() -> None:
    ticket = Guardrail("owned", finding=UNOWNED, mode="propose")
    with recorded(Model("m", guardrails=(ticket,))) as layout:
        tick_at(layout, START + 8 * DAY)
        assert alert(Model("m", guardrails=(ticket,)), layout).urgency == "ticket"
    with pytest.raises(DeclarationError, match="cannot page"):
        replace(ticket, actions=("page",))
