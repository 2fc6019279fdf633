"""A look at a rollout: takes the evidence that came since the last one, each unit once, and asks the judge."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.control.gathered import Gathered, gathered_of
from setpoint.control.judge import Batch
from setpoint.control.readouts import KNOWN, known_units, take_units
from setpoint.core.clock import MICROS
from setpoint.core.rollout import LATE, Phase, Rollout, RolloutEvent
from setpoint.core.window import Window
from setpoint.stats.special import FloatArray
from setpoint.store.arms import Units, units_of
from setpoint.store.evidence import RowEvidence
from setpoint.store.layout import Layout
from setpoint.store.rollouts import Look, Numbers, last_look, take

SETTLED = 2 * MICROS
"""How long after a request its record may still be on its way to the disk."""


@dataclass(frozen=True, slots=True)
class Part:
    """Units of one look of which it was left to chance, and with the same chance, which version they went to.

    Attributes:
        name: Of its batch.
        share: The chance that a unit is the candidate's.
        units: The units.
        metrics: What they are evidence of.
    """

    name: str
    share: float
    units: Units
    metrics: frozenset[str]


def look(
    layout: Layout, evidence: RowEvidence, rollout: Rollout, events: list[RolloutEvent], now: int
) -> tuple[Gathered, Look]:
    """Take what came since the last look, and return what it has come to and how far it was taken.

    Whoever looks twice, or beside somebody else, takes nothing twice: a batch has a name, and is written once.

    Raises:
        StoreBusy: Somebody else looks at the same time.
    """
    before = last_look(layout, rollout)
    gathered = gathered_of(rollout, before.state)
    until = now - SETTLED
    if until <= before.until:  # also when a clock went back
        return gathered, before
    batches: dict[str, Numbers] = {}
    for part in _parts(evidence, rollout, events, Window(before.until, until), before.number + 1):
        held, tried = evidence_of_units(part.units, part.metrics)
        gathered.judge.update(held, tried, batch=part.name)
        told = _told(held), _told(tried)
        if part.units.late is not None:
            for one, known in zip(told, known_units(part.units.late, part.units.is_candidate), strict=True):
                one[KNOWN] = known
            if gathered.business is not None and rollout.rules.ab is not None:
                take_units(gathered.business, rollout.rules.ab, part.units, part.share)
        batches[part.name] = {rollout.stable: told[0], rollout.candidate: told[1]}
    after = Look(before.number + 1, until, gathered.dumps())
    take(layout, rollout, before, after, batches)
    return gathered, after


def _parts(
    evidence: RowEvidence, rollout: Rollout, events: list[RolloutEvent], window: Window, number: int
) -> Iterator[Part]:
    """Yield the units whose first request of a step lies in a window, apart where their chances differ."""
    rules = rollout.rules
    metrics = {line.metric for line in rules.red_lines}
    starts = step_starts(rollout, events)
    for is_late, wanted in ((False, metrics - LATE), (True, metrics & LATE)):
        if not wanted and not (is_late and rules.ab):
            continue
        delay = rules.exposure + (rules.outcome_age if is_late else 0)
        within = Window(window.start - delay, window.end - delay)
        for step, begun in starts.items():
            ended = starts.get(step + 1, window.end)
            if within.end <= begun or within.start >= ended:
                continue
            units = units_of(
                evidence,
                rollout,
                step,
                within,
                starts_at=begun + rules.warm_up,
                within=rules.outcome_age if is_late else None,
            )
            for stratum in np.unique(units.stratum).tolist():
                name = f"{number}/{step}/{stratum}{'/late' if is_late else ''}"
                yield Part(name, rules.steps[step], units.only(units.stratum == stratum), frozenset(wanted))


def step_starts(rollout: Rollout, events: list[RolloutEvent]) -> dict[int, int]:
    """Return when each step began that was reached, by its place."""
    found: dict[int, int] = {}
    for event in events:
        if event.phase is Phase.CANARY:
            found.setdefault(rollout.rules.steps.index(event.share), event.at)
    return found


def evidence_of_units(units: Units, metrics: Collection[str]) -> tuple[Batch, Batch]:
    """Return what units are evidence of: of the stable version, and of the candidate."""
    held, tried = (
        {name: _of(units, name, units.is_candidate == side) for name in sorted(metrics)} for side in (False, True)
    )
    return held, tried


def _of(units: Units, metric: str, chosen: npt.NDArray[np.bool_]) -> tuple[int, int] | FloatArray:
    """Return what some units met: how many and how many of them had it, or their values."""
    match metric:
        case "error_ratio":
            return int(chosen.sum()), int(units.has_error[chosen].sum())
        case "wrong_ratio":
            known = units.is_wrong[chosen & np.isfinite(units.is_wrong)]
            return len(known), int(known.sum())
        case _:
            values: FloatArray = getattr(units, metric)[chosen]
            return values[np.isfinite(values)]


def _told(batch: Batch) -> dict[str, list[float]]:
    """Return the numbers of a batch as they are kept: how many, and hits or sums of values and squares."""
    return {
        name: [*held] if isinstance(held, tuple) else [len(held), float(np.sum(held)), float(np.square(held).sum())]
        for name, held in batch.items()
    }
