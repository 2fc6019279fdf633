"""How the inputs of imported rows go into their columns, and which rows do not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import duckdb

from setpoint.core.model import Model
from setpoint.store.cells import odd_cells
from setpoint.store.engines.duck import literal, quoted
from setpoint.store.fitting import INPUT
from setpoint.store.kinds import cast_sql, declared_types
from setpoint.store.lake import LakeTable
from setpoint.store.measures import Column
from setpoint.store.shapes import REDACTED, TEXT_LIMIT


def mostly_numbers(
    connection: duckdb.DuckDBPyConnection,
    model: Model,
    features: Mapping[str, Column],
    lake: LakeTable,
    paths: Iterable[str],
) -> dict[str, Column]:
    """Return the features of CSV files whose type is open and that are numbers but for a few cells, as numbers."""
    if not all(Path(path).suffix.lower() in {".csv", ".tsv"} for path in paths):
        return {}
    known = {*lake.inputs, *declared_types(model)}
    texts = {
        column.sql: name
        for name, column in features.items()
        if column.kind == "VARCHAR" and name not in known and policy_of(model, name) == "keep"
    }
    found = odd_cells(connection, "predictions", (f"inputs.{name}" for name in texts.values()))
    odd = {quoted(column) for column in found}
    return {name: replace(features[name], kind="DOUBLE") for sql, name in texts.items() if sql in odd}


def policy_of(model: Model, name: str) -> str:
    """Return what happens to the values of a feature before they are kept."""
    declared = model.feature(name)
    return declared.policy if declared else "keep"


def _kind(model: Model, name: str, column: Column, lake: LakeTable) -> str:
    """Return the type of a feature in the lake: as it is there, as declared, or as its column suggests."""
    if name in lake.inputs:
        return lake.inputs[name]
    declared = declared_types(model).get(name)
    if declared is not None:
        return declared
    if column.kind == "BOOLEAN":
        return "BOOLEAN"
    numeric = column.kind.split("(")[0] in _NUMERIC
    return "DOUBLE" if numeric else "VARCHAR"


_NUMERIC = {
    "DOUBLE", "FLOAT", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT", "DECIMAL",
    "UBIGINT", "UINTEGER", "USMALLINT", "UTINYINT",
}  # fmt: skip


def input_sql(model: Model, name: str, column: Column, lake: LakeTable) -> str:
    """Return SQL of a feature as it stands in its column."""
    text = f"CAST({column.sql} AS VARCHAR)"
    policy = policy_of(model, name)
    if policy == "hash":
        return f"substr(sha256({text}), 1, 24)"
    if policy == "redact":
        return f"CASE WHEN {column.sql} IS NULL THEN NULL ELSE '[redacted]' END"
    kind = _kind(model, name, column, lake)
    declared = model.feature(name)
    if kind == "VARCHAR" and declared is None and model.free_text != "keep":
        return f"CASE WHEN length({text}) > {TEXT_LIMIT} THEN {literal(REDACTED)} ELSE {text} END"
    if kind == "VARCHAR" and column.kind == "DOUBLE":
        return cast_sql(column.sql, column.kind, kind)  # 80331.0 is the text 80331, as a recorder has it
    return f"TRY_CAST({column.sql} AS {kind})"


def misfits(model: Model, features: Mapping[str, Column], lake: LakeTable) -> dict[str, str]:
    """Return SQL conditions under which a row's value would be lost in its column, by the reason.

    The reasons begin like those of recorded rows, so that the rows come back in the same way once the
    declared kind fits them.
    """
    found: dict[str, str] = {}
    for name, column in features.items():
        kind = _kind(model, name, column, lake)
        if kind != "VARCHAR":
            condition = _misfit(column.sql, kind)
            found[f"{INPUT}{name} is {kind} in the table and a value does not fit"] = condition
    return found


def _misfit(column: str, kind: str) -> str:
    lost = f"({column} IS NOT NULL AND TRY_CAST({column} AS {kind}) IS NULL)"
    if kind == "BIGINT":
        lost = f"({lost} OR TRY_CAST({column} AS DOUBLE) <> floor(TRY_CAST({column} AS DOUBLE)))"
    return lost


def event_sql(
    model: Model, fixed: Mapping[str, str], features: Mapping[str, Column], lake: LakeTable, types: Mapping[str, str]
) -> str:
    """Return SQL of a row as the JSON of the event that a recorder would have made of it.

    A value that does not fit its column stands as the file has it.

    Args:
        model: The declaration.
        fixed: SQL of the fixed columns.
        features: The inputs that are kept.
        lake: The table.
        types: SQL types of the fixed columns.
    """
    told = [f"{quoted(name)} := {_json(sql, types.get(name, ''))}" for name, sql in fixed.items()]
    inputs: list[str] = []
    for name, column in features.items():
        kind = _kind(model, name, column, lake)
        value = _json(input_sql(model, name, column, lake), kind)
        if kind != "VARCHAR":
            value = f"CASE WHEN {_misfit(column.sql, kind)} THEN to_json({column.sql}) ELSE {value} END"
        inputs.append(f"{quoted(name)} := {value}")
    told += [f"inputs := struct_pack({', '.join(inputs)})"] if inputs else []
    return f"CAST(to_json(struct_pack({', '.join(told)})) AS VARCHAR)"


def _json(sql: str, kind: str) -> str:
    """Return SQL of a value as the recorder spells it: times in microseconds, and no bare NaN or Infinity."""
    if kind.startswith("TIMESTAMP"):
        return f"to_json(epoch_us({sql}))"
    if kind != "DOUBLE":
        return f"to_json({sql})"
    odd = f"CASE WHEN isnan({sql}) THEN 'NaN' WHEN {sql} > 0 THEN 'Infinity' ELSE '-Infinity' END"
    return f"CASE WHEN NOT isfinite({sql}) THEN to_json({odd}) ELSE to_json({sql}) END"
