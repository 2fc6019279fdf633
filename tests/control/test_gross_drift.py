"""A gross change is a finding within the hour, once, and no other finding says the same."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from setpoint.control.loop import tick
from setpoint.control.reference_days import REFERENCE_DAYS
from setpoint.core.clock import DAY, HOUR
from setpoint.core.finding import GROSS_DRIFT, INPUT_DRIFT, Finding
from setpoint.predictions.recorder import Recorder
from setpoint.store.findings import read_findings
from setpoint.store.layout import ReplayClock
from setpoint.testing import temporary_store

START = 1_767_571_200_000_000  # Monday 2026-01-05
PER_DAY = 480
DAYS = REFERENCE_DAYS + 4
CHANGED_DAY = START + (REFERENCE_DAYS + 1) * DAY
FROM, UNTIL = CHANGED_DAY + 10 * HOUR + HOUR // 2, CHANGED_DAY + 20 * HOUR
SOON, END = CHANGED_DAY + 11 * HOUR + 3 * HOUR // 4 + 1, START + DAYS * DAY + HOUR


def played(stops: Sequence[int]) -> list[list[Finding]]:
    """Record a month and four days, `amount` missing for some hours of one, and return the findings at some times."""
    rng, found = random.Random(3), list[list[Finding]]()
    with temporary_store(replay_now=START) as (layout, spool):
        recorder, clock = Recorder(layout, "m", spool=spool), layout.clock
        assert isinstance(clock, ReplayClock)
        times = [START + n * DAY // PER_DAY for n in range(DAYS * PER_DAY)]
        for at in sorted([*times, *stops]):
            clock.set(at)
            if at in stops:
                recorder.close()
                tick(layout)
                found.append(read_findings(layout, "m"))
                continue
            amount = None if FROM <= at < UNTIL or rng.random() < 0.02 else rng.lognormvariate(3.0, 1.0)
            recorder.record({"amount": amount, "shop": rng.choice("abc")}, score=rng.random())
        recorder.close()
    return found


def test_it_is_found_within_minutes_ends_when_a_day_is_as_usual_and_is_one_finding_however_often_the_loop_runs() -> (
    None
):
    soon, end = played([SOON, END])
    [opened] = soon
    assert (opened.kind, opened.subject, opened.state) == (GROSS_DRIFT, "amount", "open")
    assert opened.started_at == CHANGED_DAY + 11 * HOUR
    assert opened.recorded_at == SOON  # not at the end of the hour
    assert "amount missing in " in opened.said
    assert "since 2026-02-03 11:00: more than in any such hour before" in opened.said
    closed = end[-1]
    assert (closed.finding_id, closed.state) == (opened.finding_id, "closed")
    assert closed.ended_at == CHANGED_DAY + 2 * DAY
    assert json.loads(closed.evidence)["sign"] == "missing"
    assert INPUT_DRIFT not in {finding.kind for finding in end}

    [late] = played([END])
    assert [(f.finding_id, f.state, f.ended_at) for f in late] == [(f.finding_id, f.state, f.ended_at) for f in end]
