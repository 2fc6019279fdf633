"""The inventory says who answers for what, and what is missing; the overview shows the worst first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import setpoint
from setpoint.control.loop import tick
from setpoint.core.clock import micros
from setpoint.core.model import BusinessMetric, Cohort, Expectation, Model, Owner
from setpoint.core.verdict import Verdict
from setpoint.predictions.recorder import Recorder
from setpoint.project.log import open_log
from setpoint.project.overview import models_answer, overview
from setpoint.store.layout import Layout

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WHOLE = Model(
    "fraud",
    endpoint="/score",
    owner=Owner("risk", "risk-rota"),
    business_metric=BusinessMetric("fraud_loss_usd"),
    cohorts=(Cohort("country", by="country"),),
    expectations=(Expectation("auc", at_least=0.7),),
    runbook="quality-fell",
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "store", replay_now=micros(NOW))


def traffic(
    layout: Layout,
    model: str,
    *,
    last: datetime = NOW,
    rows: int = 80,
    value: float | None = None,
    bad: bool = False,
) -> None:
    """Record some predictions up to `last`, each with an outcome a minute later."""
    recorder = Recorder(layout, model, version="v1")
    for n in range(rows):
        at = last - timedelta(hours=rows - n)
        is_fraud = n % 2 == 0
        score = 0.2 + 0.6 * (is_fraud != bad) + (n % 10) / 100
        key = f"{model}-{n}"
        version = "v2" if n > rows // 2 else "v1"
        recorder.record({"country": "DE"}, score=score, key=key, predicted_at=at, version=version)
        recorder.outcome(is_fraud, key=key, observed_at=at + timedelta(minutes=1), value_usd=value)
    assert recorder.flush(30)
    recorder.close()


def test_a_model_that_lacks_nothing_is_one_full_row(layout: Layout) -> None:
    layout.declare(WHOLE)
    traffic(layout, "fraud", value=2.5)

    with open_log(layout.root) as log:
        answer = models_answer(log)

    assert (answer.question, answer.verdict, answer.exit_code) == ("models", Verdict.OK, 0)
    assert answer.headline == "1 model, nothing is missing"
    row = dict(zip(answer.table("models").columns, answer.table("models").rows[0], strict=True))
    assert row == {
        "model": "fraud",
        "endpoint": "/score",
        "owner": "risk",
        "on_call": "risk-rota",
        "business_metric": "fraud_loss_usd",
        "versions": "v1, v2",
        "last_prediction_at": "2026-02-28 23:00Z",
        "requests_7d": 80,
        "value_usd_30d": pytest.approx(200.0),
        "missing": None,
    }


def test_the_numbers_are_the_same_before_and_after_the_loop_ran(layout: Layout) -> None:
    layout.declare(WHOLE)
    traffic(layout, "fraud", value=2.5)
    with open_log(layout.root) as log:
        before = models_answer(log).to_dict()
    tick(layout)
    with open_log(layout.root) as log:
        assert models_answer(log).to_dict() == before


def test_debt_names_each_missing_thing_and_what_to_do(layout: Layout) -> None:
    layout.declare(WHOLE)
    layout.declare(Model("churn", owner=Owner("growth")))
    traffic(layout, "fraud")
    traffic(layout, "churn", last=NOW - timedelta(days=45))
    traffic(layout, "undeclared", rows=20)

    with open_log(layout.root) as log:
        answer = models_answer(log, debt=True)
        patient = models_answer(log, debt=True, days=60)

    debt = {(row[0], row[1]) for row in answer.table("debt").rows}
    common = {"no business metric", "no expectation", "no cohort"}
    assert {what for model, what in debt if model == "undeclared"} == common | {"no owner"}
    quiet = {"no prediction for 30 days", "no outcomes for 30 days"}
    assert {what for model, what in debt if model == "churn"} >= common | {
        "no on-call",
        "no runbook",
        "no prediction for 30 days",
    }
    assert not {model for model, _ in debt} & {"fraud"}
    assert all(row[2] for row in answer.table("debt").rows)
    assert answer.headline == "3 models, 2 with something missing"
    assert (answer.verdict, answer.exit_code) == (Verdict.WARNING, 0)
    assert not quiet & {row[1] for row in patient.table("debt").rows}
    assert "models/churn.yaml" in answer.text()


def test_outcomes_that_stopped_are_missed_although_predictions_go_on(layout: Layout) -> None:
    layout.declare(WHOLE)
    traffic(layout, "fraud", last=NOW - timedelta(days=40))
    silent = Recorder(layout, "fraud", version="v2")
    silent.record({"country": "DE"}, score=0.5, key="late", predicted_at=NOW - timedelta(hours=1))
    silent.close()
    with open_log(layout.root) as log:
        assert log.status().verdict is Verdict.UNKNOWN
        # Outcomes count from when they were learned of, which the replayed clock stamped as now.
        assert models_answer(log).verdict is Verdict.OK
        later = models_answer(log, as_of=micros(NOW + timedelta(days=31)))
    missing = str(later.table("models").rows[0][-1])
    assert "no outcomes for 30 days" in missing


def test_models_that_matter_most_come_first(layout: Layout) -> None:
    traffic(layout, "small", rows=10)
    traffic(layout, "large", rows=60)
    traffic(layout, "worth", rows=5, value=100.0)
    with open_log(layout.root) as log:
        assert [row[0] for row in models_answer(log).table("models").rows] == ["worth", "large", "small"]


def test_a_model_without_any_event_and_a_store_without_models(layout: Layout) -> None:
    with open_log(layout.root) as log:
        nothing = models_answer(log)
        assert (nothing.verdict, nothing.exit_code) == (Verdict.UNKNOWN, 3)
        assert overview(log).verdict is Verdict.UNKNOWN
    layout.declare(WHOLE)
    with open_log(layout.root) as log:
        answer = models_answer(log)
    row = answer.table("models").rows[0]
    assert row[-1] == "no prediction ever"
    assert row[6:9] == (None, 0, None)


def test_the_overview_shows_every_model_worst_first(layout: Layout) -> None:
    for name in ("alpha", "beta", "gamma"):
        layout.declare(Model(name, expectations=(Expectation("auc", at_least=0.7),)))
    traffic(layout, "alpha")
    traffic(layout, "gamma", bad=True)

    with open_log(layout.root) as log:
        answer = overview(log)

    assert [row[:2] for row in answer.table("models").rows] == [
        ("gamma", "breach"),
        ("beta", "unknown"),
        ("alpha", "ok"),
    ]
    assert (answer.question, answer.verdict, answer.exit_code) == ("status", Verdict.BREACH, 1)
    assert answer.headline == "3 models: 1 breach, 1 unknown, 1 ok"
    lines = answer.text().splitlines()
    assert lines[0].startswith("✗ 3 models")
    assert [line.split()[:2] for line in lines[3:6]] == [["✗", "gamma"], ["?", "beta"], ["✓", "alpha"]]


def test_an_overview_of_silent_models_is_silent(layout: Layout) -> None:
    layout.declare(WHOLE)
    with open_log(layout.root) as log:
        answer = overview(log)
    assert (answer.is_silent, answer.exit_code) == (True, 4)


def test_a_model_that_cannot_be_read_does_not_hide_the_others(layout: Layout) -> None:
    traffic(layout, "good")
    traffic(layout, "odd")
    layout.declare(Model("odd", timezone="Nowhere/At_All"))
    with open_log(layout.root) as log:
        answer = overview(log)
    said = {str(row[0]): str(row[2]) for row in answer.table("models").rows}
    assert "cannot be read: no time zone" in said["odd"]
    assert "good" in said


def test_a_file_is_a_model_too(tmp_path: Path) -> None:
    start = NOW - timedelta(days=5)
    rows = [{"ts": start + timedelta(hours=n), "score": 0.3 + n % 3 / 10, "label": n % 2} for n in range(100)]
    pl.DataFrame(rows).write_parquet(tmp_path / "fraud.parquet")
    with setpoint.read(tmp_path / "fraud.parquet", model="fraud") as log:
        row = models_answer(log).table("models").rows[0]
    assert row[0] == "fraud"
    assert row[7] == 100
    assert "no outcomes" not in str(row[-1])
