"""How much was asked, how fast and how often it failed: the finish of a traffic state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from setpoint.core.clock import MICROS
from setpoint.core.events import STAGE
from setpoint.core.metric import Metric
from setpoint.core.model import Model
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
    seconds = window.length / MICROS
    value, why = (requests / seconds, "") if seconds else (None, "no time passed between predictions, or none is known")
    rate = Metric("request_rate", value, None, None, "per_second", "none", rows, why)
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


PARTS = ("queue", "features", "model", "upstream", "overhead")
"""Where the time of a request goes: waiting for its turn, getting its inputs, computing, waiting for another server."""


def latency_parts(state: StateTable) -> dict[str, float]:
    """Return the mean seconds of each part of a latency that somebody told; empty when no latency was recorded.

    What the stages of a request took is a part of what its caller waited. The overhead is what is left; it is 0 where
    parts ran side by side and take more than the whole.

    All of it is of rows with a latency.

    Args:
        state: The traffic state, without shadow rows.
    """
    asked = state.without(role=STAGE)
    rows = _total(asked, "latency")
    if not rows:
        return {}
    seconds = state.only(measure="seconds")
    found = {part: seconds.only(feature=part).total("amount") for part in PARTS}
    whole = asked.only(measure="seconds").only(feature="latency").total("amount")
    found["overhead"] = max(whole - sum(found.values()), 0.0)
    return {part: amount / rows for part, amount in found.items() if amount or part == "overhead"}


def machine_metrics(state: StateTable, model: Model) -> tuple[Metric, ...]:
    """Return how busy the processors and graphics cards of the serving processes were, and what they made of it.

    Utilisation is what a process used of all that it may use, the mean of the processes; of a card it is that of all
    who use it. The rate of operations is what is declared of a request, over the time that was computed.

    Args:
        state: The traffic state.
        model: The declaration.
    """
    had = state.only(measure="machine_seconds")
    found: list[Metric] = []
    for name, what in (("cpu", "no process told its processor time"), ("gpu", "no process saw a graphics card")):
        used, limit = (had.only(feature=of).total("amount") for of in (name, f"{name}_limit"))
        value = min(used / limit, 1.0) if limit else None
        why = "" if limit else what
        found.append(Metric(f"{name}_utilisation", value, None, None, "share", "none", 0, why))
    return (*found, _operations(state, model))


def _operations(state: StateTable, model: Model) -> Metric:
    name, unit = "effective_flops_per_second", "per_second"
    if model.flops_per_request is None:
        return Metric(name, None, None, None, unit, "higher", 0, "flops_per_request is not declared")
    requests, compute = int(_total(state, "requests")), _total(state, "compute_seconds")
    if not compute:
        return Metric(name, None, None, None, unit, "higher", requests, "no compute time was recorded")
    return Metric(name, model.flops_per_request * requests / compute, None, None, unit, "higher", requests)


def latency(state: StateTable, probability: float, measure: str = "latency") -> Metric:
    """Return a quantile of the latency, or of `first_chunk`; its interval includes the width of the bins (2.2 %)."""
    counted = state.only(measure=measure)
    index = np.array([int(cast("str", key)) for key in counted.key("bin")], dtype=np.int64)
    order, place = np.unique(index, return_inverse=True)
    counts = np.bincount(place, weights=counted.column("amount"), minlength=len(order)).astype(np.float64)
    name = f"{measure}_p{round(probability * 100)}_seconds"
    rows = int(counts.sum())
    if not rows:
        why = "no latency was recorded" if measure == "latency" else "no answer came in pieces"
        return Metric(name, None, None, None, "seconds", "lower", 0, why)
    found = bins.quantile_from_log_bins(order, counts, probability)
    return Metric(name, found.value, found.low, found.high, "seconds", "lower", rows, found.reason)


def _compute(compute: float, requests: int) -> Metric:
    if not compute or not requests:
        return Metric("compute_seconds", None, None, None, "seconds", "lower", requests, "no compute time was recorded")
    return Metric("compute_seconds", compute / requests, None, None, "seconds", "lower", requests)


def _total(state: StateTable, measure: str) -> float:
    return state.only(measure=measure).total("amount")
