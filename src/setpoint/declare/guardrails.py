"""How a declaration spells guardrails."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from setpoint.core.clock import parse_duration
from setpoint.core.errors import DeclarationError
from setpoint.core.guardrail import Guardrail, GuardrailAction
from setpoint.core.rollout import Mode
from setpoint.declare.parts import Part
from setpoint.declare.spellings import Duration, ScalarText, Word, duration_spelling, refuse


class GuardrailDeclaration(Part):
    """What may not happen to the model, and what is done when it does."""

    name: Word
    """What reports call it."""
    metric: str = ""
    """What is measured: error_ratio, violation_ratio, latency_p95_seconds, flagged_ratio,
    cost_per_prediction_usd, cost_per_success_usd, spend_usd, or a metric of quality."""
    finding: str = ""
    """Instead of a metric: the kind of finding that trips it, such as broken_contract."""
    above: float | None = None
    """The highest value that is fine."""
    below: float | None = None
    """The lowest value that is fine."""
    over: Duration = "1h"
    """The window, up to now, that is measured."""
    cohort: str = ""
    """Only predictions of this cohort; of any metric but spend_usd."""
    value: ScalarText = ""
    """The cohort's value; each of its values by itself when left out."""
    actions: Annotated[list[GuardrailAction], Field(min_length=1)] = Field(
        default_factory=lambda: list[GuardrailAction](["ticket"])
    )
    """What is done when it is crossed."""
    webhook: str = ""
    """Of the action of this name: a person, a rota or an address that is told."""
    mode: Mode = "observe"
    """Whether that is only written down, proposed, or done."""

    @model_validator(mode="after")
    def _can_be_watched(self) -> Self:
        try:
            self.to_core()
        except DeclarationError as error:
            refuse(error.message, error.hint, whole=True)
        return self

    def to_core(self) -> Guardrail:
        """Return the core noun."""
        told = self.model_dump(exclude={"over", "actions"})
        return Guardrail(**told, over=parse_duration(self.over), actions=tuple(self.actions))


def told_guardrail(one: Guardrail) -> dict[str, object]:
    """Return a guardrail as the values of its declaration; None where nothing is declared."""
    return {
        "name": one.name,
        "metric": one.metric or None,
        "finding": one.finding or None,
        "above": one.above,
        "below": one.below,
        "over": None if one.finding else duration_spelling(one.over),
        "cohort": one.cohort or None,
        "value": one.value or None,
        "actions": list(one.actions),
        "webhook": one.webhook or None,
        "mode": one.mode,
    }
