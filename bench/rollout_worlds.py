"""What is simulated when candidates are judged: metrics whose truth is known, and the judge's evidence on many runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from setpoint.control.judge import Counted, Measured, Paired
from setpoint.control.judged import first_view
from setpoint.stats.special import FloatArray, IntArray

LOOKS = 100
LOSING, HARD = 0.05, 0.02
SPLITS = {"50/50": 1, "90/10": 9}
"""Rows of the stable version beside one of the candidate."""

Draw = Callable[[np.random.Generator, tuple[int, ...]], FloatArray]


@dataclass(frozen=True)
class World:
    """A metric, and how its values come about.

    Attributes:
        name: Of the metric.
        metric: As it is judged.
        draw: Values of a shape, for a version that is as usual; of counts, the rate.
        factor: How much larger they are, or how much more often it happens, where the candidate is worse.
        rows: Of the candidate in each look; fewer where a change is found within a hundred.
    """

    name: str
    metric: Counted | Measured
    draw: Draw
    factor: float
    rows: int = 100

    @property
    def change(self) -> str:
        """How a worse candidate differs."""
        return f"{self.name} x {self.factor:g}"


def _counted(name: str, rate: float, red_line: float) -> World:
    return World(name, Counted(name, red_line), lambda _, shape: np.full(shape, rate), red_line)


def _measured(name: str, draw: Draw, factor: float, thresholds: tuple[float, ...], rows: int = 100) -> World:
    past = draw(np.random.default_rng(77), (100_000,))
    metric = Measured.of(name, past, red_line=factor, quantiles=thresholds)
    return World(name, metric, draw, factor, rows)


COUNTED = {
    "errors of .5 %": _counted("errors of .5 %", 0.005, 2.0),
    "wrong answers of 15 %": _counted("wrong answers of 15 %", 0.15, 1.25),
}
MEASURED = {
    one.name: one
    for one in (
        _measured("latency", lambda rng, shape: rng.lognormal(0.0, 0.5, shape), 1.25, (0.5, 0.95, 0.99), 20),
        _measured("cost", lambda rng, shape: rng.lognormal(0.0, 0.8, shape), 1.1, (), 50),
        _measured("distance from the best score", lambda rng, shape: rng.random(shape) ** 2, 1.1, (), 50),
        _measured(
            "heavy-tailed loss",  # one request in twenty loses money
            lambda rng, shape: np.where(rng.random(shape) < LOSING, rng.lognormal(0.0, 1.4, shape), 0.0),
            2.0,
            (0.995,),
        ),
    )
}


def drawn(
    rng: np.random.Generator, world: World, runs: int, rows: tuple[int, int], factor: float = 1.0
) -> tuple[FloatArray, FloatArray]:
    """Return what both versions did in each look of each run: of counts the hits, else values (runs, looks, rows).

    Args:
        rng: Where chance comes from.
        world: What is drawn.
        runs: How many rollouts.
        rows: Of the stable version and the candidate, in each look.
        factor: How much worse the candidate is.
    """
    if isinstance(world.metric, Counted):
        rate = float(world.draw(np.random.default_rng(1), (1,))[0])
        hits = [rng.binomial(count, rate * by, (runs, LOOKS)) for count, by in zip(rows, (1.0, factor), strict=True)]
        return hits[0].astype(np.float64), hits[1].astype(np.float64)
    return world.draw(rng, (runs, LOOKS, rows[0])), factor * world.draw(rng, (runs, LOOKS, rows[1]))


def by_table(
    rows: tuple[IntArray, IntArray], hits: tuple[IntArray, IntArray], won: Callable[..., FloatArray]
) -> FloatArray:
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
        first_view(metric, held, tried).worse,
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


def pair_evidence(metric: Counted | Measured, held: FloatArray, tried: FloatArray) -> FloatArray:
    """Return the same of requests that both versions answered, from values of shape (runs, looks, rows)."""

    def discordant(held_hit: FloatArray, tried_hit: FloatArray, red_line: float) -> FloatArray:
        judged = Paired(Counted("pairs", red_line))
        alone = ((held_hit & ~tried_hit).sum(-1), (tried_hit & ~held_hit).sum(-1))
        nothing = (np.zeros_like(alone[0]), np.zeros_like(alone[0]))
        return by_table(
            alone,
            nothing,
            lambda a, b: judged.won([1.0] * a[0] + [0.0] * b[0], [0.0] * a[0] + [1.0] * b[0])[0].worse,
        )

    if isinstance(metric, Counted):
        return _mean(metric, [discordant(held > 0.0, tried > 0.0, metric.red_line)])
    tails = [discordant(held > at, tried > at, metric.tail_red_line) for at in metric.thresholds]
    return _mean(metric, [first_view(metric, held, tried).worse, *tails])


def first_look(log_evidence: FloatArray, limit: float) -> FloatArray:
    """Return at which look each run's evidence reached the limit, counted from 1; infinite for never."""
    is_over = log_evidence >= limit
    return np.where(is_over.any(-1), is_over.argmax(-1) + 1.0, np.inf)


def chunks(runs: int, most: int) -> Iterator[int]:
    """Yield how many runs are simulated at once, so that they fit in memory."""
    for begin in range(0, runs, most):
        yield min(most, runs - begin)
