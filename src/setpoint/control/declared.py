"""What was changed on purpose while something was noticed: it may explain a drift, and hides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from setpoint.control.episode import Episode
from setpoint.core.clock import DAY, day_text
from setpoint.store.evidence import Change, RowEvidence

_NAMED = 3


def declared_beside(evidence: RowEvidence, episodes: Sequence[Episode]) -> list[Episode]:
    """Return episodes of drift with the declared changes of their time named."""
    changes = evidence.changes(None) if episodes else []
    return [_named(episode, changes, evidence.model.timezone) for episode in episodes]


def _named(episode: Episode, changes: Sequence[Change], zone: str) -> Episode:
    days = episode.evidence.get("days", 1)  # those that were put together to see it, all over when it was noticed
    start = episode.started_at - (days if isinstance(days, int) else 1) * DAY
    beside = [c for c in changes if c.started_at <= episode.started_at and (c.ended_at or c.started_at) >= start]
    if not beside:
        return episode
    named = ", ".join(
        f"{c.kind} {c.subject} of {day_text(c.started_at, zone)}".replace("  ", " ") for c in beside[:_NAMED]
    )
    more = f" and {len(beside) - _NAMED} more" if len(beside) > _NAMED else ""
    return replace(episode, said=f"{episode.said}; declared in that time: {named}{more}")
