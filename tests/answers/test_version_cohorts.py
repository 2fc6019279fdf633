"""A continuous learner's versions, `family@checkpoint`: answers by family and by the age of the checkpoint."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from tests.answers.replayed import replay, rows_of

import setpoint
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.errors import UsageError
from setpoint.core.model import Model
from setpoint.store.layout import Layout

START = 1_767_225_600_000_000  # 2026-01-01
DAYS = 14
ROWS = 2800  # one each 7.2 minutes


def frame() -> pl.DataFrame:
    """Return two weeks of a learner that is updated every other day, beside rules that never are."""
    rng = random.Random(3)
    made: list[dict[str, object]] = []
    for n in range(ROWS):
        at = START + n * DAYS * DAY // ROWS
        is_ranked = n % 4 != 0
        checkpoint = (at - START) // (2 * DAY)
        hours = ((at - START) % (2 * DAY)) // HOUR
        made.append(
            {
                "ts": at,
                "version": f"ranker@{checkpoint}" if is_ranked else "rules",
                "size": rng.gauss(50, 10) * (2 if is_ranked and at >= START + 7 * DAY else 1),
                "score": rng.uniform(0.7, 0.9),
                "y": int(rng.random() < (0.9 if hours < 24 else 0.5)),
                "cost_usd": 0.01 if is_ranked else 0.001,
            }
        )
    return pl.DataFrame(made)


def expected_bands(table: pl.DataFrame) -> Counter[str]:
    first = {row["version"]: row["ts"] for row in reversed(table.to_dicts())}
    bands = (
        (HOUR, "below 1h"),
        (6 * HOUR, "1h to 6h"),
        (DAY, "6h to 1d"),
        (7 * DAY, "1d to 7d"),
        (99 * DAY, "from 7d"),
    )
    ages = (row["ts"] - first[row["version"]] for row in table.to_dicts())
    return Counter(next(band for end, band in bands if age < end) for age in ages)


def opened(folder: Path, source: str) -> setpoint.Log:
    table = frame()
    if source == "file":
        timed = table.with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
        return setpoint.read(timed, time="ts", outcome="y", score="score", version="version", cost_usd="cost_usd")
    with replay(folder, Model("m"), START, START + DAYS * DAY) as (recorder, clock):
        for n, row in enumerate(table.to_dicts()):
            clock.set(row["ts"])
            name = recorder.record({"size": row["size"]}, score=row["score"], version=row["version"], key=f"k{n}")
            recorder.call(name, cost_nano_usd=round(row["cost_usd"] * 1e9))
            recorder.outcome(row["y"], key=f"k{n}")
    if source == "kept":
        tick(Layout.open(folder / "store"))
    return setpoint.open(folder / "store")


WHOLE = "2026-01-01..2026-01-15"
SOURCES = ["file", "store", "kept"]


@pytest.mark.parametrize("source", SOURCES)
def test_status_and_cost_by_family_and_by_age_count_each_row_once(tmp_path: Path, source: str) -> None:
    log, table = opened(tmp_path, source), frame()
    families = {"ranker": 3 * ROWS // 4, "rules": ROWS // 4}
    bands = expected_bands(table)
    assert len(bands) == 5
    costs: dict[str, float] = {}
    for by, counts in (("version_family", families), ("version_age", bands)):
        found = {row[by]: row for row in rows_of(log.status(over=WHOLE, by=by).table(f"by_{by}"))}
        assert {name: row["predictions"] for name, row in found.items()} == counts
        paid = {row[by]: row["cost_per_success_usd"] for row in rows_of(log.cost(over=WHOLE, by=by).table(f"by_{by}"))}
        assert paid.keys() == counts.keys()
        costs |= paid
    assert 5 < costs["ranker"] / costs["rules"] < 20
    assert costs["6h to 1d"] < costs["1d to 7d"]  # it is right less often then


@pytest.mark.parametrize("source", SOURCES)
def test_diff_by_family_finds_the_change_in_the_family_that_it_is_in(tmp_path: Path, source: str) -> None:
    log = opened(tmp_path, source)
    answer = log.diff(by="version_family", current="2026-01-08..2026-01-15", reference="2026-01-01..2026-01-08")
    found = {
        row["version_family"]: row for row in rows_of(answer.table("by_version_family")) if row["feature"] == "size"
    }
    assert found.keys() == {"ranker", "rules"}
    assert [float(str(found[name]["moved_ratio"])) > 0.3 for name in ("ranker", "rules")] == [True, False]
    by_age = rows_of(log.diff(by="version_age", current="2026-01-08..2026-01-15").table("by_version_age"))
    assert {row["version_age"] for row in by_age} <= set(expected_bands(frame()))


def test_kept_states_and_rows_answer_alike(tmp_path: Path) -> None:
    plain, kept = opened(tmp_path / "a", "store"), opened(tmp_path / "b", "kept")
    for by in ("version_family", "version_age"):
        for ask in ("status", "cost", "quality", "outcomes"):
            tables = [getattr(log, ask)(over=WHOLE, by=by).table(f"by_{by}").rows for log in (plain, kept)]
            plainly, from_kept = ([[_short(cell) for cell in row] for row in rows] for rows in tables)
            assert plainly == from_kept


def _short(cell: object) -> object:
    return f"{cell:.9g}" if isinstance(cell, float) else cell  # sums in another order differ in the last digits


def test_a_version_is_not_worth_more_by_its_own_family(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot split what a version is worth by version_family"):
        opened(tmp_path, "store").worth("rules", over="ranker@0", by="version_family")
    with pytest.raises(UsageError, match="known here: version, endpoint, version_family, version_age"):
        opened(tmp_path / "other", "file").status(by="nothing")
