"""Answers by group: each group's numbers are those of its rows alone."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest
from tests.answers.replayed import replay, rows_of

import setpoint
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.errors import UsageError
from setpoint.core.model import Cohort, Model
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.spool import Spool

START = 1_767_225_600_000_000  # 2026-01-01


def frame(rows: int = 4000, seed: int = 5) -> pl.DataFrame:
    """Return two weeks of rows: from the second on, amounts are doubled in Italy, and a country is new."""
    rng = random.Random(seed)
    made: list[dict[str, object]] = []
    for n in range(rows):
        at = START + n * 14 * DAY // rows
        is_late = at >= START + 7 * DAY
        country = rng.choice(["de", "fr", "it", *(["pt"] if is_late else [])])
        amount = rng.gauss(50, 10) * (2 if is_late and country == "it" else 1)
        made.append(
            {
                "ts": at,
                "country": country,
                "amount": amount,
                "size": rng.choice("abc"),
                "version": "v2" if is_late and n % 2 else "v1",
                "score": rng.random(),
            }
        )
    return pl.DataFrame(made).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))


WINDOWS = {"reference": "2026-01-01..2026-01-08", "current": "2026-01-08..2026-01-15"}


def recorded(folder: Path, table: pl.DataFrame, *, keep: float = 1.0) -> setpoint.Log:
    model = Model("m", cohorts=(Cohort("country", by="country"),), keep=keep)
    with replay(folder, model, START, START + 14 * DAY + HOUR) as (recorder, _):
        for row in table.with_columns(pl.col("ts").cast(pl.Int64)).to_dicts():
            inputs = {name: row[name] for name in ("country", "amount", "size")}
            recorder.record(inputs, score=row["score"], version=row["version"], predicted_at=row["ts"])
    return setpoint.open(folder / "store")


@pytest.mark.parametrize("source", ["file", "store", "kept"])
def test_what_changed_inside_each_group_is_counted_from_its_rows(tmp_path: Path, source: str) -> None:
    table = frame()
    log = setpoint.read(table, cohorts=["country"]) if source == "file" else recorded(tmp_path, table)
    if source == "kept":
        tick(Layout.open(tmp_path / "store"))
    answer = log.diff(by="country", current=WINDOWS["current"], reference=WINDOWS["reference"])
    halves = {
        "reference": table.filter(pl.col("ts").cast(pl.Int64) < START + 7 * DAY),
        "current": table.filter(pl.col("ts").cast(pl.Int64) >= START + 7 * DAY),
    }
    found = {(row["country"], row["feature"]): row for row in rows_of(answer.table("by_country"))}
    assert {country for country, _ in found} == {"de", "fr", "it", "pt"}
    for country in ("de", "fr", "it"):
        row = found[country, "amount"]
        for window, part in halves.items():
            own = part.filter(pl.col("country") == country)
            assert row[f"{window}_rows"] == len(own)
            assert row[f"{window}_mean"] == pytest.approx(own["amount"].mean())
            assert row[f"{window}_sd"] == pytest.approx(own["amount"].std())
            assert row[f"{window}_minimum"] == own["amount"].min()
            assert row[f"{window}_maximum"] == own["amount"].max()
        assert (row["moved_ratio"] > 0.3) == (country == "it")  # pyright: ignore[reportOperatorIssue] — a number
        top = str(found[country, "size"]["current_top"])
        shares = dict(part.split(": ") for part in top.split(", "))
        own = halves["current"].filter(pl.col("country") == country)["size"]
        assert {value: float(share) for value, share in shares.items()} == pytest.approx(
            {value: (own == value).mean() for value in "abc"}, abs=1e-4
        )
    lines = [line[0] for line in answer.table("by_country").lines]
    assert lines[0] == "it"
    assert "pt" in lines
    assert "needs 50 rows in the reference and 20" in next(
        line[3] for line in answer.table("by_country").lines if line[0] == "pt"
    )


def test_versions_are_groups_and_sampled_rows_are_weighted(tmp_path: Path) -> None:
    table = frame(8000)
    log = recorded(tmp_path, table, keep=0.5)
    tick(Layout.open(tmp_path / "store"))
    found = {
        row["version"]: row
        for row in rows_of(
            log.diff(by="version", current=WINDOWS["current"], reference=WINDOWS["reference"]).table("by_version")
        )
    }
    assert set(found) == {"v1", "v2"}
    assert found["v2"]["reference_rows"] in {None, 0.0}
    assert found["v2"]["current_rows"] == pytest.approx(2000, rel=0.08)


@pytest.mark.parametrize("ask", ["status", "diff", "cost"])
def test_a_group_that_is_not_declared_is_refused_with_those_that_are(ask: str) -> None:
    log = setpoint.read(frame(), cohorts=["country"])
    with pytest.raises(UsageError, match="cannot group by 'region'") as caught:
        getattr(log, ask)(by="region")
    day = "day, " if ask == "cost" else ""
    assert caught.value.hint == f"known here: version, endpoint, {day}version_family, version_age, country"


def test_tokens_a_request_are_those_of_calls_and_retries_and_of_no_shadow(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "store", replay_now=START)
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for n in range(40):
        name = recorder.record({"x": n}, score=0.5)
        recorder.call(name, cost_nano_usd=1000, input_tokens=100, cached_read_tokens=20, output_tokens=30)
        if n % 4 == 0:
            recorder.call(name, cost_nano_usd=1000, attempt=2, input_tokens=100, reasoning_tokens=60)
        shadow = recorder.record({"x": n}, score=0.5, role="shadow", parent_id=name, root_id=name)
        recorder.call(shadow, cost_nano_usd=1000, input_tokens=5000)
    recorder.close()
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    clock.set(START + 2 * HOUR)
    clock.save()
    for _ in range(2):  # from rows, then from states
        answer = setpoint.open(layout.root).status("m")
        values = {row[0]: row[1] for row in answer.table("metrics").rows}
        assert values["tokens_per_request"] == 150 + 160 / 4
        assert "190 tokens each" in answer.text()
        tick(layout)


def test_a_declared_reference_from_before_the_first_prediction_is_said_and_not_used(tmp_path: Path) -> None:
    log = recorded(tmp_path, frame())
    Layout.open(tmp_path / "store").declare(Model("m", reference="2025-06-01..2025-12-01"))
    answer = log.diff("m")
    assert answer.verdict is not setpoint.Verdict.UNKNOWN
    assert answer.because[-1].startswith("the declared reference (2025-06-01 00:00 – 2025-12-01 00:00) lies before")
    Layout.open(tmp_path / "store").declare(Model("m", reference="2026-01-01..2026-01-03"))
    rows = rows_of(log.diff("m").table("features"))
    assert rows[0]["current_rows"] == pytest.approx(2000, abs=20)


def test_explain_lists_every_answer_and_the_limit_they_share() -> None:
    log = setpoint.read(frame(), cohorts=["country"])
    answer = log.diff(explain=True, current=WINDOWS["current"], reference=WINDOWS["reference"])
    changed = {str(row["feature"]) for row in rows_of(answer.table("features")) if row["changed"]}
    answers = rows_of(answer.table("answers"))
    assert {str(row["feature"]) for row in answers if row["is_alarm"]} == changed == {"amount", "country"}
    assert {str(row["question"]) for row in answers if row["feature"] == "amount"} == {
        "location", "spread", "missing", "shape", "unseen"
    }  # fmt: skip
    assert f"{len(answers)} answers of 4 features" in answer.because[-1]
    assert "1.0 % of any false alarm" in answer.because[-1]
    with pytest.raises(KeyError, match="answers"):
        log.diff(current=WINDOWS["current"], reference=WINDOWS["reference"]).table("answers")


def test_a_version_in_shadow_is_judged_by_the_outcomes_of_what_the_caller_got(tmp_path: Path) -> None:
    with replay(tmp_path, Model("m"), START, START + DAY) as (recorder, _):
        for n in range(400):
            at, name = START + n * HOUR // 20, f"r{n}"
            answer = {"predicted_at": at, "prediction_id": name, "version": "v1"}
            recorder.record({"x": 1.0}, prediction=n % 2 == 0, **answer)  # pyright: ignore[reportArgumentType] — details
            copy = {
                "predicted_at": at,
                "prediction_id": f"{name}s",
                "parent_id": name,
                "root_id": name,
                "role": "shadow",
            }
            recorder.record({"x": 1.0}, prediction=n % 4 == 0, version="v2", **copy)  # pyright: ignore[reportArgumentType] — as above
            recorder.outcome(n % 4 == 0, prediction_id=name, observed_at=at)
    table = setpoint.open(tmp_path / "store").status("m", by="version").table("by_version")
    found = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert {name: row["predictions"] for name, row in found.items()} == {"v1": 400, "v2": 400}
    assert {name: row["value"] for name, row in found.items()} == {"v1": 0.75, "v2": 1.0}
