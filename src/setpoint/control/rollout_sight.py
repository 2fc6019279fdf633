"""What is known of a rollout when it is decided about."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np

from setpoint.control.decision import Sight
from setpoint.control.ownership import undeclared
from setpoint.control.readouts import doubt_of, readout_of
from setpoint.control.rollout_looks import look, step_starts
from setpoint.control.shadow_looks import look_at_shadow
from setpoint.control.way_back import no_help
from setpoint.core.clock import HOUR
from setpoint.core.metric import number
from setpoint.core.rollout import Phase, Rollout, RolloutEvent, standing
from setpoint.stats.betting import log_wealth
from setpoint.stats.intervals import wilson
from setpoint.stats.sequences import log_mismatch
from setpoint.store.drawn import asked, draw, errors_by_minute, seen_file, shared_out
from setpoint.store.evidence import RowEvidence
from setpoint.store.layout import Layout
from setpoint.store.rollouts import Numbers, evidence_of


def see(layout: Layout, evidence: RowEvidence, rollout: Rollout, events: list[RolloutEvent], now: int) -> Sight:
    """Take a look, and return what is known of a rollout now.

    Raises:
        StoreBusy: Somebody else looks at the same time.
    """
    starts = {step: begun + rollout.rules.warm_up for step, begun in step_starts(rollout, events).items()}
    marks = [event.at for event in events]
    draw(evidence, rollout, starts=starts, marks=marks, kept=seen_file(layout, rollout))
    mismatch = _mismatch(evidence, rollout, _resumed_at(rollout, events))
    readout, arrival, missed = None, "", 0
    if standing(events).phase is Phase.SHADOW:
        judgement = look_at_shadow(layout, evidence, rollout, events, now)
    else:
        gathered = look(layout, evidence, rollout, events, now)[0]
        missed = gathered.missed
        judgement, arrival = gathered.judgement(rollout), gathered.arrivals.difference(rollout)
        doubt = doubt_of(events) or mismatch or arrival
        readout = readout_of(rollout, gathered.business, _numbers(layout, rollout), doubt)
    begun_at = _step_since(events)
    requests = asked(evidence, begun_at)
    units = _units(layout, rollout)
    return Sight(
        judgement,
        {version: count for version, (count, _) in requests.items()},
        units,
        begun_at,
        requests[rollout.candidate][1] if rollout.candidate in requests else None,
        undeclared(evidence.model),
        _sickness(evidence, rollout, now),
        mismatch,
        arrival,
        readout,
        no_help(evidence, rollout.stable, rollout.candidate, rollout.started_at) if judgement.is_worse else "",
        missed,
    )


def _numbers(layout: Layout, rollout: Rollout) -> list[Numbers]:
    return [numbers for _, numbers in evidence_of(layout, rollout.rollout_id)]


def _units(layout: Layout, rollout: Rollout) -> int:
    """Return how many units of the candidate are evidence: those of a cohort, or with outcomes, are so once more."""
    counts: Counter[tuple[str, ...]] = Counter()
    for batch, numbers in evidence_of(layout, rollout.rollout_id):
        most = max((int(one[0]) for one in numbers.get(rollout.candidate, {}).values()), default=0)
        counts[tuple(batch.split("/")[2:-1])] += most
    return max(counts.values(), default=0)


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


def _resumed_at(rollout: Rollout, events: list[RolloutEvent]) -> int:
    """Return since when units should be shared out as meant: of a time in which a version was down nothing follows."""
    after_pause = [one.at for before, one in pairwise(events) if before.phase is Phase.PAUSED]
    return max(after_pause, default=rollout.started_at)


def _mismatch(evidence: RowEvidence, rollout: Rollout, since: int) -> str:
    """Return in which way units are not shared out as the route says, in words: then versions cannot be compared."""
    evidence_of_it, crossed, total = 0.0, 0, 0
    told = ""
    for step, (stable, candidate, both) in shared_out(evidence, since).items():
        share = rollout.rules.steps[step]
        evidence_of_it += log_mismatch(np.array([stable, candidate]), np.array([1.0 - share, share]))
        crossed, total = crossed + both, total + stable + candidate
        told = f"{candidate:,} of {stable + candidate:,} units at {number(share, 'share')}"
    # Of a test nothing is left to say when a unit met both.
    if total and crossed > (_CROSSED * total if rollout.rules.ab is None else 0):
        return f"{crossed:,} of {total:,} units were answered by both versions"
    return f"the candidate got {told}" if evidence_of_it >= math.log(1 / _MISMATCH_RISK) else ""


_CROSSED, _MISMATCH_RISK = 0.01, 0.001
