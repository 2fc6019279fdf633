"""A store with a spool, programs that record into it, and a look at what they left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout
from setpoint.store.shipper import ship
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool

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
