"""Anything with `predict` or `predict_proba`, recorded: scikit-learn, LightGBM, XGBoost and the like."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar, cast

from setpoint.predictions.reactions import say_only_noted
from setpoint.predictions.recorder import Recorder

Estimator = TypeVar("Estimator")


class _Array(Protocol):
    def tolist(self) -> list[object]: ...


class _Wrapped:
    """Stands in for an estimator: its two methods are recorded, everything else is its own."""

    def __init__(self, estimator: object, recorder: Recorder) -> None:
        self._estimator = estimator
        self._recorder = recorder

    def __getattr__(self, name: str) -> object:
        value = cast("object", getattr(self._estimator, name))
        if name not in {"predict", "predict_proba"}:
            return value

        def recorded(table: object, *args: object, **kwargs: object) -> object:
            started = time.perf_counter()
            answer = cast("_Array", value(table, *args, **kwargs))  # pyright: ignore[reportCallIssue] — a method by its name
            self._record(table, answer, time.perf_counter() - started, is_score=name == "predict_proba")
            return answer

        return recorded

    def _record(self, table: object, answer: _Array, seconds: float, *, is_score: bool) -> None:
        """Record a row each; the time of the call is shared among them. Never raises."""
        try:
            rows = answer.tolist()
            each = seconds / max(len(rows), 1)
            inputs = _columns(table, self._estimator)
            scores = [_scores(row, self._estimator) for row in rows] if is_score else None
            predictions = _classes(rows, self._estimator) if is_score else rows
            self._recorder.record_many(
                inputs,
                predictions=predictions,
                scores=cast("Iterable[float | Mapping[str, float]] | None", scores),
                latency_seconds=seconds,
                compute_seconds=each,
            )
        except Exception as error:  # the user's prediction path must not fail because of us
            self._recorder.note_failure(error)


def recorded_estimator(estimator: Estimator, recorder: Recorder) -> Estimator:
    """Return an estimator whose `predict` and `predict_proba` are recorded; see `wrap`."""
    say_only_noted(recorder.declared, "wrap")
    return cast("Estimator", _Wrapped(estimator, recorder))


def _columns(table: object, estimator: object) -> object:
    """Return the rows as columns by name: a table as it is, an array by the names the estimator knows."""
    if isinstance(table, Mapping) or hasattr(table, "columns"):
        return cast("object", table)
    rows = cast("_Array", table).tolist() if hasattr(table, "tolist") else list(cast("Iterable[object]", table))
    listed = [cast("Sequence[object]", row) if isinstance(row, list | tuple) else [row] for row in rows]
    width = len(listed[0]) if listed else 0
    known = [str(name) for name in cast("Iterable[object]", getattr(estimator, "feature_names_in_", ()))]
    names = known if len(known) == width else [f"x{n}" for n in range(width)]
    return {name: [row[n] for row in listed] for n, name in enumerate(names)}


def _scores(row: object, estimator: object) -> float | dict[object, float]:
    """Return the probability of the second class of two, else that of each class by the estimator's own names."""
    if not isinstance(row, list):
        return float(cast("float", row))
    shares = cast("list[float]", row)
    return shares[1] if len(shares) == 2 else dict(zip(_names(shares, estimator), shares, strict=True))  # noqa: PLR2004 — binary


def _names(shares: list[float], estimator: object) -> list[object]:
    named = cast("Sequence[object]", getattr(estimator, "classes_", range(len(shares))))
    return cast("_Array", named).tolist() if hasattr(named, "tolist") else list(named)


def _classes(rows: list[object], estimator: object) -> list[object] | None:
    """Return the most likely class of each row, by the estimator's own names."""
    if not rows or not isinstance(rows[0], list):
        return None
    listed = _names(cast("list[float]", rows[0]), estimator)
    return [listed[max(range(len(row)), key=row.__getitem__)] for row in cast("list[list[float]]", rows)]
