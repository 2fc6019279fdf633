"""`setpoint evaluate`: planted leaks are found, clean splits of real data are clean, and odd files give words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, cast

import joblib
import numpy as np
import polars as pl
import pytest
from bench.leakage import CLEAN, CLEAN_FILES, DATA, FLIGHTS, PLANTED, findings, flights, parts
from sklearn.linear_model import LogisticRegression
from tests import commands

import setpoint
from setpoint.core.errors import ColumnError, EmptyFile, UsageError
from setpoint.core.model import Cohort, Expectation, Model, Success, Task
from setpoint.core.verdict import Verdict
from setpoint.project.keeping import import_file
from setpoint.store.layout import Layout

FOUND = {name: planted for name, planted in PLANTED.items() if planted.code}
LEFT_OUT = PLANTED.keys() - FOUND.keys()
FORBIDDEN = re.compile(r"\b(ship|deploy|good to go|release|promote|ready)", re.IGNORECASE)


@pytest.mark.parametrize("name", FOUND)
def test_a_planted_leak_is_found_by_its_name_and_nothing_else_is(name: str) -> None:
    planted = FOUND[name]
    leaks = findings(planted.make(flights()), {**FLIGHTS, **planted.asked})
    assert [(leak["code"], leak["subject"]) for leak in leaks] == [(planted.code, planted.subject)]
    assert leaks[0]["severity"] in {"breach", "warning"}
    assert len(leaks[0]["said"].split()) > 12
    assert json.loads(leaks[0]["evidence"]) is not None


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_what_is_known_to_be_missed_is_still_missed(name: str) -> None:
    # Documented in docs/how-to/evaluate-before-shipping.md: whoever finds it changes the page too.
    assert findings(PLANTED[name].make(flights()), FLIGHTS) == []


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_split_of_real_data_has_no_finding(name: str) -> None:
    make, asked = CLEAN[name]
    assert findings(make(), asked) == []


@pytest.mark.skipif(not DATA.exists(), reason="the e-mails and questions are not on this machine")
@pytest.mark.parametrize("name", CLEAN_FILES)
def test_a_clean_split_of_real_texts_has_no_finding(name: str) -> None:
    make, asked = CLEAN_FILES[name]
    assert findings(make(), asked) == []


def made(start: int, rows: int = 400, seed: int = 1) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    plan = random.choice(["basic", "plus"], rows)
    return pl.DataFrame(
        {
            "order_id": [f"{seed}-{n}" for n in range(rows)],
            "at": [1_767_225_600 + start * 86_400 + n * 60 for n in range(rows)],
            "x": x,
            "noise": random.normal(size=rows),
            "plan": plan,
            "bad": (random.random(rows) < 1 / (1 + np.exp(-x))).astype(int),
        }
    )


ASKED = {"outcome": "bad", "time": "at"}


def evaluated(test: pl.DataFrame, train: pl.DataFrame | None = None, **more: object) -> setpoint.Answer:
    asked = cast("dict[str, Any]", {**ASKED, **more})
    return setpoint.evaluate(test, train=made(0) if train is None else train, **asked)


def test_a_good_result_is_a_sanity_check_and_no_permission() -> None:
    answer = evaluated(made(10, seed=2))
    assert answer.verdict is Verdict.OK
    assert answer.headline == "sanity check: no leak found in 3 inputs and 400 test rows; quality unknown"
    assert not FORBIDDEN.search(answer.text())
    assert [table.name for table in answer.tables] == ["leaks", "coverage", "quality", "past", "inputs"]


def test_no_answer_ever_says_ship() -> None:
    for planted in list(FOUND.values())[:3]:
        train, test = planted.make(flights())
        asked = cast("dict[str, Any]", {**FLIGHTS, **planted.asked})
        text = setpoint.evaluate(test, train=train, **asked).text()
        assert text[2:].startswith("sanity check: ")
        assert not FORBIDDEN.search(text)


def test_scores_in_the_set_give_its_quality_with_the_interval() -> None:
    test = made(10, rows=900, seed=2).with_columns(score=1 / (1 + (-pl.col("x")).exp()))
    answer = evaluated(test, score="score")
    assert re.search(r"; auc 0\.\d+ \[0\.\d+, 0\.\d+\]$", answer.headline)
    quality = answer.table("quality").rows
    assert quality[0][0] == "auc"
    assert "no bar is declared for auc" in answer.text()


def test_a_fitted_model_answers_for_the_set(tmp_path: Path) -> None:
    train, test = made(0), made(10, seed=2)
    model = LogisticRegression().fit(train.select("x", "noise").to_pandas(), train["bad"].to_numpy())
    joblib.dump(model, tmp_path / "model.joblib")
    answer = evaluated(test, train, estimator=tmp_path / "model.joblib")
    (auc,) = [row for row in answer.table("quality").rows if row[0] == "auc"]
    assert 0.65 < float(auc[1] or 0.0) < 0.85
    with pytest.raises(ColumnError, match="the model's input noise"):
        evaluated(test.drop("noise"), train, estimator=tmp_path / "model.joblib")


def test_an_input_that_is_proven_to_be_early_may_be_strong() -> None:
    train, test = made(0), made(10, seed=2)
    strong = [
        side.with_columns(amount=pl.col("bad") + pl.col("noise") * 0.2, seen=pl.col("at") - 60)
        for side in (train, test)
    ]
    suspicious = evaluated(strong[1].drop("seen"), strong[0].drop("seen"))
    assert [row[2] for row in suspicious.table("leaks").rows] == ["amount"]
    cleared = evaluated(strong[1], strong[0], observed={"amount": "seen"})
    assert cleared.table("leaks").rows == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bad": pl.lit(1)}, "all test rows have the same outcome"),
        ({"bad": pl.lit(None, pl.Int64)}, "0 test rows have an outcome, needs 50"),
        ({"at": pl.lit(None, pl.Int64)}, "whether test rows are later than training rows"),
    ],
)
def test_what_cannot_be_judged_is_unknown_with_words(change: Mapping[str, pl.Expr], words: str) -> None:
    answer = evaluated(made(10, seed=2).with_columns(**change))
    assert answer.verdict is Verdict.UNKNOWN
    assert answer.exit_code == 3
    assert words in answer.headline


def test_an_input_without_values_is_unknown_and_the_others_are_judged() -> None:
    answer = evaluated(made(10, seed=2).with_columns(noise=pl.lit(None, pl.Float64)))
    assert "2 inputs" in answer.headline
    assert "what noise gives away: no value in one of the files" in answer.unknowns
    assert evaluated(made(10, seed=2), made(0).with_columns(noise=pl.lit(None, pl.Float64))).verdict is Verdict.OK


def test_a_set_without_times_is_unknown_unless_there_are_none() -> None:
    train, test = made(0).drop("at"), made(10, seed=2).drop("at")
    assert setpoint.evaluate(test, train=train, outcome="bad").verdict is Verdict.UNKNOWN
    assert setpoint.evaluate(test, train=train, outcome="bad", time="").verdict is Verdict.OK


def test_a_column_that_changed_its_type_is_compared_as_text() -> None:
    answer = evaluated(made(10, seed=2).with_columns(noise=pl.lit("n") + pl.col("noise").cast(pl.String)))
    assert any("noise is DOUBLE" in line and "compared as text" in line for line in answer.because)


def test_numbers_as_outcomes_are_judged_too() -> None:
    train, test = (side.with_columns(minutes=pl.col("x") + pl.col("noise")) for side in (made(0), made(10, seed=2)))
    clean = setpoint.evaluate(test, train=train, outcome="minutes", time="at")
    assert clean.table("leaks").rows == []
    leaks = [side.with_columns(copy=pl.col("minutes") * 2 + 1) for side in (train, test)]
    found = setpoint.evaluate(leaks[1], train=leaks[0], outcome="minutes", time="at").table("leaks").rows
    assert [row[:3] for row in found] == [("outcome_in_input", "breach", "copy")]


@pytest.mark.parametrize("name", ["predicted", "prediction", "y_hat"])
def test_what_the_model_answered_is_no_input_and_its_quality_is_measured(name: str) -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(0.0, 10.0, 900)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    table = pl.DataFrame(
        {
            "at": [start + timedelta(hours=n) for n in range(900)],
            "size": truth + rng.normal(0.0, 20.0, 900),
            name: truth + rng.normal(0.0, 1.0, 900),
            "actual": truth,
        }
    )
    answer = setpoint.evaluate(table[600:], train=table[:600])
    assert answer.table("leaks").rows == []
    assert [row[0] for row in answer.table("inputs").rows] == ["size"]
    assert answer.table("quality").rows[0][:2] == ("rmse", pytest.approx(1.0, rel=0.15))
    asked = setpoint.evaluate(table[600:], train=table[:600], inputs=["size", name])
    assert [row[:3] for row in asked.table("leaks").rows] == [("outcome_in_input", "breach", name)]


def days(first: int, count: int) -> pl.DataFrame:
    """Return daily sales that follow the week, with what a calendar knows of tomorrow."""
    number = np.arange(first, first + count)
    week = np.array([5.0, 5, 5, 6, 9, 2, 1])
    sold = week[number % 7] + np.random.default_rng(first).normal(0, 0.5, count)
    return pl.DataFrame(
        {
            "at": (number * 86_400 + 1_600_000_000),
            "weekday": number % 7,
            "is_free_tomorrow": (number % 7 == 4).astype(int),
            "usual_tomorrow": week[(number + 1) % 7],
            "sold": sold,
        }
    )


def test_what_a_calendar_knows_of_tomorrow_is_no_leak_and_what_tomorrow_sold_is() -> None:
    train, test = days(0, 700), days(700, 200)
    asked: dict[str, Any] = {"outcome": "sold", "time": "at"}
    assert setpoint.evaluate(test, train=train, **asked).table("leaks").rows == []
    leaky = [side.with_columns(next=pl.col("sold").shift(-1).fill_null(5.0)) for side in (train, test)]
    found = setpoint.evaluate(leaky[1], train=leaky[0], **asked).table("leaks").rows
    assert [row[:3] for row in found] == [("knows_later_outcomes", "warning", "next")]


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"entities": ["tail"]}, ColumnError, "no column 'tail'"),
        ({"observed": {"amount": "at"}}, ColumnError, "'amount' is no input"),
        ({"outcome": "good"}, ColumnError, "no column 'good' for outcome"),
        ({"when": "at"}, UsageError, "no role is called 'when'"),
        ({"model": "orders"}, UsageError, "which store has 'orders'"),
        ({"tz": "Mars"}, UsageError, "no time zone is called 'Mars'"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_in_words(
    more: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        evaluated(made(10, seed=2), **more)


def test_files_that_do_not_fit_are_refused_in_words() -> None:
    with pytest.raises(EmptyFile, match="no rows"):
        evaluated(made(10).clear())
    with pytest.raises(ColumnError, match="no outcomes: no column 'bad'"):
        evaluated(made(10).drop("bad"))
    with pytest.raises(ColumnError, match="none of the inputs"):
        evaluated(made(10).select("order_id", "at", "bad"))
    with pytest.raises(UsageError, match="looks like an outcome"):
        setpoint.evaluate(made(10), train=made(0).drop("bad"), time="at")
    with pytest.raises(UsageError, match="no training rows"):
        setpoint.evaluate(made(10))


def live(folder: Path, quality: str) -> Path:
    """Record a month of production: a quarter of it, and nearly all money, is of a plan that sets have never seen."""
    layout = Layout.create(folder / "store")
    bar = Expectation("auc", at_least=0.6, source=quality)
    layout.declare(
        Model("orders", cohorts=(Cohort("plan", by="plan"), Cohort("far", where="x > 2")), expectations=(bar,))
    )
    table = pl.concat([made(20 + day, seed=day + 3) for day in range(21)]).with_columns(
        score=1 / (1 + (-pl.col("x") * 0.5 - pl.col("noise")).exp()),
        plan=pl.when(pl.col("noise") > 0.7).then(pl.lit("gold")).otherwise(pl.col("plan")),
    )
    table = table.with_columns(value_usd=pl.when(pl.col("plan") == "gold").then(90.0).otherwise(1.0))
    table.with_columns(pl.from_epoch("at")).write_parquet(folder / "live.parquet")
    columns = {"outcome": "bad", "time": "at", "key": "order_id"}
    import_file(folder / "store", "orders", str(folder / "live.parquet"), columns=columns)
    return folder / "store"


def test_production_says_what_the_set_has_never_seen_and_how_far_offline_was_off(tmp_path: Path) -> None:
    store = live(tmp_path, "auc 0.79 measured on holdout.parquet, 400 rows; the bar is lower")
    test = made(10, rows=900, seed=2).with_columns(score=1 / (1 + (-pl.col("x")).exp()))
    answer = evaluated(test, store=store, model="orders", score="score")
    assert answer.verdict is Verdict.WARNING
    assert "the set has hardly seen plan=gold" in answer.headline
    coverage = [dict(zip(answer.table("coverage").columns, row, strict=True)) for row in answer.table("coverage").rows]
    assert (coverage[0]["kind"], coverage[0]["name"], coverage[0]["set_rows"]) == ("cohort", "plan=gold", 0)
    traffic, low, high, money = (float(coverage[0][c]) for c in ("traffic_share", "low", "high", "value_share"))  # type: ignore[arg-type]
    assert low < traffic < high
    assert traffic == pytest.approx(0.242, abs=0.02)
    assert money == pytest.approx(90 * traffic / (90 * traffic + 1 - traffic), abs=0.001)
    past = [dict(zip(answer.table("past").columns, row, strict=True)) for row in answer.table("past").rows]
    assert len(past) == 5
    assert float(past[0]["gap_high"] or 0.0) < -0.1  # type: ignore[arg-type]
    assert any(
        line.startswith("offline said auc 0.790 (holdout.parquet, 400 rows), online was 0.6") for line in answer.because
    )


def test_a_set_like_production_covers_it_and_an_unknown_past_is_said(tmp_path: Path) -> None:
    store = live(tmp_path, "agreed with the desk")
    test = pl.read_parquet(tmp_path / "live.parquet").drop("value_usd")
    train = made(0).with_columns(pl.from_epoch("at"))
    answer = evaluated(test, train, store=store, score="score")
    assert answer.model == "orders"
    assert answer.table("coverage").rows == []
    assert "how far offline was off before: no declared bar says what was measured offline" in answer.unknowns
    assert "declared at least 0.6" in answer.text()
    quiet = evaluated(test, train, store=store, over="2020-01-01..2020-02-01")
    assert any("production has no prediction in this window" in line for line in quiet.unknowns)


def run(folder: Path, *arguments: str) -> CompletedProcess[str]:
    return commands.setpoint("evaluate", *arguments, cwd=folder)


def test_the_command_line_prints_the_answer_and_leaves_with_its_code(tmp_path: Path) -> None:
    train, test = parts(flights(), "arr_delay")
    for name, table in {"train": train, "test": test}.items():
        pl.DataFrame({c: table[c].tolist() for c in table.columns}, strict=False).write_parquet(
            tmp_path / f"{name}.parquet"
        )
    pl.read_parquet(tmp_path / "test.parquet").head(0).write_parquet(tmp_path / "empty.parquet")
    asked = ("--train", "train.parquet", "--map", "outcome=late", "--map", "time=departs_at")
    leaky = run(tmp_path, "test.parquet", *asked)
    assert leaky.returncode == 1
    assert leaky.stdout.startswith("✗ sanity check: the set leaks: arr_delay holds the outcome")
    honest = "carrier,origin,hour,distance,temp,visib"
    clean = run(tmp_path, "test.parquet", *asked, "--inputs", honest, "--json")
    assert clean.returncode == 0
    answer = json.loads(clean.stdout)
    assert (answer["question"], answer["verdict"], answer["tables"]["leaks"]) == ("evaluate", "ok", [])
    empty = run(tmp_path, "empty.parquet", *asked)
    assert (empty.returncode, empty.stdout) == (2, "")
    assert "no rows in empty.parquet" in empty.stderr
    wrong = run(tmp_path, "test.parquet", *asked, "--observed", "temp")
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)


def test_classes_are_judged_as_one_of_them_or_another(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    kinds = np.array(["bird", "cat", "dog"])
    came = rng.choice(3, 1200, p=[0.5, 0.3, 0.2])
    rows = pl.DataFrame(
        {
            "at": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(1200)],
            "size": came + rng.normal(0.0, 1.0, 1200),
            "told": came * 1.0,
            "outcome": kinds[came],
            "prediction": kinds[np.where(rng.random(1200) < 0.7, came, 0)],
        }
    )
    layout = Layout.create(tmp_path / "store")
    layout.declare(Model("pets", task=Task.MULTICLASS))

    def asked() -> setpoint.Answer:
        return setpoint.evaluate(
            rows[800:],
            train=rows[:800],
            store=layout.root,
            inputs=["size", "told"],
            time="at",
            outcome="outcome",
            prediction="prediction",
        )

    answer = asked()
    right = float(np.mean(rows["prediction"][800:].to_numpy() == rows["outcome"][800:].to_numpy()))
    (quality,) = [table for table in answer.tables if "metric" in table.columns and table.name != "coverage"][:1]
    (measured,) = [row for row in quality.rows if row[0] == "accuracy"]
    assert measured[1] == pytest.approx(right)
    assert len(quality.rows) == 1
    assert "yes is 'dog'" in answer.text()
    assert [row[2] for row in answer.table("leaks").rows] == ["told"]


def shown(first: int, count: int, markets: tuple[str, ...] = ("us", "eu")) -> pl.DataFrame:
    """Return rankings of three items, of which the first or none is relevant, with a grade each."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    numbers = range(first, first + count)
    return pl.DataFrame(
        {
            "at": [start + timedelta(hours=n) for n in numbers],
            "market": [markets[n % len(markets)] for n in numbers],
            "user": [f"u{n % 40}" for n in numbers],
            "ranking": [["a", "b", "c"] if n % 2 else ["c", "b", "a"] for n in numbers],
            "clicked": [["a"] if n % 3 else [] for n in numbers],
            "grade": [1.0 + n % 5 for n in numbers],
        }
    )


WORDED = {
    Task.RANKING: ("clicked", "ndcg_at_k", Success(top=3)),
    Task.GENERATION: ("grade", "success_rate", Success(at_least=4.0)),
}


@pytest.mark.parametrize("task", WORDED)
def test_rankings_and_texts_are_judged_by_how_the_rows_were_divided_and_held_against_production(
    task: Task, tmp_path: Path
) -> None:
    outcome, metric, success = WORDED[task]
    layout = Layout.create(tmp_path / "store")
    bars = (Expectation(metric, at_least=0.3, source="agreed"),)
    cohorts = (Cohort("market", by="market"),)
    layout.declare(Model("m", task=task, success=success, expectations=bars, cohorts=cohorts))
    shown(1200, 600, ("us", "eu", "jp")).write_parquet(tmp_path / "live.parquet")
    roles = {"time": "at", "outcome": outcome, "unit": "user"}
    import_file(layout.root, "m", str(tmp_path / "live.parquet"), columns=roles)

    def asked(test: pl.DataFrame, **more: object) -> setpoint.Answer:
        given = {"inputs": ["market"], "store": layout.root, "model": "m", **roles, **more}
        return setpoint.evaluate(test, train=shown(0, 800), **given)  # type: ignore[arg-type]

    answer = asked(shown(800, 400))
    assert answer.verdict is setpoint.Verdict.WARNING
    assert answer.headline.startswith("sanity check: m: no leak found between training rows and 400 test rows; the set")
    assert "has hardly seen market=jp" in answer.headline
    (row, *_) = answer.table("quality").rows
    rows = range(800, 1200)
    right = [n % 5 >= 3 for n in rows] if task is Task.GENERATION else [(n % 3 > 0) / (1 if n % 2 else 2) for n in rows]
    assert (row[0], row[1], row[9]) == (metric, pytest.approx(sum(right) / 400), "ok")
    assert isinstance(row[8], int), "how many rows it takes"
    assert any(unknown.startswith("what inputs give away: not sought where") for unknown in answer.unknowns)
    mixed = asked(shown(300, 400))
    assert mixed.verdict is setpoint.Verdict.BREACH
    assert {leak[0] for leak in mixed.table("leaks").rows} >= {"interleaved_times"}
    users = asked(shown(800, 400), entities=["user"])
    assert [leak[:3] for leak in users.table("leaks").rows] == [("entities_on_both_sides", "warning", "user")]
    with pytest.raises(UsageError, match=f"a {task} model's file cannot be asked"):
        asked(shown(800, 400), estimator=tmp_path / "none.joblib")


def test_rankings_are_judged_without_a_store_too() -> None:
    answer = setpoint.evaluate(shown(800, 400), train=shown(0, 800), inputs=["market"], time="at", outcome="clicked")
    assert answer.verdict is setpoint.Verdict.OK
    assert "task ranking, guessed: ranking looks like a ranking" in answer.because
    assert answer.table("quality").rows[0][0] == "ndcg_at_k"
    bare = shown(800, 400).drop("ranking")
    unknown = setpoint.evaluate(bare, train=shown(0, 800), inputs=["market"], time="at", outcome="clicked")
    assert unknown.headline.endswith("; quality unknown")


def test_cohorts_of_the_set_are_named_or_told_what_they_lack(tmp_path: Path) -> None:
    store = live(tmp_path, "agreed with the desk")
    test = made(10, rows=6000, seed=2).with_columns(score=1 / (1 + (-pl.col("x")).exp()))
    few = pl.int_range(pl.len()) < 40
    low = pl.col("plan") == test["plan"][0]
    answer = evaluated(
        test.with_columns(
            plan=pl.when(few).then(pl.lit("gold")).otherwise(pl.col("plan")),
            score=pl.when(low & ~few).then(pl.col("score") * 0.3).otherwise(pl.col("score")),
        ),
        store=store,
        model="orders",
        score="score",
    )
    assert answer.verdict is Verdict.WARNING
    assert f"in it plan={test['plan'][0]} is under-served: recall 0.000" in answer.headline
    (gold,) = (line for line in answer.unknowns if line.startswith("plan=gold"))
    assert gold.startswith("plan=gold (40 rows, 0.7 % of the set, 2")
    assert " % of the traffic): " in gold
    assert "in the smaller half, needs 30, about " in gold
    assert gold.endswith("predictions in all")
    assert [row[0] for row in answer.table("too_small").rows] == ["plan=gold"]


def test_a_score_in_both_files_is_an_answer_unless_it_is_no_probability(tmp_path: Path) -> None:
    train, test = made(0), made(40, seed=2)
    for name, rows in (("train", train), ("test", test)):
        rows.with_columns(score=1 / (1 + (-pl.col("x")).exp())).write_csv(tmp_path / f"{name}.csv")
        rows.with_columns(score=500 + 40 * pl.col("x")).write_csv(tmp_path / f"points-{name}.csv")
    words = ("--map", "outcome=bad", "--map", "time=at")
    found = commands.setpoint("evaluate", "test.csv", "--train", "train.csv", *words, cwd=tmp_path)
    assert "no leak found in 3 inputs" in found.stdout
    assert "answered by score" in found.stdout
    points = commands.setpoint("evaluate", "points-test.csv", "--train", "points-train.csv", *words, cwd=tmp_path)
    assert "in 4 inputs" in points.stdout
