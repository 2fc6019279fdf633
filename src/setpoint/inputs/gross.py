"""Whether a feature has changed grossly since some hour of a day: missing, never seen, or one value for all.

`detection` knows whole days. Here nothing waits for the day's end: each hour, the last one unfinished, is held against
the worst that this hour of the day ever was in the reference, as often as one looks (`stats.betting`). Assumes that the
rows of an hour come mixed: one that begins with all its bad rows looks worse than it will have been.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from setpoint.core.clock import MICROS, moment
from setpoint.core.metric import counted, number
from setpoint.core.window import local_midnight
from setpoint.stats.betting import likeliest_start, log_wealth
from setpoint.stats.special import FloatArray, IntArray
from setpoint.store.measures import UNSEEN, Definition, Scale
from setpoint.store.states import StateTable
from setpoint.store.texts import parts_of_present

Sign = Literal["missing", "unseen", "constant"]
SIGNS: tuple[Sign, ...] = ("missing", "unseen", "constant")

BUDGET = 0.001
"""Chance of any alarm on a day on which no hour is worse than usual; beside that of `detection`."""

MARGIN = 0.05
"""Share of the rows by which an hour may be worse than it ever was."""

FEWEST_DAYS = 7
"""Days of a reference from which on it is known how its hours differ."""

_GOALS: Mapping[Sign, tuple[float, ...]] = {
    "missing": (0.1, 0.3, 0.6, 0.95),
    "unseen": (0.1, 0.3, 0.6, 0.95),
    "constant": (0.3, 0.6, 0.95, 0.999),
}
_HOURS, _MOST_HOURS = 24, 25  # of a day on which clocks are put back


@dataclass(frozen=True, slots=True)
class Counts:
    """Independent rows of one feature by hour of a day.

    Attributes:
        rows: All, shape (hours,).
        missing: Those without a value.
        labels: Its values, or bins of a number as text.
        values: Rows of each, shape (labels, hours).
        is_number: Whether labels are bins.
    """

    rows: FloatArray
    missing: FloatArray
    labels: tuple[str, ...]
    values: FloatArray
    is_number: bool


@dataclass(frozen=True, slots=True)
class DayByHour:
    """The hours of one local day.

    Attributes:
        midnight: When it began, microseconds.
        starts: When each hour began, oldest first.
        hours: Its hour of the day, 0 to 23.
        features: Their counts.
    """

    midnight: int
    starts: tuple[int, ...]
    hours: IntArray
    features: Mapping[str, Counts]


class Usual(msgspec.Struct, frozen=True):
    """The worst that a feature was in any hour of a reference, and `MARGIN` more.

    Attributes:
        missing: Largest share of rows without a value, by hour of the day.
        unseen: Largest share of values that no other day had.
        values: Largest share of each value, or bin, in any hour.
        mean_missing: Share of all rows without a value.
        mean_unseen: Share of all values that no other day had.
        alike: Intraclass correlation of the rows of an hour, 0 to 1.
        ends: Lowest and highest bin of a number, and a quarter of what lies between on either side.
    """

    missing: list[float]
    unseen: list[float]
    values: dict[str, float]
    mean_missing: float
    mean_unseen: float
    alike: float
    ends: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Gross:
    """A gross change of a feature.

    Attributes:
        feature: Its name.
        sign: What shows it.
        began_at: Start of the hour since when, microseconds.
        noticed_at: Start of the hour in which it showed.
        rate: Share of the rows since then, 0 to 1.
        rows: How many these are.
        usual: Share of the reference's rows; of a constant the largest share of that value in any hour.
        log_wealth: Logarithm of the evidence (see `stats.betting`).
    """

    feature: str
    sign: Sign
    began_at: int
    noticed_at: int
    rate: float
    rows: float
    usual: float
    log_wealth: float

    @property
    def said(self) -> str:
        """What changed, in words."""
        share, rows, usual = number(self.rate, "share"), counted(self.rows, "row"), number(self.usual, "share")
        match self.sign:
            case "missing":
                return f"missing in {share} of {rows}, usually in {usual}"
            case "unseen":
                return f"values never seen in {share} of {rows}, usually in {usual}"
            case "constant":
                return f"one value in {share} of {rows}, so far in {usual} of an hour at most"


def by_hour(state: StateTable, definition: Definition, zone: str) -> list[DayByHour]:
    """Return the days of a profile state that is split by time, oldest first.

    Args:
        state: Split by buckets of which local hours are made whole.
        definition: How its features are binned.
        zone: Whose hours.
    """
    buckets = state.numbers("bucket", -1)
    start_of: dict[int, int] = {}
    for bucket in np.unique(buckets[buckets >= 0]).tolist():
        time = moment(bucket, zone)
        start_of[bucket] = bucket - (time.minute * 60 + time.second) * MICROS
    days: dict[int, list[int]] = {}
    for start in sorted(set(start_of.values())):
        days.setdefault(local_midnight(start, zone), []).append(start)
    found: list[DayByHour] = []
    for midnight, starts in days.items():
        places = {bucket: starts.index(start) for bucket, start in start_of.items() if start in starts}
        mine = state.take(np.isin(buckets, list(places)))
        hours = np.array([moment(start, zone).hour for start in starts], dtype=np.int64)
        place = np.array([places[bucket] for bucket in mine.numbers("bucket", -1).tolist()], dtype=np.int64)
        found.append(DayByHour(midnight, tuple(starts), hours, _features(mine, definition, place, len(starts))))
    return found


def learn(days: Sequence[DayByHour]) -> dict[str, Usual]:
    """Return the worst that each feature was in the hours of a reference; empty when that has too few days."""
    if len(days) < FEWEST_DAYS:
        return {}
    names = {name: None for day in days for name in day.features}
    return {name: _usual([(day.hours, day.features[name]) for day in days if name in day.features]) for name in names}


def judge(usual: Mapping[str, Usual], day: DayByHour) -> list[Gross]:
    """Return the features that have changed grossly by the end of one of a day's hours, the surest first.

    Args:
        usual: What `learn` returned.
        day: The last hour as far as it is known.
    """
    limit = math.log(max(len(usual), 1) * len(SIGNS) / BUDGET)
    found: list[Gross] = []
    for name in [name for name in usual if name in day.features]:
        known, counts = usual[name], day.features[name]
        # Rows of an hour that are alike are worth fewer: Kish, Survey Sampling (1965), §5.4.
        worth = 1.0 / (1.0 + np.maximum(counts.rows - 1.0, 0.0) * known.alike)
        for sign in SIGNS:
            hits, rows, highest = _series(sign, known, counts, day.hours)
            wealth = log_wealth(hits * worth, rows * worth, highest, _GOALS[sign], _MOST_HOURS)
            together = np.logaddexp.reduce(wealth, axis=0) - math.log(max(len(wealth), 1))
            reached = np.flatnonzero(together >= limit)
            if not len(reached):
                continue
            last, most = int(reached[0]), int(wealth[:, int(reached[0])].argmax())
            upto = slice(last + 1)
            bets = (hits[most] * worth)[upto], (rows[most] * worth)[upto], highest[most, upto]
            first = likeliest_start(*bets, _GOALS[sign])
            count, before = float(rows[most, first : last + 1].sum()), float(highest[most, last]) - MARGIN
            before = {"missing": known.mean_missing, "unseen": known.mean_unseen}.get(sign, before)
            rate, sure = float(hits[most, first : last + 1].sum()) / count, float(together[last])
            found.append(Gross(name, sign, day.starts[first], day.starts[last], rate, count, before, sure))
    return sorted(found, key=lambda one: -one.log_wealth)


def _features(state: StateTable, definition: Definition, place: IntArray, hours: int) -> dict[str, Counts]:
    """Return the counts of a day's features; each row of the state is of the hour at its place."""
    names, parts, labels = (state.levels[state.kind.keys.index(key)] for key in ("feature", "part", "bin"))
    of_name, of_part, of_label = (state.codes[:, state.kind.keys.index(key)] for key in ("feature", "part", "bin"))
    is_sum = of_part == next((code for code, part in enumerate(parts) if part == "moments"), -1)
    found: dict[str, Counts] = {}
    of_present = parts_of_present(definition)
    for code, name in enumerate(map(str, names)):
        if name not in definition.features:
            continue
        mine = of_name == code
        sums, counted = mine & is_sum, mine & ~is_sum
        rows, squares, missing = (
            np.bincount(place[sums], state.column(column)[sums], hours).astype(np.float64)
            for column in ("rows", "weight_squares", "missing")
        )
        missing += np.bincount(place[sums], state.column("infinite")[sums], hours)
        if name in of_present:
            rows, squares, missing = rows - missing, squares * (1.0 - missing / np.maximum(rows, 1.0)), np.zeros(hours)
        certainty = np.divide(rows, squares, out=np.ones(hours), where=squares > 0.0)
        known, row = np.unique(of_label[counted], return_inverse=True)
        cells = np.bincount(row * hours + place[counted], state.column("rows")[counted], len(known) * hours)
        is_number = isinstance(definition.features[name], Scale)
        values = cells.reshape(len(known), hours).astype(np.float64) * certainty
        told = tuple(str(labels[label]) for label in known.tolist())
        found[name] = Counts(rows * certainty, missing * certainty, told, values, is_number)
    return found


def _series(sign: Sign, known: Usual, counts: Counts, hours: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return hits, rows and what is usual of all that a sign may show in, each of shape (series, hours)."""
    present = counts.rows - counts.missing
    if sign == "missing":
        return counts.missing[None], counts.rows[None], np.array(known.missing)[hours][None]
    if sign == "unseen":
        is_strange = [_is_strange(label, known.values, known.ends) for label in counts.labels]
        return counts.values[is_strange].sum(axis=0)[None], present[None], np.array(known.unseen)[hours][None]
    hits = np.zeros((len(known.values), len(hours)))
    place = {label: n for n, label in enumerate(known.values)}
    for label, row in zip(counts.labels, counts.values, strict=True):
        if label in place:
            hits[place[label]] = row
    highest = np.array(list(known.values.values()))[:, None]
    return hits, np.broadcast_to(present, hits.shape), np.broadcast_to(highest, hits.shape)


def _is_strange(label: str, known: Collection[str], ends: tuple[float, float] | None) -> bool:
    """Return whether a value was never seen; a bin of a number whether it lies far beyond the ends."""
    if ends is not None:
        return not ends[0] <= int(label) <= ends[1]
    return label == UNSEEN or label not in known


def _usual(days: Sequence[tuple[IntArray, Counts]]) -> Usual:
    labels = {label: n for n, label in enumerate(dict.fromkeys(label for _, day in days for label in day.labels))}
    rows, missing = np.zeros((2, len(days), _HOURS))
    values = np.zeros((len(labels), len(days), _HOURS))
    for n, (hours, day) in enumerate(days):
        np.add.at(rows[n], hours, day.rows)
        np.add.at(missing[n], hours, day.missing)
        of_day = np.zeros((len(day.labels), _HOURS))
        np.add.at(of_day.T, hours, day.values.T)
        values[[labels[label] for label in day.labels], n] = of_day
    present = rows - missing
    is_number = days[0][1].is_number
    ends = _ends([int(label) for label in labels]) if is_number and labels else None
    unseen = np.zeros_like(rows)
    held = values.sum(axis=2) > 0.0
    for n in range(len(days)):
        others = [label for label, days_of in zip(labels, held, strict=True) if days_of.sum() > days_of[n]]
        reach = _ends([int(label) for label in others]) if is_number and others else None
        strange = [_is_strange(label, others, reach) for label in labels]
        unseen[n] = values[strange, n].sum(axis=0)
    shares = _worst(values, present).max(axis=1)
    return Usual(
        _worst(missing, rows).tolist(),
        _worst(unseen, present).tolist(),
        dict(zip(labels, shares.tolist(), strict=True)),
        float(missing.sum() / max(rows.sum(), 1.0)),
        float(unseen.sum() / max(present.sum(), 1.0)),
        _alike(np.concatenate([missing[None], values])),
        ends,
    )


def _ends(bins: Sequence[int]) -> tuple[float, float]:
    room = (max(bins) - min(bins)) / 4.0
    return min(bins) - room, max(bins) + room


def _worst(hits: FloatArray, rows: FloatArray) -> FloatArray:
    """Return the largest rate that each hour of the day had on any day, or the hours beside it, and a margin more.

    An hour without rows has the rate of all.

    Args:
        hits: Shape (..., days, hours).
        rows: Same.
    """
    mean = hits.sum(axis=(-2, -1), keepdims=True) / max(rows.sum(), 1.0)
    worst = ((hits + mean) / (rows + 1.0)).max(axis=-2)
    beside = np.maximum(np.maximum(np.roll(worst, 1, axis=-1), worst), np.roll(worst, -1, axis=-1))
    return np.minimum(beside + MARGIN, 1.0)


def _alike(values: FloatArray) -> float:
    """Return how alike the rows of an hour are, 0 to 1: weather is the same for all of them, customers are not.

    By how much more often two rows of an hour have the same value than any two rows.

    Args:
        values: Rows of each value, one of them that there is none, shape (values, days, hours).

    Source: Fleiss & Cuzick (1979), Applied Psychological Measurement 3, for the intraclass correlation of categories.
    """
    rows = values.sum(axis=0)
    pairs = float((rows * np.maximum(rows - 1.0, 0.0)).sum())
    by_chance = float(np.sum((values.sum(axis=(1, 2)) / max(float(rows.sum()), 1.0)) ** 2))
    if pairs <= 0.0 or by_chance >= 1.0:
        return 0.0
    same = float((values * np.maximum(values - 1.0, 0.0)).sum()) / pairs
    return min(max((same - by_chance) / (1.0 - by_chance), 0.0), 1.0)
