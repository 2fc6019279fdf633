"""A time among recorded inputs is watched by its age: one that goes with the calendar is no drift, a stale one is."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from setpoint.control.loop import tick
from setpoint.control.reference_days import REFERENCE_DAYS
from setpoint.core.clock import DAY, HOUR, MICROS, moment
from setpoint.core.model import Feature, Model
from setpoint.predictions.recorder import Recorder
from setpoint.store.findings import read_findings
from setpoint.store.layout import ReplayClock
from setpoint.testing import temporary_store

START = 1_767_571_200_000_000  # Monday 2026-01-05
PER_DAY, DAYS, STALE_FROM = 100, REFERENCE_DAYS + 4, REFERENCE_DAYS + 2


@pytest.mark.parametrize("is_stale", [True, False])
def test_a_feed_that_goes_stale_is_found(is_stale: bool) -> None:  # noqa: FBT001 — a parameter of pytest
    rng = random.Random(1)
    with temporary_store(Model("m", features=(Feature("seen_at", "time"),)), replay_now=START) as (layout, spool):
        recorder, clock = Recorder(layout, "m", spool=spool), layout.clock
        assert isinstance(clock, ReplayClock)
        for n in range(DAYS * PER_DAY):
            at = START + n * DAY // PER_DAY
            clock.set(at)
            latest = min(at, START + STALE_FROM * DAY) if is_stale else at
            seen = moment(latest, "UTC") - timedelta(seconds=rng.uniform(0.0, 5.0 * HOUR / MICROS))
            recorder.record({"seen_at": seen, "x": rng.random()}, score=rng.random())
        recorder.close()
        clock.set(START + DAYS * DAY + HOUR)
        tick(layout)
        found = {finding.subject for finding in read_findings(layout, "m")}
    assert found == ({"seen_at (age in days)"} if is_stale else set())
