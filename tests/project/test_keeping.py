"""Looking after a store: what a user expects of forget, off, dead sources and odd files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import setpoint
from setpoint.control.loop import tick
from setpoint.core.clock import DAY
from setpoint.core.model import Cohort, Feature, Model, Retention
from setpoint.predictions.recorder import Recorder
from setpoint.project.doctor import doctor
from setpoint.project.keeping import forget_unit, import_file
from setpoint.store.erasure import traces
from setpoint.store.findings import open_findings, read_findings
from setpoint.store.layout import Layout
from setpoint.store.retention import collect
from setpoint.store.spool import Spool

NOW = datetime.now(tz=UTC)


def recorded(folder: Path, *, days_ago: float = 0.0, rows: int = 300, model: Model | None = None) -> Layout:
    layout = Layout.create(folder / "store")
    if model is not None:
        layout.declare(model)
    recorder = Recorder(layout, "fraud", version="v1", spool=Spool(layout))
    for n in range(rows):
        at = NOW - timedelta(days=days_ago, minutes=rows - n)
        name = recorder.record(
            {"txn": f"txn-{n}", "amount": float(n)}, score=n % 100 / 100, key=f"txn-{n}", predicted_at=at
        )
        recorder.outcome(n % 100 >= 50, prediction_id=name, observed_at=at)
    recorder.close()
    return layout


@pytest.mark.parametrize("cohorts", [(), (Cohort("transaction", by="txn"),)])
def test_a_key_that_is_also_an_input_is_forgotten_in_the_summaries_too(
    tmp_path: Path, cohorts: tuple[Cohort, ...]
) -> None:
    layout = recorded(tmp_path, days_ago=3.0)
    layout.declare(Model("fraud", cohorts=cohorts))
    tick(layout)
    assert list(traces(layout.root, "txn-10", "fraud"))
    assert forget_unit(layout.root, "fraud", key="txn-10").total == 2
    assert not list(traces(layout.root, "txn-10", "fraud"))
    assert list(traces(layout.root, "txn-11", "fraud"))
    with setpoint.open(layout.root) as log:
        shares = {row[0]: row for row in log.status("fraud", over="5d").table("metrics").rows}
        assert shares["accuracy"][1] == 1.0
        assert shares["accuracy"][6] == 299


def test_a_source_that_stopped_is_unknown_and_not_fine(tmp_path: Path) -> None:
    layout = recorded(tmp_path, days_ago=60.0)
    with setpoint.open(layout.root) as log:
        answer = log.status("fraud")
        assert answer.exit_code == 4
        assert "no prediction since" in answer.headline
        assert log.diff("fraud", as_of="2020-01-01").verdict is setpoint.Verdict.UNKNOWN


def test_one_fresh_prediction_is_not_silence(tmp_path: Path) -> None:
    layout = recorded(tmp_path, rows=1)
    with setpoint.open(layout.root) as log:
        answer = log.status("fraud")
    assert answer.exit_code == 3
    assert "cannot say whether it works" in answer.headline


def test_off_means_off(tmp_path: Path) -> None:
    code = "import setpoint; r = setpoint.Recorder('store', model='m'); r.record({'x': 1}); r.outcome(1, key='k')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "SETPOINT_OFF": "1"}, check=True)
    assert not list(tmp_path.iterdir())


def test_a_column_with_one_bad_cell_is_not_lost_without_a_word(tmp_path: Path) -> None:
    rows = 200
    table = pl.DataFrame(
        {
            "ts": [NOW - timedelta(minutes=n) for n in range(rows)],
            "score": [n % 100 / 100 for n in range(rows)],
            "amount": [*(str(n + 0.5) for n in range(rows - 1)), "n/a"],
        }
    )
    table.write_parquet(tmp_path / "t.parquet")
    assert "left out: amount" in "\n".join(setpoint.read(table).notes)
    done, notes = import_file(tmp_path / "plain", "m", str(tmp_path / "t.parquet"))
    assert done.rows == rows
    assert "left out: amount" in "\n".join(notes)
    declared = Layout.create(tmp_path / "declared")
    declared.declare(Model("m", features=(Feature("amount"),)))
    _, notes = import_file(declared.root, "m", str(tmp_path / "t.parquet"))
    assert "inputs: amount" in "\n".join(notes)


def test_retention_raises_no_false_alarm_about_outcomes(tmp_path: Path) -> None:
    model = Model("fraud", retention=Retention(age=20 * DAY), outcome_horizon=5 * DAY)
    recorded(tmp_path, days_ago=40.0, model=model)
    layout = recorded(tmp_path)
    tick(layout)
    done = collect(layout, layout.model("fraud"), layout.clock.now())
    assert done.files > 0
    tick(layout)
    kinds = {finding.kind for finding in open_findings(read_findings(layout, "fraud"))}
    assert "stray_outcome" not in kinds


def test_the_doctor_says_what_waits_and_what_was_put_aside(tmp_path: Path) -> None:
    layout = recorded(tmp_path)
    before = doctor(layout.root)
    found = {row[1]: row for row in before.table("checks").rows}
    assert "not shipped yet" in str(found["fraud: spool"][2])
    assert "duckdb" in str(found["versions"][2])
    tick(layout)
    recorder = Recorder(layout, "fraud", spool=Spool(layout))
    recorder.record({}, predicted_at=datetime(2026, 1, 1))  # noqa: DTZ001 — refused, and said
    recorder.close()
    after = doctor(layout.root)
    assert after.verdict is setpoint.Verdict.WARNING
    assert "without a zone" in str({row[1]: row for row in after.table("checks").rows}["fraud: quarantine"][2])


def test_a_declared_reference_is_what_diff_compares_with(tmp_path: Path) -> None:
    start = (NOW - timedelta(days=10, hours=6)).isoformat()
    end = (NOW - timedelta(days=9)).isoformat()
    model = Model("fraud", reference=f"{start}..{end}")
    recorded(tmp_path, days_ago=10.0, model=model)
    layout = recorded(tmp_path)
    with setpoint.open(layout.root) as log:
        answer = log.diff("fraud", current="1d")
    rows = {
        row[0]: dict(zip(answer.table("features").columns, row, strict=True)) for row in answer.table("features").rows
    }
    assert rows["amount"]["reference_rows"] == rows["amount"]["current_rows"] == 300


@pytest.mark.parametrize("bad", ["deply", "bug"])
def test_an_unknown_kind_of_change_is_refused(tmp_path: Path, bad: str) -> None:
    recorded(tmp_path)
    found = subprocess.run(
        [sys.executable, "-m", "setpoint.cli", "change", "add", "fraud", bad],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert "hint:" in found.stderr


def test_a_pipe_that_closes_early_is_no_breach(tmp_path: Path) -> None:
    recorded(tmp_path)
    asking = subprocess.Popen(
        [sys.executable, "-m", "setpoint.cli", "status", "fraud", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert asking.stdout is not None
    asking.stdout.close()
    assert asking.stderr is not None
    assert asking.stderr.read() == ""
    asking.stderr.close()
    assert asking.wait(timeout=60) == -signal.SIGPIPE


@pytest.mark.parametrize("name", ["plain", "two words", "ümlaut"])
def test_a_store_lies_in_any_folder_and_survives_stray_and_damaged_files(tmp_path: Path, name: str) -> None:
    layout = recorded(tmp_path / name, days_ago=1.0)
    tick(layout)
    (layout.root / "spool" / "junk").write_text("x")
    (layout.root / "spool" / "fraud" / "garbage.bin").write_bytes(b"\x00\x01")
    kept = layout.summaries("fraud")
    kept.write_bytes(kept.read_bytes()[:100])
    with setpoint.open(layout.root) as log:
        assert "300 predictions" in log.status("fraud").because[1]
    assert tick(layout).buckets > 0
    assert doctor(layout.root).text()


def test_a_path_that_the_lake_would_misread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(setpoint.UsageError, match="cannot hold %"):
        Layout.create(tmp_path / "a%41b")


def test_a_damaged_file_of_the_lake_is_named(tmp_path: Path) -> None:
    layout = recorded(tmp_path, days_ago=1.0)
    tick(layout)
    layout.summaries("fraud").unlink()
    file = next((layout.root / "lake" / "fraud" / "predictions").rglob("*.parquet"))
    file.write_bytes(b"not any more")
    with setpoint.open(layout.root) as log, pytest.raises(setpoint.StoreError, match=r"cannot be read.*parquet"):
        log.status("fraud")


def test_outcomes_without_a_time_are_refused_and_other_columns_named(tmp_path: Path) -> None:
    pl.DataFrame({"order_id": ["a"] * 60, "outcome": [1, 0] * 30}).write_csv(tmp_path / "o.csv")
    with pytest.raises(setpoint.UsageError, match="when the outcomes were observed"):
        import_file(tmp_path / "s", "m", str(tmp_path / "o.csv"), outcomes=True, columns={"key": "order_id"})
    with pytest.raises(setpoint.UsageError, match="no role is called 'nonsense'"):
        import_file(tmp_path / "s", "m", str(tmp_path / "o.csv"), outcomes=True, columns={"nonsense": "order_id"})


@pytest.mark.parametrize("positive", ["yes", "1", ""])
def test_recorded_booleans_are_yes_and_no_whatever_text_means_yes(tmp_path: Path, positive: str) -> None:
    layout = Layout.create(tmp_path / "store")
    layout.declare(Model("m", positive=positive))
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for n in range(40):
        name = recorder.record({"x": n}, prediction=n % 4 == 0)
        recorder.outcome(n % 4 == 0 or n % 4 == 1, prediction_id=name)
    recorder.close()
    values = {row[0]: row[1] for row in setpoint.open(layout.root).status("m").table("metrics").rows}
    assert (values["accuracy"], values["base_rate"]) == (0.75, 0.5)
