"""The way of an event to the disk: acknowledged is kept, odd is put aside, nothing is lost in silence."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Generator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from setpoint.core.model import Feature, Model
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout
from setpoint.store.shipper import ship
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool
from setpoint.testing import temporary_store

Store = tuple[Layout, Spool]
PREAMBLE = """
import os, signal, sys
from pathlib import Path
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout
from setpoint.store.spool import Spool
layout = Layout.create(Path(sys.argv[1]))
recorder = Recorder(layout, "m", spool=Spool(layout))
"""


@pytest.fixture
def store() -> Generator[Store]:
    with temporary_store() as made:
        yield made


def run(layout: Layout, code: str, *, is_killed: bool = False, off: bool = False) -> str:
    """Run a program with a recorder `recorder` of the store in a process of its own; return what it printed."""
    environment = {**os.environ, "SETPOINT_OFF": "1" if off else ""}
    program = [sys.executable, "-c", PREAMBLE + textwrap.dedent(code), str(layout.root)]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60, env=environment)
    expected = (-signal.SIGKILL, -signal.SIGTERM) if is_killed else (0,)
    assert done.returncode in expected, done.stderr
    return done.stdout


def query(layout: Layout, sql: str) -> list[tuple[object, ...]]:
    with Snapshot(layout, "m") as snapshot:
        return snapshot.connection.execute(sql).fetchall()


def count(layout: Layout, table: str = "predictions") -> int:
    found = query(layout, f"SELECT count(*) FROM {table}")[0][0]
    assert isinstance(found, int)
    return found


def requests(layout: Layout) -> object:
    return query(layout, "SELECT sum(requests)::BIGINT FROM tallies")[0][0]


def reasons(layout: Layout) -> list[str]:
    return [str(row[0]) for row in query(layout, "SELECT reason FROM quarantine ORDER BY line_number, reason")]


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def segment(layout: Layout, table: str = "predictions") -> Path:
    return max(layout.spool("m", table).glob("*.ndjson"))


def recorded(store: Store, rows: int = 5) -> Path:
    """Record some rows, seal their segment and return it."""
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    for n in range(rows):
        recorder.record({"x": float(n), "word": f"w{n}"}, prediction=n % 2, score=0.5, key=f"k{n}")
    recorder.close()
    return segment(layout)


def ship_all(layout: Layout) -> None:
    ship(layout, grace_seconds=-1)
    ship(layout, grace_seconds=-1)


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


# Types.


def test_a_type_conflict_in_one_process_puts_the_row_aside(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    recorder.record({"x": 1.5})
    recorder.record({"x": "text"})
    recorder.record({"x": True})
    recorder.record({"x": None})
    recorder.outcome(1, key="a")
    recorder.outcome("yes", key="a")
    recorder.record({"x": 2.5}, prediction=1.0)
    recorder.record({"x": 3.5}, prediction="yes")
    recorder.record({"x": 4.5}, score="high")  # pyright: ignore[reportArgumentType] — that is what is tried
    recorder.close()
    for _ in range(2):
        found = query(layout, "SELECT inputs.x FROM predictions ORDER BY prediction_id")
        assert found == [(1.5,), (1.0,), (None,), (2.5,)]
        assert count(layout, "outcomes") == 1
        assert reasons(layout) == [
            "inputs.x is a number and this row holds text",
            "outcome is a number and this row holds text",
            "prediction is a number and this row holds text",
            "score is a number and this row holds 'high'",
        ]
        ship_all(layout)


@pytest.mark.parametrize("first", ["number", "text"])
def test_a_type_conflict_between_processes_puts_the_later_type_aside(store: Store, first: str) -> None:
    layout, _ = store
    programs = {
        "number": "for n in range(3): recorder.record({'x': float(n), 'y': 1.0}, key=f'number-{n}')",
        "text": "for n in range(3): recorder.record({'x': f'text {n}', 'y': 2.0}, key=f'text-{n}')",
    }
    run(layout, programs.pop(first))
    ship_all(layout)
    run(layout, programs.popitem()[1])
    ship_all(layout)
    kept = query(layout, "SELECT count(*), count(inputs.x), count(inputs.y) FROM predictions")
    assert kept == [(3, 3, 3)]
    kind, held = ("DOUBLE", "'text {}'") if first == "number" else ("VARCHAR", "{}.0")
    assert reasons(layout) == [f"inputs.x is {kind} in the table and this row holds {held.format(n)}" for n in range(3)]
    assert requests(layout) == 6


def test_a_conflict_between_processes_that_neither_shipped_puts_one_type_aside(store: Store) -> None:
    layout, _ = store
    run(layout, "recorder.record({'x': 1.5}, key='a'); recorder.record({'x': 2.5}, key='b')")
    run(layout, "recorder.record({'x': 'one'}, key='c'); recorder.record({'x': None}, key='d')")
    ship_all(layout)
    assert count(layout) + count(layout, "quarantine") == 4
    kept = {row[0] for row in query(layout, "SELECT key FROM predictions")}
    assert {"a", "b", "d"} <= kept


def test_an_integer_feature_that_becomes_fractional_is_put_aside() -> None:
    with temporary_store(Model("m", features=(Feature("n", "integer"),))) as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        for value in (1, 2.0, 2**53 + 1, True, None, 2.5, math.nan, math.inf, 2**63, 1 - 2**63):
            recorder.record({"n": value})
        recorder.close()
        ship_all(layout)
        found = query(layout, "SELECT inputs.n FROM predictions ORDER BY prediction_id")
        assert found == [(1,), (2,), (2**53 + 1,), (1,), (None,), (None,), (1 - 2**63,)]
        assert len(reasons(layout)) == 3
        assert any("2.5" in reason for reason in reasons(layout))


def test_an_undeclared_feature_takes_whole_and_broken_numbers(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    for value in (1, 2.5, 2**70, -(10**40)):
        recorder.record({"x": value})
    recorder.close()
    ship_all(layout)
    assert query(layout, "SELECT inputs.x FROM predictions ORDER BY prediction_id") == [
        (1.0,),
        (2.5,),
        (2.0**70,),
        (-1e40,),
    ]


def test_new_fields_appear_and_merge(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    recorder.record({"a": 1.0})
    recorder.record({"a": 2.0, "b": "x"})
    recorder.close()
    ship_all(layout)
    recorder.record({"c": True})
    recorder.record({"b": "y", "d": 4.0})
    recorder.close()
    expected = [(1.0, None, None, None), (2.0, "x", None, None), (None, None, True, None), (None, "y", None, 4.0)]
    picked = "SELECT inputs.a, inputs.b, inputs.c, inputs.d FROM predictions ORDER BY prediction_id"
    assert query(layout, picked) == expected, "lake and spool together"
    ship_all(layout)
    assert query(layout, picked) == expected


def test_non_finite_numbers_come_back_as_they_were(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    for value in (math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308):
        recorder.record({"x": value}, prediction=value, score=value, latency_seconds=value)
        recorder.outcome(value, key="k", value_usd=value)
    recorder.close()
    for _ in range(2):
        for column, table in (("inputs.x", "predictions"), ("prediction", "predictions"), ("outcome", "outcomes")):
            order = "prediction_id" if table == "predictions" else "outcome_id"
            found = [row[0] for row in query(layout, f"SELECT {column} FROM {table} ORDER BY {order}")]
            assert isinstance(found[0], float)
            assert math.isnan(found[0])
            assert found[1:] == [math.inf, -math.inf, 0.0, 5e-324, 1.7976931348623157e308]
        assert reasons(layout) == []
        ship_all(layout)


def test_values_of_other_types_are_kept_as_numbers_or_texts(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    recorder.record(
        {
            "float32": np.float32(1.5),
            "int64": np.int64(7),
            "bool": np.bool_(True),  # noqa: FBT003 — a value
            "text": np.str_("word"),
            "decimal": Decimal("12.50"),
            "moment": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
            "day": date(2026, 1, 2),
            "day64": np.datetime64("2026-01-02"),
            "list": [1, "two", None],
            "map": {"a": 1},
            "bytes": b"abc",
            "array": np.array([1.0, 2.0]),
        },
        prediction=np.float64(3.5),
        score=np.float32(0.25),  # pyright: ignore[reportArgumentType] — callers do
        latency_seconds=np.float64(0.125),
        key=np.int64(42),  # pyright: ignore[reportArgumentType] — callers do
        version=np.int64(3),  # pyright: ignore[reportArgumentType] — callers do
    )
    recorder.close()
    ship_all(layout)
    assert reasons(layout) == []
    found = query(layout, "SELECT unnest(inputs) FROM predictions")[0]
    assert found[:5] == (1.5, 7.0, True, "word", 12.5)
    assert found[5:8] == ("2026-01-02T03:04:00Z", "2026-01-02", "2026-01-02")
    assert [json.loads(str(value)) for value in found[8:10]] == [[1, "two", None], {"a": 1}]
    assert json.loads(str(found[11])) == [1.0, 2.0]
    fixed = query(layout, "SELECT key, version, prediction, score, latency_seconds FROM predictions")
    assert fixed == [("42", "3", 3.5, 0.25, 0.125)]
    assert query(layout, "SELECT version, requests FROM tallies") == [("3", 1)]


class Stubborn:
    """A number that cannot be had."""

    def __float__(self) -> float:
        msg = "no"
        raise RuntimeError(msg)


def test_one_odd_event_never_takes_its_neighbours_down(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    circle: list[object] = []
    circle.append(circle)
    odd: list[dict[object, object]] = [
        {"x": Stubborn()},
        {"word": circle},
        {"x": 1.0, "": 2.0},
        {"x": 1.0, "a\0b": 2.0},
        {"x": 1.0, "X": 2.0},
        {1: 2.0, "1": 3.0},
    ]
    for row in odd:
        recorder.record({"x": 1.0, "word": "w"}, key="fine")
        recorder.record(row, key="odd")  # pyright: ignore[reportArgumentType] — that is what is tried
    recorder.record({"X": 1.0}, key="odd")
    recorder.record({"x": 1.0, "word": "\ud800"}, key="fine")
    recorder.record({"x": 1.0, 7: "seven", (1, 2): "pair", None: "none"}, key="fine")  # pyright: ignore[reportArgumentType] — as above
    assert recorder.flush()
    recorder.close()
    ship_all(layout)
    assert query(layout, "SELECT key, count(*) FROM predictions GROUP BY key") == [("fine", len(odd) + 2)]
    assert len(reasons(layout)) == len(odd) + 1, "what cannot be a row is put aside with its reason"
    assert requests(layout) == 2 * len(odd) + 3
    found = query(layout, """SELECT inputs."7", inputs."(1, 2)" FROM predictions WHERE inputs."7" IS NOT NULL""")
    assert found == [("seven", "pair")]


def test_names_that_differ_in_case_between_processes_block_nobody(store: Store) -> None:
    layout, _ = store
    run(layout, "recorder.record({'Age': 1.0}, key='a')")
    run(layout, "recorder.record({'age': 2.0}, key='b')")
    assert count(layout) == 1, "what will be put aside is left out at once"
    ship_all(layout)
    assert count(layout) == 1
    assert len(reasons(layout)) == 1
    assert "spelled otherwise" in reasons(layout)[0]


def test_features_may_have_any_name(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    names = ["a b", "a.b", "it's", 'say "x"', "ünï", "a,b;{}()=\t\n", "select", "day", "ship", "x" * 300]
    recorder.record({name: float(n) for n, name in enumerate(names)})
    recorder.close()
    for _ in range(2):
        with Snapshot(layout, "m") as snapshot:
            found = snapshot.connection.execute("SELECT unnest(inputs) FROM predictions")
            assert [column[0] for column in found.description or ()] == names
            assert found.fetchall() == [tuple(float(n) for n in range(len(names)))]
        ship_all(layout)


# Texts and times.


def test_free_text_is_not_kept_unless_on_purpose() -> None:
    text = "a secret of a customer " * 20
    kept = Model("m", features=(Feature("note", "categorical"),))
    for model, expected in ((None, "[text]"), (kept, text), (Model("m", free_text="keep"), text)):
        with temporary_store(model) as (layout, spool):
            recorder = Recorder(layout, "m", spool=spool)
            recorder.record({"note": text, "short": "x" * 256})
            recorder.close()
            assert query(layout, "SELECT inputs.note, inputs.short FROM predictions") == [(expected, "x" * 256)]
            assert (b"secret" in segment(layout).read_bytes()) is (expected == text)


def test_times_without_a_zone_are_put_aside_and_raise_nothing(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 — that is what is tried
    assert recorder.record({"x": 1.0}, key="a", predicted_at=naive) == ""
    recorder.outcome(1, key="a", observed_at=naive)
    recorder.record({"x": 1.0}, key="b", predicted_at=datetime(2026, 1, 1, tzinfo=UTC))
    recorder.close()
    assert query(layout, "SELECT key, epoch_us(predicted_at) FROM predictions") == [("b", 1_767_225_600_000_000)]
    found = query(layout, "SELECT source_table, reason, raw FROM quarantine ORDER BY source_table")
    assert [row[0] for row in found] == ["outcomes", "predictions"]
    assert all("without a zone: 2026-01-01" in str(row[1]) and "'a'" in str(row[2]) for row in found)


def test_times_beyond_the_calendar_are_put_aside(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    for at in (10**20, -1, 1_767_225_600_000_000_000):
        assert recorder.record({"x": 1.0}, predicted_at=at) == ""
        recorder.outcome(1, key="a", observed_at=at)
    recorder.record({"x": 1.0}, predicted_at=1.5e15)  # pyright: ignore[reportArgumentType] — that is what is tried
    recorder.close()
    assert layout.spool("m", "predictions").exists() is False
    assert count(layout, "quarantine") == 7


def test_a_bad_first_value_of_a_declared_number_decides_nothing() -> None:
    with temporary_store(Model("m", features=(Feature("n", "numeric"), Feature("free")))) as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        recorder.record({"n": "n/a", "free": "text"})
        recorder.record({"n": 2.5, "free": "text"})
        recorder.close()
        assert query(layout, "SELECT inputs.n FROM predictions") == [(2.5,)]
        assert reasons(layout) == ["inputs.n is a number and this row holds text"]


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


@pytest.mark.parametrize("is_shipped", [True, False])
def test_rows_without_an_answer_do_not_decide_what_answers_are(store: Store, is_shipped: bool) -> None:  # noqa: FBT001
    layout, _ = store
    run(layout, "for n in range(3): recorder.record({'x': 1.0}, key=f'early-{n}')")
    if is_shipped:
        ship_all(layout)
    run(layout, "for n in range(3): recorder.record({'x': 1.0}, prediction='fraud', key=f'late-{n}')")
    ship_all(layout)
    assert query(layout, "SELECT count(*), count(prediction), max(prediction) FROM predictions") == [(6, 3, "fraud")]
    run(layout, "recorder.record({'x': 1.0}, key='last')")
    ship_all(layout)
    assert count(layout) == 7
    assert reasons(layout) == []
