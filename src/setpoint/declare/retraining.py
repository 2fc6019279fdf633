"""How a declaration spells how a model is trained anew."""

from __future__ import annotations

import shlex
from typing import Self

from pydantic import model_validator

from setpoint.core.clock import parse_duration
from setpoint.core.errors import DeclarationError
from setpoint.core.retraining import RetrainingRules
from setpoint.declare.parts import Part
from setpoint.declare.spellings import Duration, duration_spelling, refuse


class RetrainingDeclaration(Part):
    """How the model is trained anew; a guardrail's action `retrain`, or `setpoint retrain start`, begins it."""

    command: str = ""
    """The team's own, such as python train.py; it prints the name of the new version on its last line."""
    webhook: str = ""
    """Instead: a person, a rota or an address that is told where the data set lies."""
    over: Duration | None = None
    """Predictions of this window up to now become examples; all of them when left out."""
    cool_down: Duration = "7d"
    """How long after one began the next may."""
    timeout: Duration = "6h"
    """How long the command may take."""
    shadow: Duration = "1d"
    """How long the new version is asked in shadow, when the rollout says nothing longer."""

    @model_validator(mode="after")
    def _trains(self) -> Self:
        try:
            self.to_core()
        except DeclarationError as error:
            refuse(error.message, error.hint, whole=True)
        except ValueError as error:
            refuse(f"found a command that cannot be split: {error}", "close its quotes", at=("command",))
        return self

    def to_core(self) -> RetrainingRules:
        """Return the core noun."""
        return RetrainingRules(
            tuple(shlex.split(self.command)),
            self.webhook,
            self.over or "",
            parse_duration(self.cool_down),
            parse_duration(self.timeout),
            parse_duration(self.shadow),
        )


def told_retraining(one: RetrainingRules | None) -> dict[str, object] | None:
    """Return how a model is trained anew as the values of its declaration; None where nothing is declared."""
    return one and {
        "command": shlex.join(one.command) or None,
        "webhook": one.webhook or None,
        "over": one.over or None,
        "cool_down": duration_spelling(one.cool_down),
        "timeout": duration_spelling(one.timeout),
        "shadow": duration_spelling(one.shadow),
    }
