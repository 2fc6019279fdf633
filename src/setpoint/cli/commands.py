"""Registers every command group."""

from setpoint.cli import datasets, declarations, demos, keeping, questions

__all__ = ["datasets", "declarations", "demos", "keeping", "questions"]
