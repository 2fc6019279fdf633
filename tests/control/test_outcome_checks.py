"""What is noticed of outcomes: silence, a new source, a changed delay; and that an ordinary month is quiet."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.finding import Finding
from setpoint.core.model import Model, OutcomeKind
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout, ReplayClock
from setpoint.testing import temporary_store

START = 1_767_225_600_000_000  # 2026-01-01
PER_DAY = 110
MODEL = Model("m", outcomes=(OutcomeKind("paid"), OutcomeKind("complaint", final=False)))


@dataclass(frozen=True)
class Outcome:
    """One outcome of a prediction made at `made`."""

    made: int
    at: int
    kind: str = "paid"
    source: str = "ledger"


Change = Callable[[Outcome], Outcome | None]
Events = list[tuple[int, Outcome | None]]


def month(change: Change = lambda outcome: outcome, *, days: int = 40, hours: float = 20.0) -> Events:
    """Return the events of some weeks in order: predictions, and outcomes about a day later, changed."""
    rng = random.Random(3)
    events: Events = []
    for n in range(days * PER_DAY):
        made = START + n * DAY // PER_DAY
        events.append((made, None))
        found = change(Outcome(made, made + round(rng.lognormvariate(0.0, 0.5) * hours * HOUR)))
        if found is not None and rng.random() < 0.95:
            events.append((found.at, found))
    return sorted(events, key=lambda event: event[0])


def played(events: Events, *, ticks: int = 1) -> list[Finding]:
    """Record events on a replay clock and return all findings; several ticks must find what one does."""
    with temporary_store(MODEL, replay_now=START) as (layout, spool):
        clock, recorder = layout.clock, Recorder(layout, "m", spool=spool)
        assert isinstance(clock, ReplayClock)
        found: list[Finding] = []
        stops = [START + part * 47 * DAY // ticks for part in range(1, ticks + 1)]
        for at, outcome in events:
            while stops and at > stops[0]:
                found += ticked(layout, recorder, stops.pop(0))
            clock.set(at)
            if outcome is None:
                recorder.record({"x": 1.0}, prediction_id=f"p{at}", score=0.5)
            else:
                recorder.outcome(1, prediction_id=f"p{outcome.made}", kind=outcome.kind, source=outcome.source)
        for stop in stops:
            found += ticked(layout, recorder, stop)
        recorder.close()
    return found


def ticked(layout: Layout, recorder: Recorder, at: int) -> list[Finding]:
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    clock.set(at)
    recorder.close()
    return tick(layout).findings


def after(day: float) -> int:
    return START + round(day * DAY)


def test_an_ordinary_month_is_quiet() -> None:
    assert played(month()) == []


def test_outcomes_once_a_week_are_no_silence() -> None:
    weekly = month(lambda one: Outcome(one.made, START + ((one.at - START) // (7 * DAY) + 1) * 7 * DAY), days=39)
    assert [one.kind for one in played(weekly)] == []


@pytest.mark.parametrize("ticks", [1, 3])
def test_a_silence_is_found_and_ends_when_outcomes_come_again(ticks: int) -> None:
    delayed = month(lambda one: Outcome(one.made, max(one.at, after(33))) if one.at > after(30) else one)
    found = [one for one in played(delayed, ticks=ticks) if one.kind == "stalled_outcomes"]
    assert [(one.state, one.subject) for one in found] == [("open", "paid from ledger"), ("closed", "paid from ledger")]
    assert after(30) < found[0].started_at < after(30.5)
    assert after(33) - HOUR < (found[1].ended_at or 0) <= after(33)
    assert "no outcome (paid from ledger) since 2026-01-3" in found[0].said


def test_a_new_source_is_said_for_a_week() -> None:
    moved = month(lambda one: Outcome(one.made, one.at, source="new ledger") if one.at > after(20) else one)
    found = [one for one in played(moved) if one.kind == "new_outcome_source"]
    assert [(one.state, one.subject) for one in found] == [
        ("open", "paid from new ledger"),
        ("closed", "paid from new ledger"),
    ]
    assert (found[1].ended_at or 0) - found[1].started_at == 7 * DAY


@pytest.mark.parametrize(("factor", "words"), [(2.0, "take longer"), (0.4, "take less long")])
@pytest.mark.parametrize("ticks", [1, 3])
def test_a_changed_delay_is_found_two_days_later(factor: float, words: str, ticks: int) -> None:
    slower = month(
        lambda one: Outcome(one.made, one.made + round((one.at - one.made) * factor)) if one.made >= after(25) else one
    )
    found = [one for one in played(slower, ticks=ticks) if one.kind == "changed_delay"]
    assert [one.state for one in found] == ["open"]
    assert found[0].started_at == after(27)
    assert f"outcomes {words} since 2026-01-26 00:00" in found[0].said


def test_a_kind_that_nobody_declared_is_said() -> None:
    odd = month(lambda one: Outcome(one.made, one.at, kind="payed") if one.made > after(2) else one, days=4)
    found = [one for one in played(odd) if one.kind == "undeclared_outcome"]
    assert {one.subject for one in found} == {"payed"}
    assert "count nowhere" in found[0].said
