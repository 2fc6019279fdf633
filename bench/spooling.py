"""How fast the spool appends beside a raw write of the same bytes, and how fast it ships."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from bench.recording import inputs
from bench.table import table
from setpoint.core.events import Prediction
from setpoint.store.layout import Layout
from setpoint.store.segments import SegmentWriter, new_header
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
        raw = _raw(Path(folder) / "raw", b"".join(written))
        encoded = _append(Path(folder) / "encoded", b"".join(written))
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
                ["share, lines already encoded", raw / encoded, ""],
                ["rows appended a second", ROWS / appended, ""],
                ["rows shipped to Delta a second", done.rows / shipped, f">= {LIMIT_SHIP:,}"],
            ],
        )
    )


def _append(folder: Path, content: bytes) -> float:
    """Return the seconds to append lines that are encoded already, with the spool's rhythm of syncing."""
    header = new_header("m", "predictions", "bench", 1, {}, {})
    began = synced = time.perf_counter()
    segment = SegmentWriter(folder, header, began)
    for start in range(0, len(content), 2 << 20):
        segment.append(content[start : start + (2 << 20)])
        if time.perf_counter() - synced > 0.2:  # noqa: PLR2004 — the spool's own rhythm
            segment.sync()
            synced = time.perf_counter()
    segment.close()
    return time.perf_counter() - began


def _raw(path: Path, content: bytes) -> float:
    """Return the seconds to write the bytes as they come, in 2 MB pieces with a sync every 0.2 s."""
    began = synced = time.perf_counter()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for start in range(0, len(content), 2 << 20):
        os.write(descriptor, content[start : start + (2 << 20)])
        if time.perf_counter() - synced > 0.2:  # noqa: PLR2004 — the spool's own rhythm
            os.fdatasync(descriptor)
            synced = time.perf_counter()
    os.fdatasync(descriptor)
    os.close(descriptor)
    return time.perf_counter() - began
