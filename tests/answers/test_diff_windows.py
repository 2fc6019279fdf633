"""The windows of `diff`: those that overlap, have gaps or have too few rows are said, never shown as fine."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import setpoint
from setpoint.core.clock import DAY

START = 1_767_225_600_000_000  # 2026-01-01
PER_DAY, DAYS = 240, 40


def log(*, keep: float = 1.0, without: range = range(0)) -> setpoint.Log:
    """Return a log of forty days, of which one group has four rows."""
    rng = np.random.default_rng(1)
    count = DAYS * PER_DAY
    number = np.arange(count)
    table = pl.DataFrame(
        {
            "ts": pl.Series(START + number * (DAY // PER_DAY)).cast(pl.Datetime("us", "UTC")),
            "x": rng.normal(size=count),
            "g": np.where(number % 2400 == 2399, "rare", "a"),
            "score": rng.random(count),
            "keep_probability": np.where(rng.random(count) < 0.5, keep, 1.0),
        }
    )
    kept = table.filter(~pl.Series((number // PER_DAY).tolist()).is_in(list(without)))
    return setpoint.read(kept, inputs=["x", "g"], cohorts=["g"])


def test_a_group_of_a_few_rows_is_unknown_with_the_reason() -> None:
    table = log().diff(by="g").table("by_g")
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    rare = [row for row in rows if row["g"] == "rare"]
    assert {row["changed"] for row in rare} == {None}
    assert {row["note"] for row in rare} == {"unknown: needs 50 rows in the reference and 20 in the current window"}
    assert {row["changed"] for row in rows if row["g"] == "a"} == {False}


def test_a_year_without_rows_is_unknown_and_lists_no_feature() -> None:
    answer = log().diff(reference="last-year")
    assert (answer.verdict, answer.exit_code) == (setpoint.Verdict.UNKNOWN, 3)
    assert answer.headline == "cannot compare: the reference window has no predictions"
    table = answer.table("features")
    assert {row[table.columns.index("changed")] for row in table.rows} == {None}
    assert not table.lines


@pytest.mark.parametrize(
    ("current", "reference", "words"),
    [
        ("2026-02-02..2026-02-09", "2026-01-05..2026-02-04", "the windows overlap: the rows of 2026-02-02 00:00 – "),
        ("2026-01-05..2026-01-12", "2026-01-12..2026-02-04", "the current window lies before the reference"),
    ],
)
def test_windows_that_are_not_one_after_the_other_are_said(current: str, reference: str, words: str) -> None:
    assert any(line.startswith(words) for line in log().diff(current=current, reference=reference).because)


def test_one_window_twice_is_refused() -> None:
    with pytest.raises(setpoint.UsageError, match="the current window and the reference are the same"):
        log().diff(current="7d", reference="7d")


def test_a_window_with_gaps_says_on_how_many_days_it_has_rows() -> None:
    gone = log(without=range(5, 23))
    said = gone.diff(current="2026-02-02..2026-02-09", reference="2026-01-04..2026-01-24").because[0]
    assert said.endswith("against 2026-01-04 00:00 – 2026-01-24 00:00, which has rows on 2 of its 20 days, (480 rows)")


@pytest.mark.parametrize(("keep", "is_said"), [(1.0, False), (0.5, True)])
def test_counts_of_sampled_rows_are_said_to_be_estimates(keep: float, *, is_said: bool) -> None:
    because = log(keep=keep).diff().because
    assert any(line.startswith("counts of rows are estimates") for line in because) is is_said
