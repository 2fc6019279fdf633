"""Inputs that appear, and constants that vary, are findings of their own; declared changes stand beside."""

from __future__ import annotations

from setpoint.control.loop import tick
from setpoint.control.reference_days import REFERENCE_DAYS
from setpoint.core.clock import DAY, HOUR, moment
from setpoint.core.finding import Finding
from setpoint.predictions.recorder import Recorder
from setpoint.store.findings import read_findings
from setpoint.store.layout import ReplayClock
from setpoint.testing import temporary_store

START = 1_767_571_200_000_000  # Monday 2026-01-05
PER_DAY, DAYS, CHANGED = 60, REFERENCE_DAYS + 4, REFERENCE_DAYS + 2


def found(*, is_changed: bool) -> list[Finding]:
    """Record a month of two constants and a few days on which they vary and an input appears, and tick once."""
    with temporary_store(replay_now=START) as (layout, spool):
        recorder, clock = Recorder(layout, "m", spool=spool), layout.clock
        assert isinstance(clock, ReplayClock)
        if is_changed:
            began = moment(START + CHANGED * DAY, "UTC")
            recorder.change("promotion", "sale", started_at=began, expected="amount")
        for n in range(DAYS * PER_DAY):
            is_new = is_changed and n // PER_DAY >= CHANGED
            clock.set(START + n * DAY // PER_DAY)
            inputs = {
                "currency": "usd" if is_new and n % 9 == 0 else "eur",
                "rate": 1.5 if is_new else 1.0,
                "hour": n % 7,
            }
            recorder.record({**inputs, **({"channel": "app"} if is_new else {})}, score=0.5 + 0.01 * (n % 3))
        recorder.close()
        clock.set(START + DAYS * DAY + HOUR)
        tick(layout)
        return read_findings(layout, "m")


def test_each_is_one_finding_since_its_day_and_is_said_by_no_other() -> None:
    by_subject = {finding.subject: finding for finding in found(is_changed=True)}
    assert {name: finding.kind for name, finding in by_subject.items()} == {
        "currency": "varying_constant",
        "rate": "varying_constant",
        "channel": "new_input",
    }
    assert all(one.started_at == START + (CHANGED + 1) * DAY and one.state == "open" for one in by_subject.values())
    said = "currency is the same in all rows of the reference, and not any more: since 2026-02-04"
    assert by_subject["currency"].said == f"{said}; declared in that time: promotion sale of 2026-02-04"
    assert by_subject["channel"].said.startswith("channel appeared: no row of the reference has it: since 2026-02-04")


def test_where_nothing_changes_nothing_is_found() -> None:
    assert found(is_changed=False) == []
