"""Reading a condition: a small tokenizer and a parser by precedence, with errors that point."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from math import isinf
from typing import TYPE_CHECKING, NoReturn

from setpoint.core.errors import ExpressionError
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
    shared_kind,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_DEPTH = 30

_KEYWORDS = frozenset({"AND", "OR", "NOT", "IN", "BETWEEN", "IS", "NULL", "LIKE", "TRUE", "FALSE"})
_CONSTANTS: dict[str, bool | None] = {"TRUE": True, "FALSE": False, "NULL": None}
_COMPARISONS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_OTHER_TONGUES = {
    "==": "write a single =",
    "&&": "write AND",
    "||": "write OR",
    "!": "write NOT",
    "%": "% stands only in a LIKE pattern",
    "`": 'quote a name as "name"',
    "[": "a list stands in parentheses: IN ('AA', 'DL')",
}
_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<text>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")+")
    | (?P<word>[^\W\d]\w*)
    | (?P<symbol><>|!=|<=|>=|==|&&|\|\||[=<>+\-*/(),.])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    sort: str
    text: str
    start: int

    @property
    def shown(self) -> str:
        return "the end" if self.sort == "end" else self.text


@lru_cache(maxsize=512)
def parse(text: str) -> Expression:
    """Read a condition.

    Raises:
        ExpressionError: The text is not a condition; the message points at the place.

    Example:
        >>> parse("late AND delay > 5").children[1]
        Comparison(operator='>', left=Column(name='delay'), right=Literal(value=5.0))
    """
    return _Parser(text).condition()


def _refuse(source: str, at: int, message: str, hint: str = "") -> NoReturn:
    """Raise an error whose message shows the line of the condition with a caret under the place."""
    begin = source.rfind("\n", 0, at) + 1
    line = source[begin:].split("\n", 1)[0].rstrip()
    place = f"column {at - begin + 1}"
    if "\n" in source.strip():
        place = f"line {source.count(chr(10), 0, at) + 1}, {place}"
    shown = line.replace("\t", " ")
    full = f"{message} ({place})\n  {shown}\n  {' ' * (at - begin)}^"
    raise ExpressionError(full, hint=hint)


def _tokens(source: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            _unreadable(source, at)
        sort, text = match.lastgroup or "", match[0]
        glued = found and found[-1].sort == "number" and found[-1].start + len(found[-1].text) == at
        if sort in {"word", "number"} and glued:
            _refuse(source, found[-1].start, f"not a number: {found[-1].text + text}")
        if text in _OTHER_TONGUES:
            _refuse(source, at, f"found {text}, which is not SQL", _OTHER_TONGUES[text])
        if sort == "word" and text.upper() in _KEYWORDS:
            sort, text = "keyword", text.upper()
        if sort != "space":
            found.append(_Token(sort, text, at))
        at = match.end()
    return [*found, _Token("end", "", len(source.rstrip()))]


def _unreadable(source: str, at: int) -> NoReturn:
    letter = source[at]
    if letter == "'":
        _refuse(source, at, "the text has no closing '", "write a quote inside text as ''")
    if letter == '"':
        _refuse(source, at, 'the name has no closing ", or is empty')
    _refuse(source, at, f"found {letter!r}, which means nothing here", _OTHER_TONGUES.get(letter, ""))


def _similar(word: str, known: Iterable[str], fold: Callable[[str], str]) -> str:
    close = get_close_matches(fold(word), list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""


class _Parser:
    """Reads from the loosest operator to the tightest: OR, AND, NOT, comparison, sum, product, sign."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = _tokens(source)
        self.at = 0
        self.open = 0

    def condition(self) -> Expression:
        if self.here.sort == "end":
            self.refuse(self.here, "the condition is empty", "write for example carrier = 'AA'")
        found = self.checked(self.disjunction, "truth")
        if self.here.sort != "end":
            self.unexpected("an operator, AND, OR or the end", ("AND", "OR", "NOT", "IN", "IS", "LIKE", "BETWEEN"))
        if max(depth for _, depth in walk(found)) > MAX_DEPTH:
            self.refuse(self.tokens[0], f"the condition nests deeper than {MAX_DEPTH} levels")
        return found

    @property
    def here(self) -> _Token:
        return self.tokens[self.at]

    def take(self, *texts: str) -> _Token | None:
        """Step over the next token when it is one of these symbols or keywords."""
        token = self.here
        if token.sort not in {"symbol", "keyword"} or token.text not in texts:
            return None
        self.at += 1
        return token

    def expect(self, text: str) -> None:
        if self.take(text) is None:
            self.unexpected(text, (text,))

    def refuse(self, token: _Token, message: str, hint: str = "") -> NoReturn:
        _refuse(self.source, token.start, message, hint)

    def unexpected(self, expected: str, keywords: Iterable[str] = ()) -> NoReturn:
        token = self.here
        hint = _similar(token.text, keywords, str.upper) if token.sort == "word" else ""
        if token.text in _COMPARISONS and "AND" in keywords:
            hint = "compare two values at a time: 0 < delay AND delay < 60"
        self.refuse(token, f"found {token.shown}, expected {expected}", hint)

    def checked(self, read: Callable[[], Expression], kind: Kind) -> Expression:
        """Read an operand that has to be of a kind."""
        token = self.here
        found = read()
        if found.kind not in {kind, "any"}:
            names = {"truth": "a condition", "number": "a number", "text": "text"}
            self.refuse(token, f"found {names[found.kind]}, expected {names[kind]}")
        return found

    def disjunction(self) -> Expression:
        return self.chain("OR", self.conjunction, Or)

    def conjunction(self) -> Expression:
        return self.chain("AND", self.negation, And)

    def chain(
        self,
        word: str,
        read: Callable[[], Expression],
        join: Callable[[tuple[Expression, ...]], Expression],
    ) -> Expression:
        start = self.at
        found = [read()]
        while self.take(word):
            found.append(self.checked(read, "truth"))
        if len(found) == 1:
            return found[0]
        if found[0].kind not in {"truth", "any"}:
            self.refuse(self.tokens[start], f"found a value, expected a condition before {word}")
        return join(tuple(found))

    def negation(self) -> Expression:
        count = 0
        while self.take("NOT"):
            count += 1
        found = self.checked(self.comparison, "truth") if count else self.comparison()
        for _ in range(count):
            found = Not(found)
        return found

    def comparison(self) -> Expression:
        start = self.here
        left = self.sum()
        if sign := self.take(*_COMPARISONS):
            right = self.sum()
            return self.alike(sign, Comparison(_COMPARISONS[sign.text], left, right), left, right)
        if self.take("IS"):
            negated = self.take("NOT")
            self.expect("NULL")
            return Not(IsNull(left)) if negated else IsNull(left)
        negated = self.take("NOT")
        word = self.take("IN", "BETWEEN", "LIKE")
        if word is None:
            if negated:
                self.unexpected("IN, BETWEEN or LIKE after NOT", ("IN", "BETWEEN", "LIKE"))
            return left
        found = {"IN": self.options, "BETWEEN": self.range, "LIKE": self.like}[word.text](start, left)
        return Not(found) if negated else found

    def alike(self, token: _Token, found: Expression, *operands: Expression) -> Expression:
        if shared_kind(*operands) is None:
            names = {"truth": "a condition", "number": "a number", "text": "text"}
            kinds = dict.fromkeys(names[operand.kind] for operand in operands if operand.kind != "any")
            self.refuse(token, f"compares {' with '.join(kinds)}", "text stands in single quotes, numbers in none")
        return found

    def options(self, start: _Token, operand: Expression) -> Expression:
        self.expect("(")
        found = [self.sum()]
        while self.take(","):
            found.append(self.sum())
        if self.take(")") is None:
            self.unexpected(", or )")
        return self.alike(start, Among(operand, tuple(found)), operand, *found)

    def range(self, start: _Token, operand: Expression) -> Expression:
        low = self.sum()
        self.expect("AND")
        high = self.sum()
        return self.alike(start, Between(operand, low, high), operand, low, high)

    def like(self, start: _Token, operand: Expression) -> Expression:
        token = self.here
        if token.sort != "text":
            self.unexpected("a pattern such as 'A%'")
        self.at += 1
        return self.alike(start, Like(operand, _unquote(token.text)), operand, Literal(""))

    def sum(self) -> Expression:
        return self.operation(("+", "-"), self.product)

    def product(self) -> Expression:
        return self.operation(("*", "/"), self.signed)

    def operation(self, signs: tuple[str, ...], read: Callable[[], Expression]) -> Expression:
        start = self.here
        found = read()
        while sign := self.take(*signs):
            if found.kind not in {"number", "any"}:
                self.refuse(start, f"found {start.text}, expected a number before {sign.text}")
            found = Arithmetic(sign.text, found, self.checked(read, "number"))
        return found

    def signed(self) -> Expression:
        negations = pluses = 0
        while sign := self.take("-", "+"):
            negations += sign.text == "-"
            pluses += 1
        found = self.checked(self.primary, "number") if pluses else self.primary()
        for _ in range(negations):
            found = Negate(found)
        return found

    def primary(self) -> Expression:
        token = self.here
        if self.take("("):
            self.deeper(token)
            found = self.disjunction()
            self.expect(")")
            self.open -= 1
            return found
        if self.take(*_CONSTANTS):
            return Literal(_CONSTANTS[token.text])
        if token.sort not in {"number", "text", "word", "quoted"}:
            self.unexpected("a value")
        self.at += 1
        if token.sort == "number":
            return self.number(token)
        if token.sort == "text":
            return Literal(_unquote(token.text))
        return self.call(token) if token.sort == "word" and self.take("(") else self.column(token)

    def deeper(self, token: _Token) -> None:
        """Refuse nesting that would exhaust Python's stack, here or when the condition is evaluated."""
        self.open += 1
        if self.open > MAX_DEPTH:
            self.refuse(token, f"the condition nests deeper than {MAX_DEPTH} levels")

    def number(self, token: _Token) -> Expression:
        value = float(token.text)
        if isinf(value):
            self.refuse(token, f"the number {token.text} is larger than a double holds")
        return Literal(value)

    def column(self, token: _Token) -> Expression:
        parts = [_unquote(token.text)]
        while self.take("."):
            if self.here.sort not in {"word", "quoted"}:
                self.unexpected("a name after the dot", ())
            parts.append(_unquote(self.here.text))
            self.at += 1
        return Column(".".join(parts))

    def call(self, token: _Token) -> Expression:
        name = token.text.lower()
        if name not in FUNCTIONS:
            hint = _similar(name, FUNCTIONS, str.lower) or f"the functions are {', '.join(FUNCTIONS)}"
            self.refuse(token, f"no function is called {token.text}", hint)
        self.deeper(token)
        wanted = FUNCTIONS[name][0]
        read = self.disjunction if wanted == "any" else lambda: self.checked(self.disjunction, wanted)
        found = [read()]
        while self.take(","):
            found.append(read())
        if self.take(")") is None:
            self.unexpected(", or )" if name == "coalesce" else ")")
        self.open -= 1
        if name != "coalesce" and len(found) > 1:
            self.refuse(token, f"{name} takes 1 argument, found {len(found)}")
        return self.alike(token, Call(name, tuple(found)), *found)


def _unquote(text: str) -> str:
    mark = text[0]
    return text[1:-1].replace(mark * 2, mark) if mark in "'\"" else text
