"""Answers that come in pieces: another version may still answer before the first piece, and none after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from types import TracebackType
from typing import Self, cast

from setpoint.predictions.reply import Reply
from setpoint.predictions.request import Request
from setpoint.predictions.rows import Value
from setpoint.predictions.turns import Asking, Attempt, Turns

Inputs = Mapping[str, Value]
Pieces = Generator[str, None, Reply]


class Stream(Iterator[str]):
    """An answer in pieces. Close it, or use it in a `with` block, when you stop before its end.

    Attributes:
        prediction_id: Under which it is recorded; outcomes can name it.
        reply: The whole answer; None before its end.
    """

    def __init__(self, prediction_id: str, pieces: Pieces) -> None:
        self.prediction_id = prediction_id
        self.reply: Reply | None = None
        self._pieces = pieces

    def __next__(self) -> str:
        """Return the next piece."""
        try:
            return next(self._pieces)
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


def pieces_of(result: object, pull: Callable[[Iterator[object]], object], *, is_score: bool = False) -> Pieces:
    """Yield the pieces of what a version gave: an iterator's items, or the text of an answer that comes whole.

    Args:
        result: What the version gave.
        pull: Gives the next item of an iterator, or raises StopIteration with the reply.
        is_score: Whether a plain number is the score, rather than the prediction.
    """
    if not isinstance(result, Iterator):
        reply = Reply.of(result, is_score=is_score)
        text = reply.text if reply.text is not None else reply.prediction
        if isinstance(text, str):
            yield text
        return reply
    coming, passed = cast("Iterator[object]", result), list[str]()
    try:
        while True:
            try:
                piece = str(pull(coming))
            except StopIteration as stop:
                return Reply.of(stop.value).with_text(passed)
            passed.append(piece)
            yield piece
    finally:
        with suppress(ValueError):  # one that hangs on another thread cannot be closed from here
            getattr(coming, "close", bool)()


class Streams:
    """Takes requests through their turns, and passes on the pieces of the version whose turn it is.

    Args:
        turns: Whose turn it is in a request.
        begin: Asks a version for pieces, each of which is waited for no longer than a timeout.
        ask: Asks a version for the whole.
        told: Records a request; returns its reply, or raises the error of its last attempt.
    """

    def __init__(
        self,
        turns: Turns,
        *,
        begin: Callable[[Request, str, Inputs, float | None], Pieces],
        ask: Callable[[Request, str, Inputs, float | None], Reply],
        told: Callable[[Request, Inputs, Attempt, Sequence[Attempt]], Reply],
    ) -> None:
        self._turns, self._begin, self._ask, self._told = turns, begin, ask, told

    def pieces(self, request: Request, inputs: Inputs) -> Pieces:
        """Yield the pieces of an answer, and record it at its end, whichever that is.

        A cascade's cheap version is asked for the whole: only then it is known whether its answer will do.
        """
        route = request.plan.route
        asking = self._turns.attempts(route, request.arm.version)
        asked: list[Attempt] = []
        turn = Attempt("")
        try:
            version = next(asking)
            while True:
                turn, began, passed = Attempt(version), time.perf_counter(), list[str]()
                asked.append(turn)
                coming: Pieces | None = None
                try:
                    if route.cascade is not None and version == route.cascade.cheap:
                        turn.reply = self._ask(request, version, inputs, route.limits.timeout_seconds)
                    else:
                        coming = self._begin(request, version, inputs, route.limits.timeout_seconds)
                        turn.reply = yield from _passing(coming, turn, passed, request.started)
                except BaseException as error:  # theirs, or the caller wants no more, or the process is to end
                    turn.error, turn.seconds = error, time.perf_counter() - began
                    if passed or not isinstance(error, Exception):
                        return self._broken_off(request, inputs, asked, asking, "".join(passed), coming)
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

    def _broken_off(
        self,
        request: Request,
        inputs: Inputs,
        asked: list[Attempt],
        asking: Asking[list[Attempt]],
        text: str,
        coming: Pieces | None,
    ) -> Reply:
        """Record an answer that ended too early; raise why, unless the caller left."""
        *stages, turn = asked
        error = cast("BaseException", turn.error)
        with suppress(StopIteration):
            if isinstance(error, Exception):
                asking.throw(error)  # the version is to blame; whose turn would be next gets none
        asking.close()
        turn.note(error)
        try:
            if coming is not None:
                coming.close()
        except Exception as told:  # what it is billed all the same
            turn.note(told)
        turn.reply = Reply(text=text)
        if not isinstance(error, GeneratorExit):
            return self._told(request, inputs, turn, stages)
        turn.error = CancelledError()
        with suppress(CancelledError):
            self._told(request, inputs, turn, stages)
        return turn.reply


def _passing(coming: Pieces, turn: Attempt, passed: list[str], started: float) -> Pieces:
    """Yield pieces, and note when the first came."""
    while True:
        try:
            piece = next(coming)
        except StopIteration as stop:
            return cast("Reply", stop.value)
        if turn.first_chunk_seconds is None:
            turn.first_chunk_seconds = time.perf_counter() - started
        passed.append(piece)
        yield piece
