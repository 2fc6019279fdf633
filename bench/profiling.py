"""`setpoint.diff` of two files of a million rows and 23 columns, beside what one DuckDB process must do."""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb

from bench.processes import side_by_side
from bench.table import table

ROWS = 1_000_000
LIMIT_RATIO, LIMIT_MB = 1.5, 400
NUMERIC = [f"n{k}" for k in range(14)] + ["score", "latency", "cost"]
TEXT = [f"c{k}" for k in range(6)]

PROFILE_LIMIT = """
import sys, duckdb
connection = duckdb.connect()
connection.execute("SET threads=2")
numeric, text = sys.argv[3].split(","), sys.argv[4].split(",")
for path in sys.argv[1:3]:
    parts = ", ".join(f"count({c}), avg({c}), stddev_samp({c}), min({c}), max({c})" for c in numeric)
    connection.execute(f"SELECT count(*), {parts} FROM '{path}'").fetchall()
    for c in numeric:
        connection.execute(f"SELECT floor(({c} + 5) / 10 * 20) AS b, count(*) FROM '{path}' GROUP BY b").fetchall()
    for c in text:
        connection.execute(f"SELECT {c}, count(*) AS n FROM '{path}' GROUP BY {c} ORDER BY n DESC LIMIT 20").fetchall()
"""

OURS = """
import sys, setpoint
print(setpoint.diff(sys.argv[1], sys.argv[2]))
"""


def make(path: Path, seed: float, shift: float, count: int = ROWS) -> None:
    """Write a file of numbers with two in a hundred missing, and texts of 10 to 200 levels."""
    connection = duckdb.connect()
    connection.execute(f"SELECT setseed({seed})")
    numbers = ", ".join(
        f"CASE WHEN random() > 0.02 THEN {shift} + sqrt(-2*ln(1-random()))*cos(6.283185*random()) END AS {name}"
        for name in NUMERIC
    )
    texts = ", ".join(
        f"'v' || CAST(floor(random() * {levels}) AS INTEGER) AS {name}"
        for name, levels in zip(TEXT, (10, 20, 40, 80, 150, 200), strict=True)
    )
    connection.execute(f"COPY (SELECT {numbers}, {texts} FROM range({count})) TO '{path}' (COMPRESSION zstd)")
    connection.close()


def main() -> None:
    """Print both, and the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.parquet", Path(folder) / "after.parquet"
        make(before, 0.1, 0.0)
        make(after, 0.2, 0.05)
        paths = (str(before), str(after))
        found = side_by_side(
            {
                "profile limit": (PROFILE_LIMIT, *paths, ",".join(NUMERIC), ",".join(TEXT)),
                "setpoint.diff": (OURS, *paths),
            }
        )
    ours, limit = found["setpoint.diff"], found["profile limit"]
    rows = [[name, r.wall_seconds, r.cpu_seconds, r.peak_mb, ""] for name, r in found.items()]
    ratio = ours.wall_seconds / limit.wall_seconds
    rows.append(
        ["ratio", ratio, ours.cpu_seconds / limit.cpu_seconds, ours.peak_mb, f"<= {LIMIT_RATIO}, {LIMIT_MB} MB"]
    )
    print(table([f"2 x {ROWS:,} rows, 23 columns", "wall s", "CPU s", "peak MB", "limit"], rows))
