"""How long processes that serve take to follow a rollback, and a look to find who was seen in a long rollout."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from bench.table import Cell
from setpoint.control.rollouts import carry_out, start
from setpoint.control.route_plans import publish
from setpoint.core.clock import DAY
from setpoint.core.decision import Decision
from setpoint.core.model import Model
from setpoint.core.rollout import RedLine, Rollout, RolloutEvent, RolloutRules
from setpoint.core.route_plan import Route
from setpoint.store.drawn import draw, shared_out
from setpoint.store.evidence import RowEvidence
from setpoint.store.layout import Layout
from setpoint.store.rollouts import events_of

WORKERS = 2
ROWS_PER_DAY, UNITS = 1_000_000, 300_000
STABLE = Route("single", (("v1", 1.0),), "v1")
WORKER = """
import json, sys, time
from setpoint import Endpoint

endpoint = Endpoint(sys.argv[1], "m", {"v1": lambda inputs: 1.0, "v2": lambda inputs: 2.0, "end": lambda inputs: 3.0})
candidate, asked = [], 0
print("ready", flush=True)
while True:
    reply = endpoint.predict({"x": 1.0}, unit=f"user-{asked % 997}")
    if reply.version == "end":
        break
    if reply.version == "v2":
        candidate.append(time.monotonic())
    asked += 1
    time.sleep(0.0005)  # a service's own pace
print(json.dumps(candidate))
endpoint.close()
"""


def rollbacks(runs: int) -> list[list[Cell]]:
    """Roll back again and again while processes serve; return how long after a decision the candidate still answered.

    Args:
        runs: How many rollouts, one after the other.
    """
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout.create(Path(folder) / "store")
        publish(layout, "m", STABLE)
        command = [sys.executable, "-c", WORKER, str(layout.root)]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(WORKERS)]  # noqa: S603 — our own code
        for process in processes:
            process.stdout.readline()  # pyright: ignore[reportOptionalMemberAccess] — piped above
        decided, took = [_rolled_back(layout, run) for run in range(runs)], list[float]()
        publish(layout, "m", Route("single", (("end", 1.0),), "end"))
        answered = [at for process in processes for at in json.loads(process.communicate()[0])]
    for n, (begun, at) in enumerate(decided):
        until = decided[n + 1][0] if n + 1 < runs else float("inf")
        after = [one - at for one in answered if begun <= one < until]
        took.append(1000.0 * max(0.0, *after))
    return [["a decision to roll back", f"{statistics.median(took):.0f}", f"{max(took):.0f}", f"{runs}"]]


def looks() -> list[list[Cell]]:
    """Return what it takes to know which units a rollout has seen, from all rows and from the file that is kept."""
    found: list[list[Cell]] = []
    rules = RolloutRules(red_lines=(RedLine("error_ratio", 2.0),), steps=(0.5,))
    for days in (1, 14):
        begun = 1_780_000_000_000_000 // DAY * DAY
        rollout = Rollout("m/v2/1", "m", "v1", "v2", rules, {}, STABLE, begun)
        with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
            rows, path = days * ROWS_PER_DAY, f"{folder}/rows.parquet"
            connection.execute("SET enable_progress_bar = false")
            connection.execute(
                f"COPY (SELECT 'user-' || hash(i) % {UNITS} AS unit, 'r' || i AS root_id,"
                f" make_timestamptz({begun} + i * {days * DAY // rows}) AS predicted_at, 0.5 AS assignment_probability,"
                f" CASE WHEN hash(hash(i) % {UNITS}) % 2 = 0 THEN 'v1' ELSE 'v2' END AS version, NULL::VARCHAR AS error,"
                f" 'stable' AS role FROM range({rows}) AS t(i)) TO '{path}'"
            )
            connection.execute(f"CREATE VIEW predictions AS SELECT * FROM '{path}'")
            evidence, took = RowEvidence(connection, Model("m"), {}, begun + days * DAY), dict[str, float]()
            kept = Path(folder) / "seen.parquet"
            for name, file in (("all rows", None), ("first", kept), ("file", kept)):
                at = time.perf_counter()
                draw(evidence, rollout, starts={0: begun}, marks=[begun], kept=file)
                shared_out(evidence, begun)
                took[name] = time.perf_counter() - at
            size = kept.stat().st_size / 1e6
        ratio = took["all rows"] / took["file"]
        found.append([f"{days} days, {rows:,} requests", took["all rows"], took["file"], ratio, took["first"], size])
    return found


def _rolled_back(layout: Layout, run: int) -> tuple[float, float]:
    """Let a rollout begin and roll it back; return when it began and when that was decided, by the monotonic clock."""
    rules = RolloutRules(red_lines=(RedLine("error_ratio", 2.0),), steps=(0.5,))
    rollout = Rollout(f"m/v2/{run}", "m", "v1", "v2", rules, {}, STABLE, layout.clock.now())
    begun = time.monotonic()
    start(layout, rollout, actor="bench")
    events: list[RolloutEvent] = events_of(layout, rollout.rollout_id)
    carry_out(layout, rollout, events, Decision("advance", "started", "on its way"), actor="bench")
    time.sleep(0.2)  # it answers for a while
    events = events_of(layout, rollout.rollout_id)
    at = time.monotonic()
    carry_out(layout, rollout, events, Decision("roll_back", "red_line", "it is worse"), actor="bench")
    time.sleep(1.1)  # whoever does not follow within a second shows
    return begun, at
