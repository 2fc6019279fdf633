"""Registers every command group."""

from setpoint.cli import datasets, declarations, demos, evaluation, keeping, questions

__all__ = ["datasets", "declarations", "demos", "evaluation", "keeping", "questions"]
