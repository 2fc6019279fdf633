"""What a loop noticed."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

Severity = Literal["warning", "breach"]
INPUT_DRIFT = "input_drift"
"""The kind of finding that says that a feature moved; the input loop writes it."""
COHORT_DRIFT = "cohort_drift"
"""The kind that says that a feature moved in a group of the predictions, and not in all."""
OUTPUT_DRIFT = "output_drift"
"""The kind that says that rankings show other items, fewer of them, or some more often."""
GROSS_DRIFT = "gross_drift"
"""The kind that says it within the hour, of a change that no hour of the reference comes near."""
DRIFT_LIMIT = "drift_limit"
"""The kind of finding that says that a day of a feature was beyond a declared limit."""
VARYING_CONSTANT = "varying_constant"
"""The kind that says that an input was the same in all rows, and is not any more."""
PAUSED_ROLLOUT = "paused_rollout"
"""The kind that says that a rollout waits, and not because a person said so."""
GUARDRAIL = "guardrail"
"""The kind that says that what a guardrail measures is beyond its red line."""
UNOWNED = "unowned"
"""The kind that says that nobody answers for a model that is recorded: about people, not about its rows."""
MOVED = frozenset({INPUT_DRIFT, GROSS_DRIFT, COHORT_DRIFT, VARYING_CONSTANT})
"""The kinds that say that the model's inputs or answers moved: a change is told by one of them."""
State = Literal["open", "closed"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a loop noticed, latched until it ends.

    Attributes:
        model: The model it is about.
        kind: What kind of thing, such as `missed_run` or `quality_breach`.
        cause: What it is put down to; empty when unknown.
        subject: The feature, metric, version or schedule it is about.
        started_at: When it began, microseconds.
        ended_at: When it ended; None while open.
        severity: How bad.
        state: Whether it is still so.
        said: One sentence for a person.
        evidence: The numbers behind it, as JSON text.
        recorded_at: When this row was written.
        revision: 0 for the row that opened it; one more for each update.
    """

    model: str
    kind: str
    cause: str
    subject: str
    started_at: int
    ended_at: int | None
    severity: Severity
    state: State
    said: str
    evidence: str
    recorded_at: int
    revision: int

    @property
    def latch(self) -> tuple[str, str, str, str]:
        """What makes two sightings the same finding."""
        return (self.model, self.kind, self.cause, self.subject)

    @property
    def finding_id(self) -> str:
        """A name that every run of `tick` gives to the same finding."""
        parts = [*self.latch, str(self.started_at)]
        return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).hexdigest()
