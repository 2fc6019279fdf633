"""The business metric beside quality: what predictions were worth, and whether quality moves with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.answers.answer import Cell, Table
from setpoint.core.clock import day_text
from setpoint.core.metric import number
from setpoint.core.window import Window, local_monday
from setpoint.feedback.money import known_ratio, money_state
from setpoint.feedback.quality import headline, quality_metric
from setpoint.stats.agreement import rank_correlation
from setpoint.stats.estimate import Estimate
from setpoint.stats.money import mean_amount, total_amount
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable, merge

MONEY_COLUMNS = ("measure", "value", "low", "high", "unknown")
WEEK_COLUMNS = ("week", "metric", "mean_value_usd", "outcomes")
LONGEST_WEEKS = 26


@dataclass(frozen=True, slots=True)
class Business:
    """What the predictions of a window were worth.

    Attributes:
        said: In words; empty when no outcome says what it was worth.
        tables: The numbers.
    """

    said: tuple[str, ...]
    tables: tuple[Table, ...]


def business(evidence: RowEvidence, window: Window | None) -> Business:
    """Return the worth of a window, and how it agrees with quality over the weeks until its end."""
    state = evidence.money(window)
    if not len(state.without(sign=None)):
        return Business((), ())
    counts = money_state(state)
    mean, total, known = mean_amount(counts), total_amount(counts), known_ratio(state)
    first = headline(evidence.model)
    weeks = _weeks(evidence, window, first)
    agreement = rank_correlation(np.array([week.metric for week in weeks]), np.array([week.worth for week in weeks]))
    named = evidence.model.business_metric.name if evidence.model.business_metric else "value_usd"
    share = "" if known is None else f", known of {number(known, 'share')} of the outcomes"
    said = (f"{named}: {_dollars(mean)} a prediction{share}", _agreement_words(first, agreement, len(weeks)))
    rows: list[tuple[Cell, ...]] = [
        (name, found.value, found.low, found.high, found.reason or None)
        for name, found in (("mean_value_usd", mean), ("total_value_usd", total), ("agreement", agreement))
    ]
    lines = [("a prediction", _dollars(mean)), ("in all", _dollars(total))]
    shown = (named, "dollars and 95 % interval")
    week_rows: list[tuple[Cell, ...]] = [(week.day, week.metric, week.worth, week.outcomes) for week in weeks]
    return Business(said, (Table("money", MONEY_COLUMNS, rows, shown, lines), Table("weeks", WEEK_COLUMNS, week_rows)))


@dataclass(frozen=True, slots=True)
class _Week:
    day: str
    metric: float
    worth: float
    outcomes: float


def _weeks(evidence: RowEvidence, window: Window | None, metric: str) -> list[_Week]:
    """Return quality and mean worth of each local week that has both, oldest first."""
    if window is None or evidence.span is None:
        return []
    zone = evidence.model.timezone
    longest = LONGEST_WEEKS * 7 * 86_400_000_000
    span = Window(max(window.end - longest, min(evidence.span.start, window.end)), window.end)
    qualities, worths = (_by_week(days, zone) for days in (evidence.quality_by_day(span), evidence.money_by_day(span)))
    found: list[_Week] = []
    for monday, worth in sorted(worths.items()):
        counts = money_state(worth)
        if monday not in qualities or not counts.weight:
            continue
        state = qualities[monday].only(is_root=True)
        shift = evidence.definition.outcome_shift
        value = quality_metric(state, evidence.model, metric, outcome_shift=shift).value
        if value is not None:
            mean = (counts.gain - counts.loss) / counts.weight
            found.append(_Week(day_text(monday, zone), value, mean, counts.weight))
    return found


def _by_week(days: Sequence[tuple[int, StateTable]], zone: str) -> dict[int, StateTable]:
    parts: dict[int, list[StateTable]] = {}
    for midnight, state in days:
        parts.setdefault(local_monday(midnight, zone), []).append(state)
    return {monday: merge(states[0].kind, states) for monday, states in parts.items()}


def _agreement_words(metric: str, found: Estimate, weeks: int) -> str:
    if found.value is None:
        return f"whether {metric} moves with the money: unknown, {found.reason.replace('pairs', 'weeks')}"
    ends = "" if found.low is None or found.high is None else f" [{found.low:.2f}, {found.high:.2f}]"
    is_sure = found.low is not None and found.high is not None and (found.low > 0.0 or found.high < 0.0)
    moves = ("moves with" if found.value > 0.0 else "moves against") if is_sure else "is not seen to move with"
    return f"{metric} {moves} the money: rank correlation {found.value:.2f}{ends} over {weeks} weeks"


def _dollars(found: Estimate) -> str:
    if found.value is None:
        return f"unknown: {found.reason}"
    low, high = (number(end, "usd") if end is not None else "∞" for end in (found.low, found.high))
    return f"{number(found.value, 'usd')} [{low}, {high}]"
