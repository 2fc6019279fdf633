"""Which days only the kept summaries still know: their rows were let go, so nothing can make them again."""

from __future__ import annotations

from typing import cast

from setpoint.core.clock import MICROS, moment
from setpoint.core.events import PARTITIONED_BY
from setpoint.core.model import Model
from setpoint.store.engines.duck import rows
from setpoint.store.evidence import bucket_seconds
from setpoint.store.layout import Layout
from setpoint.store.measures import TRAFFIC
from setpoint.store.quality_kinds import quality_kind
from setpoint.store.snapshot import Snapshot
from setpoint.store.summaries import Kept, Summaries, basis


def lost_days(layout: Layout, before: Model, after: Model) -> tuple[str, ...]:
    """Return the local days (ISO, oldest first) whose numbers go when a declaration replaces another.

    Args:
        layout: The store.
        before: The declaration in force.
        after: The declaration to be.
    """
    if basis(before) == basis(after):
        return ()
    starts = _starts_without_rows(layout, before)
    return tuple(sorted({moment(start, before.timezone).date().isoformat() for start in starts}))


def _starts_without_rows(layout: Layout, model: Model) -> set[int]:
    """Return the kept buckets of which no row is left; none when the states hold no longer anyway."""
    step = bucket_seconds(model.timezone) * MICROS
    with Summaries.reading(layout.summaries(model.name)) as summaries:
        progress = None if summaries is None else summaries.progress()
        if summaries is None or progress is None or not progress.holds_for(model):
            return set()
        found: set[int] = set()
        for kind, table in ((quality_kind(model), "predictions"), (TRAFFIC, "tallies")):
            starts = summaries.starts(Kept(kind), "bucket", 0, progress.closed_until)
            found |= starts - _starts_with_rows(layout, model.name, table, step) if starts else set()
    return found


def _starts_with_rows(layout: Layout, name: str, table: str, step: int) -> set[int]:
    sql = f"SELECT DISTINCT epoch_us({PARTITIONED_BY[table]}) // {step} * {step} FROM {table}"
    with Snapshot(layout, name, tables=(table,)) as snapshot:
        return {cast("int", row[0]) for row in rows(snapshot.connection, sql)}
