"""Is the model still better than no model, or than the one before? Skill in a window."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from setpoint.core.metric import Metric
from setpoint.core.model import Model, Task
from setpoint.feedback.classes import lacks_distributions
from setpoint.feedback.quality import arrival, quality_metric, regression_state
from setpoint.stats import regression
from setpoint.stats.estimate import Estimate
from setpoint.stats.skill import BrierSums, brier_skill, skill_over
from setpoint.store.states import StateTable

AVERAGE, BEFORE = "the window's own average", "the average of before"
_LOSSES = {Task.BINARY: "brier", Task.MULTICLASS: "brier", Task.REGRESSION: "rmse"}


def skills(state: StateTable, before: StateTable | None, model: Model, *, outcome_shift: float = 0.0) -> list[Metric]:
    """Return the skill of a window's predictions: 1 - loss / loss of the baseline, squared losses.

    Weather changes the loss of the model and of the baseline alike; a model that fails loses skill.

    Args:
        state: The quality state of the window, root rows.
        before: That of an earlier window, whose average is the second baseline; None for the first only.
        model: The declaration.
        outcome_shift: Regression: what outcomes were summed about.
    """
    if model.task not in _LOSSES:
        return []  # the average of rankings or of texts is none
    found = {AVERAGE: _of_number(state, None, outcome_shift) if _is_number(model) else _of_classes(state, None, model)}
    if before is not None:
        found[BEFORE] = _over_average(state, before, model, outcome_shift)
    return [_metric(name, estimate, state) for name, estimate in found.items()]


def skill_over_version(
    hours: StateTable, version: str, other: str, model: Model, *, outcome_shift: float = 0.0
) -> Metric | None:
    """Return the skill of a version against another one, over the hours in which both predicted.

    Args:
        hours: The quality state of the window by hour, shadow rows too.
        version: The one in question.
        other: Such as the one before it.
        model: The declaration.
        outcome_shift: Regression: what outcomes were summed about.

    Returns:
        None for rankings and texts, which have no such loss.
    """
    if model.task not in _LOSSES:
        return None
    mine, theirs = (hours.only(version=name) for name in (version, other))
    shared = set(mine.key("bucket")) & set(theirs.key("bucket"))
    name = f"version {other}, in the same hours"
    if not shared:
        why = f"{other} and {version} predicted in no hour both: let {other} run on as a shadow"
        return _metric(name, Estimate.unknown(why), mine)
    mine, theirs = (
        part.take(np.array([bucket in shared for bucket in part.key("bucket")], dtype=bool)) for part in (mine, theirs)
    )
    losses = (_mean_loss(part, model, outcome_shift) for part in (mine, theirs))
    return _metric(name, skill_over(*losses), mine)


def _metric(name: str, found: Estimate, state: StateTable) -> Metric:
    return Metric(name, found.value, found.low, found.high, "ratio", "higher", arrival(state).rows, found.reason)


def _mean_loss(state: StateTable, model: Model, shift: float) -> Estimate:
    found = quality_metric(state, model, _LOSSES[model.task], outcome_shift=shift)
    if found.value is None:
        return Estimate.unknown(found.unknown)
    power = 2 if _is_number(model) else 1
    low, high = (None if end is None else end**power for end in (found.low, found.high))
    return Estimate(found.value**power, low, high, found.unknown)


def _is_number(model: Model) -> bool:
    return model.task is Task.REGRESSION


def _over_average(state: StateTable, before: StateTable, model: Model, shift: float) -> Estimate:
    if _is_number(model):
        past = regression_state(before, shift)
        if past.weight:
            return _of_number(state, shift + past.outcome / past.weight, shift)
    elif shares := _shares(before):
        return _of_classes(state, shares, model)
    return Estimate.unknown("no outcome has arrived for the window before")


def _of_number(state: StateTable, constant: float | None, shift: float) -> Estimate:
    return regression.skill(regression_state(state, shift), constant)


def _of_classes(state: StateTable, shares: Mapping[object, float] | None, model: Model) -> Estimate:
    known = state.without(outcome=None)
    if model.task is Task.MULTICLASS and (lacking := lacks_distributions(known)):
        return Estimate.unknown(lacking)
    scored = known.without(bin=None) if model.task is Task.BINARY else known
    # A yes-or-no state has the squared error of the score alone: that of the other class is the same again.
    times = 2.0 if model.task is Task.BINARY else 1.0
    classes = list(dict.fromkeys([*scored.key("outcome"), *(shares or ())]))
    parts = [scored.only(outcome=came) for came in classes]

    def sums(column: str, factor: float = 1.0) -> list[float]:
        return [factor * part.total(column) for part in parts]

    found = BrierSums(
        sums("weight"), sums("weight_squares"), sums("brier", times), sums("brier_squares", times * times)
    )
    return brier_skill(found, None if shares is None else [shares.get(came, 0.0) for came in classes])


def _shares(state: StateTable) -> dict[object, float]:
    """Return the share of each outcome that came; empty without any."""
    weights: dict[object, float] = {}
    known = state.without(outcome=None)
    for came, weight in zip(known.key("outcome"), known.column("weight").tolist(), strict=True):
        weights[came] = weights.get(came, 0.0) + weight
    total = sum(weights.values())
    return {came: weight / total for came, weight in weights.items()} if total else {}
