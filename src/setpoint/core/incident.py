"""An incident: what went wrong with one model or several, by one cause, from its begin to its review."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from setpoint.core.clock import DAY
from setpoint.core.guardrail import SUBTLE

Urgency = Literal["digest", "ticket", "page"]
URGENCIES: tuple[Urgency, ...] = ("digest", "ticket", "page")
"""Least urgent first."""


def most_urgent(urgencies: Iterable[Urgency]) -> Urgency:
    """Return the most urgent of some, at least one."""
    return URGENCIES[max(URGENCIES.index(one) for one in urgencies)]


EventKind = Literal[
    "opened",
    "raised",
    "finding",
    "decision",
    "change",
    "acked",
    "mitigated",
    "resolved",
    "reviewed",
    "note",
    "check",
    "verdict",
]


class IncidentState(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    ACKED = "acked"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"
    REVIEWED = "reviewed"

    @property
    def is_over(self) -> bool:
        """Whether nothing is wrong any more."""
        return self in {IncidentState.RESOLVED, IncidentState.REVIEWED}


@dataclass(frozen=True, slots=True)
class Alert:
    """What is wrong with a model, by one cause: findings that began together.

    Attributes:
        model: Whose.
        kind: The kind of the finding that explains the others.
        subject: What that is about.
        started_at: When the first of them began, microseconds.
        urgency: How soon somebody has to look.
        said: One sentence.
        findings: Their identifiers, the one that explains the others first.
        silenced: Findings that this one explains, which tell nobody anything themselves.
    """

    model: str
    kind: str
    subject: str
    started_at: int
    urgency: Urgency
    said: str
    findings: tuple[str, ...]
    silenced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Incident:
    """What was known of an incident when it was opened.

    Attributes:
        incident_id: Its name.
        models: Whose; several share one cause.
        kind: The kind of the finding that explains the others.
        subject: What that is about.
        title: One sentence.
        urgency: How soon somebody had to look; see `urgency_of`.
        started_at: When it began, microseconds.
        opened_at: When it was seen.
        found_by: What found it: a kind of finding, or a person.
    """

    incident_id: str
    models: tuple[str, ...]
    kind: str
    subject: str
    title: str
    urgency: Urgency
    started_at: int
    opened_at: int
    found_by: str

    @property
    def not_before(self) -> int:
        """When it may have begun at the earliest: drift is seen days after it began, all else within hours."""
        return self.started_at - (3 * DAY if self.kind in SUBTLE else DAY)


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """One entry of an incident's timeline; none is ever changed.

    Attributes:
        incident_id: Whose.
        seq: 0 for the first; each number once.
        at: When it happened, microseconds.
        kind: What happened.
        state: Where the incident stands since.
        actor: Who: `setpoint`, or a person.
        said: One sentence.
        key: What it tells of, such as a finding's identifier: told once.
    """

    incident_id: str
    seq: int
    at: int
    kind: EventKind
    state: IncidentState
    actor: str
    said: str
    key: str = ""


def urgency_of(incident: Incident, events: Iterable[IncidentEvent]) -> tuple[Urgency, int]:
    """Return how soon somebody has to look, and since when: what is found later may be more urgent than what was.

    Args:
        incident: As it was opened.
        events: Its timeline.
    """
    raised = [event for event in events if event.kind == "raised"]
    if not raised:
        return incident.urgency, incident.opened_at
    return next(one for one in URGENCIES if one == raised[-1].key), raised[-1].at


@dataclass(frozen=True, slots=True)
class Silence:
    """A time in which nobody is told: a maintenance window, or a known fault. It always ends.

    Attributes:
        silence_id: Its name.
        model: Whose alerts; empty for all models.
        kind: Of which kind of finding; empty for every kind.
        starts_at: Microseconds.
        ends_at: Microseconds.
        actor: Who said so.
        reason: Why.
    """

    silence_id: str
    model: str
    kind: str
    starts_at: int
    ends_at: int
    actor: str
    reason: str

    def covers(self, alert: Alert, now: int) -> bool:
        """Return whether an alert tells nobody anything now."""
        is_meant = self.model in {"", alert.model} and self.kind in {"", alert.kind}
        return is_meant and self.starts_at <= now < self.ends_at
