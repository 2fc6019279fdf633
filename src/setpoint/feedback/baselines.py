"""Is the model still better than no model? Skill against forecasts that know no inputs, in two windows."""

from __future__ import annotations

from setpoint.core.metric import Metric
from setpoint.core.model import Model, Task
from setpoint.feedback.quality import arrival, regression_state
from setpoint.stats import regression
from setpoint.stats.estimate import Estimate
from setpoint.stats.skill import BrierSums, brier_skill
from setpoint.store.states import StateTable

AVERAGE, BEFORE = "the window's own average", "the average of before"


def skills(state: StateTable, before: StateTable | None, model: Model, *, outcome_shift: float = 0.0) -> list[Metric]:
    """Return the skill of a window's predictions: 1 - loss / loss of the baseline, squared losses.

    Weather changes the loss of the model and of the baseline alike; a model that fails loses skill.

    Args:
        state: The quality state of the window, root rows.
        before: That of an earlier window, whose average is the second baseline; None for the first only.
        model: The declaration.
        outcome_shift: Regression: what outcomes were summed about.
    """
    if model.task not in {Task.BINARY, Task.REGRESSION}:
        return []  # the average of classes, of rankings or of texts is none
    rows = arrival(state).rows
    found = {AVERAGE: _skill(state, None, model, outcome_shift)}
    if before is not None:
        average = _average(before, model, outcome_shift)
        found[BEFORE] = (
            Estimate.unknown("no outcome has arrived for the window before")
            if average is None
            else _skill(state, average, model, outcome_shift)
        )
    return [Metric(name, e.value, e.low, e.high, "ratio", "higher", rows, e.reason) for name, e in found.items()]


def _skill(state: StateTable, constant: float | None, model: Model, shift: float) -> Estimate:
    if model.task is Task.REGRESSION:
        return regression.skill(regression_state(state, shift), constant)
    return brier_skill(_brier_sums(state), constant)


def _average(state: StateTable, model: Model, shift: float) -> float | None:
    """Return the mean outcome of a window; None without any."""
    if model.task is Task.REGRESSION:
        found = regression_state(state, shift)
        return shift + found.outcome / found.weight if found.weight else None
    yes, no = (state.only(outcome=outcome).total("weight") for outcome in (1, 0))
    return yes / (yes + no) if yes + no else None


def _brier_sums(state: StateTable) -> BrierSums:
    scored = state.without(bin=None)
    no, yes = scored.only(outcome=0), scored.only(outcome=1)

    def both(column: str) -> tuple[float, float]:
        return no.total(column), yes.total(column)

    return BrierSums(both("weight"), both("weight_squares"), both("brier"), both("brier_squares"))
