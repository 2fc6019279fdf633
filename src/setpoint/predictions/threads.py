"""Runs a version on other threads than the caller's: for coroutines, and where an answer is not waited for forever."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeAlias

LIMIT = 64
"""Threads of one version, at most: as many requests of it are under way, and the others wait for one of them."""

Late: TypeAlias = "Callable[[Future[object]], None]"


class Threads:
    """The threads of one version: what hangs holds one of its own, and none of another version.

    An idle one is used again, so that what a version keeps for each thread, such as a connection, is kept. None keeps
    the process from ending, as those of `ThreadPoolExecutor` do.
    """

    def __init__(self, *, limit: int = LIMIT) -> None:
        self._limit = limit
        self.forget_parent()

    def forget_parent(self) -> None:
        """Start afresh in a forked child, which has none of its parent's threads."""
        self._waiting: OrderedDict[Future[object], Callable[[], object]] = OrderedDict()
        self._ready = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._count = self._busy = 0

    def begin(self, work: Callable[[], object]) -> Future[object]:
        """Return what work will give; it is left out if that is cancelled before a thread is free."""
        found: Future[object] = Future()
        with self._lock:
            self._waiting[found] = work
            self._busy += 1
            is_new = self._count < min(self._busy, self._limit)
            self._count += is_new
        if is_new:
            threading.Thread(target=self._run, name="setpoint-version", daemon=True).start()
        self._ready.release()
        found.add_done_callback(self._forget)
        return found

    def result(self, work: Callable[[], object], timeout_seconds: float, late: Late | None = None) -> object:
        """Return what work gives.

        Args:
            work: What to do.
            timeout_seconds: How long it is waited for.
            late: Told when it is not waited for any more, though it goes on.

        Raises:
            TimeoutError: Not in time; if it was not begun, it never is.
        """
        found, is_done = self.begin(work), False
        try:
            is_done = bool(wait((found,), timeout_seconds).done)
        finally:
            if not is_done and not found.cancel() and late is not None:
                late(found)
        if not is_done:
            error = TimeoutError()
            error.calls = ()  # pyright: ignore[reportAttributeAccessIssue] — what it is billed comes later, if it does
            raise error
        return found.result()

    def _run(self) -> None:
        while True:
            self._ready.acquire()
            with self._lock:
                if not self._waiting:  # it was cancelled meanwhile
                    continue
                found, work = self._waiting.popitem(last=False)
            if found.set_running_or_notify_cancel():
                try:
                    result = work()
                except BaseException as error:  # noqa: BLE001 — it is raised where it is waited for
                    self._leave()
                    found.set_exception(_raisable(error))
                else:
                    self._leave()
                    found.set_result(result)
                    del result
            else:
                self._leave()
            del found, work  # an idle thread keeps nothing alive

    def _forget(self, found: Future[object]) -> None:
        """Keep nothing of what was cancelled before a thread was free: while all hang, that would be every request."""
        if found.cancelled():
            with self._lock:
                self._busy -= self._waiting.pop(found, None) is not None

    def _leave(self) -> None:
        with self._lock:
            self._busy -= 1


def _raisable(error: BaseException) -> BaseException:
    """Return an error as a future takes it: asyncio's refuse a `StopIteration`, and would be waited for forever."""
    if not isinstance(error, StopIteration):
        return error
    found = RuntimeError("a version raised StopIteration")  # as Python says of coroutines and generators
    found.__cause__ = error
    return found
