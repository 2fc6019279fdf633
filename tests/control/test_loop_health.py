"""The loop's own health: a model that cannot be looked at hides neither the others nor itself, and silence is heard."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.commands import setpoint
from tests.control.served import OWNED, Service

from setpoint.connect.notify import beat
from setpoint.control.checks import CHECKS
from setpoint.control.episode import Episode
from setpoint.control.loop import Tick, tick
from setpoint.core.clock import HOUR
from setpoint.core.contacts import Contacts
from setpoint.core.guardrail import Guardrail
from setpoint.project.doctor import doctor
from setpoint.store.evidence import RowEvidence
from setpoint.store.heartbeat import last_heartbeat
from setpoint.store.incidents import incidents_of
from setpoint.testing import Behaviour, SimulatedService

ERRORS = Guardrail("too-many-errors", "error_ratio", above=0.05, actions=("ticket",), mode="act")


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """Return an address, and what was asked of it."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/ping", paths
    server.shutdown()
    thread.join()
    server.server_close()


def two_models(folder: Path) -> Service:
    """Return a service of two models, both with an open incident."""
    found = Service(folder, replace(OWNED, guardrails=(ERRORS,)), {"v1": Behaviour(0.3)})
    found.layout.declare(replace(OWNED, name="other", guardrails=(ERRORS,)))
    other = SimulatedService(found.layout, "other", {"v1": Behaviour(0.3)}, requests_per_minute=500)
    other.serve(1)
    return found


def damaged(found: Service) -> list[tuple[Path, bytes]]:
    files = [
        path
        for path in (found.folder / "lake" / "m" / "predictions").rglob("*.parquet")
        if "_delta_log" not in str(path)
    ]
    kept = [(path, path.read_bytes()) for path in files]
    for path in files:
        path.write_bytes(b"torn")
    return kept


def kinds(found: Service) -> list[tuple[str, tuple[str, ...], bool]]:
    return [(one.kind, one.models, events[-1].state.is_over) for one, events in incidents_of(found.layout)]


def test_a_model_that_cannot_be_looked_at_hides_no_other_and_nothing_of_it_is_over(
    tmp_path: Path, asked: tuple[str, list[str]]
) -> None:
    address, paths = asked
    found = two_models(tmp_path / "s")
    found.layout.put_contacts(Contacts(heartbeat=address))

    def ticked() -> Tick:
        return tick(found.layout, beat=beat)

    assert ticked().failing == {}
    assert paths == ["/ping"]
    own = [("guardrail", ("m",), False), ("guardrail", ("other",), False)]
    assert kinds(found) == own
    kept = damaged(found)
    found.wait(HOUR // 4)
    assert list(ticked().failing) == ["m"]
    assert kinds(found) == own  # once may be a disk that was busy
    found.wait(HOUR // 4)
    ticked()
    assert kinds(found) == [*own, ("failed_checks", ("m",), False)]
    assert "m cannot be looked at: " in incidents_of(found.layout)[-1][0].title
    assert paths == ["/ping"]  # whoever watches that address hears of it
    said = doctor(found.folder).text()
    assert "m: checks" in said
    assert "last tick" in said
    told = setpoint("tick", "--store", str(found.folder), cwd=tmp_path)
    assert told.returncode == 5
    assert "m cannot be looked at" in told.stderr
    for path, content in kept:
        path.write_bytes(content)
    found.wait(HOUR // 4)
    ticked()
    assert kinds(found) == [*own, ("failed_checks", ("m",), True)]
    assert paths == ["/ping", "/ping"]


def test_a_mistake_of_ours_is_told_after_the_other_models_were_looked_at(tmp_path: Path) -> None:
    found = two_models(tmp_path / "s")

    def wrong(evidence: RowEvidence, _now: int) -> list[Episode]:
        if evidence.model.name == "m":
            msg = "a mistake"
            raise TypeError(msg)
        return []

    with pytest.raises(TypeError, match="a mistake"):
        tick(found.layout, checks={**CHECKS, "wrong": wrong})
    assert kinds(found) == [("guardrail", ("other",), False)]
    heartbeat = last_heartbeat(found.layout)
    assert heartbeat is not None
    assert heartbeat.failing["m"].said == "TypeError: a mistake"


def test_an_address_that_does_not_answer_stops_nothing(tmp_path: Path) -> None:
    found = Service(tmp_path / "s")
    found.layout.put_contacts(Contacts(heartbeat="http://127.0.0.1:9/ping"))
    assert "127.0.0.1:9/ping cannot be reached" in tick(found.layout, beat=beat).unheard


def test_doctor_says_when_the_loop_stands_still(tmp_path: Path) -> None:
    found = Service(tmp_path / "s")
    assert "it never ran" in doctor(found.folder).text()
    (found.folder / "loop.json").write_text('{"ticked_at": 1780000000.0, "took_seconds": 0.5}')
    assert "is `setpoint run`, or cron, still there?" in doctor(found.folder).text()
    (found.folder / "loop.json").write_text("{torn")
    assert "it never ran" in doctor(found.folder).text()
    tick(found.layout)
    assert "last tick 0 s ago" in doctor(found.folder).text()


@pytest.mark.parametrize("damage", ["log", "declaration", "findings"])
def test_other_models_are_looked_at_whatever_of_one_is_damaged(tmp_path: Path, damage: str) -> None:
    found = two_models(tmp_path / "s")
    tick(found.layout)
    where = {
        "log": found.folder / "lake" / "m" / "predictions" / "_delta_log",
        "declaration": found.folder / "models",
        "findings": found.folder / "lake" / "m" / "findings" / "_delta_log",
    }[damage]
    for path in where.rglob("*.json"):
        if damage != "declaration" or path.stem == "m":
            path.write_text("{torn")
    other = SimulatedService(found.layout, "other", {"v1": Behaviour(0.0)}, requests_per_minute=500, seed=2)
    found.wait(2 * HOUR)
    other.serve(2)
    assert list(tick(found.layout).failing) == ["m"]
    assert kinds(found) == [("guardrail", ("m",), False), ("guardrail", ("other",), True)]
    found.wait(HOUR)
    assert tick(found.layout).shipment is not None
    assert kinds(found)[-1] == ("failed_checks", ("m",), False)
    told = setpoint("incident", "list", "--store", str(found.folder), cwd=tmp_path)
    assert "m cannot be looked at" in told.stdout
