"""A look at a candidate in shadow: what it costs and gets wrong on the requests that the stable version answered.

Latency is not compared, for a copy waits elsewhere. Neither are losses, for what an outcome is worth came of the answer
that the caller got. Nor errors, for only requests that were answered are copied: the candidate's are held against how
often the stable version failed before, and an absolute red line.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from setpoint.control.gathered import began_anew, metric_of
from setpoint.control.judge import Judge, Judgement, Paired
from setpoint.control.rollout_looks import SETTLED
from setpoint.core.clock import DAY
from setpoint.core.rollout import LATE, Phase, RedLine, Rollout, RolloutEvent, RolloutMetric
from setpoint.core.window import Window
from setpoint.stats.betting import log_wealth
from setpoint.stats.intervals import wilson
from setpoint.stats.special import FloatArray
from setpoint.store.arms import errors_of
from setpoint.store.evidence import RowEvidence
from setpoint.store.layout import Layout
from setpoint.store.pairs import Pairs, copy_errors_by_minute, pairs_of
from setpoint.store.rollouts import Look, Numbers, last_look, take

_BEFORE = 7 * DAY
_PAIRED: tuple[RolloutMetric, ...] = ("cost_usd", "wrong_ratio")


def look_at_shadow(
    layout: Layout, evidence: RowEvidence, rollout: Rollout, events: list[RolloutEvent], now: int
) -> Judgement:
    """Take what came since the last look, and return what it says.

    Raises:
        StoreBusy: Somebody else looks at the same time.
    """
    begun = next(event.at for event in events if event.phase is Phase.SHADOW)
    own = replace(rollout, rollout_id=f"{rollout.rollout_id}/shadow", started_at=begun)
    failing = _failing(evidence, rollout, begun)
    lines = [line for line in rollout.rules.red_lines if line.metric in _PAIRED]
    metrics = [Paired(metric_of(rollout, line)) for line in lines]
    if not metrics:
        return _said(failing)
    judge = Judge(metrics, risk=rollout.rules.risk, miss=rollout.rules.miss)
    before, until = last_look(layout, own), now - SETTLED
    anew = judge.take_over(before.state) if before.state else ()
    if until > before.until:
        number = before.number + 1
        batches: dict[str, Numbers] = {}
        for line in lines:
            delay = rollout.rules.outcome_age if line.metric in LATE else 0
            window = Window(before.until - delay, until - delay)
            if window.end <= begun:
                continue
            pairs = pairs_of(evidence, rollout, window, starts_at=begun, within=delay or None, cohort=line.of)
            held, tried = _known(pairs, line.metric)
            judge.update({line.name: held}, {line.name: tried}, batch=f"{number}")
            batches[f"{number}/{line.name}"] = {
                version: {line.name: [len(values), float(values.sum()), float(np.square(values).sum())]}
                for version, values in ((rollout.stable, held), (rollout.candidate, tried))
            }
        after = Look(number, until, judge.dumps())
        take(layout, own, before, after, batches, began_anew(rollout, events, anew, now))
    said = judge.judgement()
    return said if not failing else replace(said, is_worse=True, worse=(*said.worse, *failing))


def _known(pairs: Pairs, name: str) -> tuple[FloatArray, FloatArray]:
    """Return the values of both sides where both are known."""
    values: FloatArray = getattr(pairs, "cost_usd" if name == "cost_usd" else "is_wrong")
    known = np.isfinite(values).all(axis=0)
    return values[0][known], values[1][known]


def _failing(evidence: RowEvidence, rollout: Rollout, since: int) -> tuple[str, ...]:
    """Return the red lines by which copies fail more often than the stable version's usual errors may become."""
    lines = [line for line in rollout.rules.red_lines if line.metric == "error_ratio"]
    return tuple(line.name for line in lines if _is_failing(evidence, rollout, since, line, len(lines)))


def _is_failing(evidence: RowEvidence, rollout: Rollout, since: int, line: RedLine, among: int) -> bool:
    """Return whether copies are beyond one red line of several, which share the risk."""
    count, hits = _usual_errors(evidence, rollout, line)
    found = copy_errors_by_minute(evidence, rollout, since, line.of)
    if not found or not (count or line.above):
        return False
    high = (wilson(hits, count).high or 1.0) if count else 1.0
    limit = min(line.times * high / (1.0 + (line.times - 1.0) * high), line.above or 0.99)
    counts, failed = np.array(found, dtype=np.float64).T
    wealth = log_wealth(failed, counts, np.full(len(counts), limit), (0.1, 0.3), len(counts))
    return float(wealth[-1]) >= math.log(among / rollout.rules.risk)


def _usual_errors(evidence: RowEvidence, rollout: Rollout, line: RedLine) -> tuple[float, float]:
    """Return the stable version's requests of before the rollout, and how many of them failed."""
    if line.cohort:
        return errors_of(evidence, rollout.stable, Window(rollout.started_at - _BEFORE, rollout.started_at), line.of)
    before = rollout.usual.get("error_ratio")
    return (before.rows, before.mean * before.rows) if before else (0.0, 0.0)


def _said(failing: tuple[str, ...]) -> Judgement:
    return Judgement(is_worse=bool(failing), is_fine=False, worse=failing, evidence={}, least_fine=("", 1.0))
