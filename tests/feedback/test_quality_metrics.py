"""What declarations may promise is what quality measures: the same names, units, directions and ranges."""

from __future__ import annotations

import numpy as np
import pytest

from setpoint.core.metric import QUALITY_METRICS
from setpoint.core.model import Model, OutcomeKind, Success, Task
from setpoint.feedback import quality as measured
from setpoint.stats.classification import BinaryState
from setpoint.stats.regression import RegressionState
from setpoint.store.quality_kinds import quality_kind
from setpoint.store.states import StateTable

ROWS = 400
RANDOM = np.random.default_rng(7)
OUTCOMES = (np.arange(ROWS) % 3 == 0).astype(np.float64)
SCORES = {
    "always right": OUTCOMES,
    "always wrong": 1.0 - OUTCOMES,
    "by chance": RANDOM.random(ROWS),
    "always the same": np.full(ROWS, 0.5),
}


@pytest.mark.parametrize("task", Task)
def test_every_metric_of_a_task_is_known_with_its_unit_and_direction(task: Task) -> None:
    judge = OutcomeKind("judge", final=False, judge=True)
    model = Model("m", task=task, success=Success(tolerance=1.0), outcomes=(OutcomeKind(), judge))
    found = measured.quality(StateTable.of(quality_kind(model), []), model)
    known = QUALITY_METRICS[task]
    assert [(one.name, one.unit, one.better) for one in found] == [(one.name, one.unit, one.better) for one in known]
    assert measured.headline(model) in {one.name for one in known}


def test_there_are_metrics_for_every_task_and_no_other() -> None:
    assert set(QUALITY_METRICS) == set(Task)


@pytest.mark.parametrize("scores", SCORES.values(), ids=SCORES)
def test_no_yes_or_no_model_leaves_the_ranges(scores: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    state = BinaryState.from_rows(OUTCOMES, scores=scores, decisions=(scores > 0.5).astype(np.float64))
    for known in QUALITY_METRICS[Task.BINARY]:
        found = measured._BINARY[known.name](state)
        for number in (found.value, found.low, found.high):
            assert number is None or known.lowest <= number <= known.highest, known.name


@pytest.mark.parametrize("error", [0.0, 1e-9, 3.0, -1e6])
def test_no_model_that_predicts_a_number_leaves_the_ranges(error: float) -> None:
    truth = RANDOM.normal(size=ROWS)
    state = RegressionState.from_rows(truth + error * RANDOM.random(ROWS), truth, tolerance=1.0)
    for known in QUALITY_METRICS[Task.REGRESSION]:
        found = measured._REGRESSION[known.name](state)
        for number in (found.value, found.low, found.high):
            assert number is None or known.lowest <= number <= known.highest, known.name
