"""Leads of one kind that are never called: seen in the first month, and not where nothing is wrong."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from rich.console import Console
from tests.commands import setpoint as typed
from tests.demo.readme import strangers

import setpoint
from setpoint.demo import lead_scoring
from setpoint.demo.flights import Flights, load
from setpoint.demo.lead_scoring import IGNORED, LIVE_FROM, MODEL, run
from setpoint.demo.report import Report, UsualRule


@pytest.fixture(scope="module")
def flights() -> Flights:
    """A winter to learn from, and of the two months that are replayed all of the carrier and a third of the others."""
    table = load().table
    known = Flights(table).between("2013-01-01", "2013-06-01").table
    is_kept = (known["carrier"] == IGNORED).to_numpy() | (np.arange(len(known)) % 3 == 0)
    before = len(Flights(known).between("2013-01-01", LIVE_FROM).table)
    is_kept[:before] = True
    return Flights(known[is_kept].reset_index(drop=True))


RULES = ("PSI of the score > 0.2", "KS of the score, p < 0.05", "AUC falls by 0.05")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_carrier_is_named_in_the_first_month_and_was_never_learned(tmp_path: Path) -> None:
    done = typed("demo", "lead-scoring", "--folder", "demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert strangers("lead-scoring", done.stdout) == set()  # README's numbers
    said = defaultdict[str, list[str]](list)
    for name, _, words in (line.strip().partition("  ") for line in done.stdout.splitlines()):
        said[name].append(words.strip())
    (seen,), (by,), (decided,), told = said["seen"], said["by"], said["decided"], "\n".join(said["because"])
    assert seen.startswith("2013-05-01, 463 outcomes of VX later")
    assert "carrier=VX is named" in by
    assert "recall 0." in by
    assert "guardrail in observe mode, which would have fired on 2013-04-28: recall of carrier VX is 0." in by
    assert decided.startswith("retrain: nothing changed")
    assert "carrier VX was never learned" in told
    assert "drift" not in told
    assert "evaluate, before launch: unknown of carrier=VX (98 rows, 1.1 %): recall: 3 positive outcomes" in told
    assert "; unknown of carrier=HA" in told
    assert "named by recall since 2013-05-01, calibration_gap since 2013-06-01; in the first month scores less" in told
    rules = [words for name in RULES for words in said[name]]
    assert len(rules) == len(RULES)
    assert all("so the season alarms it and not the carrier" in words for words in rules if words.endswith(": alarms"))
    with setpoint.open(tmp_path / "demo" / "store") as log:
        named = {str(row[0]) for row in log.cohorts(MODEL, budget=0.2).table("cohorts").rows}
    assert "carrier=VX" in named
    assert not {"carrier=HA", "carrier=OO"} & named


def test_one_line_says_what_was_seen_and_decided_and_which_usual_rules_alarm() -> None:
    rules = [UsualRule(name, "0.1", alarms) for name, alarms in zip(RULES, (True, False, True), strict=True)]
    report = Report("m", "a fault", "May", seen="June, late", decided="retrain", rules=rules)
    assert report.line() == f"m: a fault: seen June, late; retrain; usual rules that alarm: {RULES[0]} and {RULES[2]}"
    assert replace(report, rules=rules[1:2]).line().endswith("; usual rules that alarm: none")


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
        run(tmp_path / "demo", console=Console(quiet=True), flights=flights)
