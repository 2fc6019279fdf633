"""The contract in a model's declaration: what its inputs promise, with its spelling for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Discriminator, Field, Tag

from setpoint.core.clock import parse_duration
from setpoint.core.contract import Contract, ContractField, FieldKind, OnViolation, RowCondition, Scalar
from setpoint.core.contract_faults import Fault, contract_faults
from setpoint.declare.parts import Part, Share
from setpoint.declare.problems import Problem
from setpoint.declare.source import Path, Source, dotted
from setpoint.declare.spellings import Condition, Duration, Word, duration_spelling, refuse, shape


def _said(value: object) -> object:
    if value is None:
        refuse('found nothing, expected warn, "null", default, reject or shadow', 'write "null" in quotes')
    return value


Value = bool | float | str
Reaction = Annotated[Literal["warn", "null", "default", "reject", "shadow"], BeforeValidator(_said)]


class ContractFieldDeclaration(Part):
    """What one input promises."""

    kind: Literal["numeric", "integer", "categorical", "boolean", "time"] | None = None
    """What its values are; the feature's kind, or what the other keys ask for, when left out."""
    required: bool = False
    """Whether every row has a value."""
    at_least: float | None = None
    """The lowest number that is fine."""
    at_most: float | None = None
    """The highest number that is fine."""
    allowed: Annotated[list[Value], Field(min_length=1)] | None = None
    """All values that are fine."""
    pattern: str = ""
    """A regular expression that every text matches somewhere; ^...$ for the whole text."""
    missing_ratio: Share | None = None
    """The largest share of rows without a value."""
    unique: bool = False
    """Whether a table has every value once."""
    fresh_within: Duration | None = None
    """How old the latest time of a table may be."""
    tolerance: Share = 0.0
    """The share of rows that may break a rule of this field before a table does."""
    on_violation: Reaction = "warn"
    """What a violation means: warn, "null" (no value in its place), default, reject, or shadow (a rule on trial)."""
    default: Value | None = None
    """What stands in for a value that breaks a rule."""

    def to_core(self, name: str, kind: FieldKind | None) -> ContractField:
        """Return the core noun; a default that is given is meant to be used."""
        told = self.model_dump(exclude={"allowed", "fresh_within", "kind"})
        if self.default is not None and "on_violation" not in self.model_fields_set:
            told["on_violation"] = OnViolation.DEFAULT
        fresh = None if self.fresh_within is None else parse_duration(self.fresh_within)
        allowed = tuple(self.allowed or ())
        return ContractField(name, kind=self.kind or kind, allowed=allowed, fresh_within=fresh, **told)


class RowConditionDeclaration(Part):
    """What must hold between the fields of a row."""

    where: Condition
    """A condition, such as: dep_time <= arr_time; a row in which it is unknown keeps it."""
    tolerance: Share = 0.0
    """The share of rows that may break it before a table does."""
    on_violation: Annotated[Literal["warn", "reject", "shadow"], BeforeValidator(_said)] = "warn"
    """What a violation means: warn, reject, or shadow (a rule on trial)."""


class RowsDeclaration(Part):
    """How many rows a table has."""

    at_least: Annotated[int, Field(ge=0)] | None = None
    """The fewest rows."""
    at_most: Annotated[int, Field(ge=0)] | None = None
    """The most rows."""


Conditions = dict[
    Word,
    Annotated[
        Annotated[Condition, Tag("(text)")] | Annotated[RowConditionDeclaration, Tag("(mapping)")],
        Discriminator(shape, custom_error_type="shape", custom_error_message="a condition or a mapping with where"),
    ],
]


class ContractDeclaration(Part):
    """What a model's inputs promise: checked when they are recorded, and by `setpoint check`."""

    version: Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int | float) else value)] = ""
    """As people count it."""
    fields: dict[Word, ContractFieldDeclaration | None] = Field(
        default_factory=dict[str, ContractFieldDeclaration | None]
    )
    """What each input promises."""
    conditions: Conditions = Field(default_factory=dict)
    """What must hold between the fields of a row, by name."""
    rows: RowsDeclaration = RowsDeclaration()
    """How many rows a table has."""

    def to_core(self, kinds: Mapping[str, FieldKind | None]) -> Contract:
        """Return the core noun.

        Args:
            kinds: Kind by feature, where the features say one.
        """
        fields = [
            (one or ContractFieldDeclaration()).to_core(name, kinds.get(name)) for name, one in self.fields.items()
        ]
        conditions = [
            RowCondition(name, one)
            if isinstance(one, str)
            else RowCondition(name, one.where, one.tolerance, OnViolation(one.on_violation))
            for name, one in self.conditions.items()
        ]
        return Contract(tuple(fields), tuple(conditions), self.rows.at_least, self.rows.at_most, self.version)


def contract_problems(
    contract: Contract, kinds: Mapping[str, FieldKind | None], source: Source, at: Path
) -> list[Problem]:
    """Return what is wrong with a contract whose shape holds, at its place.

    Args:
        contract: The contract.
        kinds: Kind by feature, where the features say one; all features.
        source: What it was read from.
        at: Where in it.
    """
    faults = list(contract_faults(contract, kinds))
    for field in contract.fields:
        kind = kinds.get(field.name)
        if kind and field.kind and kind != field.kind:
            message = f"found kind {field.kind}, and the feature is {kind}"
            faults.append(Fault(("fields", field.name), message, "leave kind out of the contract"))
    found = [((*at, *fault.path), fault) for fault in faults]
    return [Problem(*source.place(path), dotted(path), fault.message, fault.hint) for path, fault in found]


def told_contract(contract: Contract | None) -> dict[str, object] | None:
    """Return a contract as the values of its declaration; keys at their default are None."""
    if contract is None:
        return None
    rows = {"at_least": contract.rows_at_least, "at_most": contract.rows_at_most}
    return {
        "version": contract.version or None,
        "fields": {one.name: _told_field(one) for one in contract.fields} or None,
        "conditions": {one.name: _told_condition(one) for one in contract.conditions} or None,
        "rows": rows if any(value is not None for value in rows.values()) else None,
    }


def _told_field(one: ContractField) -> dict[str, object]:
    is_said = one.on_violation is OnViolation.WARN or one.default is not None
    return {
        "kind": one.kind,
        "required": one.required or None,
        "at_least": short(one.at_least),
        "at_most": short(one.at_most),
        "allowed": [short(value) for value in one.allowed] or None,
        "pattern": one.pattern or None,
        "missing_ratio": one.missing_ratio,
        "unique": one.unique or None,
        "fresh_within": None if one.fresh_within is None else duration_spelling(one.fresh_within),
        "tolerance": one.tolerance or None,
        "on_violation": None if is_said else one.on_violation.value,
        "default": short(one.default),
    }


def _told_condition(one: RowCondition) -> object:
    if not one.tolerance and one.on_violation is OnViolation.WARN:
        return one.where
    is_said = one.on_violation is OnViolation.WARN
    told = {"where": one.where, "tolerance": one.tolerance or None}
    return {**told, "on_violation": None if is_said else one.on_violation.value}


def short(value: Scalar | None) -> object:
    """Return a number without a point where it needs none.

    Example:
        >>> short(3.0), short(2.5), short("3")
        (3, 2.5, '3')
    """
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE
    return int(cast("float", value)) if is_whole else value


_WHOLE = 2**53
