"""Runs of predictions that look alike: checked column by column instead of row by row.

A program records rows of few shapes, one after the other. Looking at each value from Python costs
more than encoding it; a column of many rows is looked at in a few steps of the interpreter. A run
with anything odd in it is none, and its rows are looked at one by one.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from types import NoneType
from typing import Annotated, NamedTuple, cast

import msgspec

from setpoint.core.clock import QUARTER_HOUR
from setpoint.core.events import InputValue, Prediction
from setpoint.store.shapes import SPELLED, TEXT_LIMIT, Types

RUN_ROWS = 256
Who = tuple[str | None, str | None, str | None, str | None]

_KINDS: dict[type, str] = {float: "DOUBLE", int: "DOUBLE", bool: "BOOLEAN", str: "VARCHAR"}
_NUMBERS = frozenset({float, int})
# Whole numbers of a column of numbers are fine. NaN is not at least anything.
_Finite = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
_CHECKED: dict[type, object] = {
    float: _Finite,
    int: _Finite,
    bool: bool,
    str: Annotated[str, msgspec.Meta(max_length=TEXT_LIMIT)],
}
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
        errors: What those that failed are counted by.
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
    errors: Sequence[str]
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
    count = len(events)
    # One attribute of all rows after the other: an interpreter is quicker at that than at rows.
    whose = (
        [event.version for event in events],
        [event.endpoint for event in events],
        [event.role for event in events],
        [event.run_id for event in events],
    )
    if not all(values.count(values[0]) == count for values in whose):
        return None
    times = [event.predicted_at for event in events]
    bucket = times[0] // QUARTER_HOUR
    if min(times) // QUARTER_HOUR != bucket or max(times) // QUARTER_HOUR != bucket:
        return None
    answers = [event.prediction for event in events]
    scores = _measured([event.score for event in events])
    latencies = _measured([event.latency_seconds for event in events])
    compute = _measured([event.compute_seconds for event in events])
    if scores is None or latencies is None or compute is None or not _are_plain(answers):
        return None
    if len(latencies) not in {0, count}:  # what was computed is a part of a latency only where there is one
        return None
    inputs = [event.inputs or _NOTHING for event in events]
    found = _complete(inputs) or _columns(inputs)
    if found is None:
        return None
    return Run(
        count,
        (whose[0][0], whose[1][0], whose[2][0], whose[3][0]),
        bucket * QUARTER_HOUR,
        *found,
        frozenset(map(type, answers)),
        [event.error for event in events if event.error is not None],
        scores,
        latencies,
        compute,
    )


def _complete(inputs: Sequence[Mapping[str, InputValue]]) -> tuple[Types, dict[str, int]] | None:
    """Return what `_columns` does when every row has a plain value in every column; None when one lacks it.

    To make structs of the rows takes a third of the time of looking at them from Python, and msgspec refuses
    what is odd.
    """
    first = inputs[0]
    shape = _shape_of(tuple(first), tuple(map(type, first.values())))
    if shape is None:
        return None
    try:
        msgspec.convert(inputs, shape.rows)
    except (msgspec.ValidationError, OverflowError):
        return None
    return shape.types, {}


class _Shape(NamedTuple):
    """Complete rows: the type that msgspec checks them by, and the types of their columns."""

    rows: type[list[msgspec.Struct]]
    types: Types


@lru_cache(maxsize=256)
def _shape_of(names: tuple[str, ...], kinds: tuple[type, ...]) -> _Shape | None:
    """Return the shape of rows with columns of these names and Python types; None when one is none of ours."""
    if not names or not set(kinds) <= _CHECKED.keys() or not all(type(name) is str for name in names):
        return None
    fields = [(f"f{place}", _CHECKED[kind]) for place, kind in enumerate(kinds)]
    spelled = {f"f{place}": name for place, name in enumerate(names)}
    try:
        row = msgspec.defstruct("Row", fields, rename=spelled, forbid_unknown_fields=True, gc=False)
    except ValueError:  # a name with quotes or control characters
        return None
    return _Shape(list[row], {name: _KINDS[kind] for name, kind in zip(names, kinds, strict=True)})


def _columns(inputs: Sequence[Mapping[str, InputValue]]) -> tuple[Types, dict[str, int]] | None:
    """Return the type of each column, and how many values it lacks; None when rows differ or one value is odd."""
    names = list(inputs[0])
    if list(chain.from_iterable(inputs)) != names * len(inputs) or not all(type(name) is str for name in names):
        return None
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
