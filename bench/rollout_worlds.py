"""What is simulated when candidates are judged: metrics whose truth is known, and the judge's evidence on many runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from setpoint.control.judge import Counted, Measured, Paired
from setpoint.stats.special import FloatArray, IntArray

LOOKS, CANDIDATE_ROWS = 100, 100
SPLITS = {"50/50": 100, "90/10": 900}
"""Rows of the stable version in each look, beside a hundred of the candidate."""

Draw = Callable[[np.random.Generator, tuple[int, ...]], FloatArray]


@dataclass(frozen=True)
class World:
    """A metric, and how its values come about.

    Attributes:
        name: Of the metric.
        metric: As it is judged.
        draw: Values of a shape, for a version that is as usual; of counts, whether it happened.
        factor: How much larger they are, or how much more often it happens, where the candidate is worse.
    """

    name: str
    metric: Counted | Measured
    draw: Draw
    factor: float

    @property
    def change(self) -> str:
        """How a worse candidate differs."""
        return f"{self.name} x {self.factor:g}"


def _counted(name: str, rate: float, red_line: float) -> World:
    return World(name, Counted(name, red_line), lambda rng, shape: (rng.random(shape) < rate).astype(np.float64), red_line)


def _measured(name: str, draw: Draw, factor: float, thresholds: tuple[float, ...], *, is_mean_only: bool = False) -> World:
    past = draw(np.random.default_rng(77), (100_000,))
    metric = Measured.of(name, past, red_line=factor, quantiles=thresholds)
    return World(name, replace(metric, likeness=None) if is_mean_only else metric, draw, factor)


RATES = {"errors of .5 %": 0.005, "wrong answers of 15 %": 0.15}
COUNTED = {
    "errors of .5 %": _counted("errors of .5 %", 0.005, 2.0),
    "wrong answers of 15 %": _counted("wrong answers of 15 %", 0.15, 1.25),
}
MEASURED = {
    one.name: one
    for one in (
        _measured("latency", lambda rng, shape: rng.lognormal(0.0, 0.5, shape), 1.25, (0.5, 0.95, 0.99)),
        _measured("cost", lambda rng, shape: rng.lognormal(0.0, 0.8, shape), 1.1, ()),
        _measured("distance from the best score", lambda rng, shape: rng.beta(2.0, 5.0, shape), 1.1, ()),
        _measured(
            "heavy-tailed loss",  # one request in twenty loses money; the largest thousandth of them loses a quarter of it
            lambda rng, shape: (rng.random(shape) < 0.05) * rng.lognormal(0.0, 1.4, shape),
            2.0,
            (0.995,),
        ),
    )
}


def hits_of(rng: np.random.Generator, runs: int, rows: int, rate: float) -> IntArray:
    """Return how often it happened in each look of each run."""
    return rng.binomial(rows, rate, (runs, LOOKS))


def values_of(rng: np.random.Generator, world: World, runs: int, rows: int, factor: float = 1.0) -> FloatArray:
    """Return the values of each row in each look of each run, shape (runs, looks, rows)."""
    return factor * world.draw(rng, (runs, LOOKS, rows))


def by_table(rows: tuple[IntArray, IntArray], hits: tuple[IntArray, IntArray], won: Callable[..., FloatArray]) -> FloatArray:
    """Return what bets win in each look of each run, where many looks have the same counts.

    Args:
        rows: Of the stable version and the candidate, any shape.
        hits: The same.
        won: What the bets win with ((rows, hits), (rows, hits)).

    Returns:
        Shape (bets, *shape).
    """
    shape = np.broadcast_shapes(rows[0].shape, hits[0].shape)
    columns = np.stack([np.broadcast_to(one, shape).ravel() for one in (rows[0], hits[0], rows[1], hits[1])])
    tables, which = np.unique(columns, axis=1, return_inverse=True)
    found = np.stack([won((int(a), int(b)), (int(c), int(d))) for a, b, c, d in tables.T], axis=1)
    return found[:, which.ravel()].reshape(-1, *shape)


def evidence(metric: Counted | Measured, held: FloatArray, tried: FloatArray, rows: tuple[int, int]) -> FloatArray:
    """Return the logarithm of what the judge's bets have won by each look, shape (runs, looks).

    Args:
        metric: What is judged.
        held: Of the stable version: hits of each look, or values of shape (runs, looks, rows).
        tried: The same of the candidate.
        rows: In each look.
    """
    return _mean(metric, views(metric, held, tried, rows))


def views(metric: Counted | Measured, held: FloatArray, tried: FloatArray, rows: tuple[int, int]) -> list[FloatArray]:
    """Return what the bets on each view win in each look, shape (bets, runs, looks)."""
    sizes = tuple(np.array(one) for one in rows)
    if isinstance(metric, Counted):
        return [by_table(sizes, (held, tried), lambda *one: metric.won(*one)[0].worse)]
    tail = Counted("tail", metric.tail_red_line)
    return [
        metric.first_view(held, tried).worse,
        *(
            by_table(sizes, tuple((one > at).sum(-1) for one in (held, tried)), lambda *one: tail.won(*one)[0].worse)
            for at in metric.thresholds
        ),
    ]


def _mean(metric: Counted | Measured, wins: list[FloatArray]) -> FloatArray:
    each = [
        np.logaddexp.reduce(won.cumsum(-1) + np.log(view.stakes)[:, None, None]) + np.log(view.share)
        for view, won in zip(metric.views, wins, strict=True)
    ]
    return np.logaddexp.reduce(each)


def pair_evidence(world: World, held: FloatArray, tried: FloatArray) -> FloatArray:
    """Return the same of requests that both versions answered, by the judge's own metric, shape (runs, looks)."""
    metric = Paired(world.metric)
    runs, looks, _ = held.shape
    found = np.array([[[won.worse for won in metric.won(*pair)] for pair in zip(*both, strict=True)] for both in zip(held, tried, strict=True)], dtype=object)
    del runs, looks
    wins = [np.moveaxis(np.array(found[..., n].tolist()), -1, 0) for n in range(len(metric.views))]
    return _mean(world.metric, wins)


def first_look(log_evidence: FloatArray, limit: float) -> FloatArray:
    """Return at which look each run's evidence reached the limit, counted from 1; infinite for never."""
    is_over = log_evidence >= limit
    return np.where(is_over.any(-1), is_over.argmax(-1) + 1.0, np.inf)


def chunks(runs: int, most: int) -> Iterator[int]:
    """Yield how many runs are simulated at once, so that they fit in memory."""
    for begin in range(0, runs, most):
        yield min(most, runs - begin)
