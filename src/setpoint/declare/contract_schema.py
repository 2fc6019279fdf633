"""Contracts as JSON Schema has them, for API users: read, and written; and read from pydantic models.

JSON Schema knows one object and no table: how often a value may be missing, uniqueness, freshness and conditions
between fields have no place in it, and are named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from setpoint.core.contract import Contract, ContractField, OnViolation, RuleSort
from setpoint.core.errors import UsageError
from setpoint.declare.contract import short
from setpoint.declare.json_schema import DIALECT
from setpoint.declare.problems import Problems, declaration_error, listed, shown
from setpoint.declare.source import Path, Source
from setpoint.declare.translated import KINDS, Draft, Told, Translated

if TYPE_CHECKING:
    from pydantic import BaseModel

_TYPES = {"numeric": "number", "integer": "integer", "categorical": "string", "boolean": "boolean", "time": "string"}
_SORTS = ("null", "boolean", "object", "array", "number", "string", "integer")
_WORDS = {
    "title",
    "description",
    "examples",
    "$comment",
    "$schema",
    "$id",
    "type",
    "$defs",
    "definitions",
    "deprecated",
}
_LIMITS = {
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern"),
}
_TIMES = ("date-time", "date")


def read_json_schema(source: Source) -> Translated:
    """Return the contract of a JSON Schema of an object.

    Raises:
        Problems: It is none, or contradicts itself.
    """
    draft = Draft(source)
    root = _followed(draft, source.data, (), source.data)
    if root.get("type", "object") != "object" or "properties" not in root:
        draft.fail((), f"found {shown(root.get('type'))} without properties, expected an object with properties")
    needed = draft.listed(root.get("required"), ("required",))
    for key in root:
        if key not in {*_WORDS, "properties", "required"} and (key, root[key]) != ("additionalProperties", True):
            draft.lose((key,))
    for name, raw in draft.mapping(root["properties"], ("properties",)).items():
        _property(draft, name, raw, is_needed=name in needed)
    for n, name in enumerate(needed):
        if name not in draft.fields:
            draft.lose(("required", n), f"{name} is none of the properties")
    return Translated(draft.contract(), draft.all_lost())


def _followed(draft: Draft, told: Told, path: Path, root: Told) -> Told:
    """Return a schema with its `$ref` put in its place."""
    seen: set[str] = set()
    while isinstance(reference := told.get("$ref"), str):
        found: object = cast("object", root)
        for part in reference.removeprefix("#/").split("/") if reference != "#" else ():
            found = cast("Told", found).get(part) if isinstance(found, dict) else None
        if not isinstance(found, dict) or reference in seen or not reference.startswith("#"):
            draft.fail((*path, "$ref"), f"found {shown(reference)}, expected a schema in this file")
        seen.add(reference)
        told = {**cast("Told", found), **{key: value for key, value in told.items() if key != "$ref"}}
    return told


def _property(draft: Draft, name: str, raw: object, *, is_needed: bool) -> None:
    path: Path = ("properties", name)
    field = draft.fields[name] = {}
    draft.places[name] = path
    if raw is True:
        field["required"] = is_needed
        return
    told = _followed(draft, draft.mapping(raw, path), path, draft.source.data)
    told, can_be_null = _one_of(draft, told, path)
    types = told.get("type")
    sorts = [types] if isinstance(types, str) else draft.listed(types, (*path, "type"))
    unknown = [one for one in sorts if one not in _SORTS]
    if unknown:
        draft.refuse((*path, "type"), f"found {shown(unknown[0])}, expected {listed(_SORTS)}")
    can_be_null |= "null" in sorts or (not sorts and "const" not in told and "enum" not in told)
    values = [one for one in sorts if one != "null"]
    if len(values) == 1 and values[0] in KINDS:
        is_time = values[0] == "string" and told.get("format") in _TIMES
        field["kind"] = "time" if is_time else KINDS[str(values[0])]
    elif values and not unknown:
        draft.lose((*path, "type"), f"no field is {listed(map(str, values))}")
    listed_values: object = [told["const"]] if "const" in told else told.get("enum")
    if listed_values is not None:
        at = (*path, "const" if "const" in told else "enum")
        can_be_null |= None in draft.listed(listed_values, at)
        field["allowed"] = draft.scalars(listed_values, at)
    draft.limits(name, told, path)
    field["required"] = is_needed and not can_be_null
    if is_needed and can_be_null:
        draft.lost.append(f"required: {name} may be null, and a field that is not there is null to us")
    if told.get("default") is not None:
        draft.lose((*path, "default"), "write on_violation: default if it is to stand in for what breaks a rule")
    for key in told:
        is_read = key in {*_WORDS, *_LIMITS, "enum", "const", "default"}
        if not (is_read or (key == "format" and field.get("kind") == "time")):
            draft.lose((*path, key))


def _one_of(draft: Draft, told: Told, path: Path) -> tuple[Told, bool]:
    """Return the one branch of `anyOf` or `oneOf` that is not null, as pydantic writes what is optional."""
    for key in ("anyOf", "oneOf"):
        if key not in told:
            continue
        branches = [
            _followed(draft, draft.mapping(one, (*path, key, n)), (*path, key, n), draft.source.data)
            for n, one in enumerate(draft.listed(told[key], (*path, key)))
        ]
        others = [one for one in branches if one.get("type") != "null"]
        if len(others) == 1:
            rest = {name: value for name, value in told.items() if name != key}
            return {**others[0], **rest}, len(branches) > 1
    return told, False


def write_json_schema(contract: Contract, name: str) -> Translated:
    """Return a contract as JSON Schema (draft 2020-12) of one row.

    Args:
        contract: The contract.
        name: The model's name: the schema's title.

    Example:
        >>> json.loads(write_json_schema(Contract((ContractField("late", "boolean"),)), "m").text)["properties"]
        {'late': {'type': ['boolean', 'null']}}
    """
    told = {
        "$schema": DIALECT,
        "title": name,
        "type": "object",
        "properties": {one.name: _told(one) for one in contract.fields},
        "required": [one.name for one in contract.fields if one.required],
    }
    return Translated(contract, tuple(_lost(contract)), json.dumps(told, indent=2, ensure_ascii=False) + "\n")


def _told(one: ContractField) -> Told:
    sort = _TYPES.get(one.kind or "")
    allowed = [short(value) for value in one.allowed]
    told: Told = {
        "type": sort if one.required or sort is None else [sort, "null"],
        "format": "date-time" if one.kind == "time" else None,
        "minimum": short(one.at_least),
        "maximum": short(one.at_most),
        "pattern": one.pattern or None,
        "enum": ([*allowed] if one.required else [*allowed, None]) if allowed else None,
        "default": short(one.default),
    }
    return {key: value for key, value in told.items() if value is not None}


def _lost(contract: Contract) -> Iterator[str]:
    for rule in contract.rules:
        if not rule.sort.is_per_row or rule.sort is RuleSort.ROW:
            yield f"{rule.id}: not carried over, a schema knows single values only"
    for one in contract.fields:
        if one.tolerance:
            yield f"{one.name}: tolerance is not carried over"
        if one.on_violation is not OnViolation.WARN:
            yield f"{one.name}: on_violation is not carried over"


def contract_from_pydantic(model: type[BaseModel]) -> Translated:
    """Return the contract of a pydantic model.

    Args:
        model: The model. Its types, limits, literals and patterns are read; validators of its own are code and are
            named among what is lost.

    Raises:
        DeclarationError: A field cannot be in a contract.
        UsageError: It is no pydantic model.

    Example:
        >>> import pydantic
        >>> class Flight(pydantic.BaseModel):
        ...     delay: float = pydantic.Field(ge=-60)
        ...     carrier: str | None = None
        >>> [rule.id for rule in contract_from_pydantic(Flight).contract.rules]
        ['delay.required', 'delay.kind', 'delay.finite', 'delay.range', 'carrier.kind']
    """
    if not hasattr(model, "model_json_schema"):
        msg = f"found {model!r}, expected a pydantic model"
        raise UsageError(msg, hint="give the class: contract_from_pydantic(Flight)")
    schema = cast("Told", model.model_json_schema())
    try:
        found = read_json_schema(Source(model.__name__, schema))
    except Problems as error:
        raise declaration_error(error.problems) from None
    decorators = model.__pydantic_decorators__
    own = [*decorators.field_validators, *decorators.model_validators, *decorators.validators]
    lost = [f"the validator {name}: not carried over, it is code" for name in own]
    return Translated(found.contract, (*found.lost, *lost))
