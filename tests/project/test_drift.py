"""Drift on tables without a store: what changed is named, and what did not is not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import setpoint
from setpoint.answers.answer import Cell, Table

START = 1_767_225_600_000_000  # Thursday 2026-01-01
PER_DAY = 800


def frame(
    days: int, seed: int, first: int = 0, shift: float = 0.0, missing: float = 0.02, new: float = 0.0
) -> pl.DataFrame:
    """Return days of rows of two numbers and a text, of which one number and the text may change."""
    rng = np.random.default_rng(seed)
    rows = days * PER_DAY
    at = START + (first * PER_DAY + np.arange(rows)) * (86_400_000_000 // PER_DAY)
    shop = np.where(rng.random(rows) < new, "new", rng.choice(["a", "b", "c"], rows))
    return pl.DataFrame(
        {
            "ts": at,
            "amount": rng.lognormal(3.0, 1.0, rows) * np.exp(shift),
            "age": np.where(rng.random(rows) < missing, np.nan, rng.normal(40.0, 9.0, rows)),
            "shop": shop,
        }
    ).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")), pl.col("age").fill_nan(None))


def rows_of(table: Table) -> dict[str, dict[str, Cell]]:
    found = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return {str(row["feature"]): row for row in found}


@pytest.fixture(scope="module")
def detector() -> setpoint.DriftDetector:
    return setpoint.DriftDetector(frame(28, 1), time="ts")


def test_days_like_the_reference_have_not_drifted(detector: setpoint.DriftDetector) -> None:
    answer = detector.check(frame(3, 2, first=28))
    assert answer.verdict is setpoint.Verdict.OK
    assert answer.headline == "no drift in 3 features"
    assert set(rows_of(answer.table("features"))) == {"amount", "age", "shop"}


@pytest.mark.parametrize(
    ("change", "feature", "question", "words"),
    [
        ({"shift": 0.3}, "amount", "location", "amount higher by"),
        ({"shift": -0.3}, "amount", "location", "amount lower by"),
        ({"missing": 0.1}, "age", "missing", "age missing in"),
        ({"new": 0.02}, "shop", "unseen", "shop values never seen in"),
    ],
)
def test_a_change_is_named(
    detector: setpoint.DriftDetector, change: dict[str, float], feature: str, question: str, words: str
) -> None:
    answer = detector.check(frame(2, 3, first=28, **change))
    assert answer.verdict is setpoint.Verdict.WARNING
    assert answer.headline.startswith(f"1 of 3 features drifted: {words}")
    found = rows_of(answer.table("features"))
    assert found[feature]["question"] == question
    assert [name for name, row in found.items() if row["drifted"]] == [feature]


def test_a_small_change_shows_after_some_days_fed_one_by_one() -> None:
    detector = setpoint.DriftDetector(frame(28, 4), time="ts")
    seen = [detector.feed(frame(1, 10 + day, first=28 + day, shift=0.07)).verdict for day in range(8)]
    assert seen[0] is setpoint.Verdict.OK
    assert seen[-1] is setpoint.Verdict.WARNING
    again = detector.feed(frame(1, 17, first=35, shift=0.07))
    assert again.verdict is setpoint.Verdict.WARNING
    assert "seen in" in again.text()


def test_a_gross_change_is_told_while_its_day_goes_on(detector: setpoint.DriftDetector) -> None:
    day, rng = frame(1, 11, first=28), np.random.default_rng(12)
    hour = pl.col("ts").dt.hour()
    broken = day.with_columns(
        pl.when((hour >= 10) & pl.Series(rng.random(len(day)) < 0.5)).then(None).otherwise(pl.col("age")).alias("age")
    )
    before = detector.check(broken.filter(hour < 10))
    assert "gross" not in {table.name for table in before.tables}
    soon = detector.check(broken.filter(hour < 12))
    [found] = rows_of(soon.table("gross")).values()
    assert (found["feature"], found["sign"], found["since"]) == ("age", "missing", "2026-01-29 10:00")
    assert isinstance(found["rows"], float)
    assert found["rows"] < 500
    assert soon.verdict is setpoint.Verdict.WARNING
    assert "age missing in" in soon.headline


@pytest.mark.parametrize("endless", [float("inf"), float("-inf")])
def test_an_infinity_is_no_value(detector: setpoint.DriftDetector, endless: float) -> None:
    broken = pl.when(pl.int_range(pl.len()) % 10 == 0).then(endless).otherwise(pl.col("age"))
    answer = detector.check(frame(1, 13, first=28).with_columns(age=broken))
    assert answer.verdict is setpoint.Verdict.WARNING
    assert "age missing in" in answer.headline


def test_a_day_of_a_few_rows_says_nothing_and_a_column_that_went_is_told_all_the_same(
    detector: setpoint.DriftDetector,
) -> None:
    answer = detector.check(frame(1, 14, first=28).head(1))
    assert answer.verdict is setpoint.Verdict.UNKNOWN
    assert answer.headline == "cannot say: the last day has 1 row, needs 20"
    gone = detector.check(frame(1, 14, first=28).select("ts"))
    assert gone.verdict is setpoint.Verdict.WARNING
    assert "vanished" in gone.headline


def test_columns_that_vanish_come_or_change_type_are_said(detector: setpoint.DriftDetector) -> None:
    table = frame(1, 5, first=28).with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("none")).otherwise(pl.lit("x")).alias("age"),
        extra=pl.lit(1.0),
    )
    found = rows_of(detector.check(table.drop("shop")).table("features"))
    assert found["shop"]["note"] == "vanished"
    assert found["extra"]["note"] == "is a new column"
    assert str(found["age"]["note"]).startswith("type changed from")


def test_a_feature_with_too_few_values_is_said_to_be_unknown() -> None:
    rare = pl.when(pl.int_range(pl.len()) % 40 == 0).then(pl.col("amount"))
    detector = setpoint.DriftDetector(frame(28, 8).with_columns(rare=rare, empty=pl.lit(None, pl.Float64)), time="ts")
    answer = detector.check(frame(1, 9, first=28).with_columns(rare=rare, empty=pl.lit(None, pl.Float64)))
    assert "rare" not in rows_of(answer.table("features"))
    (unknown,) = answer.unknowns
    assert unknown.startswith("whether rare, empty drifted: ")
    assert unknown.endswith("fewer than 50 values a day")


def test_few_days_are_said_and_no_times_are_refused() -> None:
    short = setpoint.DriftDetector(frame(5, 6), time="ts")
    answer = short.check(frame(1, 7, first=5))
    assert answer.verdict is setpoint.Verdict.OK
    assert any("fewer than 14 reference days" in line for line in answer.because)
    assert "whether anything changed grossly within the day: needs 7 days of reference" in answer.unknowns
    with pytest.raises(setpoint.UsageError):
        setpoint.DriftDetector(frame(5, 6).with_columns(ts=None), time="ts")
    with pytest.raises(setpoint.UsageError, match="no column"):
        setpoint.DriftDetector(frame(5, 6), time="when")


@pytest.mark.parametrize(
    ("first", "days", "verdict", "words"),
    [
        (27, 2, setpoint.Verdict.OK, "rows before 2026-01-28 23:58 lie in the time of the reference"),
        (20, 2, setpoint.Verdict.UNKNOWN, "rows before 2026-01-28 23:58 lie in the time of the reference"),
        (-5, 2, setpoint.Verdict.OK, "these rows lie before the reference, which begins 2026-01-01 00:00"),
    ],
)
def test_rows_that_are_not_after_the_reference_are_said(
    detector: setpoint.DriftDetector, first: int, days: int, verdict: setpoint.Verdict, words: str
) -> None:
    answer = detector.check(frame(days, 15, first=first))
    assert answer.verdict is verdict
    assert any(line.startswith(words) for line in answer.because)


def test_a_reference_of_hours_or_with_gaps_is_not_called_days() -> None:
    hours = setpoint.DriftDetector(frame(1, 16).head(PER_DAY // 4), time="ts").check(frame(1, 17, first=1))
    assert hours.because[0].endswith("against 6 h of the reference")
    assert any("how days differ is not known" in line for line in hours.because)
    gaps = pl.concat([frame(1, 18), frame(1, 19, first=19)])
    answer = setpoint.DriftDetector(gaps, time="ts").check(frame(1, 20, first=20))
    assert "against 2 days (of 20: the others have no rows) of the reference" in answer.because[0]
