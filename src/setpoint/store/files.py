"""The user's own tables as the views that every answer reads: columns are renamed, nothing is copied."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import duckdb

from setpoint.core.clock import time_zone
from setpoint.core.errors import ColumnError, EmptyFile, UsageError
from setpoint.core.events import TABLES, column_types
from setpoint.store.engines.duck import literal, quoted, rows
from setpoint.store.measures import Column, tallies_of_rows

ROLES: tuple[str, ...] = (
    "time", "key", "prediction_id", "unit", "version", "endpoint", "prediction", "score", "outcome",
    "latency_seconds", "compute_seconds", "cost_usd", "value_usd", "error", "keep_probability",
)  # fmt: skip
_READERS = {".parquet": "read_parquet", ".csv": "read_csv", ".tsv": "read_csv", ".ndjson": "read_json",
            ".jsonl": "read_json", ".json": "read_json"}  # fmt: skip
_OPTIONS = {
    "read_parquet": ", union_by_name=true",
    "read_csv": ", sample_size=-1",
    "read_json": ", sample_size=-1",
}


@runtime_checkable
class ArrowTable(Protocol):
    """Any object with the Arrow C stream: polars, pandas, DuckDB, pyarrow."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the stream's capsule."""
        ...


Source = str | Path | ArrowTable | Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Mapped:
    """Which column plays which role.

    Attributes:
        roles: Column by role; a role that is absent has no column.
        inputs: The feature columns.
        scales: Factor that brings a role's column to its unit, such as 0.001 for milliseconds.
        left_out: Columns that play no role: nested ones, and texts that differ in almost every row.
    """

    roles: Mapping[str, str]
    inputs: tuple[str, ...]
    scales: Mapping[str, float] = field(default_factory=dict[str, float])
    left_out: tuple[str, ...] = ()


class _Stream:
    """Hides everything but the stream, so that DuckDB does not ask for pyarrow."""

    def __init__(self, table: ArrowTable) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def load(connection: duckdb.DuckDBPyConnection, source: Source, name: str) -> dict[str, str]:
    """Make a source readable under a name and return its column types.

    Raises:
        UsageError: The file is not there, or its format is not known.
        EmptyFile: It has no rows.
    """
    if isinstance(source, ArrowTable) and not isinstance(source, str | Path):
        _load_object(connection, source, name)
        said = "the table"
    else:
        listed = [source] if isinstance(source, str | Path) else list(source)
        said = ", ".join(str(path) for path in listed)
        _load_files(connection, [str(path) for path in listed], name)
    types = cast("dict[str, str]", {row[0]: row[1] for row in rows(connection, f"DESCRIBE {quoted(name)}")})
    if not rows(connection, f"SELECT 1 FROM {quoted(name)} LIMIT 1"):
        msg = f"no rows in {said}"
        raise EmptyFile(msg, hint="check the path and the filter that wrote it")
    return types


def _load_object(connection: duckdb.DuckDBPyConnection, source: ArrowTable, name: str) -> None:
    if type(source).__module__.partition(".")[0] == "pandas":
        connection.register(f"{name}_object", source)
    else:
        connection.register(f"{name}_object", _Stream(source))
    try:
        connection.execute(f"CREATE TABLE {quoted(name)} AS SELECT * FROM {quoted(name + '_object')}")
    except duckdb.Error as error:
        msg = f"cannot read the table: {str(error).splitlines()[0]}"
        raise UsageError(msg, hint="a column without any type, such as one of nulls only, must be given one") from error


def _load_files(connection: duckdb.DuckDBPyConnection, paths: list[str], name: str) -> None:
    for path in paths:
        if not any(letter in path for letter in "*?[") and not Path(path).exists():
            msg = f"no file at {path}"
            raise UsageError(msg, hint="give a path, or a pattern such as 'predictions/*.parquet'")
    suffix = Path(paths[0]).suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None:
        msg = f"cannot read {paths[0]}: unknown file type {suffix or '(none)'}"
        raise UsageError(msg, hint=f"known types: {', '.join(_READERS)}")
    listed = ", ".join(literal(path) for path in paths)
    try:
        connection.execute(f"CREATE VIEW {quoted(name)} AS SELECT * FROM {reader}([{listed}]{_OPTIONS[reader]})")
    except duckdb.Error as error:
        first = str(error).splitlines()[0]
        if "No files found" in first:
            msg = f"no file matches {', '.join(paths)}"
            raise UsageError(msg, hint="check the pattern") from error
        msg = f"cannot read {', '.join(paths)}: {first}"
        raise EmptyFile(msg) if "empty" in first.lower() else UsageError(msg) from error


def check_columns(wanted: Mapping[str, str], types: Mapping[str, str]) -> None:
    """Refuse a mapping to a column that is not there.

    Raises:
        ColumnError: A column is missing.
    """
    for role, column in wanted.items():
        if column not in types:
            near = difflib.get_close_matches(column, types, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"columns: {', '.join(list(types)[:20])}"
            msg = f"no column {column!r} for {role}"
            raise ColumnError(msg, hint=hint)


def time_sql(column: str, kind: str, zone: str) -> str:
    """Return SQL that reads a column as a time; a time without a zone is local to `zone`.

    Raises:
        ColumnError: The type cannot be a time.
    """
    time_zone(zone)
    if kind == "TIMESTAMP WITH TIME ZONE":
        return column
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        return f"(CAST({column} AS TIMESTAMP) AT TIME ZONE {literal(zone)})"
    if kind == "VARCHAR":
        zoned = f"regexp_matches({column}, '(Z|[+-][0-9][0-9]:?[0-9]*)$')"
        local = f"(TRY_CAST({column} AS TIMESTAMP) AT TIME ZONE {literal(zone)})"
        return f"CASE WHEN {zoned} THEN TRY_CAST({column} AS TIMESTAMPTZ) ELSE {local} END"
    if kind in _WHOLE or kind == "DOUBLE":
        micros = " ".join(f"WHEN abs({column}) < {limit} THEN {column} * {factor}" for limit, factor in _EPOCHS)
        return f"make_timestamptz(CAST(CASE {micros} ELSE {column} // 1000 END AS BIGINT))"
    msg = f"column {column} has type {kind}, which is no time"
    raise ColumnError(msg, hint="name another column with time=")


_WHOLE = ("BIGINT", "INTEGER", "UBIGINT", "UINTEGER", "HUGEINT")
# Seconds, milliseconds, microseconds, else nanoseconds: told apart by size for years 1973 to 5000.
_EPOCHS = (("1e11", "1000000"), ("1e14", "1000"), ("1e17", "1"))


def shifted_times(connection: duckdb.DuckDBPyConnection, name: str, column: str, kind: str, zone: str) -> int:
    """Count local times that do not exist in a zone: the hour that daylight saving skips."""
    if not (kind.startswith("TIMESTAMP") and kind != "TIMESTAMP WITH TIME ZONE"):
        return 0
    local = f"CAST({quoted(column)} AS TIMESTAMP)"
    back = f"(({local} AT TIME ZONE {literal(zone)}) AT TIME ZONE {literal(zone)})"
    sql = f"SELECT count(*) FROM {quoted(name)} WHERE {back} <> {local}"
    return cast("int", rows(connection, sql)[0][0])


def create_views(
    connection: duckdb.DuckDBPyConnection,
    predictions: tuple[str, Mapping[str, str], Mapped],
    outcomes: tuple[str, Mapping[str, str], Mapped] | None,
    zone: str,
) -> dict[str, Column]:
    """Create the views of a snapshot over user tables and return how each feature is read.

    Args:
        connection: Where the tables were loaded.
        predictions: Name, column types and mapping of the predictions table.
        outcomes: The same for a second table of outcomes; None when the first has them.
        zone: The zone of times without one.
    """
    name, types, mapped = predictions
    features = {column: Column(quoted(f"inputs.{column}"), types[column]) for column in mapped.inputs}
    selected = [f"{quoted(column)} AS {quoted(f'inputs.{column}')}" for column in mapped.inputs]
    is_joined = outcomes is None
    numbered = "CAST(row_number() OVER () AS VARCHAR)"
    identifier = _role(mapped, "prediction_id", "''" if is_joined else numbered)
    fixed = {
        "prediction_id": f"CAST({identifier} AS VARCHAR)",
        "predicted_at": _time(mapped, types, zone),
        "parent_id": "NULL::VARCHAR",
        "role": "'stable'",
        **{role: f"CAST({_role(mapped, role)} AS VARCHAR)" for role in ("key", "unit", "version", "endpoint", "error")},
        **{role: f"CAST({_role(mapped, role)} AS DOUBLE)" for role in _NUMBERS},
        "prediction": _role(mapped, "prediction", "CAST(NULL AS DOUBLE)"),
        "outcome": _role(mapped, "outcome", "CAST(NULL AS DOUBLE)"),
        "ship": "CAST(NULL AS BIGINT)",
    }
    columns = ", ".join([*(f"{sql} AS {column}" for column, sql in fixed.items()), *selected])
    connection.execute(
        f"CREATE VIEW predictions AS SELECT *, prediction_id AS root_id, predicted_at AS recorded_at FROM"
        f" (SELECT {columns} FROM {quoted(name)})"
    )
    _create_outcomes(connection, outcomes, zone, has_time="time" in mapped.roles)
    for table in TABLES:
        if table not in {"predictions", "outcomes", "tallies"}:
            nothing = ", ".join(f"NULL::{kind} AS {quoted(column)}" for column, kind in column_types(table).items())
            connection.execute(f"CREATE VIEW {table} AS SELECT {nothing} WHERE false")
    connection.execute(f"CREATE VIEW tallies AS {tallies_of_rows()}")
    return features


def _create_outcomes(
    connection: duckdb.DuckDBPyConnection,
    outcomes: tuple[str, Mapping[str, str], Mapped] | None,
    zone: str,
    *,
    has_time: bool,
) -> None:
    fixed = column_types("outcomes")
    if outcomes is None:
        nothing = ", ".join(f"NULL::{kind} AS {quoted(column)}" for column, kind in fixed.items())
        connection.execute(f"CREATE VIEW outcomes AS SELECT {nothing}, NULL::BIGINT AS ship WHERE false")
        return
    name, types, mapped = outcomes
    by_id = "prediction_id" in mapped.roles
    # Without a time of its own an outcome is taken as later than every prediction.
    observed = (
        _time(mapped, types, zone) if "time" in mapped.roles and has_time else "make_timestamptz(253402300799000000)"
    )
    columns = {
        "outcome_id": "CAST(row_number() OVER () AS VARCHAR)",
        "prediction_id": f"CAST({_role(mapped, 'prediction_id')} AS VARCHAR)",
        "key": "CAST(NULL AS VARCHAR)" if by_id else f"CAST({_role(mapped, 'key')} AS VARCHAR)",
        "kind": "'final'",
        "observed_at": observed,
        "recorded_at": observed,
        "revision": "0",
        "retracted": "false",
        "outcome": _role(mapped, "outcome"),
        "value_usd": f"CAST({_role(mapped, 'value_usd')} AS DOUBLE)",
        "ship": "CAST(NULL AS BIGINT)",
    }
    selected = ", ".join(f"{sql} AS {column}" for column, sql in columns.items())
    connection.execute(f"CREATE VIEW outcomes AS SELECT {selected} FROM {quoted(name)}")


_NUMBERS = ("score", "latency_seconds", "compute_seconds", "cost_usd", "value_usd", "keep_probability")


def _role(mapped: Mapped, role: str, otherwise: str = "NULL") -> str:
    column = mapped.roles.get(role)
    if column is None:
        return otherwise
    scale = mapped.scales.get(role)
    return quoted(column) if scale is None else f"{quoted(column)} * {scale!r}"


def _time(mapped: Mapped, types: Mapping[str, str], zone: str) -> str:
    column = mapped.roles.get("time")
    return "NULL::TIMESTAMPTZ" if column is None else time_sql(quoted(column), types[column], zone)
