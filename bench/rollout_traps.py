"""Situations in which equal versions look different to a judge that counts carelessly.

Each is simulated with the evidence as it is to be given to the judge, and as it must not.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from bench.rollout_worlds import LOOKS, by_table, chunks, first_look
from bench.table import Cell
from setpoint.control.judge import Counted
from setpoint.stats.special import FloatArray, IntArray

LIMIT = math.log(100.0)
METRIC = Counted("errors")
UNITS, UNIT_RUNS, TABLE_RUNS = 1_000, 50, 1_000  # of runs as many at once as fit in memory
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
    return by_table((stable[0], candidate[0]), (stable[1], candidate[1]), lambda *one: METRIC.won(*one)[0].worse)


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

    def situation(rng: np.random.Generator, runs: int) -> tuple[int, int]:
        shape = (runs, UNITS)
        bucket, rate = rng.random(shape), rng.beta(0.25, 4.75, shape)
        activity = np.minimum(rng.lognormal(-2.5, 1.0, shape), 1.0)
        steps = np.concatenate([[0], (np.diff(weights) > 0.0).cumsum()])
        last_seen = np.full(shape, -1)  # the step in which a unit was evidence last; as candidate: never again
        was_candidate = np.zeros(shape, dtype=bool)
        tables: list[list[IntArray]] = [[], []]
        logs = np.zeros((len(METRIC.views[0].stakes), runs, LOOKS))
        for look in range(LOOKS):
            came = rng.random(shape) < activity
            hit = rng.random(shape) < 1.0 - (1.0 - rate) ** (1 + rng.poisson(2.0 * activity))
            is_candidate, step = bucket < weights[look], int(steps[look])
            for version, who in enumerate((~is_candidate, is_candidate)):
                tables[version] += [(came & who).sum(1), (came & who & hit).sum(1)]
            is_new = came & ~was_candidate & (last_seen < step)
            for before in range(-1, step):
                here = is_new & (last_seen == before)
                table = [((here & who).sum(1), (here & who & hit).sum(1)) for who in (~is_candidate, is_candidate)]
                logs[:, :, look] += _won(*table)
            last_seen[is_new] = step
            was_candidate |= is_new & is_candidate
        once = int(np.isfinite(first_look(_mean(logs), LIMIT)).sum())
        each = [(np.stack(each[::2], axis=1), np.stack(each[1::2], axis=1)) for each in tables]
        return once, _rolled_back(*each)

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
