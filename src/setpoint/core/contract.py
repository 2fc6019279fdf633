"""What a model's inputs promise: field by field, across the fields of a row, and of a table as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Literal, NoReturn

import msgspec

from setpoint.core.clock import duration_text
from setpoint.core.errors import UsageError
from setpoint.core.spelling import spelled

FieldKind = Literal["numeric", "integer", "categorical", "boolean", "time"]
Scalar = str | float | bool
NUMBERS = ("numeric", "integer")


class OnViolation(StrEnum):
    """What a violation means to whoever asked; it is recorded in any case, and nothing is ever raised."""

    WARN = "warn"
    """Predict all the same."""
    NULL = "null"
    """Predict with no value in its place."""
    DEFAULT = "default"
    """Predict with the default in its place."""
    REJECT = "reject"
    """Do not predict from this row."""
    SHADOW = "shadow"
    """The rule is on trial: it is counted, and breaks nothing."""

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        msg = f"on_violation: found {value!r}, expected {', '.join(cls)}"
        raise UsageError(msg, hint="setpoint.OnViolation names them")


class RuleSort(StrEnum):
    """What a rule asks; the end of its id."""

    REQUIRED = "required"
    KIND = "kind"
    FINITE = "finite"
    RANGE = "range"
    ALLOWED = "allowed"
    PATTERN = "pattern"
    ROW = "row"
    MISSING = "missing"
    UNIQUE = "unique"
    FRESHNESS = "freshness"
    ROW_COUNT = "row_count"

    @property
    def is_per_row(self) -> bool:
        """Whether one row alone can break it."""
        return self not in _OF_A_TABLE


_OF_A_TABLE = {RuleSort.MISSING, RuleSort.UNIQUE, RuleSort.FRESHNESS, RuleSort.ROW_COUNT}


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is promised.

    Attributes:
        id: The same online and in batch, such as `dep_delay.range`; it stays when its limits move.
        sort: What it asks.
        expected: What is expected, in words.
        field: The field it is about; empty when it is about a row or a table.
        tolerance: The share of rows that may break it before a table does.
        on_violation: What a violation means.
    """

    id: str
    sort: RuleSort
    expected: str
    field: str = ""
    tolerance: float = 0.0
    on_violation: OnViolation = OnViolation.WARN


@dataclass(frozen=True, slots=True)
class ContractField:
    """What one input promises.

    Attributes:
        name: As the recorder sees it.
        kind: What its values are; what other rules ask for when left out.
        required: Whether every row has a value; null and NaN are none.
        at_least: The lowest number that is fine.
        at_most: The highest number that is fine.
        allowed: All values that are fine; any when empty.
        pattern: A regular expression that every text matches somewhere.
        missing_ratio: The largest share of rows without a value.
        unique: Whether a table has every value once.
        fresh_within: How old the latest time of a table may be, microseconds.
        tolerance: The share of rows that may break a rule of this field before a table does.
        on_violation: What a violation means.
        default: What stands in for a value that breaks a rule.
    """

    name: str
    kind: FieldKind | None = None
    required: bool = False
    at_least: float | None = None
    at_most: float | None = None
    allowed: tuple[Scalar, ...] = ()
    pattern: str = ""
    missing_ratio: float | None = None
    unique: bool = False
    fresh_within: int | None = None
    tolerance: float = 0.0
    on_violation: OnViolation = OnViolation.WARN
    default: Scalar | None = None

    def __post_init__(self) -> None:
        """Take the kind that the other rules ask for, and spell values as that kind has them."""
        if isinstance(self.allowed, str):  # which is a tuple of letters, too
            msg = f"{self.name}.allowed: found {self.allowed!r:.40}, expected a tuple of values"
            raise UsageError(msg, hint=f"allowed=({self.allowed!r:.40},)")
        kind = self.kind or self._implied
        values = tuple(dict.fromkeys(_of_kind(value, kind) for value in self.allowed))
        told: dict[str, object] = {"kind": kind, "allowed": values, "on_violation": OnViolation(self.on_violation)}
        if self.default is not None:
            told["default"] = _of_kind(self.default, kind)
        for name, value in told.items():
            object.__setattr__(self, name, value)

    @property
    def _implied(self) -> FieldKind | None:
        if self.at_least is not None or self.at_most is not None:
            return "numeric"
        if self.fresh_within is not None:
            return "time"
        if self.pattern:
            return "categorical"
        if not self.allowed:
            return None
        if all(isinstance(value, bool) for value in self.allowed):
            return "boolean"
        return "categorical" if any(isinstance(value, str) for value in self.allowed) else "numeric"

    @property
    def has_range(self) -> bool:
        """Whether its numbers have a lowest or a highest value."""
        return self.at_least is not None or self.at_most is not None

    @property
    def range_words(self) -> str:
        """The range, in words; empty without one."""
        low, high = (None if end is None else spelled(end) for end in (self.at_least, self.at_most))
        if low is None:
            return "" if high is None else f"at most {high}"
        return f"at least {low}" if high is None else f"{low} to {high}"

    def rules(self) -> Iterator[Rule]:
        """Yield its rules, in the order in which they are checked."""
        missing = self.missing_ratio or 0.0
        told = [
            (RuleSort.REQUIRED, self.required, "a value in every row"),
            (RuleSort.KIND, self.kind is not None, _KIND_WORDS.get(self.kind or "", "")),
            (RuleSort.FINITE, self.kind in NUMBERS, "a finite number"),
            (RuleSort.RANGE, self.has_range, self.range_words),
            (RuleSort.ALLOWED, bool(self.allowed), f"one of {_listed(self.allowed)}"),
            (RuleSort.PATTERN, bool(self.pattern), f"a text that matches {self.pattern}"),
            (RuleSort.MISSING, self.missing_ratio is not None, f"missing in at most {100 * missing:g} %"),
            (RuleSort.UNIQUE, self.unique, "every value once"),
            (RuleSort.FRESHNESS, self.fresh_within is not None, f"at most {duration_text(self.fresh_within or 0)} old"),
        ]
        for sort, is_declared, expected in told:
            if is_declared:
                tolerance = missing if sort is RuleSort.MISSING else self.tolerance
                yield Rule(f"{self.name}.{sort}", sort, expected, self.name, tolerance, self.on_violation)


_KIND_WORDS = {
    "numeric": "a number",
    "integer": "a whole number",
    "categorical": "a text",
    "boolean": "true or false",
    "time": "a time",
}
_MOST_LISTED = 8


@dataclass(frozen=True, slots=True)
class RowCondition:
    """What must hold between the fields of a row.

    Attributes:
        name: Its id is `row.NAME`.
        where: A condition; a row in which it is unknown, since a value is missing, keeps it.
        tolerance: The share of rows that may break it before a table does.
        on_violation: What a violation means: warn, reject or shadow.
    """

    name: str
    where: str
    tolerance: float = 0.0
    on_violation: OnViolation = OnViolation.WARN

    def __post_init__(self) -> None:
        """Take a reaction that is spelled as a text."""
        object.__setattr__(self, "on_violation", OnViolation(self.on_violation))

    def rules(self) -> Iterator[Rule]:
        """Yield its one rule."""
        yield Rule(f"row.{self.name}", RuleSort.ROW, self.where, "", self.tolerance, self.on_violation)


@dataclass(frozen=True)
class Contract:
    """What a model's inputs promise.

    Attributes:
        fields: What each input promises.
        conditions: What must hold between them.
        rows_at_least: The fewest rows of a table.
        rows_at_most: The most rows of a table.
        version: As people count it; `hash` tells whether two are really the same.

    Example:
        >>> contract = Contract((ContractField("delay", at_least=-60, required=True),))
        >>> [rule.id for rule in contract.rules]
        ['delay.required', 'delay.kind', 'delay.finite', 'delay.range']
    """

    fields: tuple[ContractField, ...] = ()
    conditions: tuple[RowCondition, ...] = ()
    rows_at_least: int | None = None
    rows_at_most: int | None = None
    version: str = ""

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, in the order in which they are declared."""
        found = [rule for part in (*self.fields, *self.conditions) for rule in part.rules()]
        if self.rows_at_least is not None or self.rows_at_most is not None:
            found.append(Rule("table.row_count", RuleSort.ROW_COUNT, self._row_words))
        return tuple(found)

    @property
    def _row_words(self) -> str:
        if self.rows_at_least is None:
            return f"at most {self.rows_at_most or 0:,} rows"
        if self.rows_at_most is None:
            return f"at least {self.rows_at_least:,} rows"
        return f"{self.rows_at_least:,} to {self.rows_at_most:,} rows"

    @cached_property
    def hash(self) -> str:
        """What is promised, as 12 letters: the same for the same promises in any order and of any version."""
        told = {
            "fields": sorted(self.fields, key=lambda field: field.name),
            "conditions": sorted(self.conditions, key=lambda condition: condition.name),
            "rows": [self.rows_at_least, self.rows_at_most],
        }
        return hashlib.blake2b(msgspec.json.encode(told), digest_size=6).hexdigest()

    def field(self, name: str) -> ContractField | None:
        """Return the field of this name, if any."""
        return next((field for field in self.fields if field.name == name), None)


def _of_kind(value: Scalar, kind: FieldKind | None) -> Scalar:
    """Return a value as its kind has it; one that does not fit stays, for `contract_faults` to name it."""
    if kind == "categorical" and not isinstance(value, str):
        return spelled(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else value


def _listed(values: tuple[Scalar, ...]) -> str:
    words = [value if isinstance(value, str) else spelled(value) for value in values]
    more = f" and {len(words) - _MOST_LISTED} more" if len(words) > _MOST_LISTED else ""
    return ", ".join(words[:_MOST_LISTED]) + more
