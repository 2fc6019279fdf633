"""A regression's estimated errors are held against those that came: quiet while nothing changes, then found once."""

from __future__ import annotations

import random

import numpy as np
import pytest

from setpoint.control.estimate_checks import audited, maturity, stored_audits
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.model import Model, Task
from setpoint.feedback.audits import NEW_USUAL_WEEKS, Week, concept_drifts, weekly_audits
from setpoint.predictions.recorder import Recorder
from setpoint.project.log import open_log
from setpoint.stats.loss_estimation import LossHistogram
from setpoint.store.evidence import RowEvidence
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import ReplayClock
from setpoint.store.snapshot import Snapshot
from setpoint.store.summaries import Summaries
from setpoint.testing import temporary_store

START = 1_767_571_200_000_000  # Monday 2026-01-05
WATCHED = ("mae",)


def year(
    seed: int, *, per_day: int = 60, shock: float = 0.0, change_at: int = 99, factor: float = 1.0, count: int = 52
) -> list[Week]:
    """Return weeks whose errors grow with the prediction, until they change by a factor."""
    rng = np.random.default_rng(seed)
    found: list[Week] = []
    for n in range(count):
        days: list[LossHistogram] = []
        for _ in range(7):
            bins = np.clip(rng.normal(0.0, 12.0, per_day), -40, 40).astype(np.int64)
            errors = np.abs(rng.normal(size=per_day)) * np.exp(bins / 40.0 + shock * rng.normal())
            days.append(LossHistogram.from_rows(bins, errors * (factor if n >= change_at else 1.0)))
        start, end = START + n * 7 * DAY, START + (n + 1) * 7 * DAY
        found.append(Week(start, end, end + DAY, "v1", tuple(days), 0.95))
    return found


def week_of(at: int) -> int:
    return (at - START) // (7 * DAY)


def test_years_without_a_change_are_quiet() -> None:
    found = [concept_drifts(year(seed, shock=shock), WATCHED) for seed in range(4) for shock in (0.0, 0.15)]
    assert sum(bool(one) for one in found) == 0


@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_errors_that_grew_or_shrank_are_found_within_weeks_and_once(factor: float) -> None:
    found = concept_drifts(year(3, change_at=26, factor=factor), WATCHED)
    assert [one.audit.metric for one in found] == ["mae"]
    assert 26 < week_of(found[0].noticed_at) <= 30
    assert week_of(found[0].ended_at or 0) == week_of(found[0].noticed_at) + NEW_USUAL_WEEKS
    assert (found[0].audit.gap > 0.0) == (factor > 1.0)


def test_audits_of_a_quiet_year_hold_as_often_as_they_say() -> None:
    found = weekly_audits(year(9, shock=0.15), WATCHED)
    assert len(found) == 46
    assert sum(one.is_beyond(0.025) for one in found) <= 0.12 * len(found)


def test_larger_predictions_alone_are_no_change() -> None:
    quiet = year(4, count=30)
    moved = [
        Week(w.start, w.end, w.known_at, w.version, tuple(map(_without_small, w.days)), w.arrived) if n >= 15 else w
        for n, w in enumerate(quiet)
    ]
    assert concept_drifts(moved, WATCHED) == []


def _without_small(day: object) -> LossHistogram:
    assert isinstance(day, LossHistogram)
    kept = day.bin_index >= 0
    return LossHistogram(*(getattr(day, name)[kept] for name in LossHistogram.__dataclass_fields__))


WEEKS, CHANGE_AT, PER_DAY = 11, 8, 40
MODEL = Model("m", task=Task.REGRESSION, outcome_horizon=3 * DAY)


def test_what_tick_stores_and_finds_is_what_the_rows_say() -> None:
    rng = random.Random(1)
    events: list[tuple[int, str, float, float]] = []
    for n in range(WEEKS * 7 * PER_DAY):
        at = START + n * DAY // PER_DAY
        predicted = rng.uniform(10.0, 100.0)
        spread = 0.1 if at < START + CHANGE_AT * 7 * DAY else 0.2
        came = predicted * (1.0 + rng.gauss(0.0, spread))
        events += [(at, f"p{n}", predicted, 0.0), (at + round(rng.uniform(1, 12) * HOUR), f"p{n}", 0.0, came)]
    with temporary_store(MODEL, replay_now=START) as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        clock = layout.clock
        assert isinstance(clock, ReplayClock)
        for at, name, predicted, came in sorted(events):
            clock.set(at)
            if predicted:
                recorder.record({"x": 1.0}, prediction_id=name, prediction=predicted)
            else:
                recorder.outcome(came, prediction_id=name)
        clock.set(START + (WEEKS * 7 + 1) * DAY)
        clock.save()
        recorder.close()
        drifts = [one for one in tick(layout).findings if one.kind == "concept_drift"]
        assert [one.subject for one in drifts] == ["mae"]
        assert CHANGE_AT < week_of(drifts[0].started_at) <= CHANGE_AT + 2
        assert drifts[0].said.startswith("errors are no longer as large as they were: mae ")
        assert "threshold" not in drifts[0].said

        now = layout.clock.now()
        with Summaries.reading(layout.summaries("m")) as summaries, Snapshot(layout, "m") as snapshot:
            kept = KeptEvidence(layout, MODEL, now, now, summaries)
            stored, definition = stored_audits(kept), kept.definition
            kept.close()
            fresh = RowEvidence(snapshot.connection, MODEL, snapshot.columns, now)
            fresh.definition = definition
            assert maturity(fresh, now) is not None
            assert audited(fresh, now) == stored
        assert stored is not None
        assert [week_of(one.start) for one in stored.audits] == list(range(6, WEEKS))
        with open_log(layout.root) as log:
            table = log.quality("m").table("audits")
        assert [row[1] for row in table.rows] == ["mae"] * (WEEKS - 6)
