"""An episode: a stretch of time in which something was wrong, as a check sees it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from setpoint.core.clock import HOUR
from setpoint.core.finding import Finding, Severity
from setpoint.core.window import shift_days

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of time in which something was wrong.

    Attributes:
        kind: Such as `quarantined_rows`.
        cause: What it is put down to.
        subject: What it is about.
        started_at: Start of its first hour.
        ended_at: When it was over; None while it goes on.
        severity: How bad.
        said: One sentence.
        evidence: The numbers behind it.
        noticed_at: When it was noticed; at the end of its first hour when None.
    """

    kind: str
    cause: str
    subject: str
    started_at: int
    ended_at: int | None
    severity: Severity
    said: str
    evidence: dict[str, object]
    noticed_at: int | None = None

    def findings(self, model: str, now: int) -> list[Finding]:
        """Return the rows of the findings table: one when it opened, one when it closed."""
        opened = Finding(
            model=model,
            kind=self.kind,
            cause=self.cause,
            subject=self.subject,
            started_at=self.started_at,
            ended_at=None,
            severity=self.severity,
            state="open",
            said=self.said,
            evidence="{}",
            recorded_at=_next_hour(self.started_at) if self.noticed_at is None else self.noticed_at,
            revision=0,
        )
        if opened.recorded_at > now:
            return []
        if self.ended_at is None or self.ended_at > now:
            return [opened]
        details = json.dumps(self.evidence, sort_keys=True)
        closed = {"ended_at": self.ended_at, "state": "closed", "revision": 1, "recorded_at": self.ended_at}
        return [opened, Finding(**{**_fields(opened), **closed, "evidence": details})]  # pyright: ignore[reportArgumentType] — the fields of a Finding


def stretches(days: Iterable[tuple[int, Told | None]], zone: str) -> list[tuple[int, Told, int | None]]:
    """Return each run of days of which something is told: its first midnight, what was told then, and when it was over.

    Args:
        days: Midnights, oldest first, each with what is told of that day; None ends a run when that day is over.
        zone: Whose days.

    Example:
        >>> stretches([(0, "a"), (86_400_000_000, "b"), (172_800_000_000, None)], "UTC")
        [(0, 'a', 259200000000)]
    """
    found: list[tuple[int, Told, int | None]] = []
    first: tuple[int, Told] | None = None
    for midnight, told in days:
        if first is None and told is not None:
            first = midnight, told
        elif first is not None and told is None:
            found.append((*first, shift_days(midnight, 1, zone)))
            first = None
    return found if first is None else [*found, (*first, None)]


def _next_hour(at: int) -> int:
    return at // HOUR * HOUR + HOUR


def _fields(finding: Finding) -> dict[str, object]:
    return {name: getattr(finding, name) for name in finding.__struct_fields__}
