"""What declared guardrails and objectives would see in a store today."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from setpoint.control.guarded import read_each, unfed
from setpoint.control.objectives import unfed_objective
from setpoint.control.rollouts import is_watched
from setpoint.core.model import Model
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout
from setpoint.store.rollouts import events_of, rollouts_of
from setpoint.store.summaries import Summaries


@dataclass(frozen=True, slots=True)
class Watched:
    """What is to be said of a model's guardrails and objectives before they are in force.

    Attributes:
        unfed: Those that would watch nothing, in words: they are refused.
        doubts: Those beyond their red line already, or with an action that nothing is there for.
    """

    unfed: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def watched(layout: Layout | None, model: Model) -> Watched:
    """Return what a model's guardrails would see; nothing while nothing was recorded.

    Args:
        layout: The store; None when there is none yet.
        model: The declaration.
    """
    refused = [f"objective {one.name}: {said}" for one in model.objectives if (said := unfed_objective(model, one))]
    if layout is None or not model.guardrails:
        return Watched(tuple(refused))
    now = layout.clock.now()
    doubts = _without_way_back(layout, model)
    with (
        Summaries.reading(layout.summaries(model.name)) as summaries,
        closing(KeptEvidence(layout, model, now, now, summaries)) as evidence,
    ):
        if evidence.span is None:
            return Watched(tuple(refused), tuple(doubts))
        for guardrail in model.guardrails:
            if said := unfed(evidence, guardrail, now):
                refused.append(f"guardrail {guardrail.name}: {said}")
            elif guardrail.metric:
                for one, reading in read_each(evidence, guardrail, now):
                    beyond = f"{one.subject} is beyond its red line already: {reading.said}"
                    doubts += [f"guardrail {guardrail.name}: {beyond}"] if reading.is_crossed else []
    return Watched(tuple(refused), tuple(doubts))


def _without_way_back(layout: Layout, model: Model) -> list[str]:
    found = rollouts_of(layout, model.name)
    last = events_of(layout, found[-1].rollout_id)[-1] if found else None
    if last is not None and (not last.phase.is_over or is_watched(found[-1], last, layout.clock.now())):
        return []
    fallback = model.route.fallback if model.route else ()
    instead = f"fall_back (to {fallback[0]})" if fallback else "page"
    return [
        f"guardrail {one.name}: no version is left to roll back to while no rollout is under way: use {instead}"
        for one in model.guardrails
        if "roll_back" in one.actions
    ]
