"""The demo on real flights: what it says is computed, so other outcomes make it say other things."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from setpoint.control.loop import tick
from setpoint.core.verdict import Verdict
from setpoint.demo.flights import Flights, load
from setpoint.demo.replay import LIVE_FROM, MODEL, ZONE, record, run
from setpoint.demo.story import Month, read_months, sentences
from setpoint.project.log import open_log


@pytest.fixture(scope="module")
def quiet() -> Console:
    return Console(quiet=True)


def test_flights_have_their_outcomes_when_they_really_had_them() -> None:
    flights = load()
    assert len(flights.table) == 336_776
    assert int(flights.table["late"].isna().sum()) == 9_430
    hours = (flights.table["arrives_at"] - flights.table["departs_at"]).dt.total_seconds() / 3600
    assert float(hours.min()) > 0
    assert 2 < float(hours.median()) < 4
    assert not {"dep_delay", "air_time", "arr_delay"} & set(flights.table.columns)


@pytest.mark.timeout(400)
def test_every_sentence_depends_on_the_outcomes(
    tmp_path: Path, quiet: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    flights = fewer(load())
    run(tmp_path / "real", console=quiet, flights=flights)
    real = capsys.readouterr().out
    layout, _ = record(tmp_path / "shuffled", console=quiet, flights=with_outcomes_of_others(flights))
    tick(layout, checks={})
    with open_log(tmp_path / "shuffled") as log:
        shuffled = read_months(log, MODEL)
    with open_log(tmp_path / "real") as log:
        months = read_months(log, MODEL)
        auc = {month.name: month.auc for month in months}
        # scikit-learn's boosting comes close to what the research measured with LightGBM.
        for name, expected in {"July": 0.754, "August": 0.712, "October": 0.674, "November": 0.658}.items():
            assert auc[name] == pytest.approx(expected, abs=0.02)
        worst = log.status(MODEL, over="2013-10-01..2013-11-01")
        assert worst.verdict is Verdict.BREACH
        assert log.status(MODEL, over="2013-07-01..2013-08-01").verdict is Verdict.OK
        july = dict(zip(worst.table("metrics").columns, worst.table("metrics").rows[-1], strict=True))
        assert july["metric"] == "outcome_share"
        assert july["value"] == pytest.approx(0.99, abs=0.02)
        cohorts = {row[0]: row for row in log.status(MODEL, over="180d", by="origin").table("by_origin").rows}
        assert set(cohorts) == {"EWR", "JFK", "LGA"}
        early = log.status(MODEL, over="7d", as_of="2013-08-15")
        assert "2013-08-15" in early.because[0]
    told, other = story(real), sentences(shuffled)
    assert told[0] == other[0], "the temperature did not depend on outcomes"
    assert all(a != b for a, b in zip(told[1:], other[1:], strict=False))
    assert len(told) >= 3
    assert all(month.auc == pytest.approx(0.5, abs=0.04) for month in shuffled)
    assert real.count("$ setpoint") == 3


def fewer(flights: Flights) -> Flights:
    """Return all flights to train on, and every fourth to replay."""
    table = flights.table
    is_live = table["departs_at"] >= pd.Timestamp(LIVE_FROM, tz=ZONE)
    return Flights(table[~is_live | (np.arange(len(table)) % 4 == 0)].reset_index(drop=True))


def with_outcomes_of_others(flights: Flights) -> Flights:
    """Return flights of which those to replay have the outcome of another."""
    table = flights.table
    is_live = table["departs_at"] >= pd.Timestamp(LIVE_FROM, tz=ZONE)
    known = np.flatnonzero((is_live & table["late"].notna()).to_numpy())
    late = table["late"].to_numpy().copy()
    late[known] = late[np.random.default_rng(0).permutation(known)]
    return Flights(table.assign(late=late))


def story(output: str) -> list[str]:
    """Return the sentences at the end of the demo's output."""
    lines = [line.strip() for line in output.splitlines()]
    start = next(n for n, line in enumerate(lines) if line.startswith("December"))
    return [line for line in lines[start + 1 :] if line]


def month(name: str, auc: float, verdict: str, psi: float | None) -> Month:
    return Month(name, auc, auc - 0.01, auc + 0.01, verdict, psi, 60.0)


def test_a_year_without_drift_and_without_trouble_is_told_as_such() -> None:
    calm = [month("July", 0.75, "ok", None), month("August", 0.75, "ok", 0.01)]
    assert sentences(calm) == [
        "Temperature did not drift beyond the usual PSI rule of 0.2.",
        "The model kept its promise in every month.",
    ]
    together = [month("July", 0.75, "ok", None), month("August", 0.6, "breach", 3.0)]
    assert "may go together" in sentences(together)[1]
