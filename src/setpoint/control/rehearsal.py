"""Rehearses a rollout on past requests: what its red lines would have done to a candidate that is as good, or as bad.

The stable version's own past requests are dealt out to two versions by lot, as a rollout would, step by step. Of the
one that stands for a candidate at a red line, values are made larger by it, and as many more requests made to fail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from setpoint.control.gathered import gathered_of
from setpoint.control.judge import Batch
from setpoint.control.judged import Evidence
from setpoint.control.rollout_looks import evidence_of_units
from setpoint.core.clock import MICROS
from setpoint.core.rollout import COUNTED, LATE, RedLine, Rollout, RolloutMetric
from setpoint.store.arms import NEW, Requests, Units

Ends = dict[str, list["End"]]
Places = npt.NDArray[np.int64]
_LOOKS = 10
"""So many looks are taken at a step that lasts no longer than it must."""


@dataclass(frozen=True, slots=True)
class End:
    """How one rehearsal ended.

    Attributes:
        action: `promote`, `roll_back`, or `stay` when the past was over before.
        units: Units of the candidate that were evidence by then.
        length: How long it took, microseconds.
        worse: The metrics that it was found worse in.
    """

    action: str
    units: int
    length: int
    worse: tuple[str, ...] = ()


def rehearse(rollout: Rollout, requests: Requests, *, runs: int, seed: int = 0) -> Ends:
    """Return how rollouts over past requests would have ended, by what the candidate is like.

    Args:
        rollout: Its rules and what is usual.
        requests: Past requests of the stable version, in the order of time.
        runs: How often each is rehearsed, each time with another lot.
        seed: Of the lots.

    Returns:
        By `no worse` and by the name of each red line: how each run ended.
    """
    rng = np.random.default_rng(seed)
    found: Ends = {"no worse": []}
    for _ in range(runs):
        place = rng.random(requests.unit_count)
        found["no worse"].append(_run(rollout, requests, requests, place))
        for line in rollout.rules.red_lines:
            worse = made_worse(requests, line, rng)
            found.setdefault(line.name, []).append(_run(rollout, requests, worse, place))
    return found


def made_worse(requests: Requests, line: RedLine, rng: np.random.Generator) -> Requests:
    """Return requests as a candidate at a red line would have answered them."""
    metric: RolloutMetric = line.metric
    is_of = _is_of(requests, line)
    if metric not in COUNTED:
        return replace(requests, **{metric: getattr(requests, metric) * np.where(is_of, line.times, 1.0)})
    name = "has_error" if metric == "error_ratio" else "is_wrong"
    values = np.asarray(getattr(requests, name), dtype=np.float64)
    known = values[is_of & np.isfinite(values)]
    rate = float(known.mean()) if len(known) else 0.0
    wanted = line.times * rate / (1.0 + (line.times - 1.0) * rate)  # the odds times the red line
    wanted = wanted if line.above is None else max(rate, min(wanted, line.above))
    more = (wanted - rate) / (1.0 - rate) if rate < 1.0 else 0.0
    hit = np.where(np.isnan(values), np.nan, np.maximum(values, is_of & (rng.random(len(values)) < more)))
    return replace(requests, **{name: hit > 0.0 if name == "has_error" else hit})


def _is_of(requests: Requests, line: RedLine) -> npt.NDArray[np.bool_]:
    """Return which requests a red line is about."""
    return requests.of_cohort[line.of] if line.cohort else np.ones(len(requests.asked_at), dtype=np.bool_)


def _run(rollout: Rollout, held: Requests, tried: Requests, place: npt.NDArray[np.float64]) -> End:
    """Rehearse once: `place` is where each unit's lot lies, 0 to 1; below its share the candidate has it."""
    judge, units, rules = gathered_of(rollout).judge, 0, rollout.rules
    late = rules.outcome_age if {line.metric for line in rules.red_lines} & LATE else 0
    begun = int(held.asked_at[0]) if len(held.asked_at) else 0
    length, before = 0, -1
    seen = np.zeros(held.unit_count, dtype=np.bool_)
    for number, (step, at, part) in enumerate(_looks(rollout, held)):
        if step != before:  # a unit is evidence once a step
            seen[:], before = False, step
        chosen = _fresh(held, part, seen)
        seen[held.unit[chosen]] = True
        stable, candidate = _dealt(rollout, (held, tried), chosen, place, step)
        units += max(
            (len(one) if isinstance(one, np.ndarray) else int(one[0]) for one in candidate.values()), default=0
        )
        judge.update(stable, candidate, batch=f"{number}")
        said, length = judge.judgement(), at - begun + late
        if said.is_worse:
            return End("roll_back", units, length, said.worse)
        is_soaked = at - begun >= rules.soak * (len(rules.steps) - 1) + rules.last_soak
        if step == len(rules.steps) - 1 and is_soaked and said.is_fine:
            return End("promote", units, length)
    return End("stay", units, length)


def _looks(rollout: Rollout, requests: Requests) -> Iterator[tuple[int, int, Places]]:
    """Yield each look: its step, when it is taken, and the places of the requests since the last one."""
    rules = rollout.rules
    if not len(requests.asked_at):
        return
    at, end = int(requests.asked_at[0]), int(requests.asked_at[-1])
    for step in range(len(rules.steps)):
        is_last = step == len(rules.steps) - 1
        soak = rules.last_soak if is_last else rules.soak
        pace = max(soak // _LOOKS, 60 * MICROS)
        until = end if is_last else min(at + soak, end)
        while at < until:
            first, last = np.searchsorted(requests.asked_at, (at, at + pace))
            at += pace
            yield step, at, np.arange(first, last)


def _fresh(requests: Requests, part: Places, seen: npt.NDArray[np.bool_]) -> Places:
    """Return the first request of each unit that was not seen yet."""
    _, first = np.unique(requests.unit[part], return_index=True)
    chosen = part[np.sort(first)]
    return chosen[~seen[requests.unit[chosen]]]


def _dealt(
    rollout: Rollout, sides: tuple[Requests, Requests], chosen: Places, place: npt.NDArray[np.float64], step: int
) -> tuple[Batch, Batch]:
    """Return what the units of a look are evidence of, dealt out by their lots."""
    shares: Sequence[float] = (0.0, *rollout.rules.steps)
    held, tried = dict[str, Evidence](), dict[str, Evidence]()
    for of in dict.fromkeys(line.of for line in rollout.rules.red_lines):
        lines = [line for line in rollout.rules.red_lines if line.of == of]
        about = chosen[_is_of(sides[0], lines[0])[chosen]]
        where = place[sides[0].unit[about]]
        # Who was the candidate's in the step before stays it for sure, and is no evidence again.
        parts = [about[where >= shares[step + 1]], about[(where >= shares[step]) & (where < shares[step + 1])]]
        of_held, of_tried = evidence_of_units(_units(sides, parts), lines)
        held |= of_held
        tried |= of_tried
    return held, tried


def _units(sides: tuple[Requests, Requests], parts: list[Places]) -> Units:
    """Return as units the requests of both sides at their places."""
    names = ("has_error", "latency_seconds", "cost_usd", "is_wrong", "loss_usd")
    values = {
        name: np.concatenate([getattr(side, name)[part] for side, part in zip(sides, parts, strict=True)])
        for name in names
    }
    flags = np.repeat((False, True), [len(part) for part in parts])
    once = np.ones(len(flags), dtype=np.int64)
    return Units(is_candidate=flags, stratum=once * NEW, requests=once, late=None, **values)
