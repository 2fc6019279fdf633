"""What a column is, is decided by the reference: none is lost because a later table looks different."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import setpoint
from setpoint.answers.answer import Answer
from setpoint.core.errors import ColumnError

START = 1_767_225_600_000_000  # 2026-01-01
DAY, PER_DAY = 86_400_000_000, 400


def rows(days: int, first: int = 0, per_day: int = PER_DAY) -> pl.DataFrame:
    rng = np.random.default_rng(first)
    count = days * per_day
    at = START + first * DAY + np.arange(count) * (DAY // per_day)
    return pl.DataFrame({"ts": at, "x": rng.normal(size=count), "y": rng.normal(size=count)}).with_columns(
        pl.col("ts").cast(pl.Datetime("us", "UTC"))
    )


REFERENCE, LATER = rows(28), rows(1, 28)
COUNTER = pl.int_range(pl.len())
NAMED = pl.format("{}-{}", pl.lit("id"), COUNTER)


def notes(answer: Answer) -> dict[str, str]:
    table = answer.table("features")
    feature, note = (table.columns.index(name) for name in ("feature", "note"))
    return {str(row[feature]): str(row[note]) for row in table.rows}


def found(before: pl.Expr, after: pl.Expr, tmp_path: Path) -> dict[str, str]:
    """Return what the detector, `diff` and `diff` with a profile say of a column `c`."""
    reference, later = REFERENCE.with_columns(c=before), LATER.with_columns(c=after)
    setpoint.save_profile(reference, tmp_path / "r.profile", time="ts")
    answers = {
        "detector": setpoint.DriftDetector(reference, time="ts").check(later),
        "diff": setpoint.diff(reference, later),
        "profile": setpoint.diff(tmp_path / "r.profile", later),
    }
    return {name: notes(answer).get("c", "") for name, answer in answers.items()}


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (pl.col("x"), pl.col("x").cast(pl.String), "type changed from DOUBLE to VARCHAR"),
        (COUNTER % 7, (COUNTER % 7).cast(pl.String), "type changed from BIGINT to VARCHAR"),
        ((COUNTER % 7).cast(pl.String), COUNTER % 7, "type changed from VARCHAR to BIGINT"),
        (pl.col("x") > 0, (pl.col("x") > 0).cast(pl.Int64), "type changed from BOOLEAN to BIGINT"),
        (pl.col("x"), pl.concat_list("x", "y"), "type changed from DOUBLE to DOUBLE[]"),
    ],
)
def test_another_type_is_a_finding_of_its_own(before: pl.Expr, after: pl.Expr, words: str, tmp_path: Path) -> None:
    assert found(before, after, tmp_path) == dict.fromkeys(("detector", "diff", "profile"), words)


def test_a_wider_number_is_no_other_type(tmp_path: Path) -> None:
    said = found(COUNTER % 7, (COUNTER % 7).cast(pl.Float64), tmp_path)
    assert not any(words.startswith("type") for words in said.values())


def test_a_time_that_became_text_is_told(tmp_path: Path) -> None:
    reference, later = REFERENCE.with_columns(seen="ts"), LATER.with_columns(seen=pl.col("ts").cast(pl.String))
    told = "type changed from TIMESTAMP WITH TIME ZONE to VARCHAR"
    assert notes(setpoint.DriftDetector(reference, time="ts").check(later))["seen"] == told
    assert notes(setpoint.diff(reference, later))["seen"] == told
    setpoint.save_profile(reference, tmp_path / "r.profile", time="ts")
    assert notes(setpoint.diff(tmp_path / "r.profile", later))["seen (age in days)"] == told


def test_a_category_of_which_each_row_is_new_has_not_vanished(tmp_path: Path) -> None:
    reference, later = REFERENCE.with_columns(c=pl.format("c{}", COUNTER % 5)), LATER.with_columns(c=NAMED)
    answer = setpoint.DriftDetector(reference, time="ts").check(later)
    assert answer.headline.startswith("1 of 3 features drifted: c values never seen in 100.0 %")
    assert "c has new values" in setpoint.diff(reference, later).headline
    assert set(found(pl.format("c{}", COUNTER % 5), NAMED, tmp_path).values()).isdisjoint({"vanished"})


def test_what_is_left_out_is_said_once(tmp_path: Path) -> None:
    both = [table.with_columns(id=NAMED, v=pl.concat_list("x", "y")) for table in (REFERENCE, LATER)]
    said = "the reference: left out: id (10,000 different texts in the first 10,000 rows), v (nested)"
    setpoint.save_profile(both[0], tmp_path / "r.profile", time="ts")
    for answer in (
        setpoint.DriftDetector(both[0], time="ts").check(both[1]),
        setpoint.diff(*both),
        setpoint.diff(tmp_path / "r.profile", both[1]),
    ):
        assert [line for line in answer.because if "left out" in line] == [said]
        assert answer.verdict is setpoint.Verdict.OK
    assert set(notes(setpoint.diff(tmp_path / "r.profile", both[1]))) == {"x", "y"}  # its time is no feature either


def test_rows_without_a_time_are_counted() -> None:
    late = LATER.with_columns(ts=pl.when(COUNTER % 4 > 0).then("ts"))
    answer = setpoint.DriftDetector(REFERENCE, time="ts").check(late)
    assert "100 of 400 rows have no time in 'ts': left out" in answer.because


def test_a_column_of_nulls_is_all_missing(tmp_path: Path) -> None:
    detector = setpoint.DriftDetector(REFERENCE, time="ts")
    assert "x missing in 100.0 %" in detector.check(LATER.with_columns(x=None)).headline
    assert "x vanished" in setpoint.diff(REFERENCE, LATER.with_columns(x=None)).headline
    assert found(pl.lit(None), pl.col("x"), tmp_path) == dict.fromkeys(("detector", "diff", "profile"), "appeared")
    of_words = pl.lit(None, pl.String)  # as a CSV has it: without a value there is no type that changed
    assert "type" not in str(found(pl.col("x"), of_words, tmp_path))


@pytest.mark.parametrize("inputs", [["zzz"], ["x", "zzz"]])
def test_an_input_that_is_nowhere_is_refused(inputs: list[str], tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match="no column 'zzz' for inputs"):
        setpoint.DriftDetector(REFERENCE, time="ts", inputs=inputs)
    with pytest.raises(ColumnError, match="no column 'zzz' for inputs"):
        setpoint.diff(REFERENCE, LATER, inputs=inputs)
    with pytest.raises(ColumnError, match="no column 'zzz' for inputs"):
        setpoint.save_profile(REFERENCE, tmp_path / "r.profile", inputs=inputs)


def test_inputs_are_a_list_and_times_are_times() -> None:
    with pytest.raises(setpoint.UsageError, match="'x' is a text, and a list of columns is wanted"):
        setpoint.DriftDetector(REFERENCE, time="ts", inputs="x")  # pyright: ignore[reportArgumentType]
    with pytest.raises(setpoint.UsageError, match=r"time='x' holds numbers such as .*, which are no times"):
        setpoint.DriftDetector(REFERENCE, time="x")
    with pytest.raises(ColumnError, match="which is no time"):
        setpoint.DriftDetector(REFERENCE, time="ts").check(LATER.with_columns(ts=pl.concat_list("ts")))
    seconds = pl.col("ts").dt.epoch("s").cast(pl.Float64)
    detector = setpoint.DriftDetector(REFERENCE.with_columns(ts=seconds), time="ts")
    assert detector.check(LATER.with_columns(ts=seconds)).verdict is setpoint.Verdict.OK


def test_a_constant_that_varies_is_told_however_few_rows_do() -> None:
    detector = setpoint.DriftDetector(REFERENCE.with_columns(c=1.0), time="ts")
    assert detector.check(LATER.with_columns(c=1.0)).verdict is setpoint.Verdict.OK
    answer = detector.check(LATER.with_columns(c=pl.when(COUNTER < 4).then(2.0).otherwise(1.0)))
    assert answer.verdict is setpoint.Verdict.BREACH
    assert answer.headline == "1 of 3 features drifted: c: was constant and now varies"


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_huge_numbers_are_finite_or_missing(sign: float) -> None:
    huge = pl.when(COUNTER % 9 == 0).then(1e308 * sign).when(COUNTER % 9 == 1).then(-1e308).otherwise("x")
    for before, after in ((huge, huge), (pl.col("x"), huge), (huge, pl.col("x"))):
        answer = setpoint.diff(REFERENCE.with_columns(x=before), LATER.with_columns(x=after))
        cells = [cell for table in answer.tables for row in table.rows for cell in row]
        assert all(np.isfinite(cell) for cell in cells if isinstance(cell, float))
        assert "mean or deviation of x: its numbers are too large for one" in answer.unknowns
        assert " inf" not in str(answer)


def test_codes_of_a_csv_stay_texts_where_most_of_them_are_numbers(tmp_path: Path) -> None:
    of = pl.when(COUNTER % 20 == 0).then(pl.lit("A1")).otherwise((COUNTER % 3 + 7).cast(pl.String))
    of_more = pl.when(COUNTER % 5 == 0).then(pl.lit("A1")).otherwise((COUNTER % 3 + 7).cast(pl.String))
    REFERENCE.with_columns(c=of_more).write_csv(tmp_path / "before.csv")
    LATER.with_columns(c=of).write_csv(tmp_path / "after.csv")
    detector = setpoint.DriftDetector(str(tmp_path / "before.csv"), time="ts")
    assert "type" not in notes(detector.check(str(tmp_path / "after.csv")))["c"]


def test_a_profile_says_how_long_its_rows_reach(tmp_path: Path) -> None:
    some = setpoint.save_profile(REFERENCE.head(PER_DAY // 4), tmp_path / "r.profile", time="ts")
    assert some.reach == "5.9 h"
    assert "against the reference table, 5.9 h (100 rows)" in setpoint.diff(tmp_path / "r.profile", LATER).because[0]
