"""References by name: the windows that they stand for, said in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import setpoint
from setpoint.cli import app, commands
from setpoint.core.clock import DAY
from setpoint.core.errors import UsageError
from setpoint.core.model import Model
from setpoint.project.keeping import import_file
from setpoint.store.layout import Layout

START = 1_735_689_600_000_000  # Wednesday 2025-01-01
assert commands  # the app has none before they are imported
DAYS, ROWS = 400, 100


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    """Return 400 days: `x` is higher by 1 in the last winter, by 2 on weekends, and by 1.5 in version b."""
    rng = np.random.default_rng(5)
    day = np.repeat(np.arange(DAYS), ROWS)
    at = START + day * DAY + np.tile(np.arange(ROWS), DAYS) * (DAY // ROWS)
    x = rng.normal(0.0, 1.0, len(day)) + (day > 300) + 2.0 * np.isin((day + 2) % 7, (5, 6))
    version = np.where(rng.random(len(day)) < 0.5, "a", "b")
    frame = pl.DataFrame({"ts": pl.Series(at).cast(pl.Datetime("us", "UTC")), "x": x, "version": version})
    return frame.with_columns(
        score=pl.lit(0.5), x=pl.when(pl.col("version") == "b").then(pl.col("x") * 1.5).otherwise(pl.col("x"))
    )


@pytest.fixture(scope="module")
def log(table: pl.DataFrame) -> setpoint.Log:
    return setpoint.read(table, version="version", inputs=["x"])


SATURDAY = "2026-01-24..2026-01-25"


def test_last_year_is_fifty_two_weeks_before(log: setpoint.Log) -> None:
    answer = log.diff(current="2026-01-05..2026-01-19", reference="last-year")
    assert "against 2025-01-06 00:00 – 2025-01-20 00:00" in answer.because[0]
    assert answer.because[-1] == "the same weeks of last year, weekday by weekday"
    assert answer.verdict is setpoint.Verdict.WARNING


def test_a_saturday_is_like_other_saturdays_and_not_like_other_days(log: setpoint.Log) -> None:
    alike = log.diff(current=SATURDAY, reference="same-weekdays")
    assert "(400 rows)" in alike.because[0]
    assert alike.verdict is setpoint.Verdict.OK
    other = log.diff(current="2026-01-21..2026-01-22", reference="same-weekdays")
    assert other.verdict is setpoint.Verdict.OK
    assert "1 of 1 features" in log.diff(current=SATURDAY, reference="2026-01-13..2026-01-14").headline


def test_another_version_of_the_same_time(log: setpoint.Log) -> None:
    answer = log.diff(current="2026-01-05..2026-01-19", reference="version:a")
    assert answer.because[0].startswith("the other versions (")
    assert "x mean" in answer.headline
    with pytest.raises(UsageError, match="is of version 'c'") as caught:
        log.diff(current="2026-01-05..2026-01-19", reference="version:c")
    assert caught.value.hint == "known: a, b"


def test_training_is_what_is_declared_and_is_called_skew(tmp_path: Path, table: pl.DataFrame) -> None:
    table.write_parquet(tmp_path / "rows.parquet")
    table.filter(pl.col("version") == "a").write_parquet(tmp_path / "train.parquet")
    layout = Layout.create(tmp_path / "store")
    import_file(layout.root, "m", str(tmp_path / "rows.parquet"))
    runner = CliRunner()
    asked = ["diff", "m", "--against", "training", "--current", "2026-01-05..2026-01-19", "--as-of", "2026-02-01"]
    asked += ["--store", str(layout.root)]
    refused = runner.invoke(app, asked)
    assert isinstance(refused.exception, UsageError)
    for reference in ("2025-02-01..2025-03-01", str(tmp_path / "train.parquet")):
        layout.declare(Model("m", reference=reference))
        answered = runner.invoke(app, asked)
        assert "skew: against the data that the model was trained on" in answered.stdout
        assert answered.exit_code == 0


def test_groups_are_of_two_windows(log: setpoint.Log) -> None:
    with pytest.raises(UsageError, match="groups are compared between two windows"):
        log.diff(current=SATURDAY, reference="same-weekdays", by="version")
