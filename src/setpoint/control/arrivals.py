"""Whether the outcomes of both versions arrive alike: where they do not, what differs may be the arrival.

At several ages it is counted how many units have an outcome. If outcomes arrive alike, then each unit of a batch that
has one might as well have been the other version's; somebody bets that they do not, in both directions. By chance that
is called a difference at most as often as the risk says, over all looks and ages together. What arrives alike in number
and otherwise in kind, such as wrong answers sooner and as many right ones later, cannot be seen so. Source: Lindon &
Malek (2022), as in stats/assignment.py; Vovk & Wang (2021), "E-values", for the mean over ages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from setpoint.core.clock import duration_text
from setpoint.core.metric import number
from setpoint.core.rollout import Rollout
from setpoint.stats.assignment import log_mean, log_odds_factors
from setpoint.stats.sequences import Flags
from setpoint.store.arms import Late

_PARTS = (0.25, 0.5, 1.0)
"""Of the age at which outcomes are compared."""
_ODDS = (0.25, 0.5, 0.75, 4.0 / 3.0, 2.0, 4.0)


def _nothing() -> list[list[float]]:
    return [[0.0] * len(_ODDS) for _ in range(len(_PARTS) + 1)]


def _nobody() -> list[list[int]]:
    return [[0, 0, 0, 0] for _ in range(len(_PARTS) + 1)]


@dataclass(slots=True)
class Arrivals:
    """How outcomes have arrived so far; the last view is about all outcomes of a unit, the others about its first.

    Attributes:
        won: By view, the logarithm of what each bet has won.
        counts: By view: units of the stable version, those of them with an outcome, and the same of the candidate.
    """

    won: list[list[float]] = field(default_factory=_nothing)
    counts: list[list[int]] = field(default_factory=_nobody)

    def update(self, late: Late, is_candidate: Flags, outcome_age: int) -> None:
        """Take the units of one batch in which each had the same chance to be the candidate's.

        Args:
            late: What is known of them.
            is_candidate: Whose they are.
            outcome_age: At which age outcomes are compared, microseconds.
        """
        for view, came in enumerate(_came(late, outcome_age)):
            held, tried = (
                (int(side.sum()), int((side & came).sum()))
                for side in (late.is_answered & ~is_candidate, late.is_answered & is_candidate)
            )
            logs = log_odds_factors(held, tried, _ODDS)
            self.won[view] = (np.array(self.won[view]) + logs).tolist()
            self.counts[view] = [was + more for was, more in zip(self.counts[view], (*held, *tried), strict=True)]

    def difference(self, rollout: Rollout) -> str:
        """Return how they differ, in words; empty when that is not shown, or when nothing rests on outcomes."""
        views = [log_mean(np.array(logs), np.full(len(_ODDS), 1.0 / len(_ODDS))) for logs in self.won]
        if log_mean(np.array(views), np.full(len(views), 1.0 / len(views))) < -math.log(rollout.rules.risk):
            return ""
        view = int(np.argmax(views))
        held, held_came, tried, tried_came = self.counts[view]
        what = "all outcomes are" if view == len(_PARTS) else "an outcome is"
        age = duration_text(round(rollout.rules.outcome_age * (*_PARTS, 1.0)[view]))
        shares = [number(came / units, "share") for came, units in ((tried_came, tried), (held_came, held))]
        return (
            f"outcomes do not arrive alike: after {age} {what} known of {shares[0]} of the units of {rollout.candidate}"
            f" and of {shares[1]} of those of {rollout.stable}"
        )


def _came(late: Late, outcome_age: int) -> Iterator[Flags]:
    for part in _PARTS:
        yield late.first_age <= part * outcome_age
    yield late.is_complete
