"""init, plan, apply, models and status without a name, as a user runs them."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import joblib
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from tests.commands import setpoint

from setpoint.cli import main
from setpoint.core.model import Expectation, Model
from setpoint.core.verdict import EXIT_USAGE
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout


def run(folder: Path, *words: str) -> CompletedProcess[str]:
    return setpoint(*words, cwd=folder)


def table(start: datetime, rows: int = 400) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "order_id": [f"{start:%m}-{n}" for n in range(rows)],
            "predicted_at": [start + timedelta(minutes=n) for n in range(rows)],
            "amount": [float(n * 37 % 101) for n in range(rows)],
            "label": [int(n * 37 % 101 + n * 53 % 41 > 70) for n in range(rows)],
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    train = table(datetime(2026, 1, 1, tzinfo=UTC))
    train.write_parquet(tmp_path / "train.parquet")
    table(datetime(2026, 2, 1, tzinfo=UTC)).write_parquet(tmp_path / "later.parquet")
    model = LogisticRegression().fit(train.select("amount").to_pandas(), train["label"].to_numpy())
    joblib.dump(model, tmp_path / "model.joblib")
    return tmp_path


def test_from_a_file_to_a_declared_model_and_its_inventory(folder: Path) -> None:
    first = run(folder, "init", "train.parquet", "--name", "fraud")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == ["setpoint.yaml", "model.schema.json", "models/fraud.yaml"]
    for word in ("predicted_at", "order_id", "label", "amount", "task", "binary"):
        assert word in first.stderr

    planned = run(folder, "plan")
    assert (planned.returncode, planned.stdout.splitlines()[:2]) == (0, ["+ store store", "+ model fraud"])
    applied = run(folder, "apply")
    assert applied.returncode == 0, applied.stderr
    assert run(folder, "apply").stdout == "nothing to change\n"
    unchanged = run(folder, "plan").stdout.splitlines()
    assert unchanged[-1] == "nothing to change"
    assert all(line.startswith("  fraud: storage:") for line in unchanged[:-1])

    found = run(folder, "models", "--json")
    assert found.returncode == 0, found.stderr
    answer = json.loads(found.stdout)
    assert answer["question"] == "models"
    assert answer["tables"]["models"][0]["model"] == "fraud"
    debt = run(folder, "models", "--debt", "--days", "7")
    assert debt.returncode == 0
    assert "add owner" in debt.stdout


def test_init_from_a_fitted_model_sets_a_bar_from_later_rows_only(folder: Path) -> None:
    words = ("init", "--train", "train.parquet", "--model", "model.joblib")

    with_later = run(folder, *words, "--holdout", "later.parquet", "--name", "measured")
    without = run(folder, *words, "--name", "unmeasured")
    swapped = run(folder, "init", "--train", "later.parquet", *words[3:], "--holdout", "train.parquet")

    assert (with_later.returncode, without.returncode, swapped.returncode) == (0, 0, 0), swapped.stderr
    assert "runs code from that file" in with_later.stderr
    assert "at_least" in (folder / "models" / "measured.yaml").read_text()
    for done, name in ((without, "unmeasured"), (swapped, "model")):
        assert "unknown: measured on training rows" in done.stderr
        assert "quality: {}  # unknown: measured on training rows" in (folder / "models" / f"{name}.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["init"], "name a file of predictions"),
        (["init", "missing.parquet"], "no file at missing.parquet"),
        (["init", "train.parquet", "--map", "outcome"], "not a column"),
        (["init", "train.parquet", "--map", "outcome=lable"], "did you mean 'label'"),
        (["init", "train.parquet", "--tz", "Mars"], "no time zone is called 'Mars'"),
        (["init", "train.parquet", "--name", "../b"], "not a model's name"),
        (["init", "--train", "train.parquet"], "--train goes with --model"),
        (["init", "--train", "train.parquet", "--model", "broken.joblib"], "cannot load broken.joblib"),
        (["init", "--train", "train.parquet", "--model", "none.joblib"], "no file at none.joblib"),
        (["plan"], "run `setpoint init`"),
        (["apply"], "run `setpoint init`"),
        (["models"], "there is no store at store"),
    ],
)
def test_a_request_that_cannot_be_met_exits_with_2_and_a_hint(folder: Path, words: list[str], said: str) -> None:
    (folder / "broken.joblib").write_bytes(b"\x80\x05broken")
    done = run(folder, *words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "hint:" in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_model_that_is_there_is_not_overwritten(folder: Path) -> None:
    assert run(folder, "init", "train.parquet").returncode == 0
    again = run(folder, "init", "train.parquet")
    assert (again.returncode, "--force" in again.stderr) == (2, True)
    assert run(folder, "init", "train.parquet", "--force").returncode == 0


def test_an_unknown_key_is_said_with_file_line_and_what_was_meant(folder: Path) -> None:
    run(folder, "init", "train.parquet", "--name", "fraud")
    (folder / "models" / "fraud.yaml").write_text("task: binary\nower: {team: risk}\n")
    for command in ("plan", "apply"):
        done = run(folder, command)
        assert done.returncode == 2
        assert "models/fraud.yaml:2: ower: unknown key" in done.stderr
        assert "did you mean owner?" in done.stderr
    assert not (folder / "store").exists()


def test_a_budget_that_is_too_small_shows_the_plan_and_exits_with_2(folder: Path) -> None:
    (folder / "setpoint.yaml").write_text("store: ./store\n")
    (folder / "models").mkdir()
    (folder / "models" / "fraud.yaml").write_text("features: [amount]\nretention: {age: 90d, size: 1MB}\n")
    done = run(folder, "plan")
    assert done.returncode == 2
    assert "+ model fraud" in done.stdout
    assert "over the declared budget" in done.stderr
    assert run(folder, "apply").returncode == 2
    assert not (folder / "store").exists()


def test_a_bar_that_no_model_can_meet_is_refused(folder: Path) -> None:
    (folder / "setpoint.yaml").write_text("store: ./store\n")
    (folder / "models").mkdir()
    (folder / "models" / "fraud.yaml").write_text("quality:\n  auc: {at_least: 85}\n")
    for command in ("plan", "apply"):
        done = run(folder, command)
        assert done.returncode == 2
        assert "models/fraud.yaml:2: quality.auc.at_least: found 85, expected 0 to 1" in done.stderr
        assert "hint: write 85 % as 0.85" in done.stderr


def test_history_is_lost_only_when_that_is_asked_for(folder: Path) -> None:
    text = "retention: {age: 3d}\noutcome_horizon: 1d\n"
    (folder / "setpoint.yaml").write_text("store: ./store\n")
    (folder / "models").mkdir()
    (folder / "models" / "fraud.yaml").write_text(text)
    assert run(folder, "apply").returncode == 0
    recorder = Recorder(folder / "store", "fraud", version="v1")
    for hours in range(0, 8 * 24, 6):
        recorder.record(score=0.3, predicted_at=datetime.now(tz=UTC) - timedelta(hours=hours))
    recorder.close()
    assert run(folder, "tick").returncode == 0
    assert run(folder, "gc").returncode == 0
    (folder / "models" / "fraud.yaml").write_text(f"{text}timezone: Asia/Kolkata\n")

    planned, refused = run(folder, "plan"), run(folder, "apply")
    assert (planned.returncode, refused.returncode) == (0, 2)
    assert "so apply needs --lose-history" in planned.stdout
    assert "their numbers go with the summaries" in refused.stderr
    assert "hint: leave timezone as before, or apply with --lose-history" in refused.stderr
    assert run(folder, "apply", "--lose-history").returncode == 0
    assert run(folder, "apply").stdout == "nothing to change\n"


def test_a_store_whose_place_is_taken_exits_with_2(folder: Path) -> None:
    run(folder, "init", "train.parquet", "--name", "fraud")
    (folder / "store").write_text("a file")
    done = run(folder, "apply")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr


def test_status_without_a_name_shows_all_models_and_exits_as_the_worst(folder: Path) -> None:
    layout = Layout.create(folder / "store")
    for name, expected in (("good", 0.5), ("bad", 0.999)):
        layout.declare(Model(name, expectations=(Expectation("auc", at_least=expected),)))
        recorder = Recorder(layout, name, version="v1")
        for n in range(400):
            score = 0.1 + 0.8 * (n % 10) / 10
            recorder.record(score=score, key=str(n))
            recorder.outcome(n % 10 + n % 7 > 8, key=str(n))
        recorder.close()
    done = run(folder, "status")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "✗ 2 models: 1 breach, 1 ok"
    assert [line.split()[:2] for line in lines[3:]] == [["✗", "bad"], ["✓", "good"]]


def test_main_turns_a_refusal_into_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["setpoint", "plan"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_what_was_said_of_columns_to_init_is_declared_and_holds_for_import(folder: Path) -> None:
    rows = table(datetime(2026, 3, 1, tzinfo=UTC)).rename({"label": "went_late"})
    rows.drop("went_late").with_columns(score=pl.col("amount") / 101).write_parquet(folder / "march.parquet")
    rows.select("order_id", "went_late", at=pl.col("predicted_at")).write_parquet(folder / "outcomes.parquet")
    rows.with_columns(pl.col("order_id") + "b", score=pl.col("amount") / 101).write_parquet(folder / "both.parquet")
    said = run(folder, "init", "both.parquet", "--name", "loans", "--map", "outcome=went_late")
    assert said.returncode == 0, said.stderr
    assert "columns: {outcome: went_late}" in (folder / "models" / "loans.yaml").read_text()
    assert run(folder, "apply").returncode == 0

    both = run(folder, "import", "both.parquet", "--model", "loans")
    assert "400 predictions with 400 outcomes imported" in both.stdout
    assert "inputs: amount\n" in both.stderr
    alone = run(folder, "import", "march.parquet", "--model", "loans")
    assert alone.stdout == "400 predictions imported\n", "a column that a file has not plays no role in it"
    later = run(folder, "import", "outcomes.parquet", "--model", "loans", "--outcomes", "--map", "time=at")
    assert later.stdout == "400 outcomes imported\n", later.stderr


def test_a_role_that_there_is_not_is_said_with_its_line(folder: Path) -> None:
    (folder / "setpoint.yaml").write_text("store: ./store\n")
    (folder / "models").mkdir()
    (folder / "models" / "loans.yaml").write_text("task: binary\ncolumns: {outcom: went_late}\n")
    refused = run(folder, "plan")
    assert refused.returncode == 2
    assert (
        "models/loans.yaml:2: columns.outcom: no role is called outcom\nhint: did you mean outcome?" in refused.stderr
    )


QUESTIONS = ("status good", "status broken", "cost good", "route good", "status", "models", "metrics", "doctor")


@pytest.mark.parametrize(
    ("file", "broken"),
    [
        ("models/broken.yaml", b"task: [binary\n"),
        ("models/broken.yaml", b"task: bin\n"),
        ("models/broken.yaml", b"name: other\n"),
        ("prices.yaml", b"prices: [\xff]\n"),
    ],
)
def test_a_file_that_does_not_hold_stops_no_question_and_no_metrics(tmp_path: Path, file: str, broken: bytes) -> None:
    (tmp_path / "setpoint.yaml").write_text("store: ./store\n")
    (tmp_path / "models").mkdir()
    for name in ("good", "broken"):
        (tmp_path / "models" / f"{name}.yaml").write_text("timezone: Europe/Paris\n")
        recorder = Recorder(tmp_path / "store", name, version="v1")
        recorder.record({"x": 1.0}, score=0.5)
        assert recorder.close()
    assert run(tmp_path, "apply").returncode == 0
    before = {words: run(tmp_path, *words.split()) for words in QUESTIONS}
    (tmp_path / file).write_bytes(broken)
    for words, was in before.items():
        found = run(tmp_path, *words.split())
        assert (found.returncode, found.stdout[:40]) == (was.returncode, was.stdout[:40])
        assert f"not in force, what was applied last is: {file}:" in found.stderr
    for name in ("good", "broken"):
        assert f'setpoint_predictions_total{{model="{name}"' in run(tmp_path, "metrics").stdout
    assert "(Europe/Paris)" in run(tmp_path, "status", "broken").stdout
    assert run(tmp_path, "tick").returncode == 0
    for words in ("plan", "apply"):
        assert run(tmp_path, words).returncode == EXIT_USAGE
