"""Contracts as JSON Schema has them, for API users: read, and written.

JSON Schema knows one object and no table: how often a value may be missing, uniqueness, freshness and conditions
between fields have no place in it, and are named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

from setpoint.core.contract import Contract, ContractField, FieldKind, OnViolation, RuleSort
from setpoint.declare.contract import short
from setpoint.declare.json_schema import DIALECT
from setpoint.declare.problems import listed, shown
from setpoint.declare.source import Path, Source
from setpoint.declare.translated import KINDS, Draft, Told, Translated

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
_DEEPEST = 20
_UNDERSTOOD = "a number, an integer, a string (a date or date-time too) or a boolean"


def read_json_schema(source: Source) -> Translated:
    """Return the contract of a JSON Schema of an object.

    Raises:
        Problems: It is none, or contradicts itself.
    """
    draft = Draft(source)
    root = _followed(draft, source.data, (), source.data)
    sorts = _sorts(draft, root, ())
    if (sorts and "object" not in sorts) or "properties" not in root:
        found = f"the type {listed(sorts)}" if sorts else f"{' and '.join(root) or 'nothing'} without properties"
        hint = "give the schema of one row: its items" if "array" in sorts else ""
        draft.fail((), f"found {found}, expected an object with properties", hint)
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
    told = _merged(draft, draft.mapping(raw, path), path)
    sorts = _sorts(draft, told, path)
    values = _allowed(draft, field, told, path)
    can_be_null = "null" in sorts or None in values or told.get("nullable") is True or not (sorts or values)
    field["required"] = is_needed and not can_be_null
    if is_needed and can_be_null:
        draft.lost.append(f"required: {name} may be null, and a field that is not there is null to us")
    kinds = _kinds(sorts, told)
    if {"object", "array"} & {*sorts}:
        draft.lose(path, f"found {listed(sorts)}, and a field is {_UNDERSTOOD}; name what is in it field by field")
        return
    if len(kinds) == 1:
        field["kind"] = kinds[0]
    elif sorts and not values:
        draft.lose((*path, "type"), f"found {' and '.join(sorts)}, and a field is {_UNDERSTOOD}")
    if len(kinds) <= 1:  # a limit is that of one type: of several, it is asked of some values and not of others
        draft.limits(name, told, path)
        told = {key: value for key, value in told.items() if key not in _LIMITS}
    if told.get("default") is not None:
        draft.lose((*path, "default"), "write on_violation: default if it is to stand in for what breaks a rule")
    for key in told:
        is_read = key in {*_WORDS, "enum", "const", "default", "nullable"}
        if not (is_read or (key == "format" and field.get("kind") == "time")):
            draft.lose((*path, key))


def _allowed(draft: Draft, field: Told, told: Told, path: Path) -> list[object]:
    """Read which values there are; return them, null among them."""
    values = _listed_values(draft, told, path)
    field["allowed"] = draft.scalars(values, (*path, "enum"))
    if {"const", "enum"} & told.keys() and not field["allowed"]:
        draft.lose((*path, "const" if "const" in told else "enum"), "it has no value but null")
    return values


def _kinds(sorts: list[str], told: Told) -> list[FieldKind]:
    """Return the kinds of a schema's types: every integer is a number, and some texts are times."""
    is_time = told.get("format") in _TIMES
    found = [sort for sort in sorts if sort in KINDS and not (sort == "integer" and "number" in sorts)]
    return ["time" if sort == "string" and is_time else KINDS[sort] for sort in found]


def _sorts(draft: Draft, told: Told, path: Path) -> list[str]:
    """Return the types of a schema; one that there is not is a problem."""
    types = told.get("type")
    found: list[str] = []
    for one in [types] if isinstance(types, str) else draft.listed(types, (*path, "type")):
        if one in _SORTS:
            found.append(str(one))
        else:
            draft.refuse((*path, "type"), f"found {shown(one)}, expected {listed(_SORTS)}")
    return found


def _listed_values(draft: Draft, told: Told, path: Path) -> list[object]:
    return [told["const"]] if "const" in told else draft.listed(told.get("enum"), (*path, "enum"))


def _merged(draft: Draft, told: Told, path: Path) -> Told:
    """Return a schema with its branches put in their place: their types, and what all of them say.

    One branch beside null is how pydantic writes what is optional; branches of values alone are one list of them.
    """
    if len(path) > _DEEPEST:
        draft.fail(path[:3], "found branches in branches without an end, or too deep to read")
    told = _followed(draft, told, path, draft.source.data)
    for key in ("anyOf", "oneOf", "allOf"):
        found = draft.listed(told.get(key), (*path, key))
        if not found or (key == "allOf" and len(found) > 1):
            continue  # what several schemas ask together is named with all else that is not read
        rest = {name: value for name, value in told.items() if name != key}
        shared = {"type": rest["type"]} if "type" in rest else {}
        places = [(*path, key, n) for n in range(len(found))]
        branches = [
            {**shared, **_merged(draft, draft.mapping(one, at), at)} for one, at in zip(found, places, strict=True)
        ]
        told = {**_common(draft, branches, (*path, key)), **rest}
    return told


def _common(draft: Draft, branches: list[Told], path: Path) -> Told:
    """Return what several branches say alike, with the types of all; what only some say is named."""
    values = [_listed_values(draft, one, (*path, n)) for n, one in enumerate(branches)]
    types = [
        _sorts(draft, one, (*path, n)) or [_SORT_OF.get(type(value), "number") for value in some]
        for n, (one, some) in enumerate(zip(branches, values, strict=True))
    ]
    common: Told = {"type": list(dict.fromkeys(sort for sorts in types for sort in sorts))}
    if {"object", "array"} & {sort for sorts in types for sort in sorts}:
        return common
    if not all(types):
        draft.lose(path, "not every branch has a type")
        common = {}
    others = [n for n, sorts in enumerate(types) if sorts != ["null"]]
    if all(values[n] for n in others):
        common["enum"] = [value for n in others for value in values[n]]
    if all(branches[n].get("format") in _TIMES for n in others):
        common["format"] = _TIMES[0]
    for n in others:
        for key, value in branches[n].items():
            if all(key in branches[m] and branches[m][key] == value for m in others):
                common.setdefault(key, value)
            elif key not in {*_WORDS, *common} and not (key == "const" and "enum" in common):
                draft.lose((*path, n, key), "not every branch says so")
    return common


_SORT_OF: dict[type, str] = {str: "string", bool: "boolean", type(None): "null"}


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
