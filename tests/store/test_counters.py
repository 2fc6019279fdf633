"""Counters from kept weeks and what came since are those of all rows, whenever what was shipped and kept."""

from __future__ import annotations

import random
from typing import cast

import pytest

from setpoint import Recorder
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, QUARTER_HOUR
from setpoint.core.model import Model, Rates
from setpoint.project.log import open_log
from setpoint.store.counters import read_counters
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.shipper import ship
from setpoint.store.states import StateTable
from setpoint.store.summaries import Summaries
from setpoint.testing import temporary_store

START = 1_767_225_600_000_000


def at(layout: Layout, now: int) -> None:
    cast("ReplayClock", layout.clock).set(now)


def told(table: StateTable) -> dict[tuple[object, ...], list[float]]:
    return {key: values.round(6).tolist() for key, values in zip(table.keys, table.values, strict=True)}


def compare(layout: Layout) -> bool:
    """Compare with all rows; return whether these had to tell all."""
    with Summaries.reading(layout.summaries("m")) as summaries:
        assert summaries is not None
        found = read_counters(layout, layout.model("m"), summaries)
    if found is None:
        return True
    with open_log(layout.root) as log, log.evidence("m") as evidence:
        assert told(evidence.traffic(None)) == told(found.traffic)
        assert told(evidence.spending(None)) == told(found.spending)
    return False


def record(recorder: Recorder, random_: random.Random, at: int, *, has_calls: bool) -> None:
    """Record a few predictions about a time, some of them late."""
    for _ in range(random_.randint(1, 6)):
        late = random_.choice([0, 0, 0, 40 * 60_000_000, DAY + 5])
        prediction_id = recorder.record(
            {"x": random_.random()},
            version=random_.choice(["v1", "v2"]),
            score=random_.random(),
            latency_seconds=random_.random(),
            error=random_.choice([None, None, "Timeout"]),
            predicted_at=at - late,
        )
        if has_calls and random_.random() < 0.7:
            recorder.call(prediction_id, called_at=at, input_tokens=random_.randint(1, 9), cost_nano_usd=3)


@pytest.mark.parametrize("has_calls", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_kept_weeks_and_what_came_since_are_all_there_is(seed: int, *, has_calls: bool) -> None:
    random_ = random.Random(seed)
    with temporary_store(Model("m", timezone="Europe/Berlin"), replay_now=START) as (layout, _):
        serve(layout, random_, has_calls=has_calls)


def serve(layout: Layout, random_: random.Random, *, has_calls: bool) -> None:
    fell_back = compared = 0
    for step in range(12):
        now = START + step * (DAY // 2) + random_.randint(0, 3 * QUARTER_HOUR)
        at(layout, now)
        recorder = Recorder(layout, "m")
        record(recorder, random_, now, has_calls=has_calls)
        assert recorder.close()
        if random_.random() < 0.5:
            ship(layout)
        if step == 0 or random_.random() < 0.2:
            tick(layout)
        fell_back += compare(layout)
        compared += 1
    assert fell_back < compared / 2 if has_calls else fell_back == 0


def test_a_call_of_an_earlier_days_prediction_and_other_rates_are_told_by_rows() -> None:
    with temporary_store(Model("m"), replay_now=START) as (layout, _):
        recorder = Recorder(layout, "m")
        prediction_id = recorder.record({"x": 1.0}, version="v1")
        assert recorder.close()
        at(layout, START + 9 * DAY)
        tick(layout)
        assert not compare(layout)
        recorder = Recorder(layout, "m")
        recorder.call(prediction_id, purpose="judge", called_at=START + 9 * DAY, cost_nano_usd=7)
        assert recorder.close()
        assert compare(layout)
        tick(layout)
        layout.declare(Model("m", rates=Rates(per_prediction_usd=0.5)))
        assert compare(layout)
