"""How often something that should not happen did, by quarter of an hour: what guardrails and objectives count."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from setpoint.core.clock import HOUR, MICROS, QUARTER_HOUR
from setpoint.core.events import STAGE
from setpoint.core.guardrail import COUNTED_METRICS, LATENCY
from setpoint.core.objective import SHARES
from setpoint.core.window import Window
from setpoint.predictions.spending import known_and_right
from setpoint.stats.betting import likeliest_start, log_wealth
from setpoint.stats.bins import log_bin_edges
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import wilson
from setpoint.stats.special import FloatArray
from setpoint.store.engines.duck import at, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable

RISK = 0.001
"""The chance that what keeps to its limit is ever found beyond it within one window."""
_GOALS = (0.05, 0.2, 0.5, 0.9)
"""Where bets put the rate: how far between the limit and 1 ..."""
_TIMES = (1.5, 3.0, 10.0)
"""... and how many times the limit: of one in a thousand, three in a thousand are much and far below 5 %."""
_SMALLEST = 1e-9


@dataclass(frozen=True, slots=True)
class EventCounts:
    """Counts of periods that follow each other; periods without any request are left out.

    Attributes:
        starts: When each period began, microseconds.
        bad: Requests of each in which it happened.
        asked: All requests of each.
        period: How long each is, microseconds.
    """

    starts: NDArray[np.int64]
    bad: FloatArray
    asked: FloatArray
    period: int = QUARTER_HOUR

    @property
    def total(self) -> float:
        """All requests."""
        return float(self.asked.sum())

    @property
    def ratio(self) -> Estimate:
        """The share in which it happened, with Wilson's interval."""
        return (
            wilson(float(self.bad.sum()), self.total) if self.total else Estimate.unknown("no request in this window")
        )

    @property
    def others(self) -> EventCounts:
        """The same requests, counting those in which it did not happen."""
        return EventCounts(self.starts, self.asked - self.bad, self.asked, self.period)

    def since_then(self, start: int) -> EventCounts:
        """Return the periods from the one on that a time lies in."""
        chosen = self.starts > start - self.period
        return EventCounts(self.starts[chosen], self.bad[chosen], self.asked[chosen], self.period)

    def is_beyond(self, limit: float, *, risk: float = RISK) -> bool:
        """Return whether it happens more often than a limit by more than chance explains.

        By a bet on each period, which may be looked at as often as one likes: what keeps to the limit is found beyond
        it at most once in a thousand windows. Assumes that requests fail one by one.

        Source: see `setpoint.stats.betting.log_wealth`.
        """
        if not self.total:
            return False
        wealth = log_wealth(self.bad, self.asked, self._usual(limit), _goals(limit), len(self.asked))
        return float(wealth[-1]) >= math.log(1 / risk)

    def since(self, limit: float) -> int:
        """Return since when it is likely to happen more often than a limit, microseconds; at least one period."""
        return int(self.starts[likeliest_start(self.bad, self.asked, self._usual(limit), _goals(limit))])

    def _usual(self, limit: float) -> FloatArray:
        return np.full(len(self.asked), max(limit, _SMALLEST))


def _goals(limit: float) -> tuple[float, ...]:
    nearer = ((times - 1.0) * limit / (1.0 - limit) for times in _TIMES)
    return (*(goal for goal in nearer if _SMALLEST < goal < _GOALS[-2]), *_GOALS)


def flagged(state: StateTable) -> EventCounts:
    """Return how often the answer was yes, by hour.

    Args:
        state: A quality state by hour.
    """
    known = state.without(decision=None)
    return _of(known, np.array(known.key("decision")) == 1, column="rows", period=HOUR)


def counted_events(evidence: RowEvidence, metric: str, line: float, window: Window) -> EventCounts:
    """Return how often something that should not happen did in a window.

    Args:
        evidence: The model's states.
        metric: `error_ratio`, `violation_ratio`, a quantile of the latency such as `latency_p99_seconds` (of which
            slower requests count), or a share of quality such as `accuracy` (of which wrong answers count, by hour).
        line: Of a quantile of the latency, the seconds that are slow.
        window: Predictions of this window.
    """
    if metric in SHARES:
        return _wrong(evidence, metric, window)
    seconds = QUARTER_HOUR // MICROS
    state = evidence.traffic(window, bucket_seconds=seconds).without(role="shadow").without(role=STAGE)
    if metric == COUNTED_METRICS[1]:
        counts = _of_requests(state)
        return _beside(counts, _violations(evidence, window, counts.starts))
    return events_in(state, metric, line)


def events_in(state: StateTable, metric: str, line: float) -> EventCounts:
    """Return the same of a state of traffic by quarter of an hour, which of `violation_ratio` counts violations too."""
    if LATENCY.fullmatch(metric):
        waits = state.only(measure="latency")
        return _of(waits, _middles(waits) > line)
    counts = _of_requests(state)
    bad = "errors" if metric == COUNTED_METRICS[0] else "violations"
    return _beside(counts, _summed(state.only(measure=bad), counts.starts))


def _of_requests(state: StateTable) -> EventCounts:
    requests = state.only(measure="requests")
    return _of(requests, np.zeros(len(requests), dtype=np.bool_))


def _beside(counts: EventCounts, bad: FloatArray) -> EventCounts:
    return EventCounts(counts.starts, np.minimum(bad, counts.asked), counts.asked)


def _wrong(evidence: RowEvidence, metric: str, window: Window) -> EventCounts:
    """Count answers that are known to be wrong, of those that a share of quality is about."""
    known, right = known_and_right(evidence.quality(window, bucket_seconds=HOUR // MICROS).only(is_root=True))
    if about := SHARES[metric]:
        known, right = known.only(**{about: 1}), right.only(**{about: 1})
    asked = _of(known, np.zeros(len(known), dtype=np.bool_), column="rows")
    return EventCounts(asked.starts, asked.asked - _summed(right, asked.starts, column="rows"), asked.asked, HOUR)


def _of(
    state: StateTable, is_bad: NDArray[np.bool_], *, column: str = "amount", period: int = QUARTER_HOUR
) -> EventCounts:
    starts = np.unique(_starts(state))
    asked = _summed(state, starts, column=column)
    bad = _summed(state.take(is_bad), starts, column=column)
    has_any = asked > 0
    return EventCounts(starts[has_any], bad[has_any], asked[has_any], period)


def _starts(state: StateTable) -> NDArray[np.int64]:
    return np.array([int(cast("int", one)) for one in state.key("bucket")], dtype=np.int64)


def _summed(state: StateTable, starts: NDArray[np.int64], *, column: str = "amount") -> FloatArray:
    """Return the sums of a column by period; of other periods nothing is counted."""
    own, amounts = _starts(state), state.column(column)
    is_known = np.isin(own, starts)
    place = np.searchsorted(starts, own[is_known])
    return np.bincount(place, weights=amounts[is_known], minlength=len(starts)).astype(np.float64)


def _middles(state: StateTable) -> FloatArray:
    index = np.array([int(cast("str", key)) for key in state.key("bin")], dtype=np.int64)
    low, high = log_bin_edges(index)
    return (low + high) / 2.0


def _violations(evidence: RowEvidence, window: Window, starts: NDArray[np.int64]) -> FloatArray:
    found = rows(
        evidence.connection,
        f"SELECT epoch_us(predicted_at) // {QUARTER_HOUR} * {QUARTER_HOUR}, count(*) FROM predictions"
        f" WHERE parent_id IS NULL AND contract_violations IS NOT NULL AND predicted_at >= {at(window.start)}"
        f" AND predicted_at < {at(window.end)} GROUP BY 1",
    )
    told = dict(cast("list[tuple[int, int]]", found))
    return np.array([told.get(int(start), 0) for start in starts], dtype=np.float64)
