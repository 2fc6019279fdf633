"""What may be known of a prediction besides its inputs and its answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypedDict, cast

from setpoint.core.clock import micros
from setpoint.core.errors import TimeError, UsageError
from setpoint.core.events import Prediction
from setpoint.core.spelling import class_name
from setpoint.predictions.rows import is_missing

Moment = datetime | int


class SharedDetails(TypedDict, total=False):
    """What requests may have in common."""

    feature_version: str | None
    source: str | None
    trace_id: str | None
    run_id: str | None


class CallerDetails(SharedDetails, total=False):
    """Whose request it is."""

    key: str | None
    unit: str | None


class BatchDetails(SharedDetails, total=False):
    """What may be known of requests before anybody answers them, alike for all of a batch.

    `queue_seconds` is what they waited before that, `features_seconds` what it took to compute or fetch their inputs.
    """

    queue_seconds: float | None
    features_seconds: float | None


class MoreDetails(BatchDetails, total=False):
    """What may be known of a request before anybody answers it, besides whose it is."""

    prediction_id: str | None


class RequestDetails(CallerDetails, MoreDetails, total=False):
    """What may be known of a request before anybody answers it."""


class Details(RequestDetails, total=False):
    """What may be known of a prediction besides its inputs and answer.

    Times are zoned datetimes or microseconds since 1970. `compute_seconds` is what the machine was
    busy, `upstream_seconds` what was waited for another server, `latency_seconds` what the caller waited,
    `first_chunk_seconds` for the first piece of an answer that comes in pieces.
    """

    version: str | None
    endpoint: str | None
    role: str | None
    parent_id: str | None
    root_id: str | None
    assignment_probability: float | None
    latency_seconds: float | None
    compute_seconds: float | None
    upstream_seconds: float | None
    first_chunk_seconds: float | None
    error: str | None
    predicted_at: Moment | None


class RowDetails(Details, total=False):
    """What may be known of one prediction alone, besides what a batch shares.

    `scores` is the probability of each class, `ranking` the items from the first place on, `text` what was
    generated: it is kept only when the declared `free_text` says so.
    """

    scores: Mapping[str, float] | None
    ranking: Iterable[object] | None
    text: str | None


def add_details(event: Prediction, details: RowDetails | RequestDetails | MoreDetails) -> None:
    """Set what is known of a prediction besides its inputs and answer; a null changes nothing."""
    for name, value in details.items():
        if value is not None and name != "predicted_at":
            read = _READERS.get(name)
            setattr(event, name, value if read is None else read(value))
    if event.root_id != event.prediction_id and event.parent_id is None:
        event.parent_id = event.root_id  # what has a root has a parent: readers look for children by it


def whose(unit: str | None, key: str | None, details: MoreDetails) -> RequestDetails:
    """Return what is known of a request, with whose it is."""
    return {"unit": unit, "key": key, **details}


TEXT_OR_NONE = {str, type(None)}
"""Types of names that are what they are."""


def name_by_text(details: RequestDetails) -> None:
    """Make texts of what a request is named and drawn by; what is missing or cannot be read is left out."""
    for name in ("prediction_id", "unit"):
        value = cast("object", details.get(name))
        if type(value) not in TEXT_OR_NONE:
            try:
                details[name] = None if is_missing(value) else str(value)
            except Exception:  # noqa: BLE001 — theirs: an answer is worth more than whose it is
                details[name] = None


def _scores(value: object) -> dict[str, float]:
    if not isinstance(value, Mapping):
        msg = f"scores are {value!r:.40}, expected the probability of each class by its name"
        raise UsageError(msg, hint='pass a mapping: {"ham": 0.9, "spam": 0.1}')
    return {class_name(name): float(score) for name, score in cast("Mapping[object, float]", value).items()}


def _ranking(value: object) -> list[str]:
    if isinstance(value, set | frozenset):
        msg = "a ranking has an order, and this is a set"
        raise UsageError(msg, hint="pass a list, from the first place on")
    return [class_name(item) for item in cast("Iterable[object]", value)]


def _seconds(value: object) -> float:
    return float(cast("float", value))


_READERS = {
    "scores": _scores,
    "ranking": _ranking,
    "queue_seconds": _seconds,
    "features_seconds": _seconds,
    "upstream_seconds": _seconds,
    "first_chunk_seconds": _seconds,
}


def to_micros(at: Moment) -> int:
    """Return a time in microseconds since 1970.

    Raises:
        TimeError: It has no zone, or lies outside the years that a time in another unit would miss.
    """
    found = at if isinstance(at, int) else micros(at)
    if not 0 <= found < _YEAR_3000:
        msg = f"not a time between 1970 and 3000: {found} microseconds since 1970"
        raise TimeError(msg, hint="pass a datetime with a zone, or microseconds: not seconds, not nanoseconds")
    return found


_YEAR_3000 = 32_503_680_000_000_000
