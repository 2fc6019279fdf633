"""Joining outcomes and measuring quality by cohort and day, beside one scan of the same columns."""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb

from bench.processes import side_by_side
from bench.table import table

PREDICTIONS, OUTCOMES = 10_000_000, 9_000_000
LIMIT_RATIO = 3.0

RAW_SCAN = """
import sys, duckdb
connection = duckdb.connect()
connection.execute("SET threads=2")
p = "max(prediction_id), max(root_id), max(epoch_us(predicted_at)), max(version), max(endpoint), max(role), sum(prediction), sum(score), max(country)"
o = "max(prediction_id), max(kind), max(epoch_us(observed_at)), max(epoch_us(recorded_at)), max(revision), max(outcome_id), max(retracted), sum(outcome)"
print(connection.execute(f"SELECT {p} FROM '{sys.argv[1]}'").fetchall())
print(connection.execute(f"SELECT {o} FROM '{sys.argv[2]}'").fetchall())
"""

OURS = """
import sys
from setpoint.core.model import Cohort, Model
from setpoint.store.engines.duck import connect
from setpoint.store.evidence import RowEvidence
from setpoint.store.measures import Column
connection = connect()
nulls = "NULL::VARCHAR AS parent_id, NULL::DOUBLE AS keep_probability, NULL::DOUBLE AS latency_seconds, NULL::DOUBLE AS compute_seconds, NULL::VARCHAR AS error"
connection.execute(f"CREATE VIEW predictions AS SELECT *, {nulls}, NULL::VARCHAR AS key FROM '{sys.argv[1]}'")
connection.execute(f"CREATE VIEW outcomes AS SELECT *, NULL::VARCHAR AS key, NULL::DOUBLE AS value_usd, 1 AS ship FROM '{sys.argv[2]}'")
connection.execute("CREATE VIEW calls AS SELECT NULL::VARCHAR AS prediction_id, 0 AS cost_nano_usd WHERE false")
connection.execute("CREATE VIEW unkept AS SELECT NULL::VARCHAR AS prediction_id WHERE false")
model = Model("m", cohorts=(Cohort("country", by="country"),))
evidence = RowEvidence(connection, model, {"country": Column("country", "VARCHAR")}, 2_000_000_000_000_000)
state = evidence.quality(None, cohort="country", bucket_seconds=86400)
assert state.total("rows") == int(sys.argv[3]), state.total("rows")
"""


def make(predictions: Path, outcomes: Path) -> None:
    """Write ten days of predictions and outcomes, one in ten of them revised."""
    connection = duckdb.connect()
    identifier = "lpad(to_hex({0} * 86400), 14, '0') || lpad(to_hex(hash({0})), 16, '0')"
    day = 10 * 86_400_000_000 // PREDICTIONS
    connection.execute(
        f"COPY (SELECT {identifier.format('i')} AS prediction_id, prediction_id AS root_id,"
        f" make_timestamptz(1760000000000000 + i * {day}) AS predicted_at, predicted_at AS recorded_at,"
        " 'v1' AS version, 'api' AS endpoint, 'stable' AS role, (hash(i + 1) % 1000003) / 1000003.0 AS score, (score > 0.5)::DOUBLE AS prediction,"
        f" ['de','fr','it','es','nl'][1 + i % 5] AS country FROM range({PREDICTIONS}) AS t(i))"
        f" TO '{predictions}' (FORMAT parquet, COMPRESSION zstd)"
    )
    revised = OUTCOMES // 10
    connection.execute(
        f"COPY (SELECT {identifier.format('j')} AS prediction_id, lpad(to_hex(i), 30, '0') AS outcome_id, 'final' AS kind,"
        f" make_timestamptz(1760000000000000 + j * {day} + 3600000000) AS observed_at, observed_at AS recorded_at,"
        f" CASE WHEN i >= {OUTCOMES - revised} THEN 1 ELSE 0 END::BIGINT AS revision, false AS retracted,"
        f" (hash(j) % 10 < 3)::DOUBLE AS outcome FROM (SELECT i, i % {OUTCOMES - revised} AS j FROM range({OUTCOMES}) AS t(i)))"
        f" TO '{outcomes}' (FORMAT parquet, COMPRESSION zstd)"
    )
    connection.close()


def main() -> None:
    """Print both, and the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        predictions, outcomes = Path(folder) / "predictions.parquet", Path(folder) / "outcomes.parquet"
        make(predictions, outcomes)
        paths = (str(predictions), str(outcomes), str(PREDICTIONS))
        found = side_by_side({"raw scan": (RAW_SCAN, *paths), "join and quality": (OURS, *paths)}, repeats=3)
    ours, scan = found["join and quality"], found["raw scan"]
    rows = [[name, r.wall_seconds, r.cpu_seconds, r.peak_mb, ""] for name, r in found.items()]
    ratio = ours.wall_seconds / scan.wall_seconds
    rows.append(["ratio", ratio, ours.cpu_seconds / scan.cpu_seconds, ours.peak_mb, f"<= {LIMIT_RATIO:g}"])
    print(table([f"{PREDICTIONS:,} predictions, {OUTCOMES:,} outcomes", "wall s", "CPU s", "peak MB", "limit"], rows))
