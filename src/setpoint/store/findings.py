"""The common table of all loops: what was noticed, latched, written once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import cast

import duckdb
import msgspec

from setpoint.core.finding import Finding
from setpoint.store.engines.duck import literal, quoted, rows, session
from setpoint.store.lake import LakeTable
from setpoint.store.layout import Layout

TABLE = "findings"
_TIMES = ("started_at", "ended_at", "recorded_at")
COLUMNS = ("finding_id", *Finding.__struct_fields__)


def read_findings(layout: Layout, model: str) -> list[Finding]:
    """Return every row of a model's findings, oldest first."""
    lake = LakeTable(layout.lake(model, TABLE))
    files = lake.files()
    if not files:
        return []
    listed = ", ".join(literal(file) for file in files)
    picked = ", ".join(
        f"epoch_us({name}) AS {name}" if name in _TIMES else quoted(name) for name in Finding.__struct_fields__
    )
    connection = session()
    try:
        found = rows(
            connection,
            f"SELECT {picked} FROM read_parquet([{listed}], union_by_name=true)"
            " ORDER BY recorded_at, finding_id, revision",
        )
    finally:
        connection.close()
    return [msgspec.convert(dict(zip(Finding.__struct_fields__, row, strict=True)), Finding) for row in found]


def open_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Return the latest row of each finding that is still open, oldest first."""
    latest: dict[str, Finding] = {}
    for finding in findings:
        known = latest.get(finding.finding_id)
        if known is None or finding.revision > known.revision:
            latest[finding.finding_id] = finding
    return sorted((f for f in latest.values() if f.state == "open"), key=lambda f: (f.started_at, f.latch))


def write_findings(
    layout: Layout, model: str, found: Sequence[Finding], *, kinds: Collection[str], now: int
) -> list[Finding]:
    """Write the rows that are not there yet and return them. The caller holds the lease.

    A row is known by its finding and revision, so writing the same ones again changes nothing.

    Args:
        layout: The store.
        model: The model.
        found: All findings of these kinds that there is evidence for.
        kinds: What was looked for. An open finding of theirs that is not found any more is closed: its
            rows were erased, let go, or have come back from the quarantine.
        now: The present.
    """
    written = read_findings(layout, model)
    known = {(finding.finding_id, finding.revision) for finding in written}
    fresh = [finding for finding in found if (finding.finding_id, finding.revision) not in known]
    still = {finding.finding_id for finding in found}
    fresh += [
        msgspec.structs.replace(
            finding,
            ended_at=now,
            recorded_at=now,
            state="closed",
            revision=finding.revision + 1,
            evidence='{"is_without_evidence": true}',
        )
        for finding in open_findings(written)
        if finding.kind in kinds and finding.finding_id not in still
    ]
    if not fresh:
        return []
    lake = LakeTable(layout.lake(model, TABLE))
    connection = session()
    try:
        lake.append(_relation(connection, fresh, lake.ship + 1), {})
    finally:
        connection.close()
    return fresh


def _relation(connection: duckdb.DuckDBPyConnection, found: Sequence[Finding], ship: int) -> duckdb.DuckDBPyRelation:
    values: list[str] = []
    for finding in found:
        cells = [literal(finding.finding_id)]
        for name in Finding.__struct_fields__:
            value = cast("str | int | None", getattr(finding, name))
            if name in _TIMES:
                cells.append("NULL::TIMESTAMPTZ" if value is None else f"make_timestamptz({value})")
            else:
                cells.append(f"{value}::BIGINT" if isinstance(value, int) else literal(str(value)))
        cells += [f"CAST(make_timestamptz({finding.recorded_at}) AS DATE)", f"{ship}::BIGINT"]
        values.append(f"({', '.join(cells)})")
    names = ", ".join(quoted(name) for name in (*COLUMNS, "day", "ship"))
    return connection.sql(f"SELECT * FROM (VALUES {', '.join(values)}) AS found({names})")
