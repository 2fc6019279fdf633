"""The rows of a request: one for the version whose answer the caller got, one for each other that was asked."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import cast

from setpoint.core.events import CACHE, Prediction
from setpoint.predictions.details import MoreDetails, RequestDetails, RowDetails, add_details
from setpoint.predictions.recorder import Recorder
from setpoint.predictions.reply import Reply
from setpoint.predictions.request import Request
from setpoint.predictions.rows import Value
from setpoint.predictions.turns import Attempt, kind_of
from setpoint.predictions.versions import Inputs


class TurnRows:
    """Makes and records the rows of versions' turns.

    Attributes:
        billed: The versions that are billed, as far as that was told by now.

    Args:
        recorder: Takes them.
        versions: By name; one whose `is_billed` is true needs not tell it first.
    """

    def __init__(self, recorder: Recorder, versions: Mapping[str, object]) -> None:
        self._recorder = recorder
        self.billed = {name for name, one in versions.items() if getattr(one, "is_billed", False)}

    def record_served(self, request: Request, inputs: Inputs, attempt: Attempt, reply: Reply, role: str) -> None:
        """Record the turn of the version whose answer or error the caller gets."""
        event = self._event(request, inputs, attempt, reply, role)
        event.latency_seconds = reply.latency_seconds
        if not DRAWN.issuperset(request.details):
            add_request(self._recorder, event, request.unit, request.details)
        self._recorder.record_event(event)
        if attempt.calls or attempt.untold:
            self._record_calls(event, attempt)

    def record_child(self, request: Request, inputs: Inputs, attempt: Attempt, role: str) -> None:
        """Record a version's turn of which the caller got nothing, under what the caller got."""
        event = self._event(request, inputs, attempt, attempt.reply or _NOTHING, role)
        event.prediction_id = request.billed_to or self._recorder.new_id()
        event.parent_id, event.key = event.root_id, None
        if not DRAWN.issuperset(request.details):  # it was asked with the same inputs, from the same source
            told = request.details
            event.feature_version, event.source = told.get("feature_version"), told.get("source")
            event.trace_id, event.run_id = told.get("trace_id"), told.get("run_id")
        if role == "shadow":
            event.assignment_probability = None
        self._recorder.record_event(event)
        self._record_calls(event, attempt)

    def _event(self, request: Request, inputs: Inputs, attempt: Attempt, reply: Reply, role: str) -> Prediction:
        """Return a version's turn as it is recorded for the caller."""
        arm, name, at, score = request.arm, request.prediction_id, request.at, reply.score
        event = Prediction(  # of more than 15 keywords Python makes a dictionary first: twice as long in all
            prediction_id=name,
            root_id=name,
            key=request.details.get("key"),
            unit=request.unit,
            predicted_at=at,
            recorded_at=at,
            version=f"{attempt.version}@{reply.checkpoint}" if reply.checkpoint else attempt.version,
            endpoint=self._recorder.endpoint,
            role=role,
            # What answered in another's place was not drawn: it is no evidence for who was.
            assignment_probability=arm.share if attempt.version == arm.version else None,
            inputs=self._copied(inputs),  # pyright: ignore[reportArgumentType] — as the writer takes them
            prediction=reply.prediction,  # pyright: ignore[reportArgumentType] — as above
            score=reply.confidence if score is None and reply.scores is None else score,
            latency_seconds=attempt.seconds or None,  # who was refused was not asked
            compute_seconds=attempt.seconds or None,
        )
        if reply.text is not None:
            event.text = reply.text
        if request.plan.keeps_all:
            event.keep_probability = 1.0
        if attempt.error is not None:
            event.error = kind_of(attempt.error)
        if attempt.first_chunk_seconds is not None:
            event.first_chunk_seconds = attempt.first_chunk_seconds
        if attempt.upstream_seconds:
            event.compute_seconds = max(attempt.seconds - attempt.upstream_seconds, 0.0)
            event.upstream_seconds = attempt.upstream_seconds
        if reply.scores is not None or reply.ranking is not None:
            _add_readable(self._recorder, event, {"scores": reply.scores, "ranking": reply.ranking})
        return event

    def _copied(self, inputs: Inputs) -> dict[str, Value]:
        """Return inputs as they are now; none, and a failure that is counted, where a caller gave no mapping."""
        try:
            return dict(inputs)
        except Exception as error:  # noqa: BLE001 — theirs: who answered what is worth more than the inputs alone
            self._recorder.note_failure(error)
            return {}

    def _record_calls(self, event: Prediction, attempt: Attempt) -> None:
        version, calls = attempt.version, list(attempt.calls)
        if version not in self.billed and any(call.get("purpose") != CACHE for call in calls):
            self.billed.add(version)
        if version in self.billed:
            calls += [{"error": kind} for kind in attempt.untold]
        for n, call in enumerate(calls):
            self._recorder.call(event.prediction_id, **{"attempt": n + 1, **call})  # pyright: ignore[reportArgumentType] — fields of a Call


def add_request(recorder: Recorder, event: Prediction, unit: str | None, details: RequestDetails | MoreDetails) -> None:
    """Add what the caller said of a request to its row, and to its latency what it had waited before."""
    _add_readable(recorder, event, details)
    event.unit = unit
    waited = (event.queue_seconds or 0.0) + (event.features_seconds or 0.0)
    event.latency_seconds = (event.latency_seconds or 0.0) + waited


def _add_readable(recorder: Recorder, event: Prediction, details: RowDetails | RequestDetails | MoreDetails) -> None:
    """Add details to a row; one that cannot be read is counted as a failure, and the row goes without it."""
    try:
        add_details(event, details)
    except Exception as error:  # noqa: BLE001 — theirs: a row and its bill are worth more than one detail
        recorder.note_failure(error)
        for name, value in details.items():
            with suppress(Exception):
                add_details(event, cast("RowDetails", {name: value}))


_NOTHING = Reply()
DRAWN = {"unit", "key"}
"""Details of a request that its row has from the start."""
