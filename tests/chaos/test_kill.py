"""Real processes, killed with SIGKILL at random moments: nothing acknowledged is lost, nothing doubled."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from setpoint.predictions.recorder import Recorder
from setpoint.store.lake import LakeTable
from setpoint.store.layout import Layout
from setpoint.store.shipper import ship
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool

ACTORS = Path(__file__).with_name("actors.py")


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(ACTORS), *arguments])


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def lines(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    return [line.split() for line in path.read_text().splitlines() if len(line.split()) == 2]


def counts(layout: Layout) -> tuple[int, int]:
    with Snapshot(layout, "m", tables=("predictions",)) as snapshot:
        return snapshot.connection.execute("SELECT count(*), count(DISTINCT key) FROM predictions").fetchall()[0]


@pytest.mark.timeout(180)
def test_killing_writers_and_shippers_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rng = random.Random(7)
    store, acked, seen = tmp_path / "store", tmp_path / "acked", tmp_path / "seen"
    layout = Layout.create(store)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    roles = {
        "writer 1": ("writer", str(store), str(acked)),
        "writer 2": ("writer", str(store), str(acked)),
        "shipper 1": ("shipper", str(store)),
        "shipper 2": ("shipper", str(store)),
        "reader": ("reader", str(store), str(seen)),
    }
    try:
        for name, arguments in roles.items():
            processes[name] = start(*arguments)
        wait_until(lambda: len(lines(acked)) > 5 and len(lines(seen)) > 1)
        for _ in range(14):
            name = rng.choice([role for role in roles if role != "reader"])
            before = len(lines(acked))
            wait_until(lambda before=before: len(lines(acked)) > before + rng.randrange(1, 8))
            processes[name].send_signal(signal.SIGKILL)
            processes[name].wait()
            processes[name] = start(*roles[name])
        wait_until(lambda: len(lines(seen)) > 3)  # on a busy machine a reader takes its time
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGKILL)
            process.wait()
    ship(layout, grace_seconds=-1)
    ship(layout, grace_seconds=-1)
    assert not list(store.glob("spool/m/predictions/*.ndjson")), "every writer is dead: all segments are sealed"

    rows, distinct = counts(layout)
    assert rows == distinct, "a row is doubled"
    with Snapshot(layout, "m", tables=("predictions",)) as snapshot:
        found = {key for (key,) in snapshot.connection.execute("SELECT key FROM predictions").fetchall()}
    for writer, number in lines(acked):
        lost = [n for n in range(1, int(number) + 1) if f"{writer}-{n}" not in found]
        assert not lost, f"writer {writer}: acknowledged and lost: {lost[:5]}"
    assert all(rows == distinct for rows, distinct in lines(seen)), "a reader saw a row twice"
    totals = [int(rows) for rows, _ in lines(seen)]
    assert len(totals) > 3
    assert totals == sorted(totals), "a reader saw fewer rows than before"


def test_a_shipper_killed_between_commit_and_delete_ships_nothing_twice(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "store")
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for n in range(100):
        recorder.record({"x": float(n)}, key=f"k{n}")
    recorder.close()
    assert ship(layout, grace_seconds=3600.0).rows >= 100
    assert list((tmp_path / "store").glob("spool/m/predictions/*.ndjson")), "committed and not yet deleted"
    assert counts(layout) == (100, 100)
    assert ship(layout, grace_seconds=-1).rows == 0
    assert not list((tmp_path / "store").glob("spool/m/predictions/*.ndjson"))
    assert counts(layout) == (100, 100)
    assert LakeTable(layout.lake("m", "predictions")).ship == 1


def test_a_reader_keeps_what_a_shipper_deletes_under_it(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "store")
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for n in range(100):
        recorder.record({"x": float(n)}, key=f"k{n}")
    recorder.close()
    with Snapshot(layout, "m", tables=("predictions",)) as snapshot:
        ship(layout, grace_seconds=-1)
        ship(layout, grace_seconds=-1)
        assert not list((tmp_path / "store").glob("spool/m/predictions/*.ndjson"))
        found = snapshot.connection.execute("SELECT count(*), count(DISTINCT key) FROM predictions").fetchall()[0]
    assert found == (100, 100)
