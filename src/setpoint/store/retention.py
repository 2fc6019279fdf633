"""Lets go of old days, by age and by size; summaries stay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from setpoint.core.clock import DAY, moment, parse_time
from setpoint.core.metric import counted
from setpoint.core.model import Model
from setpoint.store.evidence import horizon
from setpoint.store.first_sight import keep_sights, tells_new
from setpoint.store.lake import READER_HOURS, LakeTable
from setpoint.store.layout import Layout
from setpoint.store.refresh import refresh
from setpoint.store.shipper import LEASE
from setpoint.store.snapshot import Snapshot
from setpoint.store.summaries import Summaries

_BY_DAY = ("predictions", "unkept", "calls", "outcomes", "tallies", "quarantine")


@dataclass(frozen=True, slots=True)
class Collected:
    """What was let go.

    Attributes:
        before: Days before this one (ISO) are gone; empty when nothing was to go.
        files: Files dropped from the tables.
        deleted: Files deleted from the disk.
        why: What set the limit, in words.
    """

    before: str
    files: int
    deleted: int
    why: str


def collect(layout: Layout, model: Model, now: int) -> Collected:
    """Drop the days beyond a model's retention, never those whose outcomes may still come.

    What goes is summarised first: a declaration may have voided the states since the last tick.

    Args:
        layout: The store.
        model: The declaration with its retention.
        now: The present.
    """
    with layout.lease(LEASE):
        tables = [LakeTable(layout.lake(model.name, table)) for table in _BY_DAY]
        before, why = _limit(tables, model, now)
        if before:
            refresh(layout, model, now)
            if tells_new(model):
                with Snapshot(layout, model.name) as snapshot:
                    keep_sights(snapshot.connection, layout, model.name, parse_time(before))
            _freeze(layout, model, before)
        files = sum(table.drop_days(before) for table in tables) if before else 0
        deleted = sum(table.vacuum(READER_HOURS) for table in tables if table.delta is not None)
    return Collected(before if files else "", files, deleted, why)


def _freeze(layout: Layout, model: Model, before: str) -> None:
    """Note that the states of earlier days are final: a late row must not put itself in their place."""
    with Summaries.amending(layout.summaries(model.name)) as kept:
        if kept is not None:
            kept[1].let_go_before = max(kept[1].let_go_before, parse_time(before))


def _limit(tables: list[LakeTable], model: Model, now: int) -> tuple[str, str]:
    """Return the first day to keep, and what decides it."""
    oldest_needed = _day(now - horizon(model))
    limits: list[tuple[str, str]] = []
    if model.retention.age is not None:
        limits.append((_day(now - model.retention.age), "the declared age"))
    if model.retention.size_bytes is not None:
        limits.append((_by_size(tables, model.retention.size_bytes), "the declared size"))
    if not limits:
        return "", "no retention is declared"
    before, why = max(limits)
    if before > oldest_needed:
        return (
            oldest_needed,
            f"outcomes may still come for {counted(horizon(model) // DAY, 'day')} (outcome_horizon)",
        )
    return before, why


def _by_size(tables: list[LakeTable], limit: int) -> str:
    """Return the first day to keep so that the rest fits into `limit` bytes."""
    sizes: dict[str, int] = {}
    for table in tables:
        for day, size in table.day_sizes().items():
            sizes[day] = sizes.get(day, 0) + size
    total = 0
    for day in sorted(sizes, reverse=True):
        total += sizes[day]
        if total > limit:
            return _day_after(day)
    return ""


def _day(at: int) -> str:
    return moment(at).date().isoformat()


def _day_after(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
