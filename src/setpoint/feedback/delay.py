"""How late outcomes are, how complete each day is, and when it will be complete: from the arrivals state of days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from setpoint.core.clock import MICROS
from setpoint.core.window import Window, shift_days
from setpoint.stats.intervals import effective_size
from setpoint.stats.survival import ArrivalCurve, arrival_curve
from setpoint.store.primitives import AGE_BINS_PER_OCTAVE
from setpoint.store.states import StateTable

FEWEST_ARRIVALS = 30
"""Arrivals below which there is no curve: its 90 % point would rest on three of them."""

PART = 0.9
"""A day counts as complete when this part of its outcomes has arrived."""

_SPREAD = 24
_MINUTE = 60 * MICROS


@dataclass(frozen=True, slots=True)
class Delay:
    """How long the outcomes of some predictions take.

    Attributes:
        predictions: Predictions, weighted.
        arrived: Those whose outcome has arrived, weighted.
        curve: Share arrived by age in seconds; None when nothing is known of ages, or too little arrived.
        unknown: Why there is no curve; empty when there is one.
    """

    predictions: float
    arrived: float
    curve: ArrivalCurve | None
    unknown: str = ""

    @property
    def arrived_ratio(self) -> float | None:
        """Share of predictions whose outcome has arrived, 0 to 1; None without predictions."""
        return self.arrived / self.predictions if self.predictions else None

    @property
    def final_ratio(self) -> float | None:
        """Share that ever arrives, as far as the oldest day can tell; None without a curve."""
        return float(self.curve.share[-1]) if self.curve is not None and len(self.curve.share) else None

    def seconds_until(self, part: float) -> tuple[float, float | None, float | None] | None:
        """Return after how long a part of what ever arrives has arrived, with its interval; None when unknown."""
        return None if self.curve is None else self.curve.age_of(part)

    def complete_ratio(self, window: Window, at: int) -> float | None:
        """Return which part of what ever arrives has arrived of a window at a time, 0 to 1; None when unknown.

        Takes the predictions to be spread evenly over the window.
        """
        final = self.final_ratio
        if self.curve is None or not final:
            return None
        made = window.start + (np.arange(_SPREAD) + 0.5) / _SPREAD * window.length
        return float(self.curve.by_ages(np.maximum(at - made, 0.0) / MICROS).mean()) / final

    def complete_at(self, window: Window, part: float = PART) -> int | None:
        """Return when a part of what ever arrives will have arrived of a window; None when unknown."""
        needed = self.seconds_until(part)
        if needed is None:
            return None
        early, late = window.start, window.end + round(needed[0] * MICROS)
        while late - early > _MINUTE:
            middle = (early + late) // 2
            is_complete = (self.complete_ratio(window, middle) or 0.0) >= part
            early, late = (early, middle) if is_complete else (middle, late)
        return late


def delay(days: Sequence[tuple[int, StateTable]], kind: str, *, as_of: int, zone: str) -> Delay:
    """Return how long the outcomes of a kind take.

    Args:
        days: The arrivals state of each local day, by its midnight; all rows of one group.
        kind: The kind of outcome.
        as_of: The present: a day knows nothing of greater ages than its own.
        zone: The zone of the days.
    """
    states = [(midnight, state.only(kind=kind)) for midnight, state in days]
    total = np.array([state.total("weight") for _, state in states])
    squares = sum(state.total("weight_squares") for _, state in states)
    came = [state.without(outcome=None) for _, state in states]
    arrived = float(sum(state.total("weight") for state in came))
    predictions = float(total.sum())
    if predictions and arrived and all(age is None for state in came for age in state.key("age")):
        return Delay(predictions, arrived, None, "the outcomes have no times")
    fewest = sum(state.total("rows") for state in came)
    if fewest < FEWEST_ARRIVALS:
        return Delay(predictions, arrived, None, f"needs {FEWEST_ARRIVALS - int(fewest)} more outcomes")
    size = 1 + max(int(max(_ages(state), default=0)) for state in came)
    counts = np.stack([np.bincount(_ages(state), _aged_weights(state), size).astype(np.float64) for state in came])
    edges = np.exp2((np.arange(size, dtype=np.float64) + 1.0) / AGE_BINS_PER_OCTAVE)
    youngest = np.array([(as_of - shift_days(midnight, 1, zone)) / MICROS for midnight, _ in states])
    observed = np.minimum(np.searchsorted(edges, youngest, side="right"), size).astype(np.int64)
    curve = arrival_curve(
        counts, total, observed, edges, effective_share=effective_size(predictions, squares) / predictions
    )
    if not len(curve.share) or curve.share[-1] <= 0.0:
        return Delay(predictions, arrived, None, "no day is old enough to tell")
    return Delay(predictions, arrived, curve)


def completeness(found: Delay, days: Sequence[tuple[int, float]], *, as_of: int, zone: str) -> float | None:
    """Return which part of what ever arrives has arrived of some days, 0 to 1; None when unknown, or without rows.

    Args:
        found: How long outcomes take.
        days: Midnight and weight of each local day.
        as_of: The present.
        zone: The zone of the days.
    """
    total = sum(weight for _, weight in days)
    parts = [
        (found.complete_ratio(Window(day, min(shift_days(day, 1, zone), max(as_of, day + 1))), as_of), weight)
        for day, weight in days
    ]
    if not total or any(part is None for part, _ in parts):
        return None
    return sum((part or 0.0) * weight for part, weight in parts) / total


def _ages(state: StateTable) -> NDArray[np.int64]:
    return np.array([cast("int", age) for age in state.key("age") if age is not None], dtype=np.int64)


def _aged_weights(state: StateTable) -> NDArray[np.float64]:
    known = np.array([age is not None for age in state.key("age")], dtype=bool)
    return state.column("weight")[known]
