"""How often a judge rolls a healthy candidate back, and how many requests it needs to find a worse one.

A look after every hundred requests of the candidate, a hundred looks. `RUNS=10000 python -m bench rollouts` is the form
that the documents quote (about an hour); 500 by default. All judges of a row see the same runs. The oracle knows the
true effect: of counts it is the sequential likelihood ratio of the table, of values the best constant bet on the
clipped mean or on the values above a threshold, chosen after the fact.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter, defaultdict

import numpy as np

from bench.rollout_latency import looks, rollbacks
from bench.rollout_peers import boundaries, z_of
from bench.rollout_traps import traps
from bench.rollout_worlds import (
    COUNTED,
    HARD,
    LOOKS,
    MEASURED,
    SPLITS,
    World,
    by_table,
    chunks,
    drawn,
    evidence,
    first_look,
    pair_evidence,
)
from bench.table import Cell, table
from setpoint.control.judge import Counted, Judge, Measured
from setpoint.stats.assignment import log_block_factors, log_odds_factors
from setpoint.stats.special import FloatArray

RUNS = int(os.environ.get("RUNS", "500"))
ROLLBACKS = 20
CAUGHT_RUNS = max(200, RUNS // 10)
CHUNK = 20
RISK, MISS, METRICS = 0.01, 0.05, 4
TILTS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0)
TAILS = (0.5, 0.9, 0.95, 0.99, 0.995)
WORLDS = {**COUNTED, **MEASURED}
CAUGHT = ("errors of .5 %", "latency", "cost", "heavy-tailed loss")


def main() -> None:
    """Print a table for each line of what is promised."""
    peers = [*boundaries(_rows(WORLDS["cost"], 1))]
    tables = (
        (["rolled back though equal, %", "split", "judge", *peers], _false_rollbacks),
        (["both answer each request (shadow)", "rolled back though equal, %", "median to catch"], _pairs),
        (["rolled back though equal, %", "judge", "done wrongly"], lambda: traps(RUNS)),
        (
            [
                "median requests to catch",
                "split",
                *["judge", "oracle", "ratio"],
                f"of {METRICS}",
                "oracle",
                "ratio",
                *peers,
            ],
            _caught,
        ),
        (["promoted", "split", "at the red line, %", "healthy, %", "median", "oracle", "ratio"], _promoted),
        (["cost of a batch of 10,000 requests", "split", "ms"], _cost),
        (["followed by processes that serve, ms after", "median", "slowest", "runs"], lambda: rollbacks(ROLLBACKS)),
        (["who was seen, seconds a look", "from all rows", "from the file", "ratio", "making it", "MB"], looks),
    )
    print(f"{RUNS:,} runs a rate, {CAUGHT_RUNS:,} runs a median")
    for headings, measure in tables:
        print("\n" + table(headings, measure()), flush=True)


def _rows(world: World, stable: int) -> tuple[FloatArray, FloatArray]:
    """Return how many rows of each version each look has."""
    return np.full(LOOKS, float(stable * world.rows)), np.full(LOOKS, float(world.rows))


def _false_rollbacks() -> list[list[Cell]]:
    found: list[list[Cell]] = []
    for seed, world in enumerate(WORLDS.values()):
        for split, stable in SPLITS.items():
            counted: Counter[str] = Counter()
            rng = np.random.default_rng([1, seed, stable])
            for runs in chunks(RUNS, _chunk(world)):
                pair = drawn(rng, world, runs, (stable * world.rows, world.rows))
                counted["judge"] += _is_over(
                    evidence(world.metric, *pair, (stable * world.rows, world.rows)), math.log(1 / RISK)
                )
                z = _z(world, pair, stable)
                for name, boundary in boundaries(_rows(world, stable)).items():
                    counted[name] += _is_over(z - boundary, 0.0)
            found.append(
                [
                    world.name,
                    split,
                    *(100.0 * counted[name] / RUNS for name in ("judge", *boundaries(_rows(world, stable)))),
                ]
            )
    return found


def _is_over(log_evidence: FloatArray, limit: float) -> int:
    return int(np.isfinite(first_look(log_evidence, limit)).sum())


def _chunk(world: World) -> int:
    return 1000 if isinstance(world.metric, Counted) else CHUNK


def _z(world: World, pair: tuple[FloatArray, FloatArray], stable: int) -> FloatArray:
    if isinstance(world.metric, Counted):
        return z_of(_rows(world, stable), pair, pair)
    return z_of(
        _rows(world, stable), (pair[0].sum(-1), pair[1].sum(-1)), ((pair[0] ** 2).sum(-1), (pair[1] ** 2).sum(-1))
    )


def _pairs() -> list[list[Cell]]:
    """Return how pairs are judged: requests differ, and what makes them hard is the same for both versions."""
    found: list[list[Cell]] = []
    for world in (COUNTED["errors of .5 %"], MEASURED["latency"]):
        rng, false, caught = np.random.default_rng(2), 0, []
        for factor, count in ((1.0, RUNS), (world.factor, CAUGHT_RUNS)):
            for runs in chunks(count, CHUNK):
                shape = (runs, LOOKS, world.rows)
                if isinstance(world.metric, Counted):
                    hard = np.where(rng.random(shape) < HARD, 0.25, 0.0)
                    pair = [(rng.random(shape) < hard * by).astype(np.float64) for by in (1.0, factor)]
                else:
                    hard = rng.lognormal(0.0, 0.4, shape)
                    pair = [by * hard * rng.lognormal(0.0, 0.3, shape) for by in (1.0, factor)]
                looks = first_look(pair_evidence(world.metric, *pair), math.log(1 / RISK))
                if factor == 1.0:
                    false += int(np.isfinite(looks).sum())
                else:
                    caught += looks.tolist()
        found.append([world.change, 100.0 * false / RUNS, float(np.median(caught)) * world.rows])
    return found


def _caught() -> list[list[Cell]]:
    found: list[list[Cell]] = []
    for seed, name in enumerate(CAUGHT):
        world = WORLDS[name]
        for split, stable in SPLITS.items():
            looks: dict[str, list[float]] = defaultdict(list)
            rng = np.random.default_rng([3, seed, stable])
            for runs in chunks(CAUGHT_RUNS, _chunk(world)):
                pair = drawn(rng, world, runs, (stable * world.rows, world.rows), world.factor)
                said = {
                    "judge": evidence(world.metric, *pair, (stable * world.rows, world.rows)),
                    **_constant_bets(world, pair, stable),
                }
                for who, logs in said.items():
                    for metrics in (1, METRICS):
                        looks[f"{who}/{metrics}"] += first_look(logs, math.log(metrics / RISK)).tolist()
                z = _z(world, pair, stable)
                for who, boundary in boundaries(_rows(world, stable)).items():
                    looks[who] += first_look(z - boundary, 0.0).tolist()
            medians = {who: float(np.median(each)) * world.rows for who, each in looks.items()}
            cells: list[Cell] = []
            for metrics in (1, METRICS):
                mine = medians[f"judge/{metrics}"]
                best = min(m for who, m in medians.items() if who.startswith("bet") and who.endswith(f"/{metrics}"))
                cells += [mine, best, mine / best]
            found.append([world.change, split, *cells, *(medians[who] for who in boundaries(_rows(world, stable)))])
    return found


def _constant_bets(world: World, pair: tuple[FloatArray, FloatArray], stable: int) -> dict[str, FloatArray]:
    """Return what each bet that knows the effect has won by each look, shape (runs, looks)."""
    sizes = (np.array(stable * world.rows), np.array(world.rows))
    if isinstance(world.metric, Counted):
        rate = float(world.draw(np.random.default_rng(1), (1,))[0])
        return {"bet": _odds_bet(sizes, pair, rate, rate * world.factor)}
    metric = world.metric
    held, tried = (np.minimum(one, metric.clip) for one in pair)
    usual = (metric.red_line - 1.0) * metric.mean / metric.variance
    found = {f"bet on the mean {tilt}": log_block_factors(held, tried, tilt * usual)[0].cumsum(-1) for tilt in TILTS}
    past = world.draw(np.random.default_rng(78), (200_000,))
    for tail in TAILS:
        at = float(np.quantile(past, tail))
        rates = [float((one > at).mean()) for one in (past, world.factor * past)]
        hits = ((pair[0] > at).sum(-1), (pair[1] > at).sum(-1))
        if 0.0 < rates[0] < rates[1]:
            found[f"bet above {tail}"] = _odds_bet(sizes, hits, *rates)
    return found


def _odds_bet(
    sizes: tuple[FloatArray, FloatArray], hits: tuple[FloatArray, FloatArray], usual: float, worse: float
) -> FloatArray:
    odds = worse / (1.0 - worse) * (1.0 - usual) / usual
    return by_table(sizes, hits, lambda *one: log_odds_factors(*one, (odds,)))[0].cumsum(-1)


def _promoted() -> list[list[Cell]]:
    """Return how often a candidate at the red line is promoted, and when a healthy one is; one view, red line x 2."""
    found: list[list[Cell]] = []
    world = WORLDS["errors of .5 %"]
    red = 2.0 / (1.0 + 0.005)  # twice the odds
    for split, stable in SPLITS.items():
        rng = np.random.default_rng([4, stable])
        at_red_line, _ = _promotions(world, drawn(rng, world, RUNS, (stable * world.rows, world.rows), red), stable)
        healthy, oracle = _promotions(world, drawn(rng, world, CAUGHT_RUNS, (stable * world.rows, world.rows)), stable)
        medians = [float(np.median(one)) * world.rows for one in (healthy, oracle)]
        shares = [100.0 * float(np.isfinite(one).mean()) for one in (at_red_line, healthy)]
        found.append([world.name, split, *shares, *medians, medians[0] / medians[1]])
    return found


def _promotions(world: World, hits: tuple[FloatArray, FloatArray], stable: int) -> tuple[FloatArray, FloatArray]:
    """Return at which look each run is promoted: by the judge, unless it is rolled back before, and by the oracle."""
    sizes = (np.array(stable * world.rows), np.array(world.rows))
    view = world.metric.views[0]
    won = by_table(sizes, hits, lambda *one: np.concatenate(world.metric.won(*one)[0])).cumsum(-1)
    worse, fine = (
        first_look(np.logaddexp.reduce(logs + np.log(stakes)[:, None, None]), math.log(1.0 / chance))
        for logs, stakes, chance in (
            (won[: len(view.stakes)], view.stakes, RISK),
            (won[len(view.stakes) :], view.fine_stakes, MISS),
        )
    )
    equal = by_table(sizes, hits, lambda *one: log_odds_factors(*one, (1.0,), (2.0,)))[0].cumsum(-1)
    return np.where(fine < worse, fine, np.inf), first_look(equal, math.log(1.0 / MISS))


def _cost() -> list[list[Cell]]:
    found: list[list[Cell]] = []
    rng = np.random.default_rng(5)
    for name in ("errors of .5 %", "wrong answers of 15 %", "latency", "cost"):
        world = WORLDS[name]
        for split, rows in (("50/50", (5_000, 5_000)), ("90/10", (9_000, 1_000))):
            judge, seconds = Judge([world.metric]), []
            for _ in range(100):
                if isinstance(world.metric, Measured):
                    batch = [{name: world.draw(rng, (count,))} for count in rows]
                else:
                    batch = [{name: (count, int(rng.binomial(count, world.draw(rng, (1,))[0])))} for count in rows]
                began = time.perf_counter()
                judge.update(*batch)
                seconds.append(time.perf_counter() - began)
            found.append([name, split, 1_000.0 * float(np.median(seconds))])
    return found
