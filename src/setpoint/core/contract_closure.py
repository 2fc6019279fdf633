"""A contract as one Python function, for serving: every violation of a row as the ids of the rules it breaks.

Of each field the function asks one cheap question that only a value without fault answers with yes, of all fields in
one expression; where a field says no, or is not there, each is asked alone, and what is in doubt (NaN, NumPy's
scalars, nonsense) goes to that field's full rules. So a row that keeps its contract costs a fraction of a microsecond,
and its answer nothing. `store.contract_sql` has the same rules in SQL, and a test holds the two together.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from typing import Literal, cast

from setpoint.core.contract import NUMBERS, Contract, ContractField, OnViolation, RuleSort
from setpoint.core.contract_faults import check_contract
from setpoint.core.expression import compile_predicate, parse
from setpoint.core.pattern import matcher
from setpoint.core.spelling import spelled
from setpoint.core.values import as_number, as_text, as_truth, is_missing, plain

Row = Mapping[str, object]
Ids = tuple[str, ...]
Violations = Callable[[Row], Ids]

TIME_PATTERN = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
)
"""What a text must look like to be a time, in full: ISO 8601."""

NO_ROW = "row"
"""What is broken by something that is no row at all; no rule can have this id."""

_KEEPS: Ids = ()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_is_time_text = re.compile(TIME_PATTERN).fullmatch


@dataclass(frozen=True, slots=True)
class Checked:
    """A row held against its contract.

    Attributes:
        row: What to predict from: the row, with values replaced where the contract says so.
        violations: The rules it broke, as it came; those on trial too.
        action: `reject` when the contract says not to predict from it; Setpoint itself never blocks.
    """

    row: Row
    violations: Ids
    action: Literal["accept", "reject"]


class ContractCheck:
    """A contract, compiled once.

    Attributes:
        contract: What it was compiled from.
        violations: A function from a row to the ids of the rules that it breaks; an empty tuple when there are none.

    Raises:
        UsageError: The contract contradicts itself.

    Example:
        >>> fields = (ContractField("delay", at_most=600, on_violation=OnViolation.NULL), ContractField("carrier"))
        >>> check = ContractCheck(Contract(fields)).check
        >>> check({"delay": 12.5, "carrier": "AA"}).violations
        ()
        >>> check({"delay": 900.0, "carrier": "AA"})
        Checked(row={'delay': None, 'carrier': 'AA'}, violations=('delay.range',), action='accept')
    """

    def __init__(self, contract: Contract) -> None:
        check_contract(contract)
        self.contract = contract
        self.violations = _compiled(contract)
        self._rules = {rule.id: rule for rule in contract.rules}
        self._defaults = {field.name: field.default for field in contract.fields}

    def check(self, row: Row) -> Checked:
        """Hold a row against the contract: what it breaks, and what to predict from.

        What is no row, such as a JSON list, breaks `row` and all that is required; there is nothing to predict from.
        """
        try:
            broken = self.violations(row)
        except Exception:
            if isinstance(row, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] — of callers without types
                raise
            return Checked({}, (NO_ROW, *self.violations({})), "reject")
        if not broken:
            return Checked(row, broken, "accept")
        mended: dict[str, object] = {}
        action: Literal["accept", "reject"] = "accept"
        for rule in map(self._rules.__getitem__, broken):
            match rule.on_violation:
                case OnViolation.REJECT:
                    action = "reject"
                case OnViolation.NULL:
                    mended[rule.field] = None
                case OnViolation.DEFAULT:
                    mended[rule.field] = self._defaults[rule.field]
                case _:
                    pass
        return Checked({**row, **mended} if mended else row, broken, action)


def _compiled(contract: Contract) -> Violations:
    """Return the function.

    Its source is made of our own words alone: names, limits and all else that a person wrote are values in its
    globals, so that nothing in a contract can become code. A loop over the fields would be five times slower.
    """
    known: dict[str, object] = {"keeps": _KEEPS}
    fine: list[str] = []
    rest: list[str] = []
    for n, field in enumerate(contract.fields):
        if sure := _sure(field, n, known):
            known |= {f"name{n}": field.name, f"rest{n}": _rest(field)}
            fine.append(f"({sure})")
            rest += [f" value{n} = get(name{n})", f" if not ({sure}):", f"  found += rest{n}(value{n})"]
    names = [name for name in known if name.startswith("name")]
    for n, condition in enumerate(contract.conditions):
        (rule,) = condition.rules()
        known |= {f"holds{n}": _condition(condition.where), f"broken{n}": (rule.id,)}
        fine.append(f"holds{n}(row) is not False")
        rest += [f" if holds{n}(row) is False:", f"  found += broken{n}"]
    at_once: list[str] = []
    if len(names) > 1:  # of one name `itemgetter` returns no tuple
        known["pick"] = itemgetter(*(cast("str", known[name]) for name in names))
        values = ", ".join(name.replace("name", "value") for name in names)
        asked = " and ".join(fine)
        at_once = [
            " try:",
            f"  {values} = pick(row)",
            f"  if {asked}:",
            "   return keeps",
            " except KeyError:",
            "  pass",
        ]
    source = ["def violations(row):", *at_once, " get = row.get", " found = keeps", *rest, " return found"]
    exec("\n".join(source), known)  # noqa: S102 — see above
    return cast("Violations", known["violations"])


def _sure(field: ContractField, n: int, known: dict[str, object]) -> str:
    """Return a question about a value that is true only where nothing can be wrong; empty when nothing ever is.

    The class is asked for first, so that nothing after it can raise; it is false of a NaN.
    """
    value, kind = f"value{n}", f"kind{n}"
    if field.kind is None:
        known[kind] = frozenset({int, str, bool})
        return f"{value}.__class__ in {kind}" if field.required else ""
    known[kind] = {"numeric": float, "integer": int, "categorical": str, "boolean": bool, "time": datetime}[field.kind]
    asked = [f"{value}.__class__ is {kind}"]
    if field.kind == "numeric":
        known[f"whole{n}"] = int
        asked = [f"({asked[0]} or {value}.__class__ is whole{n})"]
    if field.kind in NUMBERS:
        low, high = field.at_least, field.at_most
        known[f"low{n}"] = -sys.float_info.max if low is None else low
        known[f"high{n}"] = sys.float_info.max if high is None else high
        asked.append(f"low{n} <= {value} <= high{n}")
    if field.allowed:
        known[f"allowed{n}"] = frozenset(field.allowed)
        asked.append(f"{value} in allowed{n}")
    if field.pattern:
        known[f"search{n}"] = matcher(field.pattern).search
        asked.append(f"search{n}({value}) is not None")
    sure = " and ".join(asked)
    return sure if field.required else f"{value} is None or {sure}"


def _rest(field: ContractField) -> Callable[[object], Ids]:
    """Return all rules of a field: from a value of any type to the ids of those that it breaks."""
    ids = {rule.sort: (rule.id,) for rule in field.rules()}
    required, kind = ids.get(RuleSort.REQUIRED, _KEEPS), ids.get(RuleSort.KIND, _KEEPS)
    read = _READERS[field.kind] if field.kind else plain
    low = -math.inf if field.at_least is None else field.at_least
    high = math.inf if field.at_most is None else field.at_most
    allowed = frozenset(field.allowed)
    search = matcher(field.pattern).search if field.pattern else None
    is_number = field.kind in NUMBERS

    def broken(value: object) -> Ids:
        if is_missing(value):
            return required
        if not kind:
            return _KEEPS
        found = read(value)
        if found is None:
            return kind
        if is_number and math.isinf(cast("float", found)):
            return ids[RuleSort.FINITE]
        told = _KEEPS
        if is_number and not low <= cast("float", found) <= high:
            told += ids[RuleSort.RANGE]
        if allowed and found not in allowed:
            told += ids[RuleSort.ALLOWED]
        if search is not None and search(cast("str", found)) is None:
            told += ids[RuleSort.PATTERN]
        return told

    return broken


def _whole(value: object) -> float | None:
    number = as_number(value)
    is_whole = number is not None and (math.isinf(number) or number.is_integer())
    return number if is_whole else None


def _text(value: object) -> str | None:
    """Return a text as a column of texts would hold it."""
    text = as_text(value)
    if text is not None:
        return text
    value = plain(value)
    number = None if isinstance(value, bool) else as_number(value)
    if number is not None and math.isinf(number):
        return None
    return spelled(value) if isinstance(value, bool | int) else None if number is None else spelled(number)


def _time(value: object) -> object:
    value = plain(value)
    if isinstance(value, str):
        return value if _is_time_text(value) else None
    return value if isinstance(value, date) else None  # a datetime is one too


_READERS: Mapping[str, Callable[[object], object]] = {
    "numeric": as_number,
    "integer": _whole,
    "categorical": _text,
    "boolean": as_truth,
    "time": _time,
}


def _condition(where: str) -> Callable[[Row], bool | None]:
    """Return a condition on a row as the contract sees it: NaN is null, and times are microseconds."""
    expression = parse(where)
    holds = compile_predicate(expression)
    names = [(name, name.removeprefix("inputs.")) for name in sorted(expression.columns())]

    def check(row: Row) -> bool | None:
        return holds({name: _seen(row.get(field)) for name, field in names})

    return check


def _seen(value: object) -> object:
    if value.__class__ in _PLAIN:
        return None if value != value else value  # noqa: PLR0124 - only NaN differs from itself
    if is_missing(value):
        return None
    value = plain(value)
    if isinstance(value, date):
        day = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)
        return ((day if day.tzinfo else day.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)
    return value


_PLAIN = frozenset({float, int, str, bool})
