"""The condition language in Python: what it reads, what it refuses, and its null logic."""

from __future__ import annotations

import math
import subprocess
import sys
import unicodedata
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.core.errors import ExpressionError
from setpoint.core.expression import compile_predicate, evaluate, parse
from setpoint.core.expression_tree import (
    Among,
    And,
    Arithmetic,
    Between,
    Call,
    Column,
    Comparison,
    IsNull,
    Like,
    Literal,
    Negate,
    Not,
    Or,
)

A, B, C = Column("a"), Column("b"), Column("c")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a OR b AND c", Or((A, And((B, C))))),
        ("(a OR b) AND c", And((Or((A, B)), C))),
        ("NOT a = 1 AND b", And((Not(Comparison("=", A, Literal(1.0))), B))),
        ("a != 1", Comparison("<>", A, Literal(1.0))),
        (
            "a + b * -c > .5e1",
            Comparison(">", Arithmetic("+", A, Arithmetic("*", B, Negate(C))), Literal(5.0)),
        ),
        ("a - b - c < 0", Comparison("<", Arithmetic("-", Arithmetic("-", A, B), C), Literal(0.0))),
        ("a in ('x', 'it''s')", Among(A, (Literal("x"), Literal("it's")))),
        ("a not in (1)", Not(Among(A, (Literal(1.0),)))),
        ("a NOT BETWEEN 1 AND 2 AND b", And((Not(Between(A, Literal(1.0), Literal(2.0))), B))),
        ("a IS NOT NULL", Not(IsNull(A))),
        ("Lower(a) like 'A%_'", Like(Call("lower", (A,)), "A%_")),
        ("coalesce(a, b, 0) = TRUE OR b", None),
        ('"Home ""x""" = inputs."a b".c', Comparison("=", Column('Home "x"'), Column("inputs.a b.c"))),
        ("größe\n>\t1", Comparison(">", Column("größe"), Literal(1.0))),
        ("TRUE", Literal(value=True)),
        ("NULL", Literal(None)),
    ],
)
def test_reads(text: str, tree: object) -> None:
    if tree is None:
        with pytest.raises(ExpressionError, match="compares a number with a condition"):
            parse(text)
    else:
        assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "message", "column", "hint"),
    [
        ("", "the condition is empty", 1, "write for example"),
        ("a = 1 ADN b = 2", "found ADN, expected an operator, AND, OR or the end", 7, "did you mean AND?"),
        ("a == 1", "found ==, which is not SQL", 3, "single ="),
        ("a IS NUL", "found NUL, expected NULL", 6, "did you mean NULL?"),
        ("a BETWEN 1 AND 2", "found BETWEN", 3, "did you mean BETWEEN?"),
        ("a NOT LKE 'x'", "found LKE, expected IN, BETWEEN or LIKE after NOT", 7, "did you mean LIKE?"),
        ("lowr(a) = 'x'", "no function is called lowr", 1, "did you mean lower?"),
        ("foo(a) = 'x'", "no function is called foo", 1, "the functions are abs, lower"),
        ("abs(1, 2) = 1", "abs takes 1 argument, found 2", 1, ""),
        ("length(a > 1) = 1", "found a condition, expected text", 8, ""),
        ("a = 'x", "the text has no closing '", 5, "as ''"),
        ('a = "x', 'the name has no closing "', 5, ""),
        ('"" = 1', 'the name has no closing ", or is empty', 1, ""),
        ("1 < a < 2", "found <", 7, "two values at a time"),
        ("a + 'x' > 3", "found text, expected a number", 5, ""),
        ("'x' + a > 3", "found 'x', expected a number before +", 1, ""),
        ("'AA' > 5", "compares text with a number", 6, "single quotes"),
        ("a IN (1, 'x')", "compares a number with text", 1, "single quotes"),
        ("a BETWEEN 1 AND 'x'", "compares a number with text", 1, "single quotes"),
        ("a IN ()", "found ), expected a value", 7, ""),
        ("a IN (1 2)", "found 2, expected , or )", 9, ""),
        ("(a", "found the end, expected )", 3, ""),
        ("a)", "found ), expected an operator", 2, ""),
        ("a LIKE b", "found b, expected a pattern", 8, ""),
        ("1 LIKE 'x'", "compares a number with text", 1, "single quotes"),
        ("5abc > 1", "not a number: 5abc", 1, ""),
        ("a +", "found the end, expected a value", 4, ""),
        ("1 + 2", "found a number, expected a condition", 1, ""),
        ("'x' OR a", "found a value, expected a condition before OR", 1, ""),
        ("a AND 2", "found a number, expected a condition", 7, ""),
        ("NOT 2", "found a number, expected a condition", 5, ""),
        ("a % 2 = 0", "found '%', which means nothing here", 3, "LIKE"),
        ("a. > 1", "found >, expected a name after the dot", 4, ""),
        ("a > 1e999", "larger than a double", 5, ""),
        ("a && b", "found &&, which is not SQL", 3, "write AND"),
        ("a;", "found ';', which means nothing here", 2, ""),
        ("and", "found AND, expected a value", 1, ""),
    ],
)
def test_refuses_with_a_place_and_a_hint(text: str, message: str, column: int, hint: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    first, shown, caret = caught.value.message.split("\n")
    assert message in first
    assert f"(column {column})" in first
    assert shown == f"  {text}"
    assert caret == " " * (column + 1) + "^"
    assert hint in caught.value.hint
    assert bool(hint) == bool(caught.value.hint)


def test_an_error_in_a_long_condition_shows_its_line() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse("a > 1\n  AND b = = 3\n  OR c")
    assert "(line 2, column 11)\n    AND b = = 3\n            ^" in caught.value.message


@pytest.mark.parametrize(
    "text",
    ["(" * 3000 + "a", "abs(" * 3000, "NOT " * 3000 + "a", "a" + "+a" * 3000 + "> 1", "-" * 999 + "a=1"],
)
def test_refuses_what_would_exhaust_the_stack(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"nests deeper|found the end"):
        parse(text)


def test_long_flat_conditions_are_fine() -> None:
    either = compile_predicate(parse(" OR ".join(f"a = {value}" for value in range(3000))))
    assert either({"a": 2999})
    assert evaluate(parse(f"a IN ({', '.join(map(str, range(3000)))})"), {"a": -1}) is False


@given(st.text(alphabet=st.sampled_from("ab1.'\"()<>=+-*/, _%!\n") | st.characters(), max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        tree = parse(text)
    except ExpressionError as error:
        last = error.message.split("\n")[-1]
        assert last.strip() == "^"
        return
    assert evaluate(tree, {"a": 1.0, "b": "x"}) in {True, False, None}


NAN = math.nan


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("FALSE AND NULL", False),
        ("NULL AND TRUE", None),
        ("TRUE OR NULL", True),
        ("NULL OR FALSE", None),
        ("NOT NULL", None),
        ("missing = 1", None),
        ("missing IS NULL", True),
        ("nothing IS NOT NULL", False),
        ("one IN (1, NULL)", True),
        ("one IN (2, NULL)", None),
        ("one NOT IN (2, NULL)", None),
        ("one BETWEEN 2 AND NULL", False),
        ("one BETWEEN 1 AND 1", True),
        ("one / 0 IS NULL", True),
        ("one / -0.0 > 0", None),
        ("nan = nan", True),
        ("nan <> nan", False),
        ("nan > inf", True),
        ("nan <= inf", False),
        ("nan IN (1, 2)", False),
        ("inf - inf = nan", True),
        ("1e308 * 10 = inf", True),
        ("abs(-2 * one) = 2", True),
        ("text = 'AA'", True),
        ("text = 1", None),
        ("one = 'AA'", None),
        ("text = one", None),
        ("text = other", False),
        ("text < other", True),
        ("yes", True),
        ("one", None),
        ("yes = one", None),
        ("yes > FALSE", True),
        ("coalesce(missing > 1, FALSE)", False),
        ("text + 1 IS NULL", True),
        ("coalesce(nothing, text) = 'AA'", True),
        ("coalesce(one, 'x') = 'x'", True),
        ("coalesce(nothing, missing) IS NULL", True),
        ("coalesce(text, one) = one", True),
        ("text LIKE '_A'", True),
        ("lines LIKE 'a%b'", True),
        ("text LIKE 'A'", False),
        ("one LIKE '%'", None),
        ("upper('straße') = 'STRAẞE'", True),
        ("lower('İÄ') = 'iä'", True),
        ("length('👍🏽') = 2", True),
        ("whole = 9007199254740992", True),
        ("huge > 1e308", True),
    ],
)
def test_null_logic(text: str, answer: bool | None) -> None:  # noqa: FBT001
    row: dict[str, object] = {
        "nothing": None,
        "one": 1,
        "text": "AA",
        "other": "BB",
        "yes": True,
        "lines": "a\nb",
        "nan": NAN,
        "inf": math.inf,
        "whole": 2**53 + 1,
        "huge": 10**400,
    }
    assert evaluate(parse(text), row) is answer


def test_names_are_found_in_the_row_then_in_its_inputs() -> None:
    nested = {"score": 0.9, "inputs": {"score": 0.1, "carrier": "AA", "a.b": 1.0}}
    assert evaluate(parse("score > 0.5 AND inputs.score < 0.5"), nested)
    assert evaluate(parse("carrier = 'AA' AND inputs.carrier = 'AA'"), nested)
    assert evaluate(parse('a.b = 1 AND inputs."a.b" = 1'), nested)
    assert evaluate(parse("inputs.carrier = 'AA'"), {"carrier": "AA"})
    assert evaluate(parse("carrier = 'AA'"), {"inputs": None}) is None
    assert evaluate(parse("carrier = 'AA'"), {"carrier": None, "inputs": {"carrier": "AA"}}) is None


def test_like_takes_no_time_on_long_text() -> None:
    late = compile_predicate(parse(f"a LIKE '{'%a' * 30}%b'"))
    assert late({"a": "a" * 5000}) is False
    assert late({"a": "a" * 5000 + "b"}) is True
    assert evaluate(parse("a LIKE 'x%ab%ab%b'"), {"a": "xababab"}) is True
    assert evaluate(parse("a LIKE 'ab%ab'"), {"a": "aba"}) is False


def test_columns() -> None:
    text = "a > 1 AND NOT inputs.b IN (c, 'd') OR coalesce(e, f) IS NULL OR g LIKE '%' OR -h BETWEEN 1 AND i"
    assert parse(text).columns() == {"a", "inputs.b", "c", "e", "f", "g", "h", "i"}


def test_numpy_scalars_are_values() -> None:
    numpy = pytest.importorskip("numpy")
    row = {"a": numpy.int64(3), "b": numpy.float32(0.5), "c": numpy.bool_(1), "d": numpy.str_("x")}
    assert evaluate(parse("a = 3 AND b = 0.5 AND c AND d = 'x'"), row)
    assert evaluate(parse("a > 1"), {"a": numpy.array([1, 2])}) is None


def test_values_that_are_no_kind_are_null_in_a_comparison() -> None:
    row: dict[str, object] = {"a": {"x": 1}, "b": b"x", "c": [1]}
    assert evaluate(parse("a = 'x' OR b = 'x' OR c > 1"), row) is None
    assert evaluate(parse("a IS NULL"), row) is False


def test_decimals_are_numbers() -> None:
    row = {"a": Decimal("2.5"), "b": Decimal("sNaN"), "c": Fraction(1, 2)}
    assert evaluate(parse("a = 2.5 AND b = b AND b > 1e308 AND c = 0.5"), row)


def test_hand_built_clashes_are_null() -> None:
    assert evaluate(Comparison("=", Literal("x"), Literal(1.0)), {}) is None
    assert evaluate(Negate(Literal("x")), {}) is None
    with pytest.raises(TypeError):
        evaluate(object.__new__(type("Odd", (Comparison.__base__,), {})), {})  # pyright: ignore[reportArgumentType]


def test_needs_nothing_but_the_standard_library() -> None:
    code = "import sys; import setpoint.core.expression; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"sqlglot", "duckdb", "numpy", "pydantic", "yaml"} & set(loaded.split())


def test_letters_keep_their_number() -> None:
    old = [chr(code) for code in range(0x110000) if unicodedata.ucd_3_2_0.category(chr(code)) not in {"Cn", "Cs"}]
    for name in ("lower", "upper"):
        kept = compile_predicate(parse(f"length({name}(a)) = length(a)"))
        assert kept({"a": "".join(old)})
