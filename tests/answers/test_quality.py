"""Quality in detail: operating points, honest scores and groups are those of the rows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import brier_score_loss, mean_squared_error, precision_score, recall_score, roc_auc_score
from tests.answers.replayed import rows_of

import setpoint
from setpoint.core.model import Cohort, Model, Task

START = 1_767_225_600_000_000
MODEL = Model("", cohorts=(Cohort("shop", by="shop"),))


def frame(rows: int = 6000) -> pl.DataFrame:
    """Return rows of two shops that are ranked alike; of the second the scores are a third of what comes true."""
    rng = np.random.default_rng(4)
    shop = np.where(rng.random(rows) < 0.9, "a", "b")
    logit = rng.normal(-1.0, 1.5, rows)
    truth = 1.0 / (1.0 + np.exp(-logit))
    score = np.where(shop == "a", truth, truth / 3.0)
    return pl.DataFrame(
        {
            "ts": START + np.arange(rows) * 60_000_000,
            "shop": shop,
            "p": score,
            "outcome": (rng.random(rows) < truth).astype(int),
        }
    ).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))


def read(table: pl.DataFrame) -> setpoint.Log:
    return setpoint.read(table, model=MODEL, time="ts", score="p", outcome="outcome", inputs=["shop"])


def test_a_budget_is_the_top_share_of_all_rows_in_every_group() -> None:
    table = frame()
    answer = read(table).quality(budget=0.2, by="shop")
    cut = float(np.quantile(table["p"], 0.8))
    said = table["p"].to_numpy() >= cut
    point = {row["measure"]: row for row in rows_of(answer.table("operating_point"))}
    assert point["threshold"]["value"] == pytest.approx(cut, abs=0.01)
    assert point["recall"]["value"] == pytest.approx(recall_score(table["outcome"], said), abs=0.01)
    assert point["precision"]["value"] == pytest.approx(precision_score(table["outcome"], said), abs=0.01)
    assert point["recall"]["low"] < point["recall"]["value"] < point["recall"]["high"]
    groups = {row["shop"]: row for row in rows_of(answer.table("by_shop"))}
    for name, row in groups.items():
        mine = (table["shop"] == name).to_numpy()
        part = table.filter(pl.col("shop") == name)
        assert row["metric"] == pytest.approx(roc_auc_score(part["outcome"], part["p"]), abs=5e-3)
        assert row["recall"] == pytest.approx(recall_score(part["outcome"], said[mine]), abs=0.02)
        assert row["forecast_gap"] == pytest.approx((part["p"] - part["outcome"]).mean(), abs=1e-6)
    assert groups["a"]["metric"] == pytest.approx(groups["b"]["metric"], abs=0.06)
    assert groups["b"]["recall"] < 0.2 * groups["a"]["recall"]
    assert groups["b"]["forecast_gap"] < -0.1
    assert "under-forecast by" in answer.text()
    assert "acting on the top 20 %: recall" in answer.headline


def test_scores_are_held_against_what_came_true() -> None:
    table = frame()
    answer = read(table).quality(threshold=0.4)
    (parts,) = rows_of(answer.table("brier"))
    assert parts["brier"] == pytest.approx(brier_score_loss(table["outcome"], table["p"]), abs=1e-9)
    whole = parts["uncertainty"] - parts["resolution"] + parts["reliability"] + parts["within_groups"]
    assert whole == pytest.approx(parts["brier"], abs=1e-9)
    bands = rows_of(answer.table("reliability"))
    assert sum(band["rows"] for band in bands) == len(table)
    for band in bands[1:-1]:
        part = table.filter(pl.col("p").is_between(band["lowest_score"], band["highest_score"]))
        assert band["rate"] == pytest.approx(part["outcome"].mean(), abs=0.02)
    point = {row["measure"]: row["value"] for row in rows_of(answer.table("operating_point"))}
    assert point["recall"] == pytest.approx(recall_score(table["outcome"], table["p"] >= 0.4), abs=0.01)


def test_a_number_is_judged_by_its_errors_and_its_bias() -> None:
    rng = np.random.default_rng(5)
    shop = np.where(rng.random(3000) < 0.5, "a", "b")
    outcome = rng.normal(0.0, 3.0, 3000)
    prediction = outcome + rng.normal(0.0, 1.0, 3000) + np.where(shop == "b", 0.5, 0.0)
    model = Model("", task=Task.REGRESSION, cohorts=MODEL.cohorts)
    table = pl.DataFrame({"shop": shop, "prediction": prediction, "outcome": outcome})
    log = setpoint.read(table, model=model, prediction="prediction", outcome="outcome", inputs=["shop"])
    answer = log.quality(by="shop")
    groups = {row["shop"]: row for row in rows_of(answer.table("by_shop"))}
    assert groups["b"]["forecast_gap"] == pytest.approx(0.5, abs=0.1)
    assert groups["b"]["forecast_gap_low"] > 0.3
    assert groups["a"]["metric"] == pytest.approx(
        mean_squared_error(outcome[shop == "a"], prediction[shop == "a"]) ** 0.5
    )
    with pytest.raises(setpoint.UsageError, match="has no budget"):
        log.quality(budget=0.2)


def test_each_local_day_has_the_quality_of_its_rows() -> None:
    table = frame()
    model = Model("", cohorts=MODEL.cohorts, timezone="Asia/Kolkata")
    log = setpoint.read(table, model=model, time="ts", score="p", outcome="outcome", inputs=["shop"])
    answer = log.quality(by="day", budget=0.2)
    said = table["p"].to_numpy() >= float(np.quantile(table["p"], 0.8))
    local = table["ts"].dt.convert_time_zone("Asia/Kolkata").dt.strftime("%Y-%m-%d")
    found = rows_of(answer.table("by_day"))
    assert [row["day"] for row in found] == sorted(set(local))
    for row in found:
        mine = (local == row["day"]).to_numpy()
        part = table.filter(pl.Series(mine))
        assert row["predictions"] == part.height
        assert row["metric"] == pytest.approx(roc_auc_score(part["outcome"], part["p"]), abs=5e-3)
        assert row["metric_low"] < row["metric"] < row["metric_high"]
        assert row["recall"] == pytest.approx(recall_score(part["outcome"], said[mine]), abs=0.03)
    assert found[-1]["day"] in answer.text()


def test_rows_without_a_time_have_no_days() -> None:
    log = setpoint.read(frame().drop("ts"), model=MODEL, score="p", outcome="outcome", inputs=["shop"])
    for ask in (log.quality, log.cost):
        with pytest.raises(setpoint.UsageError, match="no time"):
            ask(by="day")


def test_what_cannot_be_is_refused_or_said() -> None:
    log = read(frame(400))
    with pytest.raises(setpoint.UsageError, match="between 0 and 1, got 20"):
        log.quality(budget=20)
    with pytest.raises(setpoint.UsageError, match="two cuts"):
        log.quality(budget=0.2, threshold=0.5)
    one = read(frame(400).with_columns(outcome=pl.lit(1))).quality(budget=0.2)
    assert any(unknown.startswith("auc: needs 10 more negative outcomes") for unknown in one.unknowns)
    assert one.verdict is setpoint.Verdict.UNKNOWN, "what is shown first is unknown"
    assert rows_of(one.table("brier")) == []
    assert not any("Brier" in line for line in one.because)
    empty = log.quality(over="2020-01-01..2020-01-02")
    assert empty.headline == "cannot say: no prediction in this window"
    bare = frame(400).rename({"p": "prediction"}).with_columns(prediction=(pl.col("prediction") > 0.5).cast(pl.Int8))
    found = setpoint.read(bare, model=MODEL, time="ts", prediction="prediction", outcome="outcome", inputs=["shop"])
    decided = found.quality(budget=0.2)
    assert rows_of(decided.table("operating_point")) == []
    assert decided.headline.startswith("accuracy 0.")
    assert decided.verdict is setpoint.Verdict.OK


@pytest.mark.parametrize(
    ("cohort", "words"),
    [
        (Cohort("c", where="shop = 'z'"), "cohort c: no prediction of this window meets `shop = 'z'`"),
        (
            Cohort("c", by="shop", mapping=(("z", "last"),)),
            "no prediction of this window has one of the 1 values it maps",
        ),
        (Cohort("c", by="empty"), "cohort c: no prediction of this window has a value of it"),
        (Cohort("c", where="shop = 'b'"), ""),
        (Cohort("c", by="shop"), ""),
    ],
)
def test_a_cohort_that_never_occurs_is_said(cohort: Cohort, words: str) -> None:
    table = frame(400).with_columns(empty=pl.lit(None, pl.String))
    model = Model("", cohorts=(cohort,))
    log = setpoint.read(table, model=model, time="ts", score="p", outcome="outcome", inputs=["shop", "empty"])
    for answer in (log.quality(by="c"), log.status(by="c")):
        said = [unknown for unknown in answer.unknowns if unknown.startswith("cohort c")]
        assert [words in one for one in said] == [True] * bool(words)


def test_status_of_a_model_that_only_decides_is_held_against_its_accuracy() -> None:
    rng = np.random.default_rng(4)
    outcomes = rng.integers(0, 2, 4000)
    said = np.where(rng.random(4000) < 0.8, outcomes, 1 - outcomes)
    times = pl.Series(START + np.arange(4000) * 900_000_000).cast(pl.Datetime("us", "UTC"))
    answer = setpoint.read(pl.DataFrame({"ts": times, "x": 1.0, "prediction": said, "outcome": outcomes})).status()
    assert answer.verdict is setpoint.Verdict.OK
    assert "working as expected: accuracy 0." in answer.headline
