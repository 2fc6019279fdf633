"""Why a metric changed: the same answer from files, rows and states, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.answers.replayed import replay, rows_of
from tests.feedback.test_mixture import START, Shop, table

import setpoint
from setpoint.control.loop import tick
from setpoint.core.clock import DAY
from setpoint.core.model import Cohort, Model, OutcomeKind, Task
from setpoint.store.layout import Layout

SHOPS = {"a": Shop((0.8, 0.2), (0.9, 0.95)), "b": Shop((0.2, 0.8), (0.6, 0.66))}
MODEL = Model(
    "m", cohorts=(Cohort("shop", by="shop"),), outcomes=(OutcomeKind("final"), OutcomeKind("complaint", final=False))
)
WINDOWS = {"reference": "2026-01-01..2026-01-11", "current": "2026-01-11..2026-01-21"}


def recorded(folder: Path, frame: pl.DataFrame) -> setpoint.Log:
    with replay(folder, MODEL, START, START + 20 * DAY) as (recorder, clock):
        for n, row in enumerate(frame.with_columns(pl.col("ts").cast(pl.Int64)).sort("ts").to_dicts()):
            clock.set(row["ts"])
            recorder.record({"shop": row["shop"]}, score=row["p"], prediction_id=f"p{n}", version="v1")
            recorder.outcome(row["outcome"], prediction_id=f"p{n}")
            if row["shop"] == "b" and n % 10 == 0:
                recorder.outcome(1, prediction_id=f"p{n}", kind="complaint")
    return setpoint.open(folder / "store")


def assert_close(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert (pytest.approx(other[name], abs=1e-9) if isinstance(value, float) else other[name]) == value


def test_files_rows_and_states_say_the_same(tmp_path: Path) -> None:
    frame = table(SHOPS)
    log = recorded(tmp_path, frame)
    of_rows = log.why("m", "accuracy", **WINDOWS)
    tick(Layout.open(tmp_path / "store"))
    of_states = log.why("m", "accuracy", **WINDOWS)
    read = setpoint.read(frame, model=MODEL, time="ts", score="p", outcome="outcome", inputs=["shop"])
    of_file = read.why("m", "accuracy", **WINDOWS)
    for name in ("dimensions", "groups", "skill"):
        assert_close(rows_of(of_states.table(name)), rows_of(of_rows.table(name)))
    assert_close(rows_of(of_file.table("dimensions")), rows_of(of_rows.table("dimensions")))
    assert of_rows.headline.endswith("Simpson's reversal: it fell as a whole and rose in every shop")
    assert "accuracy fell by 0." in of_rows.headline
    (shop,) = [row for row in rows_of(of_rows.table("dimensions")) if row["dimension"] == "shop"]
    assert shop["mix"] + shop["within"] == pytest.approx(shop["total"])


def test_the_rate_of_a_proxy_is_split_too(tmp_path: Path) -> None:
    answer = recorded(tmp_path, table(SHOPS)).why("m", "complaint_rate", **WINDOWS)
    (row,) = [row for row in rows_of(answer.table("dimensions")) if row["dimension"] == "shop"]
    assert row["mix"] == pytest.approx(0.06, abs=0.01)  # complaints are a tenth of those in b, and b grew by .6
    assert "complaint_rate rose by" in answer.headline
    assert " points, " in answer.headline  # a rate of 10 % that rises by 2 points is at 12 %


def test_skill_says_whether_it_is_the_weather() -> None:
    n = pl.int_range(4000, eager=True)
    at = START + n * (20 * DAY // 4000)
    storm = (at >= START + 10 * DAY).cast(pl.Float64) * 2.0 + 1.0
    wave, noise = (n * 37 % 101) / 101 - 0.5, (n * 53 % 89) / 89 - 0.5
    frame = pl.DataFrame(
        {"ts": at.cast(pl.Datetime("us", "UTC")), "prediction": storm * wave, "outcome": storm * (wave + noise / 2)}
    )
    model = Model("", task=Task.REGRESSION)
    log = setpoint.read(frame, model=model, time="ts", prediction="prediction", outcome="outcome")
    answer = log.why("", "rmse", **WINDOWS)
    assert "rmse rose by" in answer.headline
    assert "no version, endpoint or cohort tells its rows apart" in answer.headline
    own = rows_of(answer.table("skill"))[0]
    assert own["before"] == pytest.approx(own["after"], abs=0.01)


def test_a_version_is_held_against_the_one_before_it_that_runs_on_as_a_shadow(tmp_path: Path) -> None:
    at = [START + n * (20 * DAY // 3000) for n in range(3000)]
    losses: dict[str, list[float]] = {"v1": [], "v2": []}
    with replay(tmp_path, MODEL, START, START + 20 * DAY) as (recorder, clock):
        for n, moment in enumerate(at):
            clock.set(moment)
            outcome = int(n * 37 % 101 < 40)
            scores = {
                "v1": 0.4 + (0.2 if outcome else -0.1) * (n % 7) / 3,
                "v2": 0.4 + 0.1 * (n % 7) * (1 if outcome else -0.5),
            }
            is_new = moment >= START + 10 * DAY
            name = recorder.record(
                {"shop": "a"}, score=scores["v2" if is_new else "v1"], version="v2" if is_new else "v1"
            )
            recorder.outcome(outcome, prediction_id=name)
            if is_new:
                recorder.record(
                    {"shop": "a"}, score=scores["v1"], version="v1", role="shadow", parent_id=name, root_id=name
                )
                for who, score in scores.items():
                    losses[who].append((score - outcome) ** 2)
    log = setpoint.open(tmp_path / "store")
    for ask in (lambda: None, lambda: tick(Layout.open(tmp_path / "store"))):
        ask()
        last = rows_of(log.why("m", "brier", **WINDOWS).table("skill"))[-1]
        assert last["baseline"] == "version v1, in the same hours"
        assert last["after"] == pytest.approx(1.0 - sum(losses["v2"]) / sum(losses["v1"]))
        assert last["after_low"] < last["after"] < last["after_high"]
        assert last["before"] is None


def test_versions_that_never_ran_together_are_not_held_against_each_other() -> None:
    frame = table(SHOPS, rows=2000).with_columns(
        version=pl.when(pl.col("ts").cast(pl.Int64) < START + 10 * DAY).then(pl.lit("v1")).otherwise(pl.lit("v2"))
    )
    log = setpoint.read(frame, model=MODEL, time="ts", score="p", outcome="outcome", version="version", inputs=["shop"])
    last = rows_of(log.why("m", "auc", **WINDOWS).table("skill"))[-1]
    assert last["after"] is None
    assert last["unknown"] == "v1 and v2 predicted in no hour both: let v1 run on as a shadow"


def test_classes_have_skill_too() -> None:
    came = [("a", "a", "b", "c", "a", "b")[n % 6] for n in range(3000)]
    frame = pl.DataFrame(
        {
            "ts": [START + n * (20 * DAY // 3000) for n in range(3000)],
            "scores": [{k: 0.8 if k == ("a" if n % 5 == 0 else y) else 0.1 for k in "abc"} for n, y in enumerate(came)],
            "outcome": came,
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC")},
    )
    log = setpoint.read(frame, model=Model("", task=Task.MULTICLASS), time="ts", scores="scores", outcome="outcome")
    own, before = rows_of(log.why("", "accuracy", **WINDOWS).table("skill"))
    wrong = sum(n % 5 == 0 and came[n] != "a" for n in range(1500, 3000)) / 1500
    loss = wrong * (0.8**2 + 0.9**2 + 0.1**2) + (1.0 - wrong) * (0.2**2 + 2 * 0.1**2)
    assert own["after"] == pytest.approx(1.0 - loss / (1.0 - (1 / 4 + 1 / 9 + 1 / 36)), abs=1e-6)
    assert before["after"] == pytest.approx(own["after"], abs=1e-6)  # the classes come as often as before


def test_what_cannot_be_told_is_said(tmp_path: Path) -> None:
    log = recorded(tmp_path, table(SHOPS, rows=400))
    with pytest.raises(setpoint.UsageError, match="no metric is called 'acuracy'") as refused:
        log.why("m", "acuracy")
    assert "complaint_rate" in (refused.value.hint or "")
    empty = log.why("m", "auc", reference="2025-01-01..2025-01-02", current="2026-01-11..2026-01-21")
    assert empty.headline == "m: cannot say: there are no predictions in one of the windows"
    assert empty.exit_code == 3
    short = log.why("m", "accuracy", reference="2026-01-01..2026-01-03", current="2026-01-11..2026-01-13")
    assert short.unknowns == ("how sure this is: an interval needs 5 blocks of rows in each window",)
    with pytest.raises(setpoint.UsageError, match="no times"):
        setpoint.read(table(SHOPS, rows=400).drop("ts"), score="p", outcome="outcome").why("", "auc")
