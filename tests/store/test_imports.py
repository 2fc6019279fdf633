"""History from files: counted once, put aside when it does not fit, exact after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.errors import ColumnError, EmptyFile, UsageError
from setpoint.core.model import Feature, Model, Schedule
from setpoint.project.keeping import import_file
from setpoint.store.findings import read_findings
from setpoint.store.layout import Layout
from setpoint.store.retyping import retype, survey
from setpoint.store.snapshot import Snapshot

ROWS = 240


def query(store: Path, sql: str) -> list[tuple[object, ...]]:
    with Snapshot(Layout.open(store), "m") as snapshot:
        return snapshot.connection.execute(sql).fetchall()


def history(path: Path) -> Path:
    """Write predictions of ten days, one an hour, as Parquet or CSV."""
    form = "FORMAT csv, HEADER" if path.suffix == ".csv" else "FORMAT parquet"
    duckdb.execute(
        f"""COPY (SELECT TIMESTAMPTZ '2026-01-01 00:00:00Z' + INTERVAL (i) HOUR AS predicted_at, 'k' || i AS key,
        'v' || (i % 2) AS version, (i % 100) / 100.0 AS score, (i % 2) AS prediction,
        0.05 * (1 + i % 3) AS latency_seconds, i * 1.5 AS amount, 'c' || (i % 3) AS country
        FROM range({ROWS}) AS t(i)) TO '{path}' ({form})"""
    )
    return path


def outcomes(path: Path) -> Path:
    form = "FORMAT csv, HEADER" if path.suffix == ".csv" else "FORMAT parquet"
    duckdb.execute(
        f"""COPY (SELECT 'k' || i AS key, TIMESTAMPTZ '2026-01-01 02:00:00Z' + INTERVAL (i) HOUR AS observed_at,
        i % 2 AS outcome FROM range({ROWS}) AS t(i)) TO '{path}' ({form})"""
    )
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_predictions_and_outcomes_are_imported_once(tmp_path: Path, suffix: str) -> None:
    store = tmp_path / "store"
    past, truth = history(tmp_path / f"past{suffix}"), outcomes(tmp_path / f"truth{suffix}")
    mapping = {"time": "observed_at", "key": "key", "outcome": "outcome"}
    for attempt in range(2):
        done, _ = import_file(store, "m", str(past))
        assert (done.rows, done.quarantined, done.is_repeat) == ((ROWS, 0, False) if attempt == 0 else (0, 0, True))
        done, _ = import_file(store, "m", str(truth), outcomes=True, columns=mapping)
        assert (done.rows, done.is_repeat) == ((ROWS, False) if attempt == 0 else (0, True))
        assert query(store, "SELECT count(*), count(DISTINCT prediction_id), sum(inputs.amount) FROM predictions") == [
            (ROWS, ROWS, sum(i * 1.5 for i in range(ROWS)))
        ]
        assert query(store, "SELECT count(*), sum(outcome) FROM outcomes") == [(ROWS, ROWS / 2)]
        assert query(store, "SELECT sum(requests)::BIGINT FROM tallies") == [(ROWS,)]
    counted = "SELECT {} AS v, {} FROM {} GROUP BY v ORDER BY v"
    assert query(store, counted.format("version", "sum(requests)::BIGINT", "tallies")) == query(
        store, counted.format("version", "count(*)", "predictions")
    )
    bins = query(
        store,
        "SELECT sum(e.value)::BIGINT FROM (SELECT unnest(map_entries(latency_bins)) AS e FROM tallies)"
        " UNION ALL SELECT sum(e.value)::BIGINT FROM (SELECT unnest(map_entries(score_bins)) AS e FROM tallies)",
    )
    assert bins == [(ROWS,), (ROWS,)]


def test_an_import_killed_between_tallies_and_rows_is_exact_after_it_is_run_again(tmp_path: Path) -> None:
    store, past = tmp_path / "store", history(tmp_path / "past.parquet")
    code = """
import os, signal, sys
from pathlib import Path
from setpoint.project.keeping import import_file
from setpoint.store.lake import LakeTable
commit = LakeTable.append
def append(self, rows, sequences):
    if self.path.name == "predictions":
        os.kill(os.getpid(), signal.SIGKILL)
    commit(self, rows, sequences)
LakeTable.append = append
import_file(Path(sys.argv[1]), "m", sys.argv[2])
"""
    died = subprocess.run([sys.executable, "-c", code, str(store), str(past)], check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    assert query(store, "SELECT sum(requests)::BIGINT FROM tallies") == [(ROWS,)]
    assert query(store, "SELECT count(*) FROM predictions") == [(0,)]
    for _ in range(2):
        import_file(store, "m", str(past))
        assert query(store, "SELECT sum(requests)::BIGINT FROM tallies") == [(ROWS,)]
        assert query(store, "SELECT count(*) FROM predictions") == [(ROWS,)]


def test_rows_without_a_time_are_put_aside_and_policies_hold_there_too(tmp_path: Path) -> None:
    store, past = tmp_path / "store", tmp_path / "past.csv"
    past.write_text(
        "predicted_at,key,score,secret,amount\n"
        "2026-01-01T00:00:00Z,a,0.5,hidden-1,1.5\n,b,0.5,hidden-2,2.5\n2026-01-01T02:00:00Z,c,0.5,hidden-3,3.5\n"
    )
    Layout.create(store).declare(Model("m", features=(Feature("secret", "categorical", policy="drop"),)))
    done, _ = import_file(store, "m", str(past), columns={"time": "predicted_at", "key": "key", "score": "score"})
    assert (done.rows, done.quarantined) == (2, 1)
    assert query(store, "SELECT source_table, line_number FROM quarantine") == [("predictions", 2)]
    raw = str(query(store, "SELECT raw FROM quarantine")[0][0])
    assert '"b"' in raw
    assert "hidden" not in raw
    assert not [path for path in store.rglob("*") if path.is_file() and b"hidden" in path.read_bytes()]


def test_a_value_that_does_not_fit_the_column_of_the_store_is_put_aside(tmp_path: Path) -> None:
    store = tmp_path / "store"
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("predicted_at,key,amount\n2026-01-01T00:00:00Z,a,1.5\n2026-01-01T01:00:00Z,b,2.5\n")
    second.write_text("predicted_at,key,amount\n2026-01-02T00:00:00Z,c,3.5\n2026-01-02T01:00:00Z,d,n/a\n")
    mapping = {"time": "predicted_at", "key": "key"}
    import_file(store, "m", str(first), columns=mapping)
    done, _ = import_file(store, "m", str(second), columns=mapping)
    assert (done.rows, done.quarantined) == (1, 1)
    assert query(store, "SELECT key, inputs.amount FROM predictions ORDER BY key") == [
        ("a", 1.5),
        ("b", 2.5),
        ("c", 3.5),
    ]
    assert query(store, "SELECT sum(requests)::BIGINT FROM tallies") == [(4,)]


def test_mixed_types_in_a_csv_are_read_as_text(tmp_path: Path) -> None:
    store, past = tmp_path / "store", tmp_path / "past.csv"
    lines = [f"2026-01-01T00:00:{n:02d}Z,k{n},{n if n % 4 else 'unknown'}" for n in range(50)]
    past.write_text("predicted_at,key,amount\n" + "\n".join(lines) + "\n")
    done, _ = import_file(store, "m", str(past), columns={"time": "predicted_at", "key": "key"})
    assert (done.rows, done.quarantined) == (50, 0)
    assert query(store, "SELECT inputs.amount FROM predictions WHERE key IN ('k39', 'k40') ORDER BY key") == [
        ("39",),
        ("unknown",),
    ]


@pytest.mark.parametrize(("zone", "hour"), [("", 12), ("America/New_York", 17), ("Asia/Kolkata", 6)])
def test_times_without_a_zone_are_local_to_the_one_given(tmp_path: Path, zone: str, hour: int) -> None:
    store, past = tmp_path / "store", tmp_path / "past.csv"
    past.write_text("predicted_at,key\n2026-01-01 12:00:00,a\n2026-01-01 12:30:00,b\n")
    _, notes = import_file(store, "m", str(past), columns={"time": "predicted_at", "key": "key"}, tz=zone)
    assert any(f"read as {zone or 'UTC'}" in note for note in notes)
    found = query(store, "SELECT hour(predicted_at) FROM predictions WHERE key = 'a'")
    assert found == [(hour,)]


def test_files_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    store, path = tmp_path / "store", tmp_path / "past.csv"
    with pytest.raises(UsageError, match="no file at"):
        import_file(store, "m", str(path))
    path.write_text("predicted_at,key\n")
    with pytest.raises(EmptyFile, match="no rows"):
        import_file(store, "m", str(path))
    path.write_text("key,amount\na,1.5\n")
    with pytest.raises(ColumnError, match="no row has a time"):
        import_file(store, "m", str(path))
    with pytest.raises(ColumnError, match="no column 'ts' for time"):
        import_file(store, "m", str(path), columns={"time": "ts"})
    with pytest.raises(UsageError, match="no outcome column"):
        import_file(store, "m", str(path), outcomes=True)
    assert not store.exists(), "an import that is refused leaves nothing"
    Layout.create(store)
    before = sorted(store.rglob("*"))
    with pytest.raises(ColumnError, match="no row has a time"):
        import_file(store, "m", str(path))
    assert sorted(store.rglob("*")) == before


def test_a_scheduled_job_that_did_not_run_is_a_finding_until_it_runs_again(tmp_path: Path) -> None:
    store = tmp_path / "store"
    start = 1_767_225_600_000_000
    layout = Layout.create(store, replay_now=start)
    layout.declare(Model("m", schedule=Schedule(every=DAY, grace=2 * HOUR)))

    def run(day: int) -> None:
        path = tmp_path / f"run{day}.csv"
        path.write_text(f"predicted_at,key,amount\n2026-01-{day:02d}T00:00:00Z,k{day},1.5\n")
        import_file(store, "m", str(path), columns={"time": "predicted_at", "key": "key"}, run_id=f"run-{day}")

    def findings(day: int, hour: int) -> list[tuple[str, str]]:
        now = Layout.open(store)
        now.save_replay_now(start + (day - 1) * DAY + hour * HOUR)
        now = Layout.open(store)
        tick(now)
        return [(finding.kind, finding.state) for finding in read_findings(now, "m")]

    run(1)
    run(2)
    assert query(store, "SELECT DISTINCT run_id FROM predictions ORDER BY run_id") == [("run-1",), ("run-2",)]
    assert findings(2, 12) == []
    assert findings(3, 1) == [], "within the grace"
    assert findings(3, 4) == [("missed_run", "open")]
    run(5)
    assert findings(5, 6) == [("missed_run", "open"), ("missed_run", "closed")]
    assert findings(5, 6) == [("missed_run", "open"), ("missed_run", "closed")], "the second tick changes nothing"


def test_a_declared_kind_decides_the_type_of_an_imported_column(tmp_path: Path) -> None:
    store = tmp_path / "store"
    features = (Feature("amount", "numeric"), Feature("zip", "categorical"))
    Layout.create(store).declare(Model("m", features=features))
    path = tmp_path / "h.csv"
    path.write_text("ts,score,amount,zip\n2026-01-01,0.1,n/a,80331.0\n2026-01-02,0.2,2.5,80331.5\n")
    done, _ = import_file(store, "m", str(path))
    assert (done.rows, done.quarantined) == (1, 1)
    with Snapshot(Layout.open(store), "m") as snapshot:
        found = snapshot.connection.execute("SELECT inputs.amount, inputs.zip FROM predictions").fetchall()
    assert found == [(2.5, "80331.5")]


def test_an_imported_row_that_was_put_aside_comes_back_when_its_column_is_mended(tmp_path: Path) -> None:
    store, path = tmp_path / "store", tmp_path / "h.csv"
    path.write_text(
        "ts,key,score,amount,country,outcome,cost\n"
        + "".join(f"2026-01-{n + 1:02d},k{n},0.{n + 10},{n}.5,nl,{n % 2},0.25\n" for n in range(20))
        + "2026-01-21,late,0.5,80a,de,1,0.75\n"
    )
    columns = {"time": "ts", "key": "key", "score": "score", "outcome": "outcome", "cost_usd": "cost"}
    done, _ = import_file(store, "m", str(path), columns=columns)
    assert (done.rows, done.quarantined, done.outcomes, done.costs) == (20, 1, 21, 21)
    layout = Layout.open(store)
    model = replace(layout.model("m"), features=(Feature("amount", "categorical"),))
    assert [one.returning for one in survey(layout, model)] == [1]
    layout.declare(model)
    for _ in range(2):  # the second finds nothing to do
        retype(layout, model)
        found = query(
            store,
            "SELECT p.key, day(p.predicted_at), score, inputs.amount, inputs.country, o.outcome, c.cost_nano_usd"
            " FROM predictions AS p JOIN outcomes AS o USING (prediction_id) JOIN calls AS c USING (prediction_id)"
            " ORDER BY p.predicted_at DESC",
        )
        assert len(found) == 21
        assert found[0] == ("late", 21, 0.5, "80a", "de", 1.0, 750_000_000)
        assert found[1][3] == "19.5"
        assert query(store, "SELECT count(*) FROM quarantine") == [(0,)]
        assert query(store, "SELECT sum(requests)::BIGINT FROM tallies") == [(21,)]
    assert import_file(store, "m", str(path), columns=columns)[0].is_repeat


def test_rows_with_a_text_among_the_numbers_of_a_csv_are_put_aside(tmp_path: Path) -> None:
    """The column stays a number: one cell that is none costs its row, not the feature or the score."""
    path = history(tmp_path / "t.csv")
    lines = path.read_text().splitlines()
    columns = lines[0].split(",")
    for number, column, word in ((8, "amount", "n/a"), (10, "score", "?")):
        cells = lines[number].split(",")
        cells[columns.index(column)] = word
        lines[number] = ",".join(cells)
    path.write_text("\n".join(lines))
    done, notes = import_file(tmp_path / "store", "m", str(path))
    assert (done.rows, done.quarantined) == (ROWS - 2, 2)
    assert "amount: 1 of 240 values are no numbers" in notes
    assert query(tmp_path / "store", "SELECT any_value(typeof(inputs.amount)) FROM predictions") == [("DOUBLE",)]
    found = query(tmp_path / "store", "SELECT reason, raw FROM quarantine ORDER BY reason")
    assert [row[0] for row in found] == [
        "a text stands where a number must",
        "inputs.amount is DOUBLE in the table and a value does not fit",
    ]
    assert "score: ?" in str(found[0][1])
    assert "n/a" in str(found[1][1])
