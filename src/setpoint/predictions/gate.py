"""Whether a version may be asked now: its breaker, the requests it has at once, what it cost within the hour.

All of it is of one process. So a cap lets through at most so many times as much as there are processes, and of money
what is under way when it is reached besides.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from setpoint.core.route_plan import Limits

HOUR_SECONDS = 3600.0
_STEP_SECONDS = 60.0
_FIRST_RETRIES = 10.0


class Entry(NamedTuple):
    """Whether a request may ask. Each is one of its own: of a breaker that is open one is the trial.

    Attributes:
        refused: Why not; empty when it is let in.
    """

    refused: str = ""


IN = Entry()


class Gate:
    """What one version is allowed in this process.

    Attributes:
        failures: Requests in a row that were not answered, up to the last one.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.forget_parent()

    def forget_parent(self) -> None:
        """Start afresh in a forked child: what is under way in the parent is not under way here."""
        self._lock = threading.Lock()
        self._open_until: float | None = None
        self._trial: Entry | None = None
        self.failures = 0
        self._running = 0
        self._spent: deque[tuple[float, float]] = deque()

    def enter(self, limits: Limits) -> Entry:
        """Let a request in, or say why not; who is let in must `leave`.

        Args:
            limits: Of the plan in force.
        """
        if not self.failures and limits.is_uncapped:
            return IN  # nothing to count: the usual case takes no lock
        with self._lock:
            if self._open_until is not None and (self._trial is not None or self._clock() < self._open_until):
                return Entry("breaker open")
            entry = Entry(self._over(limits))
            if entry.refused:
                return entry
            if self._open_until is not None:
                self._trial = entry
            self._running += limits.concurrent is not None
        return entry

    def _over(self, limits: Limits) -> str:
        if limits.concurrent is not None and self._running >= limits.concurrent:
            return "too many at once"
        if limits.usd_per_hour is not None and self.spent_usd >= limits.usd_per_hour:
            return "cost cap reached"
        return ""

    def leave(self, limits: Limits, entry: Entry = IN, *, failed: bool | None, usd: float = 0.0) -> None:
        """Say how a request ended.

        Args:
            limits: Of the plan in force.
            entry: How it was let in: who came before a breaker opened ends no trial.
            failed: Whether the version could not answer; None when the caller left before that was known.
            usd: What it cost, as far as that is known.
        """
        if not failed and not self.failures and limits.is_uncapped and entry is not self._trial:
            return
        with self._lock:
            self._running -= limits.concurrent is not None
            if entry is self._trial:
                self._trial = None
            if usd:
                self._spend(usd)
            if failed is None:
                return
            if not failed:
                self.failures, self._open_until, self._trial = 0, None, None
                return
            self.failures += 1
            if limits.breaker_failures and self.failures >= limits.breaker_failures:
                self._open_until = self._clock() + limits.breaker_seconds

    def admits_copy(self, limits: Limits) -> bool:
        """Let a copy of a request in, unless a cap is reached; what is let in must `end_copy`.

        The breaker is of requests alone: that copies fail is what they are sent to find out.
        """
        if limits.is_uncapped:
            return True
        with self._lock:
            is_in = not self._over(limits)
            self._running += is_in and limits.concurrent is not None
        return is_in

    def end_copy(self, limits: Limits, usd: float) -> None:
        """Say that a copy has ended, and what it cost as far as that is known."""
        if limits.is_uncapped:
            return
        with self._lock:
            self._running -= limits.concurrent is not None
            if usd:
                self._spend(usd)

    def spend(self, usd: float) -> None:
        """Count a cost that was known only after the request had ended."""
        with self._lock:
            self._spend(usd)

    @property
    def spent_usd(self) -> float:
        """Known cost of the last hour."""
        oldest = self._clock() - HOUR_SECONDS
        while self._spent and self._spent[0][0] <= oldest:
            self._spent.popleft()
        return sum(usd for _, usd in self._spent)

    def _spend(self, usd: float) -> None:
        step = self._clock() // _STEP_SECONDS * _STEP_SECONDS + _STEP_SECONDS  # by its end: never let go too early
        if self._spent and self._spent[-1][0] == step:
            usd += self._spent.pop()[1]
        self._spent.append((step, usd))


class RetryBudget:
    """Retries as a share of requests, so that a failing version is not asked ever more.

    Example:
        >>> budget = RetryBudget()
        >>> sum(budget.take() for _ in range(100))
        10
        >>> for _ in range(50):
        ...     budget.earn(0.1)
        >>> sum(budget.take() for _ in range(100))
        5
    """

    def __init__(self) -> None:
        self._left = _FIRST_RETRIES

    def earn(self, ratio: float) -> None:
        """Count a request."""
        self._left = min(self._left + ratio, _FIRST_RETRIES)

    def take(self) -> bool:
        """Return whether one more retry is within the budget."""
        if self._left < 1.0 - _ROUNDING:
            return False
        self._left -= 1.0
        return True


_ROUNDING = 1e-9
