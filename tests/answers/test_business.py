"""What predictions were worth: heavy tails are said, and whether quality moves with the money is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from tests.answers.replayed import replay, rows_of

import setpoint
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.model import BusinessMetric, Model
from setpoint.store.layout import Layout

START = 1_767_571_200_000_000  # 2026-01-05, a Monday
WEEKS = 12
MODEL = Model("m", business_metric=BusinessMetric("sales"))


def frame() -> pl.DataFrame:
    """Return rows of twelve weeks: the better the scores of a week, the more a prediction brings; some lose money."""
    rng = np.random.default_rng(3)
    at = START + np.arange(WEEKS * 7 * 24) * HOUR
    week = (at - START) // (7 * DAY)
    truth = rng.random(len(at))
    score = np.clip(truth + rng.normal(0.0, 1.0, len(at)) * (0.05 + 0.1 * week), 0.0, 1.0)
    value = (24.0 - week) * rng.lognormal(0.0, 0.3, len(at)) - np.where(rng.random(len(at)) < 0.1, 40.0, 0.0)
    return pl.DataFrame(
        {"ts": at, "week": week, "p": score, "outcome": (rng.random(len(at)) < truth).astype(int), "value_usd": value}
    )


def recorded(folder: Path, table: pl.DataFrame) -> setpoint.Log:
    with replay(folder, MODEL, START, START + WEEKS * 7 * DAY) as (recorder, clock):
        for n, row in enumerate(table.to_dicts()):
            clock.set(row["ts"])
            recorder.record({"x": 1.0}, score=row["p"], prediction_id=f"p{n}")
            recorder.outcome(row["outcome"], prediction_id=f"p{n}", value_usd=row["value_usd"])
    return setpoint.open(folder / "store")


@pytest.mark.parametrize("source", ["file", "rows", "states"])
def test_worth_and_agreement_are_those_of_the_rows(tmp_path: Path, source: str) -> None:
    table = frame()
    if source == "file":
        timed = table.with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
        log = setpoint.read(
            timed, model=MODEL, time="ts", score="p", outcome="outcome", value_usd="value_usd", inputs=[]
        )
    else:
        log = recorded(tmp_path, table)
    if source == "states":
        tick(Layout.open(tmp_path / "store"))
    answer = log.quality("m", over="2026-01-05..2026-03-30")
    found = {row["measure"]: row for row in rows_of(answer.table("money"))}
    assert found["mean_value_usd"]["value"] == pytest.approx(table["value_usd"].mean())
    assert found["total_value_usd"]["value"] == pytest.approx(table["value_usd"].sum())
    assert found["mean_value_usd"]["low"] < found["mean_value_usd"]["value"] < found["mean_value_usd"]["high"]
    weeks = rows_of(answer.table("weeks"))
    assert [week["week"] for week in weeks][:2] == ["2026-01-05", "2026-01-12"]
    aucs: list[float] = []
    for n, week in enumerate(weeks):
        part = table.filter(pl.col("week") == n)
        aucs.append(float(roc_auc_score(part["outcome"], part["p"])))
        assert week["metric"] == pytest.approx(aucs[-1], abs=0.01)
        assert week["mean_value_usd"] == pytest.approx(part["value_usd"].mean())
    expected = float(np.asarray(spearmanr(aucs, [week["mean_value_usd"] for week in weeks]))[0])
    assert found["agreement"]["value"] == pytest.approx(expected, abs=0.1)
    assert "auc moves with the money: rank correlation" in answer.text()
    assert "sales: $" in answer.text()


def test_a_sum_that_few_rows_decide_is_unknown() -> None:
    table = frame().with_columns(
        value_usd=pl.when(pl.int_range(pl.len()) % 400 == 0).then(1e6).otherwise(1.0),
        ts=pl.col("ts").cast(pl.Datetime("us", "UTC")),
    )
    log = setpoint.read(table, time="ts", score="p", outcome="outcome", value_usd="value_usd", inputs=[])
    assert "the largest 1 % of rows carry" in log.quality().text()
    short = log.quality(over="2026-01-05..2026-01-19")
    assert "whether auc moves with the money: unknown, needs 6 more weeks" in short.text()
    without = setpoint.read(table.drop("value_usd"), time="ts", score="p", outcome="outcome", inputs=[]).quality()
    assert "money" not in {one.name for one in without.tables}
