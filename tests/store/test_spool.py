"""The way of an event to the disk: acknowledged is kept, odd is put aside, nothing is lost in silence."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from tests.store.spooled import PREAMBLE, Store, count, query, reasons, recorded, requests, run, ship_all, wait_until

from setpoint.predictions.recorder import Recorder
from setpoint.store.segments import SegmentWriter, new_header, open_segments
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool
from setpoint.testing import temporary_store


@pytest.fixture
def store() -> Generator[Store]:
    with temporary_store() as made:
        yield made


# What is acknowledged is kept.


def test_what_flush_acknowledged_is_read_by_others_after_a_sigkill(store: Store) -> None:
    layout, _ = store
    code = """
    for n in range(500):
        recorder.record({"x": float(n)}, key=f"k{n}")
    print(recorder.flush(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run(layout, code, is_killed=True) == "True\n"
    assert query(layout, "SELECT count(DISTINCT key), sum(inputs.x) FROM predictions") == [(500, 124750.0)]
    ship_all(layout)
    assert count(layout) == 500


def test_a_normal_exit_and_sigterm_flush_what_is_queued(store: Store) -> None:
    layout, _ = store
    run(layout, "for n in range(300): recorder.record({'x': 1.0})")
    assert count(layout) == 300
    code = """
    for n in range(300):
        recorder.record({"x": 1.0})
    os.kill(os.getpid(), signal.SIGTERM)
    """
    run(layout, code, is_killed=True)
    assert count(layout) == 600
    assert requests(layout) == 600


def test_a_handler_that_the_program_set_for_sigterm_stays_its_own(store: Store) -> None:
    layout, _ = store
    program = "import signal; signal.signal(signal.SIGTERM, lambda *_: print('mine'))" + PREAMBLE
    program += "recorder.record({'x': 1.0}); os.kill(os.getpid(), signal.SIGTERM); print('goes on')"
    done = subprocess.run(
        [sys.executable, "-c", program, str(layout.root)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "mine\ngoes on\n"
    assert count(layout) == 1


def test_threads_share_a_recorder_and_lose_nothing(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)

    def work(name: int) -> None:
        for n in range(1000):
            recorder.record({"x": float(n)}, key=f"{name}-{n}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.flush(30)
    assert query(layout, "SELECT count(*), count(DISTINCT key), count(DISTINCT prediction_id) FROM predictions") == [
        (8000, 8000, 8000)
    ]
    assert requests(layout) == 8000


def test_a_forked_child_and_its_parent_record_side_by_side(store: Store) -> None:
    layout, _ = store
    code = """
    for n in range(100):
        recorder.record({"x": 1.0}, key=f"before-{n}")  # still queued at the fork
    child = os.fork()
    name = "child" if child == 0 else "parent"
    for n in range(100):
        recorder.record({"x": 1.0}, key=f"{name}-{n}")
    recorder.outcome(1, key=f"{name}-0")
    if child:
        os.waitpid(child, 0)
    """
    run(layout, code)
    by_name = query(
        layout, "SELECT split_part(key, '-', 1) AS name, count(*) FROM predictions GROUP BY name ORDER BY name"
    )
    assert by_name == [("before", 100), ("child", 100), ("parent", 100)]
    assert query(layout, "SELECT count(DISTINCT prediction_id) FROM predictions") == [(300,)]
    assert query(layout, "SELECT key FROM outcomes ORDER BY key") == [("child-0",), ("parent-0",)]
    assert requests(layout) == 300


def test_a_forked_multiprocessing_worker_flushes_when_it_ends(store: Store) -> None:
    layout, _ = store
    code = """
    import multiprocessing, warnings
    warnings.simplefilter("ignore")  # newer Pythons warn about threads at a fork: that is what is tried
    def work(name):
        for n in range(100):
            recorder.record({"x": 1.0}, key=f"{name}-{n}")
    recorder.record({"x": 1.0}, key="parent")
    workers = [multiprocessing.get_context("fork").Process(target=work, args=(n,)) for n in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    """
    run(layout, code)
    assert count(layout) == 201


def test_a_child_that_is_forked_while_a_segment_is_sealed_keeps_no_lock_and_closes_no_file_of_its_own(
    store: Store, tmp_path: Path
) -> None:
    layout, _ = store
    folder = layout.spool("m", "predictions")
    writer = SegmentWriter(folder, new_header("m", "predictions", "a-b", 1, {}, {}), 0.0)
    lost = os.dup(writer._descriptor)  # pyright: ignore[reportPrivateUsage] — what a child has that was forked meanwhile
    writer.close()
    (segment,) = open_segments(folder)
    assert segment.is_sealed()
    segment.close()
    with (tmp_path / "own").open("w") as own:  # by the number that is free again
        writer.abandon()
        own.write("kept")
        own.flush()
    os.close(lost)
    assert (tmp_path / "own").read_text() == "kept"


def test_a_child_records_whatever_its_parent_was_at_when_it_forked(store: Store) -> None:
    layout, _ = store
    code = """
    recorder.record({"x": 1.0}, key="parent")
    recorder.flush()
    (files,) = recorder.spool._models.values()
    for file in files._files.values():
        os.close(file.segment._descriptor)  # as between two lines of the thread that writes
    child = os.fork()
    if child == 0:
        recorder.record({"x": 1.0}, key="child")
        print(recorder.close(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    os._exit(0)
    """
    assert run(layout, code).splitlines() == ["True"]
    assert query(layout, "SELECT key FROM predictions ORDER BY key") == [("child",), ("parent",)]


def test_setpoint_off_records_nothing(store: Store) -> None:
    layout, _ = store
    code = """
    print(len(recorder.record({"x": 1.0})))
    recorder.outcome(1, key="a")
    print(recorder.flush())
    """
    assert run(layout, code, off=True) == "30\nTrue\n"
    assert layout.models() == []


# A full queue and a full disk.


def test_a_full_queue_drops_and_says_how_many() -> None:
    with temporary_store() as (layout, _):
        spool = Spool(layout, flush_seconds=3600.0, queue_limit=10)
        recorder = Recorder(layout, "m", spool=spool)
        recorder.record({"x": 0.0})
        assert spool.flush()
        wait_until(lambda: spool.queued == 0)
        spool._thread = threading.current_thread()  # nobody empties the queue now
        for n in range(25):
            recorder.record({"x": float(n)})
        assert spool.dropped == 15
        spool._thread = None
        spool.close()
        assert count(layout) == 11
        assert query(layout, "SELECT sum(requests)::BIGINT, sum(dropped)::BIGINT FROM tallies") == [(11, 15)]


def test_a_full_disk_keeps_events_in_memory_and_writes_them_when_there_is_room(store: Store) -> None:
    layout, _ = store
    code = """
    import logging, resource
    logging.disable()
    recorder.record({"x": 1.0}, key="before")
    print(recorder.flush())
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # from now on every write fails
    for n in range(500):
        recorder.record({"x": 1.0}, key=f"k{n}")
        recorder.outcome(1, key=f"k{n}")
    print(recorder.flush(1.0), bool(recorder.spool.last_error))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    recorder.record({"x": 1.0}, key="after")
    print(recorder.flush(30.0), repr(recorder.spool.last_error))
    os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run(layout, code, is_killed=True).split("\n")[:3] == ["True", "False True", "True ''"]
    assert query(layout, "SELECT count(*), count(DISTINCT key) FROM predictions") == [(502, 502)]
    assert count(layout, "outcomes") == 500
    assert requests(layout) == 502
    ship_all(layout)
    assert count(layout) == 502
    assert reasons(layout) == []


def test_what_a_full_disk_refuses_at_the_end_is_counted(store: Store) -> None:
    layout, _ = store
    code = """
    import logging, resource
    logging.disable()
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    for n in range(500):
        recorder.record({"x": 1.0})
    recorder.flush(0.5)
    print(recorder.close(), recorder.spool.failed + recorder.spool.queued >= 500)
    """
    assert run(layout, code) == "False True\n"
    assert count(layout) == 0


def test_a_full_disk_does_not_grow_the_queue_beyond_its_limit(store: Store) -> None:
    layout, _ = store
    code = """
    import logging, resource
    logging.disable()
    recorder.spool.queue_limit = 1000
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    recorder.record({"x": 1.0})
    recorder.flush(0.5)  # the writer knows now that the disk is full
    for n in range(5000):
        recorder.record({"x": 1.0})
    print(recorder.spool.queued <= 1000, recorder.spool.dropped >= 3000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print(recorder.flush(30.0))
    """
    assert run(layout, code) == "True True\nTrue\n"
    found = query(layout, "SELECT sum(requests)::BIGINT + sum(dropped)::BIGINT FROM tallies")
    assert found == [(5001,)]


# Damaged files.


def test_a_torn_last_line_is_put_aside_and_its_neighbours_stay(store: Store) -> None:
    path = recorded(store)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"prediction_id":"torn","root_id":"torn","predicted_')
    layout = store[0]
    assert count(layout) == 5
    ship_all(layout)
    assert count(layout) == 5
    assert reasons(layout) == ["torn last line"]
    assert query(layout, "SELECT source_table, line_number FROM quarantine") == [("predictions", 7)]


def test_garbage_in_the_middle_is_put_aside_and_every_row_stays(store: Store) -> None:
    path = recorded(store)
    lines = path.read_bytes().splitlines(keepends=True)
    garbage = [b"\xff\xfe\x00broken\n", b"[1, 2]\n", b'"text"\n', b"{}\n", b"\n", b'{"prediction_id":"a"}\n']
    garbage.append(b'{"prediction_id":"b","root_id":"b","predicted_at":99999999999999999999999,"recorded_at":1}\n')
    garbage.append(b'{"prediction_id":"c","root_id":"c","predicted_at":"today","recorded_at":1}\n')
    path.write_bytes(b"".join([*lines[:3], *garbage, *lines[3:]]))
    layout = store[0]
    assert count(layout) == 5
    ship_all(layout)
    assert query(layout, "SELECT count(*), sum(inputs.x) FROM predictions") == [(5, 10.0)]
    assert reasons(layout) == [
        *["garbage in the segment"] * 3,
        "no prediction_id",
        "no predicted_at",
        *["predicted_at is no time"] * 2,
    ]


def test_a_damaged_header_costs_no_row_its_inputs(store: Store) -> None:
    path = recorded(store)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([b"#" * len(lines[0][:-1]) + b"\n", *lines[1:]]))
    layout = store[0]
    expected = [(0.0, "w0"), (1.0, "w1"), (2.0, "w2"), (3.0, "w3"), (4.0, "w4")]
    picked = "SELECT inputs.x, inputs.word FROM predictions ORDER BY inputs.x"
    assert query(layout, picked) == expected
    ship_all(layout)
    assert query(layout, picked) == expected
    assert reasons(layout) == ["garbage in the segment"]


@pytest.mark.parametrize("place", ["at the end", "in the middle", "everywhere"])
def test_nul_bytes_after_a_power_cut_cost_no_row(store: Store, place: str) -> None:
    path = recorded(store)
    lines = path.read_bytes().splitlines(keepends=True)
    nul = b"\0" * 5000
    layout = store[0]
    if place == "at the end":
        path.write_bytes(b"".join([*lines, nul]))
    elif place == "in the middle":
        path.write_bytes(b"".join([*lines[:3], nul + b"\n", *lines[3:]]))
    else:
        path.write_bytes(nul)
    kept = 0 if place == "everywhere" else 5
    assert count(layout) == kept
    ship_all(layout)
    assert count(layout) == kept
    assert len(reasons(layout)) == 1
    assert not list(layout.spool("m", "predictions").glob("*"))


def test_what_is_dropped_belongs_to_its_model_and_what_is_no_number_is_missing() -> None:
    with temporary_store() as (layout, _):
        spool = Spool(layout, flush_seconds=3600.0, queue_limit=4)
        spool._thread = threading.current_thread()  # nobody empties the queue now
        busy, quiet = (Recorder(layout, name, spool=spool) for name in ("busy", "quiet"))
        for value in (1.0, math.nan, None, np.float32("nan")):
            busy.record({"x": value, "y": "NaN"})
        for n in range(3):
            quiet.record({"x": n})
        busy.record({"x": 2.0})
        spool._thread = None
        spool.close()
        for model, requests, dropped in (("busy", 4, 1), ("quiet", 0, 3)):
            with Snapshot(layout, model) as snapshot:
                sql = "SELECT sum(requests)::BIGINT, sum(dropped)::BIGINT, sum(missing['x'])::BIGINT FROM tallies"
                found = snapshot.connection.execute(sql).fetchall()
                assert found == [(requests, dropped, 3 if model == "busy" else None)]
