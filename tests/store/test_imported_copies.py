"""What another version would have answered is imported in shadow of the requests, and held against them."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import polars as pl
import pytest
from tests.commands import setpoint

import setpoint as library
from setpoint.predictions.recorder import Recorder

START = datetime(2026, 3, 2, tzinfo=UTC)
ROWS = 400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with loans that v1 answered, and a file with what v2 would have said: always right."""
    risks = [(n * 37) % 101 / 101 for n in range(ROWS)]
    late = [int((n * 53) % 101 < 101 * risk) for n, risk in enumerate(risks)]
    keys = [f"L{n}" for n in range(ROWS)]
    rows = {"ts": [START + timedelta(minutes=n) for n in range(ROWS)], "loan_id": keys, "amount": risks}
    table = pl.DataFrame({**rows, "score": risks, "is_late": late})
    table.write_parquet(tmp_path / "predictions.parquet")
    answers = pl.DataFrame({"loan_id": keys, "score": [0.2 + 0.6 * one for one in late], "is_late": [0] * ROWS})
    answers.write_parquet(tmp_path / "next.parquet")
    assert run(tmp_path, "clock", "2026-03-03").returncode == 0
    assert run(tmp_path, "import", "predictions.parquet", "--model", "loans", "--version", "v1").returncode == 0
    return tmp_path


def run(folder: Path, *words: str) -> CompletedProcess[str]:
    return setpoint(*words, cwd=folder)


def in_shadow(folder: Path, file: str, *more: str) -> CompletedProcess[str]:
    return run(folder, "import", file, "--model", "loans", "--shadow", *more)


def test_a_version_that_was_never_served_is_held_against_the_one_that_was(folder: Path) -> None:
    found = in_shadow(folder, "next.parquet", "--version", "v2")
    assert (found.returncode, found.stdout) == (0, f"{ROWS} predictions in shadow imported\n"), found.stderr
    assert "setpoint worth loans v2 --over v1" in found.stderr.replace("STABLE", "v1")
    with library.open(folder / "store") as log:
        answer = log.worth("v2", over="v1", model="loans")
        assert "on requests that both answered" in answer.text()
        assert "v2: 100.0 % correct" in answer.text()
        requests = log.status("loans", over="2026-03-02..2026-03-03")
        assert f"{ROWS} predictions" in requests.text(), "what nobody got is no request"
    assert in_shadow(folder, "next.parquet", "--version", "v2").stdout.startswith("this file was imported before")


def test_requests_are_found_by_id_and_what_belongs_to_none_is_put_aside(folder: Path) -> None:
    with closing(Recorder(folder / "store", "loans", version="v1")) as recorder:
        recorder.record({"amount": 0.5}, score=0.5, prediction_id="one")
    by_id = pl.DataFrame({"prediction_id": ["one", "another"], "version": ["v2", "v3"], "score": [0.25, 0.75]})
    by_id.write_csv(folder / "ids.csv")
    found = in_shadow(folder, "ids.csv")
    assert found.stdout == "1 prediction in shadow imported, 1 put aside in quarantine\n", found.stderr
    assert "no prediction has its key or prediction_id" in run(folder, "doctor", "--json").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("next.parquet",), "nothing says which version answered so"),
        (("next.parquet", "--version", "v2", "--map", "key="), "no row belongs to a prediction of the store"),
        (("next.parquet", "--version", "v2", "--outcomes"), "do not go together"),
    ],
)
def test_what_says_too_little_is_refused(folder: Path, words: tuple[str, ...], said: str) -> None:
    found = in_shadow(folder, *words)
    assert (found.returncode, said in found.stderr) == (2, True), found.stderr


def test_of_a_model_without_predictions_nothing_is_in_shadow(folder: Path) -> None:
    found = run(folder, "import", "next.parquet", "--model", "other", "--shadow", "--version", "v2")
    assert found.returncode == 2
    assert "nothing is recorded of this model" in found.stderr
    assert "other" not in run(folder, "models").stdout


def test_who_only_answers_in_shadow_is_not_rehearsed(folder: Path) -> None:
    for version in ("v2", "v3"):  # together they answered more often than v1
        assert in_shadow(folder, "next.parquet", "--version", version).returncode == 0
    found = run(folder, "rollout", "rehearse", "loans", "--over", "7d", "--runs", "1")
    assert "past requests of v1" in found.stdout, found.stderr


def test_a_store_for_old_files_has_a_clock_of_its_own(tmp_path: Path) -> None:
    missing = run(tmp_path, "clock")
    assert (missing.returncode, "there is no store" in missing.stderr) == (2, True)
    assert (
        run(tmp_path, "clock", "2026-03-03").stdout == "2026-03-03 00:00 UTC: a replay, which stands until it is set\n"
    )
    assert run(tmp_path, "clock", "2026-03-04T06:00").stdout.startswith("2026-03-04 06:00 UTC: a replay")
    assert run(tmp_path, "clock").stdout.startswith("2026-03-04 06:00 UTC: a replay")
    with closing(Recorder(tmp_path / "live", "loans", version="v1")) as recorder:
        recorder.record({"amount": 0.5}, score=0.5)
    assert run(tmp_path, "clock", "--store", "live").stdout.endswith("UTC: the system's clock\n")
    late = run(tmp_path, "clock", "2026-03-03", "--store", "live")
    assert (late.returncode, "written with the system's clock" in late.stderr) == (2, True)
