"""Conditions as SQL, equal in every row to `core.expression` in Python.

SQL has types where a condition has kinds, so each column is read as the kind its use asks for and is null
when it holds another. Where the caller's column carries a type (`column.type`), the question is answered
here; otherwise the engine answers it once, when it binds the query, and filters still reach Parquet files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sqlglot import exp, parse_one

from setpoint.core.expression_tree import (
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

if TYPE_CHECKING:
    from sqlglot.expressions import Expr  # sqlglot 28 calls it Expression

ColumnOf = Callable[[str], "Expr"]
NodeType = Callable[..., "Expr"]

_KINDS: tuple[Kind, ...] = ("number", "text", "truth")
_SQL_TYPES: dict[Kind, str] = {"number": "DOUBLE", "text": "VARCHAR", "truth": "BOOLEAN"}
# As `typeof` spells them in DuckDB and in Spark, in upper case and without what stands in parentheses.
_TYPE_NAMES: dict[Kind, tuple[str, ...]] = {
    "number": (
        *("DOUBLE", "FLOAT", "REAL", "DECIMAL", "TINYINT", "SMALLINT", "INT", "INTEGER", "BIGINT", "HUGEINT"),
        *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
    ),
    "text": ("VARCHAR", "STRING", "CHAR", "ENUM"),
    "truth": ("BOOLEAN",),
}
_TYPES_OF_KIND = {
    "number": exp.DataType.NUMERIC_TYPES,
    "text": {*exp.DataType.TEXT_TYPES, exp.DataType.Type.ENUM},
    "truth": {exp.DataType.Type.BOOLEAN},
}
_COMPARE: dict[str, NodeType] = {
    "=": exp.EQ,
    "<>": exp.NEQ,
    "<": exp.LT,
    "<=": exp.LTE,
    ">": exp.GT,
    ">=": exp.GTE,
}
_ARITHMETIC: dict[str, NodeType] = {"+": exp.Add, "-": exp.Sub, "*": exp.Mul}
_FUNCTIONS: dict[str, NodeType] = {
    "abs": exp.Abs,
    "lower": exp.Lower,
    "upper": exp.Upper,
    "length": exp.Length,
}


def to_sql(expression: Expression, column: ColumnOf) -> Expr:
    """Return a condition as a SQL tree of type BOOLEAN.

    Args:
        expression: A parsed condition.
        column: Maps a name in the condition to a SQL column, for example `carrier` to `p.inputs.carrier`.
            A column whose `type` is set is read without asking the engine. Times are numbers in a
            condition: map them to microseconds.

    Example:
        >>> from setpoint.core.expression import parse
        >>> to_sql(parse("NULL OR delay > 5"), lambda _: exp.cast("delay", "double")).sql("duckdb")
        'CAST(NULL AS BOOLEAN) OR (CAST(delay AS DOUBLE) > 5.0e0)'
    """
    return _Printer(column).read(expression, "truth")


def condition_sql(expression: Expression, column: Callable[[str], tuple[str, str]]) -> str:
    """Return a condition as DuckDB's SQL.

    Args:
        expression: A parsed condition.
        column: Maps a name in the condition to the SQL of a column and its type.

    Example:
        >>> from setpoint.core.expression import parse
        >>> condition_sql(parse("delay > 5"), lambda name: (f"p.{name}", "DOUBLE"))
        'CAST(p.delay AS DOUBLE) > 5.0e0'
    """

    def typed(name: str) -> Expr:
        sql, kind = column(name)
        tree = parse_one(sql, dialect="duckdb")
        tree.type = exp.DataType.build(kind, dialect="duckdb")
        return tree

    return to_sql(expression, typed).sql(dialect="duckdb")


class _Printer:
    """Prints nodes; `read` is the mirror of `core.expression`'s reader of a node as a kind."""

    def __init__(self, column: ColumnOf) -> None:
        self.column = column

    def read(self, node: Expression, kind: Kind) -> Expr:  # noqa: PLR0911 - one a sort of node
        if node.kind not in {kind, "any"}:
            return _null(kind)
        match node:
            case Literal(value):
                return _literal(value, kind)
            case Column(name):
                return _column(self.column(name), kind)
            case Call("coalesce", arguments):
                return _coalesce([self.read(argument, kind) for argument in arguments])
            case Call(function, (argument,)):
                called = _FUNCTIONS[function](this=self.read(argument, "number" if function == "abs" else "text"))
                return exp.cast(called, "DOUBLE") if function == "length" else called
            case Negate(operand):
                return exp.Neg(this=_paren(self.read(operand, "number")))
            case Arithmetic(operator, left, right):
                return _arithmetic(operator, self.read(left, "number"), self.read(right, "number"))
            case _:
                return self.condition(node)

    def condition(self, node: Expression) -> Expr:  # noqa: PLR0911 - one a sort of node
        match node:
            case Comparison(operator, left, right):
                return self.compare(operator, left, right, shared_kind(left, right))
            case Among(operand, options):
                return self.among(operand, options)
            case Between(operand, low, high):
                kind = shared_kind(operand, low, high)
                ends = [self.compare(">=", operand, low, kind), self.compare("<=", operand, high, kind)]
                return _joined(exp.And, ends)
            case IsNull(operand):
                return self.is_null(operand)
            case Like(operand, pattern):
                return exp.Like(this=_paren(self.read(operand, "text")), expression=exp.Literal.string(pattern))
            case Not(operand):
                return exp.Not(this=_paren(self.read(operand, "truth")))
            case And(operands):
                return _joined(exp.And, [self.read(operand, "truth") for operand in operands])
            case Or(operands):
                return _joined(exp.Or, [self.read(operand, "truth") for operand in operands])
            case _:
                msg = f"not a node of a condition: {node!r}"
                raise TypeError(msg)

    def compare(self, operator: str, left: Expression, right: Expression, kind: Kind | None) -> Expr:
        if kind is None:
            return _null("truth")
        if kind == "any":
            return _coalesce([self.compare(operator, left, right, one) for one in _KINDS])
        sides = {"this": _paren(self.read(left, kind)), "expression": _paren(self.read(right, kind))}
        return _COMPARE[operator](**sides)

    def among(self, operand: Expression, options: Sequence[Expression]) -> Expr:
        kind = shared_kind(operand, *options)
        if kind is None or kind == "any":
            return _joined(exp.Or, [self.compare("=", operand, option, kind) for option in options])
        listed = [self.read(option, kind) for option in options]
        return exp.In(this=_paren(self.read(operand, kind)), expressions=listed)

    def is_null(self, operand: Expression) -> Expr:
        match operand:
            case Column(name):
                value = self.column(name)
            case Call("coalesce", arguments) if operand.kind == "any":
                return _joined(exp.And, [self.is_null(argument) for argument in arguments])
            case _:
                value = self.read(operand, operand.kind if operand.kind != "any" else "number")
        return exp.Is(this=_paren(value), expression=exp.Null())


def _null(kind: Kind) -> Expr:
    return exp.cast(exp.Null(), _SQL_TYPES[kind])


def _literal(value: Value, kind: Kind) -> Expr:
    match value:
        case None:
            return _null(kind)
        case bool():
            return exp.Boolean(this=value)
        case str():
            return exp.Literal.string(value)
        case _:
            digits = repr(float(value))  # with an exponent it is a DOUBLE, without one a DECIMAL
            return exp.Literal.number(digits if "e" in digits else f"{digits}e0")


def _column(column: Expr, kind: Kind) -> Expr:
    known = column.type
    if isinstance(known, exp.DataType) and known.this != exp.DataType.Type.UNKNOWN:
        fits = known.this in _TYPES_OF_KIND[kind]
        return exp.cast(column, _SQL_TYPES[kind]) if fits else _null(kind)
    type_name = exp.func(
        "SPLIT_PART", exp.func("TYPEOF", column.copy()), exp.Literal.string("("), exp.Literal.number(1)
    )
    names = [exp.Literal.string(name) for name in _TYPE_NAMES[kind]]
    fits = exp.In(this=exp.Upper(this=type_name), expressions=names)
    value = exp.TryCast(this=column, to=exp.DataType.build(_SQL_TYPES[kind]))
    return exp.Case(ifs=[exp.If(this=fits, true=value)])


def _arithmetic(operator: str, left: Expr, right: Expr) -> Expr:
    if operator != "/":
        return _ARITHMETIC[operator](this=_paren(left), expression=_paren(right))
    divisor = exp.Nullif(this=right, expression=_literal(0.0, "number"))
    return exp.Div(this=_paren(left), expression=divisor, typed=True, safe=False)


def _coalesce(values: Sequence[Expr]) -> Expr:
    return exp.Coalesce(this=values[0], expressions=list(values[1:]))


def _joined(connector: NodeType, parts: Sequence[Expr]) -> Expr:
    """Join parts as a balanced tree: engines limit how deep an expression may nest."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    halves = [_paren(_joined(connector, half)) for half in (parts[:middle], parts[middle:])]
    return connector(this=halves[0], expression=halves[1])


def _paren(value: Expr) -> Expr:
    bare = (exp.Column, exp.Literal, exp.Func, exp.Paren, exp.Boolean, exp.Dot)
    return value if isinstance(value, bare) and not isinstance(value, (exp.And, exp.Or)) else exp.Paren(this=value)
