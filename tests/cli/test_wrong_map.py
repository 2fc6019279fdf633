"""A first import by a wrong map: what is said when the file comes again by the right one, and the way out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.commands import setpoint

RIGHT = ("--map", "score=p_fail", "--map", "prediction=alarm", "--map", "outcome=failed_7d")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of a file whose score, prediction and outcome `init` cannot guess, imported as it guessed."""
    rows = [f"2026-03-01T{n % 24:02d}:{n % 60:02d}:00Z,{n / 120},{int(n > 60)},{int(n > 70)}" for n in range(120)]
    (tmp_path / "pumps.csv").write_text("\n".join(["ts,p_fail,alarm,failed_7d", *rows]))
    for words in (("init", "pumps.csv"), ("apply",), ("import", "pumps.csv", "--model", "pumps")):
        done = setpoint(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    return tmp_path


def again(folder: Path, *more: str, file: str = "pumps.csv") -> tuple[int, str, str]:
    done = setpoint("import", file, "--model", "pumps", *more, cwd=folder)
    return done.returncode, done.stdout, done.stderr


def test_by_the_same_map_nothing_is_to_do(folder: Path) -> None:
    for more in ((), ("--map", "time=ts"), ("--map", "score=")):
        assert again(folder, *more)[:2] == (0, "this file was imported before: nothing to do\n")


def test_by_another_map_it_is_an_error_that_names_the_way_out(folder: Path) -> None:
    code, out, err = again(folder, *RIGHT)
    assert (code, out) == (2, "")
    assert "imported before, and not with score=p_fail, prediction=alarm, outcome=failed_7d" in err
    assert setpoint("init", "pumps.csv", *RIGHT, "--force", cwd=folder).returncode == 0
    assert setpoint("apply", cwd=folder).returncode == 0
    assert again(folder) == (code, out, err), "the declaration says it as --map does"

    settings = folder / "setpoint.yaml"
    settings.write_text(settings.read_text().replace("store: ./store", "store: ./anew"))
    assert setpoint("apply", cwd=folder).returncode == 0
    assert again(folder)[:2] == (0, "120 predictions with 120 outcomes imported\n")
    status = setpoint("status", "pumps", "--over", "2026-03-01..2026-03-02", "--json", cwd=folder)
    metrics = {row["metric"]: row["value"] for row in json.loads(status.stdout)["tables"]["metrics"]}
    assert metrics["auc"] == 1.0


def test_none_that_was_a_column_is_another_map_too(folder: Path) -> None:
    (folder / "more.csv").write_text("ts,score\n2026-03-02T00:00:00Z,0.25\n")
    assert again(folder, file="more.csv")[0] == 0
    assert "not with score=" in again(folder, "--map", "score=", file="more.csv")[2]


def test_new_files_of_a_pattern_go_in_and_the_others_are_named(folder: Path) -> None:
    (folder / "pumps-2.csv").write_text("ts,p_fail\n2026-03-02T00:00:00Z,0.25\n")
    code, out, err = again(folder, "--map", "score=p_fail", file="pumps*.csv")
    assert (code, out) == (0, "1 prediction imported\n")
    assert "in already: 1 of 2 files\nof these some were not imported with score=p_fail: " in err


def test_a_declared_column_that_the_file_lacks_is_no_other_map(folder: Path) -> None:
    model = folder / "models" / "pumps.yaml"
    model.write_text(model.read_text() + "columns: {score: probability}\n")
    assert setpoint("apply", cwd=folder).returncode == 0
    assert again(folder)[:2] == (0, "this file was imported before: nothing to do\n")
