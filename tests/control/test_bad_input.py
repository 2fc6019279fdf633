"""What can go wrong around a rollout and the loop: each is said or waited out, and traffic stays where it was."""

from __future__ import annotations

import socket
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import msgspec
import pytest
from tests.control.served import MINUTE, OWNED, RULES, Service

from setpoint.connect import notify
from setpoint.control import paging
from setpoint.control.loop import tick
from setpoint.control.paging import deliver
from setpoint.control.rollouts import advance
from setpoint.core.clock import DAY, HOUR, MICROS
from setpoint.core.contacts import Person
from setpoint.core.errors import StoreError, StoreMissing
from setpoint.core.guardrail import Guardrail
from setpoint.core.model import Owner
from setpoint.predictions.details import RowDetails
from setpoint.predictions.recorder import Recorder
from setpoint.predictions.router import Router
from setpoint.project.incidents import prove_delivery
from setpoint.project.rollouts import start_rollout, status_of
from setpoint.store.incidents import incidents_of
from setpoint.store.messages import Message, messages_of, put_message
from setpoint.store.rollouts import Look, events_of, evidence_of, last_look, rollouts_of, take
from setpoint.store.route_file import last_plan
from setpoint.store.spool import Spool
from setpoint.testing import Behaviour


@pytest.fixture
def begun(tmp_path: Path) -> Service:
    """A service in the first step of a rollout, of which some evidence was taken."""
    service = Service(tmp_path / "s", replace(OWNED, rollout=replace(RULES, steps=(0.5,), last_soak=HOUR)))
    start_rollout(service.folder, "m", "v2")
    service.look()
    service.serve(1)
    service.look()
    return service


def test_a_store_that_is_gone_for_a_minute_leaves_traffic_and_evidence_as_they_were(begun: Service) -> None:
    router = Router(begun.layout, "m", ("v1", "v2"), look_seconds=0.0)
    before, taken = router.plan(), evidence_of(begun.layout, "m/v2/1")
    away = begun.folder.rename(begun.folder.with_name("away"))
    with pytest.raises(StoreError, match=r"the store at .* cannot be used"):
        tick(begun.layout)
    with pytest.raises(StoreMissing, match=r"the store at .* is gone"):
        advance(begun.layout, "m")
    assert router.plan() == before
    assert f"is gone: generation {before.generation} stays" in router.fault
    assert not begun.folder.exists()  # nothing makes an empty one in its place
    away.rename(begun.folder)
    assert evidence_of(begun.layout, "m/v2/1") == taken
    begun.serve(1)
    begun.look()
    assert len(evidence_of(begun.layout, "m/v2/1")) == len(taken) + 1
    assert last_plan(begun.layout, "m") == before


def test_a_clock_that_jumps_back_takes_nothing_twice_and_one_that_jumps_ahead_promotes_nothing(begun: Service) -> None:
    taken, plan = evidence_of(begun.layout, "m/v2/1"), last_plan(begun.layout, "m")
    begun.wait(-HOUR)
    for _ in range(3):
        begun.serve(1)
        begun.look()
    assert evidence_of(begun.layout, "m/v2/1") == taken
    begun.wait(HOUR)
    begun.serve(1)
    begun.look()
    assert len(evidence_of(begun.layout, "m/v2/1")) > len(taken)
    assert last_plan(begun.layout, "m") == plan
    begun.wait(30 * DAY)
    moved = advance(begun.layout, "m")
    assert moved is not None
    assert (moved.decision.action, moved.decision.rule) == ("pause", "no_data")
    assert last_plan(begun.layout, "m") == plan
    at = [event.at for event in events_of(begun.layout, "m/v2/1")]
    assert at == sorted(at)


def test_evidence_that_arrives_late_twice_and_out_of_order_is_taken_once(begun: Service) -> None:
    def units() -> float:
        found = evidence_of(begun.layout, "m/v2/1")
        return sum(one["error_ratio"][0] for _, numbers in found for one in numbers.values())

    def record(*minutes: int) -> None:
        recorder = Recorder(begun.layout, "m", spool=Spool(begun.layout))
        for n in minutes:
            at = begun.now - n * MINUTE
            who: RowDetails = {"version": "v1", "role": "stable", "unit": f"late-{n}", "assignment_probability": 0.5}
            recorder.record({"x": 1.0}, prediction=1.0, **{**who, "predicted_at": at})
        recorder.close()

    before = units()
    begun.wait(3 * MINUTE)
    record(0, 2, 1)
    begun.look()
    seen = units()
    assert seen == before + 3
    record(5, 0, 1, 2)  # before the last look, and units that were seen
    begun.wait(MINUTE)
    begun.look()
    assert units() == seen
    record(0)  # the same unit in the same step
    begun.wait(MINUTE)
    begun.look()
    assert units() == seen


def test_units_that_reach_the_store_after_the_look_at_their_time_are_counted_and_said(begun: Service) -> None:
    def units() -> float:
        found = evidence_of(begun.layout, "m/v2/1")
        return sum(one["error_ratio"][0] for _, numbers in found for one in numbers.values())

    def record(unit: str, seconds: int, version: str = "v2") -> None:
        with closing(Recorder(begun.layout, "m", spool=Spool(begun.layout))) as recorder:
            at = begun.now - seconds * MICROS
            recorder.record(
                {"x": 1.0}, version=version, unit=unit, predicted_at=at, assignment_probability=0.5, role="candidate"
            )

    def said() -> list[str]:
        return [one for one in status_of(begun.folder, "m").because if "reached the store after" in one]

    record("in time", 0)
    begun.look()
    before = units()
    assert said() == []
    for unit, seconds in (("late", 10), ("too", 20), ("in time", 8)):
        record(unit, seconds)
    begun.look()
    begun.serve(1)
    begun.look()
    assert units() == before + 2000
    assert said() == ["2 units reached the store after the look at their time, so they are no evidence"]
    record("of the stable version", 30, "v1")
    record("late", 15)  # the same unit is told of once
    begun.wait(MINUTE)
    moved = begun.look()
    assert units() == before + 2000
    assert said()[0].startswith("3 units")
    assert moved is not None
    assert moved.decision.numbers["units_too_late"] == 3


def test_a_rollout_whose_late_units_an_older_setpoint_did_not_count_begins_to_count_them(begun: Service) -> None:
    rollout = rollouts_of(begun.layout, "m")[0]
    last = last_look(begun.layout, rollout)
    older = {name: one for name, one in msgspec.json.decode(last.state).items() if name not in {"seen", "missed"}}
    take(begun.layout, rollout, last, Look(last.number + 1, last.until, msgspec.json.encode(older)), {})
    begun.serve(1)
    begun.look()
    assert not any("reached the store after" in one for one in status_of(begun.folder, "m").because)


def _drip(server: socket.socket, ended: Event) -> None:
    """Answer one byte after the other, each sooner than a socket's limit, and never to the end; give up at last."""
    connection, _ = server.accept()
    with connection, suppress(OSError):
        for _ in range(2_000):
            connection.sendall(b"H")
            if ended.wait(0.02):
                break


def test_a_webhook_that_drips_holds_up_no_tick_and_a_test_page_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "ONE_SECONDS", 2.0)
    ended = Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        dripping = Thread(target=_drip, args=(server, ended))
        dripping.start()
        owner = Owner("risk", f"http://127.0.0.1:{server.getsockname()[1]}/hook")
        service = Service(tmp_path / "s", replace(OWNED, owner=owner))
        message = prove_delivery(service.folder, "m", notify.send)
        is_dripping = dripping.is_alive()
        ended.set()
        dripping.join()
    assert is_dripping
    assert (message.state, message.attempts) == ("waiting", 1)
    assert message.error.endswith("/hook did not answer within 2 s")


def test_addresses_that_hang_wait_for_the_next_tick_and_hold_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "ONE_SECONDS", 2.0)
    service, ended = Service(tmp_path / "s"), Event()
    people = [Person(name, f"https://pager.example/{name}") for name in ("hangs", "hangs", "well")]
    for n, person in enumerate(people):
        put_message(service.layout, Message.to(person, f"{n}", {}, service.now + n))

    def send(message: Message) -> None:
        if message.address.endswith("hangs"):
            ended.wait()

    service.wait(MINUTE)
    deliver(service.layout, send, service.now)
    assert [(one.state, one.attempts) for one in messages_of(service.layout)] == [
        ("waiting", 1),
        ("waiting", 0),
        ("delivered", 1),
    ]
    monkeypatch.setattr(paging, "ALL_SECONDS", 0.0)
    assert deliver(service.layout, send, service.now) == []
    ended.set()


def test_a_webhook_that_hangs_is_tried_again_and_holds_up_no_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections and never answers
        owner = Owner("risk", f"http://127.0.0.1:{server.getsockname()[1]}/hook")
        page = Guardrail("errors", "error_ratio", above=0.05, actions=("page", "fall_back"), mode="act")
        model = replace(OWNED, owner=owner, guardrails=(page,))
        service = Service(tmp_path / "s", model, {"v1": Behaviour(0.3), "v2": Behaviour()})
        done = tick(service.layout, send=notify.send)
        assert [one.decision.action for one in done.decided] == ["page", "fall_back"]
        assert len(incidents_of(service.layout)) == 1
        (message,) = messages_of(service.layout)
        assert (message.state, message.attempts) == ("waiting", 1)
        assert message.error.endswith("cannot be reached: timed out")
        service.wait(HOUR)
        tick(service.layout, send=notify.send)
        assert messages_of(service.layout)[0].attempts == 2
