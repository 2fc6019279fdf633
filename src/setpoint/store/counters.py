"""What was counted since the beginning: kept weeks, and of the tables that count only what the weeks do not hold."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import NamedTuple

import duckdb
import numpy as np

from setpoint.core.clock import DAY, MICROS, moment
from setpoint.core.events import PARTITIONED_BY
from setpoint.core.model import Model
from setpoint.core.window import Window, local_midnight, local_monday, shift_days
from setpoint.store import measures
from setpoint.store.engines.duck import at, rows
from setpoint.store.evidence import bucket_seconds
from setpoint.store.layout import Layout
from setpoint.store.measures import SPENDING, TRAFFIC
from setpoint.store.news import has_news
from setpoint.store.primitives import bucket, printed
from setpoint.store.snapshot import Since, Snapshot
from setpoint.store.states import StateKind, StateTable, merge
from setpoint.store.summaries import CARRIED, Kept, Progress, Summaries

_WITH_CALLS = ("tallies", "calls", "unkept", "predictions")
_FOREVER = 253_402_300_799_000_000


class Counters(NamedTuple):
    """The states that counters are read from.

    Attributes:
        traffic: What tallies count, and the tokens of calls.
        spending: What calls cost.
    """

    traffic: StateTable
    spending: StateTable


def read_counters(layout: Layout, model: Model, summaries: Summaries) -> Counters | None:
    """Return what was counted of a model, as `RowEvidence.traffic` and `spending` of all time do.

    Opens the tables only from the first day on of which something is not in the kept states. Calls without a
    prediction get its version with the next kept states when it comes days after them.

    Args:
        layout: The store.
        model: The declaration.
        summaries: The kept states.

    Returns:
        None when rows have to tell all: nothing is kept, or not as the declaration is now; or a call belongs to
        a prediction of an earlier day.
    """
    progress, step = summaries.progress(), bucket_seconds(model.timezone) * MICROS
    if progress is None or not progress.holds_for(model) or progress.basis == CARRIED or progress.marked:
        return None
    if progress.repriced(model.rates, step):
        return None
    has_calls = "calls" in progress.versions or has_news(layout, model.name, "calls", progress)
    tables = _WITH_CALLS if has_calls else ("tallies",)
    kept = partial(_merged, summaries, model.timezone)
    is_all_kept = max(progress.last_counted_at or 0, progress.last_at or 0) < progress.closed_until
    if is_all_kept and not any(has_news(layout, model.name, table, progress) for table in tables):
        return Counters(kept(TRAFFIC), kept(SPENDING))
    count = partial(_query, closed_until=progress.closed_until, step=step, has_calls=has_calls)
    with _opened(layout, model.name, tables, _ships(progress, tables), progress.closed_until) as snapshot:
        stale = _stale(snapshot.connection, tables, progress, step)
        counted = None if stale else count(snapshot.connection, stale)
    if stale:  # of those buckets all rows count, whenever they came
        with _opened(layout, model.name, tables, {}, min(stale)) as snapshot:
            counted = count(snapshot.connection, stale)
    if counted is None:
        return None
    return Counters(kept(TRAFFIC, stale, counted.traffic), kept(SPENDING, stale, counted.spending))


def _opened(layout: Layout, model: str, tables: tuple[str, ...], ships: dict[str, int], start: int) -> Snapshot:
    """Open the files of the days from a time on, a day earlier for a call's prediction, and what was shipped later."""
    return Snapshot(layout, model, tables=tables, since=Since(ships, moment(start - DAY).date().isoformat()))


def _ships(progress: Progress, tables: Collection[str]) -> dict[str, int]:
    """Return the last shipment that is kept of each table, but of predictions: the log does not tell theirs by file."""
    return {table: progress.ships.get(table, 0) for table in tables if table != "predictions"}


def _stale(
    connection: duckdb.DuckDBPyConnection, tables: Collection[str], progress: Progress, step: int
) -> frozenset[int]:
    """Return the closed buckets of which something came since they were kept."""
    parts: list[str] = []
    for table in tables:
        time = PARTITIONED_BY[table]
        start = printed(bucket(time, step // MICROS))
        view = "call_rows" if table == "calls" else table  # an adjustment may be there without its call
        is_new = f"(ship IS NULL OR ship > {progress.ships.get(table, 0)})"
        parts.append(f"SELECT {start} AS start FROM {view} WHERE {is_new} AND {time} < {at(progress.closed_until)}")
    found = rows(connection, f"SELECT DISTINCT start FROM ({' UNION ALL '.join(parts)})")
    return frozenset(int(str(row[0])) for row in found)


def _query(
    connection: duckdb.DuckDBPyConnection, stale: Collection[int], *, closed_until: int, step: int, has_calls: bool
) -> Counters | None:
    """Return what rows count of stale buckets and of those that are not closed; None when a prediction is missing."""
    window, seconds = Window(min(stale, default=closed_until), _FOREVER), step // MICROS

    def open_ones(table: StateTable) -> StateTable:
        starts = table.numbers("bucket", 0)
        return table.take(np.isin(starts, [*stale]) | (starts >= closed_until)).at("bucket", 0)

    traffic = measures.query_traffic(connection, window, bucket_seconds=seconds)
    if not has_calls:
        return Counters(open_ones(traffic), StateTable.of(SPENDING, []))
    orphans = (
        f"SELECT 1 FROM calls AS c ANTI JOIN (SELECT prediction_id FROM predictions UNION ALL SELECT prediction_id"
        f" FROM unkept) AS p ON p.prediction_id = c.prediction_id WHERE c.called_at >= {at(window.start)} LIMIT 1"
    )
    if rows(connection, orphans):
        return None
    tokens = measures.query_tokens(connection, window, bucket_seconds=seconds)
    spending = measures.query_spending(connection, window, has_unkept=True, bucket_seconds=seconds)
    return Counters(merge(TRAFFIC, [open_ones(traffic), open_ones(tokens)]), open_ones(spending))


def _merged(
    summaries: Summaries, zone: str, kind: StateKind, stale: Collection[int] = (), counted: StateTable | None = None
) -> StateTable:
    """Return all that is kept, but for stale buckets, with what was counted in their place."""
    kept = Kept(kind)
    stale_days = {local_midnight(start, zone) for start in stale}
    stale_weeks = {local_monday(midnight, zone) for midnight in stale_days}
    weeks = summaries.starts(kept, "week", 0, _FOREVER) - stale_weeks
    days = {
        midnight
        for monday in stale_weeks
        for midnight in summaries.starts(kept, "day", monday, shift_days(monday, 7, zone))
    }
    buckets = {
        start
        for midnight in stale_days
        for start in summaries.starts(kept, "bucket", midnight, shift_days(midnight, 1, zone))
    }
    tables = [
        *summaries.tables(kept, "week", weeks),
        *summaries.tables(kept, "day", days - stale_days),
        *summaries.tables(kept, "bucket", buckets - set(stale)),
    ]
    return merge(kind, tables if counted is None else [*tables, counted])
