"""What a frame says is missing is missing, and puts no row aside."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from setpoint.predictions.recorder import Recorder
from setpoint.predictions.rows import column, rows_of
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

FRAME = pd.DataFrame(
    {
        "text": ["de", None, np.nan, "fr"],
        "number": [1.0, np.nan, 3.0, 4.0],
        "flag": pd.array([True, pd.NA, False, True], dtype="boolean"),
        "whole": pd.array([1, pd.NA, 3, 4], dtype="Int64"),
        "mixed": [True, np.nan, False, True],
        "kind": pd.Categorical(["a", None, "b", "a"]),
        "time": pd.to_datetime(["2026-01-01", None, "2026-01-03", "2026-01-04"], utc=True),
    }
)


def test_missing_values_of_pandas_are_none_and_nan_among_numbers_stays() -> None:
    rows = list(rows_of(FRAME))
    second = rows[1]
    assert {name for name, value in second.items() if value is None} == set(FRAME.columns) - {"number"}
    assert isinstance(second["number"], float)
    assert math.isnan(second["number"])
    assert [row["text"] for row in rows] == ["de", None, None, "fr"]
    assert rows[0]["time"] == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "table", [{"c": ["a", math.nan]}, [{"c": "a"}, {"c": math.nan}], pl.DataFrame({"c": ["a", None]})]
)
def test_other_tables_are_read_the_same_way(table: object) -> None:
    assert [row["c"] for row in rows_of(table)] == ["a", None]


def test_rows_that_hold_nothing_are_rows() -> None:
    assert list(rows_of([{}, {}])) == [{}, {}]
    assert list(rows_of([{}, {"x": 1}])) == [{"x": None}, {"x": 1}]
    assert list(rows_of([])) == []


def test_a_column_beside_the_inputs_is_read_the_same_way() -> None:
    assert column(FRAME["text"], 4) == ["de", None, None, "fr"]
    assert column(None, 2) == [None, None]
    assert column([1, 2], 2) == [1, 2]


def test_a_frame_with_gaps_is_recorded_whole() -> None:
    with temporary_store() as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        recorder.record_many(FRAME.drop(columns="time"), scores=[0.1, math.nan, 0.3, 0.4])
        assert recorder.flush()
        with Snapshot(layout, "m") as snapshot:
            aside = snapshot.connection.execute("SELECT count(*) FROM quarantine").fetchall()
            found = snapshot.connection.execute(
                "SELECT count(*), count(inputs.text), count(inputs.mixed), count(inputs.kind) FROM predictions"
            ).fetchall()
        assert (aside, found) == ([(0,)], [(4, 2, 3, 3)])
