"""Quality of a model that answers with a class: as a yes-or-no model of whether it is right, and class by class."""

from __future__ import annotations

import math
from collections.abc import Sequence

from setpoint.core.metric import counted
from setpoint.stats import calibration, classification
from setpoint.stats.classes import Confusion, macro_f1, macro_recall
from setpoint.stats.classification import BinaryState, missing_rows
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import effective_size, mean_loss
from setpoint.store.measures import CONFIDENCE_BINS
from setpoint.store.states import StateTable

NO_SCORES = "no probability of each class was recorded: record scores={class: probability}"
WHOLE = 0.99
"""Share of the rows that must have a whole distribution."""

NO_CONFIDENCE = "no probability of the answered class was recorded: record scores={class: probability}, or score="


def right_or_wrong(state: StateTable) -> StateTable:
    """Return a multiclass state as that of a yes-or-no model that always says: this answer is right.

    Its outcome is whether that is so, and its score is the confidence. Rows without an answer, or without an
    outcome, have none.
    """
    answered, came = state.key("decision"), state.key("outcome")
    known = [None if a is None or c is None else int(a == c) for a, c in zip(answered, came, strict=True)]
    said = [None if a is None else 1 for a in answered]
    middles = [None if b is None else CONFIDENCE_BINS * int(str(b)) + CONFIDENCE_BINS // 2 for b in state.key("bin")]
    return state.with_keys(decision=said, outcome=known, bin=middles)


def confusion(state: StateTable) -> Confusion:
    """Return the counts of a multiclass state by answered class and class that came."""
    cells: dict[tuple[str, str], float] = {}
    squares = 0.0
    columns = (state.key("decision"), state.key("outcome"), state.column("weight"), state.column("weight_squares"))
    for answered, came, weight, square in zip(*columns, strict=True):
        if answered is not None and came is not None:
            pair = (str(came), str(answered))
            cells[pair] = cells.get(pair, 0.0) + float(weight)
            squares += float(square)
    return Confusion.of(cells, squares)


def class_estimates(state: StateTable, counts: BinaryState, wanted: Sequence[str]) -> dict[str, Estimate]:
    """Return the metrics of a multiclass state.

    Args:
        state: Root rows of one group.
        counts: `right_or_wrong` of them, as counts.
        wanted: Names of metrics.
    """
    found = {
        "accuracy": classification.accuracy,
        "calibration_error": calibration.calibration_error,
        "mean_confidence": classification.mean_score,
    }
    estimates = {name: found[name](counts) for name in wanted if name in found}
    if "accuracy" in estimates and not counts.weight:
        estimates["accuracy"] = Estimate.unknown("no answers with outcomes in this window")
    if not len(counts.bin_index):
        estimates.update({n: Estimate.unknown(NO_CONFIDENCE) for n in estimates if n != "accuracy"})
    if "macro_f1" in wanted or "macro_recall" in wanted:
        cells = confusion(state)
        estimates |= {"macro_f1": macro_f1(cells), "macro_recall": macro_recall(cells)}
    known = state.without(outcome=None)
    estimates |= {
        "brier": _loss(known, "brier", highest=2.0),
        "log_loss": _loss(known, "log_loss"),
    }
    return estimates


def lacks_distributions(state: StateTable) -> str:
    """Return why rows with an outcome have no mean loss; empty when they have one."""
    weight, all_weight = state.total("loss_weight"), state.total("weight")
    if weight <= 0.0:
        return NO_SCORES
    if weight < WHOLE * all_weight:
        # What is left would be chosen: by a class that lacks its score, say, or by a model that is broken.
        lacking = counted(all_weight - weight, "row")
        return f"{lacking} of {all_weight:,.0f} have no probability of each class that sums to 1"
    return ""


def _loss(state: StateTable, name: str, highest: float = math.inf) -> Estimate:
    """Return the mean of a loss over the rows that have one."""
    if lacking := lacks_distributions(state):
        return Estimate.unknown(lacking)
    weight, all_weight = state.total("loss_weight"), state.total("weight")
    rows = effective_size(state.total("weight"), state.total("weight_squares")) * weight / all_weight
    missing = missing_rows(rows, "outcomes")
    if missing:
        return Estimate.unknown(missing)
    return mean_loss(state.total(name), state.total(f"{name}_squares"), weight, rows, highest)
