"""What was decided, by which rule, from which numbers, and what else could have been."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Number = float | int | str | bool | None


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision with its evidence.

    Attributes:
        action: What is to be done, such as `advance` or `roll_back`; `stay` for nothing.
        rule: The rule that says so.
        said: One sentence for a person.
        numbers: What the rule looked at.
        alternatives: Other actions, and why not.
    """

    action: str
    rule: str
    said: str
    numbers: Mapping[str, Number] = field(default_factory=dict[str, Number])
    alternatives: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision as it was recorded.

    Attributes:
        decision_id: Its name; those about one subject sort by it.
        model: Whose.
        subject: What it is about: a rollout, a guardrail.
        at: When, microseconds.
        decision: What was decided.
        is_carried_out: Whether it was done, rather than observed or proposed.
    """

    decision_id: str
    model: str
    subject: str
    at: int
    decision: Decision
    is_carried_out: bool
