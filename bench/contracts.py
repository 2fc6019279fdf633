"""What a contract costs: one row online with all its violations, and a million rows in one pass beside a raw scan."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.table import table
from setpoint.core.contract import Contract, ContractField
from setpoint.core.contract_closure import ContractCheck
from setpoint.store.contract_sql import columns_of, count_broken
from setpoint.store.engines.duck import connect

ROWS = 1_000_000
CALLS, ROUNDS = 20_000, 15
LIMIT_MICROSECONDS, LIMIT_RATIO = 1.0, 2.0
CARRIERS = ("AA", "DL", "UA", "WN", "B6")
CONTRACT = Contract(
    (
        ContractField("dep_delay", at_least=-60, at_most=1500, required=True),
        ContractField("distance", at_least=0, at_most=6000),
        ContractField("month", "integer", at_least=1, at_most=12, required=True),
        ContractField("carrier", allowed=CARRIERS, required=True),
        ContractField("tail", pattern="^N[0-9A-Z]{1,5}$"),
        ContractField("abroad", "boolean"),
        ContractField("origin", "categorical", required=True),
    )
)
FIVE = Contract(
    (
        ContractField("dep_delay", at_least=-60, at_most=1500),
        ContractField("distance", at_least=0, at_most=6000),
        ContractField("month", at_least=1, at_most=12),
        ContractField("carrier", allowed=CARRIERS),
        ContractField("tail", pattern="^N[0-9A-Z]{1,5}$"),
    )
)
FIVE_RULES = ("dep_delay.range", "distance.range", "month.range", "carrier.allowed", "tail.pattern")


class Flight(BaseModel):
    """The same seven fields for pydantic, which stops at the first violation of a field and raises."""

    model_config = ConfigDict(strict=True)
    dep_delay: float = Field(ge=-60, le=1500)
    distance: float | None = Field(ge=0, le=6000)
    month: int = Field(ge=1, le=12)
    carrier: Literal["AA", "DL", "UA", "WN", "B6"]
    tail: str | None = Field(pattern="^N[0-9A-Z]{1,5}$")
    abroad: bool | None
    origin: str


def rows(broken: int) -> list[dict[str, object]]:
    """Return rows with so many fields that break a rule."""
    rng = random.Random(0)  # noqa: S311 — a benchmark's data
    wrong = {"dep_delay": 9e9, "carrier": "??", "tail": "none", "month": 13, "distance": -1.0, "abroad": 3, "origin": 7}
    found: list[dict[str, object]] = []
    for _ in range(1000):
        row: dict[str, object] = {
            "dep_delay": rng.uniform(-50, 900), "distance": rng.uniform(100, 5000), "month": rng.randint(1, 12),
            "carrier": rng.choice(CARRIERS), "tail": f"N{rng.randint(1, 99999)}", "abroad": rng.choice((True, False)),
            "origin": rng.choice(("EWR", "JFK", "LGA")),
        }  # fmt: skip
        row |= {name: wrong[name] for name in list(wrong)[:broken]}
        found.append(row)
    return found


def microseconds(act: Callable[[dict[str, object]], object], table_rows: Sequence[dict[str, object]]) -> float:
    """Return the median cost of one call over some rounds."""
    chunks: list[float] = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS // len(table_rows)):
            for row in table_rows:
                act(row)
        chunks.append((time.process_time() - began) / CALLS * 1e6)
    return statistics.median(chunks)


def validated(row: dict[str, object]) -> object:
    """Return what pydantic says of a row."""
    try:
        return Flight.model_validate(row)
    except ValidationError as error:
        return error


def main() -> None:
    """Print the cost of a row beside pydantic's, and of a million rows beside their scan."""
    check = ContractCheck(CONTRACT).violations
    nothing = microseconds(lambda _row: None, rows(0))
    lines: list[list[str | float]] = []
    for broken, limit in ((0, f"<= {LIMIT_MICROSECONDS:g}"), (1, ""), (7, "")):
        data = rows(broken)
        lines.append([f"{broken} of 7 fields broken", microseconds(check, data) - nothing, limit])
        lines.append(["  pydantic", microseconds(validated, data) - nothing, ""])
    print(table(["one row, 7 fields, all violations", "µs", "limit"], lines))
    with tempfile.TemporaryDirectory() as folder:
        batch(str(Path(folder) / "rows.parquet"))


def batch(path: str) -> None:
    """Print what five rules over a million rows of Parquet take, beside the raw scan of the same columns."""
    connection = connect()
    connection.execute(
        f"""COPY (SELECT random() * 900 - 50 AS dep_delay, random() * 5000 AS distance,
            CAST(1 + random() * 11 AS INTEGER) AS month, ['AA','DL','UA','WN','B6'][1 + (i * 7919) % 5] AS carrier,
            'N' || CAST(random() * 4000 AS INTEGER) AS tail FROM range({ROWS}) t(i)) TO '{path}'"""
    )
    source = f"'{path}'"
    described: list[tuple[str, str]] = connection.execute(f"DESCRIBE FROM {source}").fetchall()
    types = {row[0]: row[1] for row in described}
    columns = columns_of(types, FIVE)
    scan = "SELECT sum(dep_delay), sum(distance), sum(month), max(carrier), max(tail) FROM " + source
    scans: list[float] = []
    passes: list[float] = []
    for _ in range(ROUNDS):
        began = time.process_time()  # of both threads: what other processes take of the machine is not in it
        connection.execute(scan).fetchall()
        scans.append(time.process_time() - began)
        began = time.process_time()
        counts = count_broken(connection, source, FIVE, columns)
        passes.append(time.process_time() - began)
        assert all(counts.broken[rule] == 0 for rule in FIVE_RULES)  # noqa: S101 — a benchmark of what holds
    ours, theirs = statistics.median(passes), statistics.median(scans)
    print()
    print(
        table(
            ["1M rows of Parquet, 5 columns", "CPU ms", "limit"],
            [
                ["raw scan", 1000 * theirs, ""],
                [f"{len(FIVE.rules)} rules, of which 5 are declared", 1000 * ours, ""],
                ["times the scan", ours / theirs, f"<= {LIMIT_RATIO:g}"],
            ],
        )
    )
