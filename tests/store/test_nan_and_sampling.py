"""What is no number counts as missing wherever it lies, and sampled rows bring no false change."""

from __future__ import annotations

import math
import random
from pathlib import Path

import polars as pl
import pytest

import setpoint
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.model import Model, Success, Task
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.spool import Spool

START = 1_767_225_600_000_000  # 2026-01-01


def at(layout: Layout, time: int) -> None:
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    clock.set(time)
    clock.save()


def recorder(layout: Layout) -> Recorder:
    return Recorder(layout, "m", version="v", spool=Spool(layout))


@pytest.mark.parametrize("is_ticked", [False, True])
def test_scores_and_inputs_that_are_no_numbers_crash_nothing_in_a_store(tmp_path: Path, *, is_ticked: bool) -> None:
    layout = Layout.create(tmp_path / "store", replay_now=START)
    made = recorder(layout)
    for n in range(400):
        score = math.nan if n % 50 == 7 else n % 200 / 200
        x = math.nan if n % 40 == 3 else math.inf if n % 40 == 5 else n / 400
        made.record({"x": x}, score=score, key=f"k{n}", predicted_at=START + n * HOUR // 4)
        made.outcome(n % 2, key=f"k{n}", observed_at=START + n * HOUR // 4 + HOUR)
    made.close()
    at(layout, START + 5 * DAY)
    if is_ticked:
        tick(layout)
    log = setpoint.open(layout.root)
    values = {row[0]: row[1] for row in log.status("m", over="5d").table("metrics").rows}
    assert values["brier"] is not None
    rows = {
        row[0]: row for row in log.diff("m", current="2d", reference="2026-01-02..2026-01-03").table("features").rows
    }
    columns = log.diff("m", current="2d", reference="2026-01-02..2026-01-03").table("features").columns
    assert rows["x"][columns.index("reference_missing_ratio")] == pytest.approx(2 / 96)


@pytest.mark.parametrize("task", Task)
def test_a_file_with_values_that_are_no_numbers_reads_like_one_with_gaps(tmp_path: Path, task: Task) -> None:
    rng = random.Random(3)
    rows = 2000
    numbers = [rng.gauss(10, 2) for _ in range(rows)]
    score = [rng.random() for _ in range(rows)]
    truth = [float(rng.random() < s) if task is Task.BINARY else 10 * s + rng.gauss(0, 1) for s in score]
    answer = score if task is Task.BINARY else [10 * s for s in score]

    def column(values: list[float], *, every: int, gap: float | None) -> pl.Series:
        return pl.Series([gap if n % every == 1 else value for n, value in enumerate(values)], dtype=pl.Float64)

    found: list[dict[str, object]] = []
    for gap in (None, math.nan):
        path = tmp_path / f"{gap}.parquet"
        pl.DataFrame(
            {
                "ts": pl.Series([START + n * HOUR for n in range(rows)]).cast(pl.Datetime("us", "UTC")),
                "amount": column(numbers, every=10, gap=gap),
                "guess": column(answer, every=25, gap=gap),
                "truth": column(truth, every=30, gap=gap),
            }
        ).write_parquet(path)
        guess = {"score": "guess", "prediction": ""} if task is Task.BINARY else {"prediction": "guess", "score": ""}
        model = Model("m", task=task, success=Success(tolerance=1.0) if task is Task.REGRESSION else Success())
        columns = {"time": "ts", "outcome": "truth", **guess}
        log = setpoint.read(path, model=model, inputs=["amount"], **columns)  # pyright: ignore[reportArgumentType] — by role
        status = {row[0]: row[1] for row in log.status(over="60d").table("metrics").rows}
        diff = log.diff(current="30d").table("features")
        features = {f"{row[0]}.{name}": cell for row in diff.rows for name, cell in zip(diff.columns, row, strict=True)}
        found.append({str(name): value for name, value in {**status, **features}.items()})
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        assert found[1][name] == (pytest.approx(value) if isinstance(value, float) else value), name
    assert found[1]["amount.reference_missing_ratio"] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("keep", [1.0, 0.2, 0.05])
def test_sampled_rows_change_no_more_often_by_chance_than_all_of_them(tmp_path: Path, keep: float) -> None:
    rng = random.Random(11)
    layout = Layout.create(tmp_path / "store", replay_now=START)
    layout.declare(Model("m", keep=keep))
    made = recorder(layout)
    for n in range(round(600 / keep)):
        when = START + n * 14 * DAY // round(600 / keep)
        inputs: dict[str, object] = {f"x{k}": rng.gauss(0, 1) for k in range(8)}
        inputs |= {f"c{k}": rng.choice("abcd") for k in range(4)}
        # Its own identifier: what is kept is drawn by its hash, and is to be the same every time.
        made.record(inputs, score=rng.random(), predicted_at=when, prediction_id=f"p{n}")
    made.close()
    at(layout, START + 14 * DAY)
    tick(layout)
    table = setpoint.open(layout.root).diff("m").table("features")
    frame = pl.DataFrame(table.rows, schema=list(table.columns), orient="row", infer_schema_length=None)
    assert len(frame) == 13
    # Each by chance 1 time in 20: P(4 or more of 13) is 0.3 %.
    assert len(frame.filter(pl.col("moved_ratio") > 0)) <= 3
    assert len(frame.filter((pl.col("mean_shift_low") > 0) | (pl.col("mean_shift_high") < 0))) <= 3
