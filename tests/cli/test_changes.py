"""`setpoint change add` and what `tick` says of versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from setpoint.cli import app, commands
from setpoint.core.errors import UsageError
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool

START = 1_767_225_600_000_000  # 2026-01-01


assert commands  # importing it registers the commands


def store(folder: Path) -> Layout:
    layout = Layout.create(folder / "store", replay_now=START)
    recorder = Recorder(layout, "flights", version="v1", spool=Spool(layout))
    recorder.record({"x": 1.0})
    recorder.close()
    return layout


def run(layout: Layout, *arguments: str) -> tuple[str, BaseException | None]:
    found = CliRunner().invoke(app, [*arguments, "--store", str(layout.root)])
    return found.output, found.exception


def changes(layout: Layout) -> list[tuple[object, ...]]:
    with Snapshot(layout, "flights") as snapshot:
        return snapshot.connection.execute(
            "SELECT kind, epoch_us(started_at), epoch_us(ended_at) FROM changes WHERE kind <> 'version'"
        ).fetchall()


@pytest.mark.parametrize("start", ["2026-01-03", ""])
def test_a_change_that_ends_before_it_starts_is_refused(tmp_path: Path, start: str) -> None:
    layout = store(tmp_path)
    when = ["--start", start] if start else []
    _, error = run(layout, "change", "add", "flights", "holiday", *when, "--end", "2025-12-31")
    assert isinstance(error, UsageError)
    assert "ends before it starts" in str(error)
    assert changes(layout) == []


@pytest.mark.parametrize("kind", ["feature", "feature version"])
def test_a_change_is_noted_with_its_times(tmp_path: Path, kind: str) -> None:
    layout = store(tmp_path)
    _, error = run(layout, "change", "add", "flights", kind, "--start", "2026-01-02", "--end", "2026-01-03")
    assert error is None
    day = 86_400_000_000
    assert changes(layout) == [("feature", START + day, START + 2 * day)]


def test_tick_names_the_model_of_a_new_version(tmp_path: Path) -> None:
    said, error = run(store(tmp_path), "tick")
    assert error is None
    assert "flights: new version in traffic: v1" in said
