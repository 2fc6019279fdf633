"""Registers every command group."""

from setpoint.cli import declarations, demos, keeping, questions

__all__ = ["declarations", "demos", "keeping", "questions"]
