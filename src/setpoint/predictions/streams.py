"""Answers that come in pieces: another version may still answer before the first piece, and none after it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from types import TracebackType, coroutine
from typing import Any, Self, TypeAlias, cast

from setpoint.predictions.reply import Reply
from setpoint.predictions.request import Request
from setpoint.predictions.rows import Value
from setpoint.predictions.turns import Asking, Attempt, Turns

Inputs = Mapping[str, Value]
Coming: TypeAlias = Iterator[object] | AsyncIterator[object]
Pieces: TypeAlias = Generator[object, Any, Reply]
"""Yields pieces, and between them what a coroutine waits for; nothing of that where the caller's thread waits."""


class _InPieces:
    """An answer that comes in pieces, however these are waited for."""

    def __init__(self, prediction_id: str, pieces: Pieces) -> None:
        self.prediction_id = prediction_id
        self.reply: Reply | None = None
        self._pieces = pieces


class Stream(_InPieces, Iterator[str]):
    """An answer in pieces. Close it, or use it in a `with` block, when you stop before its end.

    Attributes:
        prediction_id: Under which it is recorded; outcomes can name it.
        reply: The whole answer; None before its end.
    """

    def __next__(self) -> str:
        """Return the next piece."""
        try:
            return cast("str", next(self._pieces))
        except StopIteration as stop:
            self.reply = self.reply or cast("Reply | None", stop.value)
            raise StopIteration(self.reply) from None

    def close(self) -> None:
        """Stop: what came so far is recorded, with the error `CancelledError`."""
        self._pieces.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


class AsyncStream(_InPieces, AsyncIterator[str]):
    """An answer in pieces, for coroutines. Close it, or use it in an `async with`, when you stop before its end.

    Attributes:
        prediction_id: Under which it is recorded; outcomes can name it.
        reply: The whole answer; None before its end.
    """

    async def __anext__(self) -> str:
        """Return the next piece."""
        found = await _next(self._pieces)
        if isinstance(found, str):
            return found
        self.reply = self.reply or found
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop: what came so far is recorded, with the error `CancelledError`."""
        with suppress(GeneratorExit):  # it had not begun
            await _next(self._pieces, GeneratorExit())

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        await self.aclose()


@coroutine
def _next(pieces: Pieces, error: BaseException | None = None) -> Generator[object, object, str | Reply | None]:
    """Return the next piece, or the reply after the last one; until then pass on what is waited for.

    Args:
        pieces: From where.
        error: Raised inside, before that.
    """
    step = partial(next, pieces) if error is None else partial(pieces.throw, error)
    while True:
        try:
            found = step()
        except StopIteration as stop:
            return cast("Reply | None", stop.value)
        if isinstance(found, str):
            return found
        try:
            told = yield found
        except BaseException as raised:  # it is the version's turn that is cancelled
            step = partial(pieces.throw, raised)
        else:
            step = partial(pieces.send, told)


class Streams:
    """Takes requests through their turns, and passes on the pieces of the version whose turn it is.

    Args:
        turns: Whose turn it is in a request.
        begin: Asks a version for pieces: gives an iterator of them, or the whole answer.
        pull: Gives the next piece of an iterator, or the reply after the last one.
        close: Tells an iterator that no more is wanted.
        ask: Asks a version for the whole.
        told: Records a request; returns its reply, or raises the error of its last attempt.
    """

    def __init__(
        self,
        turns: Turns,
        *,
        begin: Callable[[Request, str, Inputs, float | None], Awaitable[object]],
        pull: Callable[[Request, str, Coming, float | None], Awaitable[str | Reply]],
        close: Callable[[Coming], Awaitable[None]],
        ask: Callable[[Request, str, Inputs, float | None], Awaitable[Reply]],
        told: Callable[[Request, Inputs, Attempt, Sequence[Attempt]], Reply],
    ) -> None:
        self._turns, self._ask, self._told = turns, ask, told
        self._begin, self._pull, self._close = begin, pull, close

    def pieces(self, request: Request, inputs: Inputs) -> Pieces:
        """Yield the pieces of an answer, and record it at its end, whichever that is.

        A cascade's cheap version is asked for the whole: only then it is known whether its answer will do.
        """
        route, timeout_seconds = request.plan.route, request.plan.route.limits.timeout_seconds
        asking = self._turns.attempts(route, request.arm.version)
        asked: list[Attempt] = []
        turn = Attempt("")
        try:
            version = next(asking)
            while True:
                turn, began, passed = Attempt(version), time.perf_counter(), list[str]()
                asked.append(turn)
                try:
                    if route.cascade is not None and version == route.cascade.cheap:
                        turn.reply = yield from self._ask(request, version, inputs, timeout_seconds).__await__()
                    else:
                        given = yield from self._begin(request, version, inputs, timeout_seconds).__await__()
                        turn.reply = yield from self._passed_on(request, turn, given, passed)
                except BaseException as error:  # theirs, or the caller wants no more, or the process is to end
                    turn.error, turn.seconds = error, time.perf_counter() - began
                    if passed or not isinstance(error, Exception):
                        return self._broken_off(request, inputs, asked, asking, "".join(passed))
                    version = asking.throw(error)
                else:
                    version = asking.send(turn.reply)
        except StopIteration as stop:
            *stages, served = cast("list[Attempt]", stop.value)
        if served.version == turn.version:
            served.first_chunk_seconds = turn.first_chunk_seconds
        reply = self._told(request, inputs, served, stages)
        if turn.first_chunk_seconds is None and isinstance(reply.prediction, str):  # nobody has seen it yet
            yield reply.text if reply.text is not None else reply.prediction
        return reply

    def _passed_on(self, request: Request, turn: Attempt, given: object, passed: list[str]) -> Pieces:
        """Yield the pieces of what a version gave: an iterator's items, or the text of an answer that comes whole."""
        if not isinstance(given, Iterator | AsyncIterator):
            reply = cast("Reply", given)
            text = reply.text if reply.text is not None else reply.prediction
            if isinstance(text, str):
                yield _noted(text, request, turn, passed)
            return reply
        coming, timeout_seconds = cast("Coming", given), request.plan.route.limits.timeout_seconds
        try:
            while True:
                piece = yield from self._pull(request, turn.version, coming, timeout_seconds).__await__()
                if not isinstance(piece, str):
                    return piece.with_text(passed)
                yield _noted(piece, request, turn, passed)
        finally:
            try:
                yield from self._close(coming).__await__()
            except Exception as told:  # what is billed all the same
                turn.note(told)

    def _broken_off(
        self,
        request: Request,
        inputs: Inputs,
        asked: list[Attempt],
        asking: Asking[list[Attempt]],
        text: str,
    ) -> Reply:
        """Record an answer that ended too early; raise why, unless the caller left."""
        *stages, turn = asked
        error = cast("BaseException", turn.error)
        with suppress(StopIteration):
            if isinstance(error, Exception):
                asking.throw(error)  # the version is to blame; whose turn would be next gets none
        asking.close()
        turn.note(error)
        turn.reply = Reply(text=text)
        if not isinstance(error, GeneratorExit):
            return self._told(request, inputs, turn, stages)
        turn.error = CancelledError()
        with suppress(CancelledError):
            self._told(request, inputs, turn, stages)
        return turn.reply


def _noted(piece: str, request: Request, turn: Attempt, passed: list[str]) -> str:
    """Return a piece that is to be passed on, and note when the first one was."""
    if turn.first_chunk_seconds is None:
        turn.first_chunk_seconds = time.perf_counter() - request.started
    passed.append(piece)
    return piece
