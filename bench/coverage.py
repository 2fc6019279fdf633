"""How often a 95 % interval holds the true value: every quality metric at 200, 2,000 and 20,000 rows.

A simulation is one window: rows are drawn, made into the mergeable state, and the estimator sees the state only.
`unknown` answers are counted apart and never as covered: coverage is that of the answers that were given. Mean and
minimum are over the worlds of a metric, each with a true value that is known exactly. A world where most answers are
unknown is left out of both (those that are given were chosen by luck); its unknown answers count. `open` is the share
of answers with an end missing, which says so in words and counts as no bound.

The worlds (grids of true values):

- decisions: base rate 0.05, 0.15, 0.3, 0.5 x (sensitivity, false alarm rate) (0.5, 0.05), (0.7, 0.1), (0.9, 0.3);
  counts are multinomial, which is exact, so no row is drawn. Base rate, accuracy, precision, recall, F1.
- scores: normal log odds, cut at 4.5 standard deviations, on a grid of 1/64 (two scores in a bin); (mean, standard
  deviation) and how often a score comes true as listed in `SCORES`: calibrated, useless, too high, overconfident;
  base rates 0.04 to 0.5, AUC 0.5 to 0.95. Counts of (score, outcome) are multinomial, which is exact. AUC, Brier, log
  loss, calibration error over the 15 groups (10 at 200 rows) of the expected counts, calibration in the large,
  observed / expected, precision and recall at a threshold of 0.3 (the middle of a bin) and at a budget of 10 %.
- errors: outcomes normal with mean 10 and standard deviation 3; errors normal, biased, Laplace, exponential, uniform,
  growing with the outcome, and opposed to it. RMSE, R2, skill over the constant 11, bias.
- costs: success rate 0.1, 0.5, 0.9 x gamma costs of shape 1, 4, and shape 2 with successes three times as dear.
- amounts: lognormal with sigma 1 and 2, Pareto with alpha 2.5 and 1.5, one in five rows with an amount, gains with
  losses. Here coverage is stated, not promised.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.table import table
from setpoint.stats import calibration, classification, operating_point, ranking, regression
from setpoint.stats.classification import BinaryState
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import ratio_of_means
from setpoint.stats.money import MoneyState, mean_amount
from setpoint.stats.regression import RegressionState
from setpoint.stats.special import FloatArray, expit

SIZES = (200, 2_000, 20_000)
WINDOWS = 10_000
CELLS_AT_ONCE = 4_000_000
MEAN_FROM, MEAN_TO, MINIMUM = 0.94, 0.965, 0.92
NO_UPPER_LIMIT = {"calibration error", "R2", "skill"}
STATED = {"mean amount"}
MOSTLY = 0.5

Draw = Callable[[np.random.Generator, tuple[int, int]], FloatArray]
Answers = Iterator[Mapping[str, Estimate]]


@dataclass(frozen=True, slots=True)
class World:
    """A way in which rows come about.

    Attributes:
        name: What is true in it.
        truths: The true value of each metric, given how many rows a window has.
        answers: The estimates of simulated windows: (generator, rows, windows) to one mapping a window.
    """

    name: str
    truths: Callable[[int], Mapping[str, float]]
    answers: Callable[[np.random.Generator, int, int], Answers]


@dataclass(slots=True)
class Tally:
    """How one metric fared in one world: answers that held the truth, answers given, without an end, windows."""

    covered: int = 0
    known: int = 0
    open: int = 0
    windows: int = 0

    def add(self, answer: Estimate, truth: float) -> None:
        """Count one answer."""
        self.windows += 1
        if answer.value is None:
            return
        self.known += 1
        self.open += answer.low is None or answer.high is None
        self.covered += (answer.low is None or answer.low <= truth) and (answer.high is None or truth <= answer.high)

    @property
    def coverage(self) -> float:
        """Share of the answers given whose interval held the truth."""
        return self.covered / self.known

    @property
    def counts(self) -> bool:
        """Whether enough answers were given for their coverage to mean something."""
        return self.known >= MOSTLY * self.windows


def measured(world: World, rows: int, windows: int, seed: int = 0) -> dict[str, Tally]:
    """Return the tally of each metric in a world."""
    truths = world.truths(rows)
    tallies = {metric: Tally() for metric in truths}
    for answers in world.answers(np.random.default_rng([seed, rows]), rows, windows):
        for metric, truth in truths.items():
            tallies[metric].add(answers[metric], truth)
    return tallies


def chunks(windows: int, cells: int) -> Iterator[int]:
    """Return how many windows to draw at once, so that memory stays small."""
    size = max(CELLS_AT_ONCE // cells, 1)
    for start in range(0, windows, size):
        yield min(size, windows - start)


def decisions(rate: float, sensitivity: float, alarm: float) -> World:
    """Return a world of yes-or-no decisions."""
    p = np.array([rate * sensitivity, (1 - rate) * alarm, rate * (1 - sensitivity), (1 - rate) * (1 - alarm)])
    truths = {
        "base rate": rate,
        "accuracy": p[0] + p[3],
        "precision": p[0] / (p[0] + p[1]),
        "recall": sensitivity,
        "F1": 2 * p[0] / (2 * p[0] + p[1] + p[2]),
    }

    def answers(generator: np.random.Generator, rows: int, windows: int) -> Answers:
        for tp, fp, fn, tn in generator.multinomial(rows, p, windows).astype(float).tolist():
            state = BinaryState(
                positive_weight=tp + fn,
                negative_weight=fp + tn,
                positive_weight_of_squares=tp + fn,
                negative_weight_of_squares=fp + tn,
                true_positives=tp,
                false_positives=fp,
                false_negatives=fn,
                true_negatives=tn,
            )
            yield {
                "base rate": classification.base_rate(state),
                "accuracy": classification.accuracy(state),
                "precision": classification.precision(state),
                "recall": classification.recall(state),
                "F1": classification.f1(state),
            }

    return World(f"rate {rate}, sensitivity {sensitivity}, alarm {alarm}", lambda _: truths, answers)


BUDGET = 0.1
STEP = 1.0 / 64.0
"""Between two possible scores, in log odds: half a score bin."""
THRESHOLD_LOGIT = -27.5 / 32.0
THRESHOLD = float(1.0 / (1.0 + np.exp(-THRESHOLD_LOGIT)))


def scores(name: str, center: float, spread: float, rates: Callable[[FloatArray], FloatArray]) -> World:
    """Return a world of scores with normal log odds; `rates` says how often each comes true."""
    first = 2 * int(np.floor((center - 4.5 * spread) / STEP / 2.0))
    z = (np.arange(first, first + 2 * int(9.0 * spread / STEP / 2.0) + 2) + 0.5) * STEP
    p = np.exp(-0.5 * ((z - center) / spread) ** 2)
    p /= p.sum()
    score, rate = expit(z), rates(z)
    cells = np.concatenate([p * (1.0 - rate), p * rate])

    def answers(generator: np.random.Generator, rows: int, windows: int) -> Answers:
        for size in chunks(windows, len(cells)):
            for counts in generator.multinomial(rows, cells, size).astype(np.float64):
                yield score_answers(state_of_cells(z, score, *counts.reshape(2, -1)))

    return World(name, lambda rows: score_truths(z, score, cells, rows), answers)


def state_of_cells(z: FloatArray, score: FloatArray, negative: FloatArray, positive: FloatArray) -> BinaryState:
    """Return the state of rows counted by possible score and outcome."""
    held = negative + positive
    pairs = held.reshape(-1, 2)
    filled = pairs.sum(axis=1) > 0.0
    yes, no = -np.log(score), -np.log1p(-score)
    p, n = float(positive.sum()), float(negative.sum())
    return BinaryState(
        np.floor(z[::2][filled] * 32.0).astype(np.int64),
        negative.reshape(-1, 2).sum(axis=1)[filled],
        positive.reshape(-1, 2).sum(axis=1)[filled],
        (held * score).reshape(-1, 2).sum(axis=1)[filled],
        np.where(pairs[:, 0] > 0.0, score[::2], score[1::2])[filled],
        np.where(pairs[:, 1] > 0.0, score[1::2], score[::2])[filled],
        positive_weight=p,
        negative_weight=n,
        positive_weight_of_squares=p,
        negative_weight_of_squares=n,
        brier_sum=float(positive @ (1.0 - score) ** 2 + negative @ score**2),
        brier_sum_of_squares=float(positive @ (1.0 - score) ** 4 + negative @ score**4),
        log_loss_sum=float(positive @ yes + negative @ no),
        log_loss_sum_of_squares=float(positive @ yes**2 + negative @ no**2),
    )


def score_answers(state: BinaryState) -> Mapping[str, Estimate]:
    """Return what is said of a window of scores."""
    budget, threshold = operating_point.at_budget(state, BUDGET), operating_point.at_threshold(state, THRESHOLD)
    return {
        "AUC": ranking.auc(state),
        "Brier": classification.brier(state),
        "log loss": classification.log_loss(state),
        "calibration error": calibration.calibration_error(state),
        "calibration in the large": calibration.calibration_in_the_large(state),
        "observed / expected": calibration.observed_to_expected(state),
        "precision at threshold": threshold.precision,
        "recall at threshold": threshold.recall,
        "precision at budget": budget.precision,
        "recall at budget": budget.recall,
    }


def score_truths(z: FloatArray, score: FloatArray, cells: FloatArray, rows: int) -> Mapping[str, float]:
    """Return what would be true of a window without end."""
    negative, positive = cells.reshape(2, -1)
    both, above = negative + positive, z > THRESHOLD_LOGIT
    below = np.cumsum(negative) - negative / 2.0
    part = np.clip((BUDGET - (np.cumsum(both[::-1])[::-1] - both)) / both, 0.0, 1.0)
    groups = calibration.reliability(state_of_cells(z, score, rows * negative, rows * positive))
    return {
        "AUC": float(below @ positive) / float(negative.sum() * positive.sum()),
        "Brier": float(positive @ (1.0 - score) ** 2 + negative @ score**2),
        "log loss": float(-positive @ np.log(score) - negative @ np.log1p(-score)),
        "calibration error": sum(g.weight * abs(g.mean_score - (g.rate.value or 0.0)) for g in groups) / rows,
        "calibration in the large": float(both @ score - positive.sum()),
        "observed / expected": float(positive.sum() / (both @ score)),
        "precision at threshold": float(positive[above].sum() / both[above].sum()),
        "recall at threshold": float(positive[above].sum() / positive.sum()),
        "precision at budget": float(part @ positive) / BUDGET,
        "recall at budget": float(part @ positive / positive.sum()),
    }


Errors = Callable[[np.random.Generator, tuple[int, int], FloatArray], FloatArray]


def errors(name: str, draw: Errors, mean: float, mean_square: float) -> World:
    """Return a world of numbers with variance 9 about 10, and of errors with a mean and a mean square."""
    truths = {"RMSE": mean_square**0.5, "R2": 1.0 - mean_square / 9.0, "skill": 1.0 - mean_square / 10.0, "bias": mean}

    def answers(generator: np.random.Generator, rows: int, windows: int) -> Answers:
        for size in chunks(windows, rows):
            z = 3.0 * generator.standard_normal((size, rows))
            e = draw(generator, (size, rows), z)
            ee, zz = e * e, z * z
            terms = (e, ee, ee * e, ee * ee, np.abs(e), z, zz, zz * z, zz * zz, ee * z, ee * zz)
            for sums in np.array([term.sum(axis=1) for term in terms]).T.tolist():
                state = RegressionState(10.0, rows, rows, *sums)
                yield {
                    "RMSE": regression.rmse(state),
                    "R2": regression.r_squared(state),
                    "skill": regression.skill(state, 11.0),
                    "bias": regression.bias(state),
                }

    return World(name, lambda _: truths, answers)


def costs(rate: float, shape: float, dearer: float) -> World:
    """Return a world of calls with gamma costs, those of successes `dearer` times as much."""
    truths = {"cost per success": 0.02 * (1.0 - rate + rate * dearer) / rate}

    def answers(generator: np.random.Generator, rows: int, windows: int) -> Answers:
        for size in chunks(windows, rows):
            y = (generator.random((size, rows)) < rate).astype(np.float64)
            x = generator.standard_gamma(shape, (size, rows)) * (0.02 / shape) * (1.0 + (dearer - 1.0) * y)
            for sx, sy, sxx, sxy in np.array([term.sum(axis=1) for term in (x, y, x * x, x * y)]).T.tolist():
                yield {"cost per success": ratio_of_means(rows, sx, sy, sum_xx=sxx, sum_yy=sy, sum_xy=sxy)}

    return World(f"rate {rate}, gamma {shape}, x {dearer}", lambda _: truths, answers)


def amounts(name: str, draw: Draw, truth: float) -> World:
    """Return a world of heavy-tailed amounts."""

    def answers(generator: np.random.Generator, rows: int, windows: int) -> Answers:
        for size in chunks(windows, rows):
            for line in draw(generator, (size, rows)):
                yield {"mean amount": mean_amount(MoneyState.from_rows(line))}

    return World(name, lambda _: {"mean amount": truth}, answers)


DECISIONS = [
    decisions(rate, sensitivity, alarm)
    for rate in (0.05, 0.15, 0.3, 0.5)
    for sensitivity, alarm in ((0.5, 0.05), (0.7, 0.1), (0.9, 0.3))
]
SCORES = [
    scores("even, weak", 0.0, 0.7, expit),
    scores("even, strong", 0.0, 2.5, expit),
    scores("even, nearly perfect", 0.0, 4.0, expit),
    scores("1 in 4, middling", -1.4, 1.2, expit),
    scores("1 in 12, weak", -2.6, 0.7, expit),
    scores("1 in 10, strong", -4.0, 2.5, expit),
    scores("useless", -1.4, 1.2, lambda z: np.full(len(z), 0.2)),
    scores("too high by 0.5 logit", -1.4, 1.2, lambda z: expit(z - 0.5)),
    scores("overconfident by 1.7", -1.4, 2.0, lambda z: expit(0.6 * z)),
    scores("overconfident by 3, rare", -4.0, 2.5, lambda z: expit(z / 3.0 - 1.5)),
]
ERRORS = [
    errors("normal", lambda g, s, _: g.standard_normal(s), 0.0, 1.0),
    errors("normal, biased", lambda g, s, _: g.normal(1.0, 2.0, s), 1.0, 5.0),
    errors("Laplace", lambda g, s, _: g.laplace(0.0, 1.0, s), 0.0, 2.0),
    errors("exponential", lambda g, s, _: g.exponential(1.0, s) - 1.0, 0.0, 1.0),
    errors("uniform", lambda g, s, _: g.uniform(-1.0, 1.0, s), 0.0, 1.0 / 3.0),
    errors(
        "growing with outcome",
        lambda g, s, z: g.standard_normal(s) * (0.5 + np.abs(z) / 3.0),
        0.0,
        1.25 + (2.0 / np.pi) ** 0.5,
    ),
    errors("opposed to outcome", lambda g, s, z: g.standard_normal(s) - 0.5 * z, 0.0, 3.25),
]
COSTS = [
    costs(rate, shape, dearer) for rate in (0.1, 0.5, 0.9) for shape, dearer in ((1.0, 1.0), (4.0, 1.0), (2.0, 3.0))
]
AMOUNTS = [
    amounts("lognormal, sigma 1", lambda g, s: g.lognormal(0.0, 1.0, s), np.exp(0.5)),
    amounts("lognormal, sigma 2", lambda g, s: g.lognormal(0.0, 2.0, s), np.exp(2.0)),
    amounts("Pareto, alpha 2.5", lambda g, s: 1.0 + g.pareto(2.5, s), 2.5 / 1.5),
    amounts("Pareto, alpha 1.5", lambda g, s: 1.0 + g.pareto(1.5, s), 3.0),
    amounts("1 in 5 rows, sigma 1", lambda g, s: g.lognormal(0.0, 1.0, s) * g.binomial(1, 0.2, s), 0.2 * np.exp(0.5)),
    amounts(
        "gains less losses, sigma 1",
        lambda g, s: g.lognormal(0.0, 1.0, s) * (1.0 - 2.0 * g.binomial(1, 0.3, s)),
        0.4 * np.exp(0.5),
    ),
]
WORLDS = [*DECISIONS, *SCORES, *ERRORS, *COSTS, *AMOUNTS]


def is_met(metric: str, tallies: list[Tally]) -> bool:
    """Say whether a metric keeps its target over its worlds."""
    coverages = [tally.coverage for tally in tallies]
    mean = float(np.mean(coverages))
    return mean >= MEAN_FROM and (metric in NO_UPPER_LIMIT or mean <= MEAN_TO) and min(coverages) >= MINIMUM


def lines(metric: str, rows: int, tallies: Mapping[str, Tally]) -> Iterator[list[str | int]]:
    """Return the lines of the table for a metric: one, or one a world where coverage is only stated."""
    if metric in STATED:
        for world, tally in tallies.items():
            covered = f"{100 * tally.coverage:.1f}" if tally.known else "-"
            yield [metric, rows, covered, covered, world, *shares([tally]), "stated", "-"]
        return
    given = {world: tally for world, tally in tallies.items() if tally.counts}
    worst = min(given, key=lambda world: given[world].coverage)
    mean = float(np.mean([tally.coverage for tally in given.values()]))
    target = ">= 94" if metric in NO_UPPER_LIMIT else "94-96.5, min >= 92"
    met = "yes" if is_met(metric, list(given.values())) else "NO"
    figures = [f"{100 * mean:.1f}", f"{100 * given[worst].coverage:.1f}"]
    yield [metric, rows, *figures, worst, *shares(list(tallies.values())), target, met]


def shares(tallies: list[Tally]) -> list[str]:
    """Return the share of unknown answers and of those without an end, in per cent."""
    windows = sum(tally.windows for tally in tallies)
    return [
        f"{100 * (1 - sum(tally.known for tally in tallies) / windows):.1f}",
        f"{100 * sum(tally.open for tally in tallies) / windows:.1f}",
    ]


def measured_of(windows: int, task: tuple[int, int]) -> dict[str, Tally]:
    """Return the tallies of the world of a number at a number of rows."""
    number, rows = task
    return measured(WORLDS[number], rows, windows, number)


def report(worlds: Sequence[World], measured_of: Callable[[int, tuple[int, int]], dict[str, Tally]]) -> None:
    """Print the table of some worlds, and which targets are missed.

    Args:
        worlds: The worlds.
        measured_of: The tallies of the world of a number at a number of rows, of so many windows; other processes run it.
    """
    tasks = [(number, rows) for number in range(len(worlds)) for rows in SIZES]
    found: dict[tuple[str, int], dict[str, Tally]] = {}
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for (number, rows), tallies in zip(tasks, pool.map(partial(measured_of, WINDOWS), tasks), strict=True):
            for metric, tally in tallies.items():
                found.setdefault((metric, rows), {})[worlds[number].name] = tally
    order = list(dict.fromkeys(metric for metric, _ in found))
    headings = ["metric", "rows", "mean %", "min %", "least in", "unknown %", "open %", "target", "met"]
    known = [
        (metric, rows)
        for metric in order
        for rows in SIZES
        if metric in STATED or any(tally.counts for tally in found[metric, rows].values())
    ]
    body = [line for metric, rows in known for line in lines(metric, rows, found[metric, rows])]
    print(f"{WINDOWS:,} windows each; ratio: answers that hold the truth / answers given")
    print(table(headings, body))


def main() -> None:
    """Print the table, and which targets are missed."""
    report(WORLDS, measured_of)


if __name__ == "__main__":
    main()
