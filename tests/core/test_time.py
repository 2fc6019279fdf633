"""Clocks, windows and durations."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from setpoint.core.clock import DAY, HOUR, duration_text, micros, parse_duration, parse_time, text
from setpoint.core.errors import NaiveTimestamp, TimeError
from setpoint.core.window import Window, local_midnight, shift_days

BERLIN = "Europe/Berlin"
NOW = parse_time("2026-03-31T12:00", BERLIN)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(NaiveTimestamp, match="without a zone"):
        micros(datetime(2026, 1, 1))  # noqa: DTZ001 — the point of the test


def test_microseconds_are_exact_over_centuries() -> None:
    for moment in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)):
        assert micros(moment) == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution)


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("today", "2026-03-31", "2026-03-31T12:00"),
        ("yesterday", "2026-03-30", "2026-03-31"),
        ("this week", "2026-03-30", "2026-03-31T12:00"),
        ("last week", "2026-03-23", "2026-03-30"),
        ("this month", "2026-03-01", "2026-03-31T12:00"),
        ("last-month", "2026-02-01", "2026-03-01"),
        ("2026-01-01..2026-01-08", "2026-01-01", "2026-01-08"),
        ("12h", "2026-03-31T00:00", "2026-03-31T12:00"),
    ],
)
def test_windows_are_local(name: str, start: str, end: str) -> None:
    assert Window.parse(name, now=NOW, zone=BERLIN) == Window(parse_time(start, BERLIN), parse_time(end, BERLIN))


def test_a_week_with_a_clock_change_is_an_hour_short() -> None:
    week = Window.parse("last week", now=NOW, zone=BERLIN)
    assert week.length == 7 * DAY - HOUR
    assert shift_days(local_midnight(NOW, BERLIN), -2, BERLIN) == micros(datetime(2026, 3, 29, tzinfo=ZoneInfo(BERLIN)))


@pytest.mark.parametrize("value", ["", "7", "d7", "7 days", "-3d", "1e3s", "soon"])
def test_bad_durations_and_windows_have_a_hint(value: str) -> None:
    with pytest.raises(TimeError) as caught:
        parse_duration(value)
    assert "7d" in caught.value.hint
    with pytest.raises(TimeError):
        Window.parse(value, now=NOW)


def test_bad_times_and_zones_say_what_would_do() -> None:
    with pytest.raises(TimeError, match="not a time"):
        parse_time("24.12.2026")
    with pytest.raises(TimeError, match="no time zone is called"):
        parse_time("2026-01-01", "Mars/Olympus")
    with pytest.raises(TimeError, match="ends before it starts"):
        Window.parse("2026-02-01..2026-01-01", now=NOW)


def test_lengths_are_said_in_their_largest_fitting_unit() -> None:
    assert [duration_text(n) for n in (1_500_000, 90_000_000, 2 * HOUR, 3 * DAY)] == ["2 s", "2 min", "2 h", "3 d"]
    assert text(0, "America/New_York") == "1969-12-31 19:00"


@pytest.mark.parametrize("value", ["0d", "99999999d"])
def test_a_window_is_longer_than_nothing_and_shorter_than_a_century(value: str) -> None:
    with pytest.raises(TimeError, match="not a usable window"):
        Window.parse(value, now=NOW)
    with pytest.raises(TimeError, match="not a usable time"):
        parse_time("0001-01-01")
