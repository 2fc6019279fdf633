"""How features are binned: decided once, from the first rows and the values seen, and kept from then on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

import duckdb

from setpoint.core.model import Model
from setpoint.store.engines.duck import quoted, rows
from setpoint.store.measures import Column, Definition, Scale, Vocabulary, Words
from setpoint.store.primitives import finite, printed
from setpoint.store.texts import CAPITALS, LENGTH, NEW_WORDS, VOCABULARIES, known_words, measured, part_of

SAMPLE_ROWS = 10_000
_NAMED_VALUES = 50
_SEEN_VALUES = 10_000


def define(
    connection: duckdb.DuckDBPyConnection, model: Model, columns: Mapping[str, Column], *, order: str = ""
) -> Definition:
    """Freeze how features are binned: from the first rows' quartiles, and from the values seen.

    The bins need not be right, only stable: they are fine enough wherever the data goes.

    Args:
        connection: Where `predictions` is a view.
        model: The declaration, for the kinds of features.
        columns: What is to be binned.
        order: SQL that says which rows come first; a file's own order when empty.
    """
    source = f"(SELECT * FROM predictions{f' ORDER BY {order}' if order else ''} LIMIT {SAMPLE_ROWS})"
    features: dict[str, Scale | Vocabulary] = {}
    texts = [name for name, column in columns.items() if _is_text(model, name, column)]
    numeric = {
        name: column.sql
        for name, column in columns.items()
        if name not in texts and _is_numeric(model, name, column.kind)
    }
    features.update(_scales(connection, numeric, source))
    for name, column in columns.items():
        if name in texts:
            features.update(_parts(connection, name, column.sql, source))
        elif name not in features:
            features[name] = _vocabulary(connection, column.sql)
    return Definition(features)


def _scales(connection: duckdb.DuckDBPyConnection, columns: Mapping[str, str], source: str) -> dict[str, Scale]:
    if not columns:
        return {}
    quartiles = ", ".join(
        f"quantile_cont({printed(finite(f'CAST({sql} AS DOUBLE)'))}, [0.25, 0.5, 0.75])" for sql in columns.values()
    )
    found = rows(connection, f"SELECT {quartiles} FROM {source}")[0]
    return {name: _scale(cast("list[float] | None", q)) for name, q in zip(columns, found, strict=True)}


def _parts(connection: duckdb.DuckDBPyConnection, text: str, column: str, source: str) -> dict[str, Scale | Vocabulary]:
    """Return how what is measured of a text is binned."""
    known = known_words(connection, column, source)
    numbers = {part_of(text, part): quoted(part_of(text, part)) for part in (LENGTH, CAPITALS, NEW_WORDS)}
    scales = _scales(connection, numbers, f"({measured({text: (column, known)}, source)})")
    new = part_of(text, NEW_WORDS)
    named = {part_of(text, part): values for part, values in VOCABULARIES.items()}
    return {**scales, new: Words(scales[new].center, scales[new].scale, known), **named}


def _is_text(model: Model, name: str, column: Column) -> bool:
    declared = model.feature(name)
    return column.is_text if declared is None or declared.kind is None else declared.kind == "text"


def _is_numeric(model: Model, name: str, kind: str) -> bool:
    declared = model.feature(name)
    if declared is not None and declared.kind is not None:
        return declared.kind in {"numeric", "integer"} and kind != "VARCHAR"
    return is_number_type(kind)


def is_number_type(kind: str) -> bool:
    """Return whether an SQL type holds numbers.

    Example:
        >>> is_number_type("DECIMAL(18,3)"), is_number_type("VARCHAR")
        (True, False)
    """
    return kind in _NUMERIC or (kind.startswith("DECIMAL") and not kind.endswith("]"))


def is_nested_type(kind: str) -> bool:
    """Return whether an SQL type holds several values, or bytes.

    Example:
        >>> is_nested_type("DOUBLE[]"), is_nested_type("STRUCT(a INTEGER)"), is_nested_type("VARCHAR")
        (True, True, False)
    """
    return kind.startswith(("STRUCT", "MAP", "BLOB")) or kind.endswith("]")


_NUMERIC = {
    "DOUBLE", "FLOAT", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT",
    "UBIGINT", "UINTEGER", "USMALLINT", "UTINYINT", "UHUGEINT",
}  # fmt: skip


def _scale(quartiles: Sequence[float] | None) -> Scale:
    if quartiles is None:
        return Scale(0.0, 1.0)
    low, middle, high = quartiles
    spread = high - low
    if not math.isfinite(spread):
        spread = max(abs(low), abs(high))
    return Scale(float(middle), float(spread or abs(middle) or 1.0))


def _vocabulary(connection: duckdb.DuckDBPyConnection, column: str) -> Vocabulary:
    found = rows(
        connection,
        f"SELECT CAST({column} AS VARCHAR) AS v, count(*) AS n FROM predictions WHERE {column} IS NOT NULL"
        f" GROUP BY v ORDER BY n DESC, v LIMIT {_SEEN_VALUES}",
    )
    values = [cast("str", row[0]) for row in found]
    return Vocabulary(tuple(values[:_NAMED_VALUES]), tuple(values[_NAMED_VALUES:]))
