"""What a scrape of the counters takes a model: a year of days, ten models, rows that came since the states were made."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path

import duckdb

from bench.table import table
from setpoint import Recorder
from setpoint.control.loop import tick
from setpoint.core.clock import DAY
from setpoint.core.model import Model
from setpoint.project.keeping import import_file, ship_if_free
from setpoint.project.metrics import metrics_text
from setpoint.store.layout import Layout

MODELS, DAYS, ROWS_PER_DAY = 10, 365, 96
LIMIT_SECONDS = 0.03
END = 1_767_225_600_000_000


def build(folder: Path) -> Layout:
    """Make a store whose models have a year of predictions, and kept states of them."""
    layout = Layout.create(folder / "store", replay_now=END)
    rows, step = DAYS * ROWS_PER_DAY, DAY // ROWS_PER_DAY
    at = f"make_timestamptz({END - DAYS * DAY} + i * {step})"
    duckdb.sql(
        f"COPY (SELECT {at} AS ts, hash(i) % 1000 / 1000.0 AS score, 1.0 * i AS x,"
        f" 0.001 * (1 + hash(i) % 50) AS latency_seconds FROM range({rows}) AS t(i)) TO '{folder}/p.parquet'"
    )
    layout.declare(Model("m0"))
    import_file(layout.root, "m0", f"{folder}/p.parquet", columns={"time": "ts", "score": "score"}, version="v1")
    tick(layout)
    for n in range(1, MODELS):  # to make each anew takes most of a minute
        layout.declare(Model(f"m{n}"))
        shutil.copytree(layout.lake("m0", "tallies").parent, layout.lake(f"m{n}", "tallies").parent)
        shutil.copy(layout.summaries("m0"), layout.summaries(f"m{n}"))
    return layout


def serve(layout: Layout) -> None:
    """Record what came since."""
    for n in range(MODELS):
        recorder = Recorder(layout, f"m{n}", version="v2")
        for i in range(200):
            recorder.record({"x": float(i)}, score=0.5, latency_seconds=0.01)
        recorder.close()


def seconds(layout: Layout) -> float:
    """Return the median of what a scrape takes a model."""
    times: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        metrics_text(layout.root)
        times.append(time.perf_counter() - began)
    return statistics.median(times) / MODELS


def main() -> None:
    """Print it just after a tick, with rows in the spool, and with rows that were shipped since."""
    with tempfile.TemporaryDirectory() as folder:
        layout = build(Path(folder))
        found = {"nothing since the last tick": seconds(layout)}
        serve(layout)
        ship_if_free(layout.root)
        found["rows since the last tick"] = seconds(layout)
    limit = f"<= {LIMIT_SECONDS * 1000:g}"
    print(
        table(
            [f"a scrape of {MODELS} models with {DAYS} days", "ms a model", "limit"],
            [(name, taken * 1000, limit) for name, taken in found.items()],
        )
    )
