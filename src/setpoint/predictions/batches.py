"""Many requests at once: a version that can is asked for all of its rows together, any other for one after another."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol, cast

import msgspec

from setpoint.core.errors import UsageError
from setpoint.predictions.reply import Reply
from setpoint.predictions.request import Request
from setpoint.predictions.rows import Value
from setpoint.predictions.turns import Asking, Attempt, Turns

_ENOUGH = 5
"""Rows in a row that a version fails when asked for each alone, after which it is not asked for the rest."""


class TakesMany(Protocol):
    """A version that can be asked for several rows at once."""

    def predict_many(self, rows: Sequence[Mapping[str, Value]], /) -> object:
        """Return an answer, or an error, for each row."""
        ...


Inputs = Mapping[str, Value]
Answer = Reply | Exception


class _Row(msgspec.Struct):
    """One request of a batch.

    Attributes:
        request: The request.
        inputs: Its inputs.
        asking: Whose turn it is.
        seconds: What it took each version, its share of what that took for all.
        reply: What became of it.
    """

    request: Request
    inputs: Inputs
    asking: Asking[list[Attempt]]
    seconds: dict[str, float] = {}
    reply: Reply = msgspec.field(default_factory=Reply)

    def tell(self, version: str, answer: Answer, seconds: float) -> str:
        """Say what a version answered; return which one is next."""
        self.seconds[version] = self.seconds.get(version, 0.0) + seconds
        return self.asking.throw(answer) if isinstance(answer, Exception) else self.asking.send(answer)


class Batches:
    """Takes the requests of a batch through their turns side by side.

    Args:
        turns: Whose turn it is in a request.
        together: The versions that can be asked for several rows at once.
        ask: Asks a version for one row.
        ask_many: Asks one of `together`; gives an answer, or an error, for each row.
        told: Records a request; returns its reply, or raises the error of its last attempt.
    """

    def __init__(
        self,
        turns: Turns,
        together: Iterable[str],
        *,
        ask: Callable[[Request, str, Inputs, float | None], Awaitable[Reply]],
        ask_many: Callable[[Sequence[Request], str, Sequence[Inputs], float | None], Awaitable[Sequence[Answer]]],
        told: Callable[[Request, Inputs, Attempt, Sequence[Attempt]], Reply],
    ) -> None:
        self._turns, self._together = turns, frozenset(together)
        self._ask, self._ask_many, self._told = ask, ask_many, told

    async def replies(self, requests: Iterable[tuple[Request, Inputs]]) -> list[Reply]:
        """Return a reply to each request, with its error where no version is left to ask."""
        rows: list[_Row] = []
        waiting: dict[str, list[_Row]] = {}
        for request, inputs in requests:
            row = _Row(request, inputs, self._turns.attempts(request.plan.route, request.arm.version))
            rows.append(row)
            await self._go_on(row, partial(next, row.asking), waiting)
        while waiting:
            version = next(iter(waiting))
            await self._go_together(version, waiting.pop(version), waiting)
        return [row.reply for row in rows]

    async def _go_on(self, row: _Row, step: Callable[[], str], waiting: dict[str, list[_Row]]) -> None:
        """Take a request to its end, or to a version that is asked for several: there it waits for others."""
        try:
            version = step()
            while version not in self._together:
                started = time.perf_counter()
                answer = await self._answer(row, version)
                version = row.tell(version, answer, time.perf_counter() - started)
        except StopIteration as stop:
            row.reply = self._end(row, cast("list[Attempt]", stop.value))
            return
        several = waiting.setdefault(version, [])
        several.append(row)
        limit = row.request.plan.route.limits.concurrent
        if limit is not None and len(several) >= limit:  # one more would be one too many at once
            await self._go_together(version, waiting.pop(version), waiting)

    async def _go_together(self, version: str, rows: list[_Row], waiting: dict[str, list[_Row]]) -> None:
        started = time.perf_counter()
        answers = await self._answers(version, rows)
        each = (time.perf_counter() - started) / len(rows)
        for row, answer in zip(rows, answers, strict=True):
            await self._go_on(row, partial(row.tell, version, answer, each), waiting)

    async def _answers(self, version: str, rows: list[_Row]) -> Sequence[Answer]:
        try:
            requests, inputs = [row.request for row in rows], [row.inputs for row in rows]
            answers = await self._ask_many(requests, version, inputs, _timeout(rows[0]))
        except Exception as error:  # theirs, and perhaps of one row
            return await self._alone(version, rows, error)
        if len(answers) == len(rows):
            return answers
        msg = f"version {version} gave {len(answers)} answers to {len(rows)} rows"
        return [UsageError(msg, hint="predict_many returns an answer for each row, in order")] * len(rows)

    async def _alone(self, version: str, rows: list[_Row], error: Exception) -> list[Answer]:
        """Ask for each row alone what failed for all of them, as long as that is of any use."""
        answers: list[Answer] = []
        failures = 0
        for row in rows:
            answer = await self._answer(row, version) if failures < _ENOUGH and len(rows) > 1 else error
            failures = failures + 1 if isinstance(answer, Exception) else 0
            answers.append(answer)
        return answers

    async def _answer(self, row: _Row, version: str) -> Answer:
        try:
            return await self._ask(row.request, version, row.inputs, _timeout(row))
        except Exception as error:  # theirs: it is told to the turns
            return error

    def _end(self, row: _Row, attempts: list[Attempt]) -> Reply:
        for one in attempts:
            one.seconds = row.seconds.get(one.version, one.seconds)  # without waiting for other rows
        *stages, served = attempts
        try:
            return self._told(row.request, row.inputs, served, stages)
        except Exception as error:  # theirs: other rows have their answer
            text = f"{type(error).__name__}: {error}"
            return Reply(version=served.version, prediction_id=row.request.prediction_id, error=text)


def _timeout(row: _Row) -> float | None:
    return row.request.plan.route.limits.timeout_seconds
