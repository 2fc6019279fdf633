"""Asks a store what caused an incident."""

from __future__ import annotations

from pathlib import Path

from setpoint.answers.answer import Answer
from setpoint.answers.causes import Explained, explained, why_incident
from setpoint.control.incidents import about_a_metric, find_incident, harm_ended_at
from setpoint.control.runbooks import runbook_for, runbooks_of
from setpoint.project.log import When, open_log
from setpoint.project.tables import training_rows
from setpoint.store.layout import Layout

_MOST_MODELS = 8
"""Of an incident of more models the first ones are looked at."""


def explain_incident(store: Path, incident_id: str, *, as_of: When = None) -> Answer:
    """Return what caused an incident, and what is to be checked first.

    Args:
        store: The store's folder.
        incident_id: The incident, or its number.
        as_of: Answer as if it were this time.

    Raises:
        UsageError: There is no such incident.
    """
    layout = Layout.open(store)
    told, events = find_incident(layout, incident_id)
    incident, until = about_a_metric(layout, told, events), harm_ended_at(layout, events)
    with open_log(store) as log, log.evidence(incident.models[0], as_of) as evidence:
        each: dict[str, Explained] = {}
        for name in incident.models[:_MOST_MODELS]:
            with log.evidence(name, as_of) as one, training_rows(one) as learned:
                each[name] = explained(one, incident, learned, until=until)
        runbook = runbook_for(incident, evidence.model, runbooks_of(layout))
        return why_incident(evidence, incident, runbook, each)
