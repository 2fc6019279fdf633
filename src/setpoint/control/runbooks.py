"""Runs the checks of runbooks against incidents, and says what follows."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import cast

import duckdb

from setpoint.control.incidents import Timeline, attach, may_have_begun
from setpoint.core.clock import DAY
from setpoint.core.errors import SetpointError, UsageError
from setpoint.core.expression import evaluate, parse
from setpoint.core.finding import GUARDRAIL
from setpoint.core.incident import EventKind, Incident
from setpoint.core.model import Model
from setpoint.core.runbook import Answered, CheckResult, Rule, Runbook, RunbookCheck, follows
from setpoint.declare.runbook import shipped_runbooks
from setpoint.store.engines.duck import at
from setpoint.store.evidence import RowEvidence
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout

Ask = Callable[[str, Answered], Mapping[str, object]]
"""Answers a question about a model: its verdict, headline and numbers, by name."""

_COMMAND_SECONDS = 30.0
_SINCE = {"predictions": "predicted_at", "outcomes": "recorded_at", "calls": "called_at", "tallies": "recorded_at"}


def runbooks_of(layout: Layout) -> dict[str, Runbook]:
    """Return the runbooks in force, by name: the project's own before those that are shipped."""
    return {**shipped_runbooks(), **layout.runbooks()}


def runbook_for(incident: Incident, model: Model, runbooks: Mapping[str, Runbook]) -> Runbook | None:
    """Return the runbook of an incident: the model's own when it is for such, else one that is, else the model's own.

    Args:
        incident: The incident.
        model: The first of its models.
        runbooks: Those in force, by name.
    """
    about = {incident.kind}
    if incident.kind == GUARDRAIL:
        about = {one.metric for one in model.guardrails if one.is_about(incident.subject)} or about
    own = runbooks.get(model.runbook)
    fitting = [one for one in runbooks.values() if about & set(one.when)]
    if own is not None and (own in fitting or not fitting):
        return own
    return fitting[0] if fitting else None


def run_runbook(
    layout: Layout, incident: Incident, runbook: Runbook, ask: Ask | None
) -> tuple[list[CheckResult], Rule | None]:
    """Run the checks of a runbook as of now, and return what each saw and what follows.

    A check that cannot be run says why, and keeps none of the others from being run.

    Args:
        layout: The store.
        incident: What it is run for; queries see what happened since it began, and changes of the day before.
        runbook: The runbook.
        ask: Answers questions; checks that ask some cannot be run without it.
    """
    now = layout.clock.now()
    name = incident.models[0]
    with closing(KeptEvidence(layout, layout.model(name), now, now, None)) as evidence:
        results = [_checked(evidence, incident, name, check, ask) for check in runbook.checks]
    return results, follows(runbook, {one.name: one for one in results})


def attach_results(
    layout: Layout, timeline: Timeline, runbook: Runbook, results: Iterable[CheckResult], rule: Rule | None
) -> Timeline:
    """Write what the checks of a runbook saw, and what follows, into an incident's timeline."""
    marks = {True: "ok", False: "not well", None: "could not be run"}
    told: list[tuple[EventKind, str]] = [("check", f"{one.name}: {marks[one.is_well]}: {one.said}") for one in results]
    if rule is not None:
        told.append(("verdict", f"{rule.verdict}: {rule.said} (runbook {runbook.name}, version {runbook.version})"))
    return attach(layout, timeline, told)


def _checked(
    evidence: RowEvidence, incident: Incident, model: str, check: RunbookCheck, ask: Ask | None
) -> CheckResult:
    try:
        seen = _look(evidence, incident, model, check, ask)
        is_well = evaluate(parse(check.expect), seen)
    except (SetpointError, duckdb.Error, OSError, subprocess.SubprocessError) as error:
        return CheckResult(check.name, None, str(error).splitlines()[0])
    told = ", ".join(f"{name} {value}" for name, value in seen.items() if isinstance(value, int | float | bool | str))
    if is_well is None:
        return CheckResult(check.name, None, f"`{check.expect}` cannot be told of {told or 'nothing'}")
    because = f"{check.otherwise} ({told})" if check.otherwise and not is_well else told
    return CheckResult(check.name, is_well, because[:_TOLD])


_TOLD = 300


def _look(
    evidence: RowEvidence, incident: Incident, model: str, check: RunbookCheck, ask: Ask | None
) -> Mapping[str, object]:
    if check.query:
        return _queried(evidence, incident, check.query)
    if check.command:
        done = subprocess.run(  # noqa: S603 — the team's own command, from its own file
            check.command, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
        )
        return {"exit_code": done.returncode, "output": done.stdout.strip()}
    if ask is None:
        msg = f"nobody is here to answer {check.answer}"
        raise UsageError(msg, hint="run it with `setpoint runbook run`")
    return ask(model, cast("Answered", check.answer))


def _queried(evidence: RowEvidence, incident: Incident, query: str) -> Mapping[str, object]:
    """Return the first row of a query over what happened since an incident began.

    `predictions_before` are those of a week, until it may have begun: see `may_have_begun`.
    """
    times = {**_SINCE, "changes": f"started_at + INTERVAL {DAY} MICROSECOND", "quarantine": "recorded_at"}
    seen = ", ".join(
        f"{table} AS (SELECT * FROM temp.main.{table} WHERE {time} >= {at(incident.started_at)})"
        for table, time in times.items()
    )
    until = may_have_begun(incident, evidence.findings())
    seen += (
        f", predictions_before AS (SELECT * FROM temp.main.predictions WHERE predicted_at < {at(until)}"
        f" AND predicted_at >= {at(until - 7 * DAY)})"
    )
    found = evidence.connection.execute(f"WITH {seen} SELECT * FROM ({query}) LIMIT 1")  # so that it can only read
    names = [column[0] for column in found.description or []]
    row = found.fetchone()
    return dict(zip(names, row, strict=True)) if row is not None else {}
