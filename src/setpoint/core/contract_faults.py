"""Contracts that contradict themselves: no row could keep them, or a rule in them could never be broken."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import ceil, isfinite
from typing import cast, get_args

from setpoint.core.contract import NUMBERS, Contract, ContractField, FieldKind, OnViolation, RowCondition, Scalar
from setpoint.core.errors import SetpointError, UsageError
from setpoint.core.expression import parse
from setpoint.core.pattern import matcher
from setpoint.core.spelling import spelled

SEPARATOR = ","
"""What stands between the ids of a row's violations where they are recorded."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a contract.

    Attributes:
        path: Where: `fields`, the field's name, the key.
        message: What was found, and what was expected.
        hint: What to do; may be empty.
    """

    path: tuple[str, ...]
    message: str
    hint: str = ""


def check_contract(contract: Contract) -> None:
    """Refuse a contract that contradicts itself.

    Raises:
        UsageError: It does; all faults are named.
    """
    faults = list(contract_faults(contract))
    if faults:
        msg = "; ".join(f"contract.{'.'.join(fault.path)}: {fault.message}" for fault in faults)
        raise UsageError(msg, hint=faults[0].hint)


def contract_faults(contract: Contract, others: Collection[str] = ()) -> Iterator[Fault]:
    """Yield what is wrong.

    Args:
        contract: The contract.
        others: Names that conditions may use besides the contract's fields.

    Example:
        >>> [fault.message for fault in contract_faults(Contract((ContractField("delay", at_least=5, at_most=1),)))]
        ['found at_least 5 above at_most 1']
    """
    odd = [*_of_types(contract)]
    yield from odd
    if odd:
        return  # nothing else can be asked of what is no contract
    names = [field.name for field in contract.fields]
    for field in contract.fields:
        if names.count(field.name) > 1:
            yield Fault(("fields", field.name), "found the field twice")
        if not field.name or SEPARATOR in field.name:
            hint = "rename the input before it is recorded"
            yield Fault(("fields", field.name), "found a name that is empty or holds a comma", hint)
        yield from (Fault(("fields", field.name, *one.path), one.message, one.hint) for one in _of_field(field))
    known = {*names, *others}
    for condition in contract.conditions:
        yield from _of_condition(condition, known)
    ids = [rule.id for rule in contract.rules]
    for rule in contract.rules:
        if rule.id.startswith("row.") and ids.count(rule.id) > 1:
            yield Fault(("conditions", rule.id[4:]), f"found two rules with the id {rule.id}", "rename the condition")
    least, most = contract.rows_at_least, contract.rows_at_most
    if min(least or 0, most or 0) < 0:
        yield Fault(("rows",), f"found {min(least or 0, most or 0):,} rows, expected none or more")
    elif least is not None and most is not None and least > most:
        yield Fault(("rows",), f"found at_least {least:,} above at_most {most:,}")


def _of_types(contract: Contract) -> Iterator[Fault]:
    """Yield what is of another type than it must be, as callers without type checks write it."""
    for name, sort in (("fields", ContractField), ("conditions", RowCondition)):
        parts = cast("object", getattr(contract, name))
        if not isinstance(parts, tuple | list):
            yield Fault((name,), f"found {parts!r:.40}, expected a tuple of {sort.__name__}")
            continue
        for n, part in enumerate(cast("Sequence[object]", parts)):
            at = (name, str(n))
            if not isinstance(part, sort):
                yield Fault(at, f"found {part!r:.40}, expected a {sort.__name__}")
                continue
            for key, (kinds, words) in _TYPES.items():
                value = cast("object", getattr(part, key, None))
                is_one = isinstance(value, kinds) and (kinds == (bool,) or not isinstance(value, bool))
                if value is not None and not is_one:
                    yield Fault((*at, key), f"found {value!r:.40}, expected {words}")
    for key, value in (("at_least", contract.rows_at_least), ("at_most", contract.rows_at_most)):
        if value is not None and type(value) is not int:
            yield Fault(("rows", key), f"found {value!r:.40}, expected a whole number")


_NUMBER = ((int, float), "a number")
_TRUTH = ((bool,), "True or False")
_TEXT = ((str,), "a text")
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "name": _TEXT,
    "where": _TEXT,
    "pattern": _TEXT,
    "required": _TRUTH,
    "unique": _TRUTH,
    "at_least": _NUMBER,
    "at_most": _NUMBER,
    "missing_ratio": _NUMBER,
    "tolerance": _NUMBER,
    "fresh_within": ((int,), "microseconds"),
}


def _of_field(field: ContractField) -> Iterator[Fault]:
    if field.kind not in {None, *get_args(FieldKind)}:
        yield Fault(("kind",), f"found {field.kind}, expected {', '.join(get_args(FieldKind))}")
    yield from _of_range(field)
    yield from _of_values(field)
    yield from _of_column(field)
    if field.pattern:
        if field.kind != "categorical":
            yield Fault(("pattern",), f"found a pattern for a field of kind {field.kind}, expected one for texts")
        try:
            matcher(field.pattern)
        except SetpointError as error:
            yield Fault(("pattern",), error.message, error.hint)
    if field.required and field.on_violation is OnViolation.NULL:
        hint = "write default and a value, or leave required out"
        yield Fault(("on_violation",), "found null for a required field: what stands in would break it too", hint)
    if field.on_violation is OnViolation.DEFAULT and field.default is None:
        yield Fault(("on_violation",), "found default, and no default", "write default: and the value")
    if field.default is not None and field.on_violation is not OnViolation.DEFAULT:
        message = f"found a default, and on_violation {field.on_violation}: nothing ever takes it"
        yield Fault(("default",), message, "write on_violation: default, or leave the default out")


def _of_column(field: ContractField) -> Iterator[Fault]:
    for key, share in (("missing_ratio", field.missing_ratio), ("tolerance", field.tolerance)):
        if share is not None and not 0.0 <= share <= 1.0:
            yield Fault((key,), f"found {share:g}, expected a share from 0 to 1")
    if field.required and field.missing_ratio:
        hint = "leave one of them out"
        yield Fault(("missing_ratio",), f"found {field.missing_ratio:g} for a required field", hint)
    if field.fresh_within is not None and field.fresh_within <= 0:
        yield Fault(("fresh_within",), f"found {field.fresh_within:,} microseconds, expected more than none")
    if field.fresh_within is not None and field.kind != "time":
        yield Fault(("fresh_within",), f"found it for a field of kind {field.kind}, expected kind time")


def _of_range(field: ContractField) -> Iterator[Fault]:
    low, high = field.at_least, field.at_most
    key = "at_least" if low is not None else "at_most"
    if field.has_range and field.kind not in NUMBERS:
        yield Fault((key,), f"found a range for a field of kind {field.kind}, expected one for numbers")
    if not all(isfinite(end) for end in (low, high) if end is not None):
        yield Fault((key,), "found an end that is not finite", "leave the end out where there is none")
    elif low is not None and high is not None:
        if low > high:
            yield Fault((key,), f"found at_least {spelled(low)} above at_most {spelled(high)}")
        elif field.kind == "integer" and ceil(low) > high:
            yield Fault((key,), f"found no whole number from {spelled(low)} to {spelled(high)}")


def _of_values(field: ContractField) -> Iterator[Fault]:
    told = [("allowed", value) for value in field.allowed]
    if field.default is not None:
        told.append(("default", field.default))
    for key, value in told:
        fault = _misfit(field, value)
        if not fault and key == "default" and field.allowed and value not in field.allowed:
            fault = "not among the allowed values"
        if fault:
            yield Fault((key,), f"found {value if isinstance(value, str) else spelled(value)}, {fault}")


def _misfit(field: ContractField, value: Scalar) -> str:
    """Return why a value cannot be one of a field; empty when it can."""
    is_number = isinstance(value, float)
    match field.kind:
        case "numeric" | "integer" if not is_number or not isfinite(value):
            return f"expected a number: the field is {field.kind}"
        case "integer" if is_number and not value.is_integer():
            return "expected a whole number"
        case "boolean" if not isinstance(value, bool):
            return "expected true or false: the field is boolean"
        case "time":
            return "expected none: a time has no list of values"
        case _:
            pass
    if is_number and field.has_range and field.kind in NUMBERS:
        low, high = field.at_least, field.at_most
        if (low is not None and value < low) or (high is not None and value > high):
            return f"expected {field.range_words}"
    return "which the pattern does not match" if _is_unmatched(field.pattern, value) else ""


def _is_unmatched(pattern: str, value: Scalar) -> bool:
    try:
        return bool(pattern) and isinstance(value, str) and matcher(pattern).search(value) is None
    except SetpointError:
        return False  # the pattern itself is named


def _of_condition(condition: RowCondition, known: Collection[str]) -> Iterator[Fault]:
    at = ("conditions", condition.name)
    if not condition.name or SEPARATOR in condition.name:
        yield Fault(at, "found a name that is empty or holds a comma")
    if condition.on_violation in {OnViolation.NULL, OnViolation.DEFAULT}:
        found = f"found {condition.on_violation}, expected warn, reject or shadow"
        yield Fault((*at, "on_violation"), found, "a condition has no field of its own to replace")
    try:
        columns = parse(condition.where).columns()
    except SetpointError as error:
        yield Fault((*at, "where"), error.message, error.hint)
        return
    for name in sorted(column.removeprefix("inputs.") for column in columns):
        if name not in known:
            close = get_close_matches(name.casefold(), [one.casefold() for one in known], n=1, cutoff=0.6)
            meant = next((one for one in known if close and one.casefold() == close[0]), "")
            hint = f"did you mean {meant}?" if meant else f"known: {', '.join(sorted(known)) or 'none'}"
            yield Fault((*at, "where"), f"no field is called {name}", hint)
    if not columns:
        yield Fault((*at, "where"), "found no field in it: it is the same for every row")
