"""An objective: what share of requests may fail within some weeks, its error budget, and how fast that is spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from setpoint.core.clock import DAY, HOUR
from setpoint.core.errors import DeclarationError
from setpoint.core.guardrail import COUNTED_METRICS, LATENCY
from setpoint.core.rollout import Mode

FAST_BURN, SLOW_BURN = "fast_burn", "slow_burn"
"""Kinds of findings: the budget is spent within days, or before its time."""

SHARES: Mapping[str, str] = {
    "accuracy": "",
    "precision": "decision",
    "recall": "outcome",
    "within_tolerance": "",
    "hit_rate_at_k": "",
    "success_rate": "",
}
"""Metrics of quality that are a share of predictions, and which of them: those that said yes, or that had to; all."""


@dataclass(frozen=True, slots=True)
class Objective:
    """What share of requests may fail, within some weeks.

    Attributes:
        name: What reports call it.
        metric: `error_ratio`, `violation_ratio`, `latency_p99_seconds` (any two digits), or a share of quality such
            as `accuracy`.
        at_most: The largest value that is fine; of a latency in seconds. None for quality.
        at_least: Of quality, the smallest share that is fine.
        over: How long the budget has to last, microseconds.
        mode: `observe` writes down that it is spent too fast, `propose` opens a ticket, `act` pages when it is spent
            within days.
    """

    name: str
    metric: str
    at_most: float | None = None
    at_least: float | None = None
    over: int = 28 * DAY
    mode: Mode = "observe"

    def __post_init__(self) -> None:
        """Refuse what has no budget.

        Raises:
            DeclarationError: The metric is no share, its limit is on the wrong side, or nothing may ever fail.
        """
        for fault, hint in _faults(self):
            msg = f"objective {self.name}: {fault}"
            raise DeclarationError(msg, hint=hint)

    @property
    def is_of_quality(self) -> bool:
        """Whether it needs outcomes."""
        return self.metric in SHARES

    @property
    def budget(self) -> float:
        """The share of requests that may fail.

        Example:
            >>> Objective("quick", "latency_p99_seconds", at_most=0.3).budget
            0.01
            >>> Objective("right", "accuracy", at_least=0.9).budget
            0.1
        """
        if self.at_least is not None:
            return round(1.0 - self.at_least, 12)
        found = LATENCY.fullmatch(self.metric)
        return round(1.0 - int(found[1]) / 100, 12) if found else self.at_most or 0.0

    @property
    def burns(self) -> tuple[Burn, ...]:
        """What is looked at: how fast the budget is spent, over windows of several lengths."""
        return BURNS[1:] if self.is_of_quality else BURNS


@dataclass(frozen=True, slots=True)
class Burn:
    """A speed at which a budget must not be spent.

    Attributes:
        kind: Of the finding.
        long: The window that must spend so fast, microseconds.
        short: And still does so in this one: so a finding ends soon after what caused it.
        share: The share of the budget that is spent in the long window.

    Source: Beyer, Murphy, Rensin, Kawahara & Thorne (2018), "The Site Reliability Workbook", chapter 5, alerting on
    several windows and burn rates. Its shortest window is 5 minutes; requests are counted by quarters of an hour here.
    """

    kind: Literal["fast_burn", "slow_burn"]
    long: int
    short: int
    share: float

    def rate(self, over: int) -> float:
        """Return how many times faster than it may the budget is spent.

        Example:
            >>> round(BURNS[0].rate(28 * DAY), 2)
            13.44
        """
        return self.share * over / self.long


BURNS = (
    Burn(FAST_BURN, HOUR, HOUR // 4, 0.02),
    Burn(FAST_BURN, 6 * HOUR, HOUR // 2, 0.05),
    Burn(SLOW_BURN, DAY, 2 * HOUR, 0.1),
    Burn(SLOW_BURN, 3 * DAY, 6 * HOUR, 0.1),
)


def _faults(one: Objective) -> list[tuple[str, str]]:
    is_counted = one.metric in COUNTED_METRICS or LATENCY.fullmatch(one.metric)
    if not is_counted and not one.is_of_quality:
        known = ", ".join([*COUNTED_METRICS, "latency_p99_seconds", *SHARES])
        return [(f"{one.metric} is no share of requests, so it has no budget", f"known: {known}")]
    limit = one.at_least if one.is_of_quality else one.at_most
    other = one.at_most if one.is_of_quality else one.at_least
    side = "at_least" if one.is_of_quality else "at_most"
    if limit is None or other is not None:
        return [(f"expected {side} alone for {one.metric}", f"write {side}: and a number")]
    if not LATENCY.fullmatch(one.metric) and not 0.0 < limit < 1.0:
        return [
            (f"found {side}: {limit:g}, expected a share between 0 and 1", "nothing can never fail: leave a budget")
        ]
    if limit <= 0.0:
        return [(f"found {side}: {limit:g}, expected seconds above 0", f"write {side}: 0.3")]
    if one.over < 3 * DAY:
        return [("found a budget for less than three days", "write over: 28d")]
    return []
