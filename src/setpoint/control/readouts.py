"""What a test of two versions says on the business metric: A, B, no difference, not yet, or that nobody can say.

A is the stable version, B the candidate. What is said may be looked at after every batch: of two versions that are
equal a winner is named in at most one test in twenty. Source: stats/sequences.py, for the interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from setpoint.core.metric import number
from setpoint.core.rollout import AbRules, Rollout, RolloutEvent
from setpoint.stats.estimate import Estimate
from setpoint.stats.sequences import DifferenceSequence, Flags
from setpoint.stats.special import FloatArray
from setpoint.store.arms import NEW, Late, Units
from setpoint.store.rollouts import Numbers

Says = Literal["A", "B", "no difference", "not yet", "unknown"]
KNOWN = "known"
"""Under which it is kept how many units were answered, and of how many of them an outcome is known."""


@dataclass(frozen=True, slots=True)
class Readout:
    """What a test says now.

    Attributes:
        says: Who is better, if anybody.
        difference: The mean of the candidate's units less that of the stable version's.
        said: The same in one sentence.
        units: Of both, that the difference rests on.
        known: By version, the share of the answered units whose outcome is known; None without a unit.
    """

    says: Says
    difference: Estimate
    said: str
    units: int
    known: Mapping[str, float | None]


def sequence_of(rules: AbRules) -> DifferenceSequence:
    """Return the sequence of a test in which no unit was yet."""
    return DifferenceSequence(*rules.between)


def take_units(sequence: DifferenceSequence, rules: AbRules, units: Units, share: float) -> None:
    """Take units that were never seen before their step: each was assigned by a lot of its share, and enters once."""
    values: FloatArray = getattr(units.late, rules.value)
    chosen = (units.stratum == NEW) & np.isfinite(values)
    sequence.update(values[chosen].clip(*rules.between), units.is_candidate[chosen], share)


def known_units(late: Late, is_candidate: Flags) -> tuple[list[float], list[float]]:
    """Return how many units were answered and of how many of them an outcome is known, of either version."""
    held, tried = (
        [float((flags & (is_candidate == side)).sum()) for flags in (late.is_answered, np.isfinite(late.first_age))]
        for side in (False, True)
    )
    return held, tried


def doubt_of(events: Sequence[RolloutEvent]) -> str:
    """Return why versions cannot be compared for good, in words: units or outcomes once did not come as meant."""
    return next((one.said for one in events if one.cause in {"mismatch", "arrival"}), "")


def readout_of(
    rollout: Rollout, sequence: DifferenceSequence | None, batches: list[Numbers], doubt: str
) -> Readout | None:
    """Return what a test says; None of a rollout that is none.

    Args:
        rollout: The rollout.
        sequence: What its units have said so far.
        batches: What each batch held.
        doubt: Why its versions cannot be compared, in words; empty when they can.
    """
    rules = rollout.rules.ab
    if rules is None or sequence is None:
        return None
    found = sequence.estimate()
    known = {version: _known(batches, version) for version in (rollout.stable, rollout.candidate)}
    says = _says(rollout, rules, found, doubt)
    told = found.reason or f"{rollout.candidate} has {difference_text(found)} a unit, over {sequence.rows:,.0f} units"
    share = " and ".join(f"of {number(one, 'share')} for {name}" for name, one in known.items() if one is not None)
    because = {
        "A": f"{rollout.stable} is better than {rollout.candidate} in {rollout.business_metric}",
        "B": f"{rollout.candidate} is better than {rollout.stable} in {rollout.business_metric}",
        "no difference": f"they differ by less than {rules.smallest or 0.0:g} in {rollout.business_metric}",
        "not yet": f"nothing is shown in {rollout.business_metric}",
        "unknown": doubt,
    }[says]
    outcomes = f"; outcomes are known {share}" if share else ""
    said = f"{says}: {because}: {told}{outcomes}" if says != "unknown" else f"{says}: {because}"
    return Readout(says, found, said, round(sequence.rows), known)


def _says(rollout: Rollout, rules: AbRules, found: Estimate, doubt: str) -> Says:
    if doubt:
        return "unknown"
    if found.low is None or found.high is None:
        return "not yet"
    # Of what differs for sure and by less than matters the second is said.
    if rules.smallest is not None and -rules.smallest < found.low and found.high < rules.smallest:
        return "no difference"
    low, high = (found.low, found.high) if rollout.better == "higher" else (-found.high, -found.low)
    return "B" if low > 0.0 else "A" if high < 0.0 else "not yet"


def difference_text(found: Estimate) -> str:
    """Return a difference with its interval, in words; why there is none instead."""
    if found.value is None or found.low is None or found.high is None:
        return found.reason
    return f"{found.value:+.3g} [{found.low:+.3g}, {found.high:+.3g}]"


def _known(batches: list[Numbers], version: str) -> float | None:
    held = [numbers[version][KNOWN] for numbers in batches if KNOWN in numbers.get(version, {})]
    answered = sum(one[0] for one in held)
    return sum(one[1] for one in held) / answered if answered else None
