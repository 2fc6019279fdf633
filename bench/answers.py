"""Answers from kept states: warm, as a whole process, and with a hundred times the rows."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import duckdb

from bench.processes import side_by_side
from bench.table import table
from setpoint.control.loop import tick
from setpoint.core.model import Cohort, Expectation, Model, Rates
from setpoint.project.keeping import import_file
from setpoint.project.log import open_log
from setpoint.store.layout import Layout

DAYS, SMALL, FACTOR = 60, 30_000, 100
LIMIT_WARM_MS, LIMIT_PROCESS, LIMIT_GROWTH = 50.0, 2.0, 1.1
WHY, LIMIT_WHY_MS = "why, 14 days against 14", 100.0
END = 1_767_225_600_000_000

BARE = """
import sys
import numpy, duckdb, deltalake, sqlglot
table = deltalake.DeltaTable(sys.argv[1])
print(duckdb.sql(f"SELECT count(*) FROM read_parquet({table.file_uris()})").fetchall())
"""
STATUS = "import sys, setpoint; print(setpoint.open(sys.argv[1]).status('m', over='28d'))"
DIFF = "import sys, setpoint; print(setpoint.open(sys.argv[1]).diff('m', current='14d'))"


def build(folder: Path, rows: int) -> Path:
    """Make a store of sixty days with predictions, outcomes and kept states."""
    store = folder / f"store-{rows}"
    layout = Layout.create(store, replay_now=END)
    layout.declare(
        Model(
            "m",
            cohorts=(Cohort("country", by="country"),),
            expectations=(Expectation("auc", at_least=0.6),),
            rates=Rates(per_prediction_usd=0.001),
        )
    )
    step = DAYS * 86_400_000_000 // rows
    at = f"make_timestamptz({END - DAYS * 86_400_000_000} + i * {step})"
    numbers = ", ".join(f"sqrt(-2*ln(1-random()))*cos(6.283185*random()) AS n{k}" for k in range(12))
    texts = ", ".join(f"'v' || (hash(i + {k}) % 20) AS c{k}" for k in range(5))
    score = "(hash(i) % 1000003) / 1000003.0"
    connection = duckdb.connect()
    connection.execute(
        f"COPY (SELECT lpad(i::VARCHAR, 30, '0') AS prediction_id, {at} AS ts, {score} AS score, {numbers}, {texts},"
        f" ['de','fr','it'][1 + i % 3] AS country, 0.02 AS latency_seconds FROM range({rows}) AS t(i))"
        f" TO '{folder}/p.parquet'"
    )
    connection.execute(
        f"COPY (SELECT lpad(i::VARCHAR, 30, '0') AS prediction_id, {at} + INTERVAL 1 HOUR AS ts,"
        f" CAST(hash(i + 7) % 1000 < 1000 * {score} AS INTEGER) AS outcome FROM range({rows}) AS t(i))"
        f" TO '{folder}/o.parquet'"
    )
    connection.close()
    import_file(store, "m", f"{folder}/p.parquet", columns={"time": "ts", "score": "score"}, version="v1")
    import_file(store, "m", f"{folder}/o.parquet", outcomes=True, columns={"time": "ts", "outcome": "outcome"})
    tick(layout)
    return store


def warm_milliseconds(store: Path) -> dict[str, float]:
    """Return the median of each answer in a warm process."""
    log = open_log(store)
    asks = {
        "status, 28 days": lambda: log.status("m", over="28d"),
        "status by cohort, 28 days": lambda: log.status("m", over="28d", by="country"),
        "quality by cohort, 30 days": lambda: log.quality("m", by="country"),
        "outcomes, 30 days": lambda: log.outcomes("m"),
        "diff, 14 days against 14": lambda: log.diff("m", current="14d"),
        "cost, 30 days": lambda: log.cost("m"),
        WHY: lambda: log.why("m", "auc", current="14d"),
    }
    found: dict[str, float] = {}
    for name, ask in asks.items():
        ask()
        times: list[float] = []
        for _ in range(7):
            began = time.perf_counter()
            ask()
            times.append((time.perf_counter() - began) * 1000)
        found[name] = statistics.median(times)
    return found


def _limit(name: str) -> float:
    return LIMIT_WHY_MS if name == WHY else LIMIT_WARM_MS


def main() -> None:
    """Print all three."""
    with tempfile.TemporaryDirectory() as folder:
        small = build(Path(folder), SMALL)
        large = build(Path(folder), SMALL * FACTOR)
        few, many = warm_milliseconds(small), warm_milliseconds(large)
        lake = str(Layout.open(large).lake("m", "predictions"))
        processes = side_by_side(
            {"bare process": (BARE, lake), "status": (STATUS, str(large)), "diff": (DIFF, str(large))}
        )
    rows = [
        [name, few[name], many[name], many[name] / few[name], f"<= {_limit(name):g} ms, <= {LIMIT_GROWTH:g}x"]
        for name in few
    ]
    print(table(["warm, ms", f"{SMALL:,} rows", f"{SMALL * FACTOR:,} rows", "growth", "limit"], rows))
    bare = processes["bare process"].wall_seconds
    print(
        table(
            ["whole process", "wall s", "CPU s", "times bare", "limit"],
            [
                [name, r.wall_seconds, r.cpu_seconds, r.wall_seconds / bare, f"<= {LIMIT_PROCESS:g}"]
                for name, r in processes.items()
            ],
        )
    )
