"""A wrapped estimator answers as before, and every row of its answers is recorded."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from setpoint.connect.wrap import wrap
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

Made = tuple[Layout, Recorder]
RNG = np.random.default_rng(7)
FRAME = pd.DataFrame({"amount": RNG.normal(size=200), "age": RNG.integers(18, 80, 200).astype(float)})
CHOICE = np.where(FRAME["amount"] + RNG.normal(size=200) > 0, "yes", "no")
PRICE = FRAME["amount"] * 3 + FRAME["age"]


@pytest.fixture
def made() -> Generator[Made]:
    with temporary_store() as (layout, spool):
        yield layout, Recorder(layout, "m", version="v1", spool=spool)


def query(made: Made, sql: str) -> list[tuple[Any, ...]]:
    layout, recorder = made
    assert recorder.flush(30)
    assert recorder.spool.failed == 0
    with Snapshot(layout, "m") as snapshot:
        return snapshot.connection.execute(sql).fetchall()


def test_a_classifier_answers_as_before_and_its_scores_and_classes_are_recorded(made: Made) -> None:
    plain = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, CHOICE)
    wrapped = wrap(plain, made[1])
    some = FRAME.head(20)
    np.testing.assert_array_equal(wrapped.predict_proba(some), plain.predict_proba(some))
    found = query(
        made, "SELECT inputs.amount, inputs.age, score, prediction, version FROM predictions ORDER BY prediction_id"
    )
    shares, classes = plain.predict_proba(some)[:, 1], plain.predict(some)
    assert found == [
        (amount, age, share, name, "v1")
        for amount, age, share, name in zip(some["amount"], some["age"], shares, classes, strict=True)
    ]
    times = query(made, "SELECT bool_and(latency_seconds > 0 AND compute_seconds <= latency_seconds) FROM predictions")
    assert times == [(True,)]


def test_the_probability_of_each_of_several_classes_is_recorded_by_its_name(made: Made) -> None:
    kinds = np.array(["low", "middle", "high"])[np.arange(len(FRAME)) % 3]
    plain = LogisticRegression().fit(FRAME, kinds)
    shares = wrap(plain, made[1]).predict_proba(FRAME)
    found = query(made, "SELECT prediction, scores['high'], score FROM predictions ORDER BY prediction_id")
    names = plain.classes_[shares.argmax(axis=1)].tolist()
    assert [(name, score) for name, _, score in found] == [(name, None) for name in names]
    np.testing.assert_allclose([row[1] for row in found], shares[:, plain.classes_.tolist().index("high")])


def test_its_classes_are_recorded_when_only_they_are_asked_for(made: Made) -> None:
    plain = LogisticRegression().fit(FRAME, CHOICE)
    wrapped = wrap(plain, made[1])
    np.testing.assert_array_equal(wrapped.predict(FRAME), plain.predict(FRAME))
    found = query(made, "SELECT prediction, count(*), count(score) FROM predictions GROUP BY prediction")
    names, counts = np.unique(plain.predict(FRAME), return_counts=True)
    assert sorted(found) == [(name, count, 0) for name, count in zip(names.tolist(), counts.tolist(), strict=True)]


def test_a_regressor_answers_as_before_and_its_numbers_are_recorded(made: Made) -> None:
    plain = LinearRegression().fit(FRAME, PRICE)
    wrapped = wrap(plain, made[1])
    np.testing.assert_array_equal(wrapped.predict(FRAME), plain.predict(FRAME))
    found = query(made, "SELECT inputs.age, prediction FROM predictions ORDER BY prediction_id")
    assert found == list(zip(FRAME["age"].tolist(), plain.predict(FRAME).tolist(), strict=True))


@pytest.mark.parametrize("kind", ["array", "list", "polars"])
def test_rows_of_any_kind_get_the_names_that_the_estimator_knows(made: Made, kind: str) -> None:
    named = kind == "polars"
    plain = LinearRegression().fit(FRAME if named else FRAME.to_numpy(), PRICE)
    wrapped = wrap(plain, made[1])
    array = FRAME.to_numpy()
    tables = {"array": array, "list": array.tolist(), "polars": pl.DataFrame(FRAME.to_dict("list"))}
    np.testing.assert_allclose(wrapped.predict(tables[kind]), plain.predict(tables[kind]))
    first, second = ("amount", "age") if named else ("x0", "x1")
    found = query(made, f"SELECT inputs.{first}, inputs.{second} FROM predictions ORDER BY prediction_id")
    assert found == list(FRAME.itertuples(index=False, name=None))


def test_everything_else_is_the_estimators_own(made: Made) -> None:
    plain = LinearRegression().fit(FRAME, PRICE)
    wrapped = wrap(plain, made[1])
    np.testing.assert_array_equal(wrapped.coef_, plain.coef_)
    assert wrapped.score(FRAME, PRICE) == plain.score(FRAME, PRICE)
    assert wrapped.get_params() == plain.get_params()
    with pytest.raises(AttributeError, match="predict_proba"):
        wrapped.predict_proba(FRAME)  # pyright: ignore[reportAttributeAccessIssue] — that is what is tried
    with pytest.raises(ValueError, match="feature names"):
        wrapped.predict(FRAME[["amount"]])
    assert query(made, "SELECT count(*) FROM predictions") == [(0,)]


def test_an_empty_table_records_nothing(made: Made) -> None:
    class Nothing:
        def predict(self, table: np.ndarray) -> np.ndarray:
            return np.zeros(len(table))

    assert len(wrap(Nothing(), made[1]).predict(np.zeros((0, 2)))) == 0
    assert query(made, "SELECT count(*) FROM predictions") == [(0,)]
