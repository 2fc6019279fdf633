"""Four processes that serve: plans change and no request fails, no unit goes back; caps are of each process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.routing import plans_under_load

from setpoint.control.route_plans import publish
from setpoint.core.route_plan import Limits, Route
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot


def test_plans_change_under_load_without_a_failed_request(tmp_path: Path) -> None:
    found = plans_under_load(tmp_path / "store", changes=40, workers=4)
    assert found["failed"] == 0
    assert found["back"] == 0
    assert found["asked"] > 0


WORKER = """
import sys
from setpoint import Endpoint
dear = {"prediction": 1.0, "calls": [{"cost_nano_usd": 20_000_000}]}
endpoint = Endpoint(sys.argv[1], "m", {"v1": lambda _: dict(dear), "v0": lambda _: 0.0})
print([endpoint.predict({}).version for _ in range(20)].count("v1"))
endpoint.close()
"""


def test_a_cap_lets_through_at_most_as_many_times_as_there_are_processes(tmp_path: Path) -> None:
    cap, price, workers = 0.05, 0.02, 4
    layout = Layout.create(tmp_path / "store")
    limits = Limits(usd_per_hour=cap)
    publish(layout, "m", Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=limits))
    command = [sys.executable, "-c", WORKER, str(layout.root)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(workers)]
    asked = [int(process.communicate()[0]) for process in processes]
    assert asked == [3] * workers  # each until its own cap is reached, and the request that reaches it
    assert sum(asked) * price <= workers * (cap + price)
    with Snapshot(layout, "m") as snapshot:
        told = "SELECT sum(cost_nano_usd) FROM calls"
        assert snapshot.connection.execute(told).fetchone() == (workers * 60_000_000,)
