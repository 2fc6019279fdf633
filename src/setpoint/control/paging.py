"""Tells people: one message to each of them about each turn of an incident, tried until it arrives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from threading import Thread

from setpoint.control.incidents import Timeline
from setpoint.core.clock import MICROS, text
from setpoint.core.contacts import Contacts, Person
from setpoint.core.errors import NotDelivered, SetpointError, StoreError, UsageError
from setpoint.core.incident import IncidentState, urgency_of
from setpoint.core.model import Model
from setpoint.store.layout import Layout
from setpoint.store.messages import SCHEMA, Message, messages_of, put_message, update_message

Send = Callable[[Message], None]
"""Delivers a message, or raises."""

AGAIN = 15 * 60 * MICROS
"""How long after a page that nobody answers the next one goes out."""
PAGES, ATTEMPTS = 8, 10
_MINUTE = 60 * MICROS
ALL_SECONDS, ONE_SECONDS = 20.0, 10.0
"""How long a tick may take to deliver all its messages, and one of them."""


def tell(layout: Layout, incidents: Iterable[Timeline], contacts: Contacts, now: int) -> list[Message]:
    """Write the messages that are due about some incidents; return those that are new.

    Who is on call for a model is told when an incident opens and when it is over; of an urgent one that nobody has
    acknowledged once more every 15 minutes, eight times in all, and with whom it is escalated to.

    Args:
        layout: The store.
        incidents: Incidents with their timelines.
        contacts: Who is who.
        now: Microseconds.
    """
    written: list[Message] = []
    for incident, events in incidents:
        state = events[-1].state
        turn = "over" if state.is_over else "open"
        urgency, since = urgency_of(incident, events)
        if urgency == "page" and state is IncidentState.OPEN:
            turn = f"page {min((now - since) // AGAIN + 1, PAGES)}"
        elif state not in {IncidentState.OPEN, IncidentState.RESOLVED}:
            continue
        for name in incident.models:
            try:
                model = layout.model(name)
            except StoreError:  # who owns it cannot be read: the incident stands in the list
                continue
            body = {
                "schema": SCHEMA,
                "incident": incident.incident_id,
                "model": name,
                "state": state.value,
                "urgency": urgency,
                "title": incident.title,
                "started_at": f"{text(incident.started_at, 'UTC')}Z",
                "seen_at": f"{text(incident.opened_at, 'UTC')}Z",
                "timeline": [event.said for event in events[-_TOLD:]],
                "team": model.owner.team if model.owner else "",
                "runbook": model.runbook,
                "next": f"setpoint incident show {incident.incident_id}",
            }
            unanswered = now - since if urgency == "page" and state is IncidentState.OPEN else 0
            for person in _people(model, contacts, now, unanswered):
                message = Message.to(person, f"{incident.incident_id}/{turn}/{person.address}", body, now)
                if put_message(layout, message):
                    written.append(message)
    return written


_TOLD = 12


def tell_test(layout: Layout, model: Model, contacts: Contacts, now: int) -> Message:
    """Write a message that proves that whoever is on call for a model can be told.

    Raises:
        UsageError: Nobody is on call.
    """
    if model.owner is None or not model.owner.on_call:
        msg = f"nobody is on call for {model.name}"
        raise UsageError(msg, hint="declare owner: {team: TEAM, on_call: NAME}")
    person = contacts.on_call(model.owner.on_call, now)
    body = {"schema": SCHEMA, "model": model.name, "state": "test", "title": f"a test: {person.name} is on call"}
    message = Message.to(person, f"test/{model.name}/{now}", body, now)
    put_message(layout, message)
    return message


def deliver(layout: Layout, send: Send, now: int) -> list[Message]:
    """Try each message that is due; return what became of them.

    One that fails is tried again after 1, 2, 4 ... minutes, and given up after ten tries. What takes long does not hold
    up the loop: one may take 10 seconds, all 20, and the rest waits for the next time. What was tried least goes first,
    and to an address that took too long nothing more is sent this time.

    Args:
        layout: The store.
        send: Delivers one.
        now: Microseconds.
    """
    done: list[Message] = []
    slow: set[str] = set()
    until = time.monotonic() + ALL_SECONDS - ONE_SECONDS
    due = [one for one in messages_of(layout) if one.state == "waiting" and one.due_at <= now]
    for message in sorted(due, key=lambda one: one.attempts):
        if message.address in slow:
            continue
        if time.monotonic() >= until:
            break
        tried = replace(message, attempts=message.attempts + 1)
        try:
            within(ONE_SECONDS, message.address, lambda one=message: send(one))
            tried = replace(tried, state="delivered", error="")
        except SetpointError as error:
            slow |= {message.address} if isinstance(error, TookTooLong) else set()
            is_last = tried.attempts >= ATTEMPTS
            later = now + _MINUTE * 2 ** (tried.attempts - 1)
            tried = replace(tried, state="given_up" if is_last else "waiting", due_at=later, error=error.message)
        update_message(layout, tried)
        done.append(tried)
    return done


class TookTooLong(NotDelivered):
    """An address neither took nor refused something in time."""


def within(seconds: float, address: str, act: Callable[[], None]) -> None:
    """Do something with an address, or give up: a socket's own limit is of each step, and a server may drip.

    What hangs does so in a thread that nobody waits for.

    Raises:
        TookTooLong: It takes longer; whether it succeeds later nobody knows.
    """
    ended: Future[None] = Future()

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 — raised where it is waited for
            ended.set_exception(error)
        else:
            ended.set_result(None)

    Thread(target=run, daemon=True).start()
    try:
        ended.result(seconds)
    except TimeoutError as error:
        if ended.done():  # one of its own
            raise
        msg = f"{address} did not answer within {seconds:g} s"
        raise TookTooLong(msg, hint="it is tried again") from error


def _people(model: Model, contacts: Contacts, now: int, unanswered: int) -> Iterator[Person]:
    """Yield who is told about an incident of a model; nobody when nobody is on call: it is then in the list alone."""
    owner = model.owner
    if owner is None:
        return
    for name in (owner.on_call, owner.escalate_to if unanswered >= owner.escalate_after else ""):
        try:
            if name:
                yield contacts.on_call(name, now)
        except UsageError:  # `plan` says that nobody is called so
            continue
