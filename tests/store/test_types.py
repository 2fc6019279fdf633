"""What type a column has, and where rows go that do not fit it: odd is put aside, and nothing is lost in silence."""

from __future__ import annotations

import json
import math
from collections.abc import Generator
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pytest
from tests.store.spooled import Store, count, query, reasons, requests, run, segment, ship_all

from setpoint.core.model import Feature, Model
from setpoint.predictions.recorder import Recorder
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store


@pytest.fixture
def store() -> Generator[Store]:
    with temporary_store() as made:
        yield made


# Types.


def test_a_type_conflict_in_one_process_puts_the_row_aside(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    recorder.record({"x": 1.5})
    recorder.record({"x": "text"})
    recorder.record({"x": True})
    recorder.record({"x": None})
    recorder.outcome(1, key="a")
    recorder.outcome("yes", key="a")
    recorder.record({"x": 2.5}, prediction=1.0)
    recorder.record({"x": 3.5}, prediction="yes")
    recorder.record({"x": 4.5}, score="high")  # pyright: ignore[reportArgumentType] — that is what is tried
    recorder.close()
    for _ in range(2):
        found = query(layout, "SELECT inputs.x FROM predictions ORDER BY prediction_id")
        assert found == [(1.5,), (1.0,), (None,), (2.5,)]
        assert count(layout, "outcomes") == 1
        assert reasons(layout) == [
            "inputs.x is a number and this row holds text",
            "outcome is a number and this row holds text",
            "prediction is a number and this row holds text",
            "score is a number and this row holds 'high'",
        ]
        ship_all(layout)


@pytest.mark.parametrize("large", [2**63, 1e19, -1e300, np.float64(1e308), math.inf])
def test_a_declared_integer_that_no_column_holds_is_put_aside(store: Store, large: float) -> None:
    layout, spool = store
    layout.declare(Model("m", features=(Feature("x", kind="integer"),)))
    recorder = Recorder(layout, "m", spool=spool)
    recorder.record({"x": 2.0**62})
    recorder.record({"x": large})
    recorder.close()
    assert query(layout, "SELECT inputs.x FROM predictions") == [(2**62,)]
    (reason,) = reasons(layout)
    assert reason.startswith("inputs.x is declared integer and ")
    assert reason.endswith(" is too large for one")


@pytest.mark.parametrize("first", ["number", "text"])
def test_a_type_conflict_between_processes_puts_the_later_type_aside(store: Store, first: str) -> None:
    layout, _ = store
    programs = {
        "number": "for n in range(3): recorder.record({'x': float(n), 'y': 1.0}, key=f'number-{n}')",
        "text": "for n in range(3): recorder.record({'x': f'text {n}', 'y': 2.0}, key=f'text-{n}')",
    }
    run(layout, programs.pop(first))
    ship_all(layout)
    run(layout, programs.popitem()[1])
    ship_all(layout)
    kept = query(layout, "SELECT count(*), count(inputs.x), count(inputs.y) FROM predictions")
    assert kept == [(3, 3, 3)]
    kind, held = ("DOUBLE", "'text {}'") if first == "number" else ("VARCHAR", "{}.0")
    assert reasons(layout) == [f"inputs.x is {kind} in the table and this row holds {held.format(n)}" for n in range(3)]
    assert requests(layout) == 6


def test_a_conflict_between_processes_that_neither_shipped_puts_one_type_aside(store: Store) -> None:
    layout, _ = store
    run(layout, "recorder.record({'x': 1.5}, key='a'); recorder.record({'x': 2.5}, key='b')")
    run(layout, "recorder.record({'x': 'one'}, key='c'); recorder.record({'x': None}, key='d')")
    ship_all(layout)
    assert count(layout) + count(layout, "quarantine") == 4
    kept = {row[0] for row in query(layout, "SELECT key FROM predictions")}
    assert {"a", "b", "d"} <= kept


def test_an_integer_feature_that_becomes_fractional_is_put_aside() -> None:
    with temporary_store(Model("m", features=(Feature("n", "integer"),))) as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        for value in (1, 2.0, 2**53 + 1, True, None, 2.5, math.nan, math.inf, 2**63, 1 - 2**63):
            recorder.record({"n": value})
        recorder.close()
        ship_all(layout)
        found = query(layout, "SELECT inputs.n FROM predictions ORDER BY prediction_id")
        assert found == [(1,), (2,), (2**53 + 1,), (1,), (None,), (None,), (1 - 2**63,)]
        assert len(reasons(layout)) == 3
        assert any("2.5" in reason for reason in reasons(layout))


def test_an_undeclared_feature_takes_whole_and_broken_numbers(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    for value in (1, 2.5, 2**70, -(10**40)):
        recorder.record({"x": value})
    recorder.close()
    ship_all(layout)
    assert query(layout, "SELECT inputs.x FROM predictions ORDER BY prediction_id") == [
        (1.0,),
        (2.5,),
        (2.0**70,),
        (-1e40,),
    ]


def test_new_fields_appear_and_merge(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    recorder.record({"a": 1.0})
    recorder.record({"a": 2.0, "b": "x"})
    recorder.close()
    ship_all(layout)
    recorder.record({"c": True})
    recorder.record({"b": "y", "d": 4.0})
    recorder.close()
    expected = [(1.0, None, None, None), (2.0, "x", None, None), (None, None, True, None), (None, "y", None, 4.0)]
    picked = "SELECT inputs.a, inputs.b, inputs.c, inputs.d FROM predictions ORDER BY prediction_id"
    assert query(layout, picked) == expected, "lake and spool together"
    ship_all(layout)
    assert query(layout, picked) == expected


def test_non_finite_numbers_come_back_as_they_were(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    for value in (math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308):
        recorder.record({"x": value}, prediction=value, score=value, latency_seconds=value)
        recorder.outcome(value, key="k", value_usd=value)
    recorder.close()
    for _ in range(2):
        for column, table in (("inputs.x", "predictions"), ("prediction", "predictions"), ("outcome", "outcomes")):
            order = "prediction_id" if table == "predictions" else "outcome_id"
            found = [row[0] for row in query(layout, f"SELECT {column} FROM {table} ORDER BY {order}")]
            assert isinstance(found[0], float)
            assert math.isnan(found[0])
            assert found[1:] == [math.inf, -math.inf, 0.0, 5e-324, 1.7976931348623157e308]
        assert reasons(layout) == []
        ship_all(layout)


def test_values_of_other_types_are_kept_as_numbers_or_texts(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    recorder.record(
        {
            "float32": np.float32(1.5),
            "int64": np.int64(7),
            "bool": np.bool_(True),  # noqa: FBT003 — a value
            "text": np.str_("word"),
            "decimal": Decimal("12.50"),
            "moment": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
            "day": date(2026, 1, 2),
            "day64": np.datetime64("2026-01-02"),
            "list": [1, "two", None],
            "map": {"a": 1},
            "bytes": b"abc",
            "array": np.array([1.0, 2.0]),
        },
        prediction=np.float64(3.5),
        score=np.float32(0.25),  # pyright: ignore[reportArgumentType] — callers do
        latency_seconds=np.float64(0.125),
        key=np.int64(42),  # pyright: ignore[reportArgumentType] — callers do
        version=np.int64(3),  # pyright: ignore[reportArgumentType] — callers do
    )
    recorder.close()
    ship_all(layout)
    assert reasons(layout) == []
    found = query(layout, "SELECT unnest(inputs) FROM predictions")[0]
    assert found[:5] == (1.5, 7.0, True, "word", 12.5)
    assert found[5:8] == ("2026-01-02T03:04:00Z", "2026-01-02", "2026-01-02")
    assert [json.loads(str(value)) for value in found[8:10]] == [[1, "two", None], {"a": 1}]
    assert json.loads(str(found[11])) == [1.0, 2.0]
    fixed = query(layout, "SELECT key, version, prediction, score, latency_seconds FROM predictions")
    assert fixed == [("42", "3", 3.5, 0.25, 0.125)]
    assert query(layout, "SELECT version, requests FROM tallies") == [("3", 1)]


class Stubborn:
    """A number that cannot be had."""

    def __float__(self) -> float:
        msg = "no"
        raise RuntimeError(msg)


def test_one_odd_event_never_takes_its_neighbours_down(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    circle: list[object] = []
    circle.append(circle)
    odd: list[dict[object, object]] = [
        {"x": Stubborn()},
        {"word": circle},
        {"x": 1.0, "": 2.0},
        {"x": 1.0, "a\0b": 2.0},
        {"x": 1.0, "X": 2.0},
        {1: 2.0, "1": 3.0},
    ]
    for row in odd:
        recorder.record({"x": 1.0, "word": "w"}, key="fine")
        recorder.record(row, key="odd")  # pyright: ignore[reportArgumentType] — that is what is tried
    recorder.record({"X": 1.0}, key="odd")
    recorder.record({"x": 1.0, "word": "\ud800"}, key="fine")
    recorder.record({"x": 1.0, 7: "seven", (1, 2): "pair", None: "none"}, key="fine")  # pyright: ignore[reportArgumentType] — as above
    assert recorder.flush()
    recorder.close()
    ship_all(layout)
    assert query(layout, "SELECT key, count(*) FROM predictions GROUP BY key") == [("fine", len(odd) + 2)]
    assert len(reasons(layout)) == len(odd) + 1, "what cannot be a row is put aside with its reason"
    assert requests(layout) == 2 * len(odd) + 3
    found = query(layout, """SELECT inputs."7", inputs."(1, 2)" FROM predictions WHERE inputs."7" IS NOT NULL""")
    assert found == [("seven", "pair")]


def test_names_that_differ_in_case_between_processes_block_nobody(store: Store) -> None:
    layout, _ = store
    run(layout, "recorder.record({'Age': 1.0}, key='a')")
    run(layout, "recorder.record({'age': 2.0}, key='b')")
    assert count(layout) == 1, "what will be put aside is left out at once"
    ship_all(layout)
    assert count(layout) == 1
    assert len(reasons(layout)) == 1
    assert "spelled otherwise" in reasons(layout)[0]


def test_features_may_have_any_name(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    names = ["a b", "a.b", "it's", 'say "x"', "ünï", "a,b;{}()=\t\n", "select", "day", "ship", "x" * 300]
    recorder.record({name: float(n) for n, name in enumerate(names)})
    recorder.close()
    for _ in range(2):
        with Snapshot(layout, "m") as snapshot:
            found = snapshot.connection.execute("SELECT unnest(inputs) FROM predictions")
            assert [column[0] for column in found.description or ()] == names
            assert found.fetchall() == [tuple(float(n) for n in range(len(names)))]
        ship_all(layout)


# Texts and times.


def test_free_text_is_not_kept_unless_on_purpose() -> None:
    text = "a secret of a customer " * 20
    kept = Model("m", features=(Feature("note", "categorical"),))
    for model, expected in ((None, "[text]"), (kept, text), (Model("m", free_text="keep"), text)):
        with temporary_store(model) as (layout, spool):
            recorder = Recorder(layout, "m", spool=spool)
            recorder.record({"note": text, "short": "x" * 256})
            recorder.close()
            assert query(layout, "SELECT inputs.note, inputs.short FROM predictions") == [(expected, "x" * 256)]
            assert (b"secret" in segment(layout).read_bytes()) is (expected == text)


def test_times_without_a_zone_are_put_aside_and_raise_nothing(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 — that is what is tried
    assert recorder.record({"x": 1.0}, key="a", predicted_at=naive) == ""
    recorder.outcome(1, key="a", observed_at=naive)
    recorder.record({"x": 1.0}, key="b", predicted_at=datetime(2026, 1, 1, tzinfo=UTC))
    recorder.close()
    assert query(layout, "SELECT key, epoch_us(predicted_at) FROM predictions") == [("b", 1_767_225_600_000_000)]
    found = query(layout, "SELECT source_table, reason, raw FROM quarantine ORDER BY source_table")
    assert [row[0] for row in found] == ["outcomes", "predictions"]
    assert all("without a zone: 2026-01-01" in str(row[1]) and "'a'" in str(row[2]) for row in found)


def test_times_beyond_the_calendar_are_put_aside(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    for at in (10**20, -1, 1_767_225_600_000_000_000):
        assert recorder.record({"x": 1.0}, predicted_at=at) == ""
        recorder.outcome(1, key="a", observed_at=at)
    recorder.record({"x": 1.0}, predicted_at=1.5e15)  # pyright: ignore[reportArgumentType] — that is what is tried
    recorder.close()
    assert layout.spool("m", "predictions").exists() is False
    assert count(layout, "quarantine") == 7


def test_a_bad_first_value_of_a_declared_number_decides_nothing() -> None:
    with temporary_store(Model("m", features=(Feature("n", "numeric"), Feature("free")))) as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        recorder.record({"n": "n/a", "free": "text"})
        recorder.record({"n": 2.5, "free": "text"})
        recorder.close()
        assert query(layout, "SELECT inputs.n FROM predictions") == [(2.5,)]
        assert reasons(layout) == ["inputs.n is a number and this row holds text"]


@pytest.mark.parametrize("is_shipped", [True, False])
def test_rows_without_an_answer_do_not_decide_what_answers_are(store: Store, is_shipped: bool) -> None:  # noqa: FBT001
    layout, _ = store
    run(layout, "for n in range(3): recorder.record({'x': 1.0}, key=f'early-{n}')")
    if is_shipped:
        ship_all(layout)
    run(layout, "for n in range(3): recorder.record({'x': 1.0}, prediction='fraud', key=f'late-{n}')")
    ship_all(layout)
    assert query(layout, "SELECT count(*), count(prediction), max(prediction) FROM predictions") == [(6, 3, "fraud")]
    run(layout, "recorder.record({'x': 1.0}, key='last')")
    ship_all(layout)
    assert count(layout) == 7
    assert reasons(layout) == []
