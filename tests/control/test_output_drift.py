"""What rankings show becomes one finding a change, by whole local days."""

from __future__ import annotations

import random
from collections.abc import Sequence

from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.finding import OUTPUT_DRIFT, Finding
from setpoint.core.model import Model, Success, Task
from setpoint.predictions.recorder import Recorder
from setpoint.store.findings import read_findings
from setpoint.store.layout import ReplayClock
from setpoint.testing import temporary_store

START = 1_767_571_200_000_000  # Monday 2026-01-05
PER_DAY, DAYS, FROM, UNTIL = 100, 46, 31, 35
ITEMS = [f"item-{n}" for n in range(60)]
MODEL = Model("m", task=Task.RANKING, success=Success(top=5))


def played(items: Sequence[str], *, model: Model = MODEL, stops: Sequence[int] = ()) -> list[Finding]:
    """Record six weeks of rankings, four days of them of other items, and return what was found."""
    rng = random.Random(3)
    with temporary_store(model, replay_now=START) as (layout, spool):
        recorder, clock = Recorder(layout, "m", spool=spool), layout.clock
        assert isinstance(clock, ReplayClock)
        for day in range(DAYS):
            known = items if FROM <= day < UNTIL else ITEMS
            for n in range(PER_DAY):
                clock.set(START + day * DAY + n * DAY // PER_DAY)
                # One of ten rankings is empty, and what stands behind the fifth place is not shown.
                recorder.record(ranking=[*rng.sample(known, 5), "behind"] if n % 10 else [])
            if day in stops:
                clock.set(START + (day + 1) * DAY + HOUR)
                recorder.close()
                tick(layout)
        recorder.close()
        clock.set(START + DAYS * DAY + HOUR)
        tick(layout)
        return [finding for finding in read_findings(layout, "m") if finding.kind == OUTPUT_DRIFT]


def test_a_smaller_catalogue_is_found_and_ends() -> None:
    found = played(ITEMS[:36])
    assert {finding.subject for finding in found} == {"shown items (coverage)", "shown items (concentration)"}
    opened, closed = (finding for finding in found if "coverage" in finding.subject)
    assert (opened.state, closed.state) == ("open", "closed")
    assert opened.started_at == START + (FROM + 1) * DAY
    assert "fewer different items since 2026-02-05" in opened.said


def test_new_items_are_found_however_often_the_loop_runs() -> None:
    items = [*ITEMS[:57], "new-1", "new-2", "new-3"]  # 5 % of what is shown
    once, often = played(items), played(items, stops=(30, 33, 40))
    assert {finding.subject for finding in once} == {"shown items (new items)"}
    assert [(f.finding_id, f.state, f.said) for f in often] == [(f.finding_id, f.state, f.said) for f in once]


def test_the_same_items_and_models_that_do_not_rank_make_no_finding() -> None:
    assert played(ITEMS) == []
    assert played(ITEMS[:36], model=Model("m")) == []
