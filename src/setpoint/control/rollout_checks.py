"""The check of rollouts: those that are paused, ended without a verdict, or were overtaken by another route."""

from __future__ import annotations

from setpoint.control.decision import PERSON
from setpoint.control.episode import Episode
from setpoint.control.rollout_routes import route_for
from setpoint.core.finding import PAUSED_ROLLOUT
from setpoint.core.rollout import Phase, Rollout, RolloutEvent
from setpoint.store.layout import Layout
from setpoint.store.rollouts import events_of, rollouts_of
from setpoint.store.route_file import last_plan


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
        found += _overtaken(layout, rollout, events)
    return found


def _overtaken(layout: Layout, rollout: Rollout, events: list[RolloutEvent]) -> list[Episode]:
    """Return the time in which a route of somebody else is in force instead of a running rollout's own."""
    last, plan = events[-1], last_plan(layout, rollout.model)
    if last.phase.is_over or plan is None or plan.generation <= last.after_generation:
        return []
    if plan.route == route_for(rollout, events):
        return []
    said = f"the rollout of {rollout.candidate} waits: route plan {plan.generation} was published by somebody else"
    details: dict[str, object] = {"generation": plan.generation}
    return [
        Episode(
            *(PAUSED_ROLLOUT, "other_route", rollout.rollout_id, plan.published_at, None, "breach", said, details),
            noticed_at=plan.published_at,
        )
    ]
