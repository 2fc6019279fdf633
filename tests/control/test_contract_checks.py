"""A rule that a day's predictions broke is one finding until a day keeps it; each whole day is a table."""

from __future__ import annotations

from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.contract import Contract, ContractField
from setpoint.core.model import Model
from setpoint.predictions.recorder import Recorder
from setpoint.store.findings import read_findings
from setpoint.store.layout import ReplayClock
from setpoint.testing import temporary_store

START = 1_767_571_200_000_000  # Monday 2026-01-05
CONTRACT = Contract((ContractField("amount", at_least=0.0, required=True),), rows_at_least=20)


def found(*stops: int) -> list[tuple[str, str, int, int | None, str]]:
    """Record five days, the third with amounts below nothing and the fourth with few rows, with ticks at some days."""
    with temporary_store(Model("m", contract=CONTRACT), replay_now=START) as (layout, spool):
        recorder, clock = Recorder(layout, "m", spool=spool), layout.clock
        assert isinstance(clock, ReplayClock)
        for day in range(6):
            for n in range(10 if day == 3 else 40):
                clock.set(START + day * DAY + n * HOUR // 4)
                recorder.record({"amount": -1.0 if day == 2 and n < 5 else 3.0 + n}, score=0.5)
            if day in stops:
                recorder.close()
                tick(layout)
        recorder.close()
        clock.set(START + 6 * DAY + HOUR)
        tick(layout)
        return [(one.subject, one.state, one.started_at, one.ended_at, one.said) for one in read_findings(layout, "m")]


def test_a_broken_rule_is_a_finding_since_its_day_is_over_until_a_day_keeps_it() -> None:
    said = "the contract's rule amount.range is broken on 2026-01-07: not at least 0"
    once = found()
    (opened, closed, few, enough) = once
    assert opened[:4] == ("amount.range", "open", START + 3 * DAY, None)
    assert opened[4].startswith(said)
    assert "5 of 40 rows" in opened[4]
    assert closed[:4] == ("amount.range", "closed", START + 3 * DAY, START + 4 * DAY)
    assert few[:4] == ("table.row_count", "open", START + 4 * DAY, None)
    assert enough[3] == START + 5 * DAY
    assert sorted(found(2, 3, 4)) == sorted(once)
