"""Processes of the chaos tests: they run until they are killed.

`python actors.py writer STORE ACKED` records numbered predictions and appends the last acknowledged
number to the file ACKED. `shipper STORE` ships without pause. `reader STORE SEEN` counts rows and
distinct rows in one snapshot after another and appends both to SEEN.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from setpoint.core.errors import StoreBusy
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout
from setpoint.store.shipper import ship
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool


def note(path: str, words: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, f"{words}\n".encode())
    os.close(descriptor)


def write(store: str, acked: str) -> None:
    layout = Layout.create(Path(store))
    recorder = Recorder(layout, "m", spool=Spool(layout, flush_seconds=0.01, rotate_seconds=0.05))
    name = f"{os.getpid()}"
    number = 0
    while True:
        for _ in range(50):
            number += 1
            recorder.record({"x": float(number)}, score=0.5, key=f"{name}-{number}")
        if recorder.flush():
            note(acked, f"{name} {number}")


def ship_forever(store: str) -> None:
    layout = Layout.open(Path(store))
    while True:
        with contextlib.suppress(StoreBusy):
            ship(layout, grace_seconds=0.0)


def read(store: str, seen: str) -> None:
    layout = Layout.open(Path(store))
    while True:
        with Snapshot(layout, "m", tables=("predictions",)) as snapshot:
            rows, distinct = snapshot.connection.execute(
                "SELECT count(*), count(DISTINCT key) FROM predictions"
            ).fetchall()[0]
        note(seen, f"{rows} {distinct}")


if __name__ == "__main__":
    act = {"writer": write, "shipper": ship_forever, "reader": read}[sys.argv[1]]
    act(*sys.argv[2:])
