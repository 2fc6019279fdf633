"""A look at a candidate in shadow: what it costs and gets wrong on the requests that the stable version answered.

Latency is not compared, for a copy waits elsewhere. Neither are errors, for only requests that were answered are
copied: the candidate's are held against how often the stable version failed before.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from setpoint.control.gathered import metric_of
from setpoint.control.judge import Judge, Judgement, Paired
from setpoint.control.rollout_looks import SETTLED
from setpoint.core.rollout import Phase, Rollout, RolloutEvent, RolloutMetric
from setpoint.core.window import Window
from setpoint.stats.betting import log_wealth
from setpoint.stats.intervals import wilson
from setpoint.stats.special import FloatArray
from setpoint.store.evidence import RowEvidence
from setpoint.store.layout import Layout
from setpoint.store.pairs import Pairs, copy_errors_by_minute, pairs_of
from setpoint.store.rollouts import Look, Numbers, last_look, take

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
    lines = [line for line in rollout.rules.red_lines if line.metric in _PAIRED and not line.cohort]
    metrics = [Paired(metric_of(rollout, line)) for line in lines]
    if not metrics:
        return _said(failing)
    judge = Judge(metrics, risk=rollout.rules.risk, miss=rollout.rules.miss)
    before, until = last_look(layout, own), now - SETTLED
    if before.state:
        judge.loads(before.state)
    if until > before.until:
        number = before.number + 1
        batches: dict[str, Numbers] = {}
        for name, delay in (("cost_usd", 0), ("wrong_ratio", rollout.rules.outcome_age)):
            window = Window(before.until - delay, until - delay)
            if name not in {one.name for one in metrics} or window.end <= begun:
                continue
            pairs = pairs_of(evidence, rollout, window, starts_at=begun, within=delay or None)
            held, tried = _known(pairs, name)
            judge.update({name: held}, {name: tried}, batch=f"{number}")
            batches[f"{number}/{name}"] = {
                version: {name: [len(values), float(values.sum()), float(np.square(values).sum())]}
                for version, values in ((rollout.stable, held), (rollout.candidate, tried))
            }
        take(layout, own, before, Look(number, until, judge.dumps()), batches)
    said = judge.judgement()
    return said if not failing else replace(said, is_worse=True, worse=(*said.worse, "error_ratio"))


def _known(pairs: Pairs, name: str) -> tuple[FloatArray, FloatArray]:
    """Return the values of both sides where both are known."""
    values: FloatArray = getattr(pairs, "cost_usd" if name == "cost_usd" else "is_wrong")
    known = np.isfinite(values).all(axis=0)
    return values[0][known], values[1][known]


def _failing(evidence: RowEvidence, rollout: Rollout, since: int) -> bool:
    """Return whether copies fail more often than the red line lets the stable version's usual errors become."""
    line = next((one for one in rollout.rules.red_lines if one.name == "error_ratio"), None)
    before = rollout.usual.get("error_ratio")
    found = copy_errors_by_minute(evidence, rollout, since)
    if line is None or before is None or not found:
        return False
    high = wilson(before.mean * before.rows, before.rows).high or 1.0
    limit = min(line.times * high / (1.0 + (line.times - 1.0) * high), 0.99)
    counts, hits = np.array(found, dtype=np.float64).T
    wealth = log_wealth(hits, counts, np.full(len(counts), limit), (0.1, 0.3), len(counts))
    return float(wealth[-1]) >= math.log(1 / rollout.rules.risk)


def _said(failing: bool) -> Judgement:  # noqa: FBT001 — the one thing that is known
    worse = ("error_ratio",) if failing else ()
    return Judgement(is_worse=failing, is_fine=False, worse=worse, evidence={}, least_fine=("", 1.0))
