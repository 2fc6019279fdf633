"""A clock that tells what it is told."""

from __future__ import annotations

from datetime import datetime

from setpoint.core.clock import MICROS, micros


class FakeClock:
    """A clock that stands until it is moved.

    Example:
        >>> from datetime import UTC
        >>> clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
        >>> clock.advance(seconds=90)
        >>> clock.now() - FakeClock(datetime(2026, 1, 1, tzinfo=UTC)).now()
        90000000
    """

    def __init__(self, moment: datetime) -> None:
        """Start at a time with a zone."""
        self._now = micros(moment)

    def now(self) -> int:
        """Return the time it stands at, microseconds."""
        return self._now

    def advance(self, *, seconds: float) -> None:
        """Move on; a negative step moves back, as a bad clock would."""
        self._now += round(seconds * MICROS)
