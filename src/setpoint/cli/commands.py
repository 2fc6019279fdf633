"""Registers every command group."""

from setpoint.cli import contracts, datasets, declarations, demos, evaluation, keeping, profiles, questions, versions

__all__ = [
    "contracts",
    "datasets",
    "declarations",
    "demos",
    "evaluation",
    "keeping",
    "profiles",
    "questions",
    "versions",
]
