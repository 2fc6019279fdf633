"""Acts on guardrails that are crossed: each action once a finding, and what was decided is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from setpoint.control.rollouts import override
from setpoint.control.route_plans import publish
from setpoint.core.decision import Decision, Recorded
from setpoint.core.errors import SetpointError, StoreBusy, UsageError
from setpoint.core.finding import GUARDRAIL, Finding
from setpoint.core.guardrail import DISRUPTIVE, Guardrail, GuardrailAction
from setpoint.core.model import Model
from setpoint.store.decisions import decisions_of, record_decision
from setpoint.store.layout import Layout
from setpoint.store.route_file import last_plan


def tripped(model: Model, findings: Sequence[Finding]) -> Iterator[tuple[Guardrail, Finding]]:
    """Yield each guardrail that is crossed with the finding that says so."""
    for guardrail in model.guardrails:
        for finding in findings:
            is_own = finding.kind == GUARDRAIL and finding.subject == guardrail.name
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
                one = _carried_out(layout, model, one)
            try:
                record_decision(layout, one)
            except StoreBusy:  # somebody else has decided the same: they carried it out
                continue
            done.append(one)
    return done


def _carried_out(layout: Layout, model: Model, one: Recorded) -> Recorded:
    """Do what was decided; when that cannot be done, say why."""
    action = _ACTIONS.get(one.decision.action)
    if action is None:  # told to people: what is done about that is the incident's
        return replace(one, is_carried_out=True)
    try:
        said = action(layout, model, one.decision.said)
    except SetpointError as error:
        failed = replace(one.decision, said=f"{one.decision.said}; not done: {error.message}")
        return replace(one, decision=failed)
    return replace(one, is_carried_out=True, decision=replace(one.decision, said=f"{one.decision.said}; {said}"))


def _roll_back(layout: Layout, model: Model, reason: str) -> str:
    moved = override(layout, model.name, "roll_back", actor=GUARDRAIL, reason=reason, must_help=True)
    return f"{moved.rollout.stable} answers again"


def _pause(layout: Layout, model: Model, reason: str) -> str:
    moved = override(layout, model.name, "pause", actor=GUARDRAIL, reason=reason)
    return f"the rollout of {moved.rollout.candidate} is paused"


def _fall_back(layout: Layout, model: Model, reason: str) -> str:
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
    publish(layout, model.name, route, expected_generation=plan.generation, reason=reason)
    return f"{others[0]} answers everybody"


_ACTIONS: Mapping[str, Callable[[Layout, Model, str], str]] = {
    "roll_back": _roll_back,
    "pause": _pause,
    "fall_back": _fall_back,
}


def _others(guardrail: Guardrail) -> dict[str, str]:
    chosen: set[GuardrailAction] = set(guardrail.actions)
    return dict.fromkeys(sorted(DISRUPTIVE - chosen), "not declared for this guardrail")
