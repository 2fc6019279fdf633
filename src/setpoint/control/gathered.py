"""All that the evidence of a rollout has come to: kept as a few numbers between two looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from setpoint.control.arrivals import Arrivals
from setpoint.control.judge import Counted, Judge, Judgement, Measured
from setpoint.control.readouts import sequence_of
from setpoint.core.decision import Decision, Recorded
from setpoint.core.rollout import COUNTED, LATE, RedLine, Rollout, RolloutEvent
from setpoint.stats.sequences import DifferenceSequence


class _Kept(msgspec.Struct):
    """How it is written."""

    judge: msgspec.Raw
    business: DifferenceSequence | None
    arrivals: Arrivals
    seen: int | None = None
    missed: int = 0


@dataclass(slots=True)
class Gathered:
    """What was made of the evidence so far.

    Attributes:
        judge: Whether the candidate is worse, or fine.
        business: Of a test: how far the versions are apart in the business metric.
        arrivals: Whether outcomes of both arrive alike.
        seen: Units, once a step, whose first request lies before the end of the last look; None when an older
            Setpoint looked, which did not count.
        missed: Those of them that were not in the store yet when it was looked at, so that they are no evidence.
        anew: Metrics that were looked at otherwise before, such as by an older Setpoint: they begin anew.
    """

    judge: Judge
    business: DifferenceSequence | None
    arrivals: Arrivals
    seen: int | None = 0
    missed: int = 0
    anew: tuple[str, ...] = ()

    def count(self, before: int, now: int) -> None:
        """Count units that came too late.

        Args:
            before: How many units the store has now from before the last look's end.
            now: How many from before this one's.
        """
        self.missed += 0 if self.seen is None else max(before - self.seen, 0)
        self.seen = now

    def judgement(self, rollout: Rollout) -> Judgement:
        """Return what the evidence says: nothing of what rests on outcomes where these do not arrive alike."""
        lines = rollout.rules.red_lines
        late = [line.name for line in lines if line.metric in LATE] if self.arrivals.difference(rollout) else []
        return self.judge.judgement(aside=late)

    def dumps(self) -> bytes:
        """Return it as JSON."""
        return msgspec.json.encode(
            _Kept(msgspec.Raw(self.judge.dumps()), self.business, self.arrivals, self.seen, self.missed)
        )


def gathered_of(rollout: Rollout, state: bytes = b"") -> Gathered:
    """Return what the evidence of a rollout has come to, as it was left; without a state, before the first unit."""
    judge = Judge(
        [metric_of(rollout, line) for line in rollout.rules.red_lines], risk=rollout.rules.risk, miss=rollout.rules.miss
    )
    if not state:
        return Gathered(judge, rollout.rules.ab and sequence_of(rollout.rules.ab), Arrivals())
    kept = msgspec.json.decode(state, type=_Kept)
    anew = judge.take_over(bytes(kept.judge))
    return Gathered(judge, kept.business, kept.arrivals, kept.seen, kept.missed, anew)


def began_anew(rollout: Rollout, events: Sequence[RolloutEvent], anew: Sequence[str], now: int) -> Recorded | None:
    """Return the record that metrics begin anew; None when none does.

    Args:
        rollout: The rollout.
        events: What has happened, in its order.
        anew: The metrics.
        now: Microseconds.
    """
    if not anew:
        return None
    said = f"{' and '.join(anew)}: looked at otherwise than before, so evidence begins anew"
    others = {"stay": "what was gathered is no evidence of what is looked at now"}
    decision = Decision("begin_anew", "other_metrics", said, alternatives=others)
    name = f"{rollout.rollout_id}/{len(events) - 1:06d}/anew/{now}"
    return Recorded(name, rollout.model, rollout.rollout_id, now, decision, is_carried_out=True)


def metric_of(rollout: Rollout, line: RedLine) -> Counted | Measured:
    """Return a red line as a judge knows it."""
    if line.metric in COUNTED:
        return Counted(line.name, line.times, line.weight, line.above)
    return Measured.of(
        line.name,
        np.array(rollout.usual[line.name].quantiles),
        red_line=line.times,
        tail_red_line=line.tail_times,
        weight=line.weight,
    )
