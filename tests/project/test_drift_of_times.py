"""A date among the inputs is watched by its age: one that goes along with the calendar has not drifted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import setpoint

START = datetime(2026, 3, 2, tzinfo=UTC)
PER_DAY = 500


def orders(
    days: int, seed: int, first: int = 0, *, stale: float = 0.0, missing: float = 0.0, kind: str = "time"
) -> pl.DataFrame:
    """Return days of rows whose customer was last seen some days ago; a stale feed stands still for some more."""
    rng = np.random.default_rng(seed)
    at = [START + timedelta(days=first + n / PER_DAY) for n in range(days * PER_DAY)]
    ages = rng.exponential(10.0, len(at)) + stale
    seen = [
        None if gone else when - timedelta(days=float(age))
        for when, age, gone in zip(at, ages, rng.random(len(at)) < missing, strict=True)
    ]
    table = pl.DataFrame({"ts": at, "seen_at": seen, "x": rng.normal(size=len(at))})
    return table.with_columns(pl.col("seen_at").cast(pl.Date)) if kind == "date" else table


@pytest.mark.parametrize("kind", ["time", "date"])
def test_a_date_that_goes_along_with_the_calendar_has_not_drifted(kind: str) -> None:
    detector = setpoint.DriftDetector(orders(28, 1, kind=kind), time="ts")
    assert detector.check(orders(3, 2, first=28, kind=kind)).headline == "no drift in 2 features"
    stale = detector.check(orders(1, 3, first=28, stale=5.0, kind=kind))
    assert stale.headline.startswith("1 of 2 features drifted: seen_at (age in days) higher by")
    gone = detector.check(orders(1, 4, first=28, missing=0.2, kind=kind))
    assert "seen_at (age in days) missing in" in gone.headline


def test_a_date_that_becomes_a_text_has_another_type_and_one_without_a_value_is_missing() -> None:
    detector = setpoint.DriftDetector(orders(28, 1), time="ts")
    rows = orders(1, 2, first=28)
    text = detector.check(rows.with_columns(pl.col("seen_at").dt.strftime("%Y-%m")))
    assert "type changed from TIMESTAMP WITH TIME ZONE to VARCHAR" in str(text)
    nothing = detector.check(rows.with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias("seen_at")))
    assert "seen_at (age in days) missing in" in nothing.headline


def test_without_times_of_the_rows_only_missing_dates_are_seen(tmp_path: Path) -> None:
    before, after = orders(7, 1), orders(7, 2, first=200)
    assert "nothing changed" in setpoint.diff(before.drop("ts"), after.drop("ts"), inputs=["seen_at", "x"]).headline
    gone = orders(7, 3, missing=0.3)
    assert "seen_at (age in days) missing 0.0 % → 30.0 %" in setpoint.diff(before.drop("ts"), gone.drop("ts")).headline
    saved = setpoint.save_profile(before, tmp_path / "before.profile", time="ts")
    assert saved.is_timed
    answer = setpoint.diff(tmp_path / "before.profile", after.drop("ts"))
    assert "nothing changed" in answer.headline
    assert "no age to hold against" in str(answer.table("features").rows)


def test_a_text_that_is_declared_as_a_time_is_no_other_type(tmp_path: Path) -> None:
    orders(28, 1).write_parquet(tmp_path / "train.parquet")
    written = pl.col("seen_at").dt.strftime("%Y-%m-%dT%H:%M:%S+00:00")
    rows = orders(7, 2, first=28).with_columns(written, score=0.5)
    model = setpoint.Model("m", features=(setpoint.Feature("seen_at", kind="time"), setpoint.Feature("x")))
    log = setpoint.read(rows, model=model, inputs=["seen_at", "x"], time="ts")
    assert "nothing changed" in log.diff(reference=str(tmp_path / "train.parquet")).headline
    undeclared = setpoint.read(rows, inputs=["seen_at", "x"], time="ts").diff(reference=str(tmp_path / "train.parquet"))
    assert "seen_at type changed from TIMESTAMP WITH TIME ZONE to VARCHAR" in undeclared.headline
