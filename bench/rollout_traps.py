"""Situations in which equal versions look different to a judge that counts carelessly.

Each is simulated with the evidence as it is to be given to the judge, and as it must not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.rollout_worlds import LOOKS, by_table, chunks, first_look
from bench.table import Cell
from setpoint.control.judge import Counted
from setpoint.stats.special import FloatArray, IntArray

Flags = NDArray[np.bool_]
LIMIT = math.log(100.0)
METRIC = Counted("errors")
UNITS, UNIT_RUNS, TABLE_RUNS = 1_000, 200, 1_000  # of runs as many at once as fit in memory
WEIGHTS = np.repeat([0.01, 0.05, 0.25, 0.5], LOOKS // 4)


def traps(runs: int) -> list[list[Cell]]:
    """Return by situation the share of runs rolled back, in percent: by the judge, and when done wrongly."""
    found: list[list[Cell]] = []
    for name, situation in _SITUATIONS.items():
        rng, counts = np.random.default_rng(10 + len(found)), np.zeros(2)
        for count in chunks(runs, UNIT_RUNS if "units" in name else TABLE_RUNS):
            counts += situation(rng, count)
        found.append([name, *(100.0 * counts / runs).tolist()])
    return found


def _rolled_back(stable: tuple[IntArray, IntArray], candidate: tuple[IntArray, IntArray]) -> int:
    """Return how many runs are rolled back, from rows and hits of each look, shape (runs, looks)."""
    return int(np.isfinite(first_look(_mean(_won(stable, candidate)), LIMIT)).sum())


def _won(stable: tuple[IntArray, IntArray], candidate: tuple[IntArray, IntArray]) -> FloatArray:
    return by_table((stable[0], candidate[0]), (stable[1], candidate[1]), _of_table)


@cache
def _of_table(stable: tuple[int, int], candidate: tuple[int, int]) -> FloatArray:
    return METRIC.won(stable, candidate)[0].worse


def _mean(won: FloatArray) -> FloatArray:
    return np.logaddexp.reduce(won.cumsum(-1) + np.log(METRIC.views[0].stakes)[:, None, None])


def _ramp(rng: np.random.Generator, runs: int) -> tuple[int, int]:
    """Weights rise while the common error rate climbs; wrongly: counts pooled over all looks."""
    rates = np.linspace(0.003, 0.015, LOOKS)
    rows = np.stack([np.round(1_000 * (1.0 - WEIGHTS)), np.round(1_000 * WEIGHTS)]).astype(np.int64)
    hits = [rng.binomial(count, rates, (runs, LOOKS)) for count in rows]
    shown = [(np.broadcast_to(count, (runs, LOOKS)), hit) for count, hit in zip(rows, hits, strict=True)]
    pooled = [(count.cumsum(-1), hit.cumsum(-1)) for count, hit in shown]
    at_once = np.logaddexp.reduce(_won(*pooled) + np.log(METRIC.views[0].stakes)[:, None, None])
    return _rolled_back(*shown), int(np.isfinite(first_look(at_once, LIMIT)).sum())


def _bursts(rng: np.random.Generator, runs: int) -> tuple[int, int]:
    """In every tenth look both versions err eight times as often; wrongly: by the share that is usual."""
    rates = 0.005 * rng.choice([1.0, 8.0], (runs, LOOKS), p=[0.9, 0.1])
    hits = [rng.binomial(count, rates) for count in (900, 100)]
    usual = 0.005 * 1.7
    tilted = hits[1] * math.log(2.0) + (100 - hits[1]) * math.log((1.0 - 2.0 * usual) / (1.0 - usual))
    alone = int(np.isfinite(first_look(tilted.cumsum(-1), LIMIT)).sum())
    return _rolled_back(*((np.full_like(hit, count), hit) for count, hit in zip((900, 100), hits, strict=True))), alone


def _sessions(rng: np.random.Generator, runs: int) -> tuple[int, int]:
    """Sessions of ten requests fail together; wrongly: each request is evidence."""
    hits = [rng.binomial(count, 0.01, (runs, LOOKS)) for count in (90, 10)]
    by_session, by_request = (
        [(np.full_like(hit, count * size), hit * size) for count, hit in zip((90, 10), hits, strict=True)]
        for size in (1, 10)
    )
    return _rolled_back(*by_session), _rolled_back(*by_request)


def _delayed(
    wrong_looks: float, right_looks: float, age: int = 5
) -> Callable[[np.random.Generator, int], tuple[int, int]]:
    """Outcomes arrive late, wrong ones sooner or later than right ones; wrongly: compared as they arrive.

    The stable version has served for long, the candidate begins. A tenth of all answers is wrong.
    """
    shares, kinds = (900.0, 100.0), ((0.1, wrong_looks), (0.9, right_looks))

    def situation(rng: np.random.Generator, runs: int) -> tuple[int, int]:
        at_age, arrived = [], []
        for is_candidate, rows in enumerate(shares):
            known, come = [], []
            for share, mean in kinds:
                by_age = 1.0 - math.exp(-age / mean)
                known.append(rng.poisson(rows * share * by_age, (runs, LOOKS)))
                so_far = 1.0 - np.exp(-np.arange(1, LOOKS + 1) / mean) if is_candidate else np.ones(LOOKS)
                come.append(rng.poisson(rows * share * so_far, (runs, LOOKS)))
            at_age.append((known[0] + known[1], known[0]))
            arrived.append((come[0] + come[1], come[0]))
        return _rolled_back(*at_age), _rolled_back(*arrived)

    return situation


def _returning(weights: FloatArray) -> Callable[[np.random.Generator, int], tuple[int, int]]:
    """A thousand units with their own rates and activity come back for a hundred batches.

    A unit is evidence once a step, with what it did in the first batch of the step in which it came. Those that were
    seen as stable before are a table of their own, by the step in which they were seen last: only of these is it known
    that they were below no other weight. Those that were candidates before are left out. Wrongly: a unit is evidence in
    every batch in which it comes.
    """
    steps = np.concatenate([[0], (np.diff(weights) > 0.0).cumsum()])

    def situation(rng: np.random.Generator, runs: int) -> tuple[int, int]:
        units = runs * UNITS
        bucket, rate = rng.random(units), rng.beta(0.25, 4.75, units)
        activity = np.minimum(rng.lognormal(-2.5, 1.0, units), 1.0)
        last_seen, was_candidate = np.full(units, -1), np.zeros(units, dtype=bool)  # as evidence
        logs = np.zeros((len(METRIC.views[0].stakes), runs, LOOKS))
        each_batch = np.zeros_like(logs)
        for look, (weight, step) in enumerate(zip(weights, steps.tolist(), strict=True)):
            came = np.flatnonzero(rng.random(units) < activity)
            is_hit = rng.random(len(came)) < 1.0 - (1.0 - rate[came]) ** (1 + rng.poisson(2.0 * activity[came]))
            is_candidate = bucket[came] < weight

            def won(
                which: Flags, came: IntArray = came, hit: Flags = is_hit, tried: Flags = is_candidate
            ) -> FloatArray:
                """Return what is won on some of those that came, shape (bets, runs)."""
                table = [
                    np.bincount(came[which & who] // UNITS, minlength=runs)
                    for who in (~tried, ~tried & hit, tried, tried & hit)
                ]
                return _won((table[0], table[1]), (table[2], table[3]))

            each_batch[:, :, look] = won(np.ones(len(came), dtype=bool))
            before = np.where(was_candidate[came], step, last_seen[came])
            for seen in range(-1, step):
                logs[:, :, look] += won(before == seen)
            now = before < step
            last_seen[came[now]] = step
            was_candidate[came[now & is_candidate]] = True
        once, each = (int(np.isfinite(first_look(_mean(one), LIMIT)).sum()) for one in (logs, each_batch))
        return once, each

    return situation


_SITUATIONS: dict[str, Callable[[np.random.Generator, int], tuple[int, int]]] = {
    "1 → 50 % while common errors climb (pooled)": _ramp,
    "common bursts (the candidate by itself)": _bursts,
    "sessions fail together (by request)": _sessions,
    "outcomes late, wrong ones sooner (as they arrive)": _delayed(1.0, 10.0),
    "outcomes late, wrong ones later (as they arrive)": _delayed(10.0, 1.0),
    "1,000 units return, 10 % (each batch)": _returning(np.full(LOOKS, 0.1)),
    "1,000 units return, 50 % (each batch)": _returning(np.full(LOOKS, 0.5)),
    "1,000 units return, 1 → 50 % (each batch)": _returning(WEIGHTS),
}
