"""What is wrong, put together: findings of a model that began together are one alert, and of models by one cause one.

Pure: from findings to alerts. What explains others is said, and what it explains tells nobody anything itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from setpoint.control.guardrails import tripped
from setpoint.core.clock import DAY
from setpoint.core.finding import (
    COHORT_DRIFT,
    DRIFT_LIMIT,
    GROSS_DRIFT,
    GUARDRAIL,
    INPUT_DRIFT,
    OUTPUT_DRIFT,
    PAUSED_ROLLOUT,
    UNOWNED,
    VARYING_CONSTANT,
    Finding,
)
from setpoint.core.incident import Alert, Silence, Urgency, most_urgent
from setpoint.core.model import Model
from setpoint.core.objective import FAST_BURN, SLOW_BURN
from setpoint.core.retraining import FAILED_RETRAINING
from setpoint.store.heartbeat import Failing

FAILED_CHECKS = "failed_checks"
"""What is wrong when the loop itself is: not what a check finds, but that none could be run."""
TOGETHER = DAY
"""Findings that begin within this of each other began by the same change: some are seen a day at a time."""

EXPLAINS = (
    "broken_contract",
    "missed_run",
    "dropped_events",
    "failed_events",
    "future_time",
    "quarantined_rows",
    "new_input",
    VARYING_CONSTANT,
    GROSS_DRIFT,
    "stalled_outcomes",
    "changed_delay",
    "new_outcome_source",
    PAUSED_ROLLOUT,
    FAILED_RETRAINING,
    "cascade_loss",
    "concept_drift",
    GUARDRAIL,
    FAST_BURN,
    SLOW_BURN,
    OUTPUT_DRIFT,
    COHORT_DRIFT,
    INPUT_DRIFT,
    DRIFT_LIMIT,
)
"""Kinds of findings, those first that others follow from."""
_DRIFT = {GROSS_DRIFT, INPUT_DRIFT, COHORT_DRIFT, OUTPUT_DRIFT, DRIFT_LIMIT, VARYING_CONSTANT}
_SILENCES: Mapping[str, Collection[str]] = {
    "broken_contract": _DRIFT | {"new_input"},
    "missed_run": _DRIFT | {"stalled_outcomes"},
    "dropped_events": _DRIFT,
    "failed_events": _DRIFT,
    "stalled_outcomes": {"changed_delay", "concept_drift"},
    GROSS_DRIFT: _DRIFT,
    FAST_BURN: {SLOW_BURN},
}


def alerts_of(model: Model, findings: Sequence[Finding]) -> list[Alert]:
    """Return the alerts of a model from its open findings, oldest first.

    That nobody answers for it is one by itself: no change caused it, and it may stay when all else is over.
    """
    found = [_alert(model, [one]) for one in findings if one.kind == UNOWNED]
    group: list[Finding] = []
    for finding in sorted(findings, key=lambda one: (one.started_at, one.finding_id)):
        if finding.kind == UNOWNED:
            continue
        if group and finding.started_at - group[-1].started_at > TOGETHER:
            found.append(_alert(model, group))
            group = []
        group.append(finding)
    return [*found, _alert(model, group)] if group else found


def _alert(model: Model, group: Sequence[Finding]) -> Alert:
    order = sorted(group, key=lambda one: (_place(one), one.started_at, one.finding_id))
    first = order[0]
    hidden = [one for one in order[1:] if one.kind in _SILENCES.get(first.kind, ())]
    told = [one for one in order if one not in hidden]
    urgency = most_urgent(_urgency(model, one) for one in told)
    return Alert(
        model.name,
        first.kind,
        first.subject,
        min(one.started_at for one in group),
        urgency,
        first.said,
        tuple(one.finding_id for one in told),
        tuple(one.finding_id for one in hidden),
    )


_BURNS = (FAST_BURN, SLOW_BURN)


def _place(finding: Finding) -> int:
    return EXPLAINS.index(finding.kind) if finding.kind in EXPLAINS else len(EXPLAINS)


def _urgency(model: Model, finding: Finding) -> Urgency:
    """Return how soon somebody has to look: at once only where a guardrail that acts says so."""
    guardrails = [guardrail for guardrail, _ in tripped(model, [finding])]
    if any(one.mode == "act" and "page" in one.actions for one in guardrails):
        return "page"
    mode = next((one.mode for one in model.objectives if finding.kind in _BURNS and one.name == finding.subject), None)
    if mode is not None and not guardrails:
        if mode == "act" and finding.kind == FAST_BURN:
            return "page"
        return "digest" if mode == "observe" else "ticket"
    if finding.kind == GUARDRAIL:  # one that is only observed is to show how often it would have told somebody
        return "ticket" if any(one.mode != "observe" for one in guardrails) else "digest"
    return "ticket" if finding.severity == "breach" or guardrails else "digest"


def unseen(model: str, failing: Failing, now: int) -> list[Alert]:
    """Return the alert of a model that the loop cannot look at, once it failed before: what fails once may be busy."""
    if failing.since == now:
        return []
    said = f"{model} cannot be looked at: {failing.said}"
    name = f"{FAILED_CHECKS}/{model}/{failing.since}"
    return [Alert(model, FAILED_CHECKS, "", failing.since, "ticket", said, (name,))]


def by_cause(alerts: Iterable[Alert]) -> list[list[Alert]]:
    """Return alerts put together by cause: the same kind about the same subject, begun together, in several models."""
    found: list[list[Alert]] = []
    for alert in sorted(alerts, key=lambda one: (one.kind, one.subject, one.started_at, one.model)):
        last = found[-1][-1] if found else None
        # What is about a model's own guardrail or rollout has another cause in each.
        is_shared = alert.kind not in {GUARDRAIL, PAUSED_ROLLOUT, FAILED_RETRAINING, *_BURNS}
        is_same = last is not None and (last.kind, last.subject) == (alert.kind, alert.subject) and is_shared
        if last is not None and is_same and alert.started_at - last.started_at <= TOGETHER:
            found[-1].append(alert)
        else:
            found.append([alert])
    return found


def silenced(alerts: Iterable[Alert], silences: Sequence[Silence], now: int) -> list[Alert]:
    """Return the alerts that nobody is to be told of now."""
    return [alert for alert in alerts if any(one.covers(alert, now) for one in silences)]
