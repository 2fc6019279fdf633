"""Clients of the SDKs of OpenAI and Anthropic, recorded: each request is a prediction, each attempt of it a call.

The SDKs are never imported. All their resources send through the client's own `post`: a copy of the client gets another
one, so that helpers, parsing and raw responses are recorded alike, and all that they return is the SDK's own.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, cast

from setpoint.connect.llm_answer import field
from setpoint.connect.llm_attempts import seen, watch
from setpoint.connect.llm_request import CHAT, Goal, Request
from setpoint.connect.providers import provider_at
from setpoint.core.errors import UsageError
from setpoint.predictions.recorder import Recorder

Client = TypeVar("Client")
_PATHS = {CHAT, "/responses", "/embeddings", "/v1/messages"}
_RAW = "x-stainless-raw-response"


def is_client(wrapped: object) -> bool:
    """Return whether something is a client of one of the SDKs."""
    has_resource = any(hasattr(type(wrapped), name) for name in ("chat", "responses", "messages"))
    return has_resource and callable(getattr(wrapped, "post", None)) and callable(getattr(wrapped, "copy", None))


def recorded_client(client: Client, recorder: Recorder, provider: str = "") -> Client:
    """Return a copy of a client whose requests are recorded, once, however often it is wrapped; see `wrap`.

    Raises:
        UsageError: It cannot be copied.
    """
    sending = getattr(cast("_Client", client).post, "__self__", None)
    if isinstance(sending, _Sending) and sending.goal.recorder is recorder:
        return client
    try:
        copy = cast("_Client", client).copy()
    except TypeError as error:  # of a class of the application's own that takes other arguments
        msg = f"a client that cannot be copied: {error}"
        raise UsageError(msg, hint="let its `copy` return another one like it, or wrap a client of the SDK") from error
    return cast("Client", _record(copy, Goal(recorder, provider)))


class _Client(Protocol):
    base_url: object
    post: Callable[..., object]
    copy: Callable[..., _Client]
    with_options: Callable[..., _Client]


def _record(client: _Client, goal: Goal) -> _Client:
    """Put another `post` into a client of our own, and see to it that its copies are recorded too."""
    host = str(getattr(client.base_url, "host", ""))
    watch(client)
    sending = _Sending(client.post, goal._replace(provider=goal.provider or provider_at(host)))
    client.post = sending.post_async if inspect.iscoroutinefunction(type(client).post) else sending.post
    copy = client.copy

    def copied(**changed: object) -> _Client:
        return _record(copy(**changed), goal)

    client.copy = client.with_options = copied
    return client


class _Sending:
    """Sends requests as the client's own `post` does, and has those recorded that a model answers."""

    def __init__(self, post: Callable[..., Any], goal: Goal) -> None:
        self._post = post
        self.goal = goal

    def post(self, path: str, **options: object) -> object:
        """Send a request."""
        request = self._begun(path, options)
        if request is None:
            return self._post(path, **options)
        try:
            with seen(request.attempts):
                result = self._post(path, **options)
        except BaseException as error:  # theirs, and raised as it is
            request.fail(error)
            raise
        return request.answered(result)

    def post_async(self, path: str, **options: object) -> object:
        """Return what sends a request when it is awaited; it is noted now whose it is."""
        request = self._begun(path, options)
        return self._post(path, **options) if request is None else self._sent(request, path, options)

    async def _sent(self, request: Request, path: str, options: Mapping[str, object]) -> object:
        request.started = time.perf_counter()
        try:
            with seen(request.attempts):
                result = await self._post(path, **options)
        except BaseException as error:  # as above
            request.fail(error)
            raise
        return request.answered(result)

    def _begun(self, path: str, options: dict[str, object]) -> Request | None:
        bare, body = path.partition("?")[0], options.get("body")
        if bare not in _PATHS or not isinstance(body, Mapping):
            return None
        try:
            headers = cast("Mapping[str, object]", field(options.get("options"), "headers") or {})
            is_raw = any(name.lower() == _RAW for name in headers)
            request = Request(self.goal, bare, cast("Mapping[str, object]", body), is_raw=is_raw)
        except Exception as error:  # the caller's request must not fail because of its record
            self.goal.recorder.note_failure(error)
            return None
        options["body"] = request.body
        return request
