"""Puts history from files into the lake, once a file: the same bytes imported twice change nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import duckdb

from setpoint.core.errors import ColumnError
from setpoint.core.events import PARTITIONED_BY, column_types
from setpoint.core.model import Model
from setpoint.store.engines.duck import literal, quoted, rows
from setpoint.store.lake import SHIP, LakeTable
from setpoint.store.layout import Layout
from setpoint.store.measures import Column, tallies_of_rows
from setpoint.store.shapes import REDACTED, TEXT_LIMIT
from setpoint.store.shipper import LEASE


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Attributes:
        rows: Rows now in the lake.
        quarantined: Rows put aside, because a value does not fit its column or the time is missing.
        is_repeat: Whether this very file was imported before; then nothing was done.
    """

    rows: int
    quarantined: int
    is_repeat: bool = False


def file_token(paths: Sequence[Path]) -> str:
    """Return a name for the content of files."""
    digest = hashlib.blake2b(digest_size=12)
    for path in paths:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return f"import-{digest.hexdigest()}"


def import_predictions(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    model: Model,
    features: Mapping[str, Column],
    token: str,
    *,
    version: str | None = None,
    run_id: str | None = None,
) -> Imported:
    """Commit the `predictions` view of a file to the lake, with its tallies.

    A row counts as recorded when it was predicted, so that `--as-of` works on history too.

    Args:
        connection: Where the file's views are.
        layout: The store.
        model: The declaration: kinds and privacy policies of features.
        features: How each feature is read.
        token: The file's name from `file_token`.
        version: The version of rows that carry none.
        run_id: The batch-scoring run that the file is the output of.

    Raises:
        StoreBusy: Another process ships.
        ColumnError: The rows have no times.
    """
    with layout.lease(LEASE):
        lake = LakeTable(layout.lake(model.name, "predictions"))
        if lake.shipped(token):
            return Imported(0, 0, is_repeat=True)
        if not rows(connection, "SELECT 1 FROM predictions WHERE predicted_at IS NOT NULL LIMIT 1"):
            msg = "no row has a time, and a prediction without one belongs to no day"
            raise ColumnError(msg, hint="name the column: --map time=COLUMN")
        kept = {n: c for n, c in features.items() if _policy(model, n) != "drop"}
        misfits = _misfits(kept, lake)
        inputs = ", ".join(f"{quoted(name)} := {_input(model, name, column, lake)}" for name, column in kept.items())
        fixed = _fixed_columns(token, version, run_id, lake)
        bad = " OR ".join(["predicted_at IS NULL", *misfits])
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE imported AS SELECT *, ({bad}) IS TRUE AS is_bad FROM"
            f" (SELECT row_number() OVER () AS row_place, * FROM predictions)"
        )
        hidden = [column.sql for name, column in features.items() if _policy(model, name) != "keep"]
        put_aside = _put_aside(
            connection, layout, model, "predictions", token, "a value does not fit its column, or no time", hidden
        )
        picked = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in fixed.items())
        struct = f", struct_pack({inputs}) AS inputs" if inputs else ""
        sql = (
            f"SELECT {picked}{struct}, CAST(predicted_at AS DATE) AS day, {lake.ship + 1}::BIGINT AS {SHIP}"
            " FROM imported WHERE NOT is_bad"
        )
        count = cast("int", rows(connection, "SELECT count(*) FROM imported WHERE NOT is_bad")[0][0])
        # Tallies first: the commit of the rows is what says that the file is in.
        _import_tallies(connection, layout, model, token, version)
        lake.append(connection.sql(sql), {token: 1})
    return Imported(count, put_aside)


def import_outcomes(
    connection: duckdb.DuckDBPyConnection, layout: Layout, model: Model, token: str, *, kind: str
) -> Imported:
    """Commit the `outcomes` view of a file to the lake; an outcome counts as learned when observed."""
    with layout.lease(LEASE):
        lake = LakeTable(layout.lake(model.name, "outcomes"))
        if lake.shipped(token):
            return Imported(0, 0, is_repeat=True)
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE imported AS SELECT *, (outcome IS NULL OR observed_at IS NULL OR"
            " (prediction_id IS NULL AND key IS NULL)) AS is_bad FROM"
            " (SELECT row_number() OVER () AS row_place, * FROM outcomes)"
        )
        put_aside = _put_aside(
            connection, layout, model, "outcomes", token, "no outcome, no time, or nothing that joins it"
        )
        found = lake.columns.get("outcome") or ("VARCHAR" if _is_text(connection) else "DOUBLE")
        columns = {name: f"CAST({quoted(name)} AS {k})" for name, k in column_types("outcomes").items()}
        columns |= {
            "outcome": f"CAST(outcome AS {found})",
            "kind": literal(kind),
            "source": literal(token),
            "outcome_id": f"substr(sha256({literal(token)} || row_place), 1, 30)",
        }
        picked = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in columns.items())
        day = f"CAST({PARTITIONED_BY['outcomes']} AS DATE) AS day"
        count = cast("int", rows(connection, "SELECT count(*) FROM imported WHERE NOT is_bad")[0][0])
        lake.append(
            connection.sql(f"SELECT {picked}, {day}, {lake.ship + 1}::BIGINT AS {SHIP} FROM imported WHERE NOT is_bad"),
            {token: 1},
        )
    return Imported(count, put_aside)


def _fixed_columns(token: str, version: str | None, run_id: str | None, lake: LakeTable) -> dict[str, str]:
    """Return SQL for every fixed column of the predictions table over the file's rows."""
    identifier = (
        "CASE WHEN prediction_id IS NULL OR prediction_id = '' THEN lpad(to_hex(epoch_us(predicted_at)), 14, '0')"
        f" || substr(sha256({literal(token)} || row_place), 1, 16) ELSE prediction_id END"
    )
    prediction = lake.columns.get("prediction") or "DOUBLE"
    given = {
        "prediction_id": identifier,
        "root_id": identifier,
        "predicted_at": "predicted_at",
        "recorded_at": "predicted_at",
        "version": f"coalesce(version, {literal(version) if version else 'NULL'})",
        "prediction": f"TRY_CAST(prediction AS {prediction})",
        "run_id": literal(run_id) if run_id else "NULL::VARCHAR",
        **{
            name: name
            for name in (
                "key",
                "unit",
                "endpoint",
                "role",
                "error",
                "score",
                "latency_seconds",
                "compute_seconds",
                "keep_probability",
            )
        },
    }
    return {name: given.get(name, f"NULL::{kind}") for name, kind in column_types("predictions").items()}


def _policy(model: Model, name: str) -> str:
    declared = model.feature(name)
    return declared.policy if declared else "keep"


def _kind(model: Model, name: str, column: Column, lake: LakeTable) -> str:
    """Return the type of a feature in the lake: as it is there, as declared, or as its column suggests."""
    if name in lake.inputs:
        return lake.inputs[name]
    declared = model.feature(name)
    if _policy(model, name) in {"hash", "redact"}:
        return "VARCHAR"
    if declared is not None and declared.kind == "integer":
        return "BIGINT"
    if column.kind == "BOOLEAN":
        return "BOOLEAN"
    numeric = column.kind.split("(")[0] in _NUMERIC
    return "DOUBLE" if numeric else "VARCHAR"


_NUMERIC = {
    "DOUBLE", "FLOAT", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT", "DECIMAL",
    "UBIGINT", "UINTEGER", "USMALLINT", "UTINYINT",
}  # fmt: skip


def _input(model: Model, name: str, column: Column, lake: LakeTable) -> str:
    text = f"CAST({column.sql} AS VARCHAR)"
    policy = _policy(model, name)
    if policy == "hash":
        return f"substr(sha256({text}), 1, 24)"
    if policy == "redact":
        return f"CASE WHEN {column.sql} IS NULL THEN NULL ELSE '[redacted]' END"
    kind = _kind(model, name, column, lake)
    declared = model.feature(name)
    if kind == "VARCHAR" and declared is None and model.free_text != "keep":
        return f"CASE WHEN length({text}) > {TEXT_LIMIT} THEN {literal(REDACTED)} ELSE {text} END"
    return f"TRY_CAST({column.sql} AS {kind})"


def _misfits(features: Mapping[str, Column], lake: LakeTable) -> list[str]:
    """Return SQL conditions under which a row's value would be lost in its column."""
    found: list[str] = []
    for name, column in features.items():
        kind = lake.inputs.get(name)
        if kind is not None and kind != "VARCHAR":
            found.append(f"({column.sql} IS NOT NULL AND TRY_CAST({column.sql} AS {kind}) IS NULL)")
            if kind == "BIGINT":
                found.append(f"(TRY_CAST({column.sql} AS DOUBLE) <> floor(TRY_CAST({column.sql} AS DOUBLE)))")
    return found


def _put_aside(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    model: Model,
    table: str,
    token: str,
    reason: str,
    hidden: Sequence[str] = (),
) -> int:
    """Commit bad rows to the quarantine as JSON text without the hidden columns; return how many."""
    shown = f"* EXCLUDE ({', '.join(hidden)})" if hidden else "*"
    count = cast("int", rows(connection, "SELECT count(*) FROM imported WHERE is_bad")[0][0])
    lake = LakeTable(layout.lake(model.name, "quarantine"))
    mark = f"{table}/{token}"
    if count and not lake.shipped(mark):
        now = f"make_timestamptz({layout.clock.now()})"
        lake.append(
            connection.sql(
                f"SELECT substr(sha256({literal(token)} || row_place), 1, 30) AS quarantine_id,"
                f" {literal(table)} AS source_table, {now} AS recorded_at, {literal(reason)} AS reason,"
                f" CAST(to_json(imported) AS VARCHAR) AS raw, {literal(token)} AS process, row_place AS line_number,"
                f" CAST({now} AS DATE) AS day, {lake.ship + 1}::BIGINT AS {SHIP}"
                f" FROM (SELECT {shown} FROM imported WHERE is_bad) AS imported"
            ),
            {mark: 1},
        )
    return count


def _import_tallies(
    connection: duckdb.DuckDBPyConnection, layout: Layout, model: Model, token: str, version: str | None
) -> None:
    lake = LakeTable(layout.lake(model.name, "tallies"))
    if lake.shipped(token):
        return
    given = {
        "process": literal(token),
        "sequence": "1::BIGINT",
        "recorded_at": "bucket_at",
        "version": f"coalesce(version, {literal(version) if version else 'NULL'})",
    }
    types = column_types("tallies")
    picked = ", ".join(f"CAST({given.get(name, name)} AS {kind}) AS {quoted(name)}" for name, kind in types.items())
    lake.append(
        connection.sql(
            f"SELECT {picked}, CAST(bucket_at AS DATE) AS day, {lake.ship + 1}::BIGINT AS {SHIP}"
            f" FROM ({tallies_of_rows()}) AS counted WHERE bucket_at IS NOT NULL"
        ),
        {token: 1},
    )


def _is_text(connection: duckdb.DuckDBPyConnection) -> bool:
    kind = rows(connection, "SELECT typeof(outcome) FROM imported WHERE outcome IS NOT NULL LIMIT 1")
    return bool(kind) and kind[0][0] == "VARCHAR"
