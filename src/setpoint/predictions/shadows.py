"""Runs what nobody waits for: copies of requests to versions in shadow, on threads of their own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

log = logging.getLogger("setpoint")

WORKERS, QUEUE = 2, 64
DEAD, REST_SECONDS = 20, 1.0
"""Copies that fail in a row after which a version is asked once in a while only: waking a thread costs its caller."""


class Shadows:
    """A few threads and a short queue for each version: what finds it full is dropped, and the caller never waits.

    Shadow work that hangs holds a thread; once all of a version do, its queue fills and the rest is dropped. Of a
    version that fails again and again most is dropped, too.
    """

    def __init__(self) -> None:
        self.forget_parent()

    def forget_parent(self) -> None:
        """Start afresh in a forked child."""
        self._lines: dict[str, Line] = {}

    def of(self, version: str) -> Line:
        """Return the queue of a version."""
        return self._lines.get(version) or self._lines.setdefault(version, Line())

    def wait(self, timeout: float = 10.0) -> bool:
        """Wait until nothing is queued or under way; False when that takes longer."""
        deadline = time.monotonic() + timeout
        return all(line.wait(max(deadline - time.monotonic(), 0.0)) for line in [*self._lines.values()])


class Line:
    """The queue of one version, and the threads that work it off."""

    def __init__(self, *, workers: int = WORKERS, queue: int = QUEUE, rest_seconds: float = REST_SECONDS) -> None:
        self._workers, self._limit, self._rest_seconds = workers, queue, rest_seconds
        # Written in C: to wake a thread by a semaphore of Python's costs the caller as much as the smallest model.
        self._waiting: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._failures, self._rests_until = 0, 0.0
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)

    def has_room(self, now: float) -> bool:
        """Return whether the queue takes more, and the version does not rest at a time of the performance counter."""
        if self._failures >= DEAD:  # one at a time, too
            return not self._busy and now >= self._rests_until
        return self._waiting.qsize() < self._limit

    def note(self, *, failed: bool) -> None:
        """Say what became of a copy."""
        self._failures = self._failures + 1 if failed else 0
        self._rests_until = time.perf_counter() + self._rest_seconds

    def submit(self, work: Callable[[], None]) -> bool:
        """Queue work; return whether there was room."""
        with self._lock:
            if not self.has_room(time.perf_counter()):
                return False
            self._busy += 1
            if len(self._threads) < min(self._workers, self._busy):
                self._threads.append(threading.Thread(target=self._run, name="setpoint-shadow", daemon=True))
                self._threads[-1].start()
        self._waiting.put(work)
        return True

    def wait(self, timeout: float = 10.0) -> bool:
        """Wait until nothing is queued or under way; False when that takes longer."""
        with self._idle:
            return self._idle.wait_for(lambda: self._busy == 0, timeout)

    def _run(self) -> None:
        while True:
            work = self._waiting.get()
            try:
                work()
            except BaseException:  # nobody asked for it: nobody is to fail for it, this thread neither
                log.exception("setpoint met an error of its own beside a prediction")
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()
