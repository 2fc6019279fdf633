"""Registers every command group."""

from setpoint.cli import (
    contracts,
    datasets,
    declarations,
    demos,
    evaluation,
    incidents,
    keeping,
    loop,
    prices,
    profiles,
    questions,
    retraining,
    rollouts,
    routes,
    runbooks,
    versions,
)

__all__ = [
    "contracts",
    "datasets",
    "declarations",
    "demos",
    "evaluation",
    "incidents",
    "keeping",
    "loop",
    "prices",
    "profiles",
    "questions",
    "retraining",
    "rollouts",
    "routes",
    "runbooks",
    "versions",
]
