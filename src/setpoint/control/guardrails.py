"""Acts on guardrails that are crossed: each action once a finding, and what was decided is recorded.

What is to be done is written down, then done, then recorded. Each act leaves its reason where it acts, by which it is
known again: so one that a crash cut off is neither lost nor done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from setpoint.control.retraining import begin
from setpoint.control.rollouts import override, said_by
from setpoint.control.route_plans import publish
from setpoint.core.clock import text
from setpoint.core.decision import Decision, Recorded
from setpoint.core.errors import SetpointError, StoreBusy, UsageError
from setpoint.core.finding import GUARDRAIL, PAUSED_ROLLOUT, UNOWNED, Finding
from setpoint.core.guardrail import DISRUPTIVE, Guardrail, GuardrailAction
from setpoint.core.model import Model
from setpoint.core.objective import FAST_BURN, SLOW_BURN
from setpoint.core.retraining import FAILED_RETRAINING, Retraining
from setpoint.core.rollout import Phase, Rollout
from setpoint.store.decisions import begin_decision, begun_decisions, decisions_of, record_decision
from setpoint.store.layout import Layout
from setpoint.store.messages import SCHEMA, Message, messages_of, put_message
from setpoint.store.retrainings import retrainings_of
from setpoint.store.rollouts import events_of, rollouts_of
from setpoint.store.route_file import last_plan, plans_in_force


def tripped(model: Model, findings: Sequence[Finding]) -> Iterator[tuple[Guardrail, Finding]]:
    """Yield each guardrail that is crossed with the finding that says so."""
    for guardrail in model.guardrails:
        for finding in findings:
            is_own = finding.kind == GUARDRAIL and guardrail.is_about(finding.subject)
            if is_own or (guardrail.finding and finding.kind == guardrail.finding):
                yield guardrail, finding


def act(layout: Layout, model: Model, findings: Sequence[Finding]) -> list[Recorded]:
    """Do what crossed guardrails say, each once a finding; return what was decided anew.

    Args:
        layout: The store.
        model: The declaration.
        findings: Those that are open.
    """
    known = {one.decision_id for one in decisions_of(layout, model=model.name)}
    begun = {one.decision_id: one for one in begun_decisions(layout, model.name) if one.decision_id not in known}
    done: list[Recorded] = []
    for guardrail, finding in tripped(model, findings):
        for action in guardrail.actions:
            name = f"{guardrail.name}/{action}/{finding.finding_id}"
            if name in known:
                continue
            known.add(name)
            decision = Decision(action, GUARDRAIL, f"{guardrail.name}: {finding.said}", {}, _others(guardrail))
            one = Recorded(name, model.name, guardrail.name, layout.clock.now(), decision, is_carried_out=False)
            said = ""
            if name in begun:
                one = begun.pop(name)
                said = _left(layout, one)
            elif guardrail.mode == "act" and action in _ACTIONS:
                begin_decision(layout, one)
            if said:
                one = _ended(one, said)
            elif guardrail.mode == "act":
                one = _carried_out(layout, model, guardrail, one)
            done += _recorded(layout, one)
    for one in begun.values():
        if said := _left(layout, one):
            done += _recorded(layout, _ended(one, said))
        else:
            done += _recorded(layout, _ended(one, f"not done: {_CUT_OFF}", is_carried_out=False))
    return done


_CUT_OFF = "a crash cut it off, and it is not called for any more"


def _recorded(layout: Layout, one: Recorded | None) -> list[Recorded]:
    try:
        if one is not None:
            record_decision(layout, one)
            return [one]
    except StoreBusy:  # somebody else has decided the same: they carried it out
        pass
    return []


def _carried_out(layout: Layout, model: Model, guardrail: Guardrail, one: Recorded) -> Recorded | None:
    """Do what was decided; when that cannot be done, say why; None when it cannot just now."""
    action = _ACTIONS.get(one.decision.action)
    if action is None:  # told to people, or kept out of training data: the record is all there is to it
        return replace(one, is_carried_out=True)
    try:
        return _ended(one, action(layout, model, guardrail, one))
    except StoreBusy:  # it stays begun: the next tick tries again
        return None
    except SetpointError as error:
        return _ended(one, f"not done: {error.message}", is_carried_out=False)


def _ended(one: Recorded, said: str, *, is_carried_out: bool = True) -> Recorded:
    decision = replace(one.decision, said=f"{one.decision.said}; {said}")
    return replace(one, is_carried_out=is_carried_out, decision=decision)


def _left(layout: Layout, one: Recorded) -> str:
    """Return what a decision has done already, in words, by what it left where it acts; empty for nothing."""
    match one.decision.action:
        case "fall_back":
            plans = plans_in_force(layout, one.model)
            found = [_answers_all(plan.route.stable) for plan in plans if _is_of(one, plan.reason, plan.published_at)]
        case "roll_back" | "pause" as action:
            (rollout,) = rollouts_of(layout, one.model)[-1:] or (None,)
            events = events_of(layout, rollout.rollout_id) if rollout else ()
            said, phase = said_by(GUARDRAIL, one.decision.said), _LEADS_TO[action]
            moved = [event for event in events if event.phase is phase and event.at >= one.at]
            found = [_moved(rollout, phase) for event in moved if rollout and event.said.startswith(said)]
        case "retrain":
            known = retrainings_of(layout, one.model)
            found = [_is_due(begun) for begun in known if _is_of(one, begun.reason, begun.begun_at)]
        case _:
            written = (message.message_id for message in messages_of(layout))
            found = ["a message is written" for message_id in written if message_id == _message_id(one)]
    return found[0] if found else ""


_LEADS_TO = {"roll_back": Phase.ROLLED_BACK, "pause": Phase.PAUSED}


def _is_of(one: Recorded, reason: str, at: int) -> bool:
    return reason == one.decision.said and at >= one.at


def _message_id(one: Recorded) -> str:
    return f"guardrail/{one.decision_id}"


def _roll_back(layout: Layout, model: Model, _guardrail: Guardrail, one: Recorded) -> str:
    moved = override(layout, model.name, "roll_back", actor=GUARDRAIL, reason=one.decision.said, must_help=True)
    return _moved(moved.rollout, Phase.ROLLED_BACK)


def _pause(layout: Layout, model: Model, _guardrail: Guardrail, one: Recorded) -> str:
    moved = override(layout, model.name, "pause", actor=GUARDRAIL, reason=one.decision.said)
    return _moved(moved.rollout, Phase.PAUSED)


def _fall_back(layout: Layout, model: Model, _guardrail: Guardrail, one: Recorded) -> str:
    """Give all units to the version that the route falls back to."""
    plan = last_plan(layout, model.name)
    others = () if plan is None else tuple(name for name in plan.route.fallback if name != plan.route.stable)
    if plan is None or not others:
        msg = f"the route of {model.name} has nothing to fall back to"
        raise UsageError(msg, hint="declare fallback: [VERSION] under route")
    route = replace(
        plan.route,
        strategy="single",
        shares=((others[0], 1.0),),
        stable=others[0],
        shadows=(),
        fallback=(),
        cascade=None,
    )
    publish(layout, model.name, route, expected_generation=plan.generation, reason=one.decision.said)
    return _answers_all(others[0])


def _retrain(layout: Layout, model: Model, _guardrail: Guardrail, one: Recorded) -> str:
    return _is_due(begin(layout, model, reason=one.decision.said, actor=GUARDRAIL))


def _tell_webhook(layout: Layout, model: Model, guardrail: Guardrail, one: Recorded) -> str:
    """Write a message to whoever does something about it; it is tried until it arrives."""
    person = layout.contacts().on_call(guardrail.webhook, one.at)
    body = {
        "schema": SCHEMA,
        "model": model.name,
        "guardrail": guardrail.name,
        "title": one.decision.said,
        "decided_at": f"{text(one.at, 'UTC')}Z",
    }
    put_message(layout, Message.to(person, _message_id(one), body, one.at))
    return f"{person.name} is told"


_ACTIONS: Mapping[str, Callable[[Layout, Model, Guardrail, Recorded], str]] = {
    "roll_back": _roll_back,
    "pause": _pause,
    "fall_back": _fall_back,
    "retrain": _retrain,
    "webhook": _tell_webhook,
}


def _moved(rollout: Rollout, phase: Phase) -> str:
    if phase is Phase.PAUSED:
        return f"the rollout of {rollout.candidate} is paused"
    return f"{rollout.stable} answers again"


def _answers_all(version: str) -> str:
    return f"{version} answers everybody"


def _is_due(one: Retraining) -> str:
    return f"retraining {one.retraining_id} is due"


def spoiling(layout: Layout, model: str, findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings whose rows are kept out of training data: open ones, and those a guardrail freezes for good.

    One that says that answers became worse does not say that rows are wrong: the latest are what a model has to learn.
    They are kept out when a guardrail says so.

    Args:
        layout: The store.
        model: The model's name.
        findings: Every row of the model's findings, oldest first.
    """
    frozen = {
        one.decision_id.rpartition("/")[2]
        for one in decisions_of(layout, model=model)
        if one.decision.action == "freeze_training" and one.is_carried_out
    }
    last = {one.finding_id: one for one in findings}
    return [
        one for name, one in last.items() if name in frozen or (one.state == "open" and one.kind not in _OF_ANSWERS)
    ]


_OF_ANSWERS = {GUARDRAIL, FAST_BURN, SLOW_BURN, PAUSED_ROLLOUT, FAILED_RETRAINING, "concept_drift", "cascade_loss"} | {
    UNOWNED
}


def _others(guardrail: Guardrail) -> dict[str, str]:
    chosen: set[GuardrailAction] = set(guardrail.actions)
    return dict.fromkeys(sorted(DISRUPTIVE - chosen), "not declared for this guardrail")
