"""Asks a store about incidents, and writes what people say about them."""

from __future__ import annotations

import contextlib
import getpass
from pathlib import Path

from setpoint.answers.answer import Answer
from setpoint.answers.incidents import incident_list, incident_stats, incident_timeline, review
from setpoint.control.alerts import alerts_of
from setpoint.control.incidents import Timeline, find_incident, move_incident, report_incident
from setpoint.control.paging import Send, deliver, tell_test
from setpoint.core.clock import parse_duration, parse_time, text
from setpoint.core.errors import StoreError, UsageError
from setpoint.core.ids import id_maker
from setpoint.core.incident import Alert, EventKind, Silence
from setpoint.store.decisions import decisions_of
from setpoint.store.findings import open_findings, read_findings
from setpoint.store.incidents import add_silence, incidents_of, silences_of
from setpoint.store.layout import Layout
from setpoint.store.messages import Message


def list_incidents(store: Path) -> Answer:
    """Return what is wrong now."""
    layout = Layout.open(store)
    alerts: list[Alert] = []
    for name in layout.models():
        with contextlib.suppress(StoreError):  # one that cannot be looked at is an incident itself
            alerts += alerts_of(layout.model(name), open_findings(read_findings(layout, name)))
    return incident_list(incidents_of(layout), alerts, silences_of(layout), now=layout.clock.now())


def show_incident(store: Path, incident_id: str) -> Answer:
    """Return what happened in an incident."""
    layout = Layout.open(store)
    incident, events = find_incident(layout, incident_id)
    return incident_timeline(incident, events, now=layout.clock.now(), zone=layout.model(incident.models[0]).timezone)


def stats(store: Path) -> Answer:
    """Return how quickly incidents are seen and mended."""
    layout = Layout.open(store)
    return incident_stats(incidents_of(layout), decisions_of(layout), now=layout.clock.now())


def review_text(store: Path, incident_id: str) -> str:
    """Return the review of an incident, filled in as far as is known."""
    layout = Layout.open(store)
    incident, events = find_incident(layout, incident_id)
    return review(incident, events, zone=layout.model(incident.models[0]).timezone)


def move(store: Path, incident_id: str, kind: EventKind, *, actor: str = "", said: str = "") -> Timeline:
    """Write what a person says about an incident."""
    return move_incident(Layout.open(store), incident_id, kind, actor=actor or getpass.getuser(), said=said)


def report(store: Path, model: str, said: str, *, actor: str = "") -> Timeline:
    """Open an incident that a person found."""
    layout = Layout.open(store)
    return report_incident(layout, layout.model(model).name, said, actor=actor or getpass.getuser())


def silence(store: Path, model: str, *, kind: str, length: str, reason: str, actor: str = "", since: str = "") -> str:
    """Tell nobody about a model, or one kind of finding, for a while; return it in words.

    Args:
        store: The store's folder.
        model: Its name, or `all`.
        kind: Of the findings; empty for every kind.
        length: How long, such as `2h`.
        reason: Why.
        actor: Who says so; the user by default.
        since: When it begins, in the model's zone; now by default.

    Raises:
        UsageError: Nobody says why, or it is over already.
    """
    if not reason:
        msg = "a silence without a reason"
        raise UsageError(msg, hint='say why: --reason "database is moved"')
    layout = Layout.open(store)
    now = layout.clock.now()
    name = "" if model == "all" else layout.model(model).name
    starts_at = parse_time(since, layout.model(name).timezone if name else "UTC") if since else now
    ends_at = starts_at + parse_duration(length)
    if ends_at <= now:
        msg = f"a silence that was over at {text(ends_at, 'UTC')} UTC"
        raise UsageError(msg, hint="name a time to come, or leave --from out")
    add_silence(layout, Silence(id_maker()(now), name, kind, starts_at, ends_at, actor or getpass.getuser(), reason))
    begins = f"from {text(starts_at, 'UTC')} " if since else ""
    told = f"{begins}until {text(ends_at, 'UTC')} UTC"
    return f"{kind or 'every alert'} of {name or 'all models'} is silent {told}: {reason}"


def prove_delivery(store: Path, model: str, send: Send) -> Message:
    """Send a message to whoever is on call for a model, and return what became of it."""
    layout = Layout.open(store)
    now = layout.clock.now()
    message = tell_test(layout, layout.model(model), layout.contacts(), now)
    return next(one for one in deliver(layout, send, now) if one.message_id == message.message_id)
