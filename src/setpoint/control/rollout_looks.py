"""A look at a rollout: takes the evidence that came since the last one, each unit once, and asks the judge."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from setpoint.control.judge import Batch, Counted, Judge, Measured
from setpoint.core.clock import MICROS
from setpoint.core.rollout import COUNTED, LATE, Phase, RedLine, Rollout, RolloutEvent
from setpoint.core.window import Window
from setpoint.stats.special import FloatArray
from setpoint.store.arms import Units, units_of
from setpoint.store.evidence import RowEvidence
from setpoint.store.layout import Layout
from setpoint.store.rollouts import Look, Numbers, last_look, take

SETTLED = 2 * MICROS
"""How long after a request its record may still be on its way to the disk."""


def judge_of(rollout: Rollout, state: bytes = b"") -> Judge:
    """Return the judge of a rollout as it was left."""
    judge = Judge(
        [metric_of(rollout, line) for line in rollout.rules.red_lines], risk=rollout.rules.risk, miss=rollout.rules.miss
    )
    if state:
        judge.loads(state)
    return judge


def metric_of(rollout: Rollout, line: RedLine) -> Counted | Measured:
    """Return a red line as a judge knows it."""
    if line.metric in COUNTED:
        return Counted(line.metric, line.times, line.weight)
    return Measured.of(
        line.metric,
        np.array(rollout.usual[line.metric].quantiles),
        red_line=line.times,
        tail_red_line=line.tail_times,
        weight=line.weight,
    )


def look(
    layout: Layout, evidence: RowEvidence, rollout: Rollout, events: list[RolloutEvent], now: int
) -> tuple[Judge, Look]:
    """Take what came since the last look, and return the judge and how far it was taken.

    Whoever looks twice, or beside somebody else, takes nothing twice: a batch has a name, and is written once.

    Raises:
        StoreBusy: Somebody else looks at the same time.
    """
    before = last_look(layout, rollout)
    judge = judge_of(rollout, before.state)
    until = now - SETTLED
    if until <= before.until:  # also when a clock went back
        return judge, before
    batches: dict[str, Numbers] = {}
    for name, stable, candidate, numbers in _batches(
        evidence, rollout, events, Window(before.until, until), before.number + 1
    ):
        judge.update(stable, candidate, batch=name)
        batches[name] = numbers
    after = Look(before.number + 1, until, judge.dumps())
    take(layout, rollout, before, after, batches)
    return judge, after


def _batches(
    evidence: RowEvidence, rollout: Rollout, events: list[RolloutEvent], window: Window, number: int
) -> Iterator[tuple[str, Batch, Batch, Numbers]]:
    """Yield each batch: its name, what it holds of either version, and the numbers that are kept of it."""
    rules = rollout.rules
    metrics = {line.metric for line in rules.red_lines}
    starts = step_starts(rollout, events)
    for is_late, wanted in ((False, metrics - LATE), (True, metrics & LATE)):
        if not wanted:
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
                chosen = units.stratum == stratum
                held, tried = evidence_of_units(units, wanted, chosen)
                yield name, held, tried, {rollout.stable: _told(held), rollout.candidate: _told(tried)}


def step_starts(rollout: Rollout, events: list[RolloutEvent]) -> dict[int, int]:
    """Return when each step began that was reached, by its place."""
    found: dict[int, int] = {}
    for event in events:
        if event.phase is Phase.CANARY:
            found.setdefault(rollout.rules.steps.index(event.share), event.at)
    return found


def evidence_of_units(units: Units, metrics: Collection[str], chosen: np.ndarray | None = None) -> tuple[Batch, Batch]:
    """Return what units are evidence of: of the stable version, and of the candidate.

    Args:
        units: The units.
        metrics: Which metrics.
        chosen: Which of the units; all by default.
    """
    mask = np.ones(len(units.is_candidate), dtype=np.bool_) if chosen is None else chosen
    held, tried = (
        {name: _of(units, name, mask & (units.is_candidate == side)) for name in sorted(metrics)}
        for side in (False, True)
    )
    return held, tried


def _of(units: Units, metric: str, chosen: np.ndarray) -> tuple[int, int] | FloatArray:
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
