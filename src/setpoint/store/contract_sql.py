"""A contract over a whole table: every rule counted in one pass, by the ids that serving records.

The rules are those of `core.contract_closure`, value by value; a test holds the two together. What a table cannot
have is not asked: a column of texts breaks a rule about numbers in every row that has a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

import duckdb

from setpoint.core.contract import NUMBERS, Contract, ContractField, FieldKind, RuleSort, Scalar
from setpoint.core.contract_closure import TIME_PATTERN
from setpoint.core.expression import parse
from setpoint.core.pattern import pattern_for_sql
from setpoint.store.engines.duck import literal, quoted, rows
from setpoint.store.kinds import cast_sql
from setpoint.store.measures import Column

ABSENT = Column("NULL", "")
Sort = Literal["whole", "number", "text", "truth", "time", "other"]
_WHOLE = {
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
}
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Counts:
    """What one pass over a table found.

    Attributes:
        rows: How many rows there are.
        broken: How many of them break a rule, by its id; of `unique` how many stand in for a value once more.
        weight: How many rows they stand for, where only a share was kept; else `rows`.
        weights: Rows that break a rule, by its id, as many as they stand for; else `broken`.
        newest: The latest time of each field that must be fresh, microseconds; None without any.
        recorded: Rows for which the recorder noted the rule, by its id; empty for a file.
    """

    rows: int
    broken: Mapping[str, int]
    weight: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    newest: Mapping[str, int | None] = field(default_factory=dict[str, "int | None"])
    recorded: Mapping[str, int] = field(default_factory=dict[str, int])


def count_broken(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    contract: Contract,
    columns: Mapping[str, Column],
    *,
    is_untyped: bool = False,
    weight: str = "",
    recorded: str = "",
) -> Counts:
    """Count the rows that break each rule of a contract, in one pass.

    Args:
        connection: Where the table is.
        source: The table, as it stands after FROM.
        contract: The contract.
        columns: How each field is read; one that is left out has no value in any row.
        is_untyped: Whether its texts may be numbers, as in a CSV.
        weight: SQL of how many rows a row stands for; empty when each stands for itself.
        recorded: SQL of the ids that were noted when the row was recorded; empty when none were.

    Example:
        >>> connection = duckdb.connect()
        >>> contract = Contract((ContractField("delay", at_most=60),))
        >>> found = count_broken(connection, "(SELECT 90.0 AS delay)", contract, {"delay": Column("delay", "DOUBLE")})
        >>> found.rows, found.broken["delay.range"]
        (1, 1)
    """
    asked = broken_sql(contract, columns, is_untyped=is_untyped)
    counts = {("rows", ""): "count(*)"}
    counts |= {("broken", rule): _count(rule, sql) for rule, sql in asked.items() if sql}
    if weight:
        counts["weight", ""] = f"coalesce(sum({weight}), 0.0)"
        counts |= {
            ("weights", rule): f"coalesce(sum({weight}) FILTER (WHERE {sql}), 0.0)"
            for rule, sql in asked.items()
            if sql
        }
    for one in contract.fields:
        column = columns.get(one.name, ABSENT)
        if one.unique and column.kind:
            value = _cleaned(column)
            counts["broken", f"{one.name}.{RuleSort.UNIQUE}"] = f"count({value}) - count(DISTINCT {value})"
        if one.fresh_within is not None:
            counts["newest", one.name] = f"max({_micros(column)})"
    if recorded:
        for rule in contract.rules:
            if rule.sort.is_per_row:
                noted = f"list_contains(string_split({recorded}, ','), {literal(rule.id)})"
                counts["recorded", rule.id] = f"count(*) FILTER (WHERE {noted})"
    values = rows(connection, f"SELECT {', '.join(counts.values())} FROM {source}")[0]
    found: dict[str, dict[str, object]] = {}
    for (part, name), value in zip(counts, values, strict=True):
        found.setdefault(part, {})[name] = value
    total = cast("int", found["rows"][""])
    broken = {rule.id: 0 for rule in contract.rules if rule.sort not in _NOT_COUNTED}
    broken |= cast("dict[str, int]", found.get("broken", {}))
    return Counts(
        total,
        broken,
        cast("float", found["weight"][""]) if weight else float(total),
        {**broken, **cast("dict[str, float]", found.get("weights", {}))},
        cast("dict[str, int | None]", found.get("newest", {})),
        cast("dict[str, int]", found.get("recorded", {})),
    )


_NOT_COUNTED = {RuleSort.FRESHNESS, RuleSort.ROW_COUNT}


def broken_sql(contract: Contract, columns: Mapping[str, Column], *, is_untyped: bool = False) -> dict[str, str]:
    """Return SQL of whether a row breaks each rule, by its id; empty where no row of this table can.

    What is counted over rows is among them: `missing`. `unique`, `freshness` and `row_count` are not.
    """
    found: dict[str, str] = {}
    for one in contract.fields:
        reading = _read(one, columns.get(one.name, ABSENT), is_untyped=is_untyped)
        asked = {
            RuleSort.REQUIRED: reading.missing,
            RuleSort.KIND: reading.misfit,
            RuleSort.FINITE: reading.infinite,
            RuleSort.RANGE: _out_of_range(one, reading.value),
            RuleSort.ALLOWED: f"{reading.value} NOT IN ({', '.join(map(_literal, one.allowed))})",
            RuleSort.PATTERN: _unmatched(reading.value, literal(pattern_for_sql(one.pattern))),
            RuleSort.MISSING: reading.missing,
        }
        for rule in one.rules():
            if rule.sort in asked:
                sql = asked[rule.sort]
                is_guarded = rule.sort in {RuleSort.RANGE, RuleSort.ALLOWED, RuleSort.PATTERN}
                found[rule.id] = "" if is_guarded and not reading.value else f"{sql}{reading.guard * is_guarded}"
    if contract.conditions:
        from setpoint.store.expression_sql import condition_sql  # noqa: PLC0415 — brings sqlglot, slow to import

        def column(name: str) -> tuple[str, str]:
            name = name.removeprefix("inputs.")
            return _seen(columns.get(name, ABSENT), contract.field(name), is_untyped=is_untyped)

        for condition in contract.conditions:
            found[f"row.{condition.name}"] = f"NOT ({condition_sql(parse(condition.where), column)})"
    return found


def example_values(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    contract: Contract,
    columns: Mapping[str, Column],
    broken: Mapping[str, int],
    *,
    is_untyped: bool = False,
) -> dict[str, str]:
    """Return a value that breaks a rule, by the rule's id, for those that some row breaks and that can show one."""
    asked = broken_sql(contract, columns, is_untyped=is_untyped)
    shown = {
        rule.id: f"any_value(CAST({columns[rule.field].sql} AS VARCHAR)) FILTER (WHERE {asked[rule.id]})"
        for rule in contract.rules
        if broken.get(rule.id) and asked.get(rule.id) and rule.sort not in _SHOW_NONE and rule.field in columns
    }
    if not shown:
        return {}
    values = rows(connection, f"SELECT {', '.join(shown.values())} FROM {source}")[0]
    texts = {rule: str(value) for rule, value in zip(shown, values, strict=True)}
    return {rule: text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..." for rule, text in texts.items()}


_SHOW_NONE = {RuleSort.REQUIRED, RuleSort.MISSING, RuleSort.ROW}


@dataclass(frozen=True, slots=True)
class _Reading:
    """How a column is read as a field's kind.

    Attributes:
        missing: Whether there is no value.
        misfit: Whether there is one of another kind; empty when there never is.
        infinite: Whether the number is not finite; empty when it never is.
        value: The value; empty when none is ever of the kind.
        guard: What else must hold for the value to be asked about, led by AND.
    """

    missing: str
    misfit: str = ""
    infinite: str = ""
    value: str = ""
    guard: str = ""


def _read(one: ContractField, column: Column, *, is_untyped: bool) -> _Reading:
    missing, sort = _missing(column), _sort(column.kind)
    if not column.kind or one.kind is None:
        return _Reading(missing)
    if one.kind in NUMBERS:
        return _read_number(one.kind, column, sort, is_untyped=is_untyped)
    if one.kind == "categorical":
        return _read_text(column, sort)
    if (one.kind, sort) in {("boolean", "truth"), ("time", "time")}:
        return _Reading(missing, value=column.sql)
    if (one.kind, sort) == ("time", "text"):
        return _Reading(missing, f"NOT regexp_full_match(CAST({column.sql} AS VARCHAR), {literal(TIME_PATTERN)})")
    return _Reading(missing, f"NOT {missing}")


def _read_number(kind: FieldKind, column: Column, sort: Sort, *, is_untyped: bool) -> _Reading:
    missing, misfit, number = _missing(column), "", f"CAST({column.sql} AS DOUBLE)"
    if sort == "whole":
        return _Reading(missing, value=number)
    if sort == "text" and is_untyped:
        number = f"TRY_CAST(trim({column.sql}) AS DOUBLE)"
        missing = f"({column.sql} IS NULL OR coalesce(isnan({number}), false))"
        misfit = f"({column.sql} IS NOT NULL AND {number} IS NULL)"
    elif sort != "number":
        return _Reading(missing, f"NOT {missing}")
    finite = f" AND isfinite({number})"
    if kind == "integer":
        is_broken = f"{number} <> floor({number})"
        misfit = " OR ".join(part for part in (misfit, f"({is_broken}{finite})") if part)
        return _Reading(missing, f"({misfit})", f"isinf({number})", number, f"{finite} AND NOT {is_broken}")
    return _Reading(missing, misfit, f"isinf({number})", number, finite)


def _read_text(column: Column, sort: Sort) -> _Reading:
    missing = _missing(column)
    if sort == "number":
        number = f"CAST({column.sql} AS DOUBLE)"
        text = cast_sql(number, "DOUBLE", "VARCHAR")
        return _Reading(missing, f"isinf({number})", "", text, f" AND isfinite({number})")
    if sort in {"text", "whole", "truth"}:
        return _Reading(missing, value=column.sql if column.kind == "VARCHAR" else f"CAST({column.sql} AS VARCHAR)")
    return _Reading(missing, f"NOT {missing}")


def _out_of_range(one: ContractField, value: str) -> str:
    ends = [f"{value} < {_literal(one.at_least)}"] if one.at_least is not None else []
    ends += [f"{value} > {_literal(one.at_most)}"] if one.at_most is not None else []
    return f"({' OR '.join(ends)})"


def _unmatched(value: str, pattern: str) -> str:
    """Return SQL of whether a text does not match.

    `regexp_extract` alone would do but for empty matches; unlike `regexp_matches` DuckDB asks it once for each entry
    of a Parquet dictionary, which is five times faster.
    """
    return f"regexp_extract({value}, {pattern}) = '' AND NOT regexp_matches({value}, {pattern})"


def _count(rule: str, sql: str) -> str:
    """Return SQL of how many rows break a rule. A FILTER asks both sides of an AND of every row; CASE does not."""
    if rule.endswith(f".{RuleSort.PATTERN}"):
        return f"count(CASE WHEN {sql} THEN 1 END)"
    return f"count(*) FILTER (WHERE {sql})"


def _seen(column: Column, one: ContractField | None, *, is_untyped: bool) -> tuple[str, str]:
    """Return a column as conditions read it, and its type: no NaN, times in microseconds."""
    if not column.kind:
        return "CAST(NULL AS DOUBLE)", "DOUBLE"
    if _sort(column.kind) == "time":
        return _micros(column), "BIGINT"
    if one is not None and one.kind in NUMBERS and is_untyped and _sort(column.kind) == "text":
        number = f"TRY_CAST(trim({column.sql}) AS DOUBLE)"
        return _cleaned(Column(number, "DOUBLE")), "DOUBLE"
    return _cleaned(column), column.kind


def _cleaned(column: Column) -> str:
    return f"CASE WHEN NOT {_missing(column)} THEN {column.sql} END"


def _missing(column: Column) -> str:
    if column.kind in {"DOUBLE", "FLOAT"}:
        return f"({column.sql} IS NULL OR isnan({column.sql}))"
    return f"({column.sql} IS NULL)"


def _micros(column: Column) -> str:
    kind = column.kind if column.kind == "TIMESTAMP WITH TIME ZONE" or _sort(column.kind) != "time" else "TIMESTAMP"
    if kind == "VARCHAR":
        return f"epoch_us(TRY_CAST({column.sql} AS TIMESTAMP WITH TIME ZONE))"
    is_time = _sort(column.kind) == "time"
    return f"epoch_us(CAST({column.sql} AS {kind}))" if is_time else "CAST(NULL AS BIGINT)"


def _sort(kind: str) -> Sort:
    name = kind.partition("(")[0]
    if name in _WHOLE:
        return "whole"
    if name in {"DOUBLE", "FLOAT", "DECIMAL"} and not kind.endswith("[]"):
        return "number"
    if name in {"VARCHAR", "ENUM", "UUID", "JSON"} and not kind.endswith("[]"):
        return "text"
    if kind == "BOOLEAN":
        return "truth"
    return "time" if kind == "DATE" or (name.startswith("TIMESTAMP") and not kind.endswith("[]")) else "other"


def _literal(value: Scalar | None) -> str:
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    digits = repr(float(value or 0.0))
    return digits if "e" in digits else f"{digits}e0"


def columns_of(types: Mapping[str, str], contract: Contract) -> dict[str, Column]:
    """Return how the fields of a contract are read in a table: by their names, or as `inputs.NAME`.

    Example:
        >>> columns_of({"inputs.delay": "DOUBLE"}, Contract((ContractField("delay"),)))
        {'delay': Column(sql='"inputs.delay"', kind='DOUBLE', is_text=False)}
    """
    names = [one.name for one in contract.fields]
    for condition in contract.conditions:
        names += sorted(name.removeprefix("inputs.") for name in parse(condition.where).columns())
    found: dict[str, Column] = {}
    for name in names:
        column = next((one for one in (name, f"inputs.{name}") if one in types), None)
        if column is not None:
            found[name] = Column(quoted(column), types[column])
    return found
