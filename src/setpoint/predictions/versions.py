"""The versions behind an endpoint: asks one of them, in the caller's own thread or on others."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Protocol, TypeAlias, Unpack, cast

from setpoint.core.errors import UsageError
from setpoint.predictions.batches import Answer, TakesMany
from setpoint.predictions.details import RequestDetails
from setpoint.predictions.reply import PLAIN, Reply
from setpoint.predictions.request import Request
from setpoint.predictions.rows import Value
from setpoint.predictions.streams import Pieces, pieces_of
from setpoint.predictions.threads import Late, Threads

Inputs = Mapping[str, Value]


class Inner(Protocol):
    """An endpoint that is asked as a version of another one."""

    def predict(self, inputs: Inputs, **details: Unpack[RequestDetails]) -> Reply:
        """Return an answer."""
        ...

    async def predict_async(self, inputs: Inputs, **details: Unpack[RequestDetails]) -> Reply:
        """Return an answer."""
        ...

    def stream(self, inputs: Inputs, **details: Unpack[RequestDetails]) -> Iterator[str]:
        """Return an answer in pieces."""
        ...


Version: TypeAlias = Callable[[Inputs], object] | Inner
"""Anything that takes inputs by name and gives an answer, a `Reply`, or an awaitable of one; or another endpoint."""


class Versions:
    """All that an endpoint may ask.

    Attributes:
        together: Those that are asked for several rows at once; an endpoint is not, as each row has its own unit.

    Args:
        versions: By name.
        is_score: Whether plain numbers are scores rather than predictions.
        late: Told of what a version gave when nobody waited for it any more, after the request and the version.
    """

    def __init__(
        self,
        versions: Mapping[str, Version],
        *,
        is_score: bool,
        late: Callable[[str, str, Future[object]], None],
    ) -> None:
        self._functions = {name: one for name, one in versions.items() if callable(one)}
        self._inner = {name: one for name, one in versions.items() if not callable(one)}
        self._threads = {name: Threads() for name in versions}
        self._is_async = {name: _is_async(one) for name, one in self._functions.items()}
        self._is_score = is_score
        self._late = late
        self.together = [name for name, one in self._functions.items() if hasattr(one, "predict_many")]

    def forget_parent(self) -> None:
        """Start afresh in a forked child."""
        for threads in self._threads.values():
            threads.forget_parent()

    def is_async(self, version: str) -> bool:
        """Return whether a version has to be awaited, or can be."""
        return version in self._inner or self._is_async[version]

    def ask(self, request: Request, version: str, inputs: Inputs, timeout_seconds: float | None) -> Reply:
        """Return what a version answers.

        Raises:
            Exception: What it raised.
            TimeoutError: It did not answer in time.
            UsageError: It has to be awaited.
        """
        inputs = _own(inputs)
        function = self._predict(request, version) if version in self._inner else self._functions[version]
        if timeout_seconds is None:
            result = function(inputs)
        else:
            work, late = partial(function, inputs), self._told_late(request, version)
            result = self._threads[version].result(work, timeout_seconds, late)
        if type(result) in PLAIN and not self._is_score:  # most of them: nothing to look at
            return Reply(result)  # pyright: ignore[reportArgumentType] — one of those
        _refuse_coroutine(version, result)
        return self._reply(result)

    async def ask_async(self, request: Request, version: str, inputs: Inputs, timeout_seconds: float | None) -> Reply:
        """Return what a version answers, as `ask`; one that is no coroutine function runs in a thread."""
        inputs = _own(inputs)
        if version in self._inner:
            told: object = self._inner[version].predict_async(inputs, **request.passed_on())
        elif self._is_async[version]:
            told = self._functions[version](inputs)
        else:
            begun = self._threads[version].begin(partial(self._functions[version], inputs))
            try:
                return self._reply(await asyncio.wait_for(asyncio.wrap_future(begun), timeout_seconds))
            except (TimeoutError, asyncio.CancelledError):
                if not begun.done():
                    begun.add_done_callback(self._told_late(request, version))
                raise
        return self._reply(await asyncio.wait_for(cast("asyncio.Future[object]", told), timeout_seconds))

    def ask_many(self, version: str, rows: Sequence[Inputs], timeout_seconds: float | None) -> list[Answer]:
        """Return what one of `together` answers to each row, or an error in its place."""
        ask = partial(cast("TakesMany", self._functions[version]).predict_many, [_own(row) for row in rows])
        found = ask() if timeout_seconds is None else self._threads[version].result(ask, timeout_seconds)
        return [one if isinstance(one, Exception) else self._reply(one) for one in cast("Iterable[object]", found)]

    def begin(self, request: Request, version: str, inputs: Inputs, timeout_seconds: float | None) -> Pieces:
        """Return the pieces of a version's answer, each of which is waited for no longer than a timeout."""
        if version in self._inner:
            return pieces_of(self._inner[version].stream(inputs, **request.passed_on()), next)
        pull = next if timeout_seconds is None else partial(self._pull, version, timeout_seconds)
        function = self._functions[version]
        result = getattr(function, "stream", function)(_own(inputs))
        _refuse_coroutine(version, result)
        return pieces_of(result, pull, is_score=self._is_score)

    def _pull(self, version: str, timeout_seconds: float, coming: Iterator[object]) -> object:
        return self._threads[version].result(partial(next, coming), timeout_seconds)

    def _predict(self, request: Request, version: str) -> Callable[[Inputs], Reply]:
        return partial(self._inner[version].predict, **request.passed_on())

    def _reply(self, result: object) -> Reply:
        return Reply.of(result, is_score=self._is_score)

    def _told_late(self, request: Request, version: str) -> Late:
        return partial(self._late, request.prediction_id, version)


def _refuse_coroutine(version: str, result: object) -> None:
    if inspect.iscoroutine(result):
        result.close()
        msg = f"version {version} is asynchronous"
        raise UsageError(msg, hint="await endpoint.predict_async(...)")


def _own(inputs: Inputs) -> Inputs:
    """Return inputs that a version may change: who is asked after it gets them, and they are recorded, as they came."""
    return cast("dict[str, Value]", inputs).copy() if type(inputs) is dict else inputs


def _is_async(version: Callable[[Inputs], object]) -> bool:
    return inspect.iscoroutinefunction(version) or inspect.iscoroutinefunction(type(version).__call__)
