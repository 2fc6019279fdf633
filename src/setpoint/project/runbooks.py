"""Runs runbooks against incidents of a store, and answers the questions that their checks ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from setpoint.answers.answer import Answer
from setpoint.control.incidents import find_incident
from setpoint.control.runbooks import Ask, attach_results, run_runbook, runbook_for, runbooks_of
from setpoint.core.errors import UsageError
from setpoint.core.incident import Incident
from setpoint.core.runbook import Answered, CheckResult, Rule, Runbook
from setpoint.project.doctor import doctor
from setpoint.project.log import open_log
from setpoint.project.routes import route_of
from setpoint.store.incidents import incidents_of
from setpoint.store.layout import Layout


def asking(store: Path) -> Ask:
    """Return a function that answers questions about the models of a store."""

    def ask(model: str, question: Answered) -> Mapping[str, object]:
        return _flat(_QUESTIONS[question](store, model))

    return ask


def run_for(store: Path, incident_id: str, name: str = "") -> tuple[Incident, Runbook, list[CheckResult], Rule | None]:
    """Run a runbook against an incident, and write what it saw into the timeline.

    Args:
        store: The store's folder.
        incident_id: The incident, or its number.
        name: The runbook; the one that is for it by default.

    Raises:
        UsageError: There is no such incident or runbook, or none is for it.
    """
    layout = Layout.open(store)
    incident, events = find_incident(layout, incident_id)
    known = runbooks_of(layout)
    chosen = known.get(name) if name else runbook_for(incident, layout.model(incident.models[0]), known)
    if chosen is None:
        msg = f"no runbook is called {name!r}" if name else f"no runbook is for {incident.kind}"
        raise UsageError(msg, hint=f"known: {', '.join(sorted(known))}")
    results, rule = run_runbook(layout, incident, chosen, asking(store))
    attach_results(layout, (incident, events), chosen, results, rule)
    return incident, chosen, results, rule


def try_all(store: Path) -> list[tuple[Runbook, list[CheckResult]]]:
    """Run every check of every runbook against the last incident, and change nothing: so they cannot rot.

    Raises:
        UsageError: There was no incident yet.
    """
    layout = Layout.open(store)
    known = incidents_of(layout)
    if not known:
        msg = "there was no incident to try runbooks on"
        raise UsageError(msg, hint='`setpoint incident report MODEL "a drill"` makes one')
    incident = known[-1][0]
    return [
        (runbook, run_runbook(layout, incident, runbook, asking(store))[0]) for runbook in runbooks_of(layout).values()
    ]


def _of_log(question: str) -> Callable[[Path, str], Answer]:
    def answer(store: Path, model: str) -> Answer:
        with open_log(store) as log:
            return getattr(log, question)(model)

    return answer


_QUESTIONS: Mapping[Answered, Callable[[Path, str], Answer]] = {
    "status": _of_log("status"),
    "diff": _of_log("diff"),
    "cost": _of_log("cost"),
    "outcomes": _of_log("outcomes"),
    "meter": _of_log("meter"),
    "route": route_of,
    "doctor": lambda store, _: doctor(store),
}


def _flat(answer: Answer) -> dict[str, object]:
    """Return an answer as a check reads it: verdict, headline, and the value of each metric by its name."""
    found: dict[str, object] = {"verdict": answer.verdict.value, "headline": answer.headline}
    for table in answer.tables:
        if table.columns[:2] == ("metric", "value"):
            found |= {str(row[0]): row[1] for row in table.rows}
    return found
