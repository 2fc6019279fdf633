"""How a declaration spells objectives."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from setpoint.core.clock import parse_duration
from setpoint.core.errors import DeclarationError
from setpoint.core.objective import Objective
from setpoint.core.rollout import Mode
from setpoint.declare.parts import Part
from setpoint.declare.spellings import Duration, Word, duration_spelling, refuse


class ObjectiveDeclaration(Part):
    """What share of requests may fail within some weeks: an error budget."""

    name: Word
    """What reports call it."""
    metric: str
    """error_ratio, violation_ratio, latency_p99_seconds (any two digits), or a share of quality: accuracy, precision,
    recall, within_tolerance, hit_rate_at_k, success_rate."""
    at_most: float | None = None
    """The largest value that is fine: a share, or seconds of a latency."""
    at_least: float | None = None
    """Of quality, the smallest share that is fine."""
    over: Duration = "28d"
    """How long the budget has to last."""
    mode: Mode = "observe"
    """What is done when it is spent too fast: only written down, a ticket, or a page when it is spent within days."""

    @model_validator(mode="after")
    def _has_budget(self) -> Self:
        try:
            self.to_core()
        except DeclarationError as error:
            refuse(error.message, error.hint, whole=True)
        return self

    def to_core(self) -> Objective:
        """Return the core noun."""
        return Objective(**self.model_dump(exclude={"over"}), over=parse_duration(self.over))


def told_objective(one: Objective) -> dict[str, object]:
    """Return an objective as the values of its declaration; None where nothing is declared."""
    return {
        "name": one.name,
        "metric": one.metric,
        "at_most": one.at_most,
        "at_least": one.at_least,
        "over": duration_spelling(one.over),
        "mode": one.mode,
    }
