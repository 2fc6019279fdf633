"""Leads of one kind that are never called: seen in the first month, and not where nothing is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from rich.console import Console
from tests.commands import setpoint as typed

import setpoint
from setpoint.demo import lead_scoring
from setpoint.demo.flights import Flights, load
from setpoint.demo.lead_scoring import IGNORED, LIVE_FROM, MODEL, run
from setpoint.demo.report import Report


@pytest.fixture(scope="module")
def flights() -> Flights:
    """A winter to learn from, and of the two months that are replayed all of the carrier and a third of the others."""
    table = load().table
    known = Flights(table).between("2013-01-01", "2013-06-01").table
    is_kept = (known["carrier"] == IGNORED).to_numpy() | (np.arange(len(known)) % 3 == 0)
    before = len(Flights(known).between("2013-01-01", LIVE_FROM).table)
    is_kept[:before] = True
    return Flights(known[is_kept].reset_index(drop=True))


def replayed(folder: Path, flights: Flights, *, fault: bool) -> Report:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lead_scoring, "LOOKS", ("2013-05-01", "2013-06-01"))
        return run(folder / "demo", fault=fault, console=Console(quiet=True), flights=flights)


@pytest.mark.timeout(200)
def test_the_carrier_is_named_in_the_first_month_and_was_never_learned(tmp_path: Path, flights: Flights) -> None:
    report = replayed(tmp_path, flights, fault=True)
    assert report.seen.startswith("2013-05-01, 463 outcomes of VX later")
    assert "carrier=VX is named" in report.by
    assert "recall 0." in report.by
    assert "guardrail in observe mode, which would have fired on 2013-04-28: recall of carrier VX is 0." in report.by
    assert report.decided.startswith("retrain: nothing changed")
    told = "\n".join(report.because)
    assert "carrier VX was never learned" in told
    assert "drift" not in told
    assert "evaluate, before launch: unknown of carrier=VX (98 rows, 1.1 %): recall: 3 positive outcomes" in told
    assert "; unknown of carrier=HA" in told
    assert "named by recall since 2013-05-01, calibration_gap since 2013-06-01; in the first month scores less" in told
    alarming = [rule for rule in report.rules if rule.alarms]
    assert all("so the season alarms it and not the carrier" in rule.value for rule in alarming)
    assert report.line().endswith(f"usual rules that alarm: {' and '.join(rule.name for rule in alarming) or 'none'}")
    (line,) = report.line().splitlines()  # what `make demo` ends with
    assert f"seen {report.seen}; {report.decided}; " in line
    with setpoint.open(tmp_path / "demo" / "store") as log:
        named = {str(row[0]) for row in log.cohorts(MODEL, budget=0.2).table("cohorts").rows}
    assert "carrier=VX" in named
    assert not {"carrier=HA", "carrier=OO"} & named


def brief(folder: Path, flights: Flights, *words: str, looks: tuple[str, ...]) -> CompletedProcess[str]:
    """Type the command as `make demo` does, on fewer flights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lead_scoring, "LOOKS", looks)
        patch.setattr(lead_scoring, "load", lambda: flights)
        return typed("demo", "lead-scoring", "--brief", *words, cwd=folder)


@pytest.mark.timeout(200)
def test_a_carrier_like_the_others_is_not_named(tmp_path: Path, flights: Flights) -> None:
    done = brief(tmp_path, flights, "--no-fault", looks=("2013-05-01", "2013-06-01"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{MODEL}: carrier VX is one like the others: nothing is found\n"


@pytest.mark.timeout(200)
def test_in_brief_one_line_says_what_was_seen_and_decided(tmp_path: Path, flights: Flights) -> None:
    done = brief(tmp_path, flights.between("2013-01-01", "2013-05-01"), looks=("2013-05-01",))
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"lead-scoring: carrier VX, [\d.]+ % of the traffic, is not among the top 20\.0 %: seen 2013-05-01, 463"
        r" outcomes of VX later; retrain: nothing changed, so no rollback helps: .+; usual rules that alarm: .+\n",
        done.stdout,
    )
    for command in ("evaluate march.parquet ", "tick", "incident list ", "cohorts ", "why lead-scoring recall "):
        assert f"$ setpoint {command}" in done.stderr
    assert (tmp_path / "demo-lead-scoring" / "store").is_dir()


def test_nothing_is_replaced_that_is_no_demo(tmp_path: Path, flights: Flights) -> None:
    (tmp_path / "demo").mkdir()
    with pytest.raises(setpoint.UsageError, match="is none of this replay"):
        replayed(tmp_path, flights, fault=True)
