"""One request to a language model: what is known of it grows, and is recorded once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from setpoint.connect.llm_answer import NO_ANSWER, Answer, field, is_usage_alone
from setpoint.connect.llm_attempts import Attempt
from setpoint.connect.llm_inputs import inputs_of_request, prompt_of_request
from setpoint.connect.llm_stream import HeardAsyncStream, HeardStream
from setpoint.predictions.around import around
from setpoint.predictions.calls import UNREACHABLE, answered_model, prompt_version
from setpoint.predictions.recorder import Recorder

CHAT = "/chat/completions"


class Goal(NamedTuple):
    """Where requests are recorded to, and by whose name."""

    recorder: Recorder
    provider: str


class Request:
    """One request, from before it is sent until nothing more comes of it. Only making one may raise.

    Attributes:
        body: What is sent.
        attempts: What the HTTP client saw of it, by how often it had been tried before.
        started: When it was sent, by the monotonic clock.
        waited_seconds: How long the provider was waited for.
    """

    def __init__(self, goal: Goal, path: str, body: Mapping[str, object], *, is_raw: bool) -> None:
        known = around()
        self.body = body
        self.attempts: dict[str, Attempt] = {}
        self.started = time.perf_counter()
        self.waited_seconds = 0.0
        self._recorder = recorder = goal.recorder
        self._asked = str(body.get("model") or "")
        self._inputs = {**inputs_of_request(body), **known.inputs}
        prompt = prompt_version(known.prompt or prompt_of_request(body))
        self._call: dict[str, Any] = {"provider": goal.provider, "prompt_version": prompt}
        self._details = known.details
        self._predicted_at = recorder.now()
        self._prediction_id = recorder.new_id()
        for recorded in known.recorded:
            recorded.append(self._prediction_id)
        self._answer = Answer()
        self._first_chunk_seconds: float | None = None
        self._is_done = False
        is_heard = path == CHAT and body.get("stream") is True and not is_raw
        self._hides_usage = is_heard and self._ask_for_usage()

    def _ask_for_usage(self) -> bool:
        """Ask for the tokens of a stream, which are not told otherwise; return whether only we did."""
        options: object = self.body.get("stream_options") or {}
        if not isinstance(options, Mapping) or "include_usage" in options:
            return False
        self.body = {**self.body, "stream_options": {**cast("Mapping[str, object]", options), "include_usage": True}}
        return True

    def answered(self, result: object) -> object:
        """Note what the SDK returned, and return it, or a stream that stands in for it."""
        self.waited_seconds = time.perf_counter() - self.started
        if hasattr(result, "__next__"):
            return HeardStream(result, self)
        if hasattr(result, "__anext__"):
            return HeardAsyncStream(result, self)
        try:
            self._read(result)
        except Exception as error:  # the caller has the answer, whatever we make of it
            self._answer.error = NO_ANSWER
            self._recorder.note_failure(error)
        self.finish()
        return result

    def _read(self, result: object) -> None:
        raw = cast("Any", field(result, "http_response"))
        if raw is None:
            self._answer.read(result)
        elif raw.is_closed:
            self._answer.read_text(raw.content)
        else:  # the caller reads it as it comes: no more is known of it than that it came
            self._answer.is_whole = True

    def hear(self, piece: object) -> bool:
        """Take in a piece of the answer; return whether it is also the caller's."""
        try:
            self._answer.hear(piece)
            if self._first_chunk_seconds is None and self._answer.has_content:
                self._first_chunk_seconds = time.perf_counter() - self.started
            return not (self._hides_usage and is_usage_alone(piece))
        except Exception as error:  # as above
            self._recorder.note_failure(error)
            return True

    def fail(self, error: BaseException) -> None:
        """Note that the SDK raised."""
        if not self.waited_seconds:
            self.waited_seconds = time.perf_counter() - self.started
        try:  # an answer that the SDK got and did not like is billed all the same
            if (answer := field(error, "completion")) is not None:
                self._answer.read(answer)
        except Exception as failure:  # as above
            self._recorder.note_failure(failure)
        self._answer.error = self._answer.error or _kind(error)
        self.finish()

    def finish(self, reason: str = "closed early") -> None:
        """Record the request once, with all that is known of it; never raises.

        Args:
            reason: What its error is if the answer is not complete.
        """
        if self._is_done:
            return
        self._is_done = True
        try:
            error = self._answer.error or (None if self._answer.is_whole else reason)
            self._record_prediction(error)
            self._record_calls(error)
        except Exception as failure:  # as above
            self._recorder.note_failure(failure)

    def _record_prediction(self, error: str | None) -> None:
        text, tools = self._answer.text, ", ".join(self._answer.tools)
        self._recorder.record(
            self._inputs,
            prediction=tools or text,
            text=text,
            prediction_id=self._prediction_id,
            predicted_at=self._predicted_at,
            latency_seconds=time.perf_counter() - self.started,
            upstream_seconds=self.waited_seconds,
            first_chunk_seconds=self._first_chunk_seconds,
            error=error,
            **self._details,
        )

    def _record_calls(self, error: str | None) -> None:
        """Record a call an attempt: the last was answered, and nobody knows that those before it were free."""
        attempts = list(self.attempts.values())
        for n, attempt in enumerate(attempts[:-1]):
            self._record_call(n + 1, self._asked, error=attempt.error, latency_seconds=attempt.seconds)
        if not attempts and error is not None:
            return  # nothing was sent
        seconds = time.perf_counter() - (attempts[-1].started if attempts else self.started)
        told: dict[str, Any] = {"error": error, "latency_seconds": seconds, "tier": self._answer.tier}
        self._record_call(max(len(attempts), 1), self._answer.model, **told, **self._answer.tokens)

    def _record_call(self, attempt: int, model: str, **told: float | str | None) -> None:
        fields = {**self._call, **answered_model(self._asked, model), **told}
        self._recorder.call(self._prediction_id, attempt=attempt, **cast("dict[str, Any]", fields))


def _kind(error: BaseException) -> str:
    """Return by what an error of an SDK is counted, in the words of `UpstreamError`."""
    status = field(error, "status_code")
    if isinstance(status, int) and status >= 400:  # noqa: PLR2004 — the statuses that are errors
        return f"status {status}"
    name = type(error).__name__
    if "Timeout" in name:
        return "timeout"
    if name in _BROKEN:
        return UNREACHABLE if type(error.__cause__).__name__ == "ConnectError" else "closed early"
    if name == "JSONDecodeError":
        return "not JSON"
    return "error in the stream" if name in {"APIError", "APIStatusError"} else name


_BROKEN = {"APIConnectionError", "RemoteProtocolError", "ReadError"}
