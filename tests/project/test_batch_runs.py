"""A recorded batch-scoring job: a run that came is no finding, one that did not come is."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.finding import Finding
from setpoint.core.model import Model, Schedule
from setpoint.predictions.recorder import Recorder
from setpoint.project.plan import apply
from setpoint.store.findings import open_findings, read_findings
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool
from setpoint.testing import temporary_store

START = 1_767_578_400_000_000  # 2026-01-05 02:00
DAILY = Schedule(every=DAY, grace=2 * HOUR)
ROWS = 50


class Job:
    """A job that scores a table and records it, in a process of its own each time: at the hour it is told."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def at(self, day: int, hour: float = 0.0) -> None:
        clock = self.layout.clock
        assert isinstance(clock, ReplayClock)
        clock.set(START + day * DAY + round(hour * HOUR))

    def run(self, day: int, *, hour: float = 0.0, name: str = "", **details: int) -> list[str]:
        self.at(day, hour)
        recorder = Recorder(self.layout, "m", version="v1", spool=Spool(self.layout))
        frame = pl.DataFrame({"visits": [float(n % 9) for n in range(ROWS)]})
        names = recorder.record_many(
            frame,
            scores=[n / ROWS for n in range(ROWS)],
            keys=[f"user-{n}" for n in range(ROWS)],
            run_id=name or f"2026-01-{5 + day:02d}",
            predicted_at=details.get("predicted_at"),
        )
        assert recorder.close()
        return names

    def missed(self, day: int, hour: float = 0.0) -> list[Finding]:
        """Return what a tick at this time leaves in the findings; two ticks leave what one does."""
        self.at(day, hour)
        tick(self.layout)
        found = read_findings(self.layout, "m")
        assert tick(self.layout).findings == []
        assert {finding.kind for finding in found} <= {"missed_run"}
        return found


@contextmanager
def scheduled(schedule: Schedule | None = DAILY, **fields: float) -> Generator[Job]:
    with temporary_store(Model("m", schedule=schedule, **fields), replay_now=START) as (layout, _):  # pyright: ignore[reportArgumentType] — keep
        yield Job(layout)


def test_runs_that_came_are_no_finding_and_their_rows_carry_the_run() -> None:
    with scheduled() as job:
        for day in range(4):
            names = job.run(day)
            assert len(set(names)) == ROWS
            assert job.missed(day, 1.0) == []
        assert job.missed(4, 1.9) == [], "within the grace"
        with Snapshot(job.layout, "m") as snapshot:
            runs = snapshot.connection.execute(
                "SELECT run_id, count(*), count(DISTINCT prediction_id) FROM predictions GROUP BY 1 ORDER BY 1"
            ).fetchall()
    assert runs == [(f"2026-01-{day:02d}", ROWS, ROWS) for day in range(5, 9)]


def test_a_run_that_did_not_come_is_a_finding_until_the_next_one() -> None:
    with scheduled() as job:
        job.run(0)
        job.run(1)
        assert job.missed(2, 1.9) == []
        found = job.missed(2, 3.0)
        assert [(f.kind, f.state, f.severity, f.subject) for f in found] == [
            ("missed_run", "open", "breach", "schedule")
        ]
        assert found[0].started_at == START + 2 * DAY + 2 * HOUR
        assert "last ran 2026-01-06 02:00; the next run was due 2026-01-07 04:00 at the latest" in found[0].said
        job.run(4, hour=5.0)
        found = job.missed(4, 6.0)
        assert [(f.state, f.ended_at) for f in found] == [("open", None), ("closed", START + 4 * DAY + 5 * HOUR)]
        assert open_findings(found) == []
        assert [f.state for f in job.missed(5, 6.0)] == ["open", "closed"]
        assert [f.state for f in job.missed(5, 8.0)] == ["open", "closed", "open"]


def test_one_late_tick_finds_every_run_that_was_missed() -> None:
    with scheduled() as job:
        for day in (0, 2, 5, 6):
            job.run(day)
        found = job.missed(6, 1.0)
        assert sorted((f.started_at, f.state) for f in found) == [
            (START + 1 * DAY + 2 * HOUR, "closed"),
            (START + 1 * DAY + 2 * HOUR, "open"),
            (START + 3 * DAY + 2 * HOUR, "closed"),
            (START + 3 * DAY + 2 * HOUR, "open"),
        ]


def test_a_run_that_is_recorded_in_parts_or_again_is_one_run() -> None:
    with scheduled() as job:
        job.run(0)
        job.run(0, hour=1.0)
        job.run(1, name="2026-01-05")  # yesterday's run once more: today's did not come
        found = job.missed(1, 4.0)
        assert [f.state for f in found] == ["open"]
        assert "last ran 2026-01-05 02:00" in found[0].said


def test_a_run_that_was_recorded_late_for_its_own_time_was_not_missed_in_the_end() -> None:
    with scheduled() as job:
        job.run(0)
        job.run(2, hour=1.0, name="2026-01-06", predicted_at=START + DAY)
        job.run(2, hour=1.0)
        assert job.missed(2, 1.5) == []


def test_traffic_without_a_run_is_not_the_job() -> None:
    with scheduled() as job:
        job.run(0)
        job.at(1)
        recorder = Recorder(job.layout, "m", spool=Spool(job.layout))
        recorder.record({"visits": 1.0}, score=0.5)
        recorder.close()
        assert [f.state for f in job.missed(1, 3.0)] == ["open"]


@pytest.mark.parametrize("schedule", [None, Schedule(every=7 * DAY, grace=0)])
def test_without_a_schedule_or_before_it_is_due_there_is_no_finding(schedule: Schedule | None) -> None:
    with scheduled(schedule) as job:
        job.run(0)
        assert job.missed(6, 0.0) == []


@pytest.mark.parametrize("rows", [0, ROWS])
def test_a_run_of_which_no_row_was_kept_came_all_the_same(rows: int) -> None:
    with scheduled(keep=1e-9) as job:
        for day in range(3):
            job.at(day)
            recorder = Recorder(job.layout, "m", spool=Spool(job.layout))
            recorder.record_many({"visits": [1.0] * rows}, run_id=f"2026-01-{5 + day:02d}")
            if day == 0:
                recorder.record({"visits": 1.0}, error="an error is always kept", run_id="2026-01-05")
            recorder.close()
        assert job.missed(2, 3.0) == []


def test_a_job_that_never_ran_at_all_is_missed(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "setpoint.yaml").write_text("store: ./store\n")
    (tmp_path / "models" / "m.yaml").write_text("schedule: {every: 1d, grace: 2h}\n")
    layout = Layout.create(tmp_path / "store", replay_now=START)
    apply(tmp_path)
    job = Job(layout)
    assert job.missed(1, 1.9) == []
    found = job.missed(9)
    assert [f.state for f in found] == ["open"]
    assert "never ran since 2026-01-05 02:00" in found[0].said
    job.run(9, hour=1.0)
    assert [f.state for f in job.missed(9, 2.0)] == ["open", "closed"]
