"""A contract made from another notation: what is carried over, and what is not, by name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

from setpoint.core.contract import Contract, ContractField, FieldKind, OnViolation, RowCondition, Scalar
from setpoint.core.contract_faults import contract_faults
from setpoint.core.errors import SetpointError
from setpoint.core.expression import parse
from setpoint.core.expression_tree import Column
from setpoint.core.pattern import matcher
from setpoint.core.spelling import spelled
from setpoint.declare.problems import Problem, Problems, shown
from setpoint.declare.source import Path, Source, dotted

Told = dict[str, object]


@dataclass(frozen=True, slots=True)
class Translated:
    """A contract in another notation, read or written.

    Attributes:
        contract: The contract.
        lost: What one notation says and the other cannot, each with its place.
        text: What was written; empty when it was read.
    """

    contract: Contract
    lost: tuple[str, ...]
    text: str = ""


@dataclass
class Draft:
    """A contract while it is read.

    Attributes:
        source: What it is read from.
        fields: What is known of each field, by its name.
        places: Where each field stands.
        conditions: What must hold between fields.
        lost: What cannot be carried over.
        words: Keys that promise nothing, and what has them.
        problems: What cannot be.
        rows: The fewest and the most rows.
    """

    source: Source
    fields: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    places: dict[str, Path] = field(default_factory=dict[str, Path])
    conditions: list[RowCondition] = field(default_factory=list[RowCondition])
    lost: list[str] = field(default_factory=list[str])
    words: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    problems: list[Problem] = field(default_factory=list[Problem])
    rows: dict[str, int] = field(default_factory=dict[str, int])

    def lose(self, path: Path, why: str = "") -> None:
        """Note that something is not carried over."""
        self.lost.append(f"{dotted(path)}: not carried over{f', {why}' if why else ''}")

    def lose_words(self, key: str, owner: str = "") -> None:
        """Note that a key which promises nothing is not carried over; all owners of a key are named at once."""
        self.words.setdefault(key, []).append(owner)

    def all_lost(self) -> tuple[str, ...]:
        """Return what is not carried over, in words."""
        told = [f"{key} of {', '.join(owners)}" if any(owners) else key for key, owners in self.words.items()]
        return (*self.lost, *([f"no promises, so not carried over: {'; '.join(told)}"] if told else []))

    def refuse(self, path: Path, message: str, hint: str = "") -> None:
        """Note a problem at its line."""
        self.problems.append(Problem(*self.source.place(path), dotted(path), message, hint))

    def fail(self, path: Path, message: str, hint: str = "") -> NoReturn:
        """Give up at a place."""
        self.refuse(path, message, hint)
        raise Problems(self.problems)

    def mapping(self, value: object, path: Path) -> Told:
        """Return a mapping; an empty one, and a problem, when it is none."""
        if isinstance(value, dict):
            return cast("Told", value)
        if value is not None:
            self.refuse(path, f"found {shown(value)}, expected a mapping")
        return {}

    def listed(self, value: object, path: Path) -> list[object]:
        """Return a list; an empty one, and a problem, when it is none."""
        if isinstance(value, list):
            return cast("list[object]", value)
        if value is not None:
            self.refuse(path, f"found {shown(value)}, expected a list")
        return []

    def number(self, value: object, path: Path) -> float | None:
        """Return a number; None, and a problem, when it is none."""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        if value is not None:
            self.refuse(path, f"found {shown(value)}, expected a number")
        return None

    def truth(self, value: object, path: Path) -> bool:
        """Return a truth value; false, and a problem, when it is none."""
        if value is not None and not isinstance(value, bool):
            self.refuse(path, f"found {shown(value)}, expected true or false")
        return value is True

    def text(self, value: object, path: Path) -> str:
        """Return a text; an empty one, and a problem, when it is none."""
        if value is not None and not isinstance(value, str):
            self.refuse(path, f"found {shown(value)}, expected text")
        return value if isinstance(value, str) else ""

    def limits(self, name: str, told: Told, path: Path) -> None:
        """Read what JSON Schema and ODCS call alike: ends, lengths and a pattern."""
        kind = self.fields[name].get("kind")
        for key, end in (("minimum", "at_least"), ("maximum", "at_most")):
            if key in told:
                self.fields[name][end] = self.number(told[key], (*path, key))
        for key, sign in (("exclusiveMinimum", ">"), ("exclusiveMaximum", "<")):
            found = self.number(told.get(key), (*path, key))
            if found is not None and kind == "integer" and found.is_integer():
                end, step = ("at_least", 1) if sign == ">" else ("at_most", -1)
                self.fields[name][end] = found + step
            elif found is not None:
                self.condition(
                    f"{name}_{'above' if sign == '>' else 'below'}", f"{quoted(name)} {sign} {spelled(found)}"
                )
        self._texts(name, told, path)

    def _texts(self, name: str, told: Told, path: Path) -> None:
        for key, sign in (("minLength", ">="), ("maxLength", "<=")):
            found = self.number(told.get(key), (*path, key))
            if found is not None:
                which = "shortest" if sign == ">=" else "longest"
                self.condition(f"{name}_{which}", f"length({quoted(name)}) {sign} {spelled(found)}")
        if pattern := self.text(told.get("pattern"), (*path, "pattern")):
            try:
                matcher(pattern)
            except SetpointError as error:
                self.lose((*path, "pattern"), error.message)
            else:
                self.fields[name]["pattern"] = pattern

    def condition(self, name: str, where: str, tolerance: float = 0.0, reaction: str = "warn") -> None:
        """Add a condition between fields."""
        self.conditions.append(RowCondition(name, where, tolerance, OnViolation(reaction)))

    def scalars(self, value: object, path: Path) -> tuple[Scalar, ...]:
        """Return a list of values, without null: a value that is missing is no value."""
        found: list[Scalar] = []
        for place, one in enumerate(self.listed(value, path)):
            if isinstance(one, (str, bool, int, float)):
                found.append(one)
            elif one is not None:
                self.refuse((*path, place), f"found {shown(one)}, expected a number, a text, or true or false")
        return tuple(found)

    def contract(self, version: str = "") -> Contract:
        """Return the contract.

        Raises:
            Problems: Something cannot be.
        """
        if self.problems:
            raise Problems(self.problems)
        fields = [ContractField(name, **told) for name, told in self.fields.items()]
        contract = Contract(
            tuple(fields), tuple(self.conditions), self.rows.get("at_least"), self.rows.get("at_most"), version
        )
        for fault in contract_faults(contract):
            place = self.places.get(fault.path[1], ()) if len(fault.path) > 1 else ()
            self.refuse(place, f"{'.'.join(fault.path)}: {fault.message}", fault.hint)
        if self.problems:
            raise Problems(self.problems)
        return contract


KINDS: dict[str, FieldKind] = {
    "number": "numeric",
    "integer": "integer",
    "string": "categorical",
    "boolean": "boolean",
    "date": "time",
    "timestamp": "time",
}


def quoted(name: str) -> str:
    """Return a name as a condition has it.

    Example:
        >>> quoted("delay"), quoted("dep delay"), quoted("and")
        ('delay', '"dep delay"', '"and"')
    """
    if re.fullmatch(r"[^\W\d]\w*", name):
        try:
            (found,) = parse(f"{name} IS NULL").children
        except SetpointError:
            pass
        else:
            if found == Column(name):
                return name
    return '"' + name.replace('"', '""') + '"'
