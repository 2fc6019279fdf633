"""A condition answers the same in Python and in DuckDB, for every tree and every row."""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from setpoint.core.expression import evaluate, parse
from setpoint.core.expression_tree import Comparison, Like, Literal, Negate
from setpoint.store.expression_sql import ColumnOf, to_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlglot.expressions import Expr  # sqlglot 28 calls it Expression

TYPES = {
    "n": "DOUBLE",
    "m": "DOUBLE",
    "i": "BIGINT",
    "s": "VARCHAR",
    "t": "VARCHAR",
    "f": "BOOLEAN",
    "g": "BOOLEAN",
    "z": "DOUBLE",
}
ROWS: list[dict[str, object]] = [
    dict(zip(TYPES, values, strict=True))
    for values in [
        (1.5, 2.0, 1, "AA", "aa", True, False, None),
        (0.0, -0.0, 0, "", " ", False, True, None),
        (-0.0, 0.0, -1, "a\nb", "a_b%", None, True, None),
        (math.nan, 1.0, 5, "ß", "İ", True, None, None),
        (math.nan, math.nan, None, "Straße", "STRASSE", None, None, None),
        (math.inf, math.nan, 2**53 + 1, "é", "e\u0301", False, False, None),
        (-math.inf, math.inf, -(2**63), "👍🏽", "Σας", True, True, None),
        (1e308, 1e-308, 2**63 - 1, "it's", '"', False, None, None),
        (5e-324, -5e-324, 7, "\u1f80\ufb00\u01c5", "A", True, False, None),
        (0.1, 0.3, 3, "\x01", "\\", None, False, None),
        (None, 5.0, 2, None, "x", None, None, None),
        (2.0, None, 2, "x", None, True, True, None),
        (None, None, None, None, None, None, None, None),
        (1.0, 1.0, 1, "true", "1", True, True, None),
    ]
]


@pytest.fixture(scope="module")
def table() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE t ({', '.join(f'{name} {kind}' for name, kind in TYPES.items())}, place INTEGER)")
        holes = ", ".join("?" for _ in range(len(TYPES) + 1))
        con.executemany(f"INSERT INTO t VALUES ({holes})", [[*row.values(), i] for i, row in enumerate(ROWS)])
        yield con


def untyped(name: str) -> Expr:
    return exp.column(name, table="t", quoted=True)


def typed(name: str) -> Expr:
    found = untyped(name)
    found.type = exp.DataType.build(TYPES[name], dialect="duckdb")
    return found


def answers(con: duckdb.DuckDBPyConnection, text: str, column: ColumnOf) -> list[bool | None]:
    sql = to_sql(parse(text), column).sql("duckdb")
    return [row[0] for row in con.execute(f"SELECT {sql} FROM t ORDER BY place").fetchall()]


def wrapped(*parts: str) -> Callable[[tuple[str, ...]], str]:
    return lambda values: "(" + "".join(a + b for a, b in zip(parts, (*values, ""), strict=True)) + ")"


def build(*parts: str, of: tuple[st.SearchStrategy[str], ...]) -> st.SearchStrategy[str]:
    return st.tuples(*of).map(wrapped(*parts))


NAMES = st.sampled_from(list(TYPES))
FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=0).map(repr)
LETTERS = st.text(st.sampled_from("aAbB_%'\" \\ßéΣς👍\n.^$"), max_size=4)
QUOTED = LETTERS.map(lambda text: "'" + text.replace("'", "''") + "'")


def numbers(deeper: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from([" + ", " - ", " * ", " / "])
    leaf = NAMES | st.sampled_from(["0", "1", "2.5", "0.1", "1e308", "NULL"]) | FINITE
    texts = NAMES | QUOTED
    small = leaf | build("length(", ")", of=(texts,)) | build("abs(", ")", of=(leaf,)) | build("-", "", of=(leaf,))
    both = build("", "", "", "", of=(small, signs, small))
    return small | both | build("coalesce(", ", ", ")", of=(small, both)) | deeper


def strings() -> st.SearchStrategy[str]:
    leaf = NAMES | QUOTED
    one = leaf | build("lower(", ")", of=(leaf,)) | build("upper(", ")", of=(leaf,))
    return one | build("coalesce(", ", ", ")", of=(leaf, one))


def conditions() -> st.SearchStrategy[str]:
    signs = st.sampled_from([" = ", " <> ", " < ", " <= ", " > ", " >= "])
    number, string = numbers(NAMES), strings()
    free = NAMES | build("coalesce(", ", ", ")", of=(NAMES, NAMES)) | st.just("NULL")
    leaf = st.sampled_from(["TRUE", "FALSE", "NULL", "f", "g", "n", "s", "coalesce(f, g)", "coalesce(s, f)"])
    for value in (number, string, free):
        leaf |= build("", "", "", "", of=(value, signs, value))
        leaf |= build("", " IN (", ", ", ")", of=(value, value, value))
        leaf |= build("", " NOT IN (", ", NULL, ", ")", of=(value, value, value))
        leaf |= build("", " BETWEEN ", " AND ", "", of=(value, value, value))
        leaf |= build("", " NOT BETWEEN ", " AND ", "", of=(value, value, value))
        leaf |= build("", " IS NULL", of=(value,)) | build("", " IS NOT NULL", of=(value,))
    leaf |= build("", " LIKE ", "", of=(string, QUOTED)) | build("", " NOT LIKE ", "", of=(string, QUOTED))
    return st.recursive(
        leaf,
        lambda inner: (
            build("", " AND ", "", of=(inner, inner))
            | build("", " OR ", " OR ", "", of=(inner, inner, inner))
            | build("NOT ", "", of=(inner,))
            | build("", " = ", "", of=(inner, inner))
            | build("", " < ", "", of=(inner, inner))
        ),
        max_leaves=5,
    )


@settings(max_examples=250, deadline=None)
@given(text=conditions(), column=st.sampled_from([typed, untyped]))
def test_python_and_duckdb_agree(table: duckdb.DuckDBPyConnection, text: str, column: ColumnOf) -> None:
    tree = parse(text)
    assert answers(table, text, column) == [evaluate(tree, row) for row in ROWS]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(["f", "g", "NOT f", "n > 1", "n + m * 2 - m / 4 < i", "NOT i = 2"]),
        min_size=2,
        max_size=6,
    ),
    st.data(),
)
def test_precedence_is_that_of_sql(table: duckdb.DuckDBPyConnection, parts: list[str], data: st.DataObject) -> None:
    text = parts[0]
    for part in parts[1:]:
        text += data.draw(st.sampled_from([" AND ", " OR ", " AND NOT "])) + part
    raw = table.execute(f"SELECT {text} FROM t ORDER BY place").fetchall()
    assert answers(table, text, typed) == [row[0] for row in raw]


LIKED = st.text(st.sampled_from("ab%_\n"), max_size=8)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text(st.sampled_from("ab\n%"), max_size=8), LIKED), min_size=20, max_size=20))
def test_patterns_match_as_in_duckdb(table: duckdb.DuckDBPyConnection, pairs: list[tuple[str, str]]) -> None:
    for text, pattern in pairs:
        found = table.execute("SELECT ? LIKE ?", [text, pattern]).fetchall()[0][0]
        assert evaluate(Like(Literal(text), pattern), {}) is found


def test_letters_change_as_in_duckdb(table: duckdb.DuckDBPyConnection) -> None:
    known = [code for code in range(1, 0x110000) if unicodedata.ucd_3_2_0.category(chr(code)) not in {"Cn", "Cs"}]
    for name in ("lower", "upper"):
        sql = f"SELECT list({name}(chr(code)) ORDER BY code) FROM (SELECT unnest(?::INTEGER[]) AS code)"
        changed = table.execute(sql, [known]).fetchall()[0][0]
        same = parse(f"{name}(a) = b")
        differ = [chr(c) for c, b in zip(known, changed, strict=True) if not evaluate(same, {"a": chr(c), "b": b})]
        assert differ == []


def test_long_conditions_fit_the_engine(table: duckdb.DuckDBPyConnection) -> None:
    for text in (
        " OR ".join(f"i = {value}" for value in range(3000)),
        f"i IN ({', '.join(map(str, range(3000)))})",
    ):
        assert answers(table, text, untyped) == [evaluate(parse(text), row) for row in ROWS]


def test_a_filter_on_an_untyped_column_is_bound_away(table: duckdb.DuckDBPyConnection) -> None:
    sql = to_sql(parse("n > 5 AND s = 'AA'"), untyped).sql("duckdb")
    plan = str(table.execute(f"EXPLAIN SELECT n FROM t WHERE {sql}").fetchall())
    assert "typeof" not in plan.lower()
    assert "CASE" not in plan


def one_answer(text: str, value: str) -> bool | None:
    sql = to_sql(parse(text), exp.column).sql("duckdb")
    with duckdb.connect() as con:
        return con.execute(f"SELECT {sql} FROM (SELECT {value} AS x)").fetchall()[0][0]


@pytest.mark.parametrize("declared", ["DECIMAL(9, 2)", "FLOAT", "UTINYINT", "HUGEINT"])
def test_every_numeric_type_is_a_number(declared: str) -> None:
    assert one_answer("x > 4 AND x < 6", f"5::{declared}") is True


def test_an_enum_is_text_and_a_timestamp_is_of_no_kind() -> None:
    assert one_answer("x = 'b'", "'b'::ENUM('a', 'b')") is True
    assert one_answer("x > 5 OR x = 'b'", "now()") is None


def test_typed_columns_print_plainly() -> None:
    sql = to_sql(parse("s = 'AA' AND n / m > 1"), typed).sql("duckdb")
    assert sql == (
        """(CAST("t"."s" AS TEXT) = 'AA') AND """
        """((CAST("t"."n" AS DOUBLE) / NULLIF(CAST("t"."m" AS DOUBLE), 0.0e0)) > 1.0e0)"""
    )


def test_hand_built_clashes_are_null() -> None:
    for tree in (Comparison("=", Literal("x"), Literal(1.0)), Negate(Literal("x"))):
        assert duckdb.connect().execute(f"SELECT {to_sql(tree, untyped).sql('duckdb')}").fetchall() == [(None,)]
