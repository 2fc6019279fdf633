"""The loop leaves the same tables however often, late or in parallel it runs, and each check finds its fault."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR, MICROS
from setpoint.core.finding import Finding
from setpoint.core.model import Model, OutcomeKind, Schedule, Task
from setpoint.predictions.recorder import Recorder
from setpoint.project.doctor import doctor
from setpoint.project.log import Log, StoreSource
from setpoint.store.erasure import forget
from setpoint.store.findings import open_findings, read_findings
from setpoint.store.lake import LakeTable
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool
from setpoint.testing import temporary_store

START = 1_767_225_600_000_000  # 2026-01-01
MINUTE = 60 * MICROS
MODEL = Model("m", schedule=Schedule(every=6 * HOUR, grace=HOUR))
Plant = Callable[[Recorder, int], object]


def record_clean(recorder: Recorder, hour: int) -> None:
    """Record an hour of traffic without a fault: a batch run every six hours, an outcome to each prediction."""
    for n in range(3):
        name = f"h{hour}-{n}"
        recorder.record(
            {"x": float(n)}, prediction_id=name, key=name, score=0.5, prediction=n % 2, version="v1",
            run_id=f"run-{hour}" if hour % 6 == 0 else None,
        )  # fmt: skip
        recorder.outcome(n % 2, prediction_id=name)


def overflow(recorder: Recorder, _: int) -> None:
    spool = recorder.spool
    spool.drops["m"] = 7


def contradict(recorder: Recorder, now: int) -> None:
    for outcome in (0, 1):
        recorder.outcome(outcome, prediction_id="h0-2", observed_at=now, revision=now)


# What each check is there to find: the fault as a recorder would record it, and the finding's subject.
FAULTS: dict[str, tuple[Plant, str]] = {
    "quarantined_rows": (
        lambda recorder, _: recorder.record({"x": "text"}),
        "predictions: inputs.x is a number and this row holds text",
    ),
    "dropped_events": (overflow, "queue full"),
    "failed_events": (lambda recorder, _: recorder.record_many(5), "recorder"),
    "future_time": (lambda recorder, now: recorder.record({"x": 1.0}, predicted_at=now + 10 * MINUTE), "predicted_at"),
    "early_outcome": (
        lambda recorder, now: recorder.outcome(1, prediction_id="h0-0", observed_at=START - MINUTE, revision=now),
        "observed_at",
    ),
    "stray_outcome": (lambda recorder, _: recorder.outcome(1, key="nobody"), "key"),
    "odd_score": (lambda recorder, _: recorder.record({"x": 1.0}, score=1.5), "score"),
    "undeclared_outcome": (lambda recorder, _: recorder.outcome(1, prediction_id="h0-2", kind="payed"), "payed"),
    "contradicting_outcome": (contradict, "final"),
    "odd_outcome": (lambda recorder, now: recorder.outcome(-1, prediction_id="h0-1", revision=now), "outcome"),
}


def live(layout: Layout, spool: Spool, hours: int, faults: dict[int, list[Plant]], *, ticks: bool) -> list[Finding]:
    """Let a store live for some hours with faults planted; tick every hour, or once at the end."""
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    recorder = Recorder(layout, "m", spool=spool)
    for hour in range(hours):
        clock.set(START + hour * HOUR + 20 * MINUTE)
        if hour != 30:  # a batch run that does not happen
            record_clean(recorder, hour)
        for plant in faults.get(hour, []):
            plant(recorder, clock.now())
        assert spool.flush(30)
        clock.set(START + (hour + 1) * HOUR)
        if ticks:
            tick(layout)
    spool.close()
    tick(layout)
    return read_findings(layout, "m")


@pytest.mark.parametrize("kind", FAULTS)
def test_each_check_finds_its_fault_and_lets_it_go_after_a_quiet_day(kind: str) -> None:
    plant, subject = FAULTS[kind]
    with temporary_store(Model("m"), replay_now=START) as (layout, spool):
        found = live(layout, spool, 6, {2: [plant], 3: [plant]}, ticks=False)
        assert [(f.kind, f.subject, f.state, f.started_at) for f in found] == [
            (kind, subject, "open", START + 2 * HOUR)
        ]
        assert found[0].said
        clock = layout.clock
        assert isinstance(clock, ReplayClock)
        clock.set(START + 60 * HOUR)
        tick(layout)
        found = read_findings(layout, "m")
        assert [f.state for f in found] == ["open", "closed"]
        assert found[1].ended_at == START + 4 * HOUR + DAY
        assert found[1].finding_id == found[0].finding_id
        assert '"rows_total": 2' in found[1].evidence
        assert open_findings(found) == []


@pytest.mark.parametrize(("key", "kind"), [("h0-0", "early_outcome"), ("nobody", "stray_outcome")])
def test_an_outcome_by_key_from_before_its_prediction_is_early_and_no_stray_one(key: str, kind: str) -> None:
    def plant(recorder: Recorder, _: int) -> None:
        recorder.outcome(1, key=key, observed_at=START - MINUTE)
        recorder.outcome(1, key="h0-1", observed_at=START + HOUR)

    with temporary_store(Model("m"), replay_now=START) as (layout, spool):
        found = live(layout, spool, 6, {2: [plant]}, ticks=False)
        assert [(f.kind, f.state) for f in found] == [(kind, "open")]
        late = live(layout, spool, 0, {}, ticks=False)
        assert late == found


def test_a_missed_run_is_found_and_ends_with_the_next_one() -> None:
    with temporary_store(MODEL, replay_now=START) as (layout, spool):
        found = live(layout, spool, 40, {}, ticks=False)
        assert [(f.kind, f.state, f.severity) for f in found] == [
            ("missed_run", "open", "breach"),
            ("missed_run", "closed", "breach"),
        ]
        assert found[0].started_at == START + 31 * HOUR + 20 * MINUTE
        assert found[1].ended_at == START + 36 * HOUR + 20 * MINUTE


def test_clean_traffic_gives_no_finding() -> None:
    with temporary_store(MODEL, replay_now=START) as (layout, spool):
        assert live(layout, spool, 30, {}, ticks=False) == []


@pytest.mark.slow
def test_one_late_tick_finds_what_hourly_ticks_found() -> None:
    plants = [plant for plant, _ in FAULTS.values()]

    def late_prediction(recorder: Recorder, now: int) -> None:
        recorder.record({"x": 1.0}, key="nobody", prediction_id="late", predicted_at=now - 5 * HOUR)

    def outcome_of_the_late(recorder: Recorder, now: int) -> None:
        recorder.outcome(1, prediction_id="late", observed_at=now - 9 * HOUR)

    faults: dict[int, list[Plant]] = {
        3: plants[:3], 4: [plants[0], outcome_of_the_late], 5: plants, 8: [late_prediction], 9: [plants[0], plants[4]]
    }  # fmt: skip
    tables: list[list[Finding]] = []
    for ticks in (True, False):
        with temporary_store(MODEL, replay_now=START) as (layout, spool):
            tables.append(live(layout, spool, 32, faults, ticks=ticks))
    assert tables[0] == tables[1]
    assert {f.kind for f in tables[0]} == {*FAULTS, "missed_run"}
    assert {f.state for f in tables[0]} == {"open", "closed"}


def test_a_second_tick_changes_nothing() -> None:
    with temporary_store(MODEL, replay_now=START) as (layout, spool):
        found = live(layout, spool, 8, {2: [plant for plant, _ in FAULTS.values()]}, ticks=False)
        assert len(found) == len(FAULTS)
        version = LakeTable(layout.lake("m", "findings")).ship
        again = tick(layout)
        assert (again.findings, again.buckets, again.noticed) == ([], 0, [])
        assert again.shipment is not None
        assert again.shipment.rows == 0
        assert read_findings(layout, "m") == found
        assert LakeTable(layout.lake("m", "findings")).ship == version


def test_parallel_ticks_leave_the_table_of_one() -> None:
    with temporary_store(MODEL, replay_now=START) as (layout, spool):
        clock = layout.clock
        assert isinstance(clock, ReplayClock)
        recorder = Recorder(layout, "m", spool=spool)
        for hour in range(8):
            clock.set(START + hour * HOUR)
            record_clean(recorder, hour)
            for plant, _ in FAULTS.values():
                plant(recorder, clock.now())
            assert spool.flush(30)
        clock.set(START + 9 * HOUR)
        clock.save()
        spool.close()
        code = """
import sys
from pathlib import Path
from setpoint.control.loop import tick
from setpoint.core.errors import StoreBusy
from setpoint.store.layout import Layout
layout = Layout.open(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(3):
    try:
        tick(layout)
        print("ticked")
    except StoreBusy:
        print("busy")
"""
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(layout.root)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for _ in range(3)
        ]  # fmt: skip
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        said: list[str] = []
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        for worker in workers:
            output, problems = worker.communicate(timeout=60)
            assert worker.returncode == 0, problems
            said += output.split()
        assert set(said) <= {"ticked", "busy"}
        assert "ticked" in said
        found = read_findings(layout, "m")
        assert sorted(f.kind for f in found) == sorted(FAULTS)
        with Snapshot(layout, "m") as snapshot:
            changes = snapshot.connection.execute("SELECT subject, count(*) FROM changes GROUP BY subject").fetchall()
        assert changes == [("v1", 1)]


def test_a_new_version_in_traffic_is_noted_once_and_a_declared_one_is_not() -> None:
    with temporary_store(Model("m"), replay_now=START) as (layout, spool):
        clock = layout.clock
        assert isinstance(clock, ReplayClock)
        recorder = Recorder(layout, "m", spool=spool)
        recorder.record({"x": 1.0}, version="v1")
        recorder.change("version", "declared", note="by hand")
        recorder.record({"x": 1.0}, version="declared")
        recorder.record({"x": 1.0})
        spool.flush()
        assert [(name, one.subject) for name, one in tick(layout).noticed] == [("m", "v1")]
        clock.set(START + 3 * HOUR)
        for _ in range(5):
            recorder.record({"x": 1.0}, version="v2")
        spool.close()
        assert [(name, one.subject) for name, one in tick(layout).noticed] == [("m", "v2")]
        assert tick(layout).noticed == []
        with Snapshot(layout, "m") as snapshot:
            rows = snapshot.connection.execute(
                "SELECT kind, subject, epoch_us(started_at), note FROM changes ORDER BY started_at, subject"
            ).fetchall()
        assert rows == [
            ("version", "declared", START, "by hand"),
            ("version", "v1", START, "first seen in traffic"),
            ("version", "v2", START + 3 * HOUR, "first seen in traffic"),
        ]


def test_a_full_queue_becomes_a_finding() -> None:
    with temporary_store(Model("m"), replay_now=START) as (layout, _):
        spool = Spool(layout, flush_seconds=3600.0, queue_limit=5)
        recorder = Recorder(layout, "m", spool=spool)
        while not spool.dropped:  # faster than the writer, which sleeps for an hour unless it is woken
            recorder.record({"x": 1.0})
        spool.close()
        clock = layout.clock
        assert isinstance(clock, ReplayClock)
        clock.set(START + 2 * HOUR)
        tick(layout)
        assert [f.kind for f in read_findings(layout, "m")] == ["dropped_events"]


def test_a_finding_whose_rows_are_gone_is_closed() -> None:
    with temporary_store(replay_now=START) as (layout, spool):
        clock = layout.clock
        assert isinstance(clock, ReplayClock)
        recorder = Recorder(layout, "m", spool=spool)
        recorder.record({"x": 1.0}, score=7.0, key="someone-that-asks-to-be-forgotten")
        spool.close()
        clock.set(START + 2 * HOUR)
        tick(layout)
        assert [f.kind for f in open_findings(read_findings(layout, "m"))] == ["odd_score"]
        forget(layout, layout.model("m"), key="someone-that-asks-to-be-forgotten")
        tick(layout)
        assert open_findings(read_findings(layout, "m")) == []
        assert tick(layout).findings == []


def test_grades_of_a_judge_that_cannot_be_read_are_a_finding() -> None:
    kinds = (OutcomeKind("people"), OutcomeKind("llm", final=False, judge=True))
    model = Model("m", task=Task.GENERATION, outcomes=kinds)
    with temporary_store(model, replay_now=START) as (layout, spool):
        clock = layout.clock
        assert isinstance(clock, ReplayClock)
        recorder = Recorder(layout, "m", spool=spool)
        for n in range(20):
            recorder.record(prediction_id=f"p{n}")
            recorder.outcome("pass", prediction_id=f"p{n}")
            recorder.outcome("I cannot say" if n < 7 else "pass", prediction_id=f"p{n}", kind="llm")
        spool.close()
        clock.set(START + 2 * HOUR)
        tick(layout)
        (found,) = read_findings(layout, "m")
        assert (found.kind, found.subject) == ("odd_outcome", "llm")
        assert found.said.startswith("llm: outcomes are no grades")


@pytest.mark.parametrize(("yes", "no"), [("yes", "no"), (1, -1)])
def test_outcomes_that_are_neither_yes_nor_no_are_unknown_until_positive_is_declared(
    yes: str | int, no: str | int
) -> None:
    """Nothing is guessed: not that a text is no, and not that a number that is none of 0 and 1 is missing."""
    with temporary_store(replay_now=START) as (layout, spool):
        clock = layout.clock
        assert isinstance(clock, ReplayClock)
        recorder = Recorder(layout, "m", spool=spool)
        for n in range(60):
            recorder.record({"x": float(n)}, prediction_id=f"p{n}", score=0.1 + 0.8 * (n % 2))
            recorder.outcome(yes if n % 2 else no, prediction_id=f"p{n}")
        spool.close()
        clock.set(START + 2 * HOUR)
        tick(layout)
        odd = 60 if isinstance(yes, str) else 30
        words = "outcomes are neither yes nor no: declare positive in models/m.yaml"
        assert [(f.kind, f.said.startswith(words)) for f in read_findings(layout, "m")] == [("odd_outcome", True)]
        assert f"{odd} {words}" in doctor(layout.root).text()
        answer = Log(StoreSource(layout)).status("m")
        assert answer.unknowns[0] == f"quality: {odd} {words}"
        metrics = {row[0]: row[1] for row in answer.table("metrics").rows}
        assert metrics["auc"] is None
        layout.declare(Model("m", positive=str(yes)))
        tick(layout)
        assert open_findings(read_findings(layout, "m")) == []
        answer = Log(StoreSource(layout)).status("m")
        metrics = {row[0]: row[1] for row in answer.table("metrics").rows}
        assert (metrics["auc"], metrics["base_rate"], metrics["precision"]) == (1.0, 0.5, 1.0)
        assert not any("neither" in unknown for unknown in answer.unknowns)


def test_an_outcome_that_names_a_shadow_row_is_astray() -> None:
    with temporary_store(replay_now=START) as (layout, spool):
        clock = layout.clock
        assert isinstance(clock, ReplayClock)
        recorder = Recorder(layout, "m", spool=spool)
        root = recorder.record({"x": 1.0}, score=0.5)
        shadow = recorder.record({"x": 1.0}, score=0.5, role="shadow", parent_id=root, root_id=root)
        recorder.outcome(1, prediction_id=root)
        clock.set(START + 3 * HOUR)
        spool.flush()
        tick(layout)
        assert read_findings(layout, "m") == []
        recorder.outcome(1, prediction_id=shadow)
        spool.close()
        clock.set(START + 6 * HOUR)
        tick(layout)
        assert [(f.kind, f.subject) for f in read_findings(layout, "m")] == [("stray_outcome", "prediction_id")]
