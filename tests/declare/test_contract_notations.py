"""Contracts in the notations of others come back as they went, and what cannot is named."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import pydantic
import pytest

from setpoint.core.contract import Contract, ContractField, OnViolation, RowCondition
from setpoint.core.errors import DeclarationError, UsageError
from setpoint.declare.contract_schema import contract_from_pydantic, read_json_schema, write_json_schema
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
    assert "properties.inner.type: not carried over" in lost
    assert "tail may be null" in lost


def test_a_schema_that_is_none_is_refused() -> None:
    odd: list[dict[str, object]] = [{"type": "array"}, {"properties": 5}, {"$ref": "#/x"}]
    odd.append({"properties": {"a": {"type": "nummer"}}})
    for told in odd:
        with pytest.raises(Problems):
            read_json_schema(Source("s.json", told))


def test_a_pydantic_model_without_a_possible_value_is_refused() -> None:
    class Odd(pydantic.BaseModel):
        x: float = pydantic.Field(ge=5, le=1)

    with pytest.raises(DeclarationError, match="found at_least 5 above at_most 1"):
        contract_from_pydantic(Odd)


def test_what_is_no_pydantic_model_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="found 5, expected a pydantic model"):
        contract_from_pydantic(5)  # pyright: ignore[reportArgumentType] — a mistake
