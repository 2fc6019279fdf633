"""A tick killed on either side of what it begins, does and records: nothing that was decided is lost or done twice."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.chaos.conftest import Actor
from tests.control.served import OWNED, Service
from tests.control.test_incidents import Receiver

from setpoint.connect.notify import send
from setpoint.control.guardrail_checks import crossed_guardrails
from setpoint.control.loop import tick
from setpoint.control.paging import Send
from setpoint.control.route_plans import publish
from setpoint.core.clock import DAY, HOUR
from setpoint.core.contacts import Contacts, Person
from setpoint.core.finding import GUARDRAIL
from setpoint.core.guardrail import Guardrail, GuardrailAction
from setpoint.core.retraining import RetrainingRules
from setpoint.core.route_plan import Route
from setpoint.project.retraining import begin_retraining
from setpoint.project.rollouts import start_rollout
from setpoint.store.decisions import begun_decisions, decisions_of
from setpoint.store.incidents import incidents_of
from setpoint.store.layout import Layout
from setpoint.store.messages import messages_of
from setpoint.store.retrainings import retrainings_of
from setpoint.store.rollouts import events_of
from setpoint.store.route_file import history
from setpoint.testing import Behaviour

ACTIONS: tuple[GuardrailAction, ...] = ("fall_back", "roll_back", "pause", "retrain", "webhook")
LOW = Guardrail("low", "accuracy", below=0.8, actions=("ticket",), mode="act")
PRINTS_V9 = RetrainingRules((sys.executable, "-c", "print('v9')"))
NOT_DONE = "a crash cut it off, and it is not called for any more"


def service(folder: Path, *guardrails: Guardrail, retraining: RetrainingRules = PRINTS_V9) -> Service:
    """Give a model that is wrong half of the time; outcomes say so."""
    model = replace(OWNED, guardrails=guardrails, retraining=retraining, outcome_horizon=DAY)
    found = Service(folder, model, {"v1": Behaviour(wrong=0.5), "v2": Behaviour(), "v9": Behaviour()}, rate=500)
    found.serve(2, outcomes=True)
    found.wait(HOUR // 4)
    return found


def look(layout: Layout, *, send: Send | None = None) -> None:
    tick(layout, checks={GUARDRAIL: crossed_guardrails}, send=send)


def crossed(folder: Path, action: GuardrailAction) -> Path:
    told = replace(LOW, actions=(action,), webhook="https://jobs.example/act" if action == "webhook" else "")
    found = service(folder, told)
    if action == "fall_back":
        publish(found.layout, "m", Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",)))
    if action in {"roll_back", "pause"}:
        start_rollout(found.folder, "m", "v2")
        found.look()
    return found.folder


def done(folder: Path) -> Mapping[str, object]:
    layout = Layout.open(folder)
    return {
        "decisions": [(one.decision_id, one.is_carried_out, one.at) for one in decisions_of(layout)],
        "begun": begun_decisions(layout, "m"),
        "routes": [plan.route for plan in history(layout, "m")],
        "events": [(one.seq, one.phase, one.said) for one in events_of(layout, "m/v2/1")],
        "retrainings": [(one.retraining_id, one.state) for one in retrainings_of(layout)],
        "messages": [one.message_id for one in messages_of(layout)],
    }


@pytest.mark.chaos
@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_done_once_wherever_a_crash_comes_between(
    tmp_path: Path, actor: Actor, action: GuardrailAction
) -> None:
    store = crossed(tmp_path / "s", action)
    places = [f"after {what}" for what in ("begin", action, "record")]
    copies = {place: shutil.copytree(store, tmp_path / place.replace(" ", "-")) for place in places}
    look(Layout.open(store))
    expected = done(store)
    assert expected["begun"] == []
    (decided,) = (one for one in decisions_of(Layout.open(store)) if one.subject == "low")
    assert decided.is_carried_out, decided.decision.said
    for place, copy in copies.items():
        assert actor(place, copy) == signal.SIGKILL
        look(Layout.open(copy))
        assert done(copy) == expected, place
        look(Layout.open(copy))
        assert done(copy) == expected, place


@pytest.mark.chaos
@pytest.mark.parametrize("action", ACTIONS)
def test_what_was_done_is_recorded_when_it_is_not_called_for_any_more(
    tmp_path: Path, actor: Actor, action: GuardrailAction
) -> None:
    store = crossed(tmp_path / "s", action)
    for place, is_done in ((f"after {action}", True), ("after begin", False)):
        copy = shutil.copytree(store, tmp_path / place.replace(" ", "-"))
        assert actor(place, copy) == signal.SIGKILL
        layout = Layout.open(copy)
        layout.declare(replace(layout.model("m"), guardrails=()))
        look(layout)
        (decided,) = (one for one in decisions_of(layout) if one.subject == "low")
        assert decided.is_carried_out == is_done
        assert (NOT_DONE in decided.decision.said) != is_done
        assert begun_decisions(layout, "m") == []


@pytest.mark.chaos
@pytest.mark.parametrize("place", ["before incident", "after incident", "before checks", "after checks"])
def test_the_checks_of_a_runbook_are_in_the_timeline_once(tmp_path: Path, actor: Actor, place: str) -> None:
    found = service(tmp_path / "s", LOW)
    assert actor(place, found.folder) == signal.SIGKILL
    look(found.layout)
    look(found.layout)
    ((_, events),) = incidents_of(found.layout)
    kinds = [one.kind for one in events]
    assert (kinds.count("check"), kinds.count("verdict")) == (4, 1)


@pytest.mark.chaos
def test_a_message_that_went_out_goes_out_again_under_the_same_name(tmp_path: Path, actor: Actor) -> None:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        found = service(tmp_path / "s", replace(LOW, actions=("webhook",), webhook=receiver.address))
        assert actor("before delivery", found.folder) == signal.SIGKILL
        look(found.layout, send=send)
        look(found.layout, send=send)
    finally:
        receiver.server.shutdown()
        thread.join()
        receiver.server.server_close()
    (message,) = messages_of(found.layout)
    assert message.state == "delivered"
    assert [one["X-Setpoint-Delivery"] for one in receiver.headers] == [message.message_id] * 2


@pytest.mark.chaos
def test_a_retraining_cut_off_after_it_told_somebody_waits_for_them(tmp_path: Path, actor: Actor) -> None:
    found = service(tmp_path / "s", retraining=RetrainingRules(webhook="airflow"))
    found.layout.put_contacts(Contacts({"airflow": Person("airflow", "https://jobs.example/train")}))
    begin_retraining(found.folder, "m", reason="it is old")
    assert actor("after asked", found.folder) == signal.SIGKILL
    look(found.layout)
    assert [one.state for one in retrainings_of(found.layout)] == ["asked"]


@pytest.mark.chaos
def test_a_retraining_cut_off_after_its_version_became_a_candidate_is_done(tmp_path: Path, actor: Actor) -> None:
    found = service(tmp_path / "s")
    begin_retraining(found.folder, "m", reason="it is old")
    assert actor("after candidate", found.folder) == signal.SIGKILL
    look(found.layout)
    (one,) = retrainings_of(found.layout)
    assert (one.state, one.version) == ("done", "v9")
    assert one.said == "v9 is a candidate in shadow: rollout m/v9/1"
