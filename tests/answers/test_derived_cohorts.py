"""Cohorts derived from a column: local hours and weekdays, values put together, bands, new and returning units."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.answers.replayed import replay

import setpoint
from setpoint.control.loop import tick
from setpoint.core.clock import DAY
from setpoint.core.errors import DeclarationError
from setpoint.core.model import Cohort, Model
from setpoint.declare.load import load_text
from setpoint.declare.write import to_yaml
from setpoint.store.layout import Layout

START = 1_767_225_600_000_000  # 2026-01-01, a Thursday
ZONE = "America/New_York"
STATES = {"EWR": "New Jersey", "JFK": "New York", "LGA": "New York"}
COHORTS = (
    Cohort("hour", by="predicted_at", part="hour"),
    Cohort("weekday", by="predicted_at", part="weekday"),
    Cohort("state", by="origin", mapping=tuple(STATES.items())),
    Cohort("size", by="amount", edges=(10.0, 100.0)),
    Cohort("quarter", by="amount", edges=(7.0, 20.5, 55.0), quantiles=4),
    Cohort("visitor", by="unit", new_for=DAY),
    Cohort("visit", by="unit", new_for=0),
)
DECLARED = """
timezone: America/New_York
cohorts:
- {name: hour, part: hour}
- {name: weekday, part: weekday}
- {name: state, by: origin, mapping: {EWR: New Jersey, JFK: New York, LGA: New York}}
- {name: size, by: amount, edges: [10, 100]}
- {name: quarter, by: amount, quantiles: 4, edges: [7, 20.5, 55]}
- {name: visitor, new_for: 1d}
- {name: visit, new_for: first}
"""


def frame() -> pl.DataFrame:
    rng = np.random.default_rng(7)
    n = 1500
    amount = rng.lognormal(3.0, 1.5, n)
    amount[:30], amount[30:33] = np.nan, [10.0, 100.0, np.inf]
    origin: list[str | None] = [None] * 20 + rng.choice([*STATES, "PHL"], n - 20).tolist()
    at = pl.Series(START + np.arange(n) * 611_000_000).cast(pl.Datetime("us", "UTC"))
    who = [None if n % 11 == 0 else f"u{n // 40 * 7 + n % 7}" for n in range(n)]
    return pl.DataFrame({"ts": at, "origin": origin, "amount": amount, "p": rng.random(n), "who": who})


def size(amount: float) -> str:
    if np.isnan(amount):
        return "(none)"
    return "below 10" if amount < 10 else ("10 to 100" if amount < 100 else "from 100")


def quarter(amount: float) -> str:
    names = ["below 7", "7 to 20.5", "20.5 to 55", "from 55"]
    return "(none)" if np.isnan(amount) else names[int(np.searchsorted([7.0, 20.5, 55.0], amount, side="right"))]


def visits(table: pl.DataFrame, new_for: timedelta) -> list[str]:
    first: dict[str, datetime] = {}
    pairs = zip(table["who"].to_list(), table["ts"].to_list(), strict=True)
    return [
        "(none)" if who is None else "new" if at <= first.setdefault(who, at) + new_for else "returning"
        for who, at in pairs
    ]


def expected(table: pl.DataFrame) -> dict[str, list[str]]:
    local = table["ts"].dt.convert_time_zone(ZONE).to_list()
    return {
        "hour": [at.strftime("%H") for at in local],
        "weekday": [at.strftime("%a") for at in local],
        "state": ["(none)" if origin is None else STATES.get(origin, "(other)") for origin in table["origin"]],
        "size": [size(amount) for amount in table["amount"]],
        "quarter": [quarter(amount) for amount in table["amount"]],
        "visitor": visits(table, timedelta(days=1)),
        "visit": visits(table, timedelta()),
    }


def recorded(folder: Path, table: pl.DataFrame) -> setpoint.Log:
    model, until = Model("m", cohorts=COHORTS, timezone=ZONE), START + len(table) * 611_000_000
    with replay(folder, model, START, until) as (recorder, _):
        for row in table.with_columns(pl.col("ts").cast(pl.Int64)).to_dicts():
            inputs = {"origin": row["origin"], "amount": row["amount"]}
            recorder.record(inputs, score=row["p"], unit=row["who"], predicted_at=row["ts"])
    return setpoint.open(folder / "store")


@pytest.mark.parametrize("source", ["file", "rows", "states"])
def test_groups_are_those_of_the_rows(tmp_path: Path, source: str) -> None:
    table = frame()
    if source == "file":
        model = Model("", cohorts=COHORTS, timezone=ZONE)
        log = setpoint.read(table, model=model, time="ts", score="p", unit="who", inputs=["origin", "amount"])
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


def test_quantile_bands_of_a_file_are_cut_by_its_reference() -> None:
    table = frame()
    model = Model("", cohorts=(Cohort("band", by="amount", quantiles=3),), reference="2026-01-01..2026-01-05")
    log = setpoint.read(table, model=model, time="ts", score="p", inputs=["amount"])
    known = table.filter((pl.col("ts").dt.day() < 5) & pl.col("amount").is_finite())["amount"].to_numpy()
    low, high = np.quantile(known, [1 / 3, 2 / 3], method="inverted_cdf")
    names = {row[0] for row in log.status(by="band", over="2025-12-31..2026-02-01").table("by_band").rows}
    assert names == {f"below {low:g}", f"{low:g} to {high:g}", f"from {high:g}", "(none)"}


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("{name: a, by: x, quantiles: 1}", "found 1, expected at least 2"),
        ("{name: a, by: x, quantiles: 3, edges: [1, 2, 3]}", "found 3 edges for 3 bands, expected at most 2"),
        ("{name: a, by: x, quantiles: 3, part: hour}", "found part and quantiles, expected one of them"),
        ("{name: a, by: x, new_for: 7d}", "found x, expected unit"),
        ("{name: a, new_for: 7}", "add a unit: 7s, 7h or 7d"),
        ("{name: a, new_for: 0d}", "expected a duration above zero"),
    ],
)
def test_what_cannot_be_derived_is_refused(declared: str, message: str) -> None:
    with pytest.raises(DeclarationError) as error:
        load_text(f"cohorts: [{declared}]", "m")
    assert message in str(error.value)
