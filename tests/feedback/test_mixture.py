"""A change splits into mix and within exactly, as Kitagawa's formula and reweighted rows say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

import setpoint
from setpoint.core.model import Cohort, Model
from setpoint.core.window import Window
from setpoint.feedback.mixture import Change, Mixture
from setpoint.feedback.quality import quality_metric
from setpoint.store.states import StateTable

DAY = 86_400_000_000
START = 1_767_225_600_000_000  # 2026-01-01
WINDOWS = (Window(START, START + 10 * DAY), Window(START + 10 * DAY, START + 20 * DAY))
MODEL = Model("", cohorts=(Cohort("shop", by="shop"),))


@dataclass(frozen=True)
class Shop:
    """A group: its share of the rows and its share of right answers, in both windows."""

    shares: tuple[float, float]
    right: tuple[float, float]


MOVED = {"a": Shop((0.7, 0.3), (0.9, 0.85)), "b": Shop((0.3, 0.6), (0.6, 0.65)), "c": Shop((0.0, 0.1), (0.5, 0.5))}


def table(shops: dict[str, Shop], rows: int = 4000, seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    parts: list[pl.DataFrame] = []
    for window in (0, 1):
        for name, shop in shops.items():
            count = round(rows * shop.shares[window])
            score = rng.random(count)
            is_right = rng.random(count) < shop.right[window]
            at = WINDOWS[window].start + np.sort(rng.integers(0, 10 * DAY, count))
            outcome = np.where(is_right, score >= 0.5, score < 0.5).astype(int)
            parts.append(pl.DataFrame({"ts": at, "shop": [name] * count, "p": score, "outcome": outcome}))
    return pl.concat(parts).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))


def states_by_day(frame: pl.DataFrame, window: Window) -> list[StateTable]:
    log = setpoint.read(frame, model=MODEL, time="ts", score="p", outcome="outcome", inputs=["shop"])
    with log.evidence() as evidence:
        return [state for _, state in evidence.quality_by_day(window, cohort="shop")]


def change(days: list[StateTable], metric: str) -> Change:
    """Return how a metric changed from the first half of some days to the second."""

    def finish(state: StateTable) -> float | None:
        return quality_metric(state, MODEL, metric).value

    half = len(days) // 2
    found = Mixture((days[:half], days[half:]), "cohort_value", finish).change("shop")
    assert found is not None
    return found


def split(frame: pl.DataFrame, metric: str) -> Change:
    return change(states_by_day(frame, Window(WINDOWS[0].start, WINDOWS[1].end)), metric)


def splits(shops: dict[str, Shop], seeds: int) -> list[Change]:
    """Return the changes of many tables, each twenty days before the one before it: they are read as one."""
    length = WINDOWS[1].end - START
    ts = pl.col("ts")
    tables = [
        table(shops, rows=1500, seed=seed).with_columns(ts - pl.duration(microseconds=seed * length))
        for seed in range(seeds)
    ]
    days = states_by_day(pl.concat(tables), Window(START - (seeds - 1) * length, WINDOWS[1].end))
    assert len(days) == 20 * seeds
    return [change(days[first : first + 20], "accuracy") for first in range(0, len(days), 20)]


def sides(frame: pl.DataFrame) -> list[pl.DataFrame]:
    ts = pl.col("ts").cast(pl.Int64)
    return [frame.filter(ts.is_between(w.start, w.end - 1)) for w in WINDOWS]


def test_of_a_mean_it_is_kitagawas() -> None:
    frame = table(MOVED)
    found = split(frame, "accuracy")
    known: list[dict[str, tuple[float, float]]] = []
    for side in sides(frame):
        right = (side["p"].to_numpy() >= 0.5) == side["outcome"].to_numpy()
        names = side["shop"].to_numpy()
        known.append({n: (float(np.mean(names == n)), float(right[names == n].mean())) for n in set(names.tolist())})
    mix = within = 0.0
    for shop in MOVED:
        after = known[1][shop]
        before = known[0].get(shop, (0.0, after[1]))  # a group that is new is all mix
        mix += (after[0] - before[0]) * (before[1] + after[1]) / 2
        within += (after[1] - before[1]) * (before[0] + after[0]) / 2
    assert found.mix.value == pytest.approx(mix, abs=1e-9)
    assert found.within.value == pytest.approx(within, abs=1e-9)
    assert found.total.value == pytest.approx(mix + within, abs=1e-9)
    assert sum(group.within for group in found.groups) == pytest.approx(within, abs=1e-9)


def test_of_auc_its_corners_are_those_of_reweighted_rows() -> None:
    frame = table({"a": Shop((0.7, 0.3), (0.9, 0.8)), "b": Shop((0.3, 0.7), (0.6, 0.7))}, rows=8000)
    found = split(frame, "auc")
    before, after = sides(frame)

    def auc(rows: pl.DataFrame, mix: pl.DataFrame) -> float:
        share, size = mix["shop"].to_list(), rows["shop"].to_list()
        weights = [share.count(shop) / size.count(shop) for shop in ("a", "b")]
        each = np.where(rows["shop"].to_numpy() == "a", weights[0], weights[1])
        return float(roc_auc_score(rows["outcome"], rows["p"], sample_weight=each))

    corners = [auc(before, before), auc(before, after), auc(after, before), auc(after, after)]
    mix = (corners[1] - corners[0] + corners[3] - corners[2]) / 2
    assert found.mix.value == pytest.approx(mix, abs=2e-3)  # a score bin is 1/32 of log odds wide
    assert found.total.value == pytest.approx(corners[3] - corners[0], abs=2e-3)
    assert (found.mix.value or 0) + (found.within.value or 0) == pytest.approx(found.total.value, abs=1e-12)


def test_simpsons_reversal_is_called_by_its_name_and_noise_is_not() -> None:
    rose = {"a": Shop((0.8, 0.2), (0.9, 0.95)), "b": Shop((0.2, 0.8), (0.6, 0.66))}
    assert split(table(rose, rows=20_000), "accuracy").reversal == (
        "Simpson's reversal: it fell as a whole and rose in every shop"
    )
    plain = {"a": Shop((0.8, 0.2), (0.9, 0.85)), "b": Shop((0.2, 0.8), (0.6, 0.5))}
    assert split(table(plain), "accuracy").reversal == ""
    same = {"a": Shop((0.6, 0.4), (0.8, 0.8)), "b": Shop((0.4, 0.6), (0.7, 0.7))}
    assert sum(bool(found.reversal) for found in splits(same, 40)) <= 1


def test_the_interval_of_a_part_covers_it() -> None:
    shops = {"a": Shop((0.6, 0.4), (0.9, 0.85)), "b": Shop((0.4, 0.6), (0.6, 0.6))}
    within = (0.85 - 0.9) * 0.5
    mix = (0.4 - 0.6) * (0.9 + 0.85) / 2 + (0.6 - 0.4) * 0.6
    hits = [0, 0]
    for found in splits(shops, 60):
        for n, (part, truth) in enumerate(((found.within, within), (found.mix, mix))):
            assert part.low is not None
            assert part.high is not None
            hits[n] += part.low <= truth <= part.high
    assert min(hits) >= 53
