"""Contracts as the Open Data Contract Standard has them, version 3.1: read, and written.

What the standard has no word for stands in `customProperties` that begin with `setpoint.`, so that a contract comes
back as it went. What we have no word for is named, never dropped without a word.
"""

from __future__ import annotations

import math

import yaml

from setpoint.core.clock import parse_duration
from setpoint.core.contract import NUMBERS, Contract, ContractField, OnViolation, RowCondition
from setpoint.core.errors import TimeError
from setpoint.declare.contract import short
from setpoint.declare.problems import Problems, did_you_mean, listed, shown
from setpoint.declare.source import Path, Source, is_text
from setpoint.declare.spellings import duration_spelling
from setpoint.declare.translated import KINDS, Draft, Told, Translated

VERSION = "v3.1.0"
_READ = (VERSION, "v3.0.2", "v3.0.1", "v3.0.0")
_NEEDED = ("version", "apiVersion", "kind", "id", "status")
_KNOWN = {*_NEEDED, "name", "schema", "slaProperties"}
_TYPES = {"numeric": "number", "integer": "integer", "categorical": "string", "boolean": "boolean", "time": "timestamp"}
_LOGICAL = (*KINDS, "time", "object", "array")
_OWN = "setpoint."
_UNITS = {
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("h", "hour", "hours"), "h"),
    **dict.fromkeys(("m", "min", "minutes"), "m"),
    **dict.fromkeys(("s", "sec", "seconds"), "s"),
}
_OPERATORS = (
    "mustBe", "mustNotBe", "mustBeGreaterThan", "mustBeGreaterOrEqualTo", "mustBeLessThan", "mustBeLessOrEqualTo",
    "mustBeBetween", "mustNotBeBetween",
)  # fmt: skip
_WORDS = {"id", "name", "description", "type", "dimension", "severity", "businessImpact", "tags", "customProperties"}
_METRICS = ("nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount")


def read_odcs(source: Source, object_name: str = "") -> Translated:
    """Return the contract of an ODCS file.

    Args:
        source: The file.
        object_name: Which of its objects; may be left out when there is only one.

    Raises:
        Problems: The file is not valid, or contradicts itself.
    """
    draft = Draft(source)
    root = source.data
    for key in _NEEDED:
        if key not in root:
            draft.refuse(
                (), f"the key {key} is missing", "the standard asks for " + listed(_NEEDED).replace(" or ", " and ")
            )
    if root.get("kind", "DataContract") != "DataContract":
        draft.refuse(("kind",), f"found {shown(root['kind'])}, expected DataContract")
    if root.get("apiVersion", VERSION) not in _READ:
        draft.refuse(("apiVersion",), f"found {shown(root['apiVersion'])}, expected {listed(_READ)}")
    for key in root:
        if key not in _KNOWN:
            draft.lose_words(key, "the contract")
    told, path = _object(draft, root, object_name)
    for n, one in enumerate(draft.listed(told.get("properties"), (*path, "properties"))):
        _property(draft, draft.mapping(one, (*path, "properties", n)), (*path, "properties", n))
    for n, one in enumerate(draft.listed(told.get("quality"), (*path, "quality"))):
        _table_quality(draft, draft.mapping(one, (*path, "quality", n)), (*path, "quality", n))
    _primary_key(draft, told, path)
    for n, one in enumerate(draft.listed(root.get("slaProperties"), ("slaProperties",))):
        _agreement(draft, draft.mapping(one, ("slaProperties", n)), ("slaProperties", n))
    version = root.get("version")
    contract = draft.contract(str(version) if version is not None else "")
    return Translated(contract, draft.all_lost())


def _object(draft: Draft, root: Told, name: str) -> tuple[Told, Path]:
    objects = draft.listed(root.get("schema"), ("schema",))
    named: dict[str, tuple[Told, Path]] = {}
    for n, one in enumerate(objects):
        told = draft.mapping(one, ("schema", n))
        found = draft.text(told.get("name"), ("schema", n, "name"))
        if not found:
            draft.refuse(("schema", n), "the key name is missing")
        named[found] = (told, ("schema", n))
    if draft.problems:
        raise Problems(draft.problems)
    if name and name not in named:
        draft.fail(
            ("schema",), f"no object is called {name}", did_you_mean(name, named) or f"there are {listed(named)}"
        )
    if not name and len(named) != 1:
        hint = f"name one of {listed(named)}" if named else "an object holds the properties"
        draft.fail(("schema",), f"found {len(named)} objects, expected one", hint)
    told, path = named[name or next(iter(named))]
    for key in told:
        if key not in {"name", "logicalType", "properties", "quality"}:
            draft.lose_words(key, told["name"] if isinstance(told["name"], str) else "")
    for other, (_, at) in named.items():
        if at != path:
            draft.lose(at, f"another object: {other}")
    return told, path


def _property(draft: Draft, told: Told, path: Path) -> None:
    name = draft.text(told.get("name"), (*path, "name"))
    if not name:
        draft.refuse(path, "the key name is missing")
        return
    if name in draft.fields:
        draft.refuse(path, f"found the property {name} twice")
        return
    field = draft.fields[name] = {}
    draft.places[name] = path
    _kind(draft, field, told, (*path, "logicalType"))
    options = draft.mapping(told.get("logicalTypeOptions"), (*path, "logicalTypeOptions"))
    _options(draft, name, options, (*path, "logicalTypeOptions"))
    for key in ("required", "unique"):
        if draft.truth(told.get(key), (*path, key)):
            field[key] = True
    for n, one in enumerate(draft.listed(told.get("quality"), (*path, "quality"))):
        _field_quality(draft, name, draft.mapping(one, (*path, "quality", n)), (*path, "quality", n))
    for n, one in enumerate(draft.listed(told.get("customProperties"), (*path, "customProperties"))):
        _own(draft, field, draft.mapping(one, (*path, "customProperties", n)), (*path, "customProperties", n))
    carried = {
        *("name", "logicalType", "logicalTypeOptions", "required", "unique", "quality", "customProperties"),
        *("primaryKey", "primaryKeyPosition"),
    }
    for key in told:
        if key not in carried:
            draft.lose_words(key, name)


def _kind(draft: Draft, field: Told, told: Told, path: Path) -> None:
    logical = draft.text(told.get("logicalType"), path)
    if logical and logical not in _LOGICAL:
        draft.refuse(path, f"found {shown(logical)}, expected {listed(_LOGICAL)}", did_you_mean(logical, _LOGICAL))
    elif logical in KINDS:
        field["kind"] = KINDS[logical]
    elif logical:
        draft.lose(path, f"a field is no {logical}")


def _options(draft: Draft, name: str, told: Told, path: Path) -> None:
    has_ends = draft.fields[name].get("kind") in NUMBERS
    ends = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    read = {*(ends if has_ends else ()), "minLength", "maxLength", "pattern"}
    for key in told:
        if key not in read:
            draft.lose((*path, key), "only numbers have a range" if key in ends else "")
    draft.limits(name, {key: value for key, value in told.items() if key in read}, path)


def _field_quality(draft: Draft, name: str, told: Told, path: Path) -> None:
    metric = _metric(draft, told, path)
    if metric is None:
        return
    field = draft.fields[name]
    share = _share(draft, told, path)
    arguments = draft.mapping(told.get("arguments"), (*path, "arguments"))
    if metric == "nullValues" and share is not None:
        field.update({"required": True} if share == 0.0 else {"missing_ratio": share})
    elif metric == "duplicateValues" and share == 0.0:
        field["unique"] = True
    elif metric == "invalidValues" and share is not None and set(arguments) & {"validValues", "pattern"}:
        if "validValues" in arguments:
            field["allowed"] = draft.scalars(arguments["validValues"], (*path, "arguments", "validValues"))
        draft.limits(name, {k: v for k, v in arguments.items() if k == "pattern"}, (*path, "arguments"))
        if share:
            field["tolerance"] = share
    else:
        draft.lose(path, f"{metric} in this form")


def _metric(draft: Draft, told: Told, path: Path) -> str | None:
    """Return which metric of the library is meant; None for what is not carried over, or cannot be."""
    sort = draft.text(told.get("type", "library"), (*path, "type"))
    if sort in {"text", "sql", "custom"}:
        draft.lose(path, f"a check of type {sort}")
        return None
    if sort != "library":
        draft.refuse((*path, "type"), f"found {shown(sort)}, expected text, library, sql or custom")
        return None
    metric = draft.text(told.get("metric", told.get("rule")), (*path, "metric"))
    if metric not in _METRICS:
        found = f"found {shown(metric)}" if metric else "the key is missing"
        draft.refuse((*path, "metric"), f"{found}, expected {listed(_METRICS)}", did_you_mean(metric, _METRICS))
        return None
    used = [key for key in told if key in _OPERATORS]
    if len(used) != 1:
        draft.refuse(path, f"found {' and '.join(used) or 'no operator'}, expected one, such as mustBe: 0")
        return None
    for key in told:
        if key not in {*_WORDS, *_OPERATORS, "metric", "rule", "arguments", "unit"}:
            draft.lose_words(key, ".".join(map(str, path)))
    return metric


def _share(draft: Draft, told: Told, path: Path) -> float | None:
    """Return the largest share of rows that an operator allows; None when it is not one."""
    key = next(key for key in told if key in _OPERATORS)
    if key not in {"mustBe", "mustBeLessThan", "mustBeLessOrEqualTo"}:
        return None
    value = draft.number(told[key], (*path, key))
    if value is None:
        return None
    if told.get("unit", "rows") == "percent":
        if key == "mustBe" and value:
            return None
        if key == "mustBeLessThan":
            draft.lost.append(
                f"{'.'.join(map(str, path))}: less than {value:g} % is carried over as at most {value:g} %"
            )
        return value / 100
    is_none = value == 0.0 or (key == "mustBeLessThan" and value == 1.0)
    return 0.0 if is_none else None


def _table_quality(draft: Draft, told: Told, path: Path) -> None:
    if told.get("type") == "custom" and told.get("engine") == "setpoint":
        own: dict[str, object] = {}
        for n, one in enumerate(draft.listed(told.get("customProperties"), (*path, "customProperties"))):
            _own(draft, own, draft.mapping(one, (*path, "customProperties", n)), (*path, "customProperties", n))
        name = draft.text(told.get("name"), (*path, "name")) or f"condition_{path[-1]}"
        where = draft.text(told.get("implementation"), (*path, "implementation"))
        tolerance = draft.number(own.get("tolerance", 0.0), path) or 0.0
        draft.places[name] = path
        draft.condition(name, where, tolerance, str(own.get("on_violation", OnViolation.WARN)))
        return
    metric = _metric(draft, told, path)
    if metric == "duplicateValues":
        arguments = draft.mapping(told.get("arguments"), (*path, "arguments"))
        names = draft.listed(arguments.get("properties"), (*path, "arguments", "properties"))
        if len(names) == 1 and names[0] in draft.fields and _share(draft, told, path) == 0.0:
            draft.fields[str(names[0])]["unique"] = True
            return
        draft.lose(path, "uniqueness of several fields together")
    elif metric == "rowCount":
        _row_count(draft, told, path)
    elif metric is not None:
        draft.lose(path, f"{metric} of a whole object")


def _row_count(draft: Draft, told: Told, path: Path) -> None:
    key = next(key for key in told if key in _OPERATORS)
    ends = draft.listed(told[key], (*path, key)) if key.endswith("Between") else [told[key]]
    if key.endswith("Between") and len(ends) != 2:  # noqa: PLR2004 — two ends
        draft.refuse((*path, key), f"found a list of {len(ends)}, expected the two ends")
        return
    numbers = [draft.number(end, (*path, key)) for end in ends]
    if any(one is None for one in numbers) or told.get("unit", "rows") != "rows" or key.startswith("mustNot"):
        draft.lose(path, "rowCount in this form")
        return
    first, last = numbers[0] or 0.0, numbers[-1] or 0.0
    # The standard: mustBeBetween is mustBeGreaterThan and mustBeLessThan.
    above = {
        "mustBe": first,
        "mustBeGreaterThan": first + 1,
        "mustBeGreaterOrEqualTo": first,
        "mustBeBetween": first + 1,
    }
    below = {"mustBe": last, "mustBeLessThan": last - 1, "mustBeLessOrEqualTo": last, "mustBeBetween": last - 1}
    if key in above:
        draft.rows["at_least"] = math.ceil(above[key])
    if key in below:
        draft.rows["at_most"] = math.floor(below[key])


def _own(draft: Draft, field: dict[str, object], told: Told, path: Path) -> None:
    """Read what we wrote where the standard has no word."""
    name = str(told.get("property", ""))
    if name == f"{_OWN}onViolation":
        reaction = draft.text(told.get("value"), (*path, "value"))
        if reaction not in list(OnViolation):
            draft.refuse((*path, "value"), f"found {shown(reaction)}, expected {listed(OnViolation)}")
            return
        field["on_violation"] = OnViolation(reaction)
    elif name == f"{_OWN}default":
        (found,) = draft.scalars([told.get("value")], (*path, "value")) or (None,)
        field["default"] = found
    elif name == f"{_OWN}tolerance":
        field["tolerance"] = draft.number(told.get("value"), (*path, "value")) or 0.0
    else:
        draft.lose(path, name)


def _primary_key(draft: Draft, told: Told, path: Path) -> None:
    keys = [
        (draft.text(one.get("name"), path), (*path, "properties", n))
        for n, raw in enumerate(draft.listed(told.get("properties"), path))
        if draft.truth((one := draft.mapping(raw, path)).get("primaryKey"), (*path, "properties", n, "primaryKey"))
    ]
    if len(keys) == 1 and keys[0][0] in draft.fields:
        draft.fields[keys[0][0]].update(required=True, unique=True)
        return
    for _, at in keys:
        draft.lose((*at, "primaryKey"), "a key of several fields")


def _agreement(draft: Draft, told: Told, path: Path) -> None:
    word = draft.text(told.get("property"), (*path, "property")).lower()
    element = str(told.get("element", "")).rpartition(".")[2]
    unit = _UNITS.get(str(told.get("unit", "")).lower())
    if word in {"latency", "ly", "freshness"} and element in draft.fields and unit:
        try:
            draft.fields[element]["fresh_within"] = parse_duration(f"{told.get('value')}{unit}")
        except TimeError as error:
            draft.refuse((*path, "value"), error.message, error.hint)
    else:
        draft.lose(path, word)


class _Dumper(yaml.SafeDumper):
    """Quotes what only YAML 1.1 takes for text, such as 1e3."""


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_text(text) else "'")  # pyright: ignore[reportUnknownMemberType] — PyYAML has no types


_Dumper.add_representer(str, _text_node)  # pyright: ignore[reportUnknownMemberType] — as above


def write_odcs(contract: Contract, name: str) -> Translated:
    """Return a contract as ODCS 3.1 YAML.

    Args:
        contract: The contract.
        name: The model's name: that of the contract and of its one object.

    Example:
        >>> print(write_odcs(Contract((ContractField("delay", at_least=0),)), "flights").text.splitlines()[0])
        apiVersion: v3.1.0
    """
    told: Told = {
        "apiVersion": VERSION,
        "kind": "DataContract",
        "id": f"setpoint-{name}-{contract.hash}",
        "name": name,
        "version": contract.version or "1",
        "status": "active",
        "schema": [_told_object(contract, name)],
    }
    fresh = [one for one in contract.fields if one.fresh_within is not None]
    if fresh:
        told["slaProperties"] = [_told_freshness(one, name) for one in fresh]
    return Translated(contract, (), yaml.dump(told, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110))


def _told_object(contract: Contract, name: str) -> Told:
    quality: list[Told] = []
    if contract.rows_at_least is not None:
        quality.append({"metric": "rowCount", "mustBeGreaterOrEqualTo": contract.rows_at_least})
    if contract.rows_at_most is not None:
        quality.append({"metric": "rowCount", "mustBeLessOrEqualTo": contract.rows_at_most})
    quality += [_told_condition(one) for one in contract.conditions]
    found: Told = {
        "name": name,
        "logicalType": "object",
        "properties": [_told_property(one) for one in contract.fields],
    }
    return {**found, "quality": quality} if quality else found


def _told_property(one: ContractField) -> Told:
    options = {"minimum": short(one.at_least), "maximum": short(one.at_most), "pattern": one.pattern or None}
    given = {key: value for key, value in options.items() if value is not None}
    quality: list[Told] = []
    if one.allowed:
        most: Told = (
            {"mustBeLessOrEqualTo": _percent(one.tolerance), "unit": "percent"} if one.tolerance else {"mustBe": 0}
        )
        quality.append(
            {"metric": "invalidValues", "arguments": {"validValues": [short(value) for value in one.allowed]}, **most}
        )
    if one.missing_ratio is not None:
        quality.append({"metric": "nullValues", "mustBeLessOrEqualTo": _percent(one.missing_ratio), "unit": "percent"})
    told: Told = {
        "name": one.name,
        "logicalType": _TYPES.get(one.kind or ""),
        "logicalTypeOptions": given or None,
        "required": one.required or None,
        "unique": one.unique or None,
        "quality": quality or None,
        "customProperties": _told_own(one) or None,
    }
    return {key: value for key, value in told.items() if value is not None}


def _percent(share: float) -> object:
    return short(round(100 * share, 10))


def _told_own(one: ContractField | RowCondition) -> list[Told]:
    told: list[Told] = []
    if one.on_violation is not OnViolation.WARN:
        told.append({"property": f"{_OWN}onViolation", "value": one.on_violation.value})
    if isinstance(one, ContractField) and one.default is not None:
        told.append({"property": f"{_OWN}default", "value": short(one.default)})
    if one.tolerance:
        told.append({"property": f"{_OWN}tolerance", "value": one.tolerance})
    return told


def _told_condition(one: RowCondition) -> Told:
    own = _told_own(one)
    told: Told = {"name": one.name, "type": "custom", "engine": "setpoint", "implementation": one.where}
    return {**told, "customProperties": own} if own else told


def _told_freshness(one: ContractField, name: str) -> Told:
    spelled = duration_spelling(one.fresh_within or 0)
    value = float(spelled[:-1])
    return {
        "property": "latency",
        "value": short(value),
        "unit": spelled[-1],
        "element": f"{name}.{one.name}",
    }
