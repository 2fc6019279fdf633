"""A guardrail: a red line on something measured, or a kind of finding, and what is done when it is crossed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, Self

from setpoint.core.clock import HOUR
from setpoint.core.errors import DeclarationError
from setpoint.core.finding import DRIFT_LIMIT, MOVED, OUTPUT_DRIFT, UNOWNED, VARYING_CONSTANT
from setpoint.core.metric import QUALITY_METRICS
from setpoint.core.rollout import Mode

GuardrailAction = Literal["roll_back", "pause", "fall_back", "retrain", "freeze_training", "webhook", "page", "ticket"]
DISRUPTIVE: frozenset[GuardrailAction] = frozenset({"roll_back", "pause", "fall_back", "retrain", "page"})
"""What disturbs people or traffic."""
SUBTLE = (MOVED - {"gross_drift", VARYING_CONSTANT}) | {OUTPUT_DRIFT, DRIFT_LIMIT, UNOWNED}
"""Findings that need not be harm, such as subtle drift: they are worth a ticket, and nothing more."""
LATENCY = re.compile(r"latency_p(\d\d)_seconds")
COUNTED_METRICS = ("error_ratio", "violation_ratio")
FLAGGED = "flagged_ratio"
"""The share of answers that are yes: what is known of a binary model without any outcome."""
QUALITY = {metric.name for known in QUALITY_METRICS.values() for metric in known if metric.better != "none"}
SPEND = "spend_usd"
MONEY_METRICS = ("cost_per_prediction_usd", "cost_per_success_usd", SPEND)


@dataclass(frozen=True, slots=True)
class Guardrail:
    """What may not happen to a model, and what is done when it does.

    Attributes:
        name: What reports call it.
        metric: What is measured: `error_ratio`, `violation_ratio`, `latency_p95_seconds` (any two digits),
            `flagged_ratio`, `cost_per_prediction_usd`, `cost_per_success_usd`, `spend_usd`, or a metric of quality.
        finding: Instead of a metric: the kind of finding that trips it, such as `broken_contract`.
        above: The highest value that is fine.
        below: The lowest value that is fine.
        over: The window, up to now, that is measured, microseconds.
        cohort: Only predictions of this cohort; of any metric but `spend_usd`.
        value: The cohort's value; each of its values by itself when empty.
        actions: What is done when it is crossed.
        webhook: Of the action of this name: a person, a rota or an address that is told, such as one that runs a job.
        mode: Whether that is only written down, proposed, or done.
    """

    name: str
    metric: str = ""
    finding: str = ""
    above: float | None = None
    below: float | None = None
    over: int = HOUR
    cohort: str = ""
    value: str = ""
    actions: tuple[GuardrailAction, ...] = ("ticket",)
    webhook: str = ""
    mode: Mode = "observe"

    def __post_init__(self) -> None:
        """Refuse what cannot be watched, or would disturb people for what need not be harm.

        Raises:
            DeclarationError: Neither or both of a metric and a finding, a metric without one red line, no action.
        """
        for fault, hint in _faults(self):
            msg = f"guardrail {self.name}: {fault}"
            raise DeclarationError(msg, hint=hint)

    @property
    def red_line(self) -> float | None:
        """The value that may not be crossed; None for a finding."""
        return self.above if self.above is not None else self.below

    @property
    def subject(self) -> str:
        """What it watches, in words.

        Example:
            >>> Guardrail("g", "recall", below=0.8, cohort="carrier", value="VX").subject
            'recall of carrier VX'
        """
        return f"{self.metric or self.finding}{f' of {self.cohort} {self.value}'.rstrip() if self.cohort else ''}"

    def is_about(self, subject: str) -> bool:
        """Return whether the subject of a finding is this guardrail, or one value of its cohort.

        Example:
            >>> each = Guardrail("g", "flagged_ratio", above=0.5, cohort="channel")
            >>> each.is_about("g"), each.is_about("g: partner"), each.is_about("g2")
            (True, True, False)
        """
        return subject == self.name or (bool(self.cohort) and subject.startswith(f"{self.name}: "))

    def of_value(self, value: str) -> Self:
        """Return the guardrail of one value of its cohort, named after it."""
        return replace(self, name=f"{self.name}: {value}", value=value)


def _tells_of_outcomes(one: Guardrail) -> bool:
    """Whether a crossing means that answers became worse; drift alone says no such thing."""
    return one.metric in QUALITY or one.finding == "concept_drift"


def _faults(one: Guardrail) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if bool(one.metric) == bool(one.finding):
        found.append(("expected a metric or a finding, and not both", "write metric: error_ratio, above: 0.05"))
    if one.metric and (one.above is None) == (one.below is None):
        found.append(("expected one red line", "write above: or below:"))
    if one.finding and one.red_line is not None:
        found.append(("a finding has no red line", "leave above and below out"))
    if one.value and not one.cohort:
        found.append(("expected a cohort beside the value", "write cohort: carrier, value: VX"))
    if one.cohort and (one.finding or one.metric == SPEND):
        found.append((f"{one.metric or one.finding} is not told by cohort", "leave cohort out"))
    if not one.actions:
        found.append(("expected an action", "write actions: [ticket]"))
    if ("webhook" in one.actions) != bool(one.webhook):
        found.append(("expected the action webhook and where to, or neither", "write webhook: https://..."))
    if "retrain" in one.actions and not _tells_of_outcomes(one):
        found.append(
            (
                f"{one.metric or one.finding} says nothing about outcomes, so it cannot retrain",
                "watch a metric of quality, or the finding concept_drift",
            )
        )
    disturbing = sorted(set(one.actions) & DISRUPTIVE)
    if one.finding in SUBTLE and disturbing:
        found.append(
            (
                f"{one.finding} need not be harm, so it cannot {' or '.join(disturbing)}",
                "write actions: [ticket], or watch a metric of quality",
            )
        )
    return found
