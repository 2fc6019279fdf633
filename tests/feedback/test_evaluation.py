"""What an evaluation set says of quality: how many rows decide, and how far offline was off before."""

from __future__ import annotations

import numpy as np
import pytest

from setpoint.core.metric import Metric
from setpoint.core.model import Expectation
from setpoint.feedback.evaluation import (
    Told,
    binary_quality,
    gap,
    regression_quality,
    rows_needed,
    told_offline,
)
from setpoint.feedback.leaks import Column, Split, Twins, split_leaks


def scored(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    latent = random.normal(size=rows)
    return (random.random(rows) < 1 / (1 + np.exp(-latent))).astype(float), 1 / (1 + np.exp(-latent))


def test_a_set_with_the_rows_needed_decides() -> None:
    small = binary_quality(*scored(400, 1), None)[0]
    bar = (small.value or 0.0) - 0.02
    assert (small.low or 0.0) < bar
    needed = rows_needed(small, bar)
    assert needed is not None
    assert needed > 400
    outcomes, scores = scored(400, 1)
    copies = needed // 400 + 1
    large = binary_quality(np.tile(outcomes, copies), np.tile(scores, copies), None)[0]
    assert bar < (large.low or 0.0)
    assert (large.low or 0.0) - bar < 0.002


@pytest.mark.parametrize("name", ["accuracy", "rmse"])
def test_rows_needed_holds_for_other_metrics_too(name: str) -> None:
    outcomes, scores = scored(500, 2)
    found = binary_quality(outcomes, scores, None) if name == "accuracy" else regression_quality(outcomes, scores)
    metric = next(one for one in found if one.name == name)
    bar = (metric.value or 0.0) * (1.02 if name == "rmse" else 0.98)
    assert (rows_needed(metric, bar) or 0) > 500
    assert rows_needed(metric, metric.value or 0.0) is None


def test_no_answers_are_unknown_with_what_is_missing() -> None:
    (found,) = binary_quality(np.tile([0.0, 1.0], 50), None, None)
    assert "--map score=COLUMN" in found.unknown
    (found,) = regression_quality(np.arange(50.0), None)
    assert found.value is None


def test_scores_that_are_no_probabilities_do_not_count() -> None:
    outcomes, scores = scored(400, 3)
    found = binary_quality(outcomes, np.where(np.arange(400) % 2 == 0, 7.0, scores), None)
    assert {metric.rows for metric in found} == {200}


def test_what_was_measured_offline_is_read_from_what_init_writes() -> None:
    source = "auc 0.7291 measured on later.parquet, 900 rows, all after training ended; the bar is the worse end"
    told = told_offline(Expectation("auc", at_least=0.70, source=source))
    assert told is not None
    assert (told.value, told.source) == (0.7291, "later.parquet, 900 rows, all after training ended")
    assert told_offline(Expectation("auc", at_least=0.70, source="because we said so")) is None
    assert told_offline(Expectation("rmse", at_most=3.0, source=source)) is None


def test_a_gap_is_as_unsure_as_both_sides() -> None:
    online = Metric("auc", 0.70, 0.66, 0.73, "ratio", "higher", 900)
    exact = gap(online, Told("auc", 0.75, None, None, "set"))
    assert (exact.value, exact.low, exact.high) == pytest.approx((-0.05, -0.09, -0.02))
    both = gap(online, Told("auc", 0.75, 0.71, 0.78, "set"))
    assert (both.low, both.high) == pytest.approx((-0.05 - 0.05, -0.05 + 0.05))
    assert not gap(
        Metric("auc", None, None, None, "ratio", "higher", 0, "no rows"), Told("auc", 0.7, None, None, "")
    ).is_known


NOTHING = np.full(100, np.nan)


def timed(train: np.ndarray, test: np.ndarray, **more: object) -> Split:
    return Split((), NOTHING, NOTHING, is_binary=True, times=Column("at", "time", train, test), **more)  # type: ignore[arg-type]


def codes(split: Split) -> list[tuple[str, str]]:
    return [(leak.code, leak.severity) for leak in split_leaks(split)]


def test_rows_at_the_border_itself_are_no_leak() -> None:
    days = np.repeat(np.arange(10.0), 10)
    assert codes(timed(days, days + 9)) == []
    assert codes(timed(days, days + 8)) == [("interleaved_times", "breach")]
    assert codes(timed(days + 30, days)) == [("test_older_than_training", "breach")]


def test_one_wrong_clock_is_a_warning_and_no_interleaving() -> None:
    train = np.arange(5000.0)
    train[7] = 90_000.0
    assert codes(timed(train, np.arange(5000.0, 6000.0))) == [("unclean_border", "warning")]


def test_entities_that_come_back_are_honest_unless_they_were_to_be_apart() -> None:
    train, later = np.arange(100.0), np.arange(100.0, 200.0)
    who = Column("customer", "category", np.arange(100.0) % 20, np.arange(100.0) % 20)
    assert codes(timed(train, later, entities=(who,))) == []
    declared = frozenset({"customer"})
    assert codes(timed(train, later, entities=(who,), declared=declared)) == [("entities_on_both_sides", "warning")]
    untimed = Split((), NOTHING, NOTHING, is_binary=True, entities=(who,))
    assert codes(untimed) == [("entities_on_both_sides", "warning")]


def test_equal_rows_of_coarse_columns_are_what_chance_leaves() -> None:
    def found(twins: Twins) -> list[tuple[str, str]]:
        return codes(Split((), NOTHING, NOTHING, is_binary=True, twins=twins))

    assert found(Twins(1000, 300, chance=0.31)) == []
    assert found(Twins(1000, 400, chance=0.31)) == [("rows_on_both_sides", "warning")]
    assert found(Twins(1000, 40, chance=0.0, telling="text")) == [("rows_on_both_sides", "breach")]
    assert found(Twins(1000, 3, chance=0.0, telling="text")) == []
    assert found(Twins(1000, 1000, chance=0.9, is_same=True)) == [("training_rows_as_test", "breach")]


def test_outcomes_known_before_the_prediction_leave_nothing_to_predict() -> None:
    train, test = np.arange(100.0), np.arange(100.0, 200.0)
    known = Column("paid_at", "time", train, np.where(test < 150, test - 50, test + 1))
    assert codes(timed(train, test, known_at=known)) == [("outcome_before_prediction", "breach")]
