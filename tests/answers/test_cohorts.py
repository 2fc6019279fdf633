"""Who is under-served: the answer in words, from a frame and through a store."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests import commands

import setpoint
from setpoint.answers.cohorts import COHORT_COLUMNS, TOO_SMALL_COLUMNS
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.errors import UsageError
from setpoint.core.model import Cohort, Model, Success, Task
from setpoint.core.verdict import Verdict
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.spool import Spool

START = 1_767_225_600_000_000  # 2026-01-01
ROWS = 8000


def frame(rows: int = ROWS, *, blind: str = "it", seed: int = 1) -> pl.DataFrame:
    """Return two weeks of scores that are honest, but for one country in which the model sees nothing coming."""
    rng = np.random.default_rng(seed)
    country = rng.choice(["de", "fr", "it", "es", "pl"], rows)
    truth = rng.beta(1.5, 3.0, rows)
    return pl.DataFrame(
        {
            "id": [f"{n:08d}" for n in range(rows)],
            "ts": START + np.arange(rows) * (14 * DAY // rows),
            "country": country,
            "size": rng.choice(list("abc"), rows),
            "score": np.where(country == blind, truth * 0.3, truth),
            "outcome": (rng.random(rows) < truth).astype(np.int64),
        }
    ).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))


def read(table: pl.DataFrame, **options: object) -> setpoint.Log:
    return setpoint.read(table, prediction_id="id", **{"cohorts": ["country"], **options})  # pyright: ignore[reportArgumentType] — options of read


def recorded(folder: Path, table: pl.DataFrame, *, keep: float = 1.0) -> Path:
    layout = Layout.create(folder / "store", replay_now=START)
    layout.declare(Model("m", cohorts=(Cohort("country", by="country"),), keep=keep, success=Success(threshold=0.5)))
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    recorder = Recorder(layout, "m", version="v1", spool=Spool(layout))
    for row in table.with_columns(pl.col("ts").cast(pl.Int64)).to_dicts():
        inputs = {name: row[name] for name in ("country", "size")}
        name = recorder.record(inputs, score=row["score"], prediction_id=row["id"], predicted_at=row["ts"])
        if row["ts"] % 7 == 0:  # of no concern to the caller
            recorder.record(
                inputs, score=0.0, role="shadow", parent_id=name, root_id=name, predicted_at=row["ts"], version="v2"
            )
        clock.set(max(clock.now(), row["ts"]))
        recorder.outcome(bool(row["outcome"]), prediction_id=name, observed_at=row["ts"] + HOUR)
    recorder.close()
    clock.set(START + 15 * DAY)
    clock.save()
    return layout.root


def rows_of(answer: setpoint.Answer, table: str = "cohorts") -> list[dict[str, object]]:
    found = answer.table(table)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_the_first_line_says_who_by_how_much_and_when(tmp_path: Path) -> None:
    table = frame()
    answers = [read(table).cohorts(budget=0.2), setpoint.open(recorded(tmp_path, table)).cohorts("m", budget=0.2)]
    for answer in answers:
        assert answer.verdict is Verdict.WARNING
        assert answer.exit_code == 0
        first = rows_of(answer)[0]
        inside = table.filter(pl.col("country") == "it")
        cut = table["score"].quantile(0.8)
        missed = ((inside["score"] < cut) & (inside["outcome"] == 1)).sum()
        assert (first["cohort"], first["criterion"], first["affected"]) == (
            "country=it",
            "recall",
            pytest.approx(missed, abs=2),
        )
        assert first["rows"] == len(inside)
        assert f"country=it is under-served: recall {first['value']:.3f} [{first['low']:.3f}, " in answer.headline
        assert " when acting on the top 20.0 %, " in answer.headline
        assert "positives missed, under-forecast by 0." in answer.headline
        words = answer.text()
        assert "outcomes have arrived for 100.0 %" in words
        assert "assumes that predictions are independent" in words
        assert answer.table("cohorts").columns == COHORT_COLUMNS
        assert answer.table("too_small").columns == TOO_SMALL_COLUMNS
        assert {row["verdict"] for row in rows_of(answer)} == {"warning"}
    for row, same in zip(*map(rows_of, answers), strict=True):
        assert row == pytest.approx(same)


def test_kept_states_change_nothing_and_neither_does_asking_twice(tmp_path: Path) -> None:
    store = recorded(tmp_path, frame(4000))
    before = setpoint.open(store).cohorts("m")
    tick(Layout.open(store))
    log = setpoint.open(store)
    for _ in range(2):
        after = log.cohorts("m")
        assert after.text() == before.text()
        for row, same in zip(rows_of(after), rows_of(before), strict=True):
            assert row == pytest.approx(same)  # another order of rows, other last digits


def test_sampled_rows_stand_for_all(tmp_path: Path) -> None:
    answer = setpoint.open(recorded(tmp_path, frame(), keep=0.5)).cohorts("m", budget=0.2)
    first = rows_of(answer)[0]
    assert first["cohort"] == "country=it"
    assert first["rows"] == pytest.approx(ROWS / 10, rel=0.15)
    assert first["affected"] == pytest.approx(rows_of(read(frame()).cohorts(budget=0.2))[0]["affected"], rel=0.15)


def test_where_nothing_is_wrong_no_cohort_is_named() -> None:
    answer = read(frame(blind="nowhere")).cohorts(budget=0.2)
    assert answer.verdict is Verdict.OK
    assert answer.headline == "no cohort is found to be under-served"
    assert answer.table("cohorts").rows == []


def test_without_a_budget_the_model_itself_decides_who_is_acted_on() -> None:
    table = frame()
    answer = read(table).cohorts()
    assert "when acting where the model says yes, " in answer.headline
    low = [row for row in rows_of(answer) if row["cohort"] == "country=it" and row["criterion"] == "recall"]
    assert low[0]["value"] == 0.0  # no score there is above a half
    never = table.with_columns(score=pl.col("score") * 0.4)
    words = read(never, score="score").cohorts().unknowns
    assert "recall: the model says the same to all of them: name a budget" in words


@pytest.mark.parametrize("outcome", [0, 1])
def test_one_class_only_is_no_verdict(outcome: int) -> None:
    answer = read(frame(2000).with_columns(outcome=pl.lit(outcome))).cohorts(budget=0.2)
    assert (answer.verdict, answer.exit_code) == (Verdict.UNKNOWN, 3)
    kind = "positive" if outcome else "negative"
    assert answer.headline == f"cannot say who is under-served: all 2,000 outcomes that have arrived are {kind}"


def test_a_few_rows_are_no_verdict() -> None:
    answer = read(frame(100)).cohorts(budget=0.2)
    assert answer.verdict is Verdict.UNKNOWN
    assert answer.headline == "cannot say who is under-served: every cohort has too few outcomes"
    assert rows_of(answer, "too_small")[0]["verdict"] == "unknown"
    assert any("in the smaller half, needs 30" in line for line in answer.unknowns)


def test_outcomes_that_cannot_be_read_are_said() -> None:
    table = frame(2000).with_columns(
        outcome=pl.when(pl.col("outcome") == 1).then(pl.lit("ja")).otherwise(pl.lit("nein"))
    )
    answer = read(table, outcome="outcome").cohorts(budget=0.2)
    assert answer.verdict is Verdict.UNKNOWN
    assert "2,000 outcomes are neither yes nor no" in answer.headline


@pytest.mark.parametrize("budget", [0.0, 1.0, -1.0, float("nan"), 20.0])
def test_a_budget_is_a_share(budget: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        read(frame(200)).cohorts(budget=budget)


def test_a_regression_has_no_budget() -> None:
    rng = random.Random(1)
    plans = [rng.choice("uvw") for _ in range(4000)]
    outcomes = [rng.gauss(10, 4 if plan == "u" else 1) for plan in plans]
    table = pl.DataFrame({"plan": plans, "prediction": [10.0] * 4000, "outcome": outcomes})
    log = setpoint.read(table, model=Model("m", task=Task.REGRESSION, cohorts=(Cohort("plan", by="plan"),)))
    with pytest.raises(UsageError, match="no budget"):
        log.cohorts(budget=0.2)
    answer = log.cohorts()
    assert answer.headline.startswith("m: plan=u is under-served: mean absolute error ")
    assert "the predictions have no times: all of them are one window" in answer.text()


def test_an_empty_window_is_silent_and_as_of_counts(tmp_path: Path) -> None:
    log = setpoint.open(recorded(tmp_path, frame(4000)))
    empty = log.cohorts("m", over="2025-01-01..2025-02-01")
    assert (empty.verdict, empty.exit_code) == (Verdict.UNKNOWN, 4)
    assert "there is no prediction in this window" in empty.headline
    early = log.cohorts("m", as_of="2026-01-08")
    assert "2,000 predictions" in early.because[1]


def test_the_command_prints_the_same_answer(tmp_path: Path) -> None:
    store = recorded(tmp_path, frame(4000))
    command = ("cohorts", "m", "--store", str(store))
    done = commands.setpoint(*command, "--budget", "0.2", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    answer = setpoint.open(store).cohorts("m", budget=0.2)
    assert printed["headline"] == answer.headline
    for row, same in zip(printed["tables"]["cohorts"], rows_of(answer), strict=True):
        assert row == pytest.approx(same)
    assert printed["question"] == "cohorts"
    wrong = commands.setpoint(*command, "--budget", "20", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "a budget is a share of the predictions" in wrong.stderr
