"""How old what a model learned is, and its loss of quality since: measured, estimated, or unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.answers.replayed import replay, rows_of

import setpoint
from setpoint.core.clock import DAY
from setpoint.core.model import Model, Task

START = 1_767_571_200_000_000  # Monday 2026-01-05
PER_DAY = 120
LATE = 30 * DAY


def served(days: int, *, flipped_from: int, flipped: float = 0.7) -> pl.DataFrame:
    """Return days of predictions; later ones have outcomes of which a share has nothing to do with the score."""
    rng = np.random.default_rng(4)
    at = START + np.arange(days * PER_DAY) * (DAY // PER_DAY)
    score = rng.random(len(at))
    is_flipped = (at >= START + flipped_from * DAY) & (rng.random(len(at)) < flipped)
    outcome = rng.random(len(at)) < np.where(is_flipped, 0.5, score)
    error = rng.normal(0.0, np.where(at >= START + flipped_from * DAY, 3.0, 1.0))
    times = pl.Series(at).cast(pl.Datetime("us", "UTC"))
    return pl.DataFrame({"ts": times, "score": score, "outcome": outcome.astype(float), "prediction": score + error})


def asked(table: pl.DataFrame, model: Model) -> setpoint.Answer:
    return setpoint.read(table, outcome="outcome", model=model).status()


def aged(answer: setpoint.Answer) -> dict[str, Any]:
    (row,) = rows_of(answer.table("training"))
    return row


@pytest.mark.parametrize(
    "model", [Model("m", trained_until=START - 5 * DAY), Model("m", reference="2025-10-01..2025-12-31")]
)
def test_the_latest_weeks_are_compared_with_the_first_after_training(model: Model) -> None:
    answer = asked(served(84, flipped_from=42), model)
    row = aged(answer)
    assert any(line == "trained on data until 2025-12-31 00:00, 89 d ago" for line in answer.because)
    assert row["age_seconds"] == pytest.approx(89 * 86_400, abs=1000)
    assert (row["first_start"], row["first_end"]) == ("2026-01-05 00:00", "2026-02-02 00:00")
    assert (row["latest_start"], row["latest_end"]) == ("2026-03-01 00:00", "2026-03-29 00:00")
    assert row["loss"] == pytest.approx(row["first_value"] - row["latest_value"])
    assert 0.1 < row["loss_low"] < row["loss"] < row["loss_high"]
    assert (row["metric"], row["better"], row["assumes"], row["unknown"]) == ("auc", "higher", None, None)
    assert "lost" in answer.text()


def test_a_greater_error_is_a_loss_and_no_loss_is_in_the_interval() -> None:
    model = Model("m", task=Task.REGRESSION, trained_until=START)
    assert aged(asked(served(60, flipped_from=30), model))["loss_low"] > 1.0
    unchanged = aged(asked(served(60, flipped_from=99), model))
    assert unchanged["loss_low"] < 0.0 < unchanged["loss_high"]


def test_while_outcomes_are_to_come_the_loss_is_an_estimate(tmp_path: Path) -> None:
    table = served(42, flipped_from=99).with_row_index("key")
    with replay(tmp_path, Model("m", trained_until=START), START, START + 42 * DAY) as (recorder, clock):
        events = [(int(row["ts"].timestamp() * 1e6), True, row) for row in table.iter_rows(named=True)]
        events += [(at + LATE, False, row) for at, _, row in events if at + LATE < START + 42 * DAY]
        for at, is_prediction, row in sorted(events, key=lambda event: (event[0], not event[1])):
            clock.set(at)
            if is_prediction:
                recorder.record({}, score=row["score"], key=str(row["key"]))
            else:
                recorder.outcome(row["outcome"], key=str(row["key"]))
        assert recorder.flush(30)
    answer = setpoint.open(tmp_path / "store").status("m")
    row = aged(answer)
    assert row["assumes"] == "estimate: assumes the concept is unchanged"
    assert (row["first_start"], row["first_end"]) == ("2026-01-05 00:00", "2026-01-12 00:00")
    assert (row["latest_start"], row["latest_end"]) == ("2026-01-19 00:00", "2026-02-16 00:00")
    assert row["loss_low"] < 0.0 < row["loss_high"]
    assert "latest weeks, estimated" in answer.text()


@pytest.mark.parametrize(
    ("until", "days", "why"),
    [
        (START + 9 * DAY, 8, "no prediction since then"),
        (START + 2 * DAY, 8, "needs 7 days since then with mature outcomes, there are 5"),
    ],
)
def test_what_nobody_can_know_yet_is_unknown(until: int, days: int, why: str) -> None:
    model = Model("m", trained_until=until)
    log = setpoint.read(served(days, flipped_from=99), outcome="outcome", model=model)
    answer = log.status(as_of="2026-01-20")
    assert aged(answer)["unknown"] == why
    assert f"how much auc was lost since training: {why}" in answer.unknowns


def test_a_file_of_training_rows_has_no_age(tmp_path: Path) -> None:
    table = served(8, flipped_from=99)
    table.write_parquet(tmp_path / "train.parquet")
    model = Model("m", reference=str(tmp_path / "train.parquet"))
    answer = asked(table, model)
    assert aged(answer)["unknown"] == "train.parquet does not say when its rows end: declare trained_until"
    assert aged(answer)["trained_until"] is None


@pytest.mark.parametrize("model", [Model("m"), Model("m", reference="28d"), Model("m", trained_until=START + 99 * DAY)])
def test_nothing_is_said_where_nothing_was_declared(model: Model) -> None:
    assert "training" not in {table.name for table in asked(served(8, flipped_from=99), model).tables}
