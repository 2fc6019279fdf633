"""Time as integer microseconds since 1970 in UTC, and the clocks that tell it."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from setpoint.core.errors import NaiveTimestamp, TimeError

MICROS = 1_000_000
QUARTER_HOUR = 900 * MICROS
HOUR = 3600 * MICROS
DAY = 24 * HOUR

_YEARS = range(1900, 3000)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*")


class Clock(Protocol):
    """Whatever tells the time: the system, a replay, or a test."""

    def now(self) -> int:
        """Return the present in microseconds since 1970, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Return the present in microseconds since 1970, UTC."""
        return time.time_ns() // 1000


def micros(moment: datetime) -> int:
    """Return a time with a zone as microseconds since 1970.

    Raises:
        NaiveTimestamp: The time has no zone.

    Example:
        >>> micros(datetime(2013, 7, 1, tzinfo=UTC))
        1372636800000000
    """
    if moment.tzinfo is None:
        msg = f"a time without a zone: {moment.isoformat()}"
        raise NaiveTimestamp(msg, hint="add one, for example datetime.now(tz=UTC)")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(at: int, zone: str = "UTC") -> datetime:
    """Return microseconds since 1970 as a time in `zone`."""
    return (_EPOCH + timedelta(microseconds=at)).astimezone(time_zone(zone))


def text(at: int, zone: str = "UTC") -> str:
    """Return a time as people read it, to the minute, in `zone`.

    Example:
        >>> text(1372636800000000, "America/New_York")
        '2013-06-30 20:00'
    """
    return moment(at, zone).strftime("%Y-%m-%d %H:%M")


def time_zone(name: str) -> ZoneInfo:
    """Return a zone by its IANA name.

    Raises:
        TimeError: No zone has this name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        msg = f"no time zone is called {name!r}"
        raise TimeError(msg, hint="use an IANA name such as Europe/Berlin or UTC") from error


def parse_time(value: str, zone: str = "UTC") -> int:
    """Read an ISO 8601 date or time; one without an offset is local to `zone`.

    Raises:
        TimeError: The text is not a time.

    Example:
        >>> parse_time("2013-07-01", "America/New_York") - parse_time("2013-07-01")
        14400000000
    """
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        msg = f"not a time: {value!r}"
        raise TimeError(msg, hint="write it as 2026-11-24 or 2026-11-24T14:02:00+00:00") from error
    if found.year not in _YEARS:
        msg = f"not a usable time: {value!r}"
        raise TimeError(msg, hint=f"years run from {_YEARS.start} to {_YEARS.stop}")
    return micros(found if found.tzinfo else found.replace(tzinfo=time_zone(zone)))


def day_text(at: int, zone: str) -> str:
    """Return the local day that a time lies in.

    Example:
        >>> day_text(parse_time("2013-07-01T02:00+00:00"), "America/New_York")
        '2013-06-30'
    """
    return moment(at, zone).date().isoformat()


def parse_duration(value: str) -> int:
    """Read a duration such as `90s`, `30m`, `12h`, `7d`, `2w` into microseconds.

    Raises:
        TimeError: The text is not a duration.

    Example:
        >>> parse_duration("7d") // DAY
        7
    """
    match = _DURATION.fullmatch(value)
    if match is None:
        msg = f"not a duration: {value!r}"
        raise TimeError(msg, hint="write a number and a unit: 90s, 30m, 12h, 7d or 2w")
    return round(float(match[1]) * _UNITS[match[2]] * MICROS)


def duration_text(length: int) -> str:
    """Return a length of time in its largest fitting unit.

    Example:
        >>> duration_text(3 * DAY), duration_text(90 * MICROS)
        ('3 d', '2 min')
    """
    seconds = length / MICROS
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
