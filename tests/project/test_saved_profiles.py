"""A profile kept as a file: it answers as the table did, holds no row, and is small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import setpoint
from setpoint.core.clock import DAY
from setpoint.core.errors import UsageError
from setpoint.core.model import Model
from setpoint.project.keeping import import_file
from setpoint.store.layout import Layout
from setpoint.store.profile_file import SavedProfile

START = 1_767_225_600_000_000  # 2026-01-01


def rows(days: int, first: int = 0, factor: float = 1.0, per_day: int = 400) -> pl.DataFrame:
    rng = np.random.default_rng(first)
    count = days * per_day
    at = START + first * DAY + np.arange(count) * (DAY // per_day)
    return pl.DataFrame(
        {
            "ts": pl.Series(at).cast(pl.Datetime("us", "UTC")),
            "amount": rng.lognormal(3.0, 1.0, count) * factor,
            "country": rng.choice(["de", "fr", "pl"], count),
        }
    )


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_it_answers_as_the_table_does(tmp_path: Path, factor: float) -> None:
    train, now = rows(28).drop("ts"), rows(7, 28, factor).drop("ts")
    setpoint.save_profile(train, tmp_path / "train.profile")
    kept, whole = setpoint.diff(tmp_path / "train.profile", now), setpoint.diff(train, now)
    assert kept.headline == whole.headline
    assert kept.table("features").rows == whole.table("features").rows


def test_days_are_told_apart_and_judge_a_log(tmp_path: Path) -> None:
    saved = setpoint.save_profile(rows(28), tmp_path / "train.profile", time="ts")
    assert [at for at, _ in saved.days] == [START + n * DAY for n in range(28)]
    for factor, verdict in ((1.0, setpoint.Verdict.OK), (1.3, setpoint.Verdict.WARNING)):
        log = setpoint.read(rows(10, 28, factor).with_columns(score=pl.lit(0.5)), inputs=["amount", "country"])
        answer = log.diff(reference=tmp_path / "train.profile")
        assert answer.verdict is verdict
        assert "the usual difference between 28 days" in answer.because[1]


def test_a_store_is_compared_with_it_from_rows(tmp_path: Path) -> None:
    setpoint.save_profile(rows(28), tmp_path / "train.profile", time="ts")
    rows(10, 28, 1.3).with_columns(score=pl.lit(0.5)).write_parquet(tmp_path / "rows.parquet")
    layout = Layout.create(tmp_path / "store")
    layout.declare(Model("m"))
    import_file(layout.root, "m", str(tmp_path / "rows.parquet"))
    log = setpoint.open(layout.root)
    answer = log.diff("m", reference=str(tmp_path / "train.profile"), as_of="2026-02-08")
    assert "1 of 2 features changed beyond chance: amount mean" in answer.headline
    with pytest.raises(UsageError, match="not with a profile"):
        log.diff("m", reference=str(tmp_path / "train.profile"), by="version")


def test_new_vanished_and_retyped_columns_are_said(tmp_path: Path) -> None:
    train = rows(2).drop("ts").with_columns(old=pl.lit(1.0), code=pl.lit(5))
    now = rows(2, 2).drop("ts").with_columns(fresh=pl.lit("x"), code=pl.lit("5"))
    setpoint.save_profile(train, tmp_path / "t.profile")
    answer = setpoint.diff(tmp_path / "t.profile", now)
    table = answer.table("features")
    notes = {row[0]: dict(zip(table.columns, row, strict=True))["note"] for row in table.rows}
    assert (notes["old"], notes["fresh"]) == ("vanished", "appeared")
    assert str(notes["code"]).startswith("type changed from INTEGER to VARCHAR")


def test_it_is_small_and_holds_no_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    numbers = {f"n{n}": rng.normal(0.0, 1.0, 50_000) for n in range(15)}
    texts = {f"c{n}": rng.choice([f"value-{k}" for k in range(40)], 50_000) for n in range(5)}
    secret = np.array([f"secret-{n}" for n in range(50_000)])
    at = pl.Series(START + np.arange(50_000) * (DAY // 50_000)).cast(pl.Datetime("us", "UTC"))
    path = tmp_path / "day.profile"
    setpoint.save_profile(pl.DataFrame({"ts": at, **numbers, **texts, "id": secret}), path, time="ts")
    assert path.stat().st_size <= 40_000
    assert "id" not in SavedProfile.read(path).kinds  # a text that differs in every row is no feature


@pytest.mark.parametrize("content", [b"", b"PAR1", b"setpoint profile 1\nnonsense"])
def test_what_is_no_profile_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.profile").write_bytes(content)
    with pytest.raises(UsageError, match=r"x.profile is no profile"):
        setpoint.diff(tmp_path / "x.profile", rows(1))
    with pytest.raises(UsageError, match="no file at"):
        setpoint.diff(tmp_path / "y.profile", rows(1))
