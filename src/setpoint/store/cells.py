"""Cells of a file that do not fit their column: a CSV has no types, so that one of them makes all texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import cast

import duckdb

from setpoint.core.errors import ColumnError
from setpoint.store.engines.duck import literal, quoted, rows

ODD = "setpoint.odd"
"""The column of imported predictions with the row's texts that should be numbers, such as `score: n/a`."""
MOSTLY = 0.9
"""The share of a CSV column's values that make it a column of numbers."""


def odd_cells(connection: duckdb.DuckDBPyConnection, name: str, columns: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return the text columns that are numbers but for a few cells: how many those are, and all values.

    Args:
        connection: Where the columns are.
        name: The table.
        columns: Text columns of it.
    """
    found: dict[str, tuple[int, int]] = {}
    wanted = tuple(columns)
    counts = ", ".join(f"count({quoted(c)}), count({tried(c)})" for c in wanted)
    counted = cast("tuple[int, ...]", rows(connection, f"SELECT {counts} FROM {quoted(name)}")[0]) if wanted else ()
    for column, total, numbers in zip(wanted, counted[::2], counted[1::2], strict=True):
        if MOSTLY * total <= numbers < total:
            found[column] = (total - numbers, total)
    return found


def is_csv(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Return whether `load` made this of CSV files: they have no types, so that one cell makes a column text."""
    found = rows(connection, f"SELECT sql FROM duckdb_views() WHERE view_name = {literal(name)}")
    return bool(found) and "read_csv(" in cast("str", found[0][0])


def as_numbers(connection: duckdb.DuckDBPyConnection, name: str, columns: Iterable[str]) -> None:
    """Make text columns of a loaded file numbers: what is none is missing."""
    replaced = ", ".join(f"{tried(c)} AS {quoted(c)}" for c in columns)
    if replaced:
        as_text = quoted(f"{name} as text")
        connection.execute(
            f"ALTER VIEW {quoted(name)} RENAME TO {as_text};"
            f" CREATE VIEW {quoted(name)} AS SELECT * REPLACE ({replaced}) FROM {as_text}"
        )


def tried(column: str) -> str:
    """Return SQL for a text column as a number; null where it is none."""
    # Of a bare column DuckDB 2.0 makes the CSV reader's own cast, which raises where TRY_CAST must not.
    return f"TRY_CAST(trim({quoted(column)}) AS DOUBLE)"


def renamed_columns(connection: duckdb.DuckDBPyConnection, name: str, types: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of a CSV that got another name, by it: two differ only in upper and lower case.

    Args:
        connection: Where the file was loaded.
        name: Under which name.
        types: Its column types.
    """
    lower = {column.lower() for column in types}
    doubted = {c: c.rpartition("_")[0] for c in types if c.rpartition("_")[2].isdigit()}
    doubted = {new: old for new, old in doubted.items() if old.lower() in lower}
    if not doubted or not is_csv(connection, name):
        return {}
    sql = cast("str", rows(connection, f"SELECT sql FROM duckdb_views() WHERE view_name = {literal(name)}")[0][0])
    found = _FIRST_FILE.search(sql)
    if found is None:
        return {}
    header = rows(connection, f"SELECT * FROM read_csv({found[1]}, header=false, all_varchar=true) LIMIT 1")
    names = set(map(str, header[0])) if header else set[str]()
    return {new: old for new, old in doubted.items() if new not in names}


_FIRST_FILE = re.compile(r"list_value\(('(?:[^']|'')*')")


def odd_numbers(connection: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, str], *, allowed: float) -> str:
    """Return SQL for a row's texts where a number is asked for; null when there are none.

    Args:
        connection: Where the columns are.
        name: The table.
        columns: Text columns by the role that asks for a number.
        allowed: The share of a column's values that may be none.

    Raises:
        ColumnError: More than that are none.
    """
    cases: list[str] = []
    for role, column in columns.items():
        odd = f"{quoted(column)} IS NOT NULL AND {tried(column)} IS NULL"
        sql = f"SELECT count(*) FILTER ({odd}), min({quoted(column)}) FILTER ({odd}), count(*) FROM {quoted(name)}"
        count, example, total = cast("tuple[int, str, int]", rows(connection, sql)[0])
        if count > allowed * total:
            msg = f"{column!r} cannot be {role}: {count:,} of its values are no numbers, such as {example!r}"
            raise ColumnError(msg, hint=f"leave them empty, or map another column: --map {role}=COLUMN")
        cases.append(f"CASE WHEN {odd} THEN {literal(f'{role}: ')} || {quoted(column)} END")
    return f"nullif(concat_ws(', ', {', '.join(cases)}), '')" if cases else "NULL::VARCHAR"
