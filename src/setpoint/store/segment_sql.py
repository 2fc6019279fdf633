"""Segments as a relation: the SQL that reads NDJSON lines into a table's typed columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from setpoint.core.events import DECIDED_BY_DATA, IDENTIFIER, PARTITIONED_BY, TIMESTAMP, column_defaults, column_types
from setpoint.store.engines.duck import literal, quoted
from setpoint.store.segments import Header


@dataclass(frozen=True, slots=True)
class Columns:
    """The column types that a relation over lake and spool has.

    Attributes:
        fixed: Type of each column but `inputs`.
        inputs: Type of each feature.
        cast: Features whose type is the declared one: values of another type are cast to it.
    """

    fixed: Mapping[str, str]
    inputs: Mapping[str, str]
    cast: frozenset[str] = frozenset()


def merged_columns(
    table: str,
    lake_fixed: Mapping[str, str],
    lake_inputs: Mapping[str, str],
    headers: Iterable[Header],
    declared: Mapping[str, str],
) -> Columns:
    """Return the columns of a table: the lake's types win, then the declared, then the oldest segment's."""
    decided = {name: kind for name, kind in lake_fixed.items() if name in DECIDED_BY_DATA}
    inputs = dict(lake_inputs)
    for header in headers:
        for name in DECIDED_BY_DATA:
            if name in header.columns:
                decided.setdefault(name, header.columns[name])
        spelled = {name.lower(): name for name in inputs}
        for name, kind in header.inputs.items():
            if spelled.get(name.lower(), name) == name:  # the engine tells no upper from lower case
                inputs.setdefault(name, declared.get(name, kind))
    fixed = {**column_types(table), **lake_fixed, **decided}
    return Columns(fixed, inputs, frozenset(name for name, kind in inputs.items() if declared.get(name) == kind))


def conflicts(header: Header, columns: Columns) -> dict[str, str]:
    """Return the columns whose type in a segment cannot stand in the table, with the table's type."""
    found = {
        name: columns.fixed[name]
        for name in DECIDED_BY_DATA
        if not _stands(header.columns.get(name), columns.fixed.get(name))
    }
    found.update(
        {
            f"inputs.{name}": columns.inputs.get(name, "spelled otherwise")
            for name, kind in header.inputs.items()
            if name not in columns.inputs or not _stands(kind, columns.inputs[name])
        }
    )
    return found


def select_segments(table: str, uris: Sequence[str], columns: Columns, *, with_file: bool = False) -> str:
    """Return SQL over segments with the table's columns in order; broken lines and headers left out.

    Args:
        table: The table.
        uris: Paths of the segments; at least one.
        columns: What `merged_columns` returned.
        with_file: Select only `filename` and the number of lines that are no rows.
    """
    typed = {name: "BIGINT" if kind == TIMESTAMP else kind for name, kind in columns.fixed.items()}
    if with_file:
        typed = {name: typed[name] for name in (IDENTIFIER[table], PARTITIONED_BY[table])}
    elif columns.inputs:
        members = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.inputs.items())
        typed["inputs"] = f"STRUCT({members})"
    spec = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in typed.items())
    files = ", ".join(literal(uri) for uri in uris)
    source = (
        f"read_json([{files}], format='newline_delimited', ignore_errors=true, columns={{{spec}}}"
        f"{', filename=true' if with_file else ''})"
    )
    is_row = f"({quoted(IDENTIFIER[table])} IS NOT NULL AND {quoted(PARTITIONED_BY[table])} IS NOT NULL)"
    if with_file:
        return f"SELECT filename, count(*) FROM {source} WHERE NOT {is_row} GROUP BY filename"
    defaults = column_defaults(table)
    picked = ", ".join(_picked(name, columns.fixed.get(name), defaults.get(name)) for name in typed)
    return f"SELECT {picked} FROM {source} WHERE {is_row}"


def _picked(name: str, kind: str | None, default: str | None) -> str:
    column = quoted(name)
    if kind == TIMESTAMP:
        return f"make_timestamptz({column}) AS {column}"
    return column if default is None else f"coalesce({column}, {default}) AS {column}"


def _stands(found: str | None, column: str | None) -> bool:
    if found is None or column is None or found == column:
        return True
    # A whole-number column refuses doubles here: the engine would cut 2.5 to 2 without a word.
    return column == "DOUBLE" and found in {"BIGINT", "BOOLEAN"}
