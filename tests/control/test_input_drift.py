"""Drift becomes one finding a change, whenever and however often the loop runs."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import pytest

from setpoint.control.loop import tick
from setpoint.control.reference_days import REFERENCE_DAYS
from setpoint.core.clock import DAY, HOUR
from setpoint.core.finding import INPUT_DRIFT, Finding
from setpoint.core.model import Model
from setpoint.predictions.recorder import Recorder
from setpoint.store.findings import read_findings
from setpoint.store.layout import Layout, ReplayClock
from setpoint.testing import temporary_store

START = 1_767_571_200_000_000  # Monday 2026-01-05
PER_DAY = 200
DAYS = 46
FROM, UNTIL = 31, 35


def played(stops: Sequence[int], *, factor: float = 3.0, model: Model | None = None) -> list[Finding]:
    """Record six weeks, four days of them different, with ticks at some times, and return the drift that was found."""
    rng = random.Random(3)
    with temporary_store(model or Model("m"), replay_now=START) as (layout, spool):
        recorder, clock = Recorder(layout, "m", spool=spool), layout.clock
        assert isinstance(clock, ReplayClock)
        waiting = list(stops)
        for n in range(DAYS * PER_DAY):
            at = START + n * DAY // PER_DAY
            while waiting and at > waiting[0]:
                _tick(layout, recorder, waiting.pop(0))
            clock.set(at)
            times = factor if FROM <= n // PER_DAY < UNTIL else 1.0
            recorder.record(
                {"amount": rng.lognormvariate(3.0, 1.0) * times, "shop": rng.choice("abc")}, score=rng.random()
            )
        for stop in waiting:
            _tick(layout, recorder, stop)
        recorder.close()
        return [finding for finding in read_findings(layout, "m") if finding.kind == INPUT_DRIFT]


def _tick(layout: Layout, recorder: Recorder, at: int) -> None:
    assert isinstance(layout.clock, ReplayClock)
    layout.clock.set(at)
    recorder.close()
    tick(layout)


END = START + DAYS * DAY + HOUR


def test_a_change_is_one_finding_that_ends() -> None:
    opened, closed = played([END])
    assert (opened.subject, opened.state, closed.state) == ("amount", "open", "closed")
    assert opened.started_at == START + (FROM + 1) * DAY
    assert closed.ended_at is not None
    assert "amount higher by" in opened.said
    assert "since 2026-02-05" in opened.said
    assert json.loads(closed.evidence)["question"] == "location"


def test_however_often_the_loop_runs_it_is_the_same_finding() -> None:
    once = played([END])
    often = played([START + day * DAY + HOUR for day in (30, 33, DAYS)])
    # The words may differ in a digit: bins are frozen when the first hours are summed up.
    assert [(f.finding_id, f.state, f.ended_at) for f in often] == [(f.finding_id, f.state, f.ended_at) for f in once]


def test_without_a_change_or_without_four_weeks_nothing_is_found() -> None:
    assert played([END], factor=1.0) == []
    assert played([START + REFERENCE_DAYS * DAY + HOUR]) == []


@pytest.mark.parametrize("reference", ["2026-01-06..2026-02-03", "28d"])
def test_the_declared_reference_counts_when_it_stays_where_it_is(reference: str) -> None:
    found = played([END], model=Model("m", reference=reference))
    assert [finding.subject for finding in found][:1] == ["amount"]
