"""Each figure of `setpoint doctor` against a store of which the truth is known."""

from __future__ import annotations

import inspect
import os
import platform
import sqlite3
import time
from collections.abc import Generator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

import setpoint
from setpoint.answers.answer import Answer
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR, MICROS
from setpoint.core.model import Model
from setpoint.core.verdict import Verdict
from setpoint.predictions.recorder import Recorder
from setpoint.project.doctor import COUNTS_LOSS_WINDOW_SECONDS, LOSS_WINDOW_SECONDS, doctor, versions
from setpoint.project.keeping import import_file
from setpoint.store import spool as spools
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.shipper import ship
from setpoint.store.spool import Spool
from setpoint.testing import temporary_store

START = 1_767_225_600_000_000  # 2026-01-01
ROWS = 40


@pytest.fixture
def layout() -> Generator[Layout]:
    with temporary_store(Model("m"), replay_now=START) as (layout, _):
        yield layout


def record(layout: Layout, rows: int = ROWS) -> None:
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for n in range(rows):
        recorder.record({"x": float(n)}, score=0.5, prediction_id=f"p{n}")
        if n % 2:
            recorder.outcome(1, prediction_id=f"p{n}")
    assert recorder.close()


def figures(answer: Answer, model: str = "m") -> dict[str, float]:
    return {str(row[1]): float(row[2] or 0) for row in answer.table("figures").rows if row[0] == model}


def checks(answer: Answer) -> dict[str, tuple[str, str]]:
    return {str(row[1]): (str(row[0]), str(row[2])) for row in answer.table("checks").rows}


def segments(layout: Layout) -> list[Path]:
    return sorted((layout.root / "spool").rglob("*.ndjson"))


def test_a_new_store_is_well_and_every_line_is_there(layout: Layout) -> None:
    record(layout)
    tick(layout)
    answer = doctor(layout.root)
    assert answer.verdict is Verdict.OK
    assert answer.headline == "all is well"
    assert list(checks(answer)) == [
        "m: spool", "m: quarantine", "m: drops", "m: summaries",
        "loop", "disk", "clock", "loss window", "versions", "store format",
    ]  # fmt: skip
    assert set(figures(answer).values()) == {0.0}
    assert checks(answer)["clock"] == ("ok", "a replay that stands at 2026-01-01 00:00 UTC")


def test_what_waits_is_counted_in_rows_and_bytes_until_it_is_shipped(layout: Layout) -> None:
    record(layout)
    files = segments(layout)
    lines = sum(len(path.read_text().splitlines()) - 1 for path in files)  # a header each
    tallies = sum(len(path.read_text().splitlines()) - 1 for path in files if path.parent.name == "tallies")
    assert lines == ROWS + ROWS // 2 + tallies
    found = figures(doctor(layout.root))
    assert found["unshipped_rows"] == lines
    assert found["unshipped_bytes"] == sum(path.stat().st_size for path in files)
    assert f"{lines} rows (" in checks(doctor(layout.root))["m: spool"][1]
    ship(layout)
    assert segments(layout), "the files stay for a while, but wait no more"
    assert figures(doctor(layout.root))["unshipped_rows"] == 0
    assert checks(doctor(layout.root))["m: spool"] == ("ok", "nothing waits")


def test_lines_that_a_living_recorder_has_written_wait_too(layout: Layout) -> None:
    recorder = Recorder(layout, "m", spool=Spool(layout, rotate_seconds=3600.0))
    recorder.record({"x": 1.0})
    assert recorder.flush()
    found = figures(doctor(layout.root))
    assert (found["unshipped_rows"], found["unshipped_torn_lines"]) == (2, 0), "the row and its count"
    recorder.close()


@pytest.mark.parametrize(("age", "verdict", "said"), [(1000.0, "warning", "17 min"), (30.0, "ok", "30 s")])
def test_the_lag_is_the_age_of_the_oldest_segment_that_waits(
    layout: Layout, age: float, verdict: str, said: str
) -> None:
    record(layout)
    oldest, *others = segments(layout)
    now = time.time()
    for path in others:
        os.utime(path, (now - 10, now - 10))
    os.utime(oldest, (now - age, now - age))
    answer = doctor(layout.root)
    assert age <= figures(answer)["lag_seconds"] < age + 20
    assert checks(answer)["m: spool"][0] == verdict
    assert f"the oldest for {said}" in checks(answer)["m: spool"][1]
    ship(layout)
    assert figures(doctor(layout.root))["lag_seconds"] == 0


def test_a_shipped_segment_is_not_late_however_old(layout: Layout) -> None:
    record(layout)
    ship(layout)
    for path in segments(layout):
        os.utime(path, (0, 0))
    assert figures(doctor(layout.root))["lag_seconds"] == 0


def test_the_loss_window_is_that_of_the_spool(layout: Layout) -> None:
    defaults = inspect.signature(Spool).parameters
    assert defaults["flush_seconds"].default == LOSS_WINDOW_SECONDS
    assert spools._TALLY_SECONDS == COUNTS_LOSS_WINDOW_SECONDS  # pyright: ignore[reportPrivateUsage] — the one truth
    answer = doctor(layout.root)
    assert figures(answer, "") | {"loss_window_seconds": 0.2, "counts_loss_window_seconds": 5.0} == figures(answer, "")
    assert checks(answer)["loss window"][1].startswith("0.2 s of rows and 5 s of counts")


def test_drops_are_counted_before_and_after_shipping(layout: Layout) -> None:
    spool = Spool(layout, flush_seconds=3600.0, queue_limit=5)
    recorder = Recorder(layout, "m", spool=spool)
    sent = 0
    while spool.dropped < 7:  # faster than the writer, which sleeps unless it is woken
        recorder.record({"x": 1.0})
        sent += 1
    spool.close()
    text = "".join(path.read_text() for path in segments(layout) if path.parent.name == "predictions")
    dropped = sent - text.count('"prediction_id"') + 1  # the header names the column too
    for _ in range(2):
        answer = doctor(layout.root)
        assert figures(answer)["dropped_events"] == dropped
        assert checks(answer)["m: drops"] == ("warning", f"{dropped} events dropped by full queues")
        ship(layout)


def test_what_could_not_be_recorded_is_told(layout: Layout) -> None:
    recorder = Recorder(layout, "m")
    assert recorder.record_many(5) == []
    assert recorder.close()
    said = "0 events dropped by full queues, 1 could not be recorded: the first error is in the service's log"
    assert checks(doctor(layout.root))["m: drops"] == ("warning", said)
    assert figures(doctor(layout.root))["failed_events"] == 1


def test_a_torn_line_is_counted_while_it_waits_and_in_quarantine(layout: Layout) -> None:
    record(layout)
    path = next(path for path in segments(layout) if path.parent.name == "predictions")
    before = figures(doctor(layout.root))
    with path.open("ab") as file:
        file.write(b'{"prediction_id":"torn","root_id":"to')
    found = figures(doctor(layout.root))
    assert (found["unshipped_torn_lines"], found["unshipped_rows"]) == (1, before["unshipped_rows"])
    ship(layout)
    answer = doctor(layout.root)
    assert (figures(answer)["unshipped_torn_lines"], figures(answer)["torn_lines"]) == (0, 1)
    assert figures(answer)["quarantined_rows"] == 1
    assert checks(answer)["m: quarantine"] == (
        "warning",
        "1 row put aside, 1 of them torn lines. 1 predictions: torn last line",
    )


def test_status_and_cost_say_how_many_rows_were_put_aside_and_what_to_do(layout: Layout) -> None:
    record(layout)
    log = setpoint.open(layout.root)
    assert "quarantine" not in log.status("m").to_dict()["tables"]  # pyright: ignore[reportOperatorIssue] — a mapping
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for _ in range(2):
        recorder.record({"x": 1.0}, score="high")  # pyright: ignore[reportArgumentType] — the fault
    recorder.close()
    said = "2 rows lie in quarantine and count in no number here: `setpoint doctor` says why"
    for _ in range(2):  # in the spool, then in the lake and from states
        answer = setpoint.open(layout.root).status("m")
        assert answer.table("quarantine").rows == [(2,)]
        assert said in answer.text()
        assert said in setpoint.open(layout.root).cost("m").text()
        tick(layout)
    assert not setpoint.open(layout.root).status("m", as_of="2000-01-01").because[-1].startswith("2 rows")


def test_what_was_put_aside_is_counted_by_table_and_reason(layout: Layout, tmp_path: Path) -> None:
    record(layout)
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for n in range(4):
        recorder.record({"x": 1.0}, score="high")  # pyright: ignore[reportArgumentType] — the fault
        if n < 3:
            recorder.outcome(1)
        if n < 2:
            recorder.record({"x": 1.0, "X": 2.0})
    recorder.close()
    (tmp_path / "t.csv").write_text("ts,x\n2026-01-01T00:00:00Z,1\n,2\n")
    import_file(layout.root, "m", str(tmp_path / "t.csv"), columns={"time": "ts"})
    answer = doctor(layout.root)
    assert answer.table("quarantine").rows == [
        ("m", "predictions", "score is a number and this row holds 'high'", 4),
        ("m", "outcomes", "neither prediction_id nor key", 3),
        ("m", "predictions", "two inputs have one name, or differ only in upper and lower case", 2),
        ("m", "predictions", "no time", 1),
    ]
    assert (figures(answer)["quarantined_rows"], figures(answer)["torn_lines"]) == (10, 0)
    said = checks(answer)["m: quarantine"][1]
    assert said.startswith("10 rows put aside, 0 of them torn lines. 4 predictions: score is a number")
    assert said.endswith("; 1 more reasons: see --json")


def test_the_disk_is_what_the_files_take(layout: Layout) -> None:
    record(layout)
    tick(layout)
    for _ in range(2):
        answer = doctor(layout.root)
        used = sum(path.stat().st_size for path in layout.root.rglob("*") if path.is_file())
        assert figures(answer, "")["store_bytes"] == used
        assert f"the store takes {used / 1e3:.1f} KB" in checks(answer)["disk"][1]
        assert figures(answer, "")["free_bytes"] > 0
        (layout.root / "more").write_bytes(b"x" * 12_345)


def test_the_versions_are_those_of_everything_it_runs_on(layout: Layout) -> None:
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["sqlite"] == sqlite3.sqlite_version
    for name in (
        "setpoint",
        "duckdb",
        "deltalake",
        "numpy",
        "scipy",
        "sqlglot",
        "msgspec",
        "pydantic",
        "typer",
        "rich",
    ):
        assert found[name] == version(name)
    assert "pandas" not in found, "an extra is no part of it"
    said = checks(doctor(layout.root))["versions"][1]
    assert all(f"{name} {one}" in said for name, one in found.items())


def test_times_after_the_clock_and_scores_that_are_none_are_counted(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "ts,score,outcome\n"
        "2026-01-01T00:04:00Z,0.5,1\n2026-01-01T00:06:00Z,1.5,1\n2026-03-01T00:00:00Z,NaN,\n2025-12-31T00:00:00Z,-1,0\n"
    )
    done, _ = import_file(
        layout.root, "m", str(tmp_path / "t.csv"), columns={"time": "ts", "score": "score", "outcome": "outcome"}
    )
    assert (done.future, done.odd_scores) == (3, 3), "a clock may be five minutes ahead, a file may not"
    answer = doctor(layout.root)
    assert (figures(answer)["future_rows"], figures(answer)["odd_scores"]) == (3, 3), "two predictions, one outcome"
    assert checks(answer)["m: times"][1].startswith("3 rows after the store's clock")
    assert checks(answer)["m: scores"][1].startswith("3 scores lie outside 0 to 1")
    assert answer.headline == "2 things need attention: m: times; m: scores"
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    clock.set(START + 90 * DAY)
    clock.save()
    assert figures(doctor(layout.root))["future_rows"] == 0


def test_a_damaged_file_is_a_line_and_not_the_end_of_the_answer(layout: Layout) -> None:
    record(layout)
    ship(layout)
    file = next((layout.root / "lake" / "m" / "predictions").rglob("*.parquet"))
    file.write_bytes(b"not any more")
    answer = doctor(layout.root)
    assert answer.verdict is Verdict.WARNING
    assert file.name in checks(answer)["m: damage"][1]
    assert checks(answer)["m: drops"] == ("ok", "0 events dropped by full queues")


def test_each_model_has_its_own_figures(layout: Layout) -> None:
    record(layout)
    recorder = Recorder(layout, "other", spool=Spool(layout))
    recorder.record({"x": 1.0}, predicted_at=datetime(2026, 1, 1, tzinfo=UTC))
    recorder.close()
    answer = doctor(layout.root)
    assert figures(answer)["unshipped_rows"] > figures(answer, "other")["unshipped_rows"] == 2
    assert checks(answer)["other: summaries"] == ("ok", "none yet: run `setpoint tick`")
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    clock.set(START + HOUR + MICROS)
    tick(layout)
    assert checks(doctor(layout.root))["other: summaries"][1].startswith("hours are closed until")
