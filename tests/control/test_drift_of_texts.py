"""A declared text that changes in a store becomes a finding of what changed."""

from __future__ import annotations

import random

import pytest

from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.finding import INPUT_DRIFT
from setpoint.core.model import Feature, Model
from setpoint.predictions.recorder import Recorder
from setpoint.project.log import open_log
from setpoint.store.findings import read_findings
from setpoint.store.layout import ReplayClock
from setpoint.testing import temporary_store

START = 1_767_571_200_000_000  # Monday 2026-01-05
PER_DAY, DAYS, FROM = 100, 34, 31
WORDS = [*["the", "and", "of", "is", "that", "for", "with", "this", "you", "was"], *(f"word{n}" for n in range(300))]


def test_a_language_that_comes_is_a_finding_and_no_text_is_in_the_summaries() -> None:
    rng = random.Random(1)
    model = Model("m", features=(Feature("review", "text", importance=0.5), Feature("amount", "numeric")))
    with temporary_store(model, replay_now=START) as (layout, spool):
        recorder, clock = Recorder(layout, "m", spool=spool), layout.clock
        assert isinstance(clock, ReplayClock)
        for n in range(DAYS * PER_DAY):
            clock.set(START + n * DAY // PER_DAY)
            words = rng.choices(WORDS, k=12)
            if n // PER_DAY >= FROM and n % 5 == 0:
                words = ["der", "Hund", "und", "die", "Katze", f"{n}"]
            recorder.record({"review": " ".join(words), "amount": rng.random()}, score=rng.random())
        clock.set(START + DAYS * DAY + HOUR)
        clock.save()
        recorder.close()
        tick(layout)
        found = {finding.subject: finding.said for finding in read_findings(layout, "m") if finding.kind == INPUT_DRIFT}
        assert "values never seen" in found["review (language)"]
        assert "amount" not in found
        with open_log(layout.root) as log:
            kept = log.diff()
            rows = {row[0]: row for row in kept.table("features").rows}
        place = kept.table("features").columns.index("importance")
        assert rows["review (length)"][place] == pytest.approx(0.5 / 6)  # a part has its part of the text's
        assert b"Katze" not in layout.summaries("m").read_bytes()
