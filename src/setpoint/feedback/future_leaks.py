"""Columns that come from the future: observed after the prediction, or made with rows that were still to come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from setpoint.core.clock import DAY, HOUR
from setpoint.core.metric import number
from setpoint.feedback.leaks import NEGLIGIBLE, Column, Leak, Severity, Split, share_numbers, share_words
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import wilson
from setpoint.stats.leakage import FEWEST_ROWS, Ahead, knows_ahead
from setpoint.stats.special import FloatArray, IntArray

AHEAD = 0.5
"""Share of what later outcomes leave open that no honest column explains."""
_HALF = 0.5
_MOSTLY = 0.9
_SEQUENCE_ROWS, _GROUPS, _GROUPINGS = 20_000, 50, 10
_DIFFERENT_COUNTS = 10
_ROWS_AN_HOUR = 20


def late_leaks(split: Split, column: Column) -> Iterator[Leak]:
    """Yield a column whose values were observed after the prediction, or that is a time after it."""
    if split.times is None:
        return
    at = split.observed.get(column.name, column if column.kind == "time" else None)
    if at is None or len(at.test) != len(split.times.test):
        return
    both = ~np.isnan(at.test) & ~np.isnan(split.times.test)
    if not both.any():
        return
    later = at.test[both] > split.times.test[both]
    share = wilson(float(later.sum()), float(both.sum()))
    if column.name in split.observed and later.any():
        severity: Severity = "breach" if (share.low or 0.0) > NEGLIGIBLE else "warning"
        said = (
            f"{column.name} was observed after the prediction in {share_words(share)} of the test rows ({at.name}):"
            " in production it is not there yet; join only values observed until predicted_at"
        )
        yield Leak("observed_after_prediction", severity, column.name, said, share_numbers("share", share, both.sum()))
    elif column.name not in split.observed and (share.low or 0.0) > _HALF:
        said = (
            f"{column.name} is a time after the prediction in {share_words(share)} of the test rows: honest for a plan,"
            " a leak for what really happened; leave it out unless it is known when the prediction is made"
        )
        yield Leak("time_after_prediction", "warning", column.name, said, share_numbers("share", share, both.sum()))


@dataclass(frozen=True, slots=True, eq=False)
class RowCounts:
    """How many rows the entity of each row has, in both files and in the training file."""

    name: str
    both: FloatArray
    train: FloatArray


def row_counts_of(split: Split) -> Iterator[RowCounts]:
    """Yield how many rows the entities, and the values of each input that is a category, have in both files."""
    for column in (*split.entities, *(c for c in split.inputs if c.kind == "category")):
        codes = np.concatenate([column.train, column.test])
        _, place, counts = np.unique(codes, return_inverse=True, return_counts=True, equal_nan=True)
        of_training = np.bincount(place[: len(column.train)], minlength=len(counts)).astype(np.float64)
        if len(np.unique(counts)) >= _DIFFERENT_COUNTS:
            yield RowCounts(column.name, counts[place].astype(np.float64), of_training[place[: len(column.train)]])


def _share_of(flags: NDArray[np.bool_]) -> float:
    return float(flags.sum() / len(flags))


def counted_ahead(column: Column, row_counts: list[RowCounts]) -> Iterator[Leak]:
    """Yield a column that counts the rows of an entity in both files, those that were still to come included."""
    if column.kind != "number":
        return
    values = np.concatenate([column.train, column.test])
    for counts in row_counts:
        same = _share_of(counts.both == values)
        if same >= _MOSTLY and _share_of(counts.train == column.train) < _MOSTLY:
            said = (
                f"{column.name} is the number of rows that the {counts.name} has in both files, in"
                f" {number(same, 'share')} of rows: it counts what is still to come; count only rows before"
            )
            yield Leak("counted_over_the_future", "breach", column.name, said, {"share": same})
            return


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """Rows in the order of time inside each group, of both sets."""

    name: str
    order: IntArray
    groups: IntArray
    outcomes: FloatArray
    week: IntArray


def sequences_of(split: Split) -> Iterator[Sequence]:
    """Yield the orders in which an input may know what comes next: of all rows, of an entity, of a few-valued input."""
    if split.times is None:
        return
    times = np.concatenate([split.times.train, split.times.test])
    outcomes = np.concatenate([split.train_outcomes, split.test_outcomes])
    usable = np.flatnonzero(~np.isnan(times) & ~np.isnan(outcomes))
    latest = usable[np.argsort(times[usable], kind="stable")][-_SEQUENCE_ROWS:]
    if len(latest) < FEWEST_ROWS:
        return
    week = np.zeros(len(times), dtype=np.int64)
    week[latest] = _of_the_week(times[latest])
    yield Sequence("", latest, np.zeros(len(latest), dtype=np.int64), outcomes[latest], week[latest])
    few = [c for c in split.inputs if c.kind == "category" and len(np.unique(c.train)) <= _GROUPS]
    for column in (*split.entities, *few[:_GROUPINGS]):
        codes = np.nan_to_num(np.concatenate([column.train, column.test])[latest], nan=-1.0).astype(np.int64)
        inside = np.argsort(codes, kind="stable")
        order = latest[inside]
        yield Sequence(column.name, order, codes[inside], outcomes[order], week[order])


def _of_the_week(times: FloatArray) -> IntArray:
    """Return the hour of the week of each row, or the day where rows are few."""
    step, steps = (HOUR, 168) if len(times) >= 168 * _ROWS_AN_HOUR else (DAY, 7)
    return (times // step % steps).astype(np.int64)


def _unusual(values: FloatArray, week: IntArray) -> FloatArray:
    """Return values less what is usual at that time of the week: a calendar knows it of later rows, honestly."""
    known = ~np.isnan(values)
    sums = np.bincount(week[known], weights=values[known], minlength=int(week.max()) + 1)
    counts = np.bincount(week[known], minlength=len(sums))
    return values - (sums / np.maximum(counts, 1))[week]


def known_ahead(sequences: list[Sequence], column: Column, *, is_binary: bool) -> Iterator[Leak]:
    """Yield a column that says more about later outcomes than anything could that is known at its time."""
    if column.kind != "number":
        return
    values = np.concatenate([column.train, column.test])
    found = [
        (knows_ahead(_unusual(values[one.order], one.week), _unusual(one.outcomes, one.week), one.groups), one.name)
        for one in sequences
    ]
    told, name = max(found, key=lambda one: one[0].share.value or 0.0, default=(_NOTHING_AHEAD, ""))
    if told.share.value is None or (told.share.low or 0.0) < AHEAD or told.share.value <= told.present:
        return
    whose = f" of the same {name}" if name else ""
    rows = "the outcome of the next row" if told.reach == 1 else f"the mean outcome of the next {told.reach} rows"
    said = (
        f"{column.name} explains {share_words(told.share)} of what past and present leave open of {rows}{whose}, and"
        f" only {number(told.present, 'share')} of its own row's outcome: it was made with later outcomes; make it"
        " with rows before the prediction only"
    )
    numbers = {"share": told.share.value, "share_low": told.share.low or 0.0, "rows_ahead": float(told.reach)}
    if not is_binary:  # a plan may fix numbers in advance; whether single cases go well, it cannot
        said += "; honest only for a plan that is known in advance"
    yield Leak("knows_later_outcomes", "breach" if is_binary else "warning", column.name, said, numbers)


_NOTHING_AHEAD = Ahead(Estimate.unknown("no order of time"), 0, 0.0)
