"""A contract in a declaration: its short spellings, and what is wrong at its line."""

from __future__ import annotations

import pytest

from setpoint.core.contract import OnViolation
from setpoint.core.errors import DeclarationError
from setpoint.declare.load import load_text
from setpoint.declare.write import to_yaml

WHOLE = """\
features:
  delay: {kind: numeric}
  carrier:
contract:
  version: 2
  fields:
    delay: {required: true, at_least: -60, at_most: 600}
    carrier: {allowed: [AA, DL], default: AA}
    month: {kind: integer, allowed: [1, 2], on_violation: "null"}
    zip: {kind: categorical, allowed: [80331, "01234"], tolerance: 0.01}
    seen_at: {fresh_within: 2d}
    note:
  conditions:
    late: delay > month
    early: {where: delay < 100, on_violation: shadow}
  rows: {at_least: 10}
"""


def test_it_reads_back_as_the_same_contract() -> None:
    model = load_text(WHOLE, "m")
    assert load_text(to_yaml(model, {}), "m") == model


def test_what_is_left_out_is_taken_from_what_is_there() -> None:
    contract = load_text(WHOLE, "m").contract
    assert contract is not None
    kinds = {field.name: field.kind for field in contract.fields}
    assert kinds == {
        "delay": "numeric", "carrier": "categorical", "month": "integer", "zip": "categorical", "seen_at": "time",
        "note": None,
    }  # fmt: skip
    carrier, code = contract.field("carrier"), contract.field("zip")
    assert carrier is not None
    assert code is not None
    assert carrier.on_violation is OnViolation.DEFAULT
    assert code.allowed == ("80331", "01234")
    assert contract.version == "2"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "delay: {at_least: 5, at_most: 1}",
            "m.yaml:5: contract.fields.delay.at_least: found at_least 5 above at_most 1",
        ),
        ("delay: {kind: integer}", "m.yaml:5: contract.fields.delay: found kind integer, and the feature is numeric"),
        (
            "delay: {on_violation: null}",
            'm.yaml:5: contract.fields.delay.on_violation: found nothing, expected warn, "null"',
        ),
        ("delay: {allowed: []}", "m.yaml:5: contract.fields.delay.allowed: found an empty list"),
        ("delay: {fresh_within: 3}", "m.yaml:5: contract.fields.delay.fresh_within: found 3, expected a duration"),
        ("delay: {att_least: 3}", "unknown key"),
        ("delay: {required: 1}", "found 1, expected true or false"),
        ("delay: {tolerance: 5}", "found 5, expected at most 1"),
    ],
)
def test_a_problem_is_told_at_its_line(line: str, problem: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        load_text(f"features:\n  delay: {{kind: numeric}}\ncontract:\n  fields:\n    {line}\n", "m")
    assert problem in caught.value.message


def test_a_field_that_a_condition_misspells_is_suggested() -> None:
    with pytest.raises(DeclarationError) as caught:
        load_text(WHOLE.replace("late: delay", "late: dealy"), "m")
    assert caught.value.message.startswith("m.yaml:14: contract.conditions.late.where: no field is called dealy")
    assert caught.value.hint == "did you mean delay?"
