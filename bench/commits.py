"""A query over a table fed by a day of ten-second commits, beside the same rows in one compacted file."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from deltalake import DeltaTable

from bench.recording import inputs
from bench.table import table
from setpoint.core.events import Prediction
from setpoint.store.engines.duck import connect, literal
from setpoint.store.lake import LakeTable
from setpoint.store.layout import Layout
from setpoint.store.shipper import ship
from setpoint.store.spool import Spool

COMMITS, ROWS_EACH = 8_639, 50
LIMIT_RATIO = 1.3
QUERY = "SELECT version, count(*), avg(score), sum(inputs.n1), max(inputs.c1) FROM read_parquet([{files}], union_by_name=true) GROUP BY version"


def main() -> None:
    """Feed, query, compact, query again."""
    rows = inputs()
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout.create(Path(folder) / "store")
        began = time.perf_counter()
        for commit in range(COMMITS):
            spool = Spool(layout)
            for n in range(ROWS_EACH):
                name = f"{commit:020d}{n:010d}"
                at = 1_760_054_400_000_000 + commit * 10_000_000
                spool.put("m", Prediction(prediction_id=name, root_id=name, predicted_at=at, recorded_at=at, version="v1",
                                          score=0.5, inputs=dict(rows[(commit + n) % 1000])))  # fmt: skip
            spool.close()
            ship(layout, grace_seconds=-1)
        fed = time.perf_counter() - began
        lake = LakeTable(layout.lake("m", "predictions"))
        files = len(lake.files())
        before = _milliseconds(layout)
        lake.compact(DeltaTable(str(lake.path)))
        after = _milliseconds(layout)
    print(
        table(
            ["what", "measured", "limit"],
            [
                ["commits", COMMITS, ""],
                ["ms a commit, spool to lake", fed / COMMITS * 1000, ""],
                ["files at the end", files, ""],
                ["open and query, ms", before, ""],
                ["the same after compaction into one file, ms", after, ""],
                ["ratio", before / after, f"<= {LIMIT_RATIO}"],
            ],
        )
    )


def _milliseconds(layout: Layout) -> float:
    times: list[float] = []
    for _ in range(15):
        connection = connect()
        began = time.perf_counter()
        files = ", ".join(literal(file) for file in LakeTable(layout.lake("m", "predictions")).files())
        connection.execute(QUERY.format(files=files)).fetchall()
        times.append((time.perf_counter() - began) * 1000)
        connection.close()
    return statistics.median(times)
