"""That a service does not follow the published plan is known outside of it, as long as it is so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from setpoint import Endpoint, Recorder
from setpoint.control.route_plans import publish
from setpoint.core.clock import MICROS
from setpoint.core.model import Model
from setpoint.core.route_plan import Route
from setpoint.core.verdict import Verdict
from setpoint.predictions.router import TELL_SECONDS
from setpoint.project.doctor import doctor
from setpoint.project.log import open_log
from setpoint.project.routes import route_of
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.route_file import encoded

START = 1_767_225_600_000_000  # 2026-01-01
MISSING = "generation 1 names v9, which is not here"


def only(version: str) -> Route:
    return Route("single", ((version, 1.0),), stable=version)


def answer(_: Mapping[str, object]) -> float:
    return 1.0


def told(layout: Layout) -> list[str]:
    """Return what `setpoint route` and `setpoint doctor` say of services; it must be the same."""
    routed = route_of(layout.root, "m")
    mine = [line for line in routed.because if line.startswith("a service")]
    checked = {str(row[1]): str(row[2]) for row in doctor(layout.root).table("checks").rows}.get("m: services")
    assert [line.partition(": it goes on")[0] for line in mine] == ([] if checked is None else [checked])
    assert (routed.verdict is Verdict.WARNING) or not mine
    return mine


def test_a_plan_that_a_service_does_not_follow_is_told_until_another_comes(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "store")
    layout.declare(Model("m"))
    endpoint = Endpoint(layout, "m", {"v1": answer})
    assert told(layout) == []
    publish(layout, "m", only("v9"))
    endpoint.router.look_at = 0.0
    assert endpoint.predict({}).version == "v1"
    assert endpoint.recorder.flush()
    assert len(told(layout)) == 1
    assert MISSING in told(layout)[0]
    first = publish(layout, "m", only("v1"))
    endpoint.router.look_at = 0.0
    endpoint.predict({})
    assert endpoint.recorder.flush()
    assert told(layout) == []
    publish(layout, "m", only("v1"))
    endpoint.router.look_at = 0.0
    endpoint.predict({})
    layout.route("m").write_bytes(encoded(first))
    endpoint.router.look_at = 0.0
    assert endpoint.predict({}).version == "v1"
    assert endpoint.close()
    assert "generation 2 is older than 3, which stays" in told(layout)[0]


def test_what_no_service_says_any_more_is_over_and_stays_a_change(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "store", replay_now=START)
    publish(layout, "m", only("v9"))
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    clock.set(START + 60 * MICROS)
    assert Endpoint(layout, "m", {"v1": answer}, recorder=Recorder(layout, "m")).close()
    for minutes, is_told in ((30, True), (32, False)):
        clock.set(START + minutes * 60 * MICROS)
        clock.save()
        assert bool(told(layout)) is is_told
    with open_log(layout.root) as log, log.evidence("m") as evidence:
        assert [(one.kind, one.subject, one.note) for one in evidence.changes(None)] == [
            ("config", "route not followed", MISSING)
        ]


WORKER = """
import sys
from setpoint import Endpoint
endpoint = Endpoint(sys.argv[1], "m", {"v1": lambda _: 1.0})
endpoint.predict({})
endpoint.close()
"""


def test_of_four_workers_that_say_so_there_is_one_change(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "store")
    publish(layout, "m", only("v9"))
    command = [sys.executable, "-c", WORKER, str(layout.root)]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    with open_log(layout.root) as log, log.evidence("m") as evidence:
        assert evidence.connection.execute("SELECT count(*) FROM changes").fetchall() == [(4,)]
        assert len(evidence.changes(None)) == 1
    assert len(told(layout)) == 1


def test_it_is_told_again_now_and_then_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout.create(tmp_path / "store")
    publish(layout, "m", only("v9"))
    endpoint = Endpoint(layout, "m", {"v1": answer})

    def count_after_a_look() -> int:
        endpoint.router.look_at = 0.0
        endpoint.predict({})
        assert endpoint.recorder.flush()
        with open_log(layout.root) as log, log.evidence("m") as evidence:
            return len(evidence.connection.execute("SELECT 1 FROM changes").fetchall())

    assert [count_after_a_look(), count_after_a_look()] == [1, 1]
    monkeypatch.setattr(endpoint.router, "_tell_at", endpoint.router._tell_at - TELL_SECONDS)  # pyright: ignore[reportPrivateUsage] — a quarter of an hour later
    assert count_after_a_look() == 2
    assert endpoint.close()
