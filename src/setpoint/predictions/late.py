"""What was billed for an answer that came when nobody waited for it any more."""

from __future__ import annotations

from concurrent.futures import Future

from setpoint.predictions.recorder import Recorder
from setpoint.predictions.reply import Reply, readable
from setpoint.predictions.turns import Turns


def record_late(recorder: Recorder, turns: Turns, prediction_id: str, version: str, found: Future[object]) -> None:
    """Record the calls of an answer, or of an error, that came too late; they count for the version's cap.

    Args:
        recorder: Whose prediction it was.
        turns: Whose caps they count for.
        prediction_id: The request.
        version: Who was asked.
        found: What it gave in the end.
    """
    try:
        told = found.exception() or Reply.of(found.result())
        billed = readable(getattr(told, "calls", ()))
        if billed:
            turns.spend(version, billed)
        for call in billed:
            recorder.call(prediction_id, **{**call, "error": call.get("error") or "timeout"})  # pyright: ignore[reportArgumentType] — fields of a Call
    except Exception as error:  # the request is long over: what goes wrong here is counted
        recorder.note_failure(error)
