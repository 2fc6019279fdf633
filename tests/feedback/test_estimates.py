"""Quality before outcomes, from stores and files: shown apart, named an estimate, and never part of the verdict."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.leaves import same

import setpoint
from setpoint.control.loop import tick
from setpoint.core.clock import DAY
from setpoint.core.finding import MOVED, Finding
from setpoint.core.model import Expectation, Model, Task
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.feedback.estimates import ASSUMED, Estimates, estimates
from setpoint.feedback.weighted_estimates import WeightedEstimates, weighted_estimates
from setpoint.predictions.recorder import Recorder
from setpoint.stats.special import expit
from setpoint.store.findings import write_findings
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.spool import Spool

START = 1_767_571_200_000_000  # Monday 2026-01-05
PER_DAY, DAYS, LATE = 60, 28, 4 * DAY
WINDOW = Window(START + 21 * DAY, START + 28 * DAY)
BAR = Model("m", expectations=(Expectation("auc", at_least=0.95),))


def made(*, version: str = "", seed: int = 1) -> list[dict[str, Any]]:
    """Return rows of four weeks whose outcome comes after four days; a score of s comes true in half as many cases.

    Args:
        version: Of the last week's rows, if it is another one.
        seed: Of the rows.
    """
    rng = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for n in range(PER_DAY * DAYS):
        at = START + n * DAY // PER_DAY
        is_new = at >= WINDOW.start
        kind = "b" if rng.random() < (0.7 if is_new else 0.3) else "a"
        score = float(expit(rng.gauss(-0.5, 1.5)))  # pyright: ignore[reportArgumentType] — one number is an array of none
        rows.append(
            {
                "prediction_id": f"p{n}",
                "at": at,
                "kind": kind,
                "score": score,
                "outcome": int(rng.random() < score / 2),
                "version": version if version and is_new else "v1",
            }
        )
    return rows


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> setpoint.Log:
    return recorded(tmp_path_factory.mktemp("estimates"), made())


def recorded(folder: Path, rows: list[dict[str, Any]], model: Model = BAR, days: float = DAYS) -> setpoint.Log:
    """Return a store in which `days` have been lived."""
    layout = Layout.create(folder / "store", replay_now=START)
    layout.declare(model)
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    recorder = Recorder(layout, "m", spool=Spool(layout))
    events = [(row["at"], True, row) for row in rows] + [(row["at"] + LATE, False, row) for row in rows]
    for at, is_prediction, row in sorted(events, key=lambda event: (event[0], not event[1])):
        if at >= START + round(days * DAY):
            break
        clock.set(at)
        if is_prediction:
            recorder.record(
                {"kind": row["kind"]},
                score=row["score"],
                prediction_id=row["prediction_id"],
                version=row["version"],
            )
        else:
            recorder.outcome(row["outcome"], prediction_id=row["prediction_id"])
    recorder.close()
    clock.set(START + round(days * DAY))
    clock.save()
    return setpoint.open(layout.root)


def estimated(log: setpoint.Log, window: Window = WINDOW) -> Estimates:
    with log.evidence("m") as evidence:
        return estimates(evidence, window)


def weighted(log: setpoint.Log) -> WeightedEstimates:
    with log.evidence("m") as evidence:
        return weighted_estimates(evidence, WINDOW)


def test_the_estimate_holds_what_comes_true_and_names_the_outcomes_it_rests_on(store: setpoint.Log) -> None:
    found = estimated(store)
    truth = sum(row["outcome"] for row in made() if row["at"] >= WINDOW.start) / (7 * PER_DAY)
    by_name = {metric.name: metric for metric in found.metrics}
    rate = by_name["estimated_base_rate"]
    assert (rate.low or 0.0) <= truth <= (rate.high or 0.0)
    assert by_name["estimated_auc"].value == pytest.approx(0.75, abs=0.08)
    assert found.assumed == f"{ASSUMED} since the outcomes of 2026-01-05 00:00 – 2026-01-26 00:00"
    assert rate.rows == 21 * PER_DAY


def test_early_outcomes_of_the_window_itself_teach_nothing(store: setpoint.Log) -> None:
    reference = estimated(store).reference
    assert reference is not None
    assert reference.end <= WINDOW.start


def test_status_shows_estimates_apart_while_outcomes_are_few_and_its_verdict_is_the_same(store: setpoint.Log) -> None:
    answer = store.status("m", over="3d")
    table = answer.table("estimates")
    assert {row[0] for row in table.rows} >= {"estimated_auc", "estimated_accuracy", "estimated_f1"}
    assert all(str(row[table.columns.index("assumes")]).startswith(ASSUMED) for row in table.rows)
    assert f"95 % interval; {ASSUMED} since the outcomes of" in answer.text()
    # estimated_auc is far below the bar of 0.95, and still nothing is known
    assert answer.verdict is Verdict.UNKNOWN
    assert not any(str(row[0]).startswith("estimated") for row in answer.table("metrics").rows)


@pytest.mark.parametrize("kind", sorted(MOVED))
def test_where_inputs_moved_status_shows_the_weighted_estimate_beside_the_other(tmp_path: Path, kind: str) -> None:
    log = recorded(tmp_path, made())
    layout = Layout.open(tmp_path / "store")
    assert "weighted_estimates" not in {table.name for table in log.status("m", over="3d").tables}
    moved = Finding(
        model="m", kind=kind, cause="", subject="x", started_at=WINDOW.start, ended_at=None, severity="warning",
        state="open", said="x moved", evidence="{}", recorded_at=WINDOW.start, revision=0,
    )  # fmt: skip
    write_findings(layout, "m", [moved], kinds=[kind], now=WINDOW.start)
    answer = log.status("m", over="3d")
    table = answer.table("weighted_estimates")
    assert {row[0] for row in table.rows if row[1] is not None} >= {"estimated_auc", "estimated_f1"}
    assert str(table.rows[0][table.columns.index("assumes")]).endswith("whose rows are weighted to look like these")
    assert answer.verdict is Verdict.UNKNOWN


def test_status_shows_no_estimates_when_outcomes_say_enough(store: setpoint.Log) -> None:
    answer = store.status("m", over="2026-01-05..2026-01-19")
    assert "estimates" not in {table.name for table in answer.tables}


def test_kept_states_and_rows_give_the_same_estimates(tmp_path: Path) -> None:
    log = recorded(tmp_path, made())
    from_rows = estimated(log)
    tick(Layout.open(tmp_path / "store"))
    kept = estimated(setpoint.open(tmp_path / "store"))
    for one, other in zip(from_rows.metrics, kept.metrics, strict=True):
        assert (one.name, one.rows, one.unknown) == (other.name, other.rows, other.unknown)
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), rel=1e-9)


def test_an_estimate_as_of_a_time_knows_nothing_later(tmp_path: Path, store: setpoint.Log) -> None:
    then = recorded(tmp_path, made(), days=24)
    window = Window(START + 21 * DAY, START + 24 * DAY)
    with store.evidence("m", "2026-01-29") as evidence:
        later = estimates(evidence, window)
    assert same(estimated(then, window), later)


def test_a_version_without_mature_outcomes_is_unknown(tmp_path: Path) -> None:
    log = recorded(tmp_path, made(version="v2"))
    found = estimated(log, Window(WINDOW.start, WINDOW.start + 3 * DAY)).metrics[0]
    assert found.value is None
    assert found.unknown == "needs 200 more mature outcomes to calibrate"
    mixed = estimated(log, Window(WINDOW.start - DAY, WINDOW.start + 3 * DAY)).metrics[0]
    assert mixed.unknown == "needs 200 more mature outcomes of version v2, 75% of the window to calibrate"


def test_a_young_model_says_when_it_can_be_estimated(tmp_path: Path) -> None:
    log = recorded(tmp_path, made(), days=2)
    found = estimated(log, Window(START + DAY, START + 2 * DAY)).metrics[0]
    assert found.unknown == "no outcome has arrived yet, and what scores mean is learned from outcomes"


def test_weighted_rows_are_estimated_apart_and_say_what_they_are_worth(store: setpoint.Log) -> None:
    found = weighted(store)
    assert found.auc == pytest.approx(0.7, abs=0.06)
    assert 400 < (found.effective_rows or 0.0) < 21 * PER_DAY
    assert {metric.name for metric in found.metrics if metric.value is not None} >= {"estimated_auc", "estimated_f1"}


def moved_file(path: Path, columns: Callable[[random.Random, str], dict[str, Any]]) -> list[dict[str, Any]]:
    """Write rows of which kind b is 30 % before the window and 70 % in it, without outcomes there; return them with."""
    rng = random.Random(5)
    rows: list[dict[str, Any]] = []
    for n in range(PER_DAY * DAYS):
        at = START + n * DAY // PER_DAY
        kind = "b" if rng.random() < (0.7 if at >= WINDOW.start else 0.3) else "a"
        rows.append({"at": at, "kind": kind, **columns(rng, kind)})
    known = [{**row, "outcome": None if row["at"] >= WINDOW.start else row["outcome"]} for row in rows]
    frame = pl.DataFrame(known, infer_schema_length=None).with_columns(pl.from_epoch("at", time_unit="us"))
    frame.write_parquet(path)
    return [row for row in rows if row["at"] >= WINDOW.start]


def of_class(rng: random.Random, kind: str) -> dict[str, Any]:
    """Return an answer whose confidence of .9 is right of kind a and wrong in half of kind b."""
    is_right = rng.random() < (0.5 if kind == "b" else 0.9)
    confidence = 0.85 + 0.1 * rng.random()
    return {"prediction": "x", "score": confidence, "outcome": "x" if is_right else "y"}


def of_number(rng: random.Random, kind: str) -> dict[str, Any]:
    """Return a prediction whose error is four times as large of kind b."""
    predicted = rng.gauss(10.0, 1.0)
    return {"prediction": predicted, "outcome": predicted + rng.gauss(0.0, 4.0 if kind == "b" else 1.0)}


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.REGRESSION])
def test_weights_mend_the_estimates_of_classes_and_numbers_where_inputs_moved(tmp_path: Path, task: Task) -> None:
    is_class = task is Task.MULTICLASS
    rows = moved_file(tmp_path / "rows.parquet", of_class if is_class else of_number)
    log = setpoint.read(
        str(tmp_path / "rows.parquet"), time="at", prediction="prediction", outcome="outcome",
        score="score" if is_class else "", model=Model("", task=task),
    )  # fmt: skip
    with log.evidence("") as evidence:
        plain, mended = estimates(evidence, WINDOW).metrics[0], weighted_estimates(evidence, WINDOW).metrics[0]
    right = [
        row["outcome"] == row["prediction"] if is_class else abs(row["outcome"] - row["prediction"]) for row in rows
    ]
    truth = sum(right) / len(right)
    assert plain.name == mended.name == ("estimated_accuracy" if is_class else "estimated_mae")
    assert (mended.low or 0.0) <= truth <= (mended.high or 0.0)
    assert not (plain.low or 0.0) <= truth <= (plain.high or 0.0)


def test_weighted_rows_of_another_version_teach_nothing(tmp_path: Path) -> None:
    found = weighted(recorded(tmp_path, made(version="v2")))
    assert found.metrics[0].unknown == "needs 200 more mature outcomes to calibrate"


def test_errors_of_another_version_of_a_regression_teach_nothing(tmp_path: Path) -> None:
    rows = moved_file(tmp_path / "rows.parquet", of_number)
    frame = pl.read_parquet(tmp_path / "rows.parquet")
    start = pl.from_epoch(pl.lit(rows[0]["at"]), time_unit="us")
    frame.with_columns(version=pl.when(pl.col("at") >= start).then(pl.lit("v2")).otherwise(pl.lit("v1"))).write_parquet(
        tmp_path / "rows.parquet"
    )
    log = setpoint.read(
        str(tmp_path / "rows.parquet"), time="at", prediction="prediction", outcome="outcome", version="version",
        model=Model("", task=Task.REGRESSION),
    )  # fmt: skip
    with log.evidence("") as evidence:
        plain, mended = estimates(evidence, WINDOW).metrics[0], weighted_estimates(evidence, WINDOW).metrics[0]
    assert plain.unknown == mended.unknown == "needs 200 more mature outcomes to learn how large errors are"


def test_a_file_whose_last_outcomes_are_missing_is_estimated(tmp_path: Path) -> None:
    rows = [{**row, "outcome": None if row["at"] >= WINDOW.start else row["outcome"]} for row in made()]
    path = tmp_path / "rows.parquet"
    frame = pl.DataFrame(rows).with_columns(pl.from_epoch("at", time_unit="us"))
    frame.write_parquet(path)
    log = setpoint.read(str(path), time="at", score="score", outcome="outcome")
    table = log.status().table("estimates")
    assert {row[0] for row in table.rows if row[1] is not None} >= {"estimated_auc", "estimated_brier"}


def test_errors_of_a_regression_are_estimated_from_its_predictions(tmp_path: Path) -> None:
    rng = random.Random(3)
    rows: list[dict[str, Any]] = []
    for n in range(PER_DAY * DAYS):
        at = START + n * DAY // PER_DAY
        predicted = rng.gauss(3.0 if at < WINDOW.start else 4.0, 1.0)
        true = predicted + rng.gauss(0.0, max(predicted, 0.1))
        rows.append({"at": at, "prediction": predicted, "outcome": None if at >= WINDOW.start else true, "true": true})
    path = tmp_path / "rows.parquet"
    frame = pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.from_epoch("at", time_unit="us"))
    frame.drop("true").write_parquet(path)
    model = Model("", task=Task.REGRESSION)
    log = setpoint.read(str(path), time="at", prediction="prediction", outcome="outcome", model=model)
    found = {str(row[0]): row for row in log.status().table("estimates").rows}
    errors = [abs(row["true"] - row["prediction"]) for row in rows if row["outcome"] is None]
    truth = sum(errors) / len(errors)
    _, value, low, high, *_ = found["estimated_mae"]
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert low <= truth <= high
    assert isinstance(value, float)
    assert value > 2.8  # errors of the days before were 2.4: predictions have grown, and errors grow with them
    assert found["estimated_rmse"][1] is not None
