"""Opens incidents from alerts, keeps their timelines, and closes them when what was wrong is over."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

import msgspec

from setpoint.control.alerts import FAILED_CHECKS, by_cause, silenced
from setpoint.core.clock import DAY
from setpoint.core.errors import StoreError, UsageError
from setpoint.core.finding import GUARDRAIL, Finding
from setpoint.core.guardrail import SUBTLE
from setpoint.core.incident import (
    URGENCIES,
    Alert,
    EventKind,
    Incident,
    IncidentEvent,
    IncidentState,
    most_urgent,
    urgency_of,
)
from setpoint.store.decisions import decisions_of
from setpoint.store.evidence import Change
from setpoint.store.findings import read_findings
from setpoint.store.incidents import add_events, incidents_of, open_incident, silences_of
from setpoint.store.layout import Layout

SETPOINT = "setpoint"
REPORTED = "reported"
"""The kind of an incident that a person found, before any check did."""
Timeline = tuple[Incident, list[IncidentEvent]]
_MOVES: Mapping[EventKind, IncidentState] = {
    "raised": IncidentState.OPEN,  # who looked at a ticket is paged all the same
    "acked": IncidentState.ACKED,
    "mitigated": IncidentState.MITIGATED,
    "resolved": IncidentState.RESOLVED,
    "reviewed": IncidentState.REVIEWED,
}


def update_incidents(
    layout: Layout,
    alerts: Sequence[Alert],
    findings: Mapping[str, Finding],
    changes: Mapping[str, Sequence[Change]],
    now: int,
    *,
    unseen: Collection[str] = (),
) -> list[Timeline]:
    """Bring incidents up to what is wrong now; return those that changed.

    Run it as often as you like: what was told of is told once.

    Args:
        layout: The store.
        alerts: What is wrong.
        findings: The findings behind that, by their identifiers.
        changes: By model, what was changed lately.
        now: Microseconds.
        unseen: Models that could not be looked at: nothing of theirs is over.

    Raises:
        StoreBusy: Somebody else does the same.
    """
    known = incidents_of(layout)
    quiet = silenced(alerts, silences_of(layout), now)
    changed: list[Timeline] = []
    for group in by_cause(one for one in alerts if one not in quiet):
        before = _same(group, known)
        if before is None and most_urgent(one.urgency for one in group) == "digest":
            continue  # for the digest
        if before is None:
            changed.append(_opened(layout, group, findings, changes, now))
        elif fresh := [
            *(raised := _raised(*before, group, now)),
            *_fresh(layout, before[0], [*before[1], *raised], group, findings),
        ]:
            add_events(layout, fresh)
            changed.append((before[0], [*before[1], *fresh]))
    still = {name for one in alerts for name in (*one.findings, *one.silenced)}
    for incident, events in known:
        found = _findings_of(events)  # none of what a person reported: that is over when a person says so
        is_unseen = bool(set(incident.models) & set(unseen)) and incident.kind != FAILED_CHECKS
        if found and not events[-1].state.is_over and not found & still and not is_unseen:
            done = _event(events, now, "resolved", SETPOINT, "what was found is over")
            add_events(layout, [done])
            changed.append((incident, [*events, done]))
    return changed


def move_incident(layout: Layout, incident_id: str, kind: EventKind, *, actor: str, said: str) -> Timeline:
    """Write what a person says about an incident: that they look, that it is mitigated, resolved, reviewed; a note.

    Raises:
        UsageError: There is no such incident, or it is past that.
        StoreBusy: Somebody else wrote at the same time.
    """
    incident, events = find_incident(layout, incident_id)
    order = list(IncidentState)
    state = _MOVES.get(kind)
    if state is not None and order.index(state) <= order.index(events[-1].state):
        msg = f"incident {incident.incident_id} is {events[-1].state} already"
        raise UsageError(msg, hint="a note can be added at any time: `setpoint incident note`")
    event = _event(events, layout.clock.now(), kind, actor, said or f"{kind} by {actor}")
    add_events(layout, [event])
    return incident, [*events, event]


def attach(layout: Layout, timeline: Timeline, told: Iterable[tuple[EventKind, str]]) -> Timeline:
    """Write what was found out about an incident into its timeline.

    Raises:
        StoreBusy: Somebody else wrote at the same time.
    """
    incident, events = timeline
    written = list(events)
    for kind, said in told:
        written.append(_event(written, layout.clock.now(), kind, SETPOINT, said))
    add_events(layout, written[len(events) :])
    return incident, written


def report_incident(layout: Layout, model: str, said: str, *, actor: str) -> Timeline:
    """Open an incident that a person found, before any check did."""
    now = layout.clock.now()
    name = _name(model, len(incidents_of(layout)))
    incident = Incident(name, (model,), REPORTED, "", said, "ticket", now, now, f"person {actor}")
    events = [_event([], now, "opened", actor, said, incident_id=name)]
    open_incident(layout, incident, events)
    return incident, events


def find_incident(layout: Layout, incident_id: str) -> Timeline:
    """Return an incident with its timeline, by its name or its number.

    Raises:
        UsageError: None or several are called so.
    """
    known = incidents_of(layout)
    found = [one for one in known if incident_id in {one[0].incident_id, one[0].incident_id.partition("-")[0]}]
    if len(found) == 1:
        return found[0]
    msg = f"{'no incident is' if not found else 'several incidents are'} called {incident_id!r}"
    raise UsageError(msg, hint="see `setpoint incident list`")


def about_a_metric(layout: Layout, incident: Incident, events: Sequence[IncidentEvent]) -> Incident:
    """Return an incident as one of the guardrail on a metric that it has met since: that can be recomputed."""
    told = {event.key for event in events if event.kind == "finding"}
    if incident.kind == GUARDRAIL:
        return incident
    for finding in read_findings(layout, incident.models[0]):
        if finding.kind == GUARDRAIL and finding.finding_id in told:
            return replace(incident, kind=GUARDRAIL, subject=finding.subject)
    return incident


def may_have_begun(incident: Incident, findings: Iterable[Finding]) -> int:
    """Return when an incident may have begun at the earliest: drift that took many days to be seen, before these.

    Args:
        incident: The incident.
        findings: The rows of its model's findings, also of those that are closed by now.
    """
    days = [
        cast("int", cast("dict[str, object]", msgspec.json.decode(one.evidence)).get("days", 0))
        for one in findings
        if incident.kind in SUBTLE and one.kind == incident.kind and one.started_at == incident.started_at
    ]
    return min(incident.not_before, incident.started_at - max(days, default=0) * DAY)


def harm_ended_at(layout: Layout, events: Iterable[IncidentEvent]) -> int | None:
    """Return when an incident did no more harm: another version answered, or somebody said so; None while it may."""
    helped = {
        one.decision_id
        for one in decisions_of(layout)
        if one.is_carried_out and one.decision.action in {"fall_back", "roll_back"}
    }
    return min((one.at for one in events if one.kind in {"mitigated", "resolved"} or one.key in helped), default=None)


def _same(group: Sequence[Alert], known: Iterable[Timeline]) -> Timeline | None:
    """Return the incident that is open for these alerts, if there is one."""
    wanted = {name for alert in group for name in alert.findings}
    for incident, events in known:
        if events[-1].state.is_over:
            continue
        is_cause = (incident.kind, incident.subject) == (group[0].kind, group[0].subject)
        is_model = bool({alert.model for alert in group} & set(incident.models))
        if _findings_of(events) & wanted or (is_cause and is_model):
            return incident, events
    return None


def _opened(
    layout: Layout,
    group: Sequence[Alert],
    findings: Mapping[str, Finding],
    changes: Mapping[str, Sequence[Change]],
    now: int,
) -> Timeline:
    first = min(group, key=lambda one: one.started_at)
    models = tuple(dict.fromkeys(alert.model for alert in group))
    name = _name(models[0], len(incidents_of(layout)))
    where = f" in {len(models)} models" if len(models) > 1 else ""
    incident = Incident(
        name,
        models,
        first.kind,
        first.subject,
        f"{first.said}{where}{_upstream(layout, first)}",
        most_urgent(one.urgency for one in group),
        first.started_at,
        now,
        first.kind,
    )
    events = [_event([], now, "opened", SETPOINT, incident.title, incident_id=name)]
    told = [
        (change.started_at, f"{model}: {change.kind} {change.subject} {change.note}".rstrip())
        for model in models
        for change in changes.get(model, ())
    ]
    for at, said in sorted(told)[-_CHANGES:]:
        events.append(_event(events, at, "change", SETPOINT, said, key=f"change {at} {said}"))
    events += _fresh(layout, incident, events, group, findings)
    open_incident(layout, incident, events)
    return incident, events


_CHANGES = 10


def _upstream(layout: Layout, first: Alert) -> str:
    """Return in words which team owns what delivers the input that an alert is about; empty where nobody said."""
    try:
        model = layout.model(first.model)
    except StoreError:  # the alert is that it cannot be read
        return ""
    source = model.source_of(first.subject)
    return f"; delivered by {model.whom_to_ask(source)}" if source else ""


def _fresh(
    layout: Layout,
    incident: Incident,
    events: Sequence[IncidentEvent],
    group: Sequence[Alert],
    findings: Mapping[str, Finding],
) -> Iterator[IncidentEvent]:
    """Yield an entry for each finding and decision that the timeline does not tell of yet."""
    written = list(events)
    told = {event.key for event in events}
    said: list[tuple[int, str, str, str]] = []
    for alert in group:
        for name in alert.findings:
            one = findings.get(name)  # none of a model that cannot be looked at: the alert says it all
            at, words = (one.recorded_at, f"{one.kind}: {one.said}") if one else (alert.started_at, alert.said)
            said.append((at, "finding", f"{alert.model}: {words}", name))
    for model in incident.models:
        said += [
            (one.at, "decision", f"{model}: {one.decision.action}: {one.decision.said}", one.decision_id)
            for one in decisions_of(layout, model=model)
            if one.at >= incident.started_at
        ]
    for at, kind, words, key in sorted(said):
        if key not in told:
            event = _event(written, at, "finding" if kind == "finding" else "decision", SETPOINT, words, key=key)
            told.add(key)
            written.append(event)
            yield event


def _raised(
    incident: Incident, events: Sequence[IncidentEvent], group: Sequence[Alert], now: int
) -> list[IncidentEvent]:
    """Return an entry when what was found since is more urgent than what the incident was opened for."""
    known, _ = urgency_of(incident, events)
    worst = max(group, key=lambda one: URGENCIES.index(one.urgency))
    if most_urgent((known, worst.urgency)) == known:
        return []
    return [_event(events, now, "raised", SETPOINT, f"{worst.urgency}: {worst.said}", key=worst.urgency)]


def _event(
    events: Sequence[IncidentEvent],
    at: int,
    kind: EventKind,
    actor: str,
    said: str,
    *,
    key: str = "",
    incident_id: str = "",
) -> IncidentEvent:
    name = incident_id or events[0].incident_id
    before = events[-1].state if events else IncidentState.OPEN
    return IncidentEvent(name, len(events), at, kind, _MOVES.get(kind, before), actor, said, key)


def _findings_of(events: Iterable[IncidentEvent]) -> set[str]:
    return {event.key for event in events if event.kind == "finding"}


def _name(model: str, count: int) -> str:
    """Return a name that sorts by time and that a person can say."""
    return f"{count + 1:04d}-{model}"
