"""An input whose column got the wrong type gets its declared one; nothing is lost or doubled, whoever is killed."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from collections.abc import Generator
from itertools import islice

import pytest

from setpoint.control.loop import tick
from setpoint.core.model import Feature, FeatureKind, Model, Policy
from setpoint.predictions.recorder import Recorder
from setpoint.store.erasure import forget, traces
from setpoint.store.lake import LakeTable
from setpoint.store.layout import Layout
from setpoint.store.retyping import retype, steps, survey
from setpoint.store.shipper import ship
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool
from setpoint.testing import temporary_store

Store = tuple[Layout, Spool]
GOOD = 40


@pytest.fixture
def store() -> Generator[Store]:
    with temporary_store() as made:
        yield made


def declared(kind: FeatureKind | None, name: str = "amount", policy: Policy = "keep") -> Model:
    return Model("m", features=(Feature(name, kind, policy=policy),))


def query(layout: Layout, sql: str) -> list[tuple[object, ...]]:
    with Snapshot(layout, "m") as snapshot:
        return snapshot.connection.execute(sql).fetchall()


def inputs(layout: Layout, name: str = "amount") -> list[object]:
    return [value for (value,) in query(layout, f"SELECT inputs.{name} FROM predictions ORDER BY predicted_at, key")]


def aside(layout: Layout) -> list[str]:
    return [str(reason) for (reason,) in query(layout, "SELECT reason FROM quarantine ORDER BY reason")]


def keys(layout: Layout) -> list[object]:
    return [key for (key,) in query(layout, "SELECT key FROM predictions ORDER BY key")]


def versions(layout: Layout) -> list[int]:
    lakes = [LakeTable(layout.lake("m", table)).delta for table in ("predictions", "quarantine")]
    return [lake.version() for lake in lakes if lake is not None]


def record(store: Store, *values: object, name: str = "amount", start: int = 0) -> None:
    """Record a value each, in a process of its own as far as the store can tell, and ship."""
    layout, _ = store
    recorder = Recorder(layout, "m", version="v1", spool=Spool(layout))
    for n, value in enumerate(values, start=start):
        recorder.record({name: value, "age": 30 + n}, score=0.5, key=f"k{n:03}")  # pyright: ignore[reportArgumentType]
    recorder.close()
    ship(layout)


def spoil(store: Store) -> None:
    """Record a bad first value, which makes the column text, and then good ones, which go to quarantine."""
    record(store, "n/a", *(n + 0.5 for n in range(GOOD)))
    assert keys(store[0]) == ["k000"]
    assert set(aside(store[0])) == {"inputs.amount is text and this row holds a number"}


def assert_mended(layout: Layout) -> None:
    assert inputs(layout) == [n + 0.5 for n in range(GOOD)]
    assert keys(layout) == [f"k{n:03}" for n in range(1, GOOD + 1)]
    assert aside(layout) == ["inputs.amount is DOUBLE in the table and this row holds 'n/a'"]
    assert survey(layout, declared("numeric")) == ()


def test_a_bad_first_value_is_put_aside_and_all_good_rows_come_back(store: Store) -> None:
    layout, _ = store
    spoil(store)
    said = survey(layout, declared("numeric"))
    assert len(said) == 1
    assert said[0].text == (
        "amount is text in the store and declared numeric: 0 of 1 values fit, 1 goes to quarantine;"
        f" {GOOD} rows come back from quarantine"
    )

    retype(layout, declared("numeric"))

    assert_mended(layout)
    assert query(layout, "SELECT count(inputs.age), count(version), sum(score) FROM predictions") == [
        (GOOD, GOOD, 20.0)
    ]
    assert query(layout, "SELECT sum(requests)::BIGINT FROM tallies") == [(GOOD + 1,)]
    before = versions(layout)
    retype(layout, declared("numeric"))
    assert versions(layout) == before, "a second time there is nothing to do"
    assert_mended(layout)


def test_new_rows_of_a_mended_column_are_predictions(store: Store) -> None:
    layout, _ = store
    spoil(store)
    layout.declare(declared("numeric"))
    retype(layout, declared("numeric"))
    record(store, 7.0, 8, start=100)
    assert inputs(layout)[-2:] == [7.0, 8.0]
    assert len(aside(layout)) == 1


STEPS = ["shipped", "states void", "misfits put aside", "rewritten", "taken back", "let go by the quarantine"]
KILLED = """
import sys
from pathlib import Path
from setpoint.store.layout import Layout
from setpoint.store.retyping import steps
layout = Layout.open(Path(sys.argv[1]))
for step in steps(layout, layout.model("m")):
    print(step, flush=True)
    if step == sys.argv[2]:
        sys.stdin.read()
"""


@pytest.mark.parametrize("last", STEPS)
def test_a_run_that_is_killed_after_a_step_is_finished_by_the_next(store: Store, last: str) -> None:
    layout, _ = store
    spoil(store)
    tick(layout)
    layout.declare(declared("numeric"))
    program = [sys.executable, "-c", KILLED, str(layout.root), last]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [line.strip() for line in islice(process.stdout, STEPS.index(last) + 1)] == STEPS[
            : STEPS.index(last) + 1
        ]
        process.send_signal(signal.SIGKILL)
    tick(layout)  # life goes on: others ship and refresh meanwhile
    record(store, 1000.5, start=900)

    retype(layout, declared("numeric"))

    assert inputs(layout) == [*(n + 0.5 for n in range(GOOD)), 1000.5]
    assert keys(layout) == [*(f"k{n:03}" for n in range(1, GOOD + 1)), "k900"]
    assert aside(layout) == ["inputs.amount is DOUBLE in the table and this row holds 'n/a'"]


def test_a_run_that_stops_twice_after_the_rows_came_back_doubles_nothing(store: Store) -> None:
    layout, _ = store
    spoil(store)
    for _ in range(2):
        for step in steps(layout, declared("numeric")):
            if step == "taken back":
                break
    assert len(aside(layout)) == GOOD + 1, "they are still in quarantine too"
    retype(layout, declared("numeric"))
    assert_mended(layout)


def test_numbers_become_text_and_texts_come_back(store: Store) -> None:
    layout, _ = store
    record(store, 80331, "01234", 80331.0, 2.5, math.nan, math.inf, "EC1A", name="zip")
    assert inputs(layout, "zip")[:2] == [80331.0, 80331.0]

    retype(layout, declared("categorical", "zip"))

    assert inputs(layout, "zip") == ["80331", "01234", "80331", "2.5", None, "Infinity", "EC1A"]
    assert aside(layout) == []


def test_whole_numbers_become_integers_and_fractions_wait_for_a_kind_that_holds_them(store: Store) -> None:
    layout, _ = store
    record(store, 1, 2.5, 3.0, 2.0**70, None, math.nan)

    retype(layout, declared("integer"))

    assert query(layout, "SELECT DISTINCT typeof(inputs.amount) FROM predictions") == [("BIGINT",)]
    assert inputs(layout) == [1, 3, None, None]
    assert aside(layout) == [
        "inputs.amount is BIGINT in the table and this row holds 1.1805916207174113e+21",
        "inputs.amount is BIGINT in the table and this row holds 2.5",
    ]
    retype(layout, declared("numeric"))
    assert inputs(layout) == [1.0, 2.5, 3.0, 2.0**70, None, None]
    assert aside(layout) == []


def test_every_kind_can_be_changed_to_every_other_and_back(store: Store) -> None:
    layout, _ = store
    record(store, 0, 1, 7, 2.5)
    for kind in ("boolean", "categorical", "integer", "boolean", "numeric"):
        retype(layout, declared(kind))
    assert inputs(layout) == [0.0, 1.0, 7.0, 2.5]
    assert aside(layout) == []


def test_a_hashed_input_is_text_whatever_it_was(store: Store) -> None:
    layout, _ = store
    record(store, 12.5, 13.5)
    model = declared("numeric", policy="hash")
    layout.declare(model)
    record(store, 14.5, start=10)
    assert len(aside(layout)) == 1

    assert "amount is a number in the store and declared hash" in survey(layout, model)[0].text
    retype(layout, model)

    told = inputs(layout)
    assert told[:2] == ["12.5", "13.5"]
    assert len(str(told[2])) == 24


def test_a_recorder_that_was_opened_before_goes_on(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    recorder.record({"amount": "n/a"}, key="a")
    assert recorder.flush()
    layout.declare(declared("numeric"))
    retype(layout, declared("numeric"))  # its segment is still open: nothing could be shipped
    recorder.record({"amount": "7.5"}, key="b")
    recorder.record({"amount": "none"}, key="c")
    recorder.record({"amount": 8.5}, key="d")
    assert recorder.flush()
    assert inputs(layout) == [7.5], "it still writes text, and readers see what will be shipped"
    spool.close()
    ship(layout)
    assert inputs(layout) == [7.5]
    assert aside(layout) == [
        "inputs.amount is DOUBLE in the table and this row holds 'n/a'",
        "inputs.amount is DOUBLE in the table and this row holds 'none'",
        "inputs.amount is text and this row holds a number",
    ]

    assert [one.text for one in survey(layout, declared("numeric"))] == [
        "amount is declared numeric: 1 row comes back from quarantine"
    ]
    retype(layout, declared("numeric"))
    assert inputs(layout) == [7.5, 8.5]
    assert len(aside(layout)) == 2


def test_a_segment_of_the_old_type_that_lay_in_the_spool_is_shipped_with_the_new_one(store: Store) -> None:
    layout, spool = store
    record(store, "1.5")
    recorder = Recorder(layout, "m", spool=spool)
    recorder.record({"amount": "2.5"}, key="k001")
    recorder.record({"amount": "n/a"}, key="k002")
    assert recorder.flush()
    layout.declare(declared("numeric"))
    retype(layout, declared("numeric"))
    assert inputs(layout) == [1.5, 2.5]
    spool.close()
    assert ship(layout).quarantined == 1
    assert inputs(layout) == [1.5, 2.5]


def test_without_a_declaration_a_row_of_another_type_is_no_row_until_it_is_put_aside(store: Store) -> None:
    layout, spool = store
    record(store, 1.5, 2.5)
    recorder = Recorder(layout, "m", spool=spool)
    recorder.record({"amount": "n/a", "age": 3}, key="k009")
    assert recorder.flush()
    assert inputs(layout) == [1.5, 2.5], "it is not counted with a null"
    spool.close()
    assert ship(layout).quarantined == 1
    assert inputs(layout) == [1.5, 2.5]


def test_a_declared_kind_decides_the_type_of_a_column_that_is_new(store: Store) -> None:
    layout, spool = store
    recorder = Recorder(layout, "m", spool=spool)
    recorder.record({"amount": "n/a"}, key="a")
    recorder.record({"amount": "1.5"}, key="b")
    assert recorder.flush()
    layout.declare(declared("numeric"))  # which the recorder does not know
    recorder.close()
    for _ in range(2):
        assert inputs(layout) == [1.5]
        ship(layout)
    assert len(aside(layout)) == 1


def test_a_reader_in_the_middle_sees_what_it_opened(store: Store) -> None:
    layout, _ = store
    spoil(store)
    with Snapshot(layout, "m") as snapshot:
        retype(layout, declared("numeric"))
        LakeTable(layout.lake("m", "predictions")).vacuum(1)
        LakeTable(layout.lake("m", "quarantine")).vacuum(1)
        found = snapshot.connection.execute("SELECT list(inputs.amount) FROM predictions").fetchall()
        waiting = snapshot.connection.execute("SELECT count(*) FROM quarantine").fetchall()
    assert (found, waiting) == ([(["n/a"],)], [(GOOD,)])
    assert_mended(layout)


def test_what_was_shipped_is_known_and_the_table_stays_as_it_was_set_up(store: Store) -> None:
    layout, _ = store
    spoil(store)
    assert list(layout.spool("m", "predictions").glob("*.ndjson")), "committed and not yet deleted"
    before = LakeTable(layout.lake("m", "predictions")).delta
    retype(layout, declared("numeric"))
    after = LakeTable(layout.lake("m", "predictions"))
    assert before is not None
    assert after.delta is not None
    assert after.delta.metadata().configuration == before.metadata().configuration
    assert after.delta.metadata().partition_columns == ["day"]
    assert after.inputs == {"amount": "DOUBLE", "age": "DOUBLE"}
    assert after.ship == 2, "the shipment, and the rows that came back"
    assert ship(layout, grace_seconds=3600).rows == 0
    assert_mended(layout)
    after.compact()
    assert ship(layout, grace_seconds=-1).rows == 0
    assert_mended(layout)


def test_only_rows_without_another_fault_come_back(store: Store) -> None:
    layout, _ = store
    record(store, "n/a")
    lines = {
        "good": {},
        "a score that is none": {"score": "high"},
        "a text for an age": {"inputs": {"amount": 1.5, "age": "old"}},
        "another spelling": {"inputs": {"amount": 1.5, "Age": 3}},
        "two spellings": {"inputs": {"amount": 1.5, "x": 3, "X": 3}},
        "no time": {"predicted_at": None},
        "a day for a time": {"predicted_at": "2026-01-01"},
        "an unknown column": {"colour": "red"},
        "no object": {"inputs": [1.5]},
        "still no number": {"inputs": {"amount": "a lot"}},
    }
    spool = Spool(layout)
    recorder = Recorder(layout, "m", spool=spool)
    reason = "inputs.amount is text and this row holds a number"
    row: dict[str, object] = {"root_id": "r", "predicted_at": 10, "recorded_at": 10, "inputs": {"amount": 1.5}}
    for name, change in lines.items():
        raw = json.dumps({**row, "prediction_id": name, "key": name, **change})
        recorder._quarantine("predictions", reason, raw)
    recorder._quarantine("predictions", "two inputs have one name", json.dumps({**row, "prediction_id": "a"}))
    recorder._quarantine("outcomes", reason, json.dumps({**row, "prediction_id": "b"}))
    recorder._quarantine("predictions", reason, "{'no': json}")
    spool.close()

    retype(layout, declared("numeric"))

    assert keys(layout) == ["good"]
    assert len(aside(layout)) == len(lines) + 3


def test_an_input_that_only_rows_in_quarantine_have_comes_with_them_and_a_dropped_one_does_not(store: Store) -> None:
    layout, _ = store
    recorder = Recorder(layout, "m", spool=Spool(layout))
    recorder.record({"amount": "n/a"})
    recorder.record({"amount": 1.5, "colour": "red", "secret": "x", "limit": math.inf}, prediction=True)
    recorder.close()
    features = (Feature("amount", "numeric"), Feature("secret", policy="drop"))

    retype(layout, Model("m", features=features))

    assert query(layout, "SELECT inputs, prediction FROM predictions") == [
        ({"amount": 1.5, "colour": "red", "limit": math.inf}, 1.0)
    ]


def test_rows_come_back_to_a_table_that_was_never_made(store: Store) -> None:
    layout, _ = store
    layout.declare(declared("integer"))
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for n in range(3):
        recorder.record({"amount": n + 0.5}, prediction="yes")
    recorder.close()
    ship(layout)
    assert LakeTable(layout.lake("m", "predictions")).delta is None

    retype(layout, declared("numeric"))

    assert query(layout, "SELECT inputs.amount, prediction FROM predictions ORDER BY ALL") == [
        (0.5, "yes"), (1.5, "yes"), (2.5, "yes"),
    ]  # fmt: skip


def test_identical_rows_stay_as_many_as_they_were(store: Store) -> None:
    layout, _ = store
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for amount in ("n/a", "n/a", 1.5, 1.5):
        recorder.record({"amount": amount}, prediction_id="same", predicted_at=10)
    recorder.close()
    retype(layout, declared("numeric"))
    assert inputs(layout) == [1.5, 1.5]
    assert len(aside(layout)) == 2


def test_rows_without_inputs_stay_without(store: Store) -> None:
    layout, _ = store
    recorder = Recorder(layout, "m", spool=Spool(layout))
    recorder.record({"amount": "1.5"}, key="a")
    recorder.record(key="b")
    recorder.close()
    retype(layout, declared("numeric"))
    assert query(layout, "SELECT inputs.amount, key FROM predictions ORDER BY key") == [(1.5, "a"), (None, "b")]


def test_the_rest_of_an_event_survives_the_way_to_quarantine_and_back(store: Store) -> None:
    layout, _ = store
    recorder = Recorder(layout, "m", version="v1", endpoint="/e", spool=Spool(layout))
    recorder.record(
        {"amount": 2.5, "note": "it's", "rate": math.inf}, prediction=1, score=math.nan, key="k", unit="u", run_id="r",
        latency_seconds=0.25, trace_id="t", source="s", predicted_at=1_767_225_600_000_001,
    )  # fmt: skip
    recorder.close()
    ship(layout)
    everything = "SELECT CAST(p AS VARCHAR) FROM (SELECT * EXCLUDE (ship) FROM predictions) AS p"
    before = query(layout, everything)
    retype(layout, declared("integer"))
    assert query(layout, everything) == []
    retype(layout, declared("numeric"))
    assert query(layout, everything) == before


def test_what_is_forgotten_afterwards_is_in_no_file_any_more(store: Store) -> None:
    layout, _ = store
    spoil(store)
    layout.declare(declared("numeric"))
    retype(layout, declared("numeric"))
    for key in ("k000", "k007"):  # one was put aside, the other came back
        forget(layout, declared("numeric"), key=key)
        assert not list(traces(layout.root, key, "m"))
    assert aside(layout) == []
    assert len(inputs(layout)) == GOOD - 1


def test_undeclared_kinds_change_nothing(store: Store) -> None:
    layout, _ = store
    spoil(store)
    before = versions(layout)
    assert survey(layout, declared(None)) == ()
    retype(layout, declared(None))
    assert versions(layout) == before


def test_many_rows_of_many_days_are_rewritten(store: Store) -> None:
    layout, _ = store
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for n in range(30_000):
        text = "?" if n % 100 == 0 else f"{n}.5"
        recorder.record({"amount": text, "n": n}, predicted_at=1_767_225_600_000_000 + n * 60_000_000)
    recorder.close()
    ship(layout)
    assert survey(layout, declared("numeric"))[0].text == (
        "amount is text in the store and declared numeric: 29,700 of 30,000 values fit, 300 go to quarantine"
    )
    retype(layout, declared("numeric"))
    assert query(layout, "SELECT count(*), sum(inputs.amount - inputs.n) FROM predictions") == [(29_700, 29_700 * 0.5)]
    assert len(aside(layout)) == 300
    assert len(LakeTable(layout.lake("m", "predictions")).day_sizes()) == 21
