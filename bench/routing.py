"""Routed predictions: what one costs beside a span, plans that change under load, shadows that hang, memory."""

from __future__ import annotations

import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import setpoint
from bench.recording import inputs, median_microseconds, spans
from bench.table import table
from setpoint import Endpoint, Recorder
from setpoint.control.route_plans import publish
from setpoint.core.route_plan import Route
from setpoint.store.layout import Layout
from setpoint.store.spool import Spool

CHANGES, WORKERS = 150, 4
LIMIT_MICROSECONDS, LIMIT_RATIO, LIMIT_EFFECTIVE_MS, LIMIT_SHADOW = 3.0, 10.0, 50.0, 1.05
MEMORY_ROWS = 1_000_000

WORKER = """
import json, sys, time
from setpoint import Endpoint

endpoint = Endpoint(sys.argv[1], "m", {"v1": lambda inputs: 1.0, "v2": lambda inputs: 2.0})
seen, last, failed, back, asked = {}, {}, 0, 0, 0
print("ready", flush=True)
while endpoint.router.plan().route.shares != (("v2", 1.0),):
    unit = f"user-{asked % 997}"
    try:
        reply = endpoint.predict({"x": 1.0}, unit=unit)
    except Exception:
        failed += 1
    else:
        back += last.get(unit) == "v2" != reply.version
        last[unit] = reply.version
    asked += 1
    seen.setdefault(endpoint.router.plan().generation, time.monotonic())
    time.sleep(0.0005)  # a service's own pace: a loop that never rests leaves the publisher no processor
print(json.dumps({"asked": asked, "failed": failed, "back": back, "seen": seen}))
endpoint.close()
"""


def ramp(step: int) -> Route:
    """Return the route of a step: the candidate from a little to all."""
    if step == CHANGES:
        return Route("single", (("v2", 1.0),), stable="v2")
    share = step / CHANGES
    return Route("canary", (("v2", share), ("v1", 1.0 - share)), stable="v1")


def plans_under_load(store: Path, changes: int = CHANGES, workers: int = WORKERS) -> dict[str, float]:
    """Publish plan after plan while processes serve; return what failed, what flipped back, and the delay."""
    layout = Layout.create(store)
    publish(layout, "m", ramp(1), salt="ramp")
    command = [sys.executable, "-c", WORKER, str(store)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(workers)]  # noqa: S603 — our own code
    for process in processes:
        process.stdout.readline()  # pyright: ignore[reportOptionalMemberAccess] — piped above
    published: dict[int, float] = {}
    for step in range(2, changes + 1):
        route = ramp(CHANGES if step == changes else step)
        plan = publish(layout, "m", route, salt="ramp")
        published[plan.generation] = time.monotonic()
        time.sleep(0.02)
    told = [json.loads(process.communicate()[0]) for process in processes]
    delays = [
        (at - published[int(generation)]) * 1000
        for one in told
        for generation, at in one["seen"].items()
        if int(generation) in published
    ]
    return {
        "asked": sum(one["asked"] for one in told),
        "failed": sum(one["failed"] for one in told),
        "back": sum(one["back"] for one in told),
        "effective_ms": statistics.median(delays),
        "slowest_ms": max(delays),
    }


def waits_microseconds(endpoint: Endpoint, count: int = 100) -> list[float]:
    """Return what the caller waits, at the pace of a thousand requests a second."""
    waited: list[float] = []
    for n in range(count):
        time.sleep(0.0007)
        began = time.perf_counter()
        endpoint.predict({"x": 1.0}, unit=str(n))
        waited.append((time.perf_counter() - began) * 1e6)
    return waited


def shadow_ratios(folder: Path, turns: int = 400) -> dict[str, tuple[float, int]]:
    """Return the caller's P99 over that without a shadow, and how many copies were dropped and counted.

    Of one more endpoint without a shadow too: that is what the machine does. They take turns of a tenth of a second.
    """

    def model(_: object) -> float:
        return sum(range(10_000)) * 0.0  # some hundred microseconds, as a small tree ensemble takes

    def fail(_: object) -> float:
        raise OSError

    leave = threading.Event()
    plain = Route("single", (("v1", 1.0),), stable="v1")
    shadowed = Route("shadow", (("v1", 1.0),), stable="v1", shadows=(("v2", 1.0),))
    kinds = {"none": (plain, fail), "no shadow either": (plain, fail)}
    kinds |= {"a shadow that hangs": (shadowed, lambda _: leave.wait()), "one that always fails": (shadowed, fail)}
    endpoints: dict[str, Endpoint] = {}
    for name, (route, shadow) in kinds.items():
        layout = Layout.create(folder / name.replace(" ", "-"))
        publish(layout, "m", route)
        endpoints[name] = Endpoint(layout, "m", {"v1": model, "v2": shadow})
    waited: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(turns):
        for name in random.sample(list(kinds), len(kinds)):
            waited[name].extend(waits_microseconds(endpoints[name]))
    leave.set()
    p99 = {name: statistics.quantiles(one, n=100)[98] for name, one in waited.items()}
    found: dict[str, tuple[float, int]] = {}
    for name, endpoint in endpoints.items():
        endpoint.close()
        with setpoint.open(endpoint.recorder.layout.root) as log, log.evidence("m") as evidence:
            dropped = evidence.traffic(None).only(measure="unsent").total("amount")
        found[name] = p99[name] / p99["none"], round(dropped)
    del found["none"]
    return found


def memory_growth_mb(endpoint: Endpoint, count: int = MEMORY_ROWS) -> float:
    """Return by how much the process grew over the last nine tenths of many predictions."""
    rows = inputs()
    first = 0.0
    for n in range(count):
        endpoint.predict(rows[n % 1000], unit=str(n))
        if n % 20_000 == 0:
            endpoint.recorder.flush()
        if n == count // 10:
            first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - first


def main() -> None:
    """Print all four."""
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout.create(Path(folder) / "store")
        publish(layout, "m", Route("canary", (("v2", 0.1), ("v1", 0.9)), stable="v1"))
        recorder = Recorder(layout, "m", version="v1", spool=Spool(layout))
        answer: Callable[[object], float] = lambda _: 0.5  # noqa: E731 - as short as a model can be
        endpoint = Endpoint(layout, "m", {"v1": answer, "v2": answer}, recorder=recorder)
        endpoint.predict(inputs()[0])
        bare = median_microseconds(lambda row: answer(row), lambda: None)  # noqa: PLW0108 — it is in the other, too
        nothing = median_microseconds(lambda _: None, lambda: None)
        alone = median_microseconds(lambda row: recorder.record(row, score=0.5, key="k", unit="u"), recorder.flush)
        routed = median_microseconds(lambda row: endpoint.predict(row, unit="u", key="k"), recorder.flush) - bare
        theirs = spans()[0] - nothing
        rows.append(("recorded alone, us", f"{alone:.2f}", ""))
        rows.append(("routed and recorded, us added", f"{routed:.2f}", f"<= {LIMIT_MICROSECONDS:g}"))
        rows.append(("an OpenTelemetry span, times ours", f"{theirs / routed:.1f}", f">= {LIMIT_RATIO:g}"))
        rows.append((f"MB grown over {MEMORY_ROWS:,} predictions", f"{memory_growth_mb(endpoint):.1f}", "flat"))
        endpoint.close()
        found = plans_under_load(Path(folder) / "load")
        rows.append((f"{CHANGES} plans, {WORKERS} processes: requests", f"{found['asked']:,.0f}", ""))
        rows.append(("failed", f"{found['failed']:.0f}", "0"))
        rows.append(("units that went back", f"{found['back']:.0f}", "0"))
        rows.append(
            (
                "effective after, ms: median, slowest",
                f"{found['effective_ms']:.0f}, {found['slowest_ms']:.0f}",
                f"<= {LIMIT_EFFECTIVE_MS:g}",
            )
        )
        for name, (ratio, dropped) in shadow_ratios(Path(folder)).items():
            rows.append((f"P99 beside {name} ({dropped:,} dropped)", f"{ratio:.2f}x", f"<= {LIMIT_SHADOW:g}x"))
    print(table(["routing", "", "limit"], rows))
