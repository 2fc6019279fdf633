"""One line for a web service: records every JSON prediction that passes through an ASGI app.

Speaks plain ASGI, so it needs no web framework and works in all of them.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import cast

import msgspec

from setpoint.predictions.details import Details
from setpoint.predictions.reactions import say_only_noted
from setpoint.predictions.recorder import Recorder

Scope = MutableMapping[str, object]
Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_BODY_LIMIT = 1 << 20
_FIRST_ERROR = 400
HEADER = b"x-setpoint-prediction-id"


class SetpointMiddleware:
    """Records the requests to some paths: body as inputs, response as prediction, latency and errors.

    The response gets a header `x-setpoint-prediction-id`, which an outcome can name later. A status of
    400 or more is an error such as `http 422`; so is a request whose body is empty or no JSON: `no JSON`.
    Bodies over 1 MB and bodies that are JSON but no object are recorded without inputs. The app's answer
    is never changed or delayed otherwise, whatever goes wrong here; so what breaks a contract is noted only.
    A proxy's header `x-request-start` says how long a request was queued, which is a part of its latency.

    Args:
        app: The ASGI app.
        recorder: Where predictions go.
        paths: The paths that predict.
        prediction: The response's field with the answer.
        score: The response's field with the score.
        key: The request's field that is the join key, and no input; empty for none.
        unit: The request's field that is the unit; empty for none.
    """

    def __init__(
        self,
        app: App,
        recorder: Recorder,
        *,
        paths: tuple[str, ...] = ("/predict",),
        prediction: str = "prediction",
        score: str = "score",
        key: str = "",
        unit: str = "",
    ) -> None:
        say_only_noted(recorder.declared, type(self).__name__)
        self._app = app
        self._recorder = recorder
        self._paths = frozenset(paths)
        self._fields = {"prediction": prediction, "score": score, "key": key, "unit": unit}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and record it when its path predicts."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._flushing(send))
            return
        is_asked = scope["type"] == "http" and scope.get("method") not in _NO_QUESTIONS
        if not is_asked or scope.get("path") not in self._paths:
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(self._recorder.new_id(), receive, send)
        queued = _queue_seconds(scope)
        started = time.perf_counter()
        error: str | None = None
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except BaseException as failure:
            error = type(failure).__name__
            raise
        finally:
            try:
                self._record(exchange, time.perf_counter() - started, queued, error)
            except Exception as failure:  # the app's answer stands, whatever goes wrong here
                self._recorder.note_failure(failure)

    def _flushing(self, send: Send) -> Send:
        """Flush before the server hears that the app is done: some servers then end by a signal, without `atexit`."""

        async def forward(message: Message) -> None:
            if str(message["type"]).startswith("lifespan.shutdown"):
                self._recorder.flush()
            await send(message)

        return forward

    def _record(self, exchange: _Exchange, seconds: float, queued: float | None, error: str | None) -> None:
        asked = _json(exchange.request)
        inputs = _fields(asked)
        answer = _fields(_json(exchange.response))
        if error is None and exchange.status >= _FIRST_ERROR:
            error = f"http {exchange.status}"
        if error is None and asked is _NO_JSON and not exchange.request.is_cut:
            error = "no JSON"
        details: Details = {
            "prediction_id": exchange.prediction_id,
            "latency_seconds": seconds + (queued or 0.0),
            "queue_seconds": queued,
            "error": error,
        }
        for role in ("key", "unit"):
            value = inputs.get(self._fields[role])
            if value is not None:
                details[role] = str(value)
        # An identifier is no feature: one that is a number today and a text tomorrow must not put rows aside.
        inputs.pop(self._fields["key"], None)
        score = answer.get(self._fields["score"])
        self._recorder.record(
            inputs,
            prediction=answer.get(self._fields["prediction"]),
            score=float(score) if isinstance(score, int | float) else None,
            **details,
        )


_NO_QUESTIONS = ("OPTIONS", "HEAD")  # a browser's preflight, a balancer's probe


class _Exchange:
    """What passes between server and app, remembered on the way."""

    def __init__(self, prediction_id: str, receive: Receive, send: Send) -> None:
        self.prediction_id = prediction_id
        self.request = _Body()
        self.response = _Body()
        self.status = 0
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        message = await self._receive()
        self.request.remember(message)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = cast("int", message["status"])
            headers = [*cast("list[tuple[bytes, bytes]]", message.get("headers", []))]
            message = {**message, "headers": [*headers, (HEADER, self.prediction_id.encode())]}
        else:
            self.response.remember(message)
        await self._send(message)


class _Body:
    """The parts of a body, while they are not too long."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.is_cut = False

    def remember(self, message: Message) -> None:
        part = message.get("body")
        if isinstance(part, bytes):
            self.is_cut = self.is_cut or len(self.content) + len(part) > _BODY_LIMIT
            if not self.is_cut:
                self.content.extend(part)


def _queue_seconds(scope: Scope) -> float | None:
    """Return how long a request was queued, by what the proxy says when it came; None when that cannot be.

    Proxies write seconds, milliseconds or microseconds since 1970, with or without `t=`.
    """
    for name, value in cast("list[tuple[bytes, bytes]]", scope.get("headers", [])):
        if name.lower() == b"x-request-start":
            try:
                at = float(value.removeprefix(b"t="))
            except ValueError:
                return None
            now = time.time()
            waited = (now - at / scale for scale in (1.0, 1e3, 1e6))
            return next((seconds for seconds in waited if 0.0 <= seconds < _LONGEST_QUEUE_SECONDS), None)
    return None


_LONGEST_QUEUE_SECONDS = 3600.0

_NO_JSON = object()


def _json(body: _Body) -> object:
    """Return what a body holds, or `_NO_JSON`; null is JSON."""
    if body.is_cut:
        return _NO_JSON
    try:
        return msgspec.json.decode(bytes(body.content))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _NO_JSON


def _fields(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
