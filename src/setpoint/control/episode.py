"""An episode: a stretch of time in which something was wrong, as a check sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from setpoint.core.clock import HOUR
from setpoint.core.finding import Finding, Severity


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


def _next_hour(at: int) -> int:
    return at // HOUR * HOUR + HOUR


def _fields(finding: Finding) -> dict[str, object]:
    return {name: getattr(finding, name) for name in finding.__struct_fields__}
