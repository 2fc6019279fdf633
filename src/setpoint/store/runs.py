"""Runs of predictions that look alike: checked column by column instead of row by row.

A program records rows of few shapes, one after the other. Looking at each value from Python costs
more than encoding it; a column of many rows is looked at in a few steps of the interpreter. A run
with anything odd in it is none, and its rows are looked at one by one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter
from types import NoneType
from typing import NamedTuple, cast

from setpoint.core.clock import QUARTER_HOUR
from setpoint.core.events import InputValue, Prediction
from setpoint.store.shapes import SPELLED, TEXT_LIMIT, Types

RUN_ROWS = 256
Who = tuple[str | None, str | None, str | None, str | None]

_WHO = ("version", "endpoint", "role", "run_id")
_FIELDS = (*_WHO, "predicted_at", "score", "latency_seconds", "compute_seconds", "prediction", "error")
_TOLD = len(_FIELDS)
_told = attrgetter(*_FIELDS)
_KINDS: dict[type, str] = {float: "DOUBLE", int: "DOUBLE", bool: "BOOLEAN", str: "VARCHAR"}
_NUMBERS = frozenset({float, int})
_NOTHING: dict[str, InputValue] = {}


class Run(NamedTuple):
    """Predictions that can be encoded as they are, of one caller within a quarter of an hour.

    Attributes:
        rows: How many there are.
        who: Version, endpoint, role and batch run of all of them.
        bucket_at: The quarter of an hour that all of them are of.
        types: Column type a feature; None for one without a value.
        missing: How many rows lack a value, by feature; none where all have one.
        answers: The Python types of their predictions.
        errors: How many failed.
        scores: The scores.
        latencies: The latencies, in seconds.
        compute: The compute times, in seconds.
    """

    rows: int
    who: Who
    bucket_at: int
    types: Types
    missing: dict[str, int]
    answers: frozenset[type]
    errors: int
    scores: Sequence[float]
    latencies: Sequence[float]
    compute: Sequence[float]


def run_of(events: Sequence[Prediction]) -> Run | None:
    """Return what predictions have in common; None when there is anything odd in one, or they differ.

    Example:
        >>> rows = [Prediction(prediction_id="a", root_id="a", predicted_at=0, recorded_at=0, inputs={"x": x})
        ...         for x in (1.0, None)]
        >>> run_of(rows).types, run_of(rows).missing
        ({'x': 'DOUBLE'}, {'x': 1})
        >>> run_of([*rows, Prediction(prediction_id="b", root_id="b", predicted_at=0, recorded_at=0)]) is None
        True
    """
    inputs = [event.inputs or _NOTHING for event in events]
    names, count = list(inputs[0]), len(events)
    if list(chain.from_iterable(inputs)) != names * count or not all(type(name) is str for name in names):
        return None
    told: list[object] = list(chain.from_iterable(map(_told, events)))
    who, times = told[: len(_WHO)], cast("list[int]", told[len(_WHO) :: _TOLD])
    scores, latencies, compute, answers, errors = (told[place::_TOLD] for place in range(len(_WHO) + 1, _TOLD))
    first, last = min(times) // QUARTER_HOUR, max(times) // QUARTER_HOUR
    measured = [_measured(values) for values in (scores, latencies, compute)]
    is_one = all(told[place::_TOLD].count(value) == count for place, value in enumerate(who))
    if not is_one or first != last or not _are_plain(answers) or None in measured:
        return None
    found = _columns(names, inputs)
    if found is None:
        return None
    return Run(
        count,
        cast("Who", tuple(who)),
        first * QUARTER_HOUR,
        *found,
        frozenset(map(type, answers)),
        count - errors.count(None),
        *cast("list[Sequence[float]]", measured),
    )


def _columns(names: Sequence[str], inputs: Sequence[Mapping[str, InputValue]]) -> tuple[Types, dict[str, int]] | None:
    """Return the type of each column, and how many values it lacks; None when one value is odd."""
    # One flat list, cut into columns: many times faster than to go through the rows side by side.
    values: list[InputValue] = list(chain.from_iterable(one.values() for one in inputs))
    width = len(names)
    kinds = list(map(type, values[:width]))
    is_even = list(map(type, values)) == kinds * len(inputs)
    types: Types = {}
    missing: dict[str, int] = {}
    for place, name in enumerate(names):
        column = values[place::width]
        found: set[type] = {kinds[place]} if is_even else set(map(type, column))
        if NoneType in found:
            found.discard(NoneType)
            missing[name] = column.count(None)
            column = [value for value in column if value is not None]
        if not _is_plain(found, column):
            return None
        types[name] = _KINDS[found.pop()] if found else None
    return types, missing


def _is_plain(kinds: set[type], values: Sequence[object]) -> bool:
    """Return whether a column's values are of one type, and can be encoded as they are."""
    if float in kinds:
        # A sum is not finite when one of them is not, or when it is too large: then rows are looked at one by one.
        return kinds <= _NUMBERS and _is_finite(cast("Sequence[float]", values))
    if len(kinds) > 1:
        return False
    if str in kinds:
        return max(map(len, cast("Sequence[str]", values))) <= TEXT_LIMIT
    return not kinds or int in kinds or bool in kinds


def _is_finite(values: Sequence[float]) -> bool:
    try:
        return math.isfinite(sum(values))
    except OverflowError:  # a whole number that no double can hold
        return False


def _measured(values: Sequence[object]) -> Sequence[float] | None:
    """Return the values that are there; None when one is no finite number."""
    kinds = set(map(type, values))
    if NoneType in kinds:
        kinds.discard(NoneType)
        values = [value for value in values if value is not None]
    found = cast("Sequence[float]", values)
    return found if kinds <= _NUMBERS and _is_finite(found) else None


def _are_plain(answers: Sequence[object]) -> bool:
    """Return whether all predictions can be encoded as they are."""
    kinds = set(map(type, answers))
    kinds.discard(NoneType)
    if str in kinds:
        texts = [answer for answer in cast("Sequence[str | None]", answers) if answer is not None]
        return kinds == {str} and SPELLED.isdisjoint(texts) and max(map(len, texts)) <= TEXT_LIMIT
    return kinds <= {float, int, bool} and _is_finite([value for value in cast("Sequence[float]", answers) if value])
