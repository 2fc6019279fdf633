"""How fast the spool appends beside a raw write of the same bytes, and how fast it ships."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from bench.recording import inputs
from bench.table import table
from setpoint.core.events import Prediction
from setpoint.store.layout import Layout
from setpoint.store.shipper import ship
from setpoint.store.spool import Spool

ROWS = 400_000
LIMIT_APPEND, LIMIT_SHIP = 0.5, 200_000


def main() -> None:
    """Print both rates as ratios."""
    rows = inputs()
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout.create(Path(folder) / "store")
        spool = Spool(layout, queue_limit=ROWS + 1, flush_seconds=0.2)
        events = [
            Prediction(
                prediction_id=f"{n:030d}", root_id=f"{n:030d}", predicted_at=1_760_000_000_000_000 + n * 1000,
                recorded_at=1_760_000_000_000_000, version="v1", inputs=dict(rows[n % 1000]), score=0.5,
                prediction=1.0, latency_seconds=0.01, key=f"k{n}",
            )
            for n in range(ROWS)
        ]  # fmt: skip
        began = time.perf_counter()
        for event in events:
            spool.put("m", event)
        spool.flush(120)
        appended = time.perf_counter() - began
        spool.close()
        written = [path.read_bytes() for path in sorted(layout.spool("m", "predictions").iterdir())]
        content = b"".join(written)
        # A disk takes the same bytes in twice the time a moment later: the middle one of five counts.
        raw = statistics.median(_raw(Path(folder) / f"raw-{n}", content) for n in range(5))
        size = sum(map(len, written))
        began = time.perf_counter()
        done = ship(layout)
        shipped = time.perf_counter() - began
    print(
        table(
            ["what", "measured", "limit"],
            [
                ["spool append, MB/s", size / appended / 1e6, ""],
                ["raw write of the same bytes, same sync rhythm, MB/s", size / raw / 1e6, ""],
                ["share of the raw rate", raw / appended, f">= {LIMIT_APPEND}"],
                ["rows appended a second", ROWS / appended, ""],
                ["rows shipped to Delta a second", done.rows / shipped, f">= {LIMIT_SHIP:,}"],
            ],
        )
    )


def _raw(path: Path, content: bytes) -> float:
    """Return the seconds to write the bytes as they come, in 2 MB pieces with a sync every 0.2 s.

    After the first line, as the spool does: Linux 6.18 takes pieces that begin at whole pages up to six times as
    long, and held against those the spool would look as much better.
    """
    began = synced = time.perf_counter()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, content[: content.index(b"\n") + 1])
    for start in range(content.index(b"\n") + 1, len(content), 2 << 20):
        os.write(descriptor, content[start : start + (2 << 20)])
        if time.perf_counter() - synced > 0.2:  # noqa: PLR2004 — the spool's own rhythm
            os.fdatasync(descriptor)
            synced = time.perf_counter()
    os.fdatasync(descriptor)
    os.close(descriptor)
    return time.perf_counter() - began
