"""The versions behind an endpoint: asks one of them, in the caller's own thread or on others."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeAlias, TypeVar, Unpack, cast

from setpoint.core.errors import UsageError
from setpoint.predictions.at_once import at_once
from setpoint.predictions.batches import Answer, TakesMany
from setpoint.predictions.details import RequestDetails
from setpoint.predictions.late import LateBills
from setpoint.predictions.reply import PLAIN, Reply
from setpoint.predictions.request import Request
from setpoint.predictions.rows import Value
from setpoint.predictions.streams import AsyncStream, Coming
from setpoint.predictions.threads import Threads

Inputs = Mapping[str, Value]
Given = TypeVar("Given")


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

    def stream_async(self, inputs: Inputs, **details: Unpack[RequestDetails]) -> AsyncIterator[str]:
        """Return an answer in pieces."""
        ...


Version: TypeAlias = Callable[[Inputs], object] | Inner
"""Anything that takes inputs by name and gives an answer, a `Reply`, or an awaitable of one; or another endpoint."""


def _nothing() -> None:
    pass


class Versions:
    """All that an endpoint may ask.

    Attributes:
        functions: Those that are functions, by name; the others are endpoints.
        is_score: Whether plain numbers are scores rather than predictions.
        together: Those that are asked for several rows at once; an endpoint is not, as each row has its own unit.

    Args:
        versions: By name.
        is_score: Whether plain numbers are scores rather than predictions.
        late: Told of answers that nobody waits for any more.
    """

    def __init__(
        self,
        versions: Mapping[str, Version],
        *,
        is_score: bool,
        late: LateBills,
    ) -> None:
        self.functions = {name: one for name, one in versions.items() if callable(one)}
        self._inner = {name: one for name, one in versions.items() if not callable(one)}
        self._threads = {name: Threads() for name in versions}
        self._is_async = {name: _is_async(one) for name, one in self.functions.items()}
        self.is_score = is_score
        self._late = late
        self.together = [name for name, one in self.functions.items() if hasattr(one, "predict_many")]

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
        function = self._predict(request, version) if version in self._inner else self.functions[version]
        if timeout_seconds is not None:
            work = partial(self._asked, version, function, inputs)
            return self._in_time(work, (request,), version, timeout_seconds)
        return self.read(version, function(inputs))

    def read(self, version: str, result: object) -> Reply:
        """Return a version's result as a reply.

        Raises:
            UsageError: It has to be awaited.
        """
        if type(result) in PLAIN and not self.is_score:  # most of them: nothing to look at
            return Reply(result)  # pyright: ignore[reportArgumentType] — one of those
        _refuse_asynchronous(version, result)
        return self._reply(result)

    async def ask_async(self, request: Request, version: str, inputs: Inputs, timeout_seconds: float | None) -> Reply:
        """Return what a version answers, as `ask`; one that is no coroutine function runs in a thread."""
        inputs = _own(inputs)
        if version in self._inner:
            told: object = self._inner[version].predict_async(inputs, **request.passed_on())
        elif self._is_async[version]:
            told = self.functions[version](inputs)
        else:
            given = await self._in_thread(partial(self._begun, version, inputs), (request,), version, timeout_seconds)
            if isinstance(given, Reply):
                return given
            told = given
        told = _joined(cast("AsyncIterator[object]", told)) if inspect.isasyncgen(told) else told
        return self._reply(await self._awaited(told, (request,), version, timeout_seconds))

    def ask_many(
        self, requests: Sequence[Request], version: str, rows: Sequence[Inputs], timeout_seconds: float | None
    ) -> list[Answer]:
        """Return what one of `together` answers to each row, or an error in its place."""
        work = partial(self._answers, version, self._for_many(version, rows))
        return work() if timeout_seconds is None else self._in_time(work, requests, version, timeout_seconds)

    async def ask_many_async(
        self, requests: Sequence[Request], version: str, rows: Sequence[Inputs], timeout_seconds: float | None
    ) -> list[Answer]:
        """Return the same, awaited."""
        ask = self._for_many(version, rows)
        if inspect.iscoroutinefunction(ask.func):
            return self._each(await self._awaited(ask(), requests, version, timeout_seconds))
        work = partial(self._answers, version, ask)
        return await self._in_thread(work, requests, version, timeout_seconds)

    def begin(self, request: Request, version: str, inputs: Inputs, timeout_seconds: float | None) -> object:
        """Return an iterator over the pieces of a version's answer, or the reply where it comes whole."""
        if version in self._inner:
            return self._inner[version].stream(inputs, **request.passed_on())
        begin = partial(self._given, version, self._in_pieces(version, inputs))
        return begin() if timeout_seconds is None else self._in_time(begin, (request,), version, timeout_seconds)

    async def begin_async(
        self, request: Request, version: str, inputs: Inputs, timeout_seconds: float | None
    ) -> object:
        """Return the same, awaited; the iterator may be asynchronous."""
        if version in self._inner:
            return self._inner[version].stream_async(inputs, **request.passed_on())
        begin = self._in_pieces(version, inputs)
        if any(is_quick(begin.func) for is_quick in _BEGIN_AT_ONCE):
            given = begin()
            if inspect.isawaitable(given):
                given = await self._awaited(given, (request,), version, timeout_seconds)
            return self._in_whole(given)
        work = partial(self._given, version, begin)
        return await self._in_thread(work, (request,), version, timeout_seconds)

    def pull(self, request: Request, version: str, coming: Coming, timeout_seconds: float | None) -> str | Reply:
        """Return the next piece of an answer, or its reply after the last one."""
        pull = partial(_pulled, cast("Iterator[object]", coming))
        if timeout_seconds is None or version in self._inner:
            return pull()
        return self._in_time(pull, (request,), version, timeout_seconds, end=partial(close, coming))

    async def pull_async(
        self, request: Request, version: str, coming: Coming, timeout_seconds: float | None
    ) -> str | Reply:
        """Return the same, awaited; an iterator that is not asynchronous goes on in a thread."""
        if isinstance(coming, AsyncStream):
            return await _pulled_async(coming)  # it has timeouts of its own
        if isinstance(coming, AsyncIterator):
            return cast("str | Reply", await self._awaited(_pulled_async(coming), (request,), version, timeout_seconds))
        pull, end = partial(_pulled, coming), partial(close, coming)
        return await self._in_thread(pull, (request,), version, timeout_seconds, end=end)

    def _in_pieces(self, version: str, inputs: Inputs) -> partial[object]:
        function = self.functions[version]
        return partial(cast("Callable[[Inputs], object]", getattr(function, "stream", function)), _own(inputs))

    def _for_many(self, version: str, rows: Sequence[Inputs]) -> partial[object]:
        return partial(cast("TakesMany", self.functions[version]).predict_many, [_own(row) for row in rows])

    def _answers(self, version: str, ask: Callable[[], object]) -> list[Answer]:
        found = ask()
        _refuse_asynchronous(version, found)
        return self._each(found)

    def _each(self, found: object) -> list[Answer]:
        return [one if isinstance(one, Exception) else self._reply(one) for one in cast("Iterable[object]", found)]

    def _asked(self, version: str, function: Callable[[Inputs], object], inputs: Inputs) -> Reply:
        return self.read(version, function(inputs))

    def _begun(self, version: str, inputs: Inputs) -> object:
        """Return what a function answers, or what of it is to be awaited where a loop runs."""
        result = self.functions[version](inputs)
        return result if inspect.isawaitable(result) or inspect.isasyncgen(result) else self.read(version, result)

    def _in_time(
        self,
        work: Callable[[], Given],
        requests: Sequence[Request],
        version: str,
        timeout_seconds: float,
        *,
        end: Callable[[], None] = _nothing,
    ) -> Given:
        """Return what work gives on another thread; what is billed for it too late is recorded."""
        late = partial(self._leave, requests, version, end)
        return cast("Given", self._threads[version].result(work, timeout_seconds, late))

    async def _in_thread(
        self,
        work: Callable[[], Given],
        requests: Sequence[Request],
        version: str,
        timeout_seconds: float | None,
        *,
        end: Callable[[], None] = _nothing,
    ) -> Given:
        """Return the same, awaited."""
        begun = self._threads[version].begin(work)
        try:
            return cast("Given", await asyncio.wait_for(asyncio.wrap_future(begun), timeout_seconds))
        except (TimeoutError, asyncio.CancelledError) as error:
            if not begun.done():
                self._leave(requests, version, end, begun)
                error.calls = ()  # pyright: ignore[reportAttributeAccessIssue] — its bill comes later
            raise

    async def _awaited(
        self, told: object, requests: Sequence[Request], version: str, timeout_seconds: float | None
    ) -> object:
        """Return what a coroutine gives; one that is cancelled never says what it was billed."""
        try:
            return await asyncio.wait_for(cast("asyncio.Future[object]", told), timeout_seconds)
        except (TimeoutError, asyncio.CancelledError) as error:
            if not hasattr(error, "calls"):
                self._late.lose(_rows_of(requests), version)
                error.calls = ()  # pyright: ignore[reportAttributeAccessIssue] — as above
            raise

    def _leave(self, requests: Sequence[Request], version: str, end: Callable[[], None], found: Future[object]) -> None:
        self._late.expect(_rows_of(requests), version, found, end)

    def _predict(self, request: Request, version: str) -> Callable[[Inputs], Reply]:
        return partial(self._inner[version].predict, **request.passed_on())

    def _reply(self, result: object) -> Reply:
        return Reply.of(result, is_score=self.is_score)

    def _given(self, version: str, begin: Callable[[], object]) -> object:
        given = begin()
        _refuse_asynchronous(version, given)
        return self._in_whole(given)

    def _in_whole(self, given: object) -> object:
        """Return an iterator over pieces as it is, and anything else as a reply."""
        return cast("object", given) if isinstance(given, Iterator | AsyncIterator) else self._reply(given)


def _rows_of(requests: Sequence[Request]) -> list[str]:
    """Return the rows that a late bill for requests belongs to."""
    return [one.billed_to or one.prediction_id for one in requests]


def _refuse_asynchronous(version: str, result: object) -> None:
    """Refuse what has to be awaited where nobody can."""
    if inspect.iscoroutine(result):
        result.close()
    elif not inspect.isasyncgen(result):
        return
    msg = f"version {version} is asynchronous"
    raise UsageError(msg, hint="await endpoint.predict_async(...), predict_many_async(...) or stream_async(...)")


def _pulled(coming: Iterator[object]) -> str | Reply:
    try:
        return str(next(coming))
    except StopIteration as stop:
        return Reply.of(stop.value)


async def _pulled_async(coming: AsyncIterator[object]) -> str | Reply:
    """Return the next piece; as an asynchronous generator returns nothing, its reply may be what it yields last."""
    try:
        piece = await anext(coming)
    except StopAsyncIteration:
        return Reply.of(coming.reply if isinstance(coming, AsyncStream) else None)
    return Reply.of(piece) if isinstance(piece, Reply) else str(piece)


async def _joined(coming: AsyncIterator[object]) -> Reply:
    """Return the whole of an answer that comes in pieces."""
    passed: list[str] = []
    while isinstance(piece := await _pulled_async(coming), str):
        passed.append(piece)
    return piece.with_text(passed)


def close(coming: Coming) -> None:
    """Tell an iterator that no more of it is wanted."""
    with suppress(ValueError):  # one that hangs on another thread cannot be closed from here
        getattr(coming, "close", bool)()


async def close_async(coming: Coming) -> None:
    """Tell the same, awaited."""
    if isinstance(coming, AsyncIterator):
        await getattr(coming, "aclose", at_once(bool))()
    else:
        close(coming)


def _own(inputs: Inputs) -> Inputs:
    """Return inputs that a version may change: who is asked after it gets them, and they are recorded, as they came."""
    return cast("dict[str, Value]", inputs).copy() if type(inputs) is dict else inputs


def _is_async(version: Callable[[Inputs], object]) -> bool:
    functions = version, type(version).__call__
    return any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in functions)


_BEGIN_AT_ONCE = inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction
"""Functions that compute nothing yet when they are called: no thread is needed for that."""
