"""A cascade is tuned by requests that both versions answered, promised no more than they show, and watched."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests import commands
from tests.answers.test_worth import MODEL, accuracy, cascaded, child, metric, requests, routed, row, shadowed, store

from setpoint.control.loop import tick
from setpoint.core.errors import UsageError
from setpoint.core.model import Model
from setpoint.core.verdict import Verdict
from setpoint.store.findings import open_findings, read_findings
from setpoint.store.layout import Layout

COUNT = 5000


def test_the_promise_holds_on_the_rows_and_the_saving_is_what_is_not_asked(tmp_path: Path) -> None:
    found = requests(COUNT)
    answer = store(tmp_path / "s", shadowed(found), found).cascade_tune(cheap="v1", expensive="v2", loss=0.02)
    at_least = metric(answer, "at_least")["value"]
    sure = [max(one["sure"], 1.0 - one["sure"]) >= at_least for one in found]
    lost = [
        is_sure * (int(one["v2"] == one["truth"]) - int(one["v1"] == one["truth"]))
        for one, is_sure in zip(found, sure, strict=True)
    ]
    assert metric(answer, "loss")["value"] == pytest.approx(np.mean(lost))
    assert np.mean(lost) < 0.02
    assert metric(answer, "cheap_share")["value"] == pytest.approx(np.mean(sure))
    assert metric(answer, "saving_usd")["value"] == pytest.approx(0.005 * np.mean(sure) - 0.001)
    assert metric(answer, "saving_ratio")["value"] == pytest.approx(np.mean(sure) - 0.2)
    assert answer.verdict is Verdict.OK
    assert "at most 2.0 % more answers wrong than v2 alone, 95 % sure" in answer.headline
    assert any(f"at_least: {at_least:g}" in line for line in answer.because)


def test_too_few_pairs_are_unknown_with_how_many_it_takes(tmp_path: Path) -> None:
    found = requests(200)
    answer = store(tmp_path / "s", shadowed(found), found).cascade_tune(cheap="v1", expensive="v2")
    assert answer.verdict is Verdict.UNKNOWN
    assert "needs about 1,206 pairs, and there are 200" in answer.headline


def test_without_outcomes_agreement_stands_in_and_is_called_so(tmp_path: Path) -> None:
    found = requests(COUNT)
    answer = store(tmp_path / "s", shadowed(found)).cascade_tune(cheap="v1", expensive="v2", loss=0.05)
    assert any("differs from v2's counts as lost" in line for line in answer.because)
    differs = [one["v1"] != one["v2"] and one["sure"] >= metric(answer, "at_least")["value"] for one in found]
    assert metric(answer, "loss")["value"] == pytest.approx(np.mean(differs))


def test_a_version_that_is_never_good_enough_is_told_so(tmp_path: Path) -> None:
    found = requests(COUNT)
    for one in found:
        one["v1"], one["v2"] = not one["truth"], one["truth"]
    rows = [{**made, "score": 0.9999 if made["prediction"] else 0.0001} for made in shadowed(found)]
    answer = store(tmp_path / "s", rows, found).cascade_tune(cheap="v1", expensive="v2")
    assert answer.verdict is Verdict.BREACH
    assert "no answer of v1 may be taken" in answer.headline


def test_a_cascade_s_own_requests_are_a_fair_sample_when_it_audits(tmp_path: Path) -> None:
    found = requests(8000)
    log = store(tmp_path / "s", cascaded(found, audit=0.3), found, routed(0.3))
    answer = log.cascade_tune(cheap="v1", expensive="v2", loss=0.05)
    kept = metric(answer, "cheap_share")
    at_least = metric(answer, "at_least")["value"]
    assert kept["low"] - 0.02 <= np.mean([one["sure"] >= at_least for one in found]) <= kept["high"] + 0.02
    unaudited = store(tmp_path / "t", cascaded(found, audit=0.0), found, routed(0.0))
    assert unaudited.cascade_tune(cheap="v1", expensive="v2").verdict is Verdict.UNKNOWN


def test_unknown_prices_leave_the_threshold_known(tmp_path: Path) -> None:
    found = requests(COUNT)
    rows = [{**made, "cost": None if n < 100 else made["cost"]} for n, made in enumerate(shadowed(found))]
    answer = store(tmp_path / "s", rows, found).cascade_tune(cheap="v1", expensive="v2", loss=0.02)
    assert answer.verdict is Verdict.OK
    assert metric(answer, "saving_usd")["unknown"] == "1.0 % of 5,000 pairs have no known price"


def test_a_cascade_that_costs_more_than_it_saves_is_a_warning(tmp_path: Path) -> None:
    found = requests(COUNT)
    rows = [{**made, "cost": 0.004 if made["version"] == "v1" else 0.005} for made in shadowed(found)]
    answer = store(tmp_path / "s", rows, found).cascade_tune(cheap="v1", expensive="v2", loss=0.02)
    assert answer.verdict is Verdict.WARNING
    assert "it costs more than that alone" in answer.headline


def test_a_lost_promise_is_one_finding_however_often_one_looks(tmp_path: Path) -> None:
    """From .55 on too many cheap answers are wrong: audited requests show it."""
    found = requests(6000)
    model = routed(0.3, at_least=0.55)
    store(tmp_path / "s", cascaded(found, audit=0.3, at_least=0.55), found, model)
    layout = Layout.open(tmp_path / "s")
    tick(layout)
    tick(layout)
    noticed = [one for one in read_findings(layout, "m") if one.kind == "cascade_loss"]
    assert len(noticed) == 1
    assert "loses more than 1.0 %" in noticed[0].said
    layout.declare(routed(0.3, at_least=0.95))
    tick(layout)
    assert not [one for one in open_findings(read_findings(layout, "m")) if one.kind == "cascade_loss"]


def test_a_kept_promise_is_no_finding(tmp_path: Path) -> None:
    found = requests(6000)
    store(tmp_path / "s", cascaded(found, audit=0.3, at_least=0.97), found, routed(0.3, at_least=0.97))
    layout = Layout.open(tmp_path / "s")
    tick(layout)
    assert not [one for one in read_findings(layout, "m") if one.kind == "cascade_loss"]


def test_what_cannot_be_tuned_says_why(tmp_path: Path) -> None:
    found = requests(300)
    log = store(
        tmp_path / "s", [row(one, "v1") for one in found] + [child(one, "v2", "shadow") for one in found], found
    )
    for cheap, loss, expected in (
        ("v1", 0.0, "a loss of 0"),
        ("v9", 0.01, "no version called v9"),
        ("v2", 0.01, "against itself"),
    ):
        with pytest.raises(UsageError, match=expected):
            log.cascade_tune(cheap=cheap, expensive="v2", loss=loss)
    unsure = [{**made, "score": None} for made in shadowed(found)]
    silent = store(tmp_path / "t", unsure, found, Model(MODEL.name)).cascade_tune(cheap="v1", expensive="v2")
    assert "how sure it is" in silent.headline
    assert accuracy(found, "v2") > accuracy(found, "v1")


def test_the_command_prints_it(tmp_path: Path) -> None:
    found = requests(200)
    store(tmp_path / "s", shadowed(found), found).close()
    command = ("cascade", "tune", "m", "--cheap", "v1", "--expensive", "v2", "--json", "--store", "s")
    done = commands.setpoint(*command, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["question"] == "cascade"
