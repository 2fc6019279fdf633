"""A first declaration: what is guessed is said, what is measured was not trained on."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import joblib
import numpy as np
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from setpoint.connect.loading import load_estimator
from setpoint.core.clock import parse_time
from setpoint.core.errors import ColumnError, DeclarationError, EmptyFile, StoreReadOnly, UsageError
from setpoint.core.model import Cohort, Task
from setpoint.core.verdict import Verdict
from setpoint.declare.load import load_model, load_project
from setpoint.project.contracts import check_table
from setpoint.project.init import Draft, Given, draft, write
from setpoint.project.training import ON_TRAINING_ROWS, draft_trained

JANUARY, FEBRUARY = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
OUTCOME = {"outcome": "late"}


def flights(start: datetime, rows: int = 1200, seed: int = 1) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    distance, noise = random.normal(size=rows), random.normal(size=rows)
    carrier = random.choice(["AA", "DL", "UA"], rows)
    late = random.random(rows) < 1 / (1 + np.exp(-2.0 * distance))
    return pl.DataFrame(
        {
            "order_id": [f"{seed}-{n}" for n in range(rows)],
            "predicted_at": [start + timedelta(minutes=n) for n in range(rows)],
            "distance": distance,
            "noise": noise,
            "carrier": carrier,
            "late": late.astype(int),
            "minutes": 30.0 * distance + random.normal(size=rows),
        }
    )


def fitted(folder: Path, *, named: bool = True) -> Path:
    """Save a classifier that was fitted on `distance` and `noise` of train.parquet."""
    table = flights(JANUARY)
    table.write_parquet(folder / "train.parquet")
    flights(FEBRUARY, seed=2).write_parquet(folder / "later.parquet")
    features = table.select("distance", "noise").to_pandas()
    model = LogisticRegression().fit(features if named else features.to_numpy(), table["late"].to_numpy())
    joblib.dump(model, folder / "flights.joblib")
    return folder / "flights.joblib"


def trained(folder: Path, model: Path, holdout: str = "", inputs: tuple[str, ...] | None = None) -> Draft:
    later = folder / holdout if holdout else None
    return draft_trained(folder / "train.parquet", model, Given(columns=OUTCOME, inputs=inputs), holdout=later)


def reasons(found: Draft) -> dict[str, tuple[str, str]]:
    return {one.key: (one.value, one.reason) for one in found.guesses}


def test_every_guess_is_said_with_its_reason_and_stands_in_the_yaml(tmp_path: Path) -> None:
    score = 0.3 + pl.col("late") * 0.3 + pl.col("noise").clip(-1, 1) * 0.1
    table = flights(JANUARY).drop("minutes").with_columns(score=score, cost_usd=pl.lit(0.01))
    table.write_csv(tmp_path / "late flights.csv")

    found = draft(tmp_path / "late flights.csv", Given(columns=OUTCOME, tz="Europe/Berlin"))

    said = reasons(found)
    assert (found.model.name, found.model.task) == ("late_flights", Task.BINARY)
    assert said["column of key"] == ("order_id", "named like key, 1,200 different values in 1,200 rows")
    assert said["column of outcome"] == ("late", "as you said")
    columns = {"time": "predicted_at", "score": "score", "cost_usd": "cost_usd", "prediction": "none"}
    assert {role: said[f"column of {role}"][0] for role in columns} == columns
    kinds = {one.name: one.kind for one in found.model.features}
    assert kinds == {"distance": "numeric", "noise": "numeric", "carrier": "categorical"}
    assert [cohort.name for cohort in found.model.cohorts] == ["carrier"]
    text = found.yaml()
    assert "distance: {kind: numeric}  # guessed: numbers from" in text
    assert "# column of time: predicted_at (named like a time" in text
    assert all(any(key in line for line in found.said) for key in said)


def test_what_is_written_reads_back_as_the_same_model(tmp_path: Path) -> None:
    flights(JANUARY).write_parquet(tmp_path / "flights.parquet")
    found = draft(str(tmp_path / "flights.parquet"), Given(columns=OUTCOME))

    written = write(found, tmp_path / "project")

    assert [path.name for path in written] == ["setpoint.yaml", "model.schema.json", "flights.yaml"]
    assert load_project(tmp_path / "project").models == {"flights": found.model}
    schema = json.loads((tmp_path / "project" / "model.schema.json").read_text())
    assert schema["title"] == "Setpoint model"


def test_a_file_that_is_there_is_replaced_only_by_force_and_setpoint_yaml_never(tmp_path: Path) -> None:
    flights(JANUARY, rows=100).write_parquet(tmp_path / "flights.parquet")
    found = draft(tmp_path / "flights.parquet", Given(columns=OUTCOME))
    (tmp_path / "setpoint.yaml").write_text("store: ./events\nmodels: declared\n")
    write(found, tmp_path)
    with pytest.raises(UsageError, match="--force"):
        write(found, tmp_path)

    write(found, tmp_path, force=True)

    assert (tmp_path / "setpoint.yaml").read_text() == "store: ./events\nmodels: declared\n"
    assert load_model(tmp_path / "declared" / "flights.yaml") == found.model


def test_a_broken_setpoint_yaml_is_said_with_its_line(tmp_path: Path) -> None:
    flights(JANUARY, rows=100).write_parquet(tmp_path / "flights.parquet")
    (tmp_path / "setpoint.yaml").write_text("store: [\n")
    with pytest.raises(DeclarationError, match=r"setpoint\.yaml"):
        write(draft(tmp_path / "flights.parquet"), tmp_path)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    flights(JANUARY, rows=100).write_parquet(tmp_path / "flights.parquet")
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(StoreReadOnly, match="cannot be written"):
        write(draft(tmp_path / "flights.parquet"), tmp_path / "taken")


def test_outcomes_of_a_second_file_are_joined_by_key_and_decide_the_task(tmp_path: Path) -> None:
    table = flights(JANUARY)
    table.select("order_id", "predicted_at", "distance").write_parquet(tmp_path / "predictions.parquet")
    truth = table.select(
        "order_id",
        pl.when(pl.col("distance") > 1).then(pl.lit("late")).otherwise(pl.lit("ok")).alias("label"),
    )
    truth.write_csv(tmp_path / "truth.csv")

    found = draft(tmp_path / "predictions.parquet", outcomes=tmp_path / "truth.csv")

    assert reasons(found)["column of outcome"][0] == "label in truth.csv"
    assert found.model.positive == "late"
    assert "the rarest of 2 values" in reasons(found)["positive"][1]


def test_a_column_named_like_a_grouping_word_is_a_cohort_of_another_name(tmp_path: Path) -> None:
    days = flights(JANUARY).with_columns(day=pl.Series([["mon", "tue"][n % 2] for n in range(1200)]))
    days.write_parquet(tmp_path / "flights.parquet")

    found = draft(tmp_path / "flights.parquet", Given(columns=OUTCOME))
    write(found, tmp_path)

    assert Cohort("day_value", by="day") in found.model.cohorts
    assert load_project(tmp_path).models["flights"] == found.model


def test_one_of_a_thing_is_told_in_the_singular(tmp_path: Path) -> None:
    pl.DataFrame({"score": [0.25], "label": ["ok"], "kind": ["a"]}).write_parquet(tmp_path / "one.parquet")
    said = reasons(draft(tmp_path / "one.parquet"))
    assert said["column of score"][1] == "named like score, numbers from 0.25 to 0.25, 1 different value in 1 row"
    assert said["task"][1] == "guessed: the outcome has 1 different value"
    assert said["positive"][1] == "guessed: the only value, 1 row"
    assert said["features.kind"][1] == "guessed: VARCHAR, 1 different value"


@pytest.mark.parametrize(
    ("name", "tz", "role", "said"),
    [
        ("../b", "UTC", "time", "not a model's name"),
        ("", "Mars", "time", "no time zone is called 'Mars'"),
        ("", "UTC", "tiem", "no role is called 'tiem'"),
    ],
)
def test_what_cannot_be_is_refused_before_any_file_is_opened(name: str, tz: str, role: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Given(name, tz, {role: "a"})


def test_two_files_that_nothing_joins_are_refused(tmp_path: Path) -> None:
    flights(JANUARY, rows=60).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"label": [0, 1]}).write_csv(tmp_path / "b.csv")
    with pytest.raises(UsageError, match="nothing joins"):
        draft(tmp_path / "a.parquet", outcomes=tmp_path / "b.csv")


def test_a_file_without_a_time_is_said_and_declares_none(tmp_path: Path) -> None:
    flights(JANUARY).drop("predicted_at").write_parquet(tmp_path / "flights.parquet")
    found = draft(tmp_path / "flights.parquet")
    assert reasons(found)["column of time"] == (
        "none",
        "no column looks like one; name it: --map time=COLUMN",
    )
    assert found.model.reference == ""


def test_columns_of_any_name_and_without_any_value_are_told(tmp_path: Path) -> None:
    table = flights(JANUARY, rows=100).select(pl.col("distance").alias('we"ird: na.me'), "noise")
    table.with_columns(empty=pl.lit(None, pl.Float64)).write_parquet(tmp_path / "odd.parquet")
    found = draft(tmp_path / "odd.parquet")
    assert [one.name for one in found.model.features] == ['we"ird: na.me', "noise"]
    assert "# left out empty: DOUBLE (taken for no input" in found.yaml()
    write(found, tmp_path)
    assert load_project(tmp_path).models["odd"] == found.model


def test_a_time_without_a_zone_is_said(tmp_path: Path) -> None:
    table = flights(JANUARY).with_columns(pl.col("predicted_at").dt.replace_time_zone(None))
    table.write_parquet(tmp_path / "flights.parquet")
    found = draft(tmp_path / "flights.parquet", Given(tz="Asia/Kolkata"))
    assert "predicted_at is read in it where it carries no zone" in reasons(found)["timezone"][1]


@pytest.mark.parametrize("name", ["missing.parquet", "empty.csv", "notes.txt", "none-*.parquet"])
def test_a_file_that_cannot_be_read_is_refused_in_words(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.csv").write_text("a,b\n")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises((UsageError, EmptyFile)):
        draft(str(tmp_path / name))


def test_a_role_or_column_that_does_not_exist_is_refused_with_what_was_meant(tmp_path: Path) -> None:
    flights(JANUARY, rows=60).write_parquet(tmp_path / "flights.parquet")
    with pytest.raises(UsageError, match="did you mean outcome"):
        draft(tmp_path / "flights.parquet", Given(columns={"outcom": "late"}))
    with pytest.raises(ColumnError, match="did you mean 'late'"):
        draft(tmp_path / "flights.parquet", Given(columns={"outcome": "lates"}))


def test_rows_later_than_the_fit_give_a_bar_that_says_how_it_was_measured(tmp_path: Path) -> None:
    model = fitted(tmp_path)
    found = trained(tmp_path, model, "later.parquet")
    (bar,) = found.model.expectations
    assert bar.metric == "auc"
    assert bar.at_least is not None
    assert 0.7 < bar.at_least < 0.9
    for part in ("later.parquet", "1,200 rows", "2026-02-01 00:00", "2026-02-01 19:59", "95 % interval"):
        assert part in bar.source
    assert found.model.name == "flights"
    assert found.model.reference == str((tmp_path / "train.parquet").resolve())
    assert found.model.trained_until == parse_time("2026-01-01T19:59:01")
    shares = {one.name: one.importance for one in found.model.features}
    assert set(shares) == {"distance", "noise"}
    assert sum(share or 0.0 for share in shares.values()) == pytest.approx(1.0)
    assert (shares["distance"] or 0.0) > 0.9
    assert "auc lost when shuffled, on 1,200 rows of later.parquet" in reasons(found)["importance"][1]
    write(found, tmp_path / "project")
    assert load_project(tmp_path / "project").models["flights"] == found.model


def test_the_bar_and_the_importance_are_the_same_every_time(tmp_path: Path) -> None:
    model = fitted(tmp_path)
    drafts = [trained(tmp_path, model, "later.parquet") for _ in range(2)]
    assert drafts[0] == drafts[1]


@pytest.mark.parametrize("case", ["none", "earlier", "overlapping", "no time", "a time is missing"])
def test_rows_that_are_not_known_to_be_later_give_no_bar(tmp_path: Path, case: str) -> None:
    model = fitted(tmp_path)
    later = flights(FEBRUARY, rows=300, seed=2)
    table = {
        "none": None,
        "earlier": flights(JANUARY - timedelta(days=90), rows=300),
        "overlapping": flights(JANUARY + timedelta(hours=19, minutes=59), rows=300),
        "no time": later.drop("predicted_at"),
        "a time is missing": later.with_columns(
            predicted_at=pl.when(pl.col("noise") > 2).then(None).otherwise(pl.col("predicted_at"))
        ),
    }[case]
    if table is not None:
        table.write_parquet(tmp_path / "held.parquet")

    found = trained(tmp_path, model, "" if table is None else "held.parquet")
    assert found.model.expectations == ()
    assert found.notes["quality"].startswith(ON_TRAINING_ROWS)
    assert f"quality: {{}}  # {ON_TRAINING_ROWS}" in found.yaml()
    assert any(ON_TRAINING_ROWS in line for line in found.said)
    assert "1,200 rows of train.parquet" in reasons(found)["importance"][1]


def test_training_rows_without_a_time_give_no_bar(tmp_path: Path) -> None:
    model = fitted(tmp_path)
    flights(JANUARY).drop("predicted_at").write_parquet(tmp_path / "train.parquet")
    found = trained(tmp_path, model, "later.parquet")
    assert (found.model.trained_until, found.model.expectations) == (None, ())
    assert "the training file has no time" in found.notes["quality"]


def test_a_regression_is_judged_by_rmse_and_its_bar_is_an_upper_end(tmp_path: Path) -> None:
    table = flights(JANUARY)
    table.write_parquet(tmp_path / "train.parquet")
    flights(FEBRUARY, seed=2).write_parquet(tmp_path / "later.parquet")
    features = table.select("distance", "noise").to_pandas()
    with (tmp_path / "minutes.pkl").open("wb") as file:
        pickle.dump(LinearRegression().fit(features, table["minutes"]), file)

    found = draft_trained(
        tmp_path / "train.parquet",
        tmp_path / "minutes.pkl",
        Given(columns={"outcome": "minutes"}),
        holdout=tmp_path / "later.parquet",
    )

    (bar,) = found.model.expectations
    assert found.model.task is Task.REGRESSION
    assert (bar.metric, bar.at_least) == ("rmse", None)
    assert 1.0 < (bar.at_most or 0.0) < 1.2
    assert "rmse lost when shuffled" in reasons(found)["importance"][1]


def test_a_model_without_names_or_scores_is_asked_with_plain_numbers(tmp_path: Path) -> None:
    fitted(tmp_path)
    joblib.dump(Threshold(), tmp_path / "rule.joblib")

    found = trained(tmp_path, tmp_path / "rule.joblib", "later.parquet", inputs=("distance", "noise"))
    assert found.model.expectations[0].metric == "accuracy"
    assert found.model.features[0].importance == 1.0


class Threshold:
    """Predicts late for long distances; has no other method."""

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return (rows[:, 0] > 0).astype(int)


class Undecided:
    """Predicts nothing that is a number."""

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return np.full(len(rows), np.nan)


class Nothing:
    """No model."""


def test_text_outcomes_and_text_inputs_reach_the_model_as_it_was_fitted(tmp_path: Path) -> None:
    def labelled(start: datetime, seed: int) -> pl.DataFrame:
        table = flights(start, seed=seed)
        yes = (pl.col("carrier") == "AA") ^ (pl.col("noise") > 1.5)
        return table.with_columns(late=pl.when(yes).then(pl.lit("yes")).otherwise(pl.lit("no")))

    table = labelled(JANUARY, 1)
    table.write_parquet(tmp_path / "train.parquet")
    labelled(FEBRUARY, 2).with_columns(
        carrier=pl.when(pl.col("noise") < -2).then(None).otherwise(pl.col("carrier"))
    ).write_parquet(tmp_path / "later.parquet")
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["carrier"]))
    model = make_pipeline(encoder, LogisticRegression())
    joblib.dump(model.fit(table.select("carrier", "distance").to_pandas(), table["late"]), tmp_path / "m.joblib")

    found = trained(tmp_path, tmp_path / "m.joblib", "later.parquet")
    assert found.model.positive == "yes"
    assert (found.model.expectations[0].at_least or 0.0) > 0.8
    assert {one.name: one.importance for one in found.model.features} == {"carrier": 1.0, "distance": 0.0}


def test_a_model_that_does_not_fit_the_file_is_refused_in_words(tmp_path: Path) -> None:
    model = fitted(tmp_path)
    flights(JANUARY).drop("noise").write_parquet(tmp_path / "narrow.parquet")
    with pytest.raises(ColumnError, match="lacks inputs of the model: noise"):
        draft_trained(tmp_path / "narrow.parquet", model, Given(columns=OUTCOME))
    with pytest.raises(UsageError, match="looks like an outcome"):
        draft_trained(tmp_path / "train.parquet", model)
    unnamed = fitted(tmp_path, named=False)
    with pytest.raises(UsageError, match="takes 2 inputs") as refusal:
        draft_trained(tmp_path / "train.parquet", unnamed, Given(columns=OUTCOME))
    assert "--inputs" in refusal.value.hint


def test_outcomes_that_are_spelled_unlike_the_models_classes_are_refused(tmp_path: Path) -> None:
    model = fitted(tmp_path)
    words = flights(JANUARY).with_columns(late=pl.when(pl.col("late") == 1).then(pl.lit("yes")).otherwise(pl.lit("no")))
    words.write_parquet(tmp_path / "words.parquet")
    with pytest.raises(UsageError, match="classes are 0 and 1, late holds no, yes"):
        draft_trained(tmp_path / "words.parquet", model, Given(columns=OUTCOME))


def test_a_model_that_answers_with_no_number_is_refused(tmp_path: Path) -> None:
    fitted(tmp_path)
    joblib.dump(Undecided(), tmp_path / "undecided.joblib")
    with pytest.raises(UsageError, match="no finite number"):
        draft_trained(
            tmp_path / "train.parquet",
            tmp_path / "undecided.joblib",
            Given(columns={"outcome": "minutes"}, inputs=("noise",)),
        )


def test_too_few_rows_are_no_bar_but_an_unknown(tmp_path: Path) -> None:
    model = fitted(tmp_path)
    flights(FEBRUARY, rows=12).write_parquet(tmp_path / "later.parquet")
    found = trained(tmp_path, model, "later.parquet")
    assert found.model.expectations == ()
    assert found.notes["quality"].startswith("unknown: auc on later.parquet: needs")
    assert found.notes["importance"].startswith("unknown: needs")


def test_a_holdout_that_lacks_an_input_or_the_outcome_is_refused(tmp_path: Path) -> None:
    model = fitted(tmp_path)
    for missing in ("noise", "late"):
        flights(FEBRUARY).drop(missing).write_parquet(tmp_path / "held.parquet")
        with pytest.raises(ColumnError, match=missing):
            trained(tmp_path, model, "held.parquet")


def test_a_model_file_that_cannot_be_loaded_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "broken.joblib").write_bytes(b"not a pickle at all")
    joblib.dump(Nothing(), tmp_path / "nothing.joblib")
    (tmp_path / "elsewhere.pkl").write_bytes(b"cnot_installed_anywhere\nModel\n.")
    with pytest.raises(UsageError, match="cannot load") as broken:
        load_estimator(tmp_path / "broken.joblib")
    assert "joblib.dump" in broken.value.hint
    with pytest.raises(UsageError, match="neither predict_proba nor predict"):
        load_estimator(tmp_path / "nothing.joblib")
    with pytest.raises(UsageError, match="needs the package not_installed_anywhere"):
        load_estimator(tmp_path / "elsewhere.pkl")
    with pytest.raises(UsageError, match="no file at"):
        load_estimator(tmp_path / "missing.joblib")


def test_joblib_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "joblib", None)
    with pytest.raises(UsageError, match="joblib is not installed") as refusal:
        load_estimator(model)
    assert refusal.value.hint == "pip install joblib"


def test_a_single_timestamp_is_the_time_whatever_its_name(tmp_path: Path) -> None:
    model = fitted(tmp_path)
    for name in ("train", "later"):
        path = tmp_path / f"{name}.parquet"
        pl.read_parquet(path).rename({"predicted_at": "when"}).write_parquet(path)
    found = trained(tmp_path, model, "later.parquet")
    assert ("column of time", "when") in {(one.key, one.value) for one in found.guesses}
    assert found.model.reference
    assert found.model.expectations


def test_a_few_bad_cells_and_a_renamed_column_are_said_beside_the_feature(tmp_path: Path) -> None:
    lines = "\n".join(f"{'n/a' if n == 70 else n / 2},{n},{0.2 + n % 2 / 2},{n % 2}" for n in range(200))
    (tmp_path / "t.csv").write_text(f"amount,Amount,score,outcome\n{lines}")
    found = draft(tmp_path / "t.csv")
    assert found.model.feature("amount").kind == "numeric"  # pyright: ignore[reportOptionalMemberAccess]
    assert "1 of 200 values are no numbers and count as missing" in found.yaml()
    said = "\n".join(found.said)
    assert "Amount  (renamed: another column differs only in upper and lower case)" in said


def test_a_model_of_several_classes_is_drafted_with_its_accuracy(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    kinds = np.array(["bird", "cat", "dog"])
    came = rng.integers(0, 3, 900)
    frame = pl.DataFrame(
        {
            "ts": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(900)],
            "size": came + rng.normal(0.0, 0.4, 900),
            "noise": rng.normal(size=900),
            "kind": kinds[came],
        }
    )
    inputs = ["size", "noise"]
    fitted = LogisticRegression().fit(frame[:600, inputs].to_numpy(), frame["kind"][:600].to_list())
    joblib.dump(fitted, tmp_path / "pets.joblib")
    given = Given(columns={"outcome": "kind", "time": "ts"}, inputs=tuple(inputs))
    made = draft_trained(frame[:600], tmp_path / "pets.joblib", given, holdout=frame[600:])
    assert made.model.task is Task.MULTICLASS
    assert made.model.positive == ""
    (bar,) = made.model.expectations
    right = float((fitted.predict(frame[600:, inputs].to_numpy()) == frame["kind"][600:].to_numpy()).mean())
    assert bar.metric == "accuracy"
    assert 0.0 < right - (bar.at_least or 0.0) < 0.08
    importance = {one.name: one.importance or 0.0 for one in made.model.features}
    assert importance["size"] > 0.9
    odd = frame.with_columns(kind=pl.col("kind").replace({"bird": "a", "cat": "b", "dog": "c"}))
    with pytest.raises(UsageError, match="the model's classes are bird and cat and dog, kind holds a, b, c"):
        draft_trained(odd[:600], tmp_path / "pets.joblib", given)


def test_a_contract_is_guessed_that_the_file_itself_keeps(tmp_path: Path) -> None:
    table = flights(JANUARY).with_columns(gap=pl.Series([None if n % 20 == 0 else float(n % 7) for n in range(1200)]))
    found = draft(table, Given("flights"))
    contract = found.model.contract
    assert contract is not None
    rules = {rule.id for rule in contract.rules}
    assert {"distance.required", "distance.range", "carrier.allowed", "gap.missing", "gap.range"} <= rules
    assert "gap.required" not in rules
    assert check_table(table, contract).verdict is Verdict.OK
    write(found, tmp_path)
    assert load_model(tmp_path / "models" / "flights.yaml").contract == contract
    assert "none is missing" in (tmp_path / "models" / "flights.yaml").read_text(encoding="utf-8")


def test_few_rows_are_no_contract() -> None:
    found = draft(flights(JANUARY, rows=50), Given("flights"))
    assert found.model.contract is None
    assert any("fewer than 100 rows" in line for line in found.said)
