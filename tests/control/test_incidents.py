"""Incidents: what is wrong is told once, to whoever is on call, with all that is known, and ends when it is over."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.control.served import MINUTE, OWNED, START, Service

from setpoint.answers.incidents import incident_stats, review
from setpoint.connect.notify import send, signature
from setpoint.control.alerts import alerts_of, by_cause
from setpoint.control.loop import run, tick
from setpoint.control.paging import AGAIN
from setpoint.core.clock import DAY, HOUR, moment
from setpoint.core.contacts import Contacts, Person, Rota
from setpoint.core.errors import NotDelivered, UsageError
from setpoint.core.finding import Finding
from setpoint.core.guardrail import Guardrail
from setpoint.core.incident import IncidentState
from setpoint.core.model import Model, Owner
from setpoint.project.incidents import list_incidents, move, prove_delivery, report, show_incident, silence
from setpoint.project.plan import plan
from setpoint.project.rollouts import start_rollout
from setpoint.store.decisions import decisions_of
from setpoint.store.incidents import incidents_of
from setpoint.store.layout import Layout
from setpoint.store.messages import Message, messages_of
from setpoint.testing import Behaviour

PAGES = Guardrail("too-many-errors", "error_ratio", above=0.05, actions=("page",), mode="act")


class Receiver:
    """A webhook that takes what it gets, or answers 500."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, object]] = []
        self.headers: list[dict[str, str]] = []
        self.fails = False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.headers.append(dict(self.headers.items()))
                receiver.bodies.append(json.loads(body))
                self.send_response(500 if receiver.fails else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    thread = threading.Thread(target=found.server.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def service(folder: Path, receiver: Receiver, *guardrails: Guardrail, signed_with: str = "") -> Service:
    found = Service(
        folder, replace(OWNED, guardrails=guardrails or (PAGES,)), {"v1": Behaviour(0.3), "v2": Behaviour()}
    )
    people = {"ada": Person("ada", receiver.address, signed_with)}
    rota = Rota("risk-rota", ("ada",), START, 7 * DAY)
    found.layout.put_contacts(Contacts(people, {"risk-rota": rota}))
    return found


def finding(kind: str, *, model: str = "m", subject: str = "x", at: int = START, severity: str = "warning") -> Finding:
    return Finding(
        model=model,
        kind=kind,
        cause="",
        subject=subject,
        started_at=at,
        ended_at=None,
        severity=severity,  # pyright: ignore[reportArgumentType] — one of two words
        state="open",
        said=f"{kind} of {subject}",
        evidence="{}",
        recorded_at=at,
        revision=0,
    )


def test_whoever_is_on_call_is_paged_once_and_told_when_it_is_over(tmp_path: Path, receiver: Receiver) -> None:
    found = service(tmp_path / "s", receiver)
    tick(found.layout, send=send)
    tick(found.layout, send=send)
    (incident, events), *rest = incidents_of(found.layout)
    assert rest == []
    assert incident.urgency == "page"
    assert [one["state"] for one in receiver.bodies] == ["open"]
    assert receiver.bodies[0]["runbook"] == "quality-fell"
    assert receiver.bodies[0]["next"] == f"setpoint incident show {incident.incident_id}"
    assert {event.kind for event in events} >= {"opened", "finding", "decision"}
    found.versions["v1"].errors = 0.0
    found.wait(2 * HOUR)
    found.serve(2)
    tick(found.layout, send=send)
    assert incidents_of(found.layout)[0][1][-1].state is IncidentState.RESOLVED
    assert [one["state"] for one in receiver.bodies][-1] == "resolved"
    assert list_incidents(found.folder).exit_code == 0


def test_a_page_that_nobody_answers_is_sent_again_and_not_after_it_was_acknowledged(
    tmp_path: Path, receiver: Receiver
) -> None:
    found = service(tmp_path / "s", receiver)
    tick(found.layout, send=send)
    found.wait(AGAIN)
    found.serve(1)
    tick(found.layout, send=send)
    assert len(receiver.bodies) == 2
    move(found.folder, "0001-m", "acked", actor="ada")
    found.wait(AGAIN)
    found.serve(1)
    tick(found.layout, send=send)
    assert len(receiver.bodies) == 2
    with pytest.raises(UsageError, match="is acked already"):
        move(found.folder, "0001-m", "acked", actor="bob")


def test_a_message_that_is_not_taken_is_tried_again_under_the_same_name(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER_SECRET", "s3cret")
    found = service(tmp_path / "s", receiver, signed_with="PAGER_SECRET")
    receiver.fails = True
    tick(found.layout, send=send)
    assert messages_of(found.layout)[0].error == f"{receiver.address} answered 500"
    receiver.fails = False
    tick(found.layout, send=send)  # it is not due yet
    assert len(receiver.bodies) == 1
    found.wait(2 * MINUTE)
    tick(found.layout, send=send)
    assert [one.state for one in messages_of(found.layout)] == ["delivered"]
    first, second = receiver.headers
    assert first["X-Setpoint-Delivery"] == second["X-Setpoint-Delivery"]
    signed = second["X-Setpoint-Signature"]
    seconds = int(signed.split(",")[0].removeprefix("t="))
    assert signed == signature("s3cret", json.dumps(receiver.bodies[1]).encode(), seconds)


@contextmanager
def nobody_there() -> Generator[str]:
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    address = f"http://127.0.0.1:{server.server_port}/hook"
    server.server_close()
    yield address


def test_an_address_that_nobody_answers_at_fails_in_words() -> None:
    with nobody_there() as address, pytest.raises(NotDelivered, match="cannot be reached"):
        send(Message("m", address, "", b"{}", 0))


def test_an_address_that_is_none_fails_in_words() -> None:
    with pytest.raises(NotDelivered, match="cannot be reached"):
        send(Message("m", "http://[", "", b"{}", 0))


def test_other_addresses_need_apprise() -> None:
    with pytest.raises(UsageError, match="apprise"):
        send(Message("m", "slack://a/b/c", "", b'{"title": "t"}', 0))


def test_a_test_page_proves_delivery(tmp_path: Path, receiver: Receiver) -> None:
    found = service(tmp_path / "s", receiver)
    assert prove_delivery(found.folder, "m", send).state == "delivered"
    assert receiver.bodies[0]["title"] == "a test: ada is on call"
    found.layout.declare(replace(found.declared, owner=None))
    with pytest.raises(UsageError, match="nobody is on call for m"):
        prove_delivery(found.folder, "m", send)


def test_a_silence_tells_nobody_and_ends(tmp_path: Path, receiver: Receiver) -> None:
    found = service(tmp_path / "s", receiver)
    silence(found.folder, "m", kind="", length="1h", reason="the database is moved")
    tick(found.layout, send=send)
    assert incidents_of(found.layout) == []
    assert receiver.bodies == []
    found.wait(HOUR)
    found.serve(1)
    tick(found.layout, send=send)
    assert len(incidents_of(found.layout)) == 1
    with pytest.raises(UsageError, match="a silence without a reason"):
        silence(found.folder, "m", kind="", length="1h", reason="")


def test_a_guardrail_that_is_only_observed_opens_nothing_and_stands_in_the_digest(
    tmp_path: Path, receiver: Receiver
) -> None:
    found = service(tmp_path / "s", receiver, replace(PAGES, mode="observe"))
    tick(found.layout, send=send)
    assert incidents_of(found.layout) == []
    told = list_incidents(found.folder)
    assert told.exit_code == 0
    assert told.table("digest").rows[0][1] == "guardrail"


def test_a_paused_rollout_is_an_incident(tmp_path: Path, receiver: Receiver) -> None:
    found = service(tmp_path / "s", receiver)
    found.versions = {"v1": Behaviour(), "v2": Behaviour(is_down=True)}
    found.requests_per_minute = 4000
    found.serve(1)
    start_rollout(found.folder, "m", "v2")
    found.look()
    found.until_over(looks=2)
    tick(found.layout, send=send)
    kinds = {one.kind for one, _ in incidents_of(found.layout)}
    assert "paused_rollout" in kinds


def test_a_broken_contract_silences_the_drift_that_it_causes() -> None:
    model = Model("m")
    found = [finding("input_drift"), finding("broken_contract", subject="range of x", severity="breach")]
    (alert,) = alerts_of(model, found)
    assert alert.kind == "broken_contract"
    assert alert.findings == (found[1].finding_id,)
    assert alert.silenced == (found[0].finding_id,)
    assert alert.urgency == "ticket"


def test_what_begins_days_apart_is_not_one_alert() -> None:
    model = Model("m")
    found = [finding("input_drift"), finding("input_drift", subject="y", at=START + 3 * DAY)]
    assert len(alerts_of(model, found)) == 2


def test_one_cause_in_forty_models_is_one_incident() -> None:
    alerts = [
        alert
        for n in range(40)
        for alert in alerts_of(
            Model(f"m{n}"), [finding("broken_contract", model=f"m{n}", subject="currency", severity="breach")]
        )
    ]
    (group,) = by_cause(alerts)
    assert len(group) == 40


def test_people_find_incidents_too_and_are_counted(tmp_path: Path, receiver: Receiver) -> None:
    found = service(tmp_path / "s", receiver)
    found.versions["v1"].errors = 0.0
    opened, _ = report(found.folder, "m", "a customer says that prices are wrong", actor="support")
    tick(found.layout)  # no check found it, so none ends it
    assert incidents_of(found.layout)[0][1][-1].state is IncidentState.OPEN
    found.wait(MINUTE)
    for kind in ("acked", "mitigated", "resolved", "reviewed"):
        move(found.folder, opened.incident_id, kind, actor="ada")
        found.wait(MINUTE)
    told = incident_stats(incidents_of(found.layout), decisions_of(found.layout), now=found.now)
    row = next(one for one in told.table("stats").rows if one[1] == "person support")
    assert row == ("found by", "person support", 1, 1.0, 0.0, 60.0, 120.0, 180.0)
    text = review(*incidents_of(found.layout)[0], zone="UTC")
    assert "# 0001-m: a customer says that prices are wrong" in text
    assert "## What caused it" in text
    assert show_incident(found.folder, "0001-m").exit_code == 0


def test_two_runs_of_the_loop_do_the_work_of_one(tmp_path: Path, receiver: Receiver) -> None:
    found = service(tmp_path / "s", receiver)
    done: list[object] = []
    ended = threading.Event()

    def loop() -> None:
        for one in run(Layout.open(found.folder), send=send, every_seconds=0.01, tick_seconds=0.01, ended=ended):
            done.append(one)
            if len(done) >= 4:
                ended.set()

    threads = [threading.Thread(target=loop) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(receiver.bodies) == 1
    assert len(incidents_of(found.layout)) == 1


def test_a_page_that_nobody_answers_is_escalated(tmp_path: Path, receiver: Receiver) -> None:
    found = service(tmp_path / "s", receiver)
    owner = Owner("risk", "risk-rota", escalate_to="eve", escalate_after=2 * AGAIN)
    found.layout.declare(replace(found.declared, owner=owner))
    people = {"ada": Person("ada", receiver.address), "eve": Person("eve", f"{receiver.address}/eve")}
    found.layout.put_contacts(Contacts(people, {"risk-rota": Rota("risk-rota", ("ada",), START, 7 * DAY)}))

    def told() -> list[str]:
        return [one.address.rpartition("/")[2] for one in tick(found.layout, send=send).told]

    assert told() == ["hook"]
    found.wait(AGAIN)
    assert told() == ["hook"]
    found.wait(AGAIN)
    assert told() == ["hook", "eve"]
    move(found.folder, "0001", "acked", actor="eve")
    found.wait(AGAIN)
    assert told() == []


def test_a_maintenance_window_is_said_before_it_begins_and_ends(tmp_path: Path, receiver: Receiver) -> None:
    found = service(tmp_path / "s", receiver)
    begins = moment(found.now - HOUR).isoformat()
    told = silence(found.folder, "m", kind="", length="90m", reason="the database is moved", since=begins)
    assert told.startswith("every alert of m is silent from 2026-05-28 ")
    assert tick(found.layout).incidents == []
    table = list_incidents(found.folder).table("silences")
    assert [row[-1] for row in table.rows] == ["the database is moved"]
    found.wait(HOUR // 2)
    assert [one.incident_id for one, _ in tick(found.layout).incidents] == ["0001-m"]
    assert list_incidents(found.folder).table("silences").rows == []
    with pytest.raises(UsageError, match="a silence that was over at"):
        silence(found.folder, "m", kind="", length="1h", reason="too late", since=begins)


def test_incidents_that_nobody_did_anything_about_lower_the_share_that_was_acted_on(
    tmp_path: Path, receiver: Receiver
) -> None:
    found = service(tmp_path / "s", receiver)
    tick(found.layout)
    found.versions["v1"].errors = 0.0
    found.wait(2 * HOUR)
    found.serve(2)
    tick(found.layout)
    report(found.folder, "m", "prices are wrong", actor="support")
    move(found.folder, "0002", "acked", actor="ada")
    move(found.folder, "0002", "resolved", actor="ada")
    told = incident_stats(incidents_of(found.layout), decisions_of(found.layout), now=found.now)
    shares = {row[1]: row[3] for row in told.table("stats").rows}
    assert shares == {"": 0.5, "guardrail": 0.0, "m": 0.5, "person support": 1.0}


def test_plan_says_that_nobody_is_told(tmp_path: Path) -> None:
    (tmp_path / "setpoint.yaml").write_text("store: ./store\n")
    (tmp_path / "models").mkdir()
    owner = "{team: risk, on_call: bob, escalate_to: https://pager.example/hook}"
    (tmp_path / "models" / "m.yaml").write_text(f"name: m\nowner: {owner}\n")
    doubts = [doubt for model in plan(tmp_path).models for doubt in model.doubts]
    assert doubts == ["owner.on_call: nobody is called bob, so nobody is told: declare on_call in setpoint.yaml"]


def test_what_is_found_later_and_more_urgent_pages_for_an_incident_that_was_a_ticket(
    tmp_path: Path, receiver: Receiver
) -> None:
    ticket = replace(PAGES, name="first", actions=("ticket",))
    many = replace(PAGES, name="many", above=0.5)
    found = service(tmp_path / "s", receiver, ticket, many)
    tick(found.layout, send=send)
    assert [one["urgency"] for one in receiver.bodies] == ["ticket"]
    move(found.folder, "0001", "acked", actor="ada")  # of a ticket: what is worse pages all the same
    found.versions["v1"].errors = 0.9
    found.serve(4)
    tick(found.layout, send=send)
    (incident, events), *others = incidents_of(found.layout)
    assert others == []
    assert [event.key for event in events if event.kind == "raised"] == ["page"]
    assert [one["urgency"] for one in receiver.bodies] == ["ticket", "page"]
    assert list_incidents(found.folder).table("incidents").rows[0][3] == "page"
    assert incident.incident_id in str(receiver.bodies[-1]["next"])
    checks = [event.said.partition(":")[0] for event in events if event.kind == "check"]
    assert len(checks) == 2 * len(set(checks)) > 0  # the runbook was run when it opened, and when it was raised
    tick(found.layout, send=send)
    assert len(receiver.bodies) == 2
