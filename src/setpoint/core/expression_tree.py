"""The nodes of a parsed condition, and the kind of value each one yields."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, cast
from typing import Literal as OneWordOf

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = OneWordOf["number", "text", "truth", "any"]
Value = float | str | bool | None

FUNCTIONS: dict[str, tuple[Kind, Kind]] = {
    "abs": ("number", "number"),
    "lower": ("text", "text"),
    "upper": ("text", "text"),
    "length": ("text", "number"),
    "coalesce": ("any", "any"),
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A node of a parsed condition; compare with `==`, walk with `children`."""

    @property
    def kind(self) -> Kind:
        """What the node yields; `any` when only the row can tell."""
        return "truth"

    @property
    def children(self) -> tuple[Expression, ...]:
        """The nodes right below this one, in the order they are written."""
        found: list[Expression] = []
        for name in (field.name for field in fields(self)):
            part = cast("tuple[Expression, ...] | Expression | str | None", getattr(self, name))
            found.extend(part if isinstance(part, tuple) else (part,) if isinstance(part, Expression) else ())
        return tuple(found)

    def columns(self) -> frozenset[str]:
        """Return the names the condition reads, as written and unquoted.

        Example:
            >>> sorted(Comparison("<", Column("inputs.delay"), Column("limit")).columns())
            ['inputs.delay', 'limit']
        """
        return frozenset(node.name for node, _ in walk(self) if isinstance(node, Column))


@dataclass(frozen=True, slots=True)
class Literal(Expression):
    """A number, text, truth value or NULL."""

    value: Value

    @property
    def kind(self) -> Kind:
        """The kind of the value; NULL fits every kind."""
        match self.value:
            case None:
                return "any"
            case bool():
                return "truth"
            case str():
                return "text"
            case _:
                return "number"


@dataclass(frozen=True, slots=True)
class Column(Expression):
    """A name that the row gives a value; parts joined by dots."""

    name: str

    @property
    def kind(self) -> Kind:
        """Only the row can tell."""
        return "any"


@dataclass(frozen=True, slots=True)
class Negate(Expression):
    """A number with its sign turned."""

    operand: Expression

    @property
    def kind(self) -> Kind:
        """Always a number."""
        return "number"


@dataclass(frozen=True, slots=True)
class Arithmetic(Expression):
    """Two numbers and one of `+ - * /`."""

    operator: str
    left: Expression
    right: Expression

    @property
    def kind(self) -> Kind:
        """Always a number."""
        return "number"


@dataclass(frozen=True, slots=True)
class Call(Expression):
    """One of `FUNCTIONS`, by its name in lower case."""

    function: str
    arguments: tuple[Expression, ...]

    @property
    def kind(self) -> Kind:
        """What the function yields; `coalesce` yields what its arguments share."""
        if self.function == "coalesce":
            return shared_kind(*self.arguments) or "any"
        return FUNCTIONS[self.function][1]


@dataclass(frozen=True, slots=True)
class Comparison(Expression):
    """Two values and one of `= <> < <= > >=`."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Among(Expression):
    """`operand IN (options)`."""

    operand: Expression
    options: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Between(Expression):
    """`operand BETWEEN low AND high`, both ends included."""

    operand: Expression
    low: Expression
    high: Expression


@dataclass(frozen=True, slots=True)
class IsNull(Expression):
    """`operand IS NULL`, never null itself."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Like(Expression):
    """`operand LIKE 'pattern'`, where `%` is any text and `_` any one character."""

    operand: Expression
    pattern: str


@dataclass(frozen=True, slots=True)
class Not(Expression):
    """The opposite; also NOT IN, NOT LIKE, NOT BETWEEN and IS NOT NULL."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class And(Expression):
    """All of two or more operands."""

    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or(Expression):
    """Any of two or more operands."""

    operands: tuple[Expression, ...]


def walk(expression: Expression) -> Iterator[tuple[Expression, int]]:
    """Yield every node with its depth, the root first at depth 1.

    Example:
        >>> [depth for _, depth in walk(Not(Column("late")))]
        [1, 2]
    """
    waiting = [(expression, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting.extend((child, depth + 1) for child in reversed(node.children))


def shared_kind(*nodes: Expression) -> Kind | None:
    """Return the kind in which nodes meet; None when they clash.

    Example:
        >>> shared_kind(Column("carrier"), Literal("AA")), shared_kind(Literal(1.0), Literal("AA"))
        ('text', None)
    """
    kinds: set[Kind] = {kind for node in nodes if (kind := node.kind) != "any"}
    if len(kinds) > 1:
        return None
    return kinds.pop() if kinds else "any"
