"""A plan says what would change; applying it does that once."""

from __future__ import annotations

import errno
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from setpoint.control.loop import tick
from setpoint.core.clock import DAY, micros
from setpoint.core.errors import DeclarationError, StoreError, StoreReadOnly, UsageError
from setpoint.core.model import Cohort, Expectation, Feature, Model, Owner, Retention, Task
from setpoint.predictions.recorder import Recorder
from setpoint.project.log import open_log
from setpoint.project.plan import apply, differences, plan
from setpoint.project.storage import estimate
from setpoint.store import layout as layout_module
from setpoint.store.layout import Layout

START = datetime(2026, 1, 1, tzinfo=UTC)
FRAUD = "owner: {team: risk, on_call: https://pager.example/hook}\nfeatures: [amount, age]\n"


def project(folder: Path, **models: str) -> Path:
    (folder / "setpoint.yaml").write_text("store: ./store\n")
    (folder / "models").mkdir(exist_ok=True)
    for old in (folder / "models").iterdir():
        old.unlink()
    for name, text in models.items():
        (folder / "models" / f"{name}.yaml").write_text(text)
    return folder


def record(store: Path, rows: int, *, hours: float, model: str = "fraud") -> Layout:
    layout = Layout.create(store, replay_now=micros(START))
    recorder = Recorder(layout, model, version="v1")
    for n in range(rows):
        at = START + timedelta(hours=hours * n / rows)
        recorder.record({"amount": float(n), "age": 3.0}, score=0.3, key=str(n), predicted_at=at)
    assert recorder.flush(30)
    recorder.close()
    return layout


def changes(folder: Path, model: str = "fraud") -> list[tuple[str, str, str]]:
    with open_log(folder / "store") as log, log.evidence(model) as evidence:
        return [(one.kind, one.subject, one.note) for one in evidence.changes(None)]


def test_a_new_model_and_a_new_store_are_planned_and_applied_once(tmp_path: Path) -> None:
    folder = project(tmp_path, fraud=FRAUD)

    found = plan(folder)

    assert found.text().splitlines()[:2] == [f"+ store {folder / 'store'}", "+ model fraud"]
    assert not (folder / "store").exists()
    assert not apply(folder).is_empty
    assert Layout.open(folder / "store").declaration("fraud") == Model(
        "fraud", owner=Owner("risk", "https://pager.example/hook"), features=(Feature("amount"), Feature("age"))
    )
    assert changes(folder) == [("config", "declaration", "declared for the first time")]
    again = apply(folder)
    assert again.is_empty
    assert again.text(storage=False) == "nothing to change"
    assert len(changes(folder)) == 1


def test_changes_are_said_field_by_field_and_recorded(tmp_path: Path) -> None:
    apply(project(tmp_path, fraud=FRAUD))
    folder = project(
        tmp_path, fraud="owner: {team: payments, on_call: https://pager.example/hook}\nfeatures: [amount]\nkeep: 0.5\n"
    )

    found = apply(folder)

    assert [change.text for change in found.models[0].changes] == [
        "features.age: declared -> not set",
        "keep: not set -> 0.5",
        "owner.team: risk -> payments",
    ]
    assert "~ fraud.owner.team: risk -> payments" in found.text()
    kind, subject, note = changes(folder)[1]
    assert (kind, subject) == ("config", "declaration")
    assert "owner.team: risk -> payments" in note
    assert plan(folder).is_empty


def test_a_model_that_is_declared_no_longer_is_kept_and_said(tmp_path: Path) -> None:
    apply(project(tmp_path, fraud=FRAUD, churn="{}"))
    folder = project(tmp_path, fraud=FRAUD)

    found = apply(folder)

    assert found.is_empty
    assert found.text(storage=False).splitlines() == [
        "- churn  in force but declared no longer: kept, with all its events",
        "nothing to change",
    ]
    assert Layout.open(folder / "store").models() == ["churn", "fraud"]


def test_only_what_summaries_depend_on_voids_them_and_only_when_there_are_some(tmp_path: Path) -> None:
    apply(project(tmp_path, fraud=FRAUD))
    features = "features: {amount: {importance: 0.5}, age: {kind: integer}}"
    folder = project(tmp_path, fraud=f"owner: {{team: risk}}\ntimezone: Asia/Kolkata\n{features}\n")
    assert not any(change.voids for change in plan(folder).models[0].changes)
    tick(record(folder / "store", 50, hours=30))

    found = plan(folder)

    voiding = {change.key: change.voids for change in found.models[0].changes}
    assert voiding == {
        "features.age.kind": True,
        "features.amount.importance": False,
        "owner.on_call": False,
        "timezone": True,
    }
    assert "the next tick makes the summaries anew" in found.text()


def test_without_rows_storage_is_an_estimate_from_the_features(tmp_path: Path) -> None:
    model = Model("fraud", features=(Feature("amount"), Feature("country", "categorical")))

    found = estimate(None, model)

    assert found.bytes_per_prediction == 80 + 9 + 4
    assert not found.is_measured
    assert found.rows_per_day is None
    assert found.summary_bytes_per_day == 2 * (24 * 1000 + 2 * 1500)
    assert estimate(None, replace(model, timezone="Asia/Kolkata")).summary_bytes_per_day == 2 * (96 * 1000 + 2 * 1500)
    split = replace(model, cohorts=(Cohort("country", by="country"), Cohort("big", where="amount > 9")))
    assert estimate(None, split).summary_bytes_per_day == 2 * (24 * 1000 + (2 + 50 + 2) * 1500)
    planned = plan(project(tmp_path, fraud=FRAUD)).text()
    assert "  fraud: storage: about 98 bytes a prediction (an estimate from the declared features)" in planned


def test_with_rows_storage_is_measured_and_follows_keep(tmp_path: Path) -> None:
    layout = record(tmp_path / "store", 4000, hours=48)
    tick(layout)

    found = estimate(layout, Model("fraud", keep=0.5))

    assert found.is_measured
    lake = sum(path.stat().st_size for path in (tmp_path / "store" / "lake").rglob("*.parquet"))
    assert found.bytes_per_prediction == pytest.approx(lake / 4000)
    assert found.rows_per_day == pytest.approx(2000, rel=0.02)
    assert found.bytes_of(DAY) == pytest.approx(1000 * found.bytes_per_prediction, rel=0.02)


def test_a_budget_that_one_retention_window_exceeds_is_refused(tmp_path: Path) -> None:
    tick(record(tmp_path / "store", 3000, hours=24))
    folder = project(tmp_path, fraud="retention: {age: 60d, size: 100KB}\n")
    over = plan(folder)
    with pytest.raises(DeclarationError, match="over the declared budget: fraud") as refusal:
        over.check()
    assert "retention.size" in refusal.value.hint
    with pytest.raises(DeclarationError):
        apply(folder)
    assert Layout.open(folder / "store").declaration("fraud") is None

    apply(project(tmp_path, fraud="retention: {age: 60d, size: 1GB}\n"))

    assert Layout.open(folder / "store").model("fraud").retention == Retention(60 * DAY, 10**9)


def test_a_budget_covers_at_least_the_time_outcomes_may_take() -> None:
    model = Model("fraud", outcome_horizon=40 * DAY, retention=Retention(7 * DAY, 10**9))
    assert estimate(None, model).window == 40 * DAY


def test_every_kind_of_difference_is_told() -> None:
    before = Model("fraud", cohorts=(Cohort("country", by="country"),))
    after = Model(
        "fraud",
        task=Task.REGRESSION,
        cohorts=(Cohort("large", where="amount > 100"),),
        expectations=(Expectation("rmse", at_most=2.0),),
    )
    assert [(change.text, change.voids) for change in differences(before, after)] == [
        ("cohorts.country: declared -> not set", True),
        ("cohorts.large.where: not set -> amount > 100", True),
        ("quality.rmse.at_most: not set -> 2.0", False),
        ("task: binary -> regression", True),
    ]
    assert differences(before, before) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [("ower: {team: a}\n", "did you mean owner"), ("keep: 2\n", "at most 1"), ("keep: [\n", "fraud.yaml")],
)
def test_a_declaration_that_does_not_hold_is_refused(tmp_path: Path, text: str, said: str) -> None:
    folder = project(tmp_path, fraud=text)
    for act in (plan, apply):
        with pytest.raises(DeclarationError, match=said):
            act(folder)
    assert not (folder / "store").exists()


def test_a_folder_without_a_project_and_a_store_at_a_url_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="setpoint init"):
        plan(tmp_path)
    (tmp_path / "setpoint.yaml").write_text("store: s3://bucket/store\n")
    with pytest.raises(UsageError, match="s3://bucket/store"):
        plan(tmp_path)


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(project(tmp_path, fraud=FRAUD))
    folder = project(tmp_path, fraud="keep: 0.5\n")

    def refuse(path: Path, content: bytes) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path), None, str(len(content)))

    monkeypatch.setattr(layout_module, "write_atomically", refuse)
    with pytest.raises(StoreReadOnly, match="cannot be written"):
        apply(folder)
    assert len(changes(folder)) == 1


def test_a_damaged_declaration_in_force_is_said(tmp_path: Path) -> None:
    folder = project(tmp_path, fraud=FRAUD)
    apply(folder)
    (folder / "store" / "models" / "fraud.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        plan(folder)


def test_a_store_whose_place_is_taken_is_said(tmp_path: Path) -> None:
    folder = project(tmp_path, fraud=FRAUD)
    (folder / "store").write_text("a file")
    with pytest.raises(StoreError, match="store"):
        apply(folder)


BANDS = "features: [amount, age]\ncohorts: [{name: size, by: amount, quantiles: 4}]\n"


def test_quantile_bands_are_cut_once_when_there_are_rows_and_then_stay(tmp_path: Path) -> None:
    folder = project(tmp_path, fraud=BANDS)
    assert "  fraud: cohort size: apply again when there are rows to cut it by" in plan(folder).text().splitlines()
    apply(folder)
    record(folder / "store", 100, hours=10)

    found = plan(folder)
    assert found.text(storage=False).splitlines() == [
        "~ fraud.cohorts.size.edges: not set -> 24, 49, 74",
        "  fraud: cohort size: amount is cut at 24, 49, 74",
    ]
    apply(folder)
    record(folder / "store", 900, hours=10)
    assert plan(folder).is_empty, "more rows move no band"

    assert plan(project(tmp_path, fraud=BANDS.replace("4", "2"))).models[0].model.cohorts[0].edges != (49.0,)
    given = plan(project(tmp_path, fraud=BANDS.replace("4}", "4, edges: [10, 20]}"))).models[0]
    assert [change.text for change in given.changes] == ["cohorts.size.edges: 24, 49, 74 -> 10, 20"]


def test_quantile_bands_that_cannot_be_cut_say_why(tmp_path: Path) -> None:
    apply(project(tmp_path, fraud=FRAUD))
    record(tmp_path / "store", 100, hours=10)
    constant = project(tmp_path, fraud=BANDS.replace("by: amount", "by: age"))
    assert "  fraud: cohort size: no edges, because age has no two numbers yet; apply again when it has" in (
        plan(constant).text().splitlines()
    )
    missing = project(tmp_path, fraud=BANDS + "reference: gone.parquet\n")
    (line,) = plan(missing).models[0].cuts
    assert line.startswith("cohort size: its edges cannot be found: no file at")
