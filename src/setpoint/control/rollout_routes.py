"""The route that belongs to where a rollout stands, and how it comes into force."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from setpoint.control.route_plans import publish
from setpoint.core.errors import StoreBusy
from setpoint.core.rollout import Phase, Rollout, RolloutEvent, standing
from setpoint.core.route_plan import Route, RoutePlan
from setpoint.store.layout import Layout
from setpoint.store.route_file import last_plan


def route_for(rollout: Rollout, events: list[RolloutEvent]) -> Route:
    """Return what services are to do, where a rollout stands.

    A request of the candidate's that fails is answered by the stable version: as evidence it is the candidate's.

    Example:
        >>> from setpoint.core.rollout import RolloutRules
        >>> rollout = Rollout("r", "m", "v1", "v2", RolloutRules(), {}, Route("single", (("v1", 1.0),), "v1"), 0)
        >>> canary = RolloutEvent("r", 1, 0, Phase.CANARY, 0.05, "setpoint", "soaked", "", 3)
        >>> route_for(rollout, [canary]).shares
        (('v2', 0.05), ('v1', 0.95))
    """
    before, stable, candidate = rollout.before, rollout.stable, rollout.candidate
    last = standing(events)
    fallback = (stable, *rollout.others)
    match last.phase:
        case Phase.SHADOW:
            others = tuple(one for one in before.shadows if one[0] != candidate)
            return replace(
                before,
                strategy=before.strategy if before.strategy != "single" else "shadow",
                shadows=(*others, (candidate, 1.0)),
            )
        case Phase.CANARY:
            shares = ((candidate, last.share), (stable, 1.0 - last.share))
            strategy = "canary" if rollout.rules.ab is None else "ab"
            return replace(before, strategy=strategy, shares=shares, stable=stable, fallback=fallback)
        case Phase.PROMOTING | Phase.STABLE:
            shares = ((candidate, 1.0),)
            return replace(before, strategy="fallback", shares=shares, stable=candidate, fallback=fallback)
        case Phase.FALLEN_BACK:
            (other, *more) = rollout.others
            return replace(before, strategy="single", shares=((other, 1.0),), stable=other, fallback=tuple(more))
        case _:
            return before


def after_watch(rollout: Rollout, declared: Route | None, before: Collection[Rollout] = ()) -> Route:
    """Return what services are to do when the previous version is not kept ready any more: the route as it is declared.

    Args:
        rollout: One whose candidate has become the stable version.
        declared: The declared route; None for the one that the rollout began with.
        before: Rollouts that it came after, while they kept their own previous version ready.

    Example:
        >>> from setpoint.core.rollout import RolloutRules
        >>> begun = Route("fallback", (("v1", 1.0),), "v1", fallback=("v0",))
        >>> after_watch(Rollout("r", "m", "v1", "v2", RolloutRules(), {}, begun, 0), None).fallback
        ('v0',)
    """
    is_one = declared is not None and declared.cascade is None and len(declared.shares) == 1
    base = declared if declared is not None and is_one else rollout.before
    kept = {one.stable for one in before if one.stable not in one.before.fallback}
    named = declared.fallback if declared is not None else [one for one in rollout.others if one not in kept]
    fallback = tuple(name for name in named if name != rollout.candidate)
    strategy = base.strategy if fallback or base.strategy != "fallback" else "single"
    shares = ((rollout.candidate, 1.0),)
    return replace(base, strategy=strategy, shares=shares, stable=rollout.candidate, fallback=fallback)


def enforce(layout: Layout, rollout: Rollout, events: list[RolloutEvent]) -> RoutePlan | None:
    """Put the route of the last event in force, unless it is: also when a crash came between the two.

    Args:
        layout: The store.
        rollout: The rollout.
        events: What has happened.

    Returns:
        The plan; None when it was in force already.

    Raises:
        StoreBusy: Somebody else published a plan since the event.
    """
    last, before = events[-1], last_plan(layout, rollout.model)
    wanted, keeps_all = route_for(rollout, events), standing(events).phase in {Phase.SHADOW, Phase.CANARY}
    if before is not None and (before.route, before.keeps_all) == (wanted, keeps_all):
        return None
    generation = before.generation if before else 0
    if generation != last.after_generation:
        if last.phase.is_over:  # what came after it is none of its business
            return None
        msg = f"route plan {generation} of {rollout.model} was published by somebody else during a rollout"
        raise StoreBusy(msg, hint=f"`setpoint rollout rollback {rollout.model}` ends it, `resume` goes on with it")
    # Units are drawn by the rollout's own salt as long as two versions share them.
    salt = rollout.rollout_id if len(wanted.shares) > 1 else None
    return publish(
        layout,
        rollout.model,
        wanted,
        expected_generation=generation,
        salt=salt,
        reason=f"{last.phase}: {last.said}",
        keeps_all=keeps_all,
    )
