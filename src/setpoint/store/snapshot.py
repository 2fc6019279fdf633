"""One consistent view of a model's tables: what lies in the lake and what still lies in the spool.

Spool files are opened first, the lake's snapshot is taken second, and a segment that is already in
*that* snapshot is left out. So a row that moves from spool to lake meanwhile is seen once.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import NamedTuple, Self

import duckdb

from setpoint.core.clock import moment
from setpoint.core.events import TABLES
from setpoint.core.window import Window
from setpoint.store.engines.duck import at, literal, quoted, rows, session
from setpoint.store.first_sight import let_go_units
from setpoint.store.fitting import fitting
from setpoint.store.kinds import declared_types
from setpoint.store.lake import SHIP, LakeTable
from setpoint.store.layout import Layout
from setpoint.store.measures import Column
from setpoint.store.segment_sql import Columns, conflicts, merged_columns, select_segments
from setpoint.store.segments import Header, Segment, open_segments

FEW_QUERIES, MANY_QUERIES = 1 << 19, 1 << 24
"""Up to so many bytes of files it is worth to hold a table: to open a file a day for each query takes longer than most
queries do. In memory it takes some four times as many."""


class Since(NamedTuple):
    """Rows of a day and later, and those that came with a later shipment.

    Attributes:
        ships: The last shipment that is not wanted of a table; of one without, the days alone say what is.
        day: ISO.
    """

    ships: Mapping[str, int]
    day: str


class Snapshot:
    """A connection on which `predictions`, `outcomes`, `calls`, `tallies`, `changes` and `quarantine` can be queried.

    They have the fixed columns of their table, `inputs` once a row had some, and `ship` (null in
    the spool). A row of `calls` is an attempt at its latest price: adjustments are in it. Use it as a
    context manager.

    Attributes:
        connection: Where the views are.
        columns: How each feature of the predictions is read.
        ships: The last shipment of each table in this snapshot.
        versions: The last commit of each table that is there, which may be no shipment.
        spooled: Bytes of each table that lie in the spool and not in the lake.
    """

    def __init__(
        self,
        layout: Layout,
        model: str,
        *,
        as_of: int | None = None,
        window: Window | None = None,
        tables: tuple[str, ...] = tuple(TABLES),
        since: Since | None = None,
        held_bytes: int = FEW_QUERIES,
    ) -> None:
        """Open the tables.

        Args:
            layout: The store.
            model: The model.
            as_of: Leave out what was recorded later, microseconds.
            window: Predictions before it may be left out; a hint that saves reading.
            tables: The tables that are needed.
            since: Only what it says is wanted, of any table; other rows may be there too.
            held_bytes: A table of at most so many bytes of files is read once, and held for all queries.
        """
        self._held_bytes = held_bytes
        self._segments: list[Segment] = []
        self._copies = ExitStack()
        self.connection: duckdb.DuckDBPyConnection = session()
        self.columns: dict[str, Column] = {}
        self.ships: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.spooled: dict[str, int] = {}
        try:
            opened = {table: open_segments(layout.spool(model, table)) for table in tables}
            self._segments = [segment for segments in opened.values() for segment in segments]
            for table, segments in opened.items():
                self._create_view(layout, model, table, segments, as_of, window, since)
            rows(self.connection, f"CREATE TEMP VIEW let_go_units AS {let_go_units(layout, model, as_of)}")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection and the spool's files."""
        self.connection.close()
        for segment in self._segments:
            segment.close()
        self._segments = []
        self._copies.close()

    def _create_view(
        self,
        layout: Layout,
        model: str,
        table: str,
        segments: list[Segment],
        as_of: int | None,
        window: Window | None,
        since: Since | None,
    ) -> None:
        lake = LakeTable(layout.lake(model, table))
        fresh = [segment for segment in segments if segment.name.sequence > lake.shipped(segment.name.process)]
        headers = [segment.columns() for segment in fresh]
        declared = declared_types(layout.declaration(model)) if table == "predictions" and fresh else {}
        columns = merged_columns(table, lake.columns, lake.inputs, headers, declared)
        parts = [_nothing(columns)]
        if since is not None:
            files = lake.files_since(since.ships.get(table), since.day)
        else:
            files = lake.files(*(_days(window) if table in _BY_PREDICTED_AT else ()))
        if files:
            parts.append(_select_files(files, lake, columns))
        if fresh:
            uris = [self._fitting(*pair, columns) for pair in zip(fresh, headers, strict=True)]
            parts.append(f"SELECT *, NULL::BIGINT AS {SHIP} FROM ({select_segments(table, uris, columns)})")
        known = f" WHERE recorded_at <= {at(as_of)}" if as_of is not None else ""
        union = " UNION ALL BY NAME ".join(parts)
        size = sum(Path(file).stat().st_size for file in files) + sum(segment.size for segment in fresh)
        held = "TABLE" if size <= self._held_bytes else "VIEW"
        if table == "calls":
            rows(self.connection, f"CREATE TEMP {held} call_rows AS SELECT * FROM ({union}){known}")
            rows(self.connection, f"CREATE TEMP {held} calls AS {_SETTLED_CALLS}")
        else:
            rows(self.connection, f"CREATE TEMP {held} {table} AS SELECT * FROM ({union}){known}")
        self.ships[table] = lake.ship
        if lake.version is not None:
            self.versions[table] = lake.version
        self.spooled[table] = sum(segment.size for segment in fresh)
        if table == "predictions":
            self.columns = {name: Column(f"inputs.{quoted(name)}", kind) for name, kind in columns.inputs.items()}

    def _fitting(self, segment: Segment, header: Header, columns: Columns) -> str:
        """Return a path to the rows of a segment that will be shipped: one that will be put aside counts nowhere."""
        if not conflicts(header, columns):
            return segment.uri
        return fitting(segment, header, columns, Path(self._copies.enter_context(TemporaryDirectory())))[0]


# Adjustments are never spooled. An adjusted call came, for those who ask what is new, with its last adjustment.
_SETTLED_CALLS = f"""
SELECT c.* REPLACE (
    CASE WHEN a.adjusts IS NULL THEN c.cost_nano_usd ELSE coalesce(c.cost_nano_usd, 0) + a.nano END AS cost_nano_usd,
    coalesce(a.price_id, c.price_id) AS price_id,
    CASE WHEN c.{SHIP} IS NOT NULL THEN greatest(c.{SHIP}, a.last) END AS {SHIP})
FROM call_rows AS c LEFT JOIN (
    SELECT adjusts, CAST(sum(cost_nano_usd) AS BIGINT) AS nano, arg_max(price_id, {SHIP}) AS price_id,
        max({SHIP}) AS last
    FROM call_rows WHERE adjusts IS NOT NULL AND {SHIP} IS NOT NULL GROUP BY adjusts
) AS a ON a.adjusts = c.call_id
WHERE c.adjusts IS NULL"""

_BY_PREDICTED_AT = ("predictions", "unkept", "tallies")


def _days(window: Window | None) -> tuple[str, ...]:
    """Return the first day to read; a later prediction may be the one an outcome belongs to."""
    return () if window is None else (moment(window.start).date().isoformat(),)


def _nothing(columns: Columns) -> str:
    """Return SQL for no rows with every column, so that a view never lacks one."""
    typed = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in columns.fixed.items())
    return f"SELECT {typed}{_null_inputs(columns)}, NULL::BIGINT AS {SHIP} WHERE false"


def _null_inputs(columns: Columns) -> str:
    if not columns.inputs:
        return ""
    members = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.inputs.items())
    return f", NULL::STRUCT({members}) AS inputs"


def _select_files(files: list[str], lake: LakeTable, columns: Columns) -> str:
    names = [quoted(name) for name in (*(lake.columns or columns.fixed), SHIP)]
    if lake.inputs:
        missing = [name for name in columns.inputs if name not in lake.inputs]
        members = ", ".join(
            f"{quoted(name)} := " + (f"NULL::{kind}" if name in missing else f"inputs.{quoted(name)}")
            for name, kind in columns.inputs.items()
        )
        names.append(f"struct_pack({members}) AS inputs" if missing else "inputs")
    listed = ", ".join(literal(file) for file in files)
    return f"SELECT {', '.join(names)} FROM read_parquet([{listed}], union_by_name=true, hive_partitioning=false)"
