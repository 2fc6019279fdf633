"""The recorder takes what callers have, gives back what they had, and never raises into them."""

from __future__ import annotations

import asyncio
import inspect
import math
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from setpoint.connect.asgi import SetpointMiddleware
from setpoint.connect.wrap import wrap
from setpoint.core.contract import Contract, ContractField, OnViolation, RowCondition
from setpoint.core.errors import NaiveTimestamp
from setpoint.core.model import Feature, Model
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

Made = tuple[Layout, Recorder]


@pytest.fixture
def made() -> Generator[Made]:
    with temporary_store() as (layout, spool):
        yield layout, Recorder(layout, "m", version="v1", endpoint="api", spool=spool)


def query(made: Made, sql: str) -> list[tuple[object, ...]]:
    layout, recorder = made
    assert recorder.flush(30)
    with Snapshot(layout, "m") as snapshot:
        return snapshot.connection.execute(sql).fetchall()


INPUTS = "SELECT unnest(inputs) FROM predictions ORDER BY prediction_id"


def test_a_prediction_keeps_every_detail(made: Made) -> None:
    _, recorder = made
    at = datetime(2026, 1, 2, tzinfo=UTC)
    inputs = {"amount": 12.5, "country": "de"}
    name = recorder.record(
        inputs, prediction=True, score=0.75, key="k", unit="u", role="stable", latency_seconds=0.5,
        compute_seconds=0.25, error="timeout", feature_version="f1", source="s", trace_id="t", run_id="r",
        assignment_probability=0.5, predicted_at=at, queue_seconds=0.125, features_seconds=0.0625, upstream_seconds=2,
        first_chunk_seconds=1.5,
    )  # fmt: skip
    inputs["amount"] = 99.0  # the caller's own: it was copied
    found = query(
        made,
        "SELECT prediction_id, root_id, key, unit, version, endpoint, role, prediction, score, latency_seconds,"
        " compute_seconds, error, feature_version, source, trace_id, run_id, assignment_probability,"
        " epoch_us(predicted_at), inputs.amount, queue_seconds, features_seconds, upstream_seconds, first_chunk_seconds"
        " FROM predictions",
    )
    expected = (
        name, name, "k", "u", "v1", "api", "stable", 1.0, 0.75, 0.5, 0.25, "timeout", "f1", "s", "t", "r", 0.5,
        1_767_312_000_000_000, 12.5, 0.125, 0.0625, 2.0, 1.5,
    )  # fmt: skip
    assert found == [expected]


def test_an_outcome_and_a_call_and_a_change_keep_every_detail(made: Made) -> None:
    _, recorder = made
    at = datetime(2026, 1, 2, tzinfo=UTC)
    recorder.outcome(
        "yes", prediction_id="p", key="k", kind="proxy", observed_at=at, revision=2, value_usd=1.5, source="crm"
    )
    recorder.outcome(prediction_id="p", retracted=True)
    recorder.outcome(1)
    recorder.call("p", cost_nano_usd=5, input_tokens=7, provider="x")
    recorder.call("p")
    recorder.call("p", no_such_field=1)
    recorder.change("deploy", "v2", started_at=at, ended_at=at, expected="auc", note="n", author="me")
    with pytest.raises(NaiveTimestamp):
        recorder.change("deploy", started_at=datetime(2026, 1, 2))  # noqa: DTZ001 — that is what is tried
    picked = "prediction_id, key, kind, epoch_us(observed_at), revision, retracted, outcome, value_usd, source"
    outcomes = query(made, f"SELECT {picked} FROM outcomes ORDER BY outcome_id")
    assert outcomes[0] == ("p", "k", "proxy", 1_767_312_000_000_000, 2, False, "yes", 1.5, "crm")
    assert outcomes[1][4:7] == (0, True, None)
    assert query(made, "SELECT source_table, reason FROM quarantine WHERE source_table = 'outcomes'") == [
        ("outcomes", "neither prediction_id nor key")
    ]
    calls = query(made, "SELECT prediction_id, cost_nano_usd, input_tokens, attempt FROM calls ORDER BY call_id")
    assert calls == [("p", 5, 7, 1), ("p", None, None, 1), ("p", None, None, 1)]
    assert query(made, "SELECT error FROM calls ORDER BY call_id") == [(None,), (None,), ("unreadable",)]
    changes = "SELECT kind, subject, epoch_us(started_at), expected, note, author FROM changes"
    assert query(made, changes) == [("deploy", "v2", 1_767_312_000_000_000, "auc", "n", "me")]


ROWS = {"amount": [1.5, 2.5, None], "country": ["de", "fr", "it"], "is_new": [True, False, True]}
EXPECTED = [(1.5, "de", True), (2.5, "fr", False), (None, "it", True)]
TABLES = {
    "dict of lists": ROWS,
    "dict of arrays": {name: np.array(values, dtype=object) for name, values in ROWS.items()},
    "polars": pl.DataFrame(ROWS),
    "pandas": pd.DataFrame(ROWS).astype({"amount": "object"}),
    "pyarrow": pa.table(ROWS),
    "list of dicts": [dict(zip(ROWS, row, strict=True)) for row in EXPECTED],
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_batch_may_be_any_table(made: Made, kind: str) -> None:
    _, recorder = made
    names = recorder.record_many(
        TABLES[kind], predictions=np.array([1, 0, 1]), scores=pl.Series([0.5, 0.25, 1.0]),
        keys=pd.Series([7, 8, 9]), run_id="run-1",  # pyright: ignore[reportArgumentType] — callers pass numbers
    )  # fmt: skip
    found = query(made, INPUTS)
    assert [(None if row[0] != row[0] else row[0], *row[1:]) for row in found] == EXPECTED
    fixed = query(made, "SELECT prediction_id, key, prediction, score, run_id FROM predictions ORDER BY prediction_id")
    assert fixed == [
        (name, str(7 + n), answer, score, "run-1")
        for n, (name, answer, score) in enumerate(zip(names, (1.0, 0.0, 1.0), (0.5, 0.25, 1.0), strict=True))
    ]


@pytest.mark.parametrize("rows", [np.array([[1.0, 2.0], [3.0, 4.0]]), [[1.0, 2.0], (3.0, 4.0)]])
def test_a_batch_may_be_an_array_and_its_columns_are_numbered(made: Made, rows: object) -> None:
    _, recorder = made
    assert len(recorder.record_many(rows)) == 2
    assert query(made, "SELECT inputs.x0, inputs.x1 FROM predictions ORDER BY prediction_id") == [
        (1.0, 2.0),
        (3.0, 4.0),
    ]


def test_a_batch_of_columns_of_unequal_length_is_counted_as_failed_and_raises_nothing(made: Made) -> None:
    _, recorder = made
    assert recorder.record_many({"a": [1.0, 2.0], "b": [1.0]}) == []
    assert recorder.record_many({"a": [1.0, 2.0]}, scores=[0.5]) == []
    assert recorder.record_many(5) == []
    assert recorder.spool.failed == 3
    assert query(made, "SELECT sum(failed) FROM tallies") == [(3,)]


# Decorator and context manager.


@dataclass
class Order:
    amount: float
    country: str


def test_the_decorator_keeps_a_function_what_it_was(made: Made) -> None:
    _, recorder = made

    @recorder.predict(version="v2", key="order_id", unit="country")
    def decide(order: Order, order_id: int, *, limit: float = 3.0) -> bool:
        """Say yes or no."""
        return order_id > 0 and order.amount > limit

    def same(order: Order, order_id: int, *, limit: float = 3.0) -> bool:
        """Say yes or no."""
        return order_id > 0 and order.amount > limit

    assert decide(Order(5.0, "de"), 8841) is True
    assert decide(Order(5.0, "fr"), order_id=8842, limit=9.0) is False
    assert inspect.signature(decide) == inspect.signature(same)
    assert (decide.__name__, decide.__doc__) == ("decide", "Say yes or no.")
    assert decide.__annotations__ == same.__annotations__
    assert not inspect.iscoroutinefunction(decide)
    with pytest.raises(TypeError, match="order_id"):
        decide(Order(5.0, "de"))  # pyright: ignore[reportCallIssue] — that is what is tried
    found = query(
        made,
        "SELECT inputs.amount, inputs.country, key, unit, version, prediction, error, latency_seconds >= 0"
        " FROM predictions ORDER BY prediction_id",
    )
    assert found == [
        (5.0, "de", "8841", "de", "v2", 1.0, None, True),
        (5.0, "fr", "8842", "fr", "v2", 0.0, None, True),
        (None, None, None, None, "v2", None, "TypeError", True),
    ]


def test_the_decorator_keeps_an_async_function_async(made: Made) -> None:
    _, recorder = made

    @recorder.predict(score=True)
    async def rate(features: dict[str, float]) -> float:
        await asyncio.sleep(0)
        return features["amount"] / 10

    assert inspect.iscoroutinefunction(rate)
    assert asyncio.run(rate({"amount": 2.5})) == 0.25
    with pytest.raises(KeyError, match="amount"):
        asyncio.run(rate({}))
    found = query(made, "SELECT inputs.amount, score, prediction, error FROM predictions ORDER BY prediction_id")
    assert found == [(2.5, 0.25, None, None), (None, None, None, "KeyError")]


def test_the_decorator_gives_exceptions_and_odd_answers_through(made: Made) -> None:
    _, recorder = made
    answers: list[object] = [None, {"a": 1}, "high", 0.5]

    @recorder.predict(score=True)
    def rate(number: int) -> object:
        if number < 0:
            msg = "negative"
            raise ZeroDivisionError(msg)
        return answers[number]

    for n, answer in enumerate(answers):
        assert rate(n) is answer
    with pytest.raises(ZeroDivisionError, match="negative"):
        rate(-1)
    errors = query(made, "SELECT score, error FROM predictions WHERE score IS NOT NULL OR error IS NOT NULL")
    assert sorted(errors, key=str) == [(0.5, None), (None, "ZeroDivisionError")]


class Prickly:
    """Fails wherever it is touched."""

    def __float__(self) -> float:
        msg = "no float"
        raise RuntimeError(msg)

    def __str__(self) -> str:
        msg = "no text"
        raise RuntimeError(msg)

    __repr__ = __str__

    def model_dump(self) -> dict[str, object]:
        msg = "no fields"
        raise RuntimeError(msg)


def test_arguments_that_cannot_be_read_do_not_stop_the_call(made: Made) -> None:
    _, recorder = made

    @recorder.predict(key="thing")
    def decide(thing: object) -> int:
        return 0 if thing is None else 1

    @recorder.predict(key="thing")
    async def decide_async(thing: object) -> int:
        await asyncio.sleep(0)
        return 0 if thing is None else 2

    assert decide(Prickly()) == 1
    assert asyncio.run(decide_async(Prickly())) == 2
    assert recorder.spool.failed == 2, "what could not be read is counted"
    assert decide("x") == 1
    with pytest.raises(TypeError, match="thing"):
        decide()  # pyright: ignore[reportCallIssue] — that is what is tried
    with pytest.raises(TypeError, match="thing"):
        asyncio.run(decide_async())  # pyright: ignore[reportCallIssue] — as above
    assert recorder.spool.failed == 2, "a wrong call is the caller's, and raises there"
    found = query(made, "SELECT key, prediction, error FROM predictions ORDER BY prediction_id")
    assert found == [
        (None, 1.0, None),
        (None, 2.0, None),
        ("x", 1.0, None),
        (None, None, "TypeError"),
        (None, None, "TypeError"),
    ]


class Nameless(float):
    """A number without a text."""

    __slots__ = ()

    def __str__(self) -> str:
        msg = "no text"
        raise RuntimeError(msg)


def test_a_key_that_cannot_be_read_is_counted_and_the_call_goes_on(made: Made) -> None:
    _, recorder = made

    @recorder.predict(key="order", unit="customer")
    def decide(order: float, customer: str) -> bool:
        return order > len(customer)

    assert decide(Nameless(8841.0), "c") is True
    assert decide(8842.0, "c") is True
    found = query(made, "SELECT key, unit, inputs.order, prediction FROM predictions ORDER BY prediction_id")
    assert found == [(None, None, 8841.0, 1.0), ("8842.0", "c", 8842.0, 1.0)]
    assert recorder.spool.failed == 1


def test_a_measured_block_records_its_answer_its_time_and_its_error(made: Made) -> None:
    _, recorder = made
    with recorder.measure({"x": 1.0}, key="a") as measured:
        measured.score, measured.prediction = 0.75, True
    assert len(measured.prediction_id) == 30

    def broken() -> None:
        with recorder.measure({"x": 2.0}, key="b"):
            msg = "broken"
            raise ValueError(msg)

    with pytest.raises(ValueError, match="broken"):
        broken()
    found = query(
        made, "SELECT key, score, prediction, error, latency_seconds >= 0 FROM predictions ORDER BY prediction_id"
    )
    assert found == [("a", 0.75, 1.0, None, True), ("b", None, None, "ValueError", True)]
    assert query(made, "SELECT errors::BIGINT FROM tallies WHERE errors > 0") == [(1,)]


# Odd input.


class Row(dict[str, object]):
    """A mapping with opinions of its own."""


def odd_inputs() -> dict[str, object]:
    circle: list[object] = []
    circle.append(circle)
    nested: dict[str, object] = {}
    nested["self"] = nested
    return {
        "a value without a number": {"x": Prickly()},
        "a dict subclass": Row(x=1.0),
        "keys that are no texts": {1: 2.0, None: 3.0, (1, 2): 4.0},
        "a circular list": {"x": circle},
        "a circular dict": nested,
        "a list": [1, 2, 3],
        "a number": 5,
        "a text": "text",
        "an object": object(),
        "a lone surrogate": {"x": "\ud800", "\ud800": 1.0},
        "a huge number": {"x": 10**400},
        "a generator": {"x": (n for n in range(3))},
        "a lambda": {"x": lambda: 1},
        "a class": {"x": Prickly},
        "an array": {"x": np.zeros((2, 2))},
        "a frame": {"x": pd.DataFrame({"a": [1]})},
        "a complex number": {"x": 1 + 2j},
        "an empty name": {"": 1.0},
    }


@pytest.mark.parametrize("kind", odd_inputs())
def test_odd_input_raises_nothing_and_is_a_row_or_put_aside_or_counted(made: Made, kind: str) -> None:
    _, recorder = made
    recorder.record({"fine": 1.0}, key="before")
    recorder.record(odd_inputs()[kind], key="odd")  # pyright: ignore[reportArgumentType] — that is what is tried
    recorder.record({"fine": 2.0}, key="after")
    found = query(made, "SELECT key FROM predictions WHERE key <> 'odd' ORDER BY prediction_id")
    assert found == [("before",), ("after",)]
    rows = query(made, "SELECT count(*) FROM predictions WHERE key = 'odd' UNION ALL SELECT count(*) FROM quarantine")
    assert sum(cast("int", row[0]) for row in rows) + recorder.spool.failed >= 1


@pytest.mark.parametrize("field", ["key", "unit", "version", "endpoint", "error", "score", "latency_seconds", "role"])
def test_odd_details_raise_nothing_and_spare_their_neighbours(made: Made, field: str) -> None:
    _, recorder = made
    for value in (Prickly(), np.int64(5), b"bytes", [1], {"a": 1}, "\ud800", 10**400, math.nan, object()):
        recorder.record({"x": 1.0}, **{"key": "odd", field: value})  # pyright: ignore[reportArgumentType]
        recorder.outcome(value, key="k", value_usd=value, source=value)  # pyright: ignore[reportArgumentType]
    recorder.record({"x": 2.0}, key="after")
    assert query(made, "SELECT count(*) FROM predictions WHERE key = 'after' AND inputs.x = 2.0") == [(1,)]
    total = query(
        made,
        "SELECT (SELECT count(*) FROM predictions) + (SELECT count(*) FROM outcomes)"
        " + (SELECT count(*) FROM quarantine)",
    )
    assert cast("int", total[0][0]) + recorder.spool.failed >= 19


def test_recording_imports_neither_numpy_nor_duckdb() -> None:
    code = """
import sys, tempfile
from setpoint import Recorder
recorder = Recorder(tempfile.mkdtemp() + "/store", "m")
recorder.record({"x": 1.0, "y": float("nan")}, score=0.5, key="k")
recorder.outcome(1, key="k")
assert recorder.flush()
print(sorted({"numpy", "duckdb", "pandas", "deltalake"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


CONTRACT = Contract(
    (ContractField("amount", at_least=0, at_most=100, required=True), ContractField("note", allowed=("a", "b"))),
    (RowCondition("small", "amount < 50", on_violation=OnViolation.SHADOW),),
)


def contracted(made: Made, model: Model = Model("m")) -> Recorder:  # noqa: B008 - frozen
    layout, recorder = made
    layout.declare(replace(model, contract=CONTRACT))
    return Recorder(layout, "m", spool=recorder.spool)


def test_rows_are_recorded_with_the_rules_they_break_and_as_they_came(made: Made) -> None:
    recorder = contracted(made)
    recorder.record({"amount": 10.0, "note": "a"})
    recorder.record({"amount": 900.0, "note": "z"})
    recorder.record({"note": "a"})
    recorder.record_many({"amount": [60.0, 5.0], "note": ["a", None]})
    assert query(made, "SELECT contract_violations, inputs.amount FROM predictions ORDER BY prediction_id") == [
        (None, 10.0),
        ("amount.range,note.allowed,row.small", 900.0),
        ("amount.required", None),
        ("row.small", 60.0),
        (None, 5.0),
    ]


def test_rows_that_break_the_contract_are_always_kept(made: Made) -> None:
    recorder = contracted(made, Model("m", keep=0.0))
    for amount in (10.0, 900.0, 60.0):
        recorder.record({"amount": amount, "note": "a"})
    found = query(made, "SELECT inputs.amount, keep_probability FROM predictions ORDER BY prediction_id")
    assert found == [(900.0, None), (60.0, None)]


def test_a_contract_sees_values_before_they_are_hidden(made: Made) -> None:
    recorder = contracted(made, Model("m", features=(Feature("note", policy="hash"),)))
    recorder.record({"amount": 1.0, "note": "a"})
    recorder.record({"amount": 1.0, "note": "z"})
    found = query(made, "SELECT contract_violations FROM predictions ORDER BY prediction_id")
    assert found == [(None,), ("note.allowed",)]


def test_a_check_that_fails_loses_no_row(made: Made) -> None:
    class Raising(dict[str, object]):
        def get(self, *_: object) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
            raise RuntimeError

    recorder = contracted(made)
    assert recorder.check(Raising()).action == "accept"
    assert recorder.spool.failed == 1
    assert recorder.record({"amount": 1.0})


@pytest.mark.parametrize("odd", [5, "amount", ["amount"], 2.5, b"{}"])
def test_what_is_no_row_breaks_the_contract(made: Made, odd: object) -> None:
    recorder = contracted(made)
    found = recorder.check(odd)  # pyright: ignore[reportArgumentType] — as a service passes on what it is sent
    assert (found.row, found.violations, found.action) == ({}, ("row", "amount.required"), "reject")
    for nothing in (recorder.check(), recorder.check(None), recorder.check({})):
        assert (nothing.row, nothing.violations, nothing.action) == ({}, ("amount.required",), "accept")
    assert recorder.spool.failed == 0


def test_who_only_notes_violations_says_so_where_the_contract_asks_for_more(
    made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(*_: object) -> None:
        return None

    def starts(recorder: Recorder) -> None:
        wrap(SimpleNamespace(predict=abs), recorder)
        SetpointMiddleware(app, recorder)
        recorder.predict()(abs)

    starts(contracted(made))
    assert caplog.messages == []
    fields = (
        ContractField("month", at_most=12, on_violation=OnViolation.REJECT),
        ContractField("carrier", allowed=("AA", "DL"), on_violation=OnViolation.DEFAULT, default="AA"),
        ContractField("delay", at_least=0),
    )
    conditions = (RowCondition("sane", "month > 2", on_violation=OnViolation.REJECT),)
    made[0].declare(Model("m", contract=Contract(fields, conditions)))
    starts(Recorder(made[0], "m", spool=made[1].spool))
    said = "only notes what breaks the contract of m, which says: month reject, carrier default, row.sane reject; "
    assert caplog.messages == [
        f"{who} {said}call recorder.check before you predict"
        for who in ("wrap", "SetpointMiddleware", "Recorder.predict")
    ]


def test_what_a_row_breaks_is_known_before_predicting(made: Made) -> None:
    recorder = contracted(made)
    assert recorder.check({"amount": -1.0}).violations == ("amount.range",)
    assert made[1].check({"amount": -1.0}).violations == ()
    assert query(made, "SELECT count(*) FROM predictions") == [(0,)]


def test_a_process_that_changes_its_folder_records_into_the_same_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    recorder = Recorder("store", "m")
    monkeypatch.chdir(tmp_path / "elsewhere")
    recorder.record(score=0.5)
    assert recorder.close()
    with Snapshot(Layout.open(tmp_path / "store"), "m") as snapshot:
        assert snapshot.connection.execute("SELECT score FROM predictions").fetchall() == [(0.5,)]
    assert not list((tmp_path / "elsewhere").iterdir())
