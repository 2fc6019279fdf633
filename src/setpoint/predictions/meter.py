"""How much was asked, how fast and how often it failed: the finish of a traffic state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from setpoint.core.clock import MICROS
from setpoint.core.events import STAGE
from setpoint.core.metric import Metric
from setpoint.core.window import Window
from setpoint.stats import bins, intervals
from setpoint.stats.estimate import Estimate
from setpoint.store.states import StateTable


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counts of every prediction of a window, kept or not.

    Attributes:
        requests: Predictions asked for; shadow rows and stages of a request are none.
        errors: Those that failed.
        not_kept: Those counted but not stored.
        dropped: Those lost because a queue was full; they are in no other number.
        metrics: Request rate, error rate, P50 and P95 latency, compute seconds a request.
    """

    requests: int
    errors: int
    not_kept: int
    dropped: int
    metrics: tuple[Metric, ...]


def traffic(state: StateTable, window: Window) -> Traffic:
    """Return the traffic of a window from its state."""
    asked = state.without(role="shadow").without(role=STAGE)
    requests = _total(asked, "requests")
    errors = _total(asked, "errors")
    rows = int(requests)
    seconds = max(window.length / MICROS, 1e-9)
    rate = Metric("request_rate", requests / seconds, None, None, "per_second", "none", rows)
    failed = intervals.wilson(errors, requests) if requests else Estimate.unknown("no request in this window")
    compute = _total(asked, "compute_seconds")
    return Traffic(
        rows,
        int(errors),
        int(_total(asked, "not_kept")),
        int(_total(state, "dropped")),
        (
            rate,
            Metric("error_ratio", failed.value, failed.low, failed.high, "share", "lower", rows, failed.reason),
            latency(asked, 0.5),
            latency(asked, 0.95),
            _compute(compute, rows),
        ),
    )


def latency(state: StateTable, probability: float) -> Metric:
    """Return a latency quantile; its interval includes the width of the bins (2.2 %)."""
    counted = state.only(measure="latency")
    index = np.array([int(cast("str", key)) for key in counted.key("bin")], dtype=np.int64)
    order, place = np.unique(index, return_inverse=True)
    counts = np.bincount(place, weights=counted.column("amount"), minlength=len(order)).astype(np.float64)
    name = f"latency_p{round(probability * 100)}_seconds"
    rows = int(counts.sum())
    if not rows:
        return Metric(name, None, None, None, "seconds", "lower", 0, "no latency was recorded")
    found = bins.quantile_from_log_bins(order, counts, probability)
    return Metric(name, found.value, found.low, found.high, "seconds", "lower", rows, found.reason)


def _compute(compute: float, requests: int) -> Metric:
    if not compute or not requests:
        return Metric("compute_seconds", None, None, None, "seconds", "lower", requests, "no compute time was recorded")
    return Metric("compute_seconds", compute / requests, None, None, "seconds", "lower", requests)


def _total(state: StateTable, measure: str) -> float:
    return state.only(measure=measure).total("amount")
