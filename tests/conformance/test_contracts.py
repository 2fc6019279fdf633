"""A contract finds the same rows one by one in Python and all at once in SQL, rule by rule."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.core.contract import Contract, ContractField, FieldKind, RowCondition
from setpoint.core.contract_closure import ContractCheck
from setpoint.core.values import plain
from setpoint.store.contract_sql import Column, count_broken

VALUES: dict[str, list[object]] = {
    "DOUBLE": [None, math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, 2.5, -3.0, 1e308, 5e-324, 2.0**53, 1e16, 1e300],
    "FLOAT": [None, math.nan, math.inf, 0.5, 2.0],
    "BIGINT": [None, 0, 1, 2, -3, 2**53, 2**53 + 1, 2**63 - 1],
    "HUGEINT": [None, 2**80, -1],
    "DECIMAL(10,2)": [None, Decimal("2.50"), Decimal("3.00")],
    "VARCHAR": [
        *(None, "", "AA", "aa", "1", "2.5", "NaN", "a\nb", "ab\n", "é", "٣"),
        *("2026-01-02", "2026-01-02T03:04:05Z", "x" * 300),
    ],
    "BOOLEAN": [None, True, False],
    "TIMESTAMP": [None, datetime(2026, 1, 2, 3, 4, 5)],  # noqa: DTZ001 - a column without a zone
    "DATE": [None, date(2026, 1, 2)],
    "INTEGER[]": [None, [1, 2]],
    "UUID": [None],
    "JSON": [None, "1", '{"a": 1}', '"AA"'],
}
KINDS: list[FieldKind | None] = ["numeric", "integer", "categorical", "boolean", "time", None]
PATTERNS = [r"^\w+$", "a.b", r"\d", r"^[^a-c]", "b$", r"\s", "(A|a){2}", r"^$", r"[\w\-]+é"]


def fields(column: str) -> list[ContractField]:
    """Return fields with every rule that a kind can have."""
    bare = [ContractField(column, kind, required=required) for kind in KINDS for required in (True, False)]
    ranges = [(0.0, 2.0), (None, 2.0**53), (-1e16, None), (1.5, 2.5)]
    ranged = [ContractField(column, kind, at_least=a, at_most=b) for kind in ("numeric", "integer") for a, b in ranges]
    listed = [
        ContractField(column, "numeric", allowed=(1, 2.5)),
        ContractField(column, "integer", required=True, allowed=(1, 2), at_least=1),
        ContractField(column, "categorical", allowed=("AA", "1", "2.5", "true", "", "1e+300", "10000000000000000")),
        ContractField(column, "boolean", allowed=(True,)),
    ]
    return [*bare, *ranged, *listed, *(ContractField(column, pattern=pattern) for pattern in PATTERNS)]


@pytest.mark.parametrize("kind", VALUES)
def test_every_rule_of_every_kind_counts_alike(kind: str) -> None:
    values = VALUES[kind]
    with duckdb.connect() as con:
        con.execute(f"SET TimeZone='UTC'; CREATE TABLE t (x {kind})")
        con.executemany("INSERT INTO t VALUES (?)", [[value] for value in values])
        for one in fields("x"):
            assert_alike(con, kind, one, values)


def assert_alike(con: duckdb.DuckDBPyConnection, kind: str, one: ContractField, values: list[object]) -> None:
    contract = Contract((one,))
    violations = ContractCheck(contract).violations
    online = Counter(rule for value in values for rule in violations({"x": value}))
    batch = count_broken(con, "t", contract, {"x": Column("x", kind)})
    per_row = [rule.id for rule in contract.rules if rule.sort.is_per_row]
    assert {rule: batch.broken[rule] for rule in per_row} == {rule: online[rule] for rule in per_row}, one
    assert batch.rows == len(values)


ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-9))])
EPOCHS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001 - the bounds of naive ones
NUMBER_TEXTS = (st.integers() | st.floats()).map(str)
ODD: dict[str, st.SearchStrategy[object]] = {
    "DOUBLE": st.floats() | st.sampled_from(VALUES["DOUBLE"]) | st.floats().map(np.float64),
    "FLOAT": st.floats(width=32) | st.floats(width=32).map(np.float32),
    "BIGINT": st.integers(-(2**63), 2**63 - 1) | st.integers(-(2**63), 2**63 - 1).map(np.int64),
    "DECIMAL(18,3)": st.decimals(-(10**14), 10**14, places=3),
    "VARCHAR": st.text() | NUMBER_TEXTS | EPOCHS.map(str) | st.sampled_from(["\0", "a\0b", "\U0001f600", " 1 ", "NaN"]),
    "BOOLEAN": st.booleans() | st.booleans().map(np.bool_),
    "TIMESTAMP": EPOCHS,
    "TIMESTAMP WITH TIME ZONE": st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=ZONES),  # noqa: DTZ001
    "DATE": st.dates(),
}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_odd_values_count_alike(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(ODD)))
    values = data.draw(st.lists(st.none() | ODD[kind], min_size=1, max_size=8))
    with duckdb.connect() as con:
        con.execute(f"SET TimeZone='UTC'; CREATE TABLE t (x {kind})")
        con.executemany("INSERT INTO t VALUES (?)", [[plain(value)] for value in values])
        for one in data.draw(st.lists(st.sampled_from(fields("x")), min_size=1, max_size=5)):
            assert_alike(con, kind, one, values)


CONDITIONS = [
    "n < m", "n IS NOT NULL", "coalesce(n, 0) > 1", "NOT (n > 1)", "n = m OR s = 'AA'", "length(s) < 3", "t > 0",
    "inputs.n <= m", "gone IS NULL", "gone > 1 AND n > 1", "s LIKE 'a%' OR f", "t IS NULL",
]  # fmt: skip
TYPES = {"n": "DOUBLE", "m": "DOUBLE", "s": "VARCHAR", "f": "BOOLEAN", "t": "TIMESTAMP WITH TIME ZONE"}
NUMBER = st.none() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0, 2.0]) | st.floats(-5, 5)
ROW = st.fixed_dictionaries(
    {
        "n": NUMBER,
        "m": NUMBER,
        "s": st.none() | st.sampled_from(["AA", "aab", "", "ü"]),
        "f": st.none() | st.booleans(),
        "t": st.none() | st.sampled_from([datetime(2026, 1, 1, tzinfo=UTC), datetime(1960, 1, 1, tzinfo=UTC)]),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=12))
def test_conditions_between_fields_count_alike(table: list[dict[str, object]]) -> None:
    named = [RowCondition(f"c{n}", where) for n, where in enumerate(CONDITIONS)]
    contract = Contract(tuple(map(ContractField, [*TYPES, "gone"])), tuple(named))
    violations = ContractCheck(contract).violations
    online = Counter(rule for row in table for rule in violations(row))
    with duckdb.connect() as con:
        con.execute(
            f"SET TimeZone='UTC'; CREATE TABLE t ({', '.join(f'{name} {kind}' for name, kind in TYPES.items())})"
        )
        con.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", [[row[name] for name in TYPES] for row in table])
        batch = count_broken(con, "t", contract, {name: Column(name, kind) for name, kind in TYPES.items()})
    assert {rule.id: batch.broken[rule.id] for rule in contract.rules} == {r.id: online[r.id] for r in contract.rules}
