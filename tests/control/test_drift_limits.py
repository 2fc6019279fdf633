"""A day beyond a limit of the team's own becomes one finding a stretch of days; a replay says how often that is."""

from __future__ import annotations

import json
import random
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from setpoint.control.limit_checks import NOTE, drift_limits, replayed
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.finding import DRIFT_LIMIT, Finding
from setpoint.core.model import DriftLimit, Model
from setpoint.predictions.recorder import Recorder
from setpoint.store.findings import read_findings
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.summaries import Summaries
from setpoint.testing import temporary_store

START = 1_767_571_200_000_000  # Monday 2026-01-05
PER_DAY = 200
DAYS = 36
ELSEWHERE = (5, 31, 32)
"""Days, counted from the first, on which amounts are three times as large; the sixth is one of the reference."""

END = START + DAYS * DAY + HOUR
PSI = DriftLimit("psi", 0.3)


@contextmanager
def recorded(*limits: DriftLimit, days: int = DAYS) -> Generator[Layout]:
    """Yield a store with weeks of predictions."""
    rng = random.Random(3)
    with temporary_store(Model("m", drift_limits=limits), replay_now=START) as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        for n in range(days * PER_DAY):
            times = 3.0 if n // PER_DAY in ELSEWHERE else 1.0
            inputs = {"amount": rng.lognormvariate(3.0, 1.0) * times, "shop": rng.choice("abc")}
            recorder.record(inputs, score=rng.random(), predicted_at=START + n * DAY // PER_DAY)
        recorder.close()
        _turn_to(layout, START + days * DAY + HOUR)
        yield layout


def _turn_to(layout: Layout, at: int) -> None:
    assert isinstance(layout.clock, ReplayClock)
    layout.clock.set(at)


def found(layout: Layout) -> list[Finding]:
    """Run the loop and return what it knows of limits."""
    tick(layout)
    return [finding for finding in read_findings(layout, "m") if finding.kind == DRIFT_LIMIT]


@contextmanager
def evidence_of(layout: Layout, model: Model) -> Generator[KeptEvidence]:
    with (
        Summaries.reading(layout.summaries("m")) as summaries,
        closing(KeptEvidence(layout, model, END, END, summaries)) as evidence,
    ):
        yield evidence


def test_two_days_beyond_the_limit_are_one_finding_that_ends() -> None:
    with recorded(PSI) as layout:
        opened, closed = found(layout)
        assert (opened.subject, opened.state, closed.state) == ("psi of amount", "open", "closed")
        assert (opened.started_at, closed.ended_at) == (START + 32 * DAY, START + 34 * DAY)
        assert "psi of amount on 2026-02-05 is " in opened.said
        assert "above the limit of 0.3; had nothing changed, 200 rows would make " in opened.said
        numbers = json.loads(closed.evidence)
        assert numbers["value"] > numbers["at_most"] == 0.3 > numbers["noise"] > numbers["expected"] > 0.0
        assert found(layout) == [opened, closed]  # a second time nothing is new
        with evidence_of(layout, Model("m", drift_limits=(PSI,))) as evidence:
            (episode,) = drift_limits(evidence, END)
            assert (episode.said, NOTE in evidence.notes) == (opened.said, True)


def test_a_limit_of_its_own_takes_the_place_of_that_of_all() -> None:
    with recorded(PSI, replace(PSI, feature="amount", at_most=9.0), DriftLimit("kullback_leibler", 0.3)) as layout:
        assert {finding.subject for finding in found(layout)} == {"kullback_leibler of amount"}


@pytest.mark.parametrize(
    ("limit", "subject"),
    [
        (DriftLimit("jensen_shannon", 0.001, "shop"), "jensen_shannon of shop"),
        (DriftLimit("total_variation", 0.001, "score"), "total_variation of score"),
    ],
)
def test_a_limit_within_chance_says_so(limit: DriftLimit, subject: str) -> None:
    with recorded(limit, days=30) as layout:
        (opened,) = found(layout)
        assert (opened.subject, opened.started_at) == (subject, START + 29 * DAY)
        assert "by chance: the limit is within chance" in opened.said


def test_a_finding_ends_when_its_limit_is_declared_no_longer() -> None:
    with recorded(DriftLimit("wasserstein", 0.01, "amount"), days=30) as layout:
        assert [finding.state for finding in found(layout)] == ["open"]
        layout.declare(Model("m"))
        assert [finding.state for finding in found(layout)] == ["open", "closed"]


def test_a_replay_holds_each_day_of_the_reference_against_the_others() -> None:
    limits = (
        DriftLimit("psi", 0.3),
        DriftLimit("total_variation", 0.001),
        DriftLimit("psi", 0.3, "shop"),
        DriftLimit("wasserstein", 0.3, "shop"),
    )
    with recorded(*limits) as layout, evidence_of(layout, layout.model("m")) as evidence:
        one, many, none, unmeasured = replayed(evidence, END)
        assert one.text == "psi above 0.3 would have alarmed on 1 of 28 days of the reference (amount 1)"
        assert (one.is_frequent, many.is_frequent) == (False, True)
        assert "on 28 of 28 days of the reference (amount 28, score 28, shop 2" in many.text
        assert many.text.endswith(": that is the usual, not drift; raise the limit")
        assert none.text == "psi of shop above 0.3 would have alarmed on 0 of 28 days of the reference"
        assert unmeasured.text == "wasserstein of shop above 0.3: the reference has nothing that it can be measured on"


def test_a_declared_window_is_what_a_replay_replays() -> None:
    with recorded(PSI) as layout:
        for reference, days in (("2026-01-12..2026-02-02", 21), ("2026-01-12..2026-01-19", 0)):
            with evidence_of(layout, Model("m", reference=reference, drift_limits=(PSI,))) as evidence:
                (replay,) = replayed(evidence, END)
                assert replay.days == days
        assert "is unknown: needs 14 whole days of predictions as a reference" in replay.text
