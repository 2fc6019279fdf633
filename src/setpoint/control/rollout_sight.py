"""What is known of a rollout when it is decided about."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from setpoint.control.decision import Sight
from setpoint.control.ownership import undeclared
from setpoint.control.rollout_looks import look
from setpoint.core.clock import HOUR
from setpoint.core.metric import number
from setpoint.core.rollout import Rollout, RolloutEvent, standing
from setpoint.stats.betting import log_wealth
from setpoint.stats.intervals import wilson
from setpoint.store.arms import asked, draw, errors_by_minute
from setpoint.store.evidence import RowEvidence
from setpoint.store.layout import Layout
from setpoint.store.rollouts import evidence_of


def see(layout: Layout, evidence: RowEvidence, rollout: Rollout, events: list[RolloutEvent], now: int) -> Sight:
    """Take a look, and return what is known of a rollout now.

    Raises:
        StoreBusy: Somebody else looks at the same time.
    """
    draw(evidence, rollout)
    judge, _ = look(layout, evidence, rollout, events, now)
    begun_at = _step_since(events)
    requests = asked(evidence, begun_at)
    units = sum(_units(numbers.get(rollout.candidate, {})) for _, numbers in evidence_of(layout, rollout.rollout_id))
    return Sight(
        judge.judgement(),
        {version: count for version, (count, _) in requests.items()},
        units,
        begun_at,
        requests[rollout.candidate][1] if rollout.candidate in requests else None,
        undeclared(evidence.model),
        _sickness(evidence, rollout, now),
    )


def _units(numbers: Mapping[str, list[float]]) -> int:
    """Return how many units of a batch there were: of the metric that most of them have."""
    return max((int(one[0]) for one in numbers.values()), default=0)


def _step_since(events: list[RolloutEvent]) -> int:
    """Return since when the last step lasts, pauses and all."""
    last = standing(events)
    return next(one.at for one in events if (one.phase, one.share) == (last.phase, last.share))


def _sickness(evidence: RowEvidence, rollout: Rollout, now: int) -> str:
    """Return in which way the stable version fails far more often than it did before the rollout, in words."""
    before = rollout.usual.get("error_ratio")
    if before is None:
        return ""
    found = errors_by_minute(evidence, rollout.stable, now - _SICK_WITHIN)
    if not found:
        return ""
    rows, hits = np.array(found, dtype=np.float64).T
    high = wilson(before.mean * before.rows, before.rows).high or 1.0
    limit = min(max(2.0 * high, _SICK_RATIO), 0.99)
    wealth = log_wealth(hits, rows, np.full(len(rows), limit), (0.1, 0.3), len(rows))
    if wealth[-1] < math.log(1 / rollout.rules.risk):
        return ""
    failed, usual = number(float(hits.sum() / rows.sum()), "share"), number(before.mean, "share")
    return f"{failed} of its requests of the last hour failed, usual is {usual}"


_SICK_WITHIN, _SICK_RATIO = HOUR, 0.05
