"""A quality metric held against that of an earlier window, at equal outcome age while outcomes still come."""

from __future__ import annotations

from dataclasses import dataclass

from setpoint.answers.equal_age import equal_age, old_enough
from setpoint.core.clock import duration_text
from setpoint.core.metric import Metric
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.feedback.quality import quality_metric
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable


@dataclass(frozen=True, slots=True)
class HeldAgainst:
    """One metric of two windows.

    Attributes:
        before: Of the earlier one.
        after: Of the later one.
        age: How old outcomes may be to count, microseconds; None when all do.
    """

    before: Metric
    after: Metric
    age: int | None

    @property
    def verdict(self) -> Verdict:
        """A warning when the intervals lie apart, on the worse side."""
        ends = (self.before.low, self.before.high, self.after.low, self.after.high)
        if self.before.value is None or self.after.value is None or any(end is None for end in ends):
            return Verdict.UNKNOWN
        before_low, before_high, after_low, after_high = (float(end or 0.0) for end in ends)
        worse = after_high < before_low if self.after.better == "higher" else after_low > before_high
        return Verdict.WARNING if worse else Verdict.OK

    @property
    def outcomes(self) -> str:
        """Which outcomes count, in words; empty when all do."""
        return "" if self.age is None else f" with outcomes of {duration_text(self.age)}"


def held_against(evidence: RowEvidence, metric: Metric, now: Window | None, reference: Window) -> HeldAgainst:
    """Return a metric of a window beside that of an earlier one.

    Args:
        evidence: The model's states.
        metric: That of the later window, by all outcomes.
        now: The later window; None for all rows.
        reference: The earlier one.

    Raises:
        UsageError: Rows that are needed were let go.
    """
    age = equal_age(evidence, [evidence.arrivals_by_day(reference), evidence.arrivals_by_day(now)], now)
    if age is None or now is None:
        return HeldAgainst(metric_of(evidence, evidence.quality(reference), metric.name), metric, None)
    young = evidence.early_quality(old_enough(now, age, evidence.as_of), age)
    before = evidence.early_quality(reference, age)
    return HeldAgainst(metric_of(evidence, before, metric.name), metric_of(evidence, young, metric.name), age)


def metric_of(evidence: RowEvidence, state: StateTable, name: str) -> Metric:
    """Return a quality metric of the root rows of a state."""
    shift = evidence.definition.outcome_shift
    return quality_metric(state.only(is_root=True), evidence.model, name, outcome_shift=shift)
