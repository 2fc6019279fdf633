"""The one language for cohorts, contracts and runbook conditions: a boolean subset of SQL.

A condition reads `carrier = 'AA' AND (dep_delay / 60 > 1 OR origin IS NULL)`. It knows numbers (doubles),
text and truth values, with these rules, the same in Python and in SQL:

* null means unknown: a comparison with null is null, `FALSE AND NULL` is false, `TRUE OR NULL` is true.
* A value of another kind than its use asks for is null: `carrier > 5` is null when carrier holds text.
  Where a literal shows the clash, as in `'AA' > 5`, the condition does not parse.
* Two columns compare as whichever kind both have; whole numbers beyond 2^53 compare as doubles.
* NaN equals NaN and is greater than every other number. Division by zero is null.
* Text compares by code point. LIKE knows `%` and `_`, and no escape. `lower` and `upper` map one code point
  to one, so `upper('ß')` is 'ẞ'; `length` counts code points.
* A name is looked up in the row, then in its `inputs`; `inputs.carrier` means the feature.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from setpoint.core.expression_syntax import parse
from setpoint.core.expression_tree import (
    FUNCTIONS,
    Among,
    And,
    Arithmetic,
    Between,
    Call,
    Column,
    Comparison,
    Expression,
    IsNull,
    Kind,
    Like,
    Literal,
    Negate,
    Not,
    Or,
    Value,
    shared_kind,
)
from setpoint.core.values import as_number, as_text, as_truth

__all__ = ["Expression", "Predicate", "Row", "compile_predicate", "evaluate", "like_pattern", "parse"]

Row = Mapping[str, object]
Reader = Callable[[Row], Value]
Predicate = Callable[[Row], bool | None]

_KINDS: tuple[Kind, ...] = ("number", "text", "truth")
_FEATURE_PREFIX = "inputs."


def evaluate(expression: Expression, row: Row) -> bool | None:
    """Return whether the condition holds for one row; None when that is unknown.

    For many rows, `compile_predicate` once and call its result.

    Example:
        >>> evaluate(parse("delay / 60 > 1"), {"delay": 90}), evaluate(parse("delay > 5"), {})
        (True, None)
    """
    return compile_predicate(expression)(row)


def compile_predicate(expression: Expression) -> Predicate:
    """Return a function from a row to true, false or None for unknown.

    A row is a mapping; a name it lacks is null. A row may nest its features under `inputs`.

    Example:
        >>> late = compile_predicate(parse("inputs.delay >= 15"))
        >>> late({"inputs": {"delay": 20.0}}), late({"delay": 3})
        (True, False)
    """
    return cast("Predicate", _reader(expression, "truth"))


def _null(_row: Row) -> None:
    return None


def _reader(node: Expression, kind: Kind) -> Reader:  # noqa: PLR0911 - one return a sort of node
    """Return how to read a node as a kind: null whenever its value is of another."""
    if node.kind not in {kind, "any"}:
        return _null
    match node:
        case Literal(value):
            return lambda _row: value
        case Column(name):
            return _column(name, kind)
        case Call(function, arguments):
            return _call(function, arguments, kind)
        case Negate(operand):
            number = _reader(operand, "number")
            return lambda row: None if (value := number(row)) is None else -cast("float", value)
        case Arithmetic(operator, left, right):
            return _strict(_ARITHMETIC[operator], _reader(left, "number"), _reader(right, "number"))
        case _:
            return _condition(node)


def _condition(node: Expression) -> Reader:  # noqa: PLR0911 - one return a sort of node
    match node:
        case Comparison(operator, left, right):
            return _comparison(operator, left, right, shared_kind(left, right))
        case Among(operand, options):
            kind = shared_kind(operand, *options)
            return _any_of([_comparison("=", operand, option, kind) for option in options])
        case Between(operand, low, high):
            kind = shared_kind(operand, low, high)
            return _all_of([_comparison(">=", operand, low, kind), _comparison("<=", operand, high, kind)])
        case IsNull(operand):
            return _is_null(operand)
        case Like(operand, pattern):
            matches, text = like_pattern(pattern).fullmatch, _reader(operand, "text")
            return lambda row: None if (value := text(row)) is None else matches(cast("str", value)) is not None
        case Not(operand):
            truth = _reader(operand, "truth")
            return lambda row: None if (value := truth(row)) is None else not value
        case And(operands):
            return _all_of([_reader(operand, "truth") for operand in operands])
        case Or(operands):
            return _any_of([_reader(operand, "truth") for operand in operands])
        case _:
            msg = f"not a node of a condition: {node!r}"
            raise TypeError(msg)


def like_pattern(pattern: str) -> re.Pattern[str]:
    """Return a LIKE pattern as a regular expression to match in full.

    Example:
        >>> bool(like_pattern("A_%").fullmatch("AA"))
        True
    """
    first, *rest = ["".join("." if one == "_" else re.escape(one) for one in part) for part in pattern.split("%")]
    if not rest:
        return re.compile(first, re.DOTALL)
    # The leftmost place for each part in the middle is as good as any: atomic groups never look back.
    middle = "".join(f"(?>.*?{part})" for part in rest[:-1] if part)
    return re.compile(f"{first}{middle}.*{rest[-1]}", re.DOTALL)


def _column(name: str, kind: Kind) -> Reader:
    convert = _CONVERT[kind]
    wanted = {"number": float, "text": str, "truth": bool}[kind]

    def read(row: Row) -> Value:
        value = row[name] if name in row else _nested(row, name)
        return cast("Value", value) if type(value) is wanted else convert(value)

    return read


def _nested(row: Row, name: str) -> object:
    feature = name.removeprefix(_FEATURE_PREFIX)
    inputs = row.get("inputs")
    if isinstance(inputs, Mapping):
        return cast("Row", inputs).get(feature)
    return row.get(feature)


_CONVERT: dict[Kind, Callable[[object], Value]] = {"number": as_number, "text": as_text, "truth": as_truth}


def _call(function: str, arguments: tuple[Expression, ...], kind: Kind) -> Reader:
    if function == "coalesce":
        return _first([_reader(argument, kind) for argument in arguments])
    inner, apply = _reader(arguments[0], FUNCTIONS[function][0]), _APPLY[function]
    return lambda row: None if (value := inner(row)) is None else apply(value)


def _first(readers: Sequence[Reader]) -> Reader:
    def read(row: Row) -> Value:
        return next((value for reader in readers if (value := reader(row)) is not None), None)

    return read


def _is_null(operand: Expression) -> Reader:
    match operand:
        case Column(name):
            return lambda row: (row[name] if name in row else _nested(row, name)) is None
        case Call("coalesce", arguments) if operand.kind == "any":
            return _all_of([_is_null(argument) for argument in arguments])
        case _:
            read = _reader(operand, operand.kind if operand.kind != "any" else "number")
            return lambda row: read(row) is None


def _strict(apply: Callable[[float, float], Value], left: Reader, right: Reader) -> Reader:
    """Return a reader that is null as soon as one side is."""

    def read(row: Row) -> Value:
        first = left(row)
        if first is None:
            return None
        second = right(row)
        return None if second is None else apply(cast("float", first), cast("float", second))

    return read


def _comparison(operator: str, left: Expression, right: Expression, kind: Kind | None) -> Reader:
    if kind is None:
        return _null
    if kind == "any":
        return _first([_comparison(operator, left, right, one) for one in _KINDS])
    return _strict(_COMPARE[operator], _reader(left, kind), _reader(right, kind))


def _all_of(readers: Sequence[Reader]) -> Reader:
    def read(row: Row) -> bool | None:
        found: bool | None = True
        for reader in readers:
            value = reader(row)
            if value is False:
                return False
            if value is None:
                found = None
        return found

    return read


def _any_of(readers: Sequence[Reader]) -> Reader:
    def read(row: Row) -> bool | None:
        found: bool | None = False
        for reader in readers:
            value = reader(row)
            if value is True:
                return True
            if value is None:
                found = None
        return found

    return read


def _equal(left: float, right: float) -> bool:
    return left == right or (left != left and right != right)  # noqa: PLR0124 - only NaN differs from itself


def _less(left: float, right: float) -> bool:
    return left < right or (right != right and left == left)  # noqa: PLR0124 - NaN is above every number


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": _equal,
    "<>": lambda left, right: not _equal(left, right),
    "<": _less,
    "<=": lambda left, right: not _less(right, left),
    ">": lambda left, right: _less(right, left),
    ">=": lambda left, right: not _less(left, right),
}
_ARITHMETIC: dict[str, Callable[[float, float], Value]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: None if right == 0 else left / right,
}


def _lower(text: str) -> str:
    if text.isascii():
        return text.lower()
    return "".join("i" if letter == "İ" else letter.lower() for letter in text)


def _upper(text: str) -> str:
    return text.upper() if text.isascii() else "".join(map(_upper_letter, text))


def _upper_letter(letter: str) -> str:
    if letter == "ß":
        return "ẞ"
    return next((one for one in (letter.upper(), letter.title()) if len(one) == 1), letter)


_APPLY: dict[str, Callable[[Value], Value]] = {
    "abs": lambda number: abs(cast("float", number)),
    "lower": lambda text: _lower(cast("str", text)),
    "upper": lambda text: _upper(cast("str", text)),
    "length": lambda text: float(len(cast("str", text))),
}
