"""Turns sealed segments into Delta commits: once each, whoever is killed whenever.

The order is what makes it safe. A segment's rows are committed together with its writer's sequence;
only then is the file deleted. Killed before the commit, nothing happened; killed after it, the next
run sees the sequence in the table and only deletes.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import duckdb
import msgspec

from setpoint.core.errors import StoreBusy
from setpoint.core.events import IDENTIFIER, PARTITIONED_BY, TABLES
from setpoint.core.ids import id_maker
from setpoint.store.engines.duck import literal, rows, session
from setpoint.store.fitting import Broken, fitting
from setpoint.store.kinds import declared_types
from setpoint.store.lake import LakeTable
from setpoint.store.layout import Layout, writing
from setpoint.store.segment_sql import Columns, merged_columns, select_segments
from setpoint.store.segments import Segment, open_segments

_BATCH_BYTES = 256 << 20
_GRACE_SECONDS = 60.0
LEASE = "shipper"


@dataclass(slots=True)
class Shipment:
    """What one run did."""

    rows: int = 0
    quarantined: int = 0
    segments: int = 0
    commits: int = 0

    def add(self, other: Shipment) -> None:
        """Sum two runs."""
        self.rows += other.rows
        self.quarantined += other.quarantined
        self.segments += other.segments
        self.commits += other.commits


def ship(layout: Layout, *, models: Iterable[str] | None = None, grace_seconds: float = _GRACE_SECONDS) -> Shipment:
    """Ship every sealed segment of the store.

    Args:
        layout: The store.
        models: Only those of these models; None for all.
        grace_seconds: How long a committed segment stays, for readers that could not keep it open.

    Raises:
        StoreBusy: Another process ships.
        StoreReadOnly: The store cannot be written.
    """
    total = Shipment()
    with layout.lease(LEASE), writing(layout.root):
        connection = session()
        try:
            for model in layout.models() if models is None else models:
                for table in TABLES:
                    total.add(_ship_table(connection, layout, model, table, grace_seconds))
        finally:
            connection.close()
    return total


def ship_if_free(layout: Layout) -> Shipment | None:
    """Ship when no other process does; None when one does or the store cannot be written."""
    if not os.access(layout.root, os.W_OK):
        return None
    try:
        return ship(layout)
    except StoreBusy:
        return None


def _ship_table(
    connection: duckdb.DuckDBPyConnection, layout: Layout, model: str, table: str, grace_seconds: float
) -> Shipment:
    total = Shipment()
    segments = open_segments(layout.spool(model, table))
    if not segments:
        return total
    try:
        lake = LakeTable(layout.lake(model, table))
        waiting = _sealed(_delete_shipped(segments, lake, grace_seconds))
        while waiting:
            batch = _take(waiting)
            total.add(_ship_batch(connection, layout, model, table, batch, lake))
            if waiting:
                lake = LakeTable(lake.path)  # with the columns that this batch may have added
    finally:
        for segment in segments:
            segment.close()
    return total


def _delete_shipped(segments: list[Segment], lake: LakeTable, grace_seconds: float) -> list[Segment]:
    """Delete segments whose commit is older than the grace period; return the unshipped ones."""
    waiting: list[Segment] = []
    for segment in segments:
        if segment.name.sequence > lake.shipped(segment.name.process):
            waiting.append(segment)
        elif time.time() - segment.modified_at > grace_seconds:
            segment.path.unlink(missing_ok=True)
    return waiting


def _sealed(segments: list[Segment]) -> list[Segment]:
    """Return each writer's segments up to the first that is still written."""
    sealed: list[Segment] = []
    writing_processes: set[str] = set()
    for segment in segments:
        if segment.name.process in writing_processes:
            continue
        if segment.is_sealed():
            sealed.append(segment)
        else:
            writing_processes.add(segment.name.process)
    return sealed


def _take(waiting: list[Segment]) -> list[Segment]:
    batch = [waiting.pop(0)]
    size = batch[0].size
    while waiting and size + waiting[0].size <= _BATCH_BYTES:
        size += waiting[0].size
        batch.append(waiting.pop(0))
    return batch


def _ship_batch(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    model: str,
    table: str,
    batch: list[Segment],
    lake: LakeTable,
) -> Shipment:
    headers = [segment.columns() for segment in batch]
    declared = declared_types(layout.declaration(model)) if table == "predictions" else {}
    columns = merged_columns(table, lake.columns, lake.inputs, headers, declared)
    known = {*lake.columns, *(name for header in headers for name in header.columns)}
    columns = replace(columns, fixed={name: kind for name, kind in columns.fixed.items() if name in known})
    with tempfile.TemporaryDirectory() as folder:
        fitted = [
            fitting(segment, header, columns, Path(folder)) for segment, header in zip(batch, headers, strict=True)
        ]
        uris = [uri for uri, _ in fitted]
        broken = [line for _, lines in fitted for line in lines]
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE shipment AS {lake.shipment(select_segments(table, uris, columns))}"
        )
        count = cast("int", rows(connection, "SELECT count(*) FROM shipment")[0][0])
        # Every line but a header is a row: then nothing is broken, and the lines need no second look.
        is_headless = any(segment.header() is None for segment in batch)
        if is_headless or sum(segment.line_count() for segment in batch) != count + len(batch) + len(broken):
            broken += _broken_lines(connection, table, batch, uris, columns)
    sequences: dict[str, int] = {}
    for segment in batch:
        sequences[segment.name.process] = max(segment.name.sequence, sequences.get(segment.name.process, 0))
    if broken:
        _quarantine(connection, layout, model, table, broken, sequences)
    lake.append(connection.table("shipment"), sequences)
    connection.execute("DROP TABLE shipment")
    lake.compact_when_due()
    return Shipment(rows=count, quarantined=len(broken), segments=len(batch), commits=1)


def _broken_lines(
    connection: duckdb.DuckDBPyConnection, table: str, batch: list[Segment], uris: list[str], columns: Columns
) -> list[Broken]:
    """Return the lines that are neither a header nor a row: torn at a crash, or garbage."""
    counts = cast("list[tuple[str, int]]", rows(connection, select_segments(table, uris, columns, with_file=True)))
    suspects = {uri for uri, count in counts if count > 1}
    headless = {segment.uri for segment in batch if segment.header() is None}
    broken: list[Broken] = []
    for segment, uri in zip(batch, uris, strict=True):
        if uri not in suspects and uri not in headless:
            continue
        for number, line in enumerate(segment.lines(), start=1):
            reason = _fault(table, line)
            if reason:
                broken.append(Broken(segment.name.process, number, reason, line.decode(errors="replace")))
    return broken


def _fault(table: str, line: bytes) -> str:
    if not line.strip():
        return ""
    try:
        row = msgspec.json.decode(line, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "garbage in the segment" if line.endswith(b"\n") else "torn last line"
    if "setpoint_format" in row:
        return ""
    for name in (IDENTIFIER[table], PARTITIONED_BY[table]):
        value = row.get(name)
        if value is None:
            return f"no {name}"
        if name.endswith("_at") and not (isinstance(value, int) and abs(value) < _WHOLE_LIMIT):
            return f"{name} is no time"
    return ""


_WHOLE_LIMIT = 1 << 63


def _quarantine(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    model: str,
    table: str,
    broken: list[Broken],
    sequences: dict[str, int],
) -> None:
    """Commit broken lines before the shipment they were found in; a repeated run finds its mark and skips."""
    lake = LakeTable(layout.lake(model, "quarantine"))
    marks = {f"{table}/{process}": sequence for process, sequence in sequences.items()}
    if all(lake.shipped(mark) >= sequence for mark, sequence in marks.items()):
        return
    now = layout.clock.now()
    make_id: Callable[[int], str] = id_maker()
    values = ", ".join(
        f"({literal(make_id(now))}, {literal(table)}, make_timestamptz({now}), {literal(line.reason)},"
        f" {literal(line.raw)}, {literal(line.process)}, CAST({line.line_number} AS BIGINT),"
        f" CAST(make_timestamptz({now}) AS DATE), CAST({lake.ship + 1} AS BIGINT))"
        for line in broken
    )
    names = "quarantine_id, source_table, recorded_at, reason, raw, process, line_number, day, ship"
    lake.append(connection.sql(f"SELECT * FROM (VALUES {values}) AS broken({names})"), marks)
