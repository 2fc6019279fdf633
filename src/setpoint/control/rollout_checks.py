"""The check of rollouts: those that are paused, and those that ended without a verdict."""

from __future__ import annotations

from setpoint.control.decision import PERSON
from setpoint.control.episode import Episode
from setpoint.core.finding import PAUSED_ROLLOUT
from setpoint.core.rollout import Phase
from setpoint.store.layout import Layout
from setpoint.store.rollouts import events_of, rollouts_of


def paused_rollouts(layout: Layout, model: str) -> list[Episode]:
    """Return each time in which a rollout was paused by other than a person, or was past its horizon."""
    found: list[Episode] = []
    for rollout in rollouts_of(layout, model):
        events = events_of(layout, rollout.rollout_id)
        for n, event in enumerate(events):
            if event.phase not in {Phase.PAUSED, Phase.INCONCLUSIVE} or event.cause == PERSON:
                continue
            ended_at = events[n + 1].at if n + 1 < len(events) else None
            said = f"the rollout of {rollout.candidate} is {event.phase}: {event.said}"
            details: dict[str, object] = {"share": event.share}
            found.append(
                Episode(
                    *(PAUSED_ROLLOUT, event.cause, rollout.rollout_id, event.at, ended_at, "breach", said, details),
                    noticed_at=event.at,
                )
            )
    return found
