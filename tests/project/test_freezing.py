"""A frozen expectation holds until it expires, yields to a declared bar, and a lower one is a recorded change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import setpoint
from setpoint.core.clock import DAY, HOUR
from setpoint.core.model import Expectation, Model
from setpoint.predictions.recorder import Recorder
from setpoint.project.differences import FieldChange
from setpoint.project.freezing import Freeze, freeze
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.spool import Spool

START = 1_767_225_600_000_000  # 2026-01-01
SAID = Freeze("agreed with payments", "ada")


def served(folder: Path, model: Model, weeks: int = 4, noise: float = 0.2) -> Layout:
    layout = Layout.create(folder / "store", replay_now=START)
    layout.declare(model)
    play(layout, 0, weeks, noise)
    return layout


def play(layout: Layout, first: int, weeks: int, noise: float) -> None:
    """Record weeks of predictions with their outcomes; more noise, worse scores."""
    rng = np.random.default_rng(first)
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for n in range(first * 7 * 24, (first + weeks) * 7 * 24):
        clock.set(START + n * HOUR)
        truth = rng.random()
        score = min(max(truth + rng.normal(0.0, noise), 0.0), 1.0)
        recorder.record({"x": truth}, score=score, prediction_id=f"p{n}")
        recorder.outcome(int(rng.random() < truth), prediction_id=f"p{n}")
    recorder.close()
    clock.set(START + (first + weeks) * 7 * DAY)
    clock.save()


def bars(layout: Layout, as_of: int | None = None) -> dict[str, tuple[str, str]]:
    found = setpoint.open(layout.root).status("m", as_of=as_of).table("metrics")
    return {str(row[0]): (str(row[7]), str(row[8])) for row in found.rows if row[7]}


def test_present_quality_becomes_the_bar_and_a_worse_month_breaks_it(tmp_path: Path) -> None:
    layout = served(tmp_path, Model("m"))
    (words,) = freeze(layout, "m", SAID)
    measured = setpoint.open(layout.root).status("m", over="28d").table("metrics").rows[0]
    bar, low = float(words.split("at least ")[1].split()[0]), float(str(measured[2]))
    assert low - 1e-3 < bar <= low  # never stricter than what was measured
    assert "until 2026-04-29" in words
    assert bars(layout) == {"auc": (f"at least {bar:g}", "ok")}
    play(layout, 4, 1, noise=2.0)
    assert bars(layout)["auc"][1] == "breach"
    before = setpoint.open(layout.root).status("m", as_of=START + 27 * DAY)
    assert "no expectation is declared" in before.text()  # as of then nobody had frozen anything
    assert "agreed with payments" in str(setpoint.open(layout.root).status("m", over="35d").because)


def test_a_lower_bar_is_a_change_that_says_so(tmp_path: Path) -> None:
    layout = served(tmp_path, Model("m"))
    freeze(layout, "m", SAID)
    play(layout, 4, 4, noise=0.8)
    (words,) = freeze(layout, "m", Freeze("the new channel is harder", "grace"))
    assert ", lowered from at least 0." in words
    with setpoint.open(layout.root).evidence("m") as evidence:
        last = evidence.changes(None)[-1]
    assert (last.kind, last.subject) == ("policy", "expectation of auc")
    assert ", lowered from at least 0." in last.note
    assert last.note.endswith("by grace: the new channel is harder)")
    assert (
        FieldChange("quality.auc.at_least", "0.72", "0.69").text == "quality.auc.at_least: 0.72 -> 0.69, lowers the bar"
    )
    assert FieldChange("quality.rmse.at_most", "3", "2").text == "quality.rmse.at_most: 3 -> 2"
    assert FieldChange("quality.rmse.at_most", "3", "not set").text.endswith("lowers the bar")


def test_an_expired_bar_judges_nothing_and_says_so(tmp_path: Path) -> None:
    layout = served(tmp_path, Model("m"))
    freeze(layout, "m", Freeze("for now", "ada", life=5 * DAY))
    play(layout, 4, 1, noise=0.2)
    answer = setpoint.open(layout.root).status("m")
    assert answer.verdict is setpoint.Verdict.UNKNOWN
    assert "which expired 2026-02-03: take a new snapshot, or declare a bar" in answer.headline


def test_a_declared_bar_is_changed_where_it_is_declared(tmp_path: Path) -> None:
    layout = served(tmp_path, Model("m", expectations=(Expectation("auc", at_least=0.7),)))
    with pytest.raises(setpoint.UsageError, match="auc has a declared bar") as refused:
        freeze(layout, "m", SAID)
    assert "models/m.yaml" in (refused.value.hint or "")
    freeze(layout, "m", Freeze("x", "ada", metrics=("brier",)))
    assert bars(layout)["auc"][0] == "at least 0.7"
    assert bars(layout)["brier"][0].startswith("at most 0.")
    layout.declare(Model("m", expectations=(Expectation("brier", at_most=0.9),)))
    assert bars(layout) == {"brier": ("at most 0.9", "ok")}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Freeze("x", "ada", metrics=("acc",)), "no bar can be set for 'acc'"),
        (Freeze("x", "ada", metrics=("base_rate",)), "no bar can be set for 'base_rate'"),
        (Freeze("x", "ada", over="2d"), "the window is 2 d long, expected one to four weeks"),
        (Freeze("x", "ada", over="90d"), "expected one to four weeks"),
        (Freeze("  ", "ada"), "a bar needs a reason"),
        (Freeze("x", "ada", over="2025-01-01..2025-01-15"), "sets no bar: needs 10 more positive outcomes"),
    ],
)
def test_what_sets_no_bar_is_refused(tmp_path: Path, asked: Freeze, words: str) -> None:
    layout = served(tmp_path, Model("m"), weeks=1)
    with pytest.raises(setpoint.UsageError, match=words):
        freeze(layout, "m", asked)
    assert bars(layout) == {}


def test_the_command(tmp_path: Path) -> None:
    layout = served(tmp_path, Model("m"))
    command = [sys.executable, "-m", "setpoint.cli", "snapshot", "m", "--store", str(layout.root), "--metric", "brier"]
    done = subprocess.run([*command, "--reason", "as good as it gets"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("expected from now on: brier at most 0.")
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--reason" in refused.stderr
