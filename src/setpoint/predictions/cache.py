"""A version that remembers its answers: a hit is a prediction like any other, with a line of its own in the bill."""

from __future__ import annotations

import inspect
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import TypeVar, cast

import msgspec

from setpoint.core.errors import UsageError
from setpoint.core.events import CACHE
from setpoint.predictions.reply import Reply
from setpoint.predictions.rows import Value

Asked = TypeVar("Asked", bound=Callable[[Mapping[str, Value]], object])


def cached(version: Asked, *, seconds: float, entries: int = 10_000, is_score: bool = False) -> Asked:
    """Return a version that gives the answer it gave before to the same inputs.

    A hit is recorded as a prediction, with a call of the purpose `cache` that costs nothing. What the version raises
    is not remembered, nor are inputs that cannot be compared, such as lists. Each process has its own memory. Two
    requests at once may both ask the version.

    Args:
        version: A function of the inputs, or a coroutine function.
        seconds: How long an answer holds.
        entries: Answers that are remembered at most; the one that was not asked for the longest goes first.
        is_score: Whether plain numbers are scores rather than predictions.

    Raises:
        UsageError: It is to hold for no time, or to remember nothing.

    Example:
        >>> asked = []
        >>> answer = cached(lambda inputs: asked.append(inputs) or len(asked), seconds=60)
        >>> [answer({"x": x}).prediction for x in (1.0, 2.0, 1.0)], len(asked)
        ([1, 2, 1], 2)
    """
    if seconds <= 0 or entries < 1:
        msg = f"a cache of {entries} answers that hold for {seconds:g} s"
        raise UsageError(msg, hint="give both more than nothing: cached(version, seconds=60)")
    memory = _Memory(seconds, entries)

    def answer(inputs: Mapping[str, Value]) -> Reply:
        return memory.get(inputs) or memory.put(inputs, Reply.of(version(inputs), is_score=is_score))

    async def answer_async(inputs: Mapping[str, Value]) -> Reply:
        known = memory.get(inputs)
        if known is not None:
            return known
        told = await cast("Awaitable[object]", version(inputs))
        return memory.put(inputs, Reply.of(told, is_score=is_score))

    is_async = inspect.iscoroutinefunction(version) or inspect.iscoroutinefunction(type(version).__call__)
    return cast("Asked", answer_async if is_async else answer)


class _Memory:
    def __init__(self, seconds: float, entries: int) -> None:
        self._seconds, self._entries = seconds, entries
        self._kept: OrderedDict[Hashable, tuple[float, Reply]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, inputs: Mapping[str, Value]) -> Reply | None:
        """Return a copy of what was answered, as a hit; None when that is not known any more."""
        try:
            key = frozenset(inputs.items())
            with self._lock:
                until, reply = self._kept[key]
                if until <= time.monotonic():
                    del self._kept[key]
                    return None
                self._kept.move_to_end(key)
        except (KeyError, TypeError):  # not known, or not to be compared
            return None
        return msgspec.structs.replace(reply, calls=[{"purpose": CACHE, "cost_nano_usd": 0}], upstream_seconds=None)

    def put(self, inputs: Mapping[str, Value], reply: Reply) -> Reply:
        """Remember an answer, and return it."""
        try:
            key = frozenset(inputs.items())
        except TypeError:
            return reply
        with self._lock:
            self._kept[key] = time.monotonic() + self._seconds, reply
            self._kept.move_to_end(key)
            while len(self._kept) > self._entries:
                self._kept.popitem(last=False)
        return msgspec.structs.replace(reply)
