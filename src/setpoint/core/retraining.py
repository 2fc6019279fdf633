"""Retraining: a data set is built by policy, the team's own command makes a version of it, a rollout tries it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from setpoint.core.clock import DAY, HOUR
from setpoint.core.errors import DeclarationError

RetrainingState = Literal["due", "running", "asked", "done", "failed"]
UNDER_WAY: frozenset[RetrainingState] = frozenset({"due", "running", "asked"})
FAILED_RETRAINING = "failed_retraining"
"""The kind of finding that says that a retraining ended without a candidate."""


@dataclass(frozen=True, slots=True)
class RetrainingRules:
    """How a model is trained anew, as declared. Durations in microseconds.

    Attributes:
        command: The team's own, word by word; it prints the name of the new version on its last line.
        webhook: Instead: a person, a rota or an address that is told where the data set lies.
        over: Predictions of this window up to now become examples, such as `90d`; all of them when empty.
        cool_down: How long after one began the next may.
        timeout: How long the command may take.
        shadow: How long the new version is asked in shadow, when the rollout's rules say nothing longer.
    """

    command: tuple[str, ...] = ()
    webhook: str = ""
    over: str = ""
    cool_down: int = 7 * DAY
    timeout: int = 6 * HOUR
    shadow: int = DAY

    def __post_init__(self) -> None:
        """Refuse rules that say nobody, or two, who trains.

        Raises:
            DeclarationError: Neither or both of a command and a webhook.
        """
        if bool(self.command) == bool(self.webhook):
            msg = "retraining: expected a command or a webhook, and not both"
            raise DeclarationError(msg, hint="write command: python train.py")


@dataclass(frozen=True, slots=True)
class Retraining:
    """One time that a model was to be trained anew.

    Attributes:
        retraining_id: Its name.
        model: Whose.
        reason: Why.
        actor: Who said so: `guardrail`, or a person.
        state: `due`, then `running` or, of a webhook, `asked`; in the end `done` or `failed`.
        begun_at: When it was asked for, microseconds.
        ended_at: When it was done or failed; None while it is under way.
        version: The version that came of it; empty until then.
        said: What became of it.
    """

    retraining_id: str
    model: str
    reason: str
    actor: str
    state: RetrainingState
    begun_at: int
    ended_at: int | None = None
    version: str = ""
    said: str = ""
