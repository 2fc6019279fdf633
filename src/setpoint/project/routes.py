"""Asks a store for the route of a model."""

from __future__ import annotations

from pathlib import Path

from setpoint.answers.answer import Answer
from setpoint.answers.route import route
from setpoint.control.route_plans import fault, unfollowed
from setpoint.project.log import When, open_log
from setpoint.store.layout import Layout


def route_of(store: Path, model: str = "", *, as_of: When = None) -> Answer:
    """Return which version gets which share of the units, and whether it does.

    Args:
        store: The store's folder.
        model: Its name; may be left out when there is only one.
        as_of: Answer as if it were this time.
    """
    with open_log(store) as log, log.evidence(model, as_of) as evidence:
        layout, name = Layout.open(store), evidence.model.name
        return route(evidence, fault=fault(layout, name), unfollowed=unfollowed(layout, name))
