"""Quality over classes is what scikit-learn says, and its intervals hold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score

from setpoint.stats.classes import Confusion, macro_f1, macro_recall
from setpoint.stats.classification import f1, precision, recall

CASES = {
    "even": (np.array([0.34, 0.33, 0.33]), 0.8, 200),
    "rare": (np.array([0.8, 0.12, 0.08]), 0.8, 400),
    "many": (np.full(10, 0.1), 0.9, 2000),
}


def counts_of(came: np.ndarray, answered: np.ndarray) -> Confusion:
    cells: dict[tuple[str, str], float] = {}
    for one, other in zip(came.tolist(), answered.tolist(), strict=True):
        cells[str(one), str(other)] = cells.get((str(one), str(other)), 0.0) + 1.0
    return Confusion.of(cells, float(len(came)))


def test_metrics_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    came = rng.integers(0, 5, 3000)
    answered = np.where(rng.random(3000) < 0.7, came, rng.integers(0, 5, 3000))
    counts = counts_of(came, answered)
    assert macro_f1(counts).value == pytest.approx(f1_score(came, answered, average="macro"))
    assert macro_recall(counts).value == pytest.approx(balanced_accuracy_score(came, answered))
    for place, name in enumerate(counts.classes):
        one = counts.one_against_rest(name)
        for ours, theirs in ((precision, precision_score), (recall, recall_score), (f1, f1_score)):
            assert ours(one).value == pytest.approx(theirs(came == place, answered == place))


@pytest.mark.parametrize("case", CASES)
def test_intervals_hold(case: str) -> None:
    shares, right, rows = CASES[case]
    size = len(shares)
    cells = np.full((size, size), (1.0 - right) / (size - 1)) + np.eye(size) * (right - (1.0 - right) / (size - 1))
    cells *= shares[:, np.newaxis]
    both = cells.sum(axis=0) + cells.sum(axis=1)
    truth = float(np.mean(2.0 * np.diag(cells) / both))
    rng = np.random.default_rng(5)
    held = {"f1": 0, "recall": 0}
    runs = 1500
    for _ in range(runs):
        drawn = rng.multinomial(rows, cells.ravel()).reshape(size, size).astype(np.float64)
        counts = Confusion(tuple(map(str, range(size))), drawn, float(rows))
        for name, found, true in (("f1", macro_f1(counts), truth), ("recall", macro_recall(counts), right)):
            assert found.low is not None
            assert found.high is not None
            held[name] += found.low <= true <= found.high
    assert 0.925 <= held["f1"] / runs <= 0.985
    assert 0.925 <= held["recall"] / runs <= 0.985


def test_a_class_that_came_too_rarely_is_named() -> None:
    counts = Confusion.of({("cat", "cat"): 50.0, ("dog", "cat"): 4.0, ("emu", "cat"): 2.0}, 56.0)
    assert (
        macro_f1(counts).reason == "needs 8 more outcomes of class 'emu', and 1 more classes came fewer than 10 times"
    )
    assert macro_recall(Confusion.of({}, 0.0)).reason == "no answers with outcomes in this window"


def test_rows_that_stand_for_others_widen_the_interval() -> None:
    cells = {("cat", "cat"): 80.0, ("cat", "dog"): 20.0, ("dog", "dog"): 60.0, ("dog", "cat"): 40.0}
    alone, heavy = macro_f1(Confusion.of(cells, 200.0)), macro_f1(Confusion.of(cells, 800.0))
    assert alone.value == heavy.value
    assert (heavy.high or 0.0) - (heavy.low or 0.0) > 1.8 * ((alone.high or 0.0) - (alone.low or 0.0))
