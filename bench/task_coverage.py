"""How often the 95 % intervals of classes, rankings and judged texts hold the true value; see `bench.coverage`.

The worlds:

- classes: 3 even, 3 uneven (down to 8 %), 10 even and 10 uneven classes x share answered right 0.6, 0.8, 0.95; the rest of
  the answers is spread evenly over the other classes. Counts are multinomial. Macro F1 and macro recall.
- rankings: share of rows with nothing relevant 0, 0.5, 0.9 x beta distributions of the others. nDCG.
- judged texts: people graded a tenth of the rows, and 50 at least; share of good answers 0.5, 0.8, 0.95 x how often the
  judge calls a bad one good and a good one bad: (0.05, 0.05), (0.5, 0.02), (1, 0). Success rate.
"""

from __future__ import annotations

import numpy as np

from bench.coverage import Answers, Tally, World, chunks, measured, report
from setpoint.stats.classes import Confusion, macro_f1, macro_recall
from setpoint.stats.intervals import mean_of_shares
from setpoint.stats.judging import Grades, Judged, judged_mean
from setpoint.stats.special import FloatArray

FEWEST_PEOPLE, PEOPLE = 50, 10


def classes(name: str, shares: FloatArray, right: float) -> World:
    """Return a world of classes, each answered right as often."""
    size = len(shares)
    wrong = (1.0 - right) / (size - 1)
    cells = shares[:, np.newaxis] * (np.full((size, size), wrong) + np.eye(size) * (right - wrong))
    truths = {
        "macro F1": float(np.mean(2.0 * np.diag(cells) / (cells.sum(axis=0) + cells.sum(axis=1)))),
        "macro recall": right,
    }
    names = tuple(map(str, range(size)))

    def answers(generator: np.random.Generator, rows: int, windows: int) -> Answers:
        for drawn in generator.multinomial(rows, cells.ravel(), windows):
            counts = Confusion(names, drawn.reshape(size, size).astype(np.float64), float(rows))
            yield {"macro F1": macro_f1(counts), "macro recall": macro_recall(counts)}

    return World(f"{name}, right {right}", lambda _: truths, answers)


def rankings(nothing: float, a: float, b: float) -> World:
    """Return a world of nDCG: 0 for rows of which nothing was relevant, else beta distributed."""
    truth = (1.0 - nothing) * a / (a + b)

    def answers(generator: np.random.Generator, rows: int, windows: int) -> Answers:
        for size in chunks(windows, rows):
            values = generator.beta(a, b, (size, rows)) * (generator.random((size, rows)) >= nothing)
            for total, squares in zip(values.sum(axis=1).tolist(), (values**2).sum(axis=1).tolist(), strict=True):
                yield {"nDCG": mean_of_shares(total, squares, rows, rows)}

    return World(f"nothing {nothing}, beta {a} {b}", lambda _: {"nDCG": truth}, answers)


def judged(good: float, kind: float, harsh: float) -> World:
    """Return a world of answers that people and a judge graded."""
    # Of both: (people, judge) = (1, 1), (1, 0), (0, 1), (0, 0).
    cells = np.array([good * (1 - harsh), good * harsh, (1 - good) * kind, (1 - good) * (1 - kind)])

    def answers(generator: np.random.Generator, rows: int, windows: int) -> Answers:
        people = max(rows // PEOPLE, FEWEST_PEOPLE)
        both = generator.multinomial(people, cells, windows).astype(np.float64)
        liked = generator.binomial(rows - people, cells[0] + cells[2], windows).astype(np.float64)
        for (yes, missed, fooled, _), alone in zip(both.tolist(), liked.tolist(), strict=True):
            right, said = yes + missed, yes + fooled
            graded = Grades(people, people, right, right, said, said, yes)
            rest = Grades(rows - people, rows - people, judge=alone, judge_squares=alone)
            yield {"judged success": judged_mean(Judged(graded, Grades(), rest), is_share=True)}

    return World(f"good {good}, judge {kind} {harsh}", lambda _: {"judged success": good}, answers)


SHARES = {
    "3 even": np.full(3, 1 / 3),
    "3 uneven": np.array([0.72, 0.2, 0.08]),
    "10 even": np.full(10, 0.1),
    "10 uneven": np.array([0.3, 0.2, 0.1, 0.1, 0.08, 0.06, 0.05, 0.05, 0.03, 0.03]),
}
WORLDS = [
    *(classes(name, shares, right) for name, shares in SHARES.items() for right in (0.6, 0.8, 0.95)),
    *(rankings(nothing, a, b) for nothing in (0.0, 0.5, 0.9) for a, b in ((1.0, 1.0), (0.5, 2.0), (5.0, 1.0))),
    *(judged(good, *judge) for good in (0.5, 0.8, 0.95) for judge in ((0.05, 0.05), (0.5, 0.02), (1.0, 0.0))),
]


def measured_of(windows: int, task: tuple[int, int]) -> dict[str, Tally]:
    """Return the tallies of the world of a number at a number of rows."""
    number, rows = task
    return measured(WORLDS[number], rows, windows, number)


def main() -> None:
    """Print the table, and which targets are missed."""
    report(WORLDS, measured_of)


if __name__ == "__main__":
    main()
