"""The attempts of a request that an SDK makes on its own, as its HTTP client sees them."""

from __future__ import annotations

import inspect
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, cast

import msgspec

_RETRIES = "x-stainless-retry-count"


class _Message(Protocol):
    headers: Mapping[str, str]


class _Reply(Protocol):
    request: _Message
    status_code: int


class Attempt(msgspec.Struct):
    """One attempt.

    Attributes:
        started: When it was sent, by the monotonic clock.
        seconds: How long until it was answered; None when it was not.
        status: What it was answered with; None when it was not.
    """

    started: float
    seconds: float | None = None
    status: int | None = None

    @property
    def error(self) -> str:
        """Why it was tried again."""
        return "no response" if self.status is None else f"status {self.status}"


_seen: ContextVar[dict[str, Attempt] | None] = ContextVar("setpoint_attempts", default=None)


@contextmanager
def seen(attempts: dict[str, Attempt]) -> Generator[None]:
    """Note the attempts of the request that is sent inside, by how often it had been tried before."""
    token = _seen.set(attempts)
    try:
        yield
    finally:
        _seen.reset(token)


def watch(client: object) -> None:
    """Have a client's HTTP client tell of each attempt; outside of `seen` that does nothing.

    Event hooks are there for this. An HTTP client without them tells nothing: then a request has one attempt.
    """
    http = cast("Any", getattr(client, "_client", None))
    hooks = cast("dict[str, list[object]]", getattr(http, "event_hooks", None))
    if not isinstance(hooks, dict):  # pyright: ignore[reportUnnecessaryIsInstance] — of whatever client it is
        return
    is_async = inspect.iscoroutinefunction(http.send)
    told = {"request": _sent_async if is_async else _sent, "response": _answered_async if is_async else _answered}
    # Its copies share the HTTP client, which may be the application's own: one hook each is enough.
    if told["request"] not in hooks["request"]:
        http.event_hooks = {name: [*hooks[name], hook] for name, hook in told.items()}


def _sent(request: _Message) -> None:
    attempts, retries = _seen.get(), request.headers.get(_RETRIES)
    if attempts is not None and retries is not None:  # a redirect sends it once more: it is the same attempt
        attempts.setdefault(retries, Attempt(time.perf_counter()))


def _answered(response: _Reply) -> None:
    attempts = _seen.get()
    attempt = None if attempts is None else attempts.get(response.request.headers.get(_RETRIES, ""))
    if attempt is not None:
        attempt.seconds, attempt.status = time.perf_counter() - attempt.started, response.status_code


async def _sent_async(request: _Message) -> None:
    _sent(request)


async def _answered_async(response: _Reply) -> None:
    _answered(response)
