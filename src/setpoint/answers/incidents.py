"""What is wrong now, what happened in an incident, and how quickly incidents are seen and mended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from statistics import median

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.control.incidents import SETPOINT, Timeline
from setpoint.core.clock import duration_text, text
from setpoint.core.decision import Recorded
from setpoint.core.incident import Alert, Incident, IncidentEvent, IncidentState, Silence, urgency_of
from setpoint.core.metric import counted, number
from setpoint.core.verdict import Verdict

LIST_COLUMNS = ("incident", "models", "state", "urgency", "started_at", "opened_at", "title")
TIMELINE_COLUMNS = ("seq", "at", "kind", "state", "actor", "said")
DIGEST_COLUMNS = ("model", "kind", "subject", "started_at", "said")
SILENCE_COLUMNS = ("model", "kind", "starts_at", "ends_at", "actor", "reason")
STATS_COLUMNS = (
    *("by", "group", "incidents", "acted_share", "seen_after_seconds", "acked_after_seconds"),
    *("mitigated_after_seconds", "resolved_after_seconds"),
)
_LIST_SHOWN = ("incident", "models", "state", "urgency", "since", "what")
_TIMELINE_SHOWN = ("when", "what", "by", "")
_DIGEST_SHOWN = ("model", "finding", "since", "")
_SILENCES_SHOWN = ("silent", "finding", "from", "until", "")
_STATS_SHOWN = ("by", "", "incidents", "acted on", "seen after", "acked after", "mitigated after", "resolved after")


def incident_list(
    incidents: Sequence[Timeline],
    alerts: Iterable[Alert],
    silences: Iterable[Silence] = (),
    *,
    now: int,
    zone: str = "UTC",
) -> Answer:
    """What is wrong now? Open incidents, the latest others, and what is noticed that nobody has to look at now.

    Args:
        incidents: All incidents with their timelines.
        alerts: What is wrong with the models.
        silences: When nobody is told; those that are over are left out.
        now: The time the answer is for.
        zone: The zone its times are shown in.
    """
    open_ = [one for one in incidents if not one[1][-1].state.is_over]
    others = [one for one in incidents if one[1][-1].state.is_over]
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for incident, events in [*reversed(open_), *reversed(others)]:
        state, models = events[-1].state.value, ", ".join(incident.models)
        urgency, _ = urgency_of(incident, events)
        rows.append(
            (
                *(incident.incident_id, models, state, urgency),
                *(incident.started_at, incident.opened_at, incident.title),
            )
        )
        since = text(incident.started_at, zone)
        lines.append((incident.incident_id, models, state, urgency, since, incident.title))
    quiet = [alert for alert in alerts if alert.urgency == "digest"]
    digest = Table(
        "digest",
        DIGEST_COLUMNS,
        [(one.model, one.kind, one.subject, one.started_at, one.said) for one in quiet],
        _DIGEST_SHOWN,
        [(one.model, one.kind, text(one.started_at, zone), one.said) for one in quiet],
    )
    headline = f"{counted(len(open_), 'incident')} open" if open_ else "no incident is open"
    notes = [f"{counted(len(quiet), 'alert')} that nobody has to look at now"] if quiet else []
    return Answer(
        "incidents",
        "",
        Verdict.BREACH if open_ else Verdict.OK,
        headline,
        tuple(notes),
        (),
        now,
        zone,
        (Table("incidents", LIST_COLUMNS, rows, _LIST_SHOWN, lines[:_SHOWN]), digest, _silences(silences, now, zone)),
    )


def _silences(silences: Iterable[Silence], now: int, zone: str) -> Table:
    kept = [one for one in silences if one.ends_at > now]
    return Table(
        "silences",
        SILENCE_COLUMNS,
        [(one.model, one.kind, one.starts_at, one.ends_at, one.actor, one.reason) for one in kept],
        _SILENCES_SHOWN,
        [
            (one.model or "(all)", one.kind or "(any)", text(one.starts_at, zone), text(one.ends_at, zone), one.reason)
            for one in kept
        ],
    )


_SHOWN = 20


def incident_timeline(incident: Incident, events: Sequence[IncidentEvent], *, now: int, zone: str) -> Answer:
    """What happened in an incident? Its timeline, from findings, decisions, changes and what people said."""
    last = events[-1]
    ordered = sorted(events, key=lambda one: (one.at, one.seq))
    later = duration_text(incident.opened_at - incident.started_at)
    lasted = (last.at if last.state.is_over else now) - incident.started_at
    return Answer(
        "incident",
        ", ".join(incident.models),
        Verdict.OK if last.state.is_over else Verdict.BREACH,
        f"{incident.incident_id}: {incident.title}",
        (
            f"{last.state}, {urgency_of(incident, events)[0]}, found by {incident.found_by}",
            f"began {text(incident.started_at, zone)}, seen {later} later, {duration_text(lasted)} in all",
        ),
        (),
        now,
        zone,
        (
            Table(
                "timeline",
                TIMELINE_COLUMNS,
                [(one.seq, one.at, one.kind, one.state.value, one.actor, one.said) for one in ordered],
                _TIMELINE_SHOWN,
                [(text(one.at, zone), one.kind, one.actor, one.said) for one in ordered],
            ),
        ),
    )


def incident_stats(incidents: Sequence[Timeline], decisions: Sequence[Recorded], *, now: int) -> Answer:
    """How quickly are incidents seen and mended? Medians by model and by what found them, people included.

    Args:
        incidents: All incidents with their timelines.
        decisions: What was decided: candidates that were rolled back are incidents that did not happen to all.
        now: The time the answer is for.
    """
    groups: dict[tuple[str, str], list[Timeline]] = {("all", ""): list(incidents)}
    for one in incidents:
        for model in one[0].models:
            groups.setdefault(("model", model), []).append(one)
        groups.setdefault(("found by", one[0].found_by), []).append(one)
    done = {one.decision_id for one in decisions if one.is_carried_out and one.decision.action not in _TELLING}
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for (by, group), found in sorted(groups.items()):
        acted = _acted_share(found, done)
        took = [_median(_took(one, state) for one in found) for state in (None, *_TURNS)]
        rows.append((by, group, len(found), acted, *(None if one is None else one / 1e6 for one in took)))
        told = ("" if one is None else duration_text(int(one)) for one in took)
        lines.append((by, group, f"{len(found):,}", "" if acted is None else number(acted, "share"), *told))
    prevented = [one for one in decisions if one.decision.rule == "red_line" and one.is_carried_out]
    said = f"{counted(len(prevented), 'candidate')} rolled back before all units met it: incidents prevented"
    if not incidents:
        return Answer("incident_stats", "", Verdict.OK, "there was no incident yet", (said,), (), now, "UTC", ())
    return Answer(
        "incident_stats",
        "",
        Verdict.OK,
        f"{counted(len(incidents), 'incident')}, half of them seen within {lines[0][4]}",
        (said, "medians; what has not happened yet is left out"),
        (),
        now,
        "UTC",
        (Table("stats", STATS_COLUMNS, rows, _STATS_SHOWN, lines),),
    )


def _acted_share(incidents: Iterable[Timeline], done: Collection[str]) -> float | None:
    """Return the share of incidents that are over about which something was done: others told people in vain."""
    acted = [
        any(event.key in done or (event.actor != SETPOINT and event.kind not in _NOTHING) for event in events)
        for _, events in incidents
        if events[-1].state.is_over
    ]
    return sum(acted) / len(acted) if acted else None


_TELLING = ("page", "ticket", "webhook")
_NOTHING = ("opened", "resolved")
"""What a person writes who only closes an incident."""
_TURNS = (IncidentState.ACKED, IncidentState.MITIGATED, IncidentState.RESOLVED)


def _took(one: Timeline, state: IncidentState | None) -> int | None:
    """Return how long after its begin an incident reached a state, or was seen; None when it has not."""
    incident, events = one
    if state is None:
        return incident.opened_at - incident.started_at
    order = list(IncidentState)
    reached = [event.at for event in events if order.index(event.state) >= order.index(state)]
    return min(reached) - incident.started_at if reached else None


def _median(values: Iterable[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def review(incident: Incident, events: Sequence[IncidentEvent], *, zone: str) -> str:
    """Return the review of an incident in Markdown, filled in as far as is known."""
    urgency, _ = urgency_of(incident, events)
    times = {
        "began": incident.started_at,
        "seen": incident.opened_at,
        **{
            state.value: next((event.at for event in events if event.state is state), None)
            for state in (*_TURNS, IncidentState.REVIEWED)
        },
    }
    told = [f"| {name} | {'' if at is None else text(at, zone)} |" for name, at in times.items()]
    lines = [f"- {text(one.at, zone)} {one.kind}: {one.said} ({one.actor})" for one in sorted(events, key=_when)]
    actions = [f"- {one.said}" for one in events if one.kind == "decision"] or ["- none was recorded"]
    return "\n".join(
        [
            f"# {incident.incident_id}: {incident.title}",
            "",
            f"Models: {', '.join(incident.models)}. Found by: {incident.found_by}. Urgency: {urgency}.",
            "",
            "| | when |",
            "|---|---|",
            *told,
            "",
            "## What happened",
            *lines,
            "",
            "## What was done",
            *actions,
            "",
            "## What caused it",
            "",
            "## What would have found it sooner, or kept it from happening",
            "",
        ]
    )


def _when(event: IncidentEvent) -> tuple[int, int]:
    return event.at, event.seq
