"""A cohort that never was served well is told apart from one that changed: by its own rows, and by training rows."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from tests.answers.replayed import replay
from tests.commands import setpoint

from setpoint.answers.answer import Answer
from setpoint.control.loop import tick
from setpoint.core.clock import DAY
from setpoint.core.errors import UsageError
from setpoint.core.guardrail import Guardrail
from setpoint.core.model import Cohort, Model
from setpoint.project.incidents import list_incidents
from setpoint.project.log import Log, open_log
from setpoint.store.layout import Layout

START = 1_780_000_000_000_000 // DAY * DAY
DAYS, PER_DAY = 20, 200
Partner = Literal["never", "changed", "well"]


def lived(folder: Path, partner: Partner, *, trained: int | None = 10) -> Log:
    """Record 20 days in which a tenth of the rows are of a partner, whose positives are missed: always, since, or not.

    Args:
        folder: Where the store is made.
        partner: Whether nine in ten of them are missed from the first day, since the tenth, or a third as of others.
        trained: How many of 2,000 training rows are of the partner; None when the model declares none.
    """
    file = folder / "train.csv"
    with file.open("w", newline="") as opened:
        table = csv.writer(opened)
        table.writerow(["channel", "amount"])
        table.writerows([["partner" if n < (trained or 0) else "web", n % 7] for n in range(2000)])
    line = Guardrail(
        "no-channel-ignored", "recall", below=0.4, cohort="channel", value="partner", over=20 * DAY, mode="propose"
    )
    model = Model(
        "m",
        cohorts=(Cohort("channel", by="channel"),),
        guardrails=(line,),
        reference="" if trained is None else str(file),
    )
    rng = np.random.default_rng(3)
    with replay(folder, model, START, START + DAYS * DAY) as (recorder, clock):
        for n in range(DAYS * PER_DAY):
            at = START + n * DAY // PER_DAY
            clock.set(at)
            is_partner, is_bad = n % 10 == 0, rng.random() < 0.5
            is_missed = is_partner and (partner == "never" or (partner == "changed" and n >= DAYS * PER_DAY // 2))
            is_seen = is_bad and rng.random() < (0.1 if is_missed else 0.67)
            recorder.record(
                {"channel": "partner" if is_partner else "web", "amount": float(n % 7)},
                score=0.9 if is_seen else 0.1,
                prediction=is_seen,
                key=f"k{n}",
                version="v1",
                predicted_at=at,
            )
            recorder.outcome(is_bad, key=f"k{n}")
    return open_log(folder / "store")


def asked(log: Log, metric: str = "recall") -> Answer:
    return log.why("m", metric, cohort="channel=partner")


@pytest.mark.parametrize("metric", ["recall", "accuracy"])
def test_a_cohort_that_was_hardly_in_the_training_data_was_never_learned(tmp_path: Path, metric: str) -> None:
    answer = asked(lived(tmp_path, "never"), metric)
    assert answer.headline.startswith(
        f"{metric} of channel partner: channel partner was never learned: {metric} was 0."
    )
    assert answer.headline.endswith("0.5 % of the training rows are of it")
    assert answer.because[0].startswith("retrain: nothing changed, so no rollback helps")
    (row,) = answer.table("causes").rows
    assert row[:2] == ("never_learned", "channel partner")
    assert answer.exit_code == 0


@pytest.mark.parametrize(("trained", "words"), [(400, "20.0 % of the training rows are of it"), (None, "is not known")])
def test_where_training_rows_do_not_say_so_it_was_never_served_well(
    tmp_path: Path, trained: int | None, words: str
) -> None:
    answer = asked(lived(tmp_path, "never", trained=trained))
    assert "was never served well" in answer.headline
    assert answer.headline.endswith(words)
    assert answer.because[0].startswith("investigate: ")


def test_a_cohort_that_was_served_well_before_did_change(tmp_path: Path) -> None:
    answer = asked(lived(tmp_path, "changed"))
    assert "never" not in answer.text()
    assert any(line.startswith("recall of channel partner changed 2026-06-0") for line in answer.because)


def test_a_cohort_like_the_rest_is_no_news(tmp_path: Path) -> None:
    answer = asked(lived(tmp_path, "well"))
    assert answer.headline == "recall of channel partner: no cause found: the metric did not change beyond its noise"
    assert answer.exit_code == 3


def test_the_incident_of_a_cohorts_guardrail_is_explained_by_its_rows(tmp_path: Path) -> None:
    lived(tmp_path, "never").close()
    layout = Layout.open(tmp_path / "store")
    tick(layout)
    assert "recall of channel partner" in list_incidents(layout.root).text()
    told = setpoint("why", "0001", "--store", "store", cwd=tmp_path)
    assert "channel partner was never learned" in told.stdout
    asked = setpoint("why", "m", "recall", "--cohort", "channel=partner", "--store", "store", cwd=tmp_path)
    assert "channel partner was never learned" in asked.stdout


def test_what_is_no_cohort_is_refused_in_words(tmp_path: Path) -> None:
    log = lived(tmp_path, "well")
    with pytest.raises(UsageError, match="no cohort is called 'shop'"):
        log.why("m", "recall", cohort="shop=a")
    with pytest.raises(UsageError, match="not one cohort: 'channel'"):
        log.why("m", "recall", cohort="channel")
