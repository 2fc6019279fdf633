"""How a column is read as a time, whatever it holds: a type, a text, or a number since 1970."""

from __future__ import annotations

from typing import cast

import duckdb

from setpoint.core.clock import time_zone
from setpoint.core.errors import ColumnError
from setpoint.store.engines.duck import literal, quoted, rows


def is_time_type(kind: str) -> bool:
    """Return whether an SQL type holds times.

    Example:
        >>> is_time_type("DATE"), is_time_type("TIMESTAMP WITH TIME ZONE"), is_time_type("VARCHAR")
        (True, True, False)
    """
    return kind == "DATE" or (kind.startswith("TIMESTAMP") and not kind.endswith("]"))


def time_sql(column: str, kind: str, zone: str) -> str:
    """Return SQL that reads a column as a time; a time without a zone is local to `zone`.

    Raises:
        ColumnError: The type cannot be a time.
    """
    time_zone(zone)
    if kind == "TIMESTAMP WITH TIME ZONE":
        return column
    if is_time_type(kind):
        return f"(CAST({column} AS TIMESTAMP) AT TIME ZONE {literal(zone)})"
    if kind == "VARCHAR":
        zoned = f"regexp_matches({column}, {literal(ZONED)})"
        local = f"(TRY_CAST({column} AS TIMESTAMP) AT TIME ZONE {literal(zone)})"
        return f"CASE WHEN {zoned} THEN TRY_CAST({column} AS TIMESTAMPTZ) ELSE {local} END"
    if kind in _WHOLE or kind == "DOUBLE":
        micros = " ".join(f"WHEN abs({column}) < {limit} THEN {column} * {factor}" for limit, factor in _EPOCHS)
        return f"TRY(make_timestamptz(CAST(CASE {micros} ELSE {column} // 1000 END AS BIGINT)))"
    msg = f"column {column} has type {kind}, which is no time"
    raise ColumnError(msg, hint="name another column with time=")


ZONED = "[:T ][0-9.]+ ?(Z|[+-][0-9][0-9]:?[0-9]*)$"  # the day of 2026-01-31 is no offset
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
