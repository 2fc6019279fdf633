"""Moves rollouts: looks, decides, writes the event, and only then changes who gets which version.

So a crash between any two of these loses nothing: what was decided is carried out by whoever comes next.
"""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from setpoint.control.decision import PERSON, Action, decide
from setpoint.control.ownership import undeclared
from setpoint.control.rollout_routes import after_watch, enforce, route_for
from setpoint.control.rollout_sight import see
from setpoint.control.route_plans import publish
from setpoint.control.way_back import no_help
from setpoint.core.clock import duration_text
from setpoint.core.decision import Decision, Recorded
from setpoint.core.errors import StoreBusy, UsageError
from setpoint.core.rollout import Phase, Rollout, RolloutEvent, standing
from setpoint.core.route_plan import RoutePlan
from setpoint.store.decisions import decisions_of, record_decision
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout
from setpoint.store.rollouts import active_rollout, append, begin, events_of, rollouts_of
from setpoint.store.route_file import last_plan

SETPOINT = "setpoint"
"""Who decides when no person does."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a rollout in one look.

    Attributes:
        rollout: The rollout.
        decision: What was decided.
        event: What was written; None when it stays where it is.
        plan: The route plan that came into force; None when none did.
    """

    rollout: Rollout
    decision: Decision
    event: RolloutEvent | None
    plan: RoutePlan | None


def start(layout: Layout, rollout: Rollout, *, actor: str) -> RolloutEvent:
    """Write a new rollout as a draft: the next `advance` begins with it.

    Raises:
        StoreBusy: Another rollout of the model is under way.
    """
    said = f"{rollout.candidate} is to take the place of {rollout.stable}"
    drafted = RolloutEvent(
        rollout.rollout_id,
        0,
        rollout.started_at,
        Phase.DRAFT,
        0.0,
        actor,
        "started",
        said,
        _generation(layout, rollout),
    )
    begin(layout, rollout, drafted)
    return drafted


def advance(layout: Layout, model: str) -> Moved | None:
    """Look at the rollout of a model that is under way, and do what follows.

    Run it as often as you like: twice, late or in parallel it leaves the same events and the same route.

    Args:
        layout: The store.
        model: The model.

    Returns:
        What became of it; None when no rollout is under way.

    Raises:
        StoreBusy: Somebody else moves it at the same time, or published a plan of their own.
    """
    found = rollouts_of(layout, model)
    if not found:
        return None
    rollout = found[-1]
    events = events_of(layout, rollout.rollout_id)
    repaired = enforce(layout, rollout, events)  # what a crash left undone
    if events[-1].phase.is_over:
        return _retire(layout, found)
    now = layout.clock.now()
    with closing(KeptEvidence(layout, layout.model(model), now, now, None)) as evidence:
        sight = see(layout, evidence, rollout, events, now)
    decision = decide(rollout, events, sight, now)
    if decision.action == "stay":
        return Moved(rollout, decision, None, repaired)
    # To begin with its first step is what a person said by starting it.
    if rollout.rules.mode != "act" and events[-1].phase is not Phase.DRAFT:
        _leave(layout, rollout, events, decision, now)
        return Moved(rollout, decision, None, repaired)
    return carry_out(layout, rollout, events, decision, actor=SETPOINT)


def _retire(layout: Layout, found: list[Rollout]) -> Moved | None:
    """Take the previous version out of the route when it was kept ready for as long as declared; None when it was not.

    A route that somebody published since stays. The decision is written first: after a crash the next look goes on.
    """
    told = [(one, events_of(layout, one.rollout_id)) for one in found]
    stable = [(one, events) for one, events in told if events[-1].phase is Phase.STABLE]
    plan = last_plan(layout, found[-1].model)
    if plan is None or not stable or plan.route != route_for(*stable[-1]):
        return None
    (rollout, events), now = stable[-1], layout.clock.now()
    if now < events[-1].at + rollout.rules.watch:
        return None
    before = [one for one, past in stable[:-1] if rollout.started_at < past[-1].at + one.rules.watch]
    route = after_watch(rollout, layout.model(rollout.model).route, before)
    if route == plan.route:
        return None
    watched = duration_text(rollout.rules.watch)
    said = f"{rollout.stable} was kept ready for {watched}: the route is as declared again, with {rollout.candidate}"
    decision = Decision("retire", "watch", said)
    with contextlib.suppress(StoreBusy):  # it was written before a crash
        name = f"{rollout.rollout_id}/{len(events):06d}"
        record_decision(layout, Recorded(name, rollout.model, rollout.rollout_id, now, decision, is_carried_out=True))
    plan = publish(layout, plan.model, route, expected_generation=plan.generation, reason=said)
    return Moved(rollout, decision, None, plan)


def _leave(layout: Layout, rollout: Rollout, events: list[RolloutEvent], decision: Decision, now: int) -> None:
    """Write a decision down, once as long as nothing else happens: a person carries it out, or does not."""
    name = f"{rollout.rollout_id}/{len(events):06d}/{decision.action}"
    if name in {one.decision_id for one in decisions_of(layout, subject=rollout.rollout_id)}:
        return
    with contextlib.suppress(StoreBusy):  # another controller has written it just now
        record_decision(layout, Recorded(name, rollout.model, rollout.rollout_id, now, decision, is_carried_out=False))


def override(
    layout: Layout,
    model: str,
    action: Action,
    *,
    actor: str = "",
    reason: str = "",
    must_help: bool = False,
    unowned: bool = False,
) -> Moved:
    """Do what a person says about the rollout of a model, whatever the evidence.

    Args:
        layout: The store.
        model: The model.
        action: What.
        actor: Who says so; the user of this process by default.
        reason: Why.
        must_help: Whether a rollback that would not help is refused; else it is done, and that is recorded.
        unowned: Whether a version is promoted that nobody answers for; what is not declared is recorded.

    Raises:
        UsageError: No rollout is under way, or it makes no sense where it stands, or would not help, or nobody answers
            for the model.
        StoreBusy: Somebody else moves it at the same time.
    """
    rollout = active_rollout(layout, model) or (_watched(layout, model) if action == "roll_back" else None)
    if rollout is None:
        msg = f"no rollout of {model} is under way"
        raise UsageError(msg, hint=f"`setpoint rollout start {model} VERSION` begins one")
    events = events_of(layout, rollout.rollout_id)
    if action == "resume" and events[-1].phase not in {Phase.PAUSED, Phase.INCONCLUSIVE}:
        msg = f"the rollout of {model} is not paused: it is at {events[-1].phase}"
        raise UsageError(msg, hint=f"see `setpoint rollout status {model}`")
    actor = actor or getpass.getuser()
    said = said_by(actor, reason)
    if action == "roll_back" and (doubt := _no_help(layout, rollout)):
        if must_help:
            msg = f"going back to {rollout.stable} would not help: {doubt}"
            raise UsageError(msg, hint="fall back to another version, or mend what it is asked with")
        said += f"; it may not help: {doubt}"
    missing = undeclared(layout.model(model)) if action == "promote" else ()
    if missing and not unowned:
        msg = f"nobody answers for {model}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not declared"
        raise UsageError(msg, hint="declare what is missing; or promote it all the same with --unowned")
    if missing:
        said += f"; nobody answers for it: {', '.join(missing)} not declared"
    decision = Decision(action, PERSON, said, {"undeclared": ", ".join(missing)} if missing else {})
    return carry_out(layout, rollout, events, decision, actor=actor)


def said_by(actor: str, reason: str) -> str:
    """Return how an event of a rollout begins to say who moved it, and why."""
    return f"{actor} says so{f': {reason}' if reason else ''}"


def _no_help(layout: Layout, rollout: Rollout) -> str:
    now = layout.clock.now()
    with closing(KeptEvidence(layout, layout.model(rollout.model), now, now, None)) as evidence:
        return no_help(evidence, rollout.stable, rollout.candidate, rollout.started_at)


def _watched(layout: Layout, model: str) -> Rollout | None:
    """Return the last rollout of a model whose previous version is still kept ready; None when it is not."""
    found = rollouts_of(layout, model)
    if not found:
        return None
    last = events_of(layout, found[-1].rollout_id)[-1]
    return found[-1] if is_watched(found[-1], last, layout.clock.now()) else None


def is_watched(rollout: Rollout, last: RolloutEvent, now: int) -> bool:
    """Return whether the candidate answers everybody by a rollout's last event, and the previous version is kept."""
    return last.phase is Phase.STABLE and now < last.at + rollout.rules.watch


def carry_out(layout: Layout, rollout: Rollout, events: list[RolloutEvent], decision: Decision, *, actor: str) -> Moved:
    """Write a decision with the event that follows from it, then put its route in force."""
    now = max(layout.clock.now(), events[-1].at)
    phase, share = _after(rollout, events, decision.action)
    recorded = Recorded(
        f"{rollout.rollout_id}/{len(events):06d}", rollout.model, rollout.rollout_id, now, decision, is_carried_out=True
    )
    generation = _generation(layout, rollout)
    event = RolloutEvent(
        *(rollout.rollout_id, len(events), now, phase, share, actor, decision.rule, decision.said, generation)
    )
    append(layout, event, recorded)
    plan = enforce(layout, rollout, [*events, event])
    return Moved(rollout, decision, event, plan)


def _after(rollout: Rollout, events: list[RolloutEvent], action: str) -> tuple[Phase, float]:
    """Return where an action leads, and the candidate's share there."""
    if action in _LEADS_TO:
        return _LEADS_TO[action]
    last = events[-1]
    if action == "advance":
        steps = rollout.rules.steps
        if last.phase is Phase.DRAFT and rollout.rules.shadow:
            return Phase.SHADOW, 0.0
        return Phase.CANARY, steps[0] if last.phase in {Phase.DRAFT, Phase.SHADOW} else steps[
            steps.index(last.share) + 1
        ]
    if action == "resume":
        before = standing(events)
        return before.phase, before.share
    return Phase.PAUSED if action == "pause" else Phase.INCONCLUSIVE, last.share


_LEADS_TO: Mapping[str, tuple[Phase, float]] = {
    "promote": (Phase.PROMOTING, 1.0),
    "finish": (Phase.STABLE, 1.0),
    "roll_back": (Phase.ROLLED_BACK, 0.0),
    "read_out": (Phase.READ_OUT, 0.0),
    "fall_back": (Phase.FALLEN_BACK, 0.0),
}


def _generation(layout: Layout, rollout: Rollout) -> int:
    plan = last_plan(layout, rollout.model)
    return plan.generation if plan else 0
