"""What rankings show stands beside the features in `diff`, and is unknown where it cannot be said."""

from __future__ import annotations

import random
from collections.abc import Sequence

import polars as pl

import setpoint
from setpoint.answers.answer import Answer
from setpoint.core.clock import DAY
from setpoint.core.model import Model, Success, Task

START = 1_767_571_200_000_000  # Monday 2026-01-05
PER_DAY, CHANGED_DAYS = 100, 7
MODEL = Model("", task=Task.RANKING, success=Success(top=5))
ITEMS = [f"item-{n}" for n in range(60)]


def compared(items: Sequence[str], days: int = 35, *, explain: bool = False) -> Answer:
    """Return what changed in the last week of some days of rankings, when others are shown in it."""
    rng = random.Random(3)
    at = [START + n * DAY // PER_DAY for n in range(days * PER_DAY)]
    shown = [rng.sample(items if n >= (days - CHANGED_DAYS) * PER_DAY else ITEMS, 5) for n in range(len(at))]
    x = [rng.gauss(0.0, 1.0) for _ in at]
    columns = {
        "x": x,
        "ts": pl.Series(at).cast(pl.Datetime("us", "UTC")),
        "ranking": shown,
        "outcome": [one[:1] for one in shown],
    }
    log = setpoint.read(pl.DataFrame(columns), model=MODEL, inputs=["x"])
    return log.diff(explain=explain)


def test_a_smaller_catalogue_is_a_change_of_what_is_shown() -> None:
    answer = compared(ITEMS[:36])
    assert answer.verdict is setpoint.Verdict.WARNING
    assert "no input changed beyond chance, but what is shown did: shown items (coverage)" in answer.headline
    (line,) = (line for line in answer.table("features").lines if "coverage" in line[0])
    assert line[1].startswith("53 items in ")
    assert line[2].startswith("35 items in ")
    assert "fewer different items" in line[3]
    columns = answer.table("features").columns
    row = dict(zip(columns, next(r for r in answer.table("features").rows if r[0] == line[0]), strict=True))
    assert (row["changed"], row["question"], row["importance"]) == (True, "coverage", 0.0)


def test_the_same_items_are_no_change_and_the_budget_is_said() -> None:
    answer = compared(ITEMS, explain=True)
    assert answer.verdict is setpoint.Verdict.OK
    assert any("3 exposure measures" in words and "0.2 %" in words for words in answer.because)
    assert {"coverage", "concentration", "new_items"} <= {row[1] for row in answer.table("answers").rows}


def test_few_days_leave_it_unknown() -> None:
    answer = compared(ITEMS[:36], days=12)
    assert "whether what is shown changed: how days differ is unknown, that takes 14 of them" in answer.unknowns
    assert not any("shown items" in str(row[0]) for row in answer.table("features").rows)
