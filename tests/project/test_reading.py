"""`setpoint.read` over the files people have, and the ones they wish they had not."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn import metrics
from tests.leaves import same

import setpoint
from setpoint.core.errors import ColumnError, EmptyFile, ExpressionError, NaiveTimestamp, TimeError, UsageError
from setpoint.core.model import Cohort, Expectation, Feature, Model, Rates, Success, Task


def frame(rows: int = 4000, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    amount = rng.lognormal(3, 1, rows)
    truth = 1 / (1 + np.exp(-(np.log(amount) - 3)))
    return pl.DataFrame(
        {
            "ts": pl.datetime_range(
                pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 29), interval="10m", eager=True, closed="left"
            )[:rows]
            if rows <= 4032
            else None,
            "amount": amount,
            "country": rng.choice(["de", "fr", "it"], rows),
            "score": np.clip(truth + rng.normal(0, 0.05, rows), 0, 1),
            "is_fraud": (rng.random(rows) < truth).astype(int),
            "latency_ms": rng.exponential(20, rows),
            "cost_usd": rng.exponential(0.01, rows),
        }
    )


def value(answer: setpoint.Answer, metric: str) -> float | None:
    return next(row[1] for row in answer.table("metrics").rows if row[0] == metric)  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("kind", ["parquet", "csv", "ndjson", "polars", "pandas", "pyarrow", "duckdb", "pattern"])
def test_every_kind_of_table_gives_the_same_numbers(tmp_path: Path, kind: str) -> None:
    table = frame()
    source: object
    match kind:
        case "parquet" | "pattern":
            table[:2000].write_parquet(tmp_path / "a.parquet")
            table[2000:].write_parquet(tmp_path / "b.parquet")
            source = (
                str(tmp_path / "*.parquet") if kind == "pattern" else [tmp_path / "a.parquet", tmp_path / "b.parquet"]
            )
        case "csv":
            table.write_csv(tmp_path / "t.csv")
            source = tmp_path / "t.csv"
        case "ndjson":
            table.write_ndjson(tmp_path / "t.ndjson")
            source = tmp_path / "t.ndjson"
        case "polars":
            source = table
        case "pandas":
            source = pd.DataFrame(table.to_dict(as_series=False))
        case "pyarrow":
            source = pa.table(table.to_dict(as_series=False))
        case _:
            source = duckdb.from_arrow(table.to_arrow())
    answer = setpoint.read(source).status(over="2026-01-01..2026-01-29")  # pyright: ignore[reportArgumentType]
    y, s = table["is_fraud"].to_numpy(), table["score"].to_numpy()
    assert value(answer, "accuracy") == pytest.approx(np.mean((s >= 0.5) == y))
    assert value(answer, "brier") == pytest.approx(np.mean((s - y) ** 2))
    assert value(answer, "log_loss") == pytest.approx(metrics.log_loss(y, np.clip(s, 1e-15, 1 - 1e-15)), rel=1e-5)
    auc = next(row for row in answer.table("metrics").rows if row[0] == "auc")
    assert auc[2] < metrics.roc_auc_score(y, s) < auc[3]  # pyright: ignore[reportOperatorIssue]


def test_guesses_are_said_in_a_form_that_can_be_pasted_back() -> None:
    log = setpoint.read(frame())
    said = "\n".join(log.notes)
    for words in (
        "time='ts'",
        "score='score'",
        "outcome='is_fraud'",
        "latency_seconds='latency_ms'",
        "cost_usd='cost_usd'",
    ):
        assert words in said
    assert "read as UTC" in said
    assert "as of 2026-01-28" in said


def test_milliseconds_become_seconds_and_costs_are_spread_over_correct_predictions() -> None:
    table = frame()
    log = setpoint.read(table)
    answer = log.status()
    assert value(answer, "latency_p50_seconds") == pytest.approx(20 * math.log(2) / 1000, rel=0.15)
    cost = log.cost(over="2026-01-01..2026-01-29")
    correct = ((table["score"] >= 0.5).cast(int) == table["is_fraud"]).sum()
    assert cost.table("metrics").rows[0][1] == pytest.approx(float(table["cost_usd"].sum()) / int(correct), rel=1e-6)
    assert cost.verdict is setpoint.Verdict.OK


def test_a_price_that_is_not_known_makes_the_cost_unknown_and_never_zero() -> None:
    table = frame().with_columns(cost_usd=pl.when(pl.col("amount") > 200).then(None).otherwise(pl.col("cost_usd")))
    answer = setpoint.read(table).cost()
    assert answer.verdict is setpoint.Verdict.UNKNOWN
    assert answer.exit_code == 3
    assert "no known price" in answer.headline
    free = setpoint.read(frame().drop("cost_usd")).cost()
    assert free.verdict is setpoint.Verdict.UNKNOWN
    assert all(row[1] is None for row in free.table("metrics").rows)


def test_a_file_without_time_is_one_window() -> None:
    log = setpoint.read(frame().drop("ts"))
    assert "one window" in "\n".join(log.notes)
    assert value(log.status(), "auc") is not None
    with pytest.raises(UsageError, match="no times"):
        log.diff()


def test_two_files_join_by_key() -> None:
    table = frame().with_columns(order_id=pl.Series([f"o{n}" for n in range(4000)]))
    outcomes = table.select("order_id", "is_fraud").sample(3000, seed=1)
    log = setpoint.read(table.drop("is_fraud"), outcomes=outcomes, key="order_id")
    answer = log.status(over="2026-01-01..2026-01-29")
    joined = table.join(outcomes, on="order_id")
    assert value(answer, "outcome_share") == pytest.approx(0.75)
    assert value(answer, "base_rate") == pytest.approx(joined["is_fraud"].mean())
    with pytest.raises(UsageError, match="nothing joins"):
        setpoint.read(table.drop("is_fraud"), outcomes=outcomes.rename({"order_id": "other"}), key="order_id")


def test_local_times_are_read_in_their_zone_and_the_skipped_hour_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    times = ["2026-03-29 01:30:00", "2026-03-29 02:30:00", "2026-03-29 03:30:00"] * 20
    path.write_text("ts,score,outcome\n" + "\n".join(f"{t},{0.1 + n % 7 / 10},{n % 2}" for n, t in enumerate(times)))
    log = setpoint.read(path, tz="Europe/Berlin")
    said = "\n".join(log.notes)
    assert "20 times do not exist in Europe/Berlin" in said
    with pytest.raises(TimeError, match="no time zone"):
        setpoint.read(path, tz="Europe/Berln")


def test_regression_is_recognised_and_measured() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(50, 10, 3000)
    prediction = y + rng.normal(1, 5, 3000)
    log = setpoint.read(pl.DataFrame({"prediction": prediction, "actual": y}))
    answer = log.status()
    assert value(answer, "rmse") == pytest.approx(metrics.root_mean_squared_error(y, prediction))
    assert value(answer, "mae") == pytest.approx(metrics.mean_absolute_error(y, prediction))
    assert value(answer, "bias") == pytest.approx(np.mean(prediction - y))
    assert value(answer, "r_squared") == pytest.approx(metrics.r2_score(y, prediction))
    assert (
        "tolerance"
        in setpoint.read(pl.DataFrame({"prediction": prediction, "actual": y, "cost": y * 0 + 1.0})).cost().headline
    )


def test_classes_that_are_spelled_as_numbers_are_classes_when_somebody_says_so() -> None:
    rng = np.random.default_rng(2)
    came = rng.integers(0, 4, 900)
    said = np.where(rng.random(900) < 0.7, came, rng.integers(0, 4, 900))
    table = pl.DataFrame({"prediction": said, "actual": came})
    assert "task='regression'" in repr(setpoint.read(table))
    log = setpoint.read(table, task="multiclass")
    assert "task=" not in repr(log)
    assert value(log.status(), "accuracy") == pytest.approx(float((said == came).mean()))
    outcomes = table.select("actual").with_row_index("id")
    joined = setpoint.read(
        table.select("prediction").with_row_index("id"), outcomes=outcomes, prediction_id="id", task="multiclass"
    )
    assert value(joined.status(), "accuracy") == pytest.approx(float((said == came).mean()))
    texts = pl.DataFrame({"score": rng.random(90), "actual": ["yes", "no", "maybe"] * 30})
    assert "which value means yes" in repr(setpoint.read(texts))
    assert "which value means yes" not in repr(setpoint.read(texts, model=Model("m", positive="yes")))


def test_a_judge_takes_a_declaration_that_knows_one() -> None:
    table = pl.DataFrame({"judge": ["ann", "bob"] * 50, "score": [0.2, 0.8] * 50, "outcome": [0, 1] * 50})
    log = setpoint.read(table, model=Model("trials"))
    assert "judge=" not in repr(log)
    with pytest.raises(UsageError, match="knows no judge"):
        setpoint.read(table, model=Model("trials"), judge="judge")


def test_a_declared_model_rules_over_guesses() -> None:
    table = frame().with_columns(is_fraud=pl.when(pl.col("is_fraud") == 1).then(pl.lit("yes")).otherwise(pl.lit("no")))
    model = Model(
        "fraud",
        task=Task.BINARY,
        positive="yes",
        success=Success(threshold=0.8),
        cohorts=(Cohort("big", where="amount > 100"),),
        rates=Rates(per_prediction_usd=0.5),
    )
    log = setpoint.read(table.drop("cost_usd"), model=model)
    answer = log.status(over="2026-01-01..2026-01-29", by="big")
    flags = (table["score"] >= 0.8).to_numpy()
    truth = (table["is_fraud"] == "yes").to_numpy()
    assert value(answer, "precision") == pytest.approx(metrics.precision_score(truth, flags))
    assert {row[0] for row in answer.table("by_big").rows} == {"yes", "no"}
    assert log.cost(over="2026-01-01..2026-01-29").table("metrics").rows[1][1] == pytest.approx(0.5)
    with pytest.raises(UsageError, match="cannot group by 'bgi'"):
        log.status(by="bgi")
    bad = Model("fraud", cohorts=(Cohort("x", where="amount >>> 3"),))
    with pytest.raises(ExpressionError):
        setpoint.read(table, model=bad).status()


def test_comparing_two_tables_finds_what_changed_and_nothing_else() -> None:
    before, after = frame(seed=0), frame(seed=1)
    assert setpoint.diff(before, before).headline.startswith("nothing changed")
    changed = after.with_columns(
        amount=pl.col("amount") * 1.3,
        country=pl.when(pl.col("country") == "it").then(pl.lit("pl")).otherwise(pl.col("country")),
        new=pl.lit(1.0),
    ).drop("latency_ms")
    answer = setpoint.diff(before, changed)
    rows = {
        row[0]: dict(zip(answer.table("features").columns, row, strict=True)) for row in answer.table("features").rows
    }
    assert rows["new"]["note"] == "appeared"
    assert rows["latency_ms"]["note"] == "vanished"
    assert "new" in str(rows["country"]["new_values"])
    assert rows["country"]["vanished_values"] == "it"
    assert rows["amount"]["moved_ratio"] > 0  # pyright: ignore[reportOperatorIssue]
    assert rows["cost_usd"]["moved_ratio"] == 0
    assert rows["amount"]["current_mean"] == pytest.approx(changed["amount"].mean())
    assert rows["amount"]["current_sd"] == pytest.approx(changed["amount"].std())
    assert rows["amount"]["current_p50"] == pytest.approx(changed["amount"].median(), rel=0.05)
    assert rows["amount"]["current_maximum"] == changed["amount"].max()


def test_a_missing_rate_that_doubles_is_seen() -> None:
    before = frame(seed=0)
    after = frame(seed=1).with_columns(
        amount=pl.when(pl.int_range(pl.len()) % 10 == 0).then(None).otherwise(pl.col("amount"))
    )
    answer = setpoint.diff(before, after, inputs=["amount"])
    assert "missing 0.0 % → 10.0 %" in answer.headline


def test_a_constant_column_that_starts_to_vary_is_named() -> None:
    before = pl.DataFrame({"x": [5.0] * 500})
    after = pl.DataFrame({"x": [5.0, 6.0] * 250})
    answer = setpoint.diff(before, after)
    assert "was constant and now varies" in answer.headline
    assert "is constant now" in setpoint.diff(after, before).headline


@pytest.mark.parametrize(
    "column",
    [
        [math.nan] * 200,
        [math.inf] * 200,
        [math.nan, math.inf, -math.inf, 1.0] * 50,
        [1e308, -1e308] * 100,
        [2**53, 2**53 + 1] * 100,
        [f"level {n}" for n in range(200)],
        [True, False] * 100,
        [""] * 200,
    ],
    ids=["nan", "inf", "mixed", "huge", "2^53", "distinct texts", "booleans", "empty texts"],
)
def test_hostile_columns_crash_nothing(column: list[object]) -> None:
    table = pl.DataFrame({"x": column, "score": [0.2, 0.8] * 100, "outcome": [0, 1] * 100}, strict=False)
    log = setpoint.read(table, inputs=["x"])
    assert value(log.status(), "accuracy") == 1.0
    assert setpoint.diff(table, table, inputs=["x"]).verdict is not setpoint.Verdict.BREACH
    other = pl.DataFrame({"x": [0.5] * 100})
    assert setpoint.diff(other, table, inputs=["x"]).text()


@pytest.mark.parametrize("kind", [pl.Float64, pl.String])
def test_an_input_without_any_value_is_shown_as_missing_in_both_windows(kind: type[pl.DataType]) -> None:
    table = pl.DataFrame({"x": [None] * 100}, schema={"x": kind})
    answer = setpoint.diff(table, table)
    assert answer.headline == "cannot compare: no feature has a value in either window"
    row = dict(zip(answer.table("features").columns, answer.table("features").rows[0], strict=True))
    assert (row["feature"], row["reference_missing_ratio"], row["current_missing_ratio"]) == ("x", 1.0, 1.0)
    assert (row["psi"], row["note"]) == (None, "no value in either window: distances are unknown")
    assert "100.0 % missing" in answer.text()
    beside = table.with_columns(y=pl.int_range(100) * 1.0)
    answer = setpoint.diff(beside, beside)
    assert answer.headline == "nothing changed beyond chance in 1 feature; 1 more without a value"


def test_a_column_of_nulls_is_missing_everywhere() -> None:
    table = pl.DataFrame({"x": pl.Series([None] * 200, dtype=pl.Float64), "y": [1.0, 2.0] * 100})
    answer = setpoint.diff(table, table)
    assert answer.headline == "nothing changed beyond chance in 1 feature; 1 more without a value"
    nothing = setpoint.diff(table.select("x"), table.select("x"))
    assert (nothing.verdict, nothing.exit_code) == (setpoint.Verdict.UNKNOWN, 3)
    assert nothing.headline == "cannot compare: no feature has a value in either window"
    assert "vanished" in setpoint.diff(pl.DataFrame({"x": [1.0, 2.0] * 100}), table, inputs=["x"]).headline
    untyped = pl.DataFrame({"x": [None] * 200})
    try:  # DuckDB 1.5 reads a column without a type, 2.0 does not
        said = setpoint.diff(untyped, untyped).headline
    except UsageError as error:
        said = error.message
    assert said.startswith(("cannot compare", "cannot read the table"))


def test_a_number_that_became_text_is_a_change_of_type() -> None:
    before, after = pl.DataFrame({"age": [30, 41] * 100}), pl.DataFrame({"age": ["30", "41"] * 100})
    answer = setpoint.diff(before, after)
    row = dict(zip(answer.table("features").columns, answer.table("features").rows[0], strict=True))
    assert row["note"] == "type changed from BIGINT to VARCHAR"


def test_outcomes_join_predictions_that_have_no_times() -> None:
    table = frame().with_columns(order_id=pl.Series([f"o{n}" for n in range(4000)])).drop("ts")
    outcomes = table.select("order_id", "is_fraud")
    answer = setpoint.read(table.drop("is_fraud"), outcomes=outcomes, key="order_id").status()
    assert value(answer, "outcome_share") == 1.0


def test_ten_thousand_levels_are_counted_exactly() -> None:
    before = pl.DataFrame({"x": [f"v{n % 10_000}" for n in range(40_000)]})
    after = pl.DataFrame({"x": [f"v{n % 10_001}" for n in range(40_000)]})
    answer = setpoint.diff(before, after, inputs=["x"])
    row = dict(zip(answer.table("features").columns, answer.table("features").rows[0], strict=True))
    assert row["reference_rows"] == 40_000
    assert "(new)" in str(row["new_values"])


def test_bad_files_are_told_apart_with_a_hint(tmp_path: Path) -> None:
    empty = tmp_path / "empty.parquet"
    frame()[:0].write_parquet(empty)
    with pytest.raises(EmptyFile, match="no rows"):
        setpoint.read(empty)
    nothing = tmp_path / "nothing.csv"
    nothing.write_text("")
    with pytest.raises((EmptyFile, UsageError)):
        setpoint.read(nothing)
    with pytest.raises(UsageError, match="no file at"):
        setpoint.read(tmp_path / "absent.parquet")
    with pytest.raises(UsageError, match="no file matches"):
        setpoint.read(str(tmp_path / "absent-*.parquet"))
    (tmp_path / "t.xlsx").write_bytes(b"x")
    with pytest.raises(UsageError, match="unknown file type"):
        setpoint.read(tmp_path / "t.xlsx")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(UsageError, match="cannot read"):
        setpoint.read(tmp_path / "broken.parquet")
    with pytest.raises(ColumnError) as caught:
        setpoint.read(frame(), score="scroe")
    assert "did you mean 'score'?" in caught.value.hint
    with pytest.raises(UsageError, match="no role is called") as caught_role:
        setpoint.read(frame(), scroe="score")
    assert "did you mean score?" in caught_role.value.hint
    with pytest.raises(ColumnError, match="column score has type DOUBLE, which is not the probability of each class"):
        setpoint.read(frame(), scores="score")
    with pytest.raises(ColumnError, match="column score has type DOUBLE, which is not a list of items"):
        setpoint.read(frame(), ranking="score")


def test_mixed_types_in_a_csv_are_text_and_still_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    values = ["1", "2", "x", "4.5", ""] * 60
    path.write_text(
        "age,score,outcome\n" + "\n".join(f"{v},{0.2 + 0.6 * (n % 2)},{n % 2}" for n, v in enumerate(values))
    )
    answer = setpoint.diff(path, path, inputs=["age"])
    row = dict(zip(answer.table("features").columns, answer.table("features").rows[0], strict=True))
    assert row["reference_missing_ratio"] == pytest.approx(0.2)
    assert "x: 0.2" in str(row["reference_top"])


def test_an_answer_is_text_html_json_arrow_polars_and_pandas() -> None:
    answer = setpoint.read(frame()).status(by="country")
    assert answer.text().splitlines()[0][0] in "✓!✗?"
    assert len(answer.text().splitlines()) <= 40
    assert "<script" not in answer._repr_html_()
    assert answer.to_dict()["schema"] == "setpoint.answer/1"
    table = answer.to_polars("metrics")
    assert table["metric"][0] == "auc"
    assert list(answer.to_pandas("metrics")["metric"]) == table["metric"].to_list()
    assert pa.table(answer.to_arrow("metrics")).num_rows == table.height
    assert answer.to_polars().columns[0] == "country"


def test_what_came_after_as_of_does_not_count() -> None:
    """Asked as of a day, a file answers as the file that held only what was known then."""
    table = frame().with_columns(
        observed_at=pl.col("ts") + pl.duration(hours=12), order_id=pl.Series([f"o{n}" for n in range(4000)])
    )
    day = datetime(2026, 1, 15)  # noqa: DTZ001 — polars compares times without a zone
    known = table.filter(pl.col("ts") < day)
    is_late = pl.col("observed_at") > day
    cut = known.with_columns(is_fraud=pl.when(is_late).then(None).otherwise(pl.col("is_fraud")))
    one, until = setpoint.read(table), setpoint.read(cut)
    everything = one.status().headline
    for question in ("status", "diff", "cost"):
        asked = getattr(one, question)(as_of="2026-01-15")
        expected = getattr(until, question)(as_of="2026-01-15")
        assert same(asked.to_dict(), expected.to_dict()), question
    assert one.status(as_of="2026-01-20").to_dict() != one.status(as_of="2026-01-15").to_dict()
    assert one.status(as_of=datetime(2026, 1, 15, tzinfo=UTC)).text() == one.status(as_of="2026-01-15").text()
    assert one.status().headline == everything
    assert one.status(as_of="2025-01-01").is_silent
    first, second = table.drop("is_fraud", "observed_at"), table.select("order_id", "is_fraud", ts="observed_at")
    two = setpoint.read(first, outcomes=second, prediction_id="order_id")
    answer = two.status(as_of="2026-01-15", over="14d")
    assert value(answer, "outcome_share") == pytest.approx(1 - known.select(is_late.mean()).item(), abs=1e-3)
    assert value(two.status(over="2026-01-01..2026-01-29"), "outcome_share") == 1.0


def test_wrong_arguments_are_told_with_a_hint() -> None:
    log = setpoint.read(frame())
    with pytest.raises(NaiveTimestamp):
        log.status(as_of=datetime(2026, 1, 15))  # noqa: DTZ001 — that is the point
    wrong = [
        lambda: log.status(over=7),  # pyright: ignore[reportArgumentType]
        lambda: log.status(over=("a", "b")),  # pyright: ignore[reportArgumentType]
        lambda: log.status(as_of=1.5),  # pyright: ignore[reportArgumentType]
        lambda: setpoint.read(None),  # pyright: ignore[reportArgumentType]
        lambda: setpoint.read(5),  # pyright: ignore[reportArgumentType]
        lambda: setpoint.read([]),
        lambda: setpoint.read(frame(), task="binray"),
        lambda: setpoint.read(frame(), task="regression", model=Model("m")),
        lambda: setpoint.read(frame(), cohorts=["zz"]),
        lambda: setpoint.read(frame(), cohorts=["country"], inputs=["amount"]),
        lambda: setpoint.read(frame().drop("ts")).status(as_of="2026-01-15"),
    ]
    for ask in wrong:
        with pytest.raises(UsageError) as caught:
            ask()
        assert caught.value.hint
    for empty in (pl.DataFrame(), pd.DataFrame()):
        with pytest.raises(EmptyFile) as nothing:
            setpoint.read(empty)
        assert nothing.value.hint


def test_what_is_unknown_is_put_down_to_what_is_missing() -> None:
    no_score = setpoint.read(frame().drop("score").with_columns(prediction=pl.col("is_fraud"))).status()
    assert "auc: no score was recorded" in "\n".join(no_score.unknowns)
    assert "needs" not in "\n".join(no_score.unknowns)
    assert value(no_score, "accuracy") == 1.0
    numbers = pl.DataFrame({"actual": np.arange(500.0), "x": np.arange(500.0)})
    no_prediction = setpoint.read(numbers).status()
    assert "no prediction was recorded" in no_prediction.headline
    assert no_prediction.unknowns[0].startswith("quality: no prediction was recorded")
    few = setpoint.read(frame(40), model=Model("m", expectations=(Expectation("auc", at_least=0.7),))).status()
    assert not any("pace" in unknown for unknown in few.unknowns), "a file has no pace"


@pytest.mark.parametrize(("yes", "no"), [("yes", "no"), (1, -1)])
def test_outcomes_that_are_neither_yes_nor_no_are_counted_and_not_guessed(yes: object, no: object) -> None:
    is_yes = pl.col("is_fraud") == 1
    table = frame().with_columns(is_fraud=pl.when(is_yes).then(pl.lit(yes)).otherwise(pl.lit(no)))
    answer = setpoint.read(table).status(over="2026-01-01..2026-01-29")
    odd = table.height if isinstance(yes, str) else table.filter(pl.col("is_fraud") == -1).height
    assert answer.unknowns[0].startswith(f"quality: {odd:,} outcomes are neither yes nor no")
    assert value(answer, "auc") is None
    told = setpoint.read(table, model=Model("m", positive=str(yes))).status(over="2026-01-01..2026-01-29")
    plain = setpoint.read(frame(), model=Model("m")).status(over="2026-01-01..2026-01-29")
    for metric in ("auc", "precision", "recall", "base_rate", "log_loss"):
        assert value(told, metric) == pytest.approx(value(plain, metric)), metric


def mostly_numbers(path: Path, rows: int = 12_010) -> pl.DataFrame:
    """Write a CSV whose `amount` and `score` are numbers but for ten cells each, none among the first rows."""
    places = np.arange(rows)
    table = pl.DataFrame(
        {
            "order_id": [f"{n}" if n else "first" for n in range(rows)],
            "amount": np.where(places >= rows - 10, "n/a", (places % 997 + 0.25).astype(str)),
            "score": np.where((places >= 5) & (places < 15), "?", (0.1 + 0.8 * (places % 2)).astype(str)),
            "outcome": places % 2,
        }
    )
    table.write_csv(path)
    return table


def test_a_few_bad_cells_of_a_csv_are_missing_and_the_column_is_not_lost(tmp_path: Path) -> None:
    table = mostly_numbers(tmp_path / "t.csv")
    log = setpoint.read(tmp_path / "t.csv")
    for column in ("amount", "score"):
        assert f"{column}: 10 of 12,010 values are no numbers and count as missing" in log.notes
    answer = log.status()
    assert value(answer, "auc") == 1.0
    numbers = table.with_columns(pl.col("amount").cast(float, strict=False))
    changed = setpoint.diff(tmp_path / "t.csv", numbers.with_columns(pl.col("amount") * 2), inputs=["amount"])
    row = dict(zip(changed.table("features").columns, changed.table("features").rows[0], strict=True))
    assert row["reference_mean"] == pytest.approx(numbers["amount"].mean())
    assert row["reference_missing_ratio"] == pytest.approx(10 / 12_010)
    declared = Model("m", features=(Feature("amount", "categorical"),))
    assert not any("amount" in note for note in setpoint.read(tmp_path / "t.csv", model=declared).notes)
    ids = setpoint.read(tmp_path / "t.csv", key="order_id")
    with ids.evidence() as evidence:
        assert evidence.connection.sql("SELECT count(*) FROM predictions WHERE key = 'first'").fetchall() == [(1,)]


def test_a_text_that_differs_in_most_rows_is_left_out_with_its_numbers() -> None:
    table = frame().with_columns(note=pl.Series([f"text {n}" for n in range(4000)]), nested=pl.struct("amount"))
    notes = setpoint.read(table).notes
    assert "left out: note (4,000 different texts in 4,000 rows), nested (nested)" in notes


def test_an_identifier_that_stands_more_than_once_is_no_input() -> None:
    few = frame().with_columns(prediction_id=pl.Series([f"p{n % 100}" for n in range(4000)]))
    log = setpoint.read(few)
    assert "left out: prediction_id (an identifier that stands more than once)" in log.notes
    some = frame().with_columns(prediction_id=pl.Series([f"p{n % 3990}" for n in range(4000)]))
    assert "prediction_id: 10 values stand more than once; all their rows count" in setpoint.read(some).notes
    assert value(setpoint.read(some).status(over="2026-01-01..2026-01-29"), "outcome_share") == 1.0


def test_a_single_timestamp_is_the_time_whatever_its_name() -> None:
    assert any("time='when'" in note for note in setpoint.read(frame().rename({"ts": "when"})).notes)
    two = frame().rename({"ts": "when"}).with_columns(other=pl.col("when"))
    assert any("no time column" in note for note in setpoint.read(two).notes)


def test_two_columns_that_differ_only_in_case_are_told(tmp_path: Path) -> None:
    lines = "\n".join(f"{n},{n + 1},{n % 2},{n % 10 / 10},7" for n in range(200))
    (tmp_path / "t.csv").write_text(f"a,A,outcome,score,a_2\n{lines}")
    log = setpoint.read(tmp_path / "t.csv")
    assert "A_1 is the file's column 'A': another one differs only in upper and lower case" in log.notes
    assert not any(note.startswith("a_2") for note in log.notes)


def test_a_notebook_needs_no_ipywidgets() -> None:
    shell = """
import sys, types
class Shell: config = {"IPKernelApp": {}}
sys.modules["IPython"] = types.ModuleType("IPython")
sys.modules["IPython"].get_ipython = Shell
sys.modules["ipywidgets"] = None
import duckdb, setpoint
table = duckdb.sql("SELECT i % 2 AS outcome, i % 2 AS prediction FROM range(100) AS t(i)")
try:
    duckdb.sql("SET enable_progress_bar=false")
    print("no notebook")
except duckdb.InvalidInputException:
    print(setpoint.read(table).status().table("metrics").lines[0])
"""
    done = subprocess.run([sys.executable, "-c", shell], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("('accuracy', '1.000 ")


def test_usual_names_of_many_classes_are_found() -> None:
    frame = pl.DataFrame(
        {
            "created_at": pl.datetime_range(
                pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 29), "10m", closed="left", eager=True
            ),
            "y_true": [f"intent {i % 77}" for i in range(4032)],
            "y_pred": [f"intent {i % 77 if i % 5 else 0}" for i in range(4032)],
            "confidence": [0.5 + i % 50 / 100 for i in range(4032)],
            "channel": ["app" if i % 3 else "web" for i in range(4032)],
        }
    )
    told = str(setpoint.read(frame))
    assert "prediction='y_pred', outcome='y_true', score='confidence'" in told
    assert "task='multiclass'" in told
    assert setpoint.read(frame).declared().task is Task.MULTICLASS
    yes_or_no = frame.select("created_at", y_true=pl.lit(1), y_pred=pl.lit(1), confidence="confidence")
    assert "score=" not in str(setpoint.read(yes_or_no))  # 0.9 sure of "no" is no score of 0.9


def test_a_file_without_outcomes_says_so() -> None:
    assert "no outcome column: quality is unknown until one is named" in str(setpoint.read(frame().drop("is_fraud")))
    assert "no outcome column" not in str(setpoint.read(frame()))
    assert "no outcome column" not in str(setpoint.read(frame().drop("is_fraud"), outcome=""))


def test_why_of_the_only_model_takes_a_metric_alone() -> None:
    log = setpoint.read(frame())
    assert log.why("auc").headline == log.why("", "auc").headline == log.why(metric="auc").headline
