"""What moves inside a group of a declared cohort, and not in all rows, is a finding of the group."""

from __future__ import annotations

import random

from setpoint.control.loop import tick
from setpoint.control.reference_days import REFERENCE_DAYS
from setpoint.core.clock import DAY, HOUR
from setpoint.core.finding import COHORT_DRIFT, Finding
from setpoint.core.model import Cohort, Model
from setpoint.predictions.recorder import Recorder
from setpoint.store.findings import read_findings
from setpoint.store.layout import ReplayClock
from setpoint.testing import temporary_store

START = 1_767_571_200_000_000  # Monday 2026-01-05
PER_DAY, DAYS, CHANGED = 900, REFERENCE_DAYS + 4, REFERENCE_DAYS + 2
MODEL = Model("m", cohorts=(Cohort("shop", by="shop"),))


def found(**factors: float) -> list[Finding]:
    """Record a month, in the last two days of which some shops have other amounts, and tick twice."""
    rng = random.Random(7)
    with temporary_store(MODEL, replay_now=START) as (layout, spool):
        recorder, clock = Recorder(layout, "m", spool=spool), layout.clock
        assert isinstance(clock, ReplayClock)
        for n in range(DAYS * PER_DAY):
            shop = "z" if rng.random() < 1 / 12 else rng.choice("ab")
            times = factors.get(shop, 1.0) if n // PER_DAY >= CHANGED else 1.0
            clock.set(START + n * DAY // PER_DAY)
            recorder.record({"amount": rng.lognormvariate(3.0, 1.0) * times, "shop": shop}, score=rng.random())
        recorder.close()
        clock.set(START + DAYS * DAY + HOUR)
        tick(layout)
        tick(layout)
        return read_findings(layout, "m")


def test_it_is_found_in_its_group_alone() -> None:
    [one] = found(z=1.8)
    assert (one.kind, one.subject, one.state) == (COHORT_DRIFT, "amount in shop=z", "open")
    assert one.said.startswith("amount in shop=z higher by ")
    assert "since 2026-02-04" in one.said


def test_where_nothing_changes_nothing_is_found() -> None:
    assert found() == []


def test_groups_that_move_against_each_other_are_named_and_not_the_whole_alone() -> None:
    told = {one.subject: one.said for one in found(a=3.0, b=1 / 3)}
    assert told["amount"].startswith("amount wider")
    assert told["amount in shop=a"].startswith("amount in shop=a higher by ")
    assert told["amount in shop=b"].startswith("amount in shop=b lower by ")
    assert set(told) == {"amount", "amount in shop=a", "amount in shop=b"}


def test_what_moves_alike_in_all_groups_is_told_once() -> None:
    assert [one.subject for one in found(a=1.8, b=1.8, z=1.8)] == ["amount"]
