"""A version that remembers its answers: a hit is a prediction like any other, with a line of its own in the bill."""

from __future__ import annotations

import inspect
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar, cast

import msgspec

from setpoint.core.errors import UsageError
from setpoint.core.events import CACHE
from setpoint.predictions.batches import TakesMany
from setpoint.predictions.forks import watch_forks
from setpoint.predictions.reply import Reply
from setpoint.predictions.rows import Value

Asked = TypeVar("Asked", bound=Callable[[Mapping[str, Value]], object])


def cached(version: Asked, *, seconds: float, entries: int = 10_000, is_score: bool = False) -> Asked:
    """Return a version that gives the answer it gave before to the same inputs.

    A hit is recorded as a prediction, with a call of the purpose `cache` that costs nothing. What the version raises
    is not remembered, nor what a function that is no coroutine function gives to be awaited, nor are inputs that cannot
    be compared, such as lists. Each process has its own memory. Two
    requests at once may both ask the version.

    Args:
        version: A function of the inputs, or a coroutine function; one with a `predict_many` is still asked for many.
        seconds: How long an answer holds.
        entries: Answers that are remembered at most; the one that was not asked for the longest goes first.
        is_score: Whether plain numbers are scores rather than predictions.

    Raises:
        UsageError: It is to hold for no time, or to remember nothing, or the version is an endpoint.

    Example:
        >>> asked = []
        >>> answer = cached(lambda inputs: asked.append(inputs) or len(asked), seconds=60)
        >>> [answer({"x": x}).prediction for x in (1.0, 2.0, 1.0)], len(asked)
        ([1, 2, 1], 2)
    """
    if seconds <= 0 or entries < 1:
        msg = f"a cache of {entries} answers that hold for {seconds:g} s"
        raise UsageError(msg, hint="give both more than nothing: cached(version, seconds=60)")
    if not callable(version):  # as an endpoint is not: its rows would not be recorded
        msg = f"a {type(version).__name__} is no function of the inputs, and cannot be cached"
        raise UsageError(msg, hint="cache the versions behind an endpoint, not the endpoint")
    is_async = inspect.iscoroutinefunction(version) or inspect.iscoroutinefunction(type(version).__call__)
    kind = _CachedAsync if is_async else _CachedBatches if hasattr(version, "predict_many") else _Cached
    return cast("Asked", kind(version, _Memory(seconds, entries), is_score=is_score))


class _Cached:
    def __init__(self, version: Callable[[Mapping[str, Value]], object], memory: _Memory, *, is_score: bool) -> None:
        self.version, self.memory, self.is_score = version, memory, is_score

    def __call__(self, inputs: Mapping[str, Value]) -> object:
        known, key = self.memory.get(inputs)
        if known is not None:
            return known
        told = self.version(inputs)
        if inspect.isawaitable(told) or inspect.isasyncgen(told):
            return told  # to be awaited by who asks
        return self.memory.put(key, Reply.of(told, is_score=self.is_score))


class _CachedAsync(_Cached):
    async def __call__(self, inputs: Mapping[str, Value]) -> object:
        known, key = self.memory.get(inputs)
        if known is not None:
            return known
        told = await cast("Awaitable[object]", self.version(inputs))
        return self.memory.put(key, Reply.of(told, is_score=self.is_score))


class _CachedBatches(_Cached):
    def predict_many(self, rows: Sequence[Mapping[str, Value]]) -> list[object]:
        """Return the known answers, and ask the version once for all of the others."""
        found = [self.memory.get(row) for row in rows]
        unknown = {place: rows[place] for place, (known, _) in enumerate(found) if known is None}
        asked = cast("TakesMany", self.version).predict_many([*unknown.values()]) if unknown else ()
        told = dict(zip(unknown, cast("Iterable[object]", asked), strict=True))
        return [known or self._put(key, told[place]) for place, (known, key) in enumerate(found)]

    def _put(self, key: Hashable, answer: object) -> object:
        if isinstance(answer, Exception):
            return answer
        return self.memory.put(key, Reply.of(answer, is_score=self.is_score))


class _Memory:
    def __init__(self, seconds: float, entries: int) -> None:
        self._seconds, self._entries = seconds, entries
        self._kept: OrderedDict[Hashable, tuple[float, Reply]] = OrderedDict()
        self.forget_parent()
        watch_forks(self)

    def forget_parent(self) -> None:
        """Start afresh in a forked child: a thread of the parent may hold the lock, and none here lets go of it."""
        self._lock = threading.Lock()

    def get(self, inputs: Mapping[str, Value]) -> tuple[Reply | None, Hashable]:
        """Return a copy of what was answered, as a hit, or None; and what to remember the answer by.

        Taken before the version is asked, as that may change its inputs; None for what cannot be compared.
        """
        try:
            key = frozenset((name, type(value), value) for name, value in inputs.items())  # True is not 1
            with self._lock:
                until, reply = self._kept.get(key, _NEVER)
                if until <= time.monotonic():
                    self._kept.pop(key, None)
                    return None, key
                self._kept.move_to_end(key)
        except TypeError:
            return None, None
        hit = msgspec.structs.replace(reply, calls=[{"purpose": CACHE, "cost_nano_usd": 0}], upstream_seconds=None)
        return hit, key

    def put(self, key: Hashable, reply: Reply) -> Reply:
        """Remember an answer, and return it."""
        if key is None:
            return reply
        with self._lock:
            self._kept[key] = time.monotonic() + self._seconds, reply
            self._kept.move_to_end(key)
            while len(self._kept) > self._entries:
                self._kept.popitem(last=False)
        return msgspec.structs.replace(reply)


_NEVER = (0.0, Reply())
