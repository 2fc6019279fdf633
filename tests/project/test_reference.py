"""What comparisons start from can be a file: the training data, before a single prediction was recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import joblib
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from tests import commands

import setpoint
from setpoint.control.loop import tick
from setpoint.core.clock import micros
from setpoint.core.model import Cohort, Feature, Model
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout
from setpoint.store.spool import Spool

START = datetime(2026, 3, 1, tzinfo=UTC)


def training() -> pl.DataFrame:
    n = pl.int_range(4000, eager=True)
    amount = (n * 37) % 101
    return pl.DataFrame(
        {
            "ts": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute) for minute in range(4000)],
            "amount": amount,
            "country": ["DE" if even else "FR" for even in n % 2 == 0],
            "lost": n % 5,
            "is_fraud": (amount > 50).cast(pl.Int8),
        }
    )


def written(folder: Path, table: pl.DataFrame) -> Path:
    table.write_parquet(folder / "train.parquet")
    return folder / "train.parquet"


def served(folder: Path, model: Model, rows: int = 1000) -> Layout:
    """Record predictions whose amounts are as trained, and whose countries are not."""
    layout = Layout.create(folder / "store", replay_now=micros(START + timedelta(days=1)))
    layout.declare(model)
    recorder = Recorder(layout, model.name, version="v1", spool=Spool(layout))
    for n in range(rows):
        inputs = {"amount": (n * 37) % 101, "country": "DE" if n % 4 else "FR"}
        recorder.record(inputs, score=0.5, predicted_at=START + timedelta(minutes=n))
    recorder.close()
    return layout


def features(answer: setpoint.Answer, table: str = "features") -> dict[Any, dict[str, Any]]:
    found = answer.table(table)
    return {row[0]: dict(zip(found.columns, row, strict=True)) for row in found.rows}


def test_what_came_in_is_compared_with_the_training_rows(tmp_path: Path) -> None:
    layout = served(tmp_path, Model("fraud", reference=str(written(tmp_path, training()))))
    for _ in range(2):  # from rows, then from states
        answer = setpoint.open(layout.root).diff("fraud")
        assert "1 of 2 features changed beyond chance: country mix moved by" in answer.headline
        assert "(1,000 rows) against train.parquet (4,000 rows)" in answer.because[0]
        found = features(answer)
        assert set(found) == {"amount", "country"}  # the model's answers and the outcome are no inputs
        amounts = pl.read_parquet(tmp_path / "train.parquet")["amount"]
        assert found["amount"]["reference_mean"] == pytest.approx(amounts.mean())
        assert found["amount"]["reference_p50"] == pytest.approx(amounts.median(), abs=2)
        assert found["country"]["reference_top"] == "DE: 0.5000, FR: 0.5000"
        assert found["country"]["psi"] == pytest.approx(0.25 * 0.4054651 + 0.25 * 0.6931472, abs=1e-4)
        divergence = 0.75 * 0.4054651 - 0.25 * 0.6931472
        assert found["country"]["kullback_leibler"] == pytest.approx(divergence, abs=1e-4)
        assert 0.0 < found["country"]["kullback_leibler_expected"] < found["country"]["kullback_leibler_noise"] < 0.01
        tick(layout)


def test_a_declared_input_that_no_longer_comes_has_vanished_and_a_new_one_appeared(tmp_path: Path) -> None:
    path = written(tmp_path, training().select("country", "lost"))
    layout = served(tmp_path, Model("fraud", features=(Feature("lost"),)))
    found = features(setpoint.open(layout.root).diff("fraud", reference=path))
    assert {name: row["note"] for name, row in found.items()} == {
        "amount": "appeared",
        "country": None,
        "lost": "vanished",
    }


def test_a_type_that_differs_is_said(tmp_path: Path) -> None:
    columns = {"amount": "x" + pl.col("amount").cast(pl.String), "country": pl.col("lost") % 2}
    path = written(tmp_path, training().select(**columns))
    found = features(setpoint.open(served(tmp_path, Model("fraud")).root).diff("fraud", reference=path))
    assert found["amount"]["note"] == "type changed from VARCHAR to DOUBLE"
    assert found["country"]["note"] == "type changed from BIGINT to VARCHAR"


def test_groups_are_compared_with_the_same_groups_of_the_training_rows(tmp_path: Path) -> None:
    model = Model("fraud", reference=str(written(tmp_path, training())), cohorts=(Cohort("country", by="country"),))
    log = setpoint.open(served(tmp_path, model).root)
    rows = log.diff("fraud", by="country").table("by_country").rows
    sizes = {str(row[0]): row[13] for row in rows if row[1] == "amount"}
    assert sizes == {"DE": 2000.0, "FR": 2000.0}


def test_a_table_in_memory_and_a_log_of_files_do_as_well() -> None:
    frame = training()
    later = frame.with_columns(amount=pl.col("amount") + 500, score=pl.lit(0.5))
    for log in (setpoint.read(later, outcome="is_fraud"), setpoint.read(later.drop("ts"), outcome="is_fraud")):
        answer = log.diff(reference=frame)
        assert "amount mean" in answer.headline
        assert "the reference table (4,000 rows)" in answer.because[0]


def test_a_declared_file_that_is_gone_is_said_and_one_that_was_named_is_refused(tmp_path: Path) -> None:
    layout = served(tmp_path, Model("fraud", reference=str(tmp_path / "gone.parquet")))
    log = setpoint.open(layout.root)
    answer = log.diff("fraud")
    assert answer.because[-1] == f"the declared reference is not used: no file at {tmp_path / 'gone.parquet'}"
    with pytest.raises(setpoint.UsageError, match="no file at"):
        log.diff("fraud", reference=str(tmp_path / "gone.csv"))
    pl.DataFrame({"other": [1]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(setpoint.UsageError, match=r"other.parquet has none of the model's inputs: amount, country"):
        log.diff("fraud", reference=tmp_path / "other.parquet")


def test_init_train_gives_the_reference_before_the_first_prediction(tmp_path: Path) -> None:
    path = written(tmp_path, training())
    table = pl.read_parquet(path)
    model = LogisticRegression().fit(table.select("amount").to_pandas(), table["is_fraud"].to_numpy())
    joblib.dump(model, tmp_path / "fraud.joblib")

    def run(*words: str) -> CompletedProcess[str]:
        return commands.setpoint(*words, cwd=tmp_path)

    made = run(
        "init", "--train", "train.parquet", "--model", "fraud.joblib", "--name", "fraud", "--map", "outcome=is_fraud"
    )
    assert made.returncode == 0, made.stderr
    assert 'reference: "../train.parquet"' in (tmp_path / "models" / "fraud.yaml").read_text()
    assert run("apply").returncode == 0
    nothing = run("diff", "fraud")
    assert nothing.returncode == 3
    assert "the current window has no predictions" in nothing.stdout
    assert "against train.parquet (4,000 rows)" in nothing.stdout
    recorder = setpoint.Recorder(tmp_path / "store", model="fraud")
    for n in range(500):
        recorder.record({"amount": 200 + n % 7}, score=0.9)
    recorder.close()
    found = run("diff", "fraud")
    assert found.returncode == 0
    assert "fraud: 1 of 1 features changed beyond chance: amount mean 50" in found.stdout
