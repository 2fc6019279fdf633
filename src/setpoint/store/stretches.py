"""Which whole weeks and days some buckets of time make, and which stretches they leave open."""

from __future__ import annotations

from collections.abc import Sequence

from setpoint.core.window import Window, local_midnight, local_monday, shift_days

_WEEK_DAYS = 7


def whole_stretches(clean: Sequence[int], step: int, zone: str) -> tuple[list[int], list[int], list[int]]:
    """Split buckets into the local weeks and days of which every bucket is among them, and the rest.

    Args:
        clean: Starts of the buckets, microseconds, in order.
        step: How long a bucket is, microseconds.
        zone: Whose days and weeks.
    """
    by_day: dict[int, list[int]] = {}
    midnight, next_midnight = 0, 0
    for start in clean:
        if not midnight <= start < next_midnight:
            midnight = local_midnight(start, zone)
            next_midnight = shift_days(midnight, 1, zone)
        by_day.setdefault(midnight, []).append(start)
    by_week: dict[int, list[int]] = {}
    rest: list[int] = []
    for midnight, starts in by_day.items():
        if len(starts) * step == shift_days(midnight, 1, zone) - midnight:
            by_week.setdefault(local_monday(midnight, zone), []).append(midnight)
        else:
            rest += starts
    weeks = [monday for monday, days in by_week.items() if len(days) == _WEEK_DAYS]
    days = [day for days in by_week.values() if len(days) < _WEEK_DAYS for day in days]
    return weeks, days, rest


def gaps_between(span: Window, clean: Sequence[int], step: int) -> list[Window]:
    """Return the stretches of a window that none of some buckets covers; see `whole_stretches`."""
    gaps: list[Window] = []
    reached = span.start
    for start in clean:
        if start > reached:
            gaps.append(Window(reached, start))
        reached = start + step
    if reached < span.end:
        gaps.append(Window(reached, span.end))
    return gaps
