"""A half-open stretch of time, and how people name one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from setpoint.core.clock import DAY, HOUR, micros, moment, parse_duration, parse_time, text, time_zone
from setpoint.core.errors import TimeError
from setpoint.core.metric import counted

_LONGEST = 36_525 * DAY


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The time range `[start, end)` in microseconds since 1970, UTC.

    Example:
        >>> week = Window.parse("2013-07-01..2013-07-08", now=0)
        >>> week.text()
        '2013-07-01 00:00 – 2013-07-08 00:00'
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        """Refuse a window that ends before it starts."""
        if self.end < self.start:
            msg = f"the window ends before it starts: {self.text()}"
            raise TimeError(msg)

    @property
    def length(self) -> int:
        """Length in microseconds."""
        return self.end - self.start

    def text(self, zone: str = "UTC") -> str:
        """Return both ends as people read them, in `zone`."""
        return f"{text(self.start, zone)} – {text(self.end, zone)}"

    def before(self) -> Window:
        """Return the window of the same length that ends where this one starts."""
        return Window(self.start - self.length, self.start)

    def widened(self, step: int) -> Window:
        """Return the shortest window around this one that begins and ends at multiples of `step` microseconds.

        Example:
            >>> Window(5, 11).widened(4)
            Window(start=4, end=12)
        """
        return Window(self.start // step * step, -(-self.end // step) * step)

    @classmethod
    def parse(cls, value: str, *, now: int, zone: str = "UTC") -> Window:
        """Read a window as people write one.

        Args:
            value: `7d` (the last seven days), `today`, `yesterday`, `this week`,
                `last week`, `this month`, `last month`, or `START..END` in ISO 8601.
            now: The present, in microseconds.
            zone: The zone whose days and weeks are meant.

        Raises:
            TimeError: The text names no window.
        """
        if ".." in value:
            start, end = value.split("..", 1)
            return cls(parse_time(start, zone), parse_time(end, zone))
        named = _named(value.strip().lower().replace("-", " "), now, zone)
        if named is not None:
            return named
        try:
            length = parse_duration(value)
        except TimeError as error:
            msg = f"not a window: {value!r}"
            raise TimeError(msg, hint='write 7d, "last week", yesterday or START..END') from error
        if not 0 < length <= _LONGEST:
            msg = f"not a usable window: {value!r}"
            raise TimeError(msg, hint="longer than nothing and at most a hundred years")
        return cls(now - length, now)


def _named(name: str, now: int, zone: str) -> Window | None:
    today = local_midnight(now, zone)
    local = moment(today, zone)
    monday = local_monday(now, zone)
    month = _first_of_month(local)
    ends = {
        "today": (today, now),
        "yesterday": (shift_days(today, -1, zone), today),
        "this week": (monday, now),
        "last week": (shift_days(monday, -7, zone), monday),
        "this month": (micros(month), now),
        "last month": (micros(_first_of_month(month - timedelta(days=1))), micros(month)),
    }.get(name)
    return None if ends is None else Window(*ends)


def _first_of_month(day: datetime) -> datetime:
    return day.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def fixed_window(value: str, zone: str = "UTC") -> Window | None:
    """Return the window that a text names; None when that one goes along with the present.

    Raises:
        TimeError: The text names no window.

    Example:
        >>> fixed_window("2013-07-01..2013-07-08"), fixed_window("7d")
        (Window(start=1372636800000000, end=1373241600000000), None)
    """
    window, later = (Window.parse(value, now=at, zone=zone) for at in (0, _LONGEST))
    return window if window == later else None


def days_in_words(span: Window, midnights: Sequence[int]) -> str:
    """Return how many days rows are of, in words; less than a day is no day.

    Args:
        span: From the first row to just after the last.
        midnights: When each day that has rows began, oldest first.

    Example:
        >>> days_in_words(Window(0, 3 * DAY), [0, DAY, 2 * DAY]), days_in_words(Window(0, 3 * DAY), [0, 2 * DAY])
        ('3 days', '2 days (of 3: the others have no rows)')
        >>> days_in_words(Window(0, DAY // 4), [0])
        '6 h'
    """
    if span.length < DAY:
        return f"{span.length / HOUR:.2g} h"
    days = round((midnights[-1] - midnights[0]) / DAY) + 1
    gaps = f" (of {days:,}: the others have no rows)" if len(midnights) < days else ""
    return counted(len(midnights), "day") + gaps


@lru_cache(maxsize=4096)
def local_midnight(at: int, zone: str) -> int:
    """Return the start of the local day that holds `at`."""
    return micros(moment(at, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0))


@lru_cache(maxsize=4096)
def local_monday(at: int, zone: str) -> int:
    """Return the start of the local week that holds `at`."""
    midnight = local_midnight(at, zone)
    return shift_days(midnight, -moment(midnight, zone).weekday(), zone)


@lru_cache(maxsize=4096)
def shift_days(at: int, days: int, zone: str) -> int:
    """Return the same local clock time some days later; a day may have 23 or 25 hours."""
    local = moment(at, zone).replace(tzinfo=None) + timedelta(days=days)
    return micros(local.replace(tzinfo=time_zone(zone)))
