"""Contracts in the notations of others come back as they went, and what cannot is named."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

import pydantic
import pytest

from setpoint.core.contract import Contract, ContractField, OnViolation, RowCondition
from setpoint.core.errors import DeclarationError, UsageError
from setpoint.declare.contract_pydantic import contract_from_pydantic
from setpoint.declare.contract_schema import read_json_schema, write_json_schema
from setpoint.declare.odcs import read_odcs, write_odcs
from setpoint.declare.problems import Problems
from setpoint.declare.source import Source, read_text
from setpoint.declare.translated import Translated

WHOLE = Contract(
    (
        ContractField("delay", "numeric", required=True, at_least=-60, at_most=600.5, tolerance=0.07),
        ContractField("carrier", allowed=("AA", "1e3", "NO", "9E"), on_violation=OnViolation.DEFAULT, default="NO"),
        ContractField("month", "integer", allowed=(1, 2), on_violation=OnViolation.NULL),
        ContractField("tail", pattern="^N[0-9]+$", missing_ratio=0.05),
        ContractField("key", "categorical", required=True, unique=True, on_violation=OnViolation.REJECT),
        ContractField("seen_at", fresh_within=90_000_000),
        ContractField("late", "boolean"),
        ContractField("anything"),
    ),
    (
        RowCondition("sane", "delay > month", 0.01, OnViolation.SHADOW),
        RowCondition("short", "length(tail) < 9"),
    ),
    10,
    1000,
    "2.1",
)
ODCS = """\
version: 1.0.0
apiVersion: v3.1.0
kind: DataContract
id: some-id
status: active
schema:
  - name: flights
    properties:
      - name: delay
        logicalType: number
"""

BETWEEN = "quality: [{{metric: rowCount, mustBeBetween: {}}}]\n    properties:\n"


def from_odcs(text: str) -> Translated:
    return read_odcs(read_text(text, "c.yaml"))


def test_a_contract_goes_through_odcs_and_comes_back_whole() -> None:
    written = write_odcs(WHOLE, "flights")
    found = from_odcs(written.text)
    assert found.contract == WHOLE
    assert (written.lost, found.lost) == ((), ())


@pytest.mark.parametrize(
    ("addition", "rule"),
    [
        ("        quality: [{metric: nullValues, mustBe: 0}]", "delay.required"),
        ("        quality: [{metric: nullValues, mustBeLessOrEqualTo: 5, unit: percent}]", "delay.missing"),
        ("        quality: [{metric: duplicateValues, mustBeLessThan: 1}]", "delay.unique"),
        ("        quality: [{metric: invalidValues, mustBe: 0, arguments: {validValues: [1, 2]}}]", "delay.allowed"),
        ("        logicalTypeOptions: {exclusiveMinimum: 0}", "row.delay_above"),
        ("        primaryKey: true", "delay.unique"),
        ("    quality: [{metric: rowCount, mustBeBetween: [100, 120]}]", "table.row_count"),
        ("slaProperties: [{property: ly, value: 2, unit: days, element: flights.delay}]", "not carried"),
        (
            "      - {name: at, logicalType: date}\nslaProperties: [{property: ly, value: 2, unit: d, element: at}]",
            "at.freshness",
        ),
    ],
)  # fmt: skip
def test_what_others_write_is_understood(addition: str, rule: str) -> None:
    if rule == "not carried":
        with pytest.raises(Problems) as caught:
            from_odcs(ODCS + addition)
        assert "expected kind time" in caught.value.problems[0].message
        return
    assert rule in {one.id for one in from_odcs(ODCS + addition).contract.rules}


def test_between_leaves_its_ends_out_as_the_standard_says() -> None:
    found = from_odcs(ODCS + "    quality: [{metric: rowCount, mustBeBetween: [100, 120]}]").contract
    assert (found.rows_at_least, found.rows_at_most) == (101, 119)


@pytest.mark.parametrize(
    ("addition", "lost"),
    [
        ("        quality: [{type: sql, query: SELECT 1, mustBe: 1}]", "a check of type sql"),
        ("        quality: [{metric: nullValues, mustBeLessThan: 100}]", "nullValues in this form"),
        (
            "        quality: [{metric: nullValues, mustBeLessThan: 1, unit: percent}]",
            "less than 1 % is carried over as",
        ),
        ("        logicalTypeOptions: {multipleOf: 5}", "multipleOf: not carried over"),
        ("      - {name: t, logicalType: array}", "a field is no array"),
        ("      - {name: s, logicalType: string, logicalTypeOptions: {pattern: '(?=a)'}}", "no pattern that Python"),
        ("servers: []\ntags: [a]", "servers of the contract; tags of the contract"),
        ("        physicalName: DELAY", "physicalName of delay"),
        ("slaProperties: [{property: retention, value: 3, unit: y}]", "retention"),
    ],
)
def test_what_cannot_be_carried_over_is_named(addition: str, lost: str) -> None:
    assert lost in "; ".join(from_odcs(ODCS + addition).lost)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("kind: DataContract", "kind: Contract", "c.yaml:3: kind: found 'Contract', expected DataContract"),
        ("v3.1.0", "v2.2.2", "c.yaml:2: apiVersion: found 'v2.2.2', expected v3.1.0"),
        ("id: some-id\n", "", "c.yaml:1: the key id is missing"),
        ("logicalType: number", "logicalType: nummer", "c.yaml:10: schema[0].properties[0].logicalType: found"),
        ("- name: delay", "- nam: delay", "c.yaml:9: schema[0].properties[0]: the key name is missing"),
        ("properties:\n", "properties: 5\n    x:\n", "c.yaml:8: schema[0].properties: found 5, expected a list"),
        ("number\n", "number\n        required: yes\n", "required: found 'yes', expected true or false"),
        ("number\n", "number\n        quality: [{metric: nulls, mustBe: 0}]\n", "found 'nulls'"),
        ("number\n", "number\n        quality: [{metric: nullValues}]\n", "found no operator"),
        ("number\n", "number\n        logicalTypeOptions: {minimum: 5, maximum: 1}\n", "at_least 5 above at_most 1"),
        ("number\n", "number\n        logicalTypeOptions: {minimum: low}\n", "minimum: found 'low', expected a number"),
        ("properties:\n", BETWEEN.format([]), "mustBeBetween: found a list of 0, expected the two ends"),
        ("properties:\n", BETWEEN.format([9, 1]), "rows: found at_least 10 above at_most 0"),
        (
            "number\n",
            "number\n        quality: [{metric: nullValues, mustBeLessThan: 500, unit: percent}]\n",
            "missing_ratio: found 5, expected a share from 0 to 1",
        ),
        ("schema:", "schem:", "schema: found 0 objects, expected one"),
        ("- name: flights\n", "- name: a\n  - name: flights\n", "found 2 objects, expected one"),
    ],
)  # fmt: skip
def test_what_is_not_valid_is_told_at_its_line(old: str, new: str, problem: str) -> None:
    assert old in ODCS
    with pytest.raises(Problems) as caught:
        from_odcs(ODCS.replace(old, new, 1))
    assert problem in "\n".join(one.text for one in caught.value.problems)


def test_a_contract_goes_through_json_schema_but_for_what_it_has_no_word_for() -> None:
    written = write_json_schema(WHOLE, "flights")
    found = read_json_schema(Source("s.json", json.loads(written.text))).contract
    online = {rule.id for rule in WHOLE.rules if rule.sort.is_per_row and not rule.id.startswith("row.")}
    assert {rule.id for rule in found.rules} == online
    for words in ("row.sane", "tail.missing", "key.unique", "seen_at.freshness", "table.row_count", "delay: tolerance"):
        assert words in "; ".join(written.lost)


class Inner(pydantic.BaseModel):
    x: int


class Flight(pydantic.BaseModel):
    delay: Annotated[float, pydantic.Field(ge=-60, lt=600)]
    month: int = pydantic.Field(gt=0, le=12)
    carrier: Literal["AA", "DL"]
    tail: str | None = pydantic.Field(pattern="^N", max_length=6)
    note: str = ""
    inner: Inner | None = None

    @pydantic.field_validator("note")
    @classmethod
    def plain(cls, note: str) -> str:
        return note


def test_a_pydantic_model_becomes_a_contract_and_its_code_is_named() -> None:
    found = contract_from_pydantic(Flight)
    assert [rule.id for rule in found.contract.rules] == [
        *("delay.required", "delay.kind", "delay.finite", "delay.range"),
        *("month.required", "month.kind", "month.finite", "month.range"),
        *("carrier.required", "carrier.kind", "carrier.allowed", "tail.kind", "tail.pattern", "note.kind"),
        *("row.delay_below", "row.tail_longest"),
    ]
    month = found.contract.field("month")
    assert month is not None
    assert month.at_least == 1.0
    lost = "; ".join(found.lost)
    assert "the validator plain" in lost
    assert "properties.inner: not carried over, found object or null, and a field is a number" in lost
    assert "tail may be null" in lost


NUMBER = ["x.required", "x.kind", "x.finite"]


@pytest.mark.parametrize(
    ("told", "rules", "lost"),
    [
        ({"type": ["integer", "number"], "minimum": 3}, [*NUMBER, "x.range"], ""),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}, {"type": "null"}]}, NUMBER[1:], "x may be null"),
        ({"oneOf": [{"const": "a"}, {"enum": ["b", "c"]}]}, ["x.required", "x.kind", "x.allowed"], ""),
        ({"allOf": [{"type": "number"}], "description": "speed"}, NUMBER, ""),
        ({"type": "string", "nullable": True}, ["x.kind"], "x may be null"),
        ({"type": ["string", "null"]}, ["x.kind"], "x may be null"),
        (
            {"anyOf": [{"type": "number", "minimum": 0}, {"type": "number", "minimum": 0, "maximum": 3}]},
            [*NUMBER, "x.range"],
            "properties.x.anyOf[1].maximum: not carried over, not every branch says so",
        ),
        (
            {"type": ["string", "integer"], "minimum": 3},
            ["x.required"],
            "or a boolean; properties.x.minimum: not carried over",
        ),
        ({"type": "array", "items": {}}, ["x.required"], "properties.x: not carried over, found array, and"),
        ({"type": "object", "properties": {"y": {}}}, ["x.required"], "properties.x: not carried over, found object"),
        ({"anyOf": [{"type": "object"}, {"type": "null"}]}, [], "properties.x: not carried over, found object"),
        ({"anyOf": [{"type": "string"}, {}]}, [], "properties.x.anyOf: not carried over, not every branch has a type"),
        (
            {"anyOf": [{"const": "a"}, {"type": "string", "minLength": 3}]},
            ["x.required", "x.kind"],
            "anyOf[0].const: not carried over, not every branch says so; properties.x.anyOf[1].minLength: not carried",
        ),
        ({"allOf": [{"type": "number"}, {"minimum": 3}]}, [], "properties.x.allOf: not carried over"),
        ({"type": "null"}, [], "properties.x.type: not carried over, found null"),
        ({"const": None}, [], "properties.x.const: not carried over, it has no value but null"),
    ],
)
def test_what_a_schema_says_of_a_field_is_read_or_named(told: object, rules: list[str], lost: str) -> None:
    found = read_json_schema(Source("s.json", {"properties": {"x": told}, "required": ["x"]}))
    assert [rule.id for rule in found.contract.rules] == rules
    assert lost in "; ".join(found.lost)
    assert bool(lost) == bool(found.lost)


class Sort(enum.Enum):
    NEAR = "near"
    FAR = "far"


@pytest.mark.parametrize(
    ("annotation", "rules", "lost"),
    [
        (Annotated[Decimal, pydantic.Field(ge=0)], [*NUMBER, "x.range"], ""),
        (Annotated[Decimal, pydantic.Field(max_digits=5)], NUMBER, "properties.x.max_digits: not carried over"),
        (Decimal | None, NUMBER[1:], "x may be null"),
        (int | float, NUMBER, ""),
        (int | str, ["x.required"], "properties.x.type: not carried over, found integer and string"),
        (Sort, ["x.required", "x.kind", "x.allowed"], ""),
        (Sort | None, ["x.kind", "x.allowed"], "x may be null"),
        (Literal["a", 1], ["x.required", "x.kind", "x.allowed"], ""),
        (datetime | date, ["x.required", "x.kind"], ""),
        (pydantic.PastDate, ["x.required", "x.kind"], "properties.x.now_op: not carried over"),
        (Annotated[date, pydantic.Field(ge=date(2026, 1, 1))], ["x.required", "x.kind"], "properties.x.ge"),
        (list[int], ["x.required"], "properties.x: not carried over, found array"),
        (Inner | int, ["x.required"], "properties.x: not carried over, found object or integer"),
        (Callable[[], int], ["x.required"], "properties.x: not carried over, found object"),
        (Annotated[float, pydantic.AfterValidator(abs)], NUMBER, "the validator abs: not carried over, it is code"),
    ],
)  # fmt: skip
def test_every_type_of_pydantic_is_read_or_named(annotation: object, rules: list[str], lost: str) -> None:
    found = contract_from_pydantic(pydantic.create_model("Row", x=(annotation, ...)))  # pyright: ignore[reportCallIssue, reportArgumentType, reportUnknownArgumentType] — made of a list
    assert [rule.id for rule in found.contract.rules] == rules
    assert lost in "; ".join(found.lost)
    assert bool(lost) == bool(found.lost)


def test_a_schema_that_is_none_is_refused() -> None:
    endless = {"anyOf": [{"$ref": "#/properties/a"}]}
    odd: dict[str, dict[str, object]] = {
        "s.json:1: found the type array, expected an object with properties": {"type": "array"},
        "s.json:1: found allOf without properties": {"allOf": []},
        "properties: found 5, expected a mapping": {"properties": 5},
        "$ref: found '#/x', expected a schema in this file": {"$ref": "#/x"},
        "properties.a.type: found 'nummer', expected null": {"properties": {"a": {"type": "nummer"}}},
        "properties.a.anyOf: found branches in branches": {"properties": {"a": endless}},
    }
    for problem, told in odd.items():
        with pytest.raises(Problems) as caught:
            read_json_schema(Source("s.json", told))
        assert problem in caught.value.problems[0].text


def test_a_pydantic_model_without_a_possible_value_is_refused() -> None:
    class Odd(pydantic.BaseModel):
        x: float = pydantic.Field(ge=5, le=1)

    with pytest.raises(DeclarationError, match="found at_least 5 above at_most 1"):
        contract_from_pydantic(Odd)


def test_what_is_no_pydantic_model_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="BaseModel has no schema"):
        contract_from_pydantic(pydantic.BaseModel)  # it has no fields, and no schema
    with pytest.raises(UsageError, match="found 5, expected a pydantic model"):
        contract_from_pydantic(5)  # pyright: ignore[reportArgumentType] — a mistake
