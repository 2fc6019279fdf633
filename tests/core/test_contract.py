"""A contract says what a row breaks, whatever comes, and refuses to contradict itself."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.core.contract import Contract, ContractField, OnViolation, RowCondition
from setpoint.core.contract_closure import ContractCheck
from setpoint.core.contract_faults import contract_faults
from setpoint.core.errors import UsageError
from setpoint.core.pattern import matcher

DELAY = ContractField("delay", at_least=-60, at_most=600, required=True)
CARRIER = ContractField("carrier", allowed=("AA", "DL"))
MONTH = ContractField("month", "integer", at_least=1, at_most=12)
CONTRACT = Contract((DELAY, CARRIER, MONTH), (RowCondition("late", "delay > month"),))
FINE = {"delay": 20.5, "carrier": "AA", "month": 3}


def untyped(told: dict[str, Any]) -> ContractField:
    """Return a field as callers without type checks write it."""
    usual: dict[str, Any] = {"name": "x"}
    return ContractField(**usual | told)


def broken(contract: Contract, row: dict[str, Any]) -> tuple[str, ...]:
    return ContractCheck(contract).violations(row)


def test_a_row_that_keeps_it_gets_the_same_empty_tuple_every_time() -> None:
    violations = ContractCheck(CONTRACT).violations
    assert violations(FINE) == ()
    assert violations(FINE) is violations({**FINE, "delay": 30})


def test_all_violations_are_told_at_once_and_in_order() -> None:
    row = {"delay": 900.0, "carrier": "ZZ", "month": 2.5}
    assert broken(CONTRACT, row) == ("delay.range", "carrier.allowed", "month.kind")
    assert broken(CONTRACT, {"carrier": None, "month": 13}) == ("delay.required", "month.range")
    assert broken(CONTRACT, {**FINE, "delay": 1, "month": 12}) == ("row.late",)


@pytest.mark.parametrize("nothing", [None, math.nan, np.nan, np.float32("nan"), pd.NA, pd.NaT, Decimal("nan")])
def test_null_nan_and_what_pandas_has_for_them_are_no_value(nothing: object) -> None:
    assert broken(CONTRACT, {**FINE, "carrier": nothing, "month": nothing}) == ()
    assert broken(CONTRACT, {**FINE, "delay": nothing}) == ("delay.required",)


@pytest.mark.parametrize("endless", [math.inf, -math.inf, np.float64("inf"), 10**400, np.float32("-inf")])
def test_infinities_are_violations(endless: object) -> None:
    assert broken(Contract(CONTRACT.fields), {**FINE, "delay": endless}) == ("delay.finite",)


@pytest.mark.parametrize("number", [20, np.float32(20), np.int64(20), Decimal(20), np.array(20.0)])
def test_numbers_of_every_type_are_numbers(number: object) -> None:
    assert broken(CONTRACT, {**FINE, "delay": number}) == ()


class Odd:
    """Compares with nothing and hashes to nothing."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # pyright: ignore[reportAssignmentType]


@pytest.mark.parametrize("odd", [True, "20", [1], {"a": 1}, b"x", object(), Odd(), np.array([1, 2]), date(2026, 1, 1)])
def test_what_is_no_number_is_of_another_kind_and_nothing_is_raised(odd: object) -> None:
    assert broken(CONTRACT, {**FINE, "delay": odd}) == ("delay.kind",)
    assert broken(Contract((ContractField("x", required=True),)), {"x": odd}) == ()


@given(
    st.dictionaries(st.sampled_from([*FINE, "x"]), st.none() | st.floats() | st.text() | st.integers() | st.booleans())
)
def test_one_field_is_asked_the_same_alone_as_among_others(row: dict[str, object]) -> None:
    alone = [code for field in (DELAY, CARRIER, MONTH) for code in broken(Contract((field,)), row)]
    assert [code for code in broken(CONTRACT, row) if code != "row.late"] == alone


def test_names_and_values_of_a_contract_are_never_code() -> None:
    name = "a'); raise SystemExit(1) #\n\"\\"
    contract = Contract((ContractField(name, allowed=("x'\n]",), required=True), ContractField("b")))
    assert broken(contract, {name: "x'\n]"}) == ()
    assert broken(contract, {name: "y"}) == (f"{name}.allowed",)


def test_what_is_given_back_follows_the_reaction_and_the_row_stays_as_it_was() -> None:
    fields = (
        ContractField("a", at_most=1, on_violation=OnViolation.NULL),
        ContractField("b", allowed=("x", "other"), on_violation=OnViolation.DEFAULT, default="other"),
        ContractField("c", at_most=1),
        ContractField("d", at_most=1, on_violation=OnViolation.SHADOW),
    )
    row = {"a": 5.0, "b": "y", "c": 5.0, "d": 5.0}
    checked = ContractCheck(Contract(fields)).check(row)
    assert checked.row == {"a": None, "b": "other", "c": 5.0, "d": 5.0}
    assert checked.violations == ("a.range", "b.allowed", "c.range", "d.range")
    assert checked.action == "accept"
    assert row == {"a": 5.0, "b": "y", "c": 5.0, "d": 5.0}


def test_only_a_rule_that_rejects_says_not_to_predict() -> None:
    fields = (ContractField("a", at_most=1, on_violation=OnViolation.REJECT), ContractField("b", at_most=1))
    check = ContractCheck(Contract(fields, (RowCondition("sum", "a + b < 1", on_violation=OnViolation.REJECT),))).check
    assert check({"a": 2.0}).action == "reject"
    assert check({"b": 2.0}).action == "accept"
    assert check({"a": 0.75, "b": 0.75}).action == "reject"
    assert check({"a": 0.5, "b": None}).action == "accept"


def test_the_hash_knows_what_is_promised_not_the_order_or_the_version() -> None:
    turned = Contract((MONTH, CARRIER, DELAY), CONTRACT.conditions, version="2")
    assert turned.hash == CONTRACT.hash
    assert Contract((DELAY,)).hash != Contract((ContractField("delay", at_least=-60, at_most=601, required=True),)).hash


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (ContractField("x", at_least=2, at_most=1), "found at_least 2 above at_most 1"),
        (ContractField("x", "integer", at_least=0.2, at_most=0.8), "no whole number from 0.2 to 0.8"),
        (ContractField("x", "categorical", at_least=1), "expected one for numbers"),
        (ContractField("x", "numeric", allowed=("a",)), "expected a number"),
        (ContractField("x", "integer", allowed=(1.5,)), "expected a whole number"),
        (ContractField("x", "boolean", allowed=("yes",)), "expected true or false"),
        (ContractField("x", at_most=3, allowed=(5,)), "found 5, expected at most 3"),
        (ContractField("x", "numeric", pattern="a"), "a pattern for a field of kind numeric"),
        (ContractField("x", pattern="a", allowed=("b",)), "the pattern does not match"),
        (ContractField("x", pattern="(?=a)"), "no pattern that Python and SQL read alike"),
        (ContractField("x", allowed=("a",), on_violation=OnViolation.DEFAULT, default="b"), "not among the allowed"),
        (ContractField("x", on_violation=OnViolation.DEFAULT), "found default, and no default"),
        (ContractField("x", default="a"), "nothing ever takes it"),
        (ContractField("x", required=True, on_violation=OnViolation.NULL), "would break it too"),
        (ContractField("x", required=True, missing_ratio=0.1), "for a required field"),
        (ContractField("x", "numeric", fresh_within=1), "expected kind time"),
        (ContractField("x,y"), "holds a comma"),
        (ContractField("x", missing_ratio=2), "found 2, expected a share from 0 to 1"),
        (ContractField("x", tolerance=-0.1), "found -0.1, expected a share from 0 to 1"),
        (ContractField("x", fresh_within=0), "found 0 microseconds, expected more than none"),
        (untyped({"kind": "nummer"}), "found nummer, expected numeric, integer"),
        (untyped({"at_least": "low"}), "found 'low', expected a number"),
        (untyped({"at_most": True}), "found True, expected a number"),
        (untyped({"required": "yes"}), "found 'yes', expected True or False"),
        (untyped({"name": 5}), "found 5, expected a text"),
    ],
)
def test_a_field_that_contradicts_itself_is_refused(field: ContractField, message: str) -> None:
    assert message in "; ".join(fault.message for fault in contract_faults(Contract((field,))))
    with pytest.raises(UsageError):
        ContractCheck(Contract((field,)))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"fields": DELAY}, "contract.fields: found ContractField"),
        ({"fields": (5,)}, "contract.fields.0: found 5, expected a ContractField"),
        ({"conditions": ("delay > 1",)}, "contract.conditions.0: found 'delay > 1', expected a RowCondition"),
        ({"rows_at_least": "a"}, "contract.rows.at_least: found 'a', expected a whole number"),
        ({"rows_at_least": -5}, "contract.rows: found -5 rows, expected none or more"),
        ({"rows_at_least": 5, "rows_at_most": 3}, "contract.rows: found at_least 5 above at_most 3"),
    ],
)
def test_what_is_no_contract_is_refused_in_words(told: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        ContractCheck(Contract(**told))
    assert caught.value.message.startswith(message)


def test_what_no_field_can_be_made_of_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="on_violation: found 'odd', expected warn, null, default, reject, shadow"):
        untyped({"on_violation": "odd"})
    with pytest.raises(UsageError, match=r"x\.allowed: found 'AA', expected a tuple of values"):
        untyped({"allowed": "AA"})


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (RowCondition("c", "delya > 1"), "no field is called delya"),
        (RowCondition("c", "delay >"), "found the end"),
        (RowCondition("c", "1 < 2"), "found no field in it"),
        (RowCondition("c", "delay > 1", on_violation=OnViolation.NULL), "expected warn, reject or shadow"),
    ],
)
def test_a_condition_that_cannot_be_asked_is_refused(condition: RowCondition, message: str) -> None:
    (fault,) = contract_faults(Contract((DELAY,), (condition,)))
    assert message in fault.message
    assert fault.hint == "did you mean delay?" or "delya" not in fault.message


@pytest.mark.parametrize(
    "pattern", ["a**", "(?i)a", r"\1", "[a", "a{2000}", "*a", r"\p{L}", "a{,3}+", "(", "a)", r"[\D]", r"\Z"]
)
def test_patterns_that_engines_read_differently_are_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="no pattern"):
        matcher(pattern)


def test_a_contract_is_checked_without_numpy_or_duckdb() -> None:
    code = "import sys, setpoint.core.contract_closure; print({'numpy', 'duckdb', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"
