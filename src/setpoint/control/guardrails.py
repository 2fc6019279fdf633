"""Acts on guardrails that are crossed: each action once a finding, and what was decided is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from setpoint.control.retraining import begin
from setpoint.control.rollouts import override
from setpoint.control.route_plans import publish
from setpoint.core.clock import text
from setpoint.core.decision import Decision, Recorded
from setpoint.core.errors import SetpointError, StoreBusy, UsageError
from setpoint.core.finding import GUARDRAIL, PAUSED_ROLLOUT, UNOWNED, Finding
from setpoint.core.guardrail import DISRUPTIVE, Guardrail, GuardrailAction
from setpoint.core.model import Model
from setpoint.core.objective import FAST_BURN, SLOW_BURN
from setpoint.core.retraining import FAILED_RETRAINING
from setpoint.store.decisions import decisions_of, record_decision
from setpoint.store.layout import Layout
from setpoint.store.messages import SCHEMA, Message, put_message
from setpoint.store.route_file import last_plan


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
    done: list[Recorded] = []
    for guardrail, finding in tripped(model, findings):
        for action in guardrail.actions:
            name = f"{guardrail.name}/{action}/{finding.finding_id}"
            if name in known:
                continue
            decision = Decision(action, GUARDRAIL, f"{guardrail.name}: {finding.said}", {}, _others(guardrail))
            one = Recorded(name, model.name, guardrail.name, layout.clock.now(), decision, is_carried_out=False)
            if guardrail.mode == "act":
                one = _carried_out(layout, model, guardrail, one)
            try:
                record_decision(layout, one)
            except StoreBusy:  # somebody else has decided the same: they carried it out
                continue
            done.append(one)
    return done


def _carried_out(layout: Layout, model: Model, guardrail: Guardrail, one: Recorded) -> Recorded:
    """Do what was decided; when that cannot be done, say why."""
    action = _ACTIONS.get(one.decision.action)
    if action is None:  # told to people, or kept out of training data: the record is all there is to it
        return replace(one, is_carried_out=True)
    try:
        said = action(layout, model, guardrail, one)
    except SetpointError as error:
        failed = replace(one.decision, said=f"{one.decision.said}; not done: {error.message}")
        return replace(one, decision=failed)
    return replace(one, is_carried_out=True, decision=replace(one.decision, said=f"{one.decision.said}; {said}"))


def _roll_back(layout: Layout, model: Model, _guardrail: Guardrail, one: Recorded) -> str:
    moved = override(layout, model.name, "roll_back", actor=GUARDRAIL, reason=one.decision.said, must_help=True)
    return f"{moved.rollout.stable} answers again"


def _pause(layout: Layout, model: Model, _guardrail: Guardrail, one: Recorded) -> str:
    moved = override(layout, model.name, "pause", actor=GUARDRAIL, reason=one.decision.said)
    return f"the rollout of {moved.rollout.candidate} is paused"


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
    return f"{others[0]} answers everybody"


def _retrain(layout: Layout, model: Model, _guardrail: Guardrail, one: Recorded) -> str:
    begun = begin(layout, model, reason=one.decision.said, actor=GUARDRAIL)
    return f"retraining {begun.retraining_id} is due"


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
    put_message(layout, Message.to(person, f"guardrail/{one.decision_id}", body, one.at))
    return f"{person.name} is told"


_ACTIONS: Mapping[str, Callable[[Layout, Model, Guardrail, Recorded], str]] = {
    "roll_back": _roll_back,
    "pause": _pause,
    "fall_back": _fall_back,
    "retrain": _retrain,
    "webhook": _tell_webhook,
}


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
