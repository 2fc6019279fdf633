"""Cohorts derived from a column: local hours and weekdays, values put together, numbers in bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import setpoint
from setpoint.control.loop import tick
from setpoint.core.model import Cohort, Model
from setpoint.declare.load import load_text
from setpoint.declare.write import to_yaml
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout
from setpoint.store.spool import Spool

START = 1_767_225_600_000_000  # 2026-01-01, a Thursday
ZONE = "America/New_York"
STATES = {"EWR": "New Jersey", "JFK": "New York", "LGA": "New York"}
COHORTS = (
    Cohort("hour", by="predicted_at", part="hour"),
    Cohort("weekday", by="predicted_at", part="weekday"),
    Cohort("state", by="origin", mapping=tuple(STATES.items())),
    Cohort("size", by="amount", edges=(10.0, 100.0)),
)
DECLARED = """
timezone: America/New_York
cohorts:
- {name: hour, part: hour}
- {name: weekday, part: weekday}
- {name: state, by: origin, mapping: {EWR: New Jersey, JFK: New York, LGA: New York}}
- {name: size, by: amount, edges: [10, 100]}
"""


def frame() -> pl.DataFrame:
    rng = np.random.default_rng(7)
    n = 1500
    amount = rng.lognormal(3.0, 1.5, n)
    amount[:30], amount[30:33] = np.nan, [10.0, 100.0, np.inf]
    origin: list[str | None] = [None] * 20 + rng.choice([*STATES, "PHL"], n - 20).tolist()
    at = pl.Series(START + np.arange(n) * 611_000_000).cast(pl.Datetime("us", "UTC"))
    return pl.DataFrame({"ts": at, "origin": origin, "amount": amount, "p": rng.random(n)})


def size(amount: float) -> str:
    if np.isnan(amount):
        return "(none)"
    return "below 10" if amount < 10 else ("10 to 100" if amount < 100 else "from 100")


def expected(table: pl.DataFrame) -> dict[str, list[str]]:
    local = table["ts"].dt.convert_time_zone(ZONE).to_list()
    return {
        "hour": [at.strftime("%H") for at in local],
        "weekday": [at.strftime("%a") for at in local],
        "state": ["(none)" if origin is None else STATES.get(origin, "(other)") for origin in table["origin"]],
        "size": [size(amount) for amount in table["amount"]],
    }


def recorded(folder: Path, table: pl.DataFrame) -> setpoint.Log:
    layout = Layout.create(folder / "store", replay_now=START)
    layout.declare(Model("m", cohorts=COHORTS, timezone=ZONE))
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for row in table.with_columns(pl.col("ts").cast(pl.Int64)).to_dicts():
        recorder.record({"origin": row["origin"], "amount": row["amount"]}, score=row["p"], predicted_at=row["ts"])
    recorder.close()
    layout.save_replay_now(START + len(table) * 611_000_000)
    return setpoint.open(layout.root)


@pytest.mark.parametrize("source", ["file", "rows", "states"])
def test_groups_are_those_of_the_rows(tmp_path: Path, source: str) -> None:
    table = frame()
    if source == "file":
        model = Model("", cohorts=COHORTS, timezone=ZONE)
        log = setpoint.read(table, model=model, time="ts", score="p", inputs=["origin", "amount"])
    else:
        log = recorded(tmp_path, table)
    if source == "states":
        tick(Layout.open(tmp_path / "store"))
    for name, values in expected(table).items():
        rows = log.status(by=name, over="2025-12-31..2026-02-01").table(f"by_{name}").rows
        assert {row[0]: row[1] for row in rows} == {value: values.count(value) for value in set(values)}


def test_they_are_declared_and_written_back() -> None:
    model = load_text(DECLARED, "m")
    assert model.cohorts == COHORTS
    assert load_text(to_yaml(model, {}, ""), "m") == model
