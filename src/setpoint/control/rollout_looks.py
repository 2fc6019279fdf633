"""A look at a rollout: takes the evidence that came since the last one, each unit once, and asks the judge."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from setpoint.control.gathered import Gathered, began_anew, gathered_of
from setpoint.control.judge import Batch
from setpoint.control.readouts import KNOWN, known_units, take_units
from setpoint.core.clock import MICROS
from setpoint.core.rollout import LATE, Phase, RedLine, Rollout, RolloutEvent, RolloutRules
from setpoint.core.window import Window
from setpoint.stats.special import FloatArray
from setpoint.store.arms import Units, units_of
from setpoint.store.drawn import units_before
from setpoint.store.evidence import RowEvidence
from setpoint.store.layout import Layout
from setpoint.store.rollouts import Look, Numbers, last_look, take

SETTLED = 2 * MICROS
"""How long after a request its record may still be on its way to the disk; what takes longer is no evidence."""


@dataclass(frozen=True, slots=True)
class Part:
    """Units of one look of which it was left to chance, and with the same chance, which version they went to.

    Attributes:
        name: Of its batch.
        share: The chance that a unit is the candidate's.
        units: The units.
        lines: The red lines that they are evidence of.
    """

    name: str
    share: float
    units: Units
    lines: tuple[RedLine, ...]


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
        held, tried = evidence_of_units(part.units, part.lines)
        gathered.judge.update(held, tried, batch=part.name)
        told = _told(held), _told(tried)
        if part.units.late is not None and not any(line.cohort for line in part.lines):
            for one, known in zip(told, known_units(part.units.late, part.units.is_candidate), strict=True):
                one[KNOWN] = known
            gathered.arrivals.update(part.units.late, part.units.is_candidate, rollout.rules.outcome_age)
            if gathered.business is not None and rollout.rules.ab is not None:
                take_units(gathered.business, rollout.rules.ab, part.units, part.share)
        batches[part.name] = {rollout.stable: told[0], rollout.candidate: told[1]}
    delay = min((_delay(rollout.rules, group) for group in _groups(rollout.rules)), default=0)
    gathered.count(*(units_before(evidence, end - delay) for end in (before.until, until)))
    after = Look(before.number + 1, until, gathered.dumps())
    take(layout, rollout, before, after, batches, began_anew(rollout, events, gathered.anew, now))
    return gathered, after


def _parts(
    evidence: RowEvidence, rollout: Rollout, events: list[RolloutEvent], window: Window, number: int
) -> Iterator[Part]:
    """Yield the units whose first request of a step lies in a window, apart where their chances differ."""
    rules, starts = rollout.rules, step_starts(rollout, events)
    for group in _groups(rules):
        is_late, delay = group.is_late, _delay(rules, group)
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
                within=rules.outcome_age if is_late else None,
                cohort=group.cohort,
            )
            for stratum in np.unique(units.stratum).tolist():
                # What counts up goes last: so a judge keeps two numbers a series, and not a name a look.
                name = "/".join([f"{step}", f"{stratum}", *group.names, f"{number}"])
                yield Part(name, rules.steps[step], units.only(units.stratum == stratum), group.lines)


class _Group(NamedTuple):
    """Red lines on the same requests at the same age."""

    is_late: bool
    cohort: tuple[str, str]
    lines: tuple[RedLine, ...]

    @property
    def names(self) -> list[str]:
        of_cohort = [f"{self.cohort[0]}={self.cohort[1]}"] if self.cohort[0] else []
        return [*(["late"] if self.is_late else []), *of_cohort]


def _delay(rules: RolloutRules, group: _Group) -> int:
    """Return how long after its first request a unit is evidence."""
    return rules.exposure + (rules.outcome_age if group.is_late else 0)


def _groups(rules: RolloutRules) -> list[_Group]:
    found: dict[tuple[bool, tuple[str, str]], list[RedLine]] = {}
    if rules.ab or any(line.metric in LATE for line in rules.red_lines):
        found[True, ("", "")] = []  # also without a line: how outcomes arrive
    for line in rules.red_lines:
        found.setdefault((line.metric in LATE, line.of), []).append(line)
    return [_Group(*key, tuple(lines)) for key, lines in sorted(found.items(), key=lambda one: one[0])]


def step_starts(rollout: Rollout, events: list[RolloutEvent]) -> dict[int, int]:
    """Return when each step began that was reached, by its place."""
    found: dict[int, int] = {}
    for event in events:
        if event.phase is Phase.CANARY:
            found.setdefault(rollout.rules.steps.index(event.share), event.at)
    return found


def evidence_of_units(units: Units, lines: Collection[RedLine]) -> tuple[Batch, Batch]:
    """Return what units are evidence of: of the stable version, and of the candidate."""
    held, tried = (
        {line.name: _of(units, line.metric, units.is_candidate == side) for line in lines} for side in (False, True)
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
