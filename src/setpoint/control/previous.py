"""Whether the version before is hit by a change too: then going back to it does not help.

It is looked at on the same requests, where one version answers and the other is asked in shadow; else in the same
hours, where both answer. What cannot be looked at is said to be not checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from setpoint.control.symptoms import Shift
from setpoint.core.cause import Cause, Remedy
from setpoint.core.guardrail import LATENCY
from setpoint.core.metric import number
from setpoint.core.window import Window
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import difference, mean, wilson
from setpoint.store.cause_rows import OneCohort
from setpoint.store.evidence import RowEvidence
from setpoint.store.version_rows import Together, load_version_rows, sums_before, sums_together, versions_since

Hit = Literal["both", "one", "unclear", "not checked"]
_FEWEST = 20  # the intervals say how little that is
_HALF = 0.5
"""Of the change in the version that answers: what is as much or more is the same change."""


@dataclass(frozen=True, slots=True)
class Previous:
    """What is known of the version before the one that answers.

    Attributes:
        version: The version before; empty when none is known.
        is_ready: Whether the route in force names it, so that it can answer at once; None without a route.
        hit: Whether both versions are, or the one that answers alone.
        said: That in one sentence, with the numbers of both.
    """

    version: str
    is_ready: bool | None
    hit: Hit
    said: str


def previous_of(evidence: RowEvidence, shift: Shift, of: OneCohort | None = None, *, blamed: str = "") -> Previous:
    """Return what a change did to the version before the one that answers, held against that one.

    Both are hit when the change of the version before leaves 0 out with its 95 % interval, and is at least half of the
    other's; one is when the whole interval is below half of it. Assumes independent rows; for the interval of a
    difference of two means see `stats/intervals.py` (MOVER).

    Args:
        evidence: A recorded model.
        shift: What changed, and when.
        of: The cohort in which it did; None for all rows.
        blamed: The version that the change is put down to, however few it answers; the one that answers most else.
    """
    metric, turn = shift.symptom.metric, shift.current.start
    # A copy waits elsewhere, and only requests that were answered are copied: neither tells of waits and failures.
    is_served = metric in {"error_ratio", "latency_seconds"} or LATENCY.fullmatch(metric) is not None
    span = Window(shift.reference.start, shift.current.end)
    load_version_rows(evidence, shift.symptom.value, span, copies=not is_served, of=of)
    current, previous = _versions(evidence, turn, blamed)
    if not previous:
        return Previous("", None, "not checked", "no version before it is known")
    plans = evidence.plans
    ready = previous in plans[-1].route.versions if plans else None
    together: Together
    for together in ("requests", "hours"):
        since = sums_together(evidence, (current, previous), turn, together)
        if min(one[0] for one in since) >= _FEWEST:
            before = [sums_before(evidence, one, turn) for one in (current, previous)]
            where = f"on the same {since[1][0]:,} requests" if together == "requests" else "in the same hours"
            hit, said = _compared((current, previous), [_mean(*one) for one in before], [_mean(*one) for one in since])
            return Previous(previous, ready, hit, f"{said}, {where}")
    why = "it answered nothing since, and was not asked in shadow"
    return Previous(previous, ready, "not checked", f"whether {previous} is hit too is not checked: {why}")


def _versions(evidence: RowEvidence, turn: int, blamed: str) -> tuple[str, str]:
    """Return the version that is looked at, and the one before it: that goes on, else that answered before."""
    found = versions_since(evidence, turn)
    current = blamed or max(found, key=lambda one: one[1], default=("", 0, 0, 0))[0]
    others = [one for one in found if one[0] != current]
    previous = max(others, key=lambda one: (one[2] >= _FEWEST, one[3]), default=("", 0, 0, 0))[0]
    routed = evidence.plans[-1].route.fallback if evidence.plans else ()
    return current, previous or next((one for one in routed if one != current), "")


def _mean(count: int, total: float, squares: float) -> Estimate:
    if count and total == squares and 0.0 <= total <= count:  # only ones and noughts
        return wilson(total, count)
    return mean(total, squares, count, count)


def _compared(versions: tuple[str, str], before: list[Estimate], since: list[Estimate]) -> tuple[Hit, str]:
    """Return whether both are hit; a version without rows before is taken to have been as the other one was."""
    was = [one if one.value is not None else other for one, other in zip(before, reversed(before), strict=True)]
    changes = [difference(now, then) for now, then in zip(since, was, strict=True)]
    told = [f"{name} {_text(then)} → {_text(now)}" for name, then, now in zip(versions, was, since, strict=True)]
    said = " and ".join(told)
    own, other = changes
    if own.value is None or other.value is None or other.low is None or other.high is None or not own.value:
        return "unclear", f"whether {versions[1]} is hit too is unclear: {said}"
    low, high = sorted((other.low / own.value, other.high / own.value))
    if low > 0.0 and other.value / own.value >= _HALF:
        return "both", f"both versions are hit: {said}"
    if high < _HALF:
        return "one", f"{versions[0]} alone is hit: {said}"
    return "unclear", f"whether {versions[1]} is hit too is unclear: {said}"


def _text(found: Estimate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "unknown"
    value, low, high = (number(one, "") for one in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def remedy_for(cause: Cause, previous: Previous) -> tuple[Remedy, str]:
    """Return what is to be done about a cause, by what is known of the version before: no help is claimed unseen."""
    remedy, reason = cause.remedy
    name = previous.version
    if remedy == "rollback" and cause.kind == "model_version":
        if previous.hit == "both":
            return "hotfix", f"going back to {name} does not help: {previous.said}"
        if not name or previous.is_ready is False:
            which = f"the route keeps {name} ready no more" if name else "no version before it is known"
            return "investigate", f"there is nothing to go back to: {which}"
        ready = f"{name} can answer at once" if previous.is_ready else f"no route says whether {name} can still answer"
        return "rollback", f"{ready}; {previous.said}"
    if remedy == "hotfix" and name:
        if previous.hit == "both":
            return "hotfix", f"the previous version is hit equally: {previous.said}; {reason}"
        if previous.hit == "one":
            return "hotfix", f"mend what changed; until then {name} would do, for {previous.said}"
    return remedy, reason
