"""DuckDB, in memory, over files: the embedded engine."""

from __future__ import annotations

import atexit
import os
from contextlib import suppress
from functools import cache

import duckdb

from setpoint.core.errors import StoreError

Row = tuple[object, ...]


def connect() -> duckdb.DuckDBPyConnection:
    """Return a connection that reads times as UTC and needs no extension.

    `asof_loop_join_threshold=0`: DuckDB 2.0 plans an ASOF join over a filtered scan as a nested loop
    and does not finish (measured: 1.1 s with the setting, over 50 s without).
    Without `statistics_propagation`: Parquet's minima and maxima leave NaN out, and from them DuckDB 2.0
    concludes that `isnan(x)` is false and `x BETWEEN 0 AND 1` true in every row.
    """
    return _settled(duckdb.connect(":memory:"))


def session() -> duckdb.DuckDBPyConnection:
    """Return a connection to this process's one DuckDB, as quick to make as a query: for temporary tables and views.

    An engine of its own takes 20 ms to make, which is more than most questions take.
    """
    return _settled(_engine().cursor())


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    return connect()


atexit.register(_engine.cache_clear)  # else it is told of what DuckDB leaks when Python ends
os.register_at_fork(before=_engine.cache_clear)  # a child has none of an engine's threads, and would wait for them


def cursor(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Return a second connection to the same tables and views, with temporary ones of its own."""
    return _settled(connection.cursor())  # a cursor starts with DuckDB's settings, not with its connection's


def _settled(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    threads = int(os.environ.get("SETPOINT_THREADS", "0")) or min(4, os.cpu_count() or 1)
    connection.execute(
        f"SET TimeZone='UTC'; SET asof_loop_join_threshold=0; SET threads={threads};"
        " SET autoinstall_known_extensions=false; SET autoload_known_extensions=false;"
        " SET disabled_optimizers='statistics_propagation'"
    )
    with suppress(duckdb.InvalidInputException):  # in a notebook without ipywidgets, where there is no bar anyway
        connection.execute("SET enable_progress_bar=false")
    return connection


def rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[Row]:
    """Run a query and return its rows. Project times to `epoch_us`: DuckDB wants pytz for the rest.

    Raises:
        StoreError: A file that the query reads is damaged or gone.
    """
    try:
        return connection.execute(sql).fetchall()
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        msg = f"a file cannot be read: {str(error).splitlines()[0]}"
        raise StoreError(
            msg,
            hint="write it again if it is yours; in a store, restore it from a backup or move the day's folder away",
        ) from error


def quoted(name: str) -> str:
    """Return a name as a quoted identifier.

    Example:
        >>> quoted('a b')
        '"a b"'
    """
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as an SQL literal.

    Example:
        >>> literal("it's")
        "'it''s'"
    """
    if "\0" in text:  # DuckDB 1.5 ends a literal there; 2.0 does not
        mark = next(mark for mark in map(chr, range(0xE000, 0xF8FF)) if mark not in text)
        return f"replace({literal(text.replace(chr(0), mark))}, '{mark}', chr(0))"
    return "'" + text.replace("'", "''") + "'"


def at(micros: int) -> str:
    """Return a time as SQL."""
    return f"make_timestamptz({micros})"
