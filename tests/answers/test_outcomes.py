"""How complete outcomes are: the numbers are those of the rows, from files, rows and states alike."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.answers.replayed import replay, rows_of

import setpoint
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.model import Cohort, Model, OutcomeKind, Silence, Success, Task
from setpoint.store.layout import Layout

START = 1_767_225_600_000_000  # 2026-01-01
PER_DAY, DAYS = 200, 10
KINDS = (
    OutcomeKind("paid", source="the ledger"),
    OutcomeKind("complaint", final=False, source="support desk", selection="customers who wrote in"),
)


def made(seed: int = 1) -> list[dict[str, Any]]:
    """Return rows of ten days whose outcomes come after half a day, from Italy after a day and a half; 8 % never do."""
    rng = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for n in range(PER_DAY * DAYS):
        at = START + n * DAY // PER_DAY
        country = rng.choice(["de", "fr", "it"])
        score = rng.random()
        late = round(rng.expovariate(1.0) * (36 if country == "it" else 12) * HOUR)
        never = rng.random() < 0.08
        rows.append(
            {
                "prediction_id": f"p{n}",
                "at": at,
                "country": country,
                "score": score,
                "outcome": None if never else int(rng.random() < score),
                "observed_at": None if never else at + late,
                "complaint": rng.random() < 0.05,
            }
        )
    return rows


def recorded(folder: Path, rows: list[dict[str, Any]], model: Model) -> setpoint.Log:
    now = START + DAYS * DAY
    with replay(folder, model, START, now) as (recorder, clock):
        events: list[tuple[int, str, dict[str, Any]]] = [(row["at"], "predict", row) for row in rows]
        events += [(row["observed_at"], "paid", row) for row in rows if row["outcome"] is not None]
        events += [(row["at"] + HOUR, "complaint", row) for row in rows if row["complaint"]]
        for at, act, row in sorted(events, key=lambda event: (event[0], event[1] != "predict")):
            if at >= now:
                break
            clock.set(at)
            if act == "predict":
                version = "v2" if at >= START + 9 * DAY else "v1"
                recorder.record(
                    {"country": row["country"]}, score=row["score"], prediction_id=row["prediction_id"], version=version
                )
            elif act == "paid":
                recorder.outcome(row["outcome"], prediction_id=row["prediction_id"])
            else:
                recorder.outcome(1, prediction_id=row["prediction_id"], kind="complaint")
    return setpoint.open(folder / "store")


@pytest.mark.parametrize("source", ["rows", "states"])
def test_days_kinds_and_delays_are_those_of_the_rows(tmp_path: Path, source: str) -> None:
    rows = made()
    log = recorded(tmp_path, rows, Model("m", outcomes=KINDS, cohorts=(Cohort("country", by="country"),)))
    if source == "states":
        tick(Layout.open(tmp_path / "store"))
    now = START + DAYS * DAY
    answer = log.outcomes("m", by="country")
    came = [row for row in rows if row["observed_at"] is not None and row["observed_at"] < now]
    assert f"outcomes have arrived for {len(came) / len(rows):.1%}".replace("%", " %") in answer.headline

    days = rows_of(answer.table("days"))
    assert [day["day"] for day in days] == [f"2026-01-{n:02d}" for n in range(1, 11)]
    for n, day in enumerate(days):
        start = START + n * DAY
        mine = [row for row in came if start <= row["at"] < start + DAY]
        assert day["predictions"] == PER_DAY
        assert day["arrived_ratio"] == pytest.approx(len(mine) / PER_DAY)
    assert days[0]["complete_ratio"] > 0.99
    assert 0.2 < days[-1]["complete_ratio"] < 0.6
    assert days[-1]["complete_at"] > days[-2]["complete_at"]

    kinds = {row["kind"]: row for row in rows_of(answer.table("kinds"))}
    yes = sum(row["outcome"] for row in came)
    assert kinds["paid"]["rate"] == pytest.approx(yes / len(came))
    complaints = sum(row["complaint"] and row["at"] + HOUR < now for row in rows)
    assert kinds["complaint"]["rate"] == pytest.approx(complaints / len(rows))
    assert kinds["complaint"]["low"] < kinds["complaint"]["rate"] < kinds["complaint"]["high"]
    assert kinds["complaint"]["selection"] == "customers who wrote in"
    assert "customers who wrote in" in answer.text()

    groups = rows_of(answer.table("by_country"))
    assert groups[0]["country"] == "it"  # the slowest first
    for group, mean in zip(groups, (36, 12, 12), strict=True):
        expected = mean * 3600 * 2.302585  # nine tenths of an exponential
        assert group["complete_low_seconds"] < expected * 1.2
        assert group["complete_high_seconds"] is None or group["complete_high_seconds"] > expected * 0.8
        assert group["complete_seconds"] == pytest.approx(expected, rel=0.3)


def test_a_file_with_times_of_its_outcomes_answers_as_well() -> None:
    table = pl.DataFrame(made()).with_columns(
        pl.col("at", "observed_at").cast(pl.Datetime("us", "UTC")), country=pl.col("country")
    )
    answer = setpoint.read(table, time="at", observed_at="observed_at", outcome="outcome", score="score").outcomes()
    assert "90 % of those that come are there within" in answer.headline
    without = setpoint.read(table.drop("observed_at"), time="at", outcome="outcome", score="score").outcomes()
    assert without.unknowns == ("how long outcomes take: the outcomes have no times",)


def test_silence_that_is_an_outcome_arrives_when_it_is_ripe(tmp_path: Path) -> None:
    model = Model("m", outcomes=KINDS, outcome_if_silent=Silence(0.0, 2 * DAY), outcome_horizon=2 * DAY)
    answer = recorded(tmp_path, [{**row, "outcome": None, "observed_at": None} for row in made()], model).outcomes("m")
    days = rows_of(answer.table("days"))
    assert [day["arrived_ratio"] for day in days] == [*[1.0] * 8, 1 / PER_DAY, 0.0]


def test_too_few_outcomes_or_none_are_said(tmp_path: Path) -> None:
    few = [{**row, "outcome": row["outcome"] if n < 9 else None} for n, row in enumerate(made())]
    log = recorded(tmp_path, few, Model("m", outcomes=KINDS))
    answer = log.outcomes("m")
    assert answer.unknowns[0].startswith("how long outcomes take: needs 2")
    empty = log.outcomes("m", over="2025-01-01..2025-01-02")
    assert empty.headline == "m: cannot say: no prediction in this window"
    assert empty.exit_code == 4


def test_windows_are_compared_at_equal_outcome_age(tmp_path: Path) -> None:
    """Yes is known within hours, half of the noes after two days: as it came, a young window has another rate."""
    rows = made()
    for row in rows:
        rng = random.Random(row["prediction_id"])
        is_yes = int(rng.random() < row["score"])
        is_quick = is_yes or rng.random() < 0.5
        row |= {"outcome": is_yes, "observed_at": row["at"] + (2 * HOUR if is_quick else 2 * DAY)}
    log = recorded(tmp_path, rows, Model("m", outcomes=KINDS, cohorts=(Cohort("country", by="country"),)))
    table = log.status("m", over="2026-01-08..2026-01-11", by="version").table("by_version")
    found = {row["version"]: row for row in rows_of(table)}
    assert found["v1"]["outcome_share"] > found["v2"]["outcome_share"] + 0.02
    assert found["v1"]["outcome_age_seconds"] == found["v2"]["outcome_age_seconds"] == 86_400
    old = [row for row in rows if START + 7 * DAY <= row["at"] < START + 9 * DAY]
    assert found["v1"]["rows"] == sum(row["observed_at"] - row["at"] <= DAY for row in old)
    assert found["v2"]["rows"] == 0  # none of it is a day old
    assert found["v2"]["value"] is None
    settled = log.status("m", over="2026-01-03..2026-01-05", by="version").table("by_version")
    assert rows_of(settled)[0]["outcome_age_seconds"] is None
    bars = [row["expected"] for row in rows_of(log.status("m", over="2026-01-08..2026-01-11").table("metrics"))]
    (bar,) = [bar for bar in bars if bar]
    assert "with outcomes of 1 d, before" in bar


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (Task.REGRESSION, "unknown: a number says neither yes nor no"),
        (Task.MULTICLASS, "answered right"),
        (Task.GENERATION, "good enough"),
    ],
)
def test_a_final_outcome_that_is_no_yes_or_no_is_not_said_to_be_one(task: Task, words: str) -> None:
    start = 1_767_225_600_000_000
    table = pl.DataFrame({"ts": [start + n * 3_600_000_000 for n in range(60)]}).with_columns(
        pl.from_epoch("ts", time_unit="us"), prediction=pl.lit(4.0), outcome=pl.Series([n % 6.0 for n in range(60)])
    )
    if task is Task.MULTICLASS:
        table = table.with_columns(pl.lit("a").alias("prediction"), outcome=pl.Series(["a", "b"] * 30))
    model = Model("", task=task, success=Success(at_least=4.0) if task is Task.GENERATION else Success())
    log = setpoint.read(table, model=model, time="ts", prediction="prediction", outcome="outcome", inputs=[])
    table_of_kinds = log.outcomes().table("kinds")
    assert words in table_of_kinds.lines[0][1]
    if task is Task.REGRESSION:
        assert table_of_kinds.rows[0][2] is None
        with pytest.raises(setpoint.UsageError, match="no metric is called 'final_rate'"):
            log.why("", "final_rate", reference="2026-01-01..2026-01-02", current="2026-01-02..2026-01-03")
