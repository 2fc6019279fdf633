"""A plan says when days whose rows were let go would lose their numbers, and applying it needs a word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from setpoint.control.loop import tick
from setpoint.core.clock import DAY, micros
from setpoint.core.errors import UsageError
from setpoint.predictions.recorder import Recorder
from setpoint.project.keeping import collect_garbage
from setpoint.project.plan import apply, plan
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.quality_kinds import BINARY_QUALITY
from setpoint.store.spool import Spool
from setpoint.store.summaries import Kept, Summaries

START = datetime(2026, 1, 1, tzinfo=UTC)
KEPT = "features: [amount]\nretention: {age: 4d}\noutcome_horizon: 1d\n"


def declare(folder: Path, text: str) -> Path:
    (folder / "models").mkdir(exist_ok=True)
    (folder / "setpoint.yaml").write_text("store: ./store\n")
    (folder / "models" / "fraud.yaml").write_text(text)
    return folder


def recorded(folder: Path, text: str = KEPT, *, days: int = 10, every_hours: int = 6) -> Layout:
    """Record ten days of predictions under a declaration, and tick at their end."""
    layout = Layout.create(folder / "store", replay_now=micros(START))
    apply(declare(folder, text))
    recorder = Recorder(layout, "fraud", version="v1", spool=Spool(layout))
    for hour in range(0, days * 24, every_hours):
        recorder.record({"amount": float(hour)}, score=0.3, predicted_at=START + timedelta(hours=hour))
    recorder.close()
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    clock.set(micros(START) + days * DAY)
    clock.save()
    tick(layout)
    return layout


def kept_days(layout: Layout) -> int:
    with Summaries.reading(layout.summaries("fraud")) as summaries:
        assert summaries is not None
        return len(summaries.starts(Kept(BINARY_QUALITY), "day", 0, layout.clock.now()))


def test_days_whose_rows_were_let_go_are_said_and_lost_only_on_purpose(tmp_path: Path) -> None:
    layout = recorded(tmp_path)
    assert collect_garbage(layout.root)["fraud"].before == "2026-01-07"
    declare(tmp_path, f"{KEPT}cohorts: [amount]\n")

    found = plan(tmp_path)

    assert found.models[0].lost == tuple(f"2026-01-0{day}" for day in range(1, 7))
    said = "fraud: rows of 6 days (2026-01-01 to 2026-01-06) were let go: their numbers go with the summaries"
    assert f"! {said}, so apply needs --lose-history" in found.text().splitlines()
    with pytest.raises(UsageError) as refusal:
        apply(tmp_path)
    assert refusal.value.message == said
    assert refusal.value.hint == "leave cohorts.amount as before, or apply with --lose-history"
    assert layout.model("fraud").cohorts == ()
    tick(layout)
    assert kept_days(layout) == 10

    apply(tmp_path, lose_history=True)
    assert plan(tmp_path).models[0].lost == ()
    tick(layout)
    assert kept_days(layout) == 4


def test_what_voids_no_summaries_loses_nothing(tmp_path: Path) -> None:
    layout = recorded(tmp_path)
    collect_garbage(layout.root)
    declare(tmp_path, f"{KEPT}owner: {{team: risk}}\nquality: {{auc: {{at_least: 0.7}}}}\n")
    assert not plan(tmp_path).models[0].lost
    assert not apply(tmp_path).is_empty


def test_while_all_rows_are_there_nothing_is_lost(tmp_path: Path) -> None:
    layout = recorded(tmp_path)
    declare(tmp_path, f"{KEPT}timezone: Asia/Kolkata\n")
    assert not plan(tmp_path).models[0].lost
    apply(tmp_path)
    tick(layout)
    assert kept_days(layout) == 10


@pytest.mark.parametrize(
    ("zone", "lost"),
    [
        ("America/New_York", ["2025-12-31", *(f"2026-01-0{day}" for day in range(1, 7))]),
        ("Asia/Kolkata", [f"2026-01-0{day}" for day in range(1, 8)]),
    ],
)
def test_a_local_day_that_lost_some_of_its_rows_counts(tmp_path: Path, zone: str, lost: list[str]) -> None:
    text = f"{KEPT}timezone: {zone}\n"
    layout = recorded(tmp_path, text, every_hours=1)
    declare(tmp_path, f"{text}positive: 'yes'\n")
    assert plan(tmp_path).models[0].lost == ()
    collect_garbage(layout.root)
    assert plan(tmp_path).models[0].lost == tuple(lost)


def test_a_late_row_of_a_day_that_was_let_go_does_not_hide_what_is_lost(tmp_path: Path) -> None:
    layout = recorded(tmp_path)
    collect_garbage(layout.root)
    recorder = Recorder(layout, "fraud", version="v1", spool=Spool(layout))
    recorder.record({"amount": 1.0}, score=0.3, predicted_at=START + timedelta(hours=3))
    recorder.close()
    tick(layout)
    declare(tmp_path, f"{KEPT}positive: 'yes'\n")
    assert plan(tmp_path).models[0].lost[0] == "2026-01-01"


def test_days_are_summarised_before_they_are_let_go(tmp_path: Path) -> None:
    layout = recorded(tmp_path)
    apply(declare(tmp_path, f"{KEPT}cohorts: [amount]\n"))  # voids the states, and no tick has made new ones
    assert collect_garbage(layout.root)["fraud"].before == "2026-01-07"
    tick(layout)
    assert kept_days(layout) == 10


def test_one_day_is_one_day(tmp_path: Path) -> None:
    layout = recorded(tmp_path, days=5)
    collect_garbage(layout.root)
    declare(tmp_path, f"{KEPT}positive: 'yes'\n")
    assert "rows of 1 day (2026-01-01) were let go: their numbers go" in plan(tmp_path).text()
