"""From spool to lake: one shipper, read-only and foreign stores, compaction under readers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from setpoint.control.loop import tick
from setpoint.core.errors import StoreBusy, StoreError, StoreFormatError, StoreMissing
from setpoint.core.events import column_types
from setpoint.predictions.recorder import Recorder
from setpoint.project.log import open_log
from setpoint.store.lake import LakeTable
from setpoint.store.layout import FORMAT, Layout
from setpoint.store.shipper import ship, ship_if_free
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool
from setpoint.testing import temporary_store

NOBODY = 65534
QUERY = "SELECT count(*), count(DISTINCT key), sum(inputs.x) FROM predictions"


def query(layout: Layout, sql: str) -> list[tuple[object, ...]]:
    with Snapshot(layout, "m") as snapshot:
        return snapshot.connection.execute(sql).fetchall()


@pytest.fixture
def read_only_store() -> Generator[Path]:
    """A store with shipped, spooled and summarised rows that its reader may not write."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    layout = Layout.create(folder / "store")
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for n in range(50):
        recorder.record({"x": float(n)}, score=0.5, prediction=True, key=f"k{n}")
        recorder.outcome(n % 2, key=f"k{n}")
    recorder.close()
    tick(layout)
    recorder.record({"x": 1.0}, score=0.5, prediction=True, key="later")
    recorder.close()
    for path in [layout.root, *layout.root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield layout.root
    for path in [layout.root, *layout.root.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(folder)


def as_a_reader(code: str, store: Path) -> str:
    """Run a program as someone who cannot write the store; root can write anything, so it becomes nobody."""
    become = f"import os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})" if os.geteuid() == 0 else ""
    # Everything is imported before: nobody may not be able to read the environment.
    imports = """
import sys
from pathlib import Path
import scipy.special, setpoint.answers.status, setpoint.control.loop, setpoint.store.shipper
from setpoint.core.errors import StoreReadOnly
from setpoint.predictions.recorder import Recorder
from setpoint.project.log import open_log
from setpoint.store.layout import Layout
"""
    program = f"{imports}\n{become}\nlayout = Layout.open(Path(sys.argv[1]))\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program, str(store)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("act", ["setpoint.store.shipper.ship(layout)", "setpoint.control.loop.tick(layout)"])
def test_a_read_only_store_says_so(read_only_store: Path, act: str) -> None:
    code = f"try:\n    {act}\nexcept StoreReadOnly as error:\n    print(error)"
    said = as_a_reader(code, read_only_store)
    assert "cannot be written" in said
    assert "hint: check its permissions" in said


def test_a_read_only_store_still_answers(read_only_store: Path) -> None:
    code = """
print(setpoint.store.shipper.ship_if_free(layout))
answer = open_log(Path(sys.argv[1])).status("m", over="1d")
print(answer.headline)
"""
    nothing, headline = as_a_reader(code, read_only_store).splitlines()
    assert nothing == "None"
    assert headline == open_log(read_only_store).status("m", over="1d").headline
    assert headline


def test_recording_into_a_read_only_store_raises_nothing_into_the_caller(read_only_store: Path) -> None:
    code = """
recorder = Recorder(layout, "m")
print(len(recorder.record({"x": 1.0})), recorder.flush(1.0), bool(recorder.spool.last_error))
"""
    assert as_a_reader(code, read_only_store) == "30 False True\n"


def test_a_store_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "store"
    Layout.create(store)
    (store / "setpoint-store.json").write_text(json.dumps({"format": FORMAT + 1}))
    for open_it in (Layout.open, Layout.create, open_log, lambda path: Recorder(path, "m")):
        with pytest.raises(StoreFormatError, match=f"format {FORMAT + 1}; this version knows {FORMAT}") as caught:
            open_it(store)
        assert caught.value.hint == "install a newer setpoint"


def test_a_damaged_marker_and_a_missing_store_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="no store at"):
        Layout.open(tmp_path / "nowhere")
    store = tmp_path / "store"
    Layout.create(store)
    (store / "setpoint-store.json").write_text("{")
    with pytest.raises(StoreError, match="is damaged") as caught:
        Layout.open(store)
    assert f'{{"format":{FORMAT}}}' in caught.value.hint


def test_a_store_written_by_format_1_opens(tmp_path: Path) -> None:
    """Written by hand as format 1 was: do not make it with today's writer."""
    store = tmp_path / "store"
    folder = store / "spool" / "m" / "predictions"
    folder.mkdir(parents=True)
    (store / "setpoint-store.json").write_text('{"format":1}')
    header = {
        "setpoint_format": 1, "model": "m", "table": "predictions", "process": "abc-0123456789ab", "sequence": 1,
        "columns": {**column_types("predictions"), "prediction": "DOUBLE"}, "inputs": {"x": "DOUBLE", "c": "VARCHAR"},
    }  # fmt: skip
    rows = [
        {"prediction_id": f"id{n}", "root_id": f"id{n}", "predicted_at": 1_767_225_600_000_000 + n,
         "recorded_at": 1_767_225_600_000_000 + n, "key": f"k{n}", "inputs": {"x": n, "c": "word"}, "score": "NaN"}
        for n in range(3)
    ]  # fmt: skip
    (folder / "abc-0123456789ab.00000001.ndjson").write_text("".join(f"{json.dumps(row)}\n" for row in [header, *rows]))
    layout = Layout.open(store)
    assert query(layout, QUERY) == [(3, 3, 3.0)]
    assert ship(layout).rows == 3
    assert query(layout, QUERY) == [(3, 3, 3.0)]
    assert query(layout, "SELECT DISTINCT inputs.c, isnan(score) FROM predictions") == [("word", True)]


@pytest.mark.parametrize("lease", ["shipper", "tick"])
def test_a_second_worker_is_told_that_the_first_is_at_work(tmp_path: Path, lease: str) -> None:
    layout = Layout.create(tmp_path / "store")
    recorder = Recorder(layout, "m", spool=Spool(layout))
    recorder.record({"x": 1.0}, key="a")
    recorder.close()
    code = f"""
import sys
from pathlib import Path
from setpoint.store.layout import Layout
with Layout.open(Path(sys.argv[1])).lease({lease!r}):
    print("held", flush=True)
    sys.stdin.read()
"""
    arguments = [sys.executable, "-c", code, str(layout.root)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        act = ship if lease == "shipper" else tick
        with pytest.raises(StoreBusy, match=f"holds the lease `{lease}`"):
            act(layout)
        if lease == "shipper":
            assert ship_if_free(layout) is None
            assert tick(layout).shipment is None, "the loop goes on without shipping"
        holder.kill()  # a dead process holds nothing
    act(layout)
    assert query(layout, QUERY) == [(1, 1, 1.0)]


@pytest.mark.slow
def test_many_small_commits_are_compacted_under_readers_and_read_the_same() -> None:
    with temporary_store() as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        seen: list[tuple[int, int]] = []
        failures: list[Exception] = []
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                try:
                    found = query(layout, "SELECT count(*)::BIGINT, count(DISTINCT key)::BIGINT FROM outcomes")[0]
                    seen.append((int(str(found[0])), int(str(found[1]))))
                except Exception as error:  # noqa: BLE001 — any is a failure of the test
                    failures.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        for n in range(70):
            recorder.outcome(float(n), key=f"k{n}")
            recorder.close()
            ship(layout, grace_seconds=-1)
        done.set()
        reader.join()
        lake = LakeTable(layout.lake("m", "outcomes"))
        assert lake.ship == 70
        assert len(lake.files()) <= 16, "small files were merged"
        assert (lake.path / "_delta_log" / "_last_checkpoint").exists()
        found = query(layout, "SELECT count(*), count(DISTINCT key), sum(outcome) FROM outcomes")
        assert found == [(70, 70, float(sum(range(70))))]
        assert failures == []
        assert all(rows == distinct for rows, distinct in seen)
        totals = [rows for rows, _ in seen]
        assert totals == sorted(totals)
        assert len(totals) > 3
