"""Rates of proxies stand beside quality, are held against declared bars, and wait for what is still to come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.answers.replayed import replay

import setpoint
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.errors import DeclarationError
from setpoint.core.model import Expectation, Model, OutcomeKind
from setpoint.core.verdict import Verdict
from setpoint.declare.load import load_text
from setpoint.store.layout import Layout

START = 1_767_225_600_000_000  # 2026-01-01
PER_DAY, DAYS = 200, 8
KINDS = (OutcomeKind("paid"), OutcomeKind("click", final=False), OutcomeKind("override", final=False))


def events(click_hours: int) -> Iterator[tuple[int, str, int]]:
    """Yield predictions; one in four is clicked, one in fifty overridden after an hour."""
    for n in range(PER_DAY * DAYS):
        at = START + n * DAY // PER_DAY
        yield at, "", n
        yield at + HOUR, "paid", n
        if n % 4 == 0:
            yield at + click_hours * HOUR, "click", n
        if n % 50 == 0:
            yield at + HOUR, "override", n


def recorded(folder: Path, *bars: Expectation, click_hours: int = 1, clicks_until: int = DAYS) -> setpoint.Log:
    with replay(folder, Model("m", outcomes=KINDS, expectations=bars), START, START + DAYS * DAY) as (recorder, clock):
        for at, kind, n in sorted(events(click_hours)):
            if at >= START + DAYS * DAY or (kind == "click" and at >= START + clicks_until * DAY):
                continue
            clock.set(at)
            if kind:
                recorder.outcome(n % 2 if kind == "paid" else 1, prediction_id=f"p{n}", kind=kind)
            else:
                recorder.record({"x": 1.0}, score=0.5, prediction_id=f"p{n}")
    return setpoint.open(folder / "store")


def metric(answer: setpoint.Answer, name: str) -> dict[str, object]:
    table = answer.table("metrics")
    return next(dict(zip(table.columns, row, strict=True)) for row in table.rows if row[0] == name)


@pytest.mark.parametrize("source", ["rows", "states"])
def test_a_rate_is_a_metric_with_interval_completeness_and_verdict(tmp_path: Path, source: str) -> None:
    bars = (Expectation("click_rate", at_least=0.2), Expectation("override_rate", at_most=0.005))
    log = recorded(tmp_path, *bars)
    if source == "states":
        tick(Layout.open(tmp_path / "store"))
    answer = log.status("m")
    clicks = metric(answer, "click_rate")
    assert (clicks["unit"], clicks["expected"], clicks["verdict"]) == ("share", "at least 0.2", "ok")
    assert clicks["value"] == pytest.approx(0.25, abs=0.002)
    assert float(str(clicks["low"])) < 0.25 < float(str(clicks["high"]))
    assert float(str(metric(answer, "click_complete_ratio")["value"])) > 0.97
    assert metric(answer, "override_rate")["verdict"] == "breach"
    assert answer.verdict is Verdict.BREACH
    assert "override_rate 2.0 %" in answer.headline
    assert metric(log.quality("m"), "click_rate")["value"] == pytest.approx(0.25, abs=0.002)
    assert "auc" in log.quality("m").headline, "a proxy's rate is never the headline of quality"


def test_a_rate_below_its_bar_is_unknown_while_outcomes_still_come(tmp_path: Path) -> None:
    log = recorded(tmp_path, Expectation("click_rate", at_least=0.24), click_hours=40)
    answer = log.status("m")
    assert answer.verdict is Verdict.UNKNOWN
    assert "click_rate" in answer.headline
    assert "of those that come have come" in answer.headline


def test_a_rate_that_falls_because_its_source_fell_silent_is_a_breach(tmp_path: Path) -> None:
    log = recorded(tmp_path, Expectation("click_rate", at_least=0.2), clicks_until=4)
    assert log.status("m", over="2d").verdict is Verdict.BREACH


def test_a_rate_above_its_bar_is_a_breach_however_young(tmp_path: Path) -> None:
    log = recorded(tmp_path, Expectation("click_rate", at_most=0.05), click_hours=40)
    assert log.status("m").verdict is Verdict.BREACH


def test_bars_of_rates_are_declared_like_any_other() -> None:
    kinds = "outcomes: {paid: {final: true}, click: {}}\n"
    model = load_text(kinds + "quality: {click_rate: {at_least: 0.02}}", "m")
    assert model.expectations == (Expectation("click_rate", at_least=0.02),)
    for bar, message in (
        ("click_rate: {at_least: 2}", "expected 0 to 1"),
        ("click_rte: {at_least: 0.2}", "did you mean click_rate?"),
        ("paid_rate: {at_least: 0.2}", "no metric of this name"),
    ):
        with pytest.raises(DeclarationError) as error:
            load_text(f"{kinds}quality: {{{bar}}}", "m")
        assert message in str(error.value)
