"""What `quality` shows of classes, rankings and graded texts alone."""

from __future__ import annotations

import numpy as np

from setpoint.answers.answer import Cell, Table
from setpoint.answers.scores import reliability_table, told
from setpoint.core.metric import number
from setpoint.core.model import Task
from setpoint.core.window import Window
from setpoint.feedback.classes import confusion, right_or_wrong
from setpoint.feedback.quality import binary_state
from setpoint.stats.classes import Confusion
from setpoint.stats.classification import f1, precision, recall
from setpoint.stats.estimate import Estimate
from setpoint.stats.exposure import gini, top_share
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable

CLASS_COLUMNS = (
    "class", "rows", *(f"{name}{end}" for name in ("precision", "recall", "f1") for end in ("", "_low", "_high")),
    "unknown",
)  # fmt: skip
CONFUSION_COLUMNS = ("came", "answered", "rows", "share_of_errors")
EXPOSURE_COLUMNS = ("measure", "value", "unit", "unknown")
ITEM_COLUMNS = ("item", "shown", "share")
GRADE_COLUMNS = ("graded_by", "rows", "share")
_SHOWN = 5


def of_task(evidence: RowEvidence, window: Window | None, state: StateTable) -> list[Table]:
    """Return the tables that only models of this task have.

    Args:
        evidence: The model's states.
        window: The window in question.
        state: Its quality state, root rows.
    """
    match evidence.model.task:
        case Task.MULTICLASS:
            cells = confusion(state)
            reliable = reliability_table(binary_state(right_or_wrong(state)), "confidence")
            return [_class_table(cells), _confusion_table(cells), reliable]
        case Task.RANKING:
            return _exposure_tables(evidence, window)
        case Task.GENERATION if evidence.model.judge_kind:
            return [_grade_table(state)]
        case _:
            return []


def _class_table(cells: Confusion) -> Table:
    """Return each class's quality, the one with the lowest F1 first."""
    found: list[tuple[float, tuple[Cell, ...], tuple[str, ...]]] = []
    for name in cells.classes:
        counts = cells.one_against_rest(name)
        each = (precision(counts), recall(counts), f1(counts))
        ends = [end for one in each for end in (one.value, one.low, one.high)]
        why = next((one.reason for one in each if one.value is None), None)
        score = each[2].value
        order = float("inf") if score is None else score
        found.append((order, (name, counts.positive_weight, *ends, why),
                      (name, number(counts.positive_weight, "rows"), *map(told, each))))  # fmt: skip
    found.sort(key=lambda one: one[0])
    shown = ("class", "rows", "precision", "recall", "F1")
    return Table("classes", CLASS_COLUMNS, [one[1] for one in found], shown, [one[2] for one in found[:_SHOWN]])


def _confusion_table(cells: Confusion) -> Table:
    """Return which classes are taken for which, the most frequent mistake first."""
    wrong = cells.weights - np.diag(np.diag(cells.weights))
    errors = float(wrong.sum())
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for flat in np.argsort(-wrong, axis=None, kind="stable").tolist():
        came, answered = divmod(int(flat), len(cells.classes))
        weight = float(wrong[came, answered])
        if weight <= 0.0:
            break
        names = (cells.classes[came], cells.classes[answered])
        rows.append((*names, weight, weight / errors))
        lines.append((*names, number(weight, "rows"), number(weight / errors, "share")))
    return Table("confusions", CONFUSION_COLUMNS, rows, ("came", "answered", "rows", "of all errors"), lines[:_SHOWN])


def _exposure_tables(evidence: RowEvidence, window: Window | None) -> list[Table]:
    """Return how much of the catalogue is shown, how evenly, and what is shown most."""
    shown = evidence.exposure(window)
    by_item: dict[str, float] = {}
    for item, weight in zip(shown.key("item"), shown.column("weight").tolist(), strict=True):
        by_item[str(item)] = by_item.get(str(item), 0.0) + weight
    counts = np.array(list(by_item.values()))
    catalogue = evidence.model.success.catalogue
    is_sampled = bool(np.any(shown.column("rows") < shown.column("weight") - 1e-9))
    found = {
        "items_shown": (_items(len(by_item), is_sampled=is_sampled), "rows"),
        "coverage": (_coverage(len(by_item), catalogue, is_sampled=is_sampled), "share"),
        "exposure_gini": (_known(gini(counts, catalogue)), "ratio"),
        "exposure_of_top_tenth": (_known(top_share(counts, catalogue)), "share"),
    }
    rows: list[tuple[Cell, ...]] = [(name, one.value, unit, one.reason or None) for name, (one, unit) in found.items()]
    lines = [
        (
            name,
            f"unknown: {one.reason}" if one.value is None else number(one.value, "rows" if unit == "items" else unit),
        )
        for name, (one, unit) in found.items()
    ]
    headed = ("exposure", f"of the first {evidence.model.success.top}")
    most = sorted(by_item.items(), key=lambda pair: (-pair[1], pair[0]))
    total = float(counts.sum()) if len(counts) else 0.0
    items: list[tuple[Cell, ...]] = [(name, weight, weight / total) for name, weight in most]
    told_items = [(name, number(w, "rows"), number(w / total, "share")) for name, w in most[:_SHOWN]]
    return [
        Table("exposure", EXPOSURE_COLUMNS, rows, headed, lines),
        Table("items", ITEM_COLUMNS, items[:_MOST], ("most shown", "times", "of all exposure"), told_items),
    ]


_MOST = 100
_SAMPLED = "rows are sampled, and a rare item may be among those that were not kept"


def _items(count: int, *, is_sampled: bool) -> Estimate:
    return Estimate.unknown(_SAMPLED) if is_sampled else Estimate(float(count), None, None)


def _coverage(count: int, catalogue: int | None, *, is_sampled: bool) -> Estimate:
    if catalogue is None:
        return Estimate.unknown("nothing says how many items there are: declare success.catalogue")
    if is_sampled:
        return Estimate.unknown(_SAMPLED)
    if count > catalogue:
        return Estimate.unknown(f"{count:,} items were shown, and success.catalogue says that there are {catalogue:,}")
    return Estimate(count / catalogue, None, None)


def _known(value: float | None) -> Estimate:
    return Estimate.unknown("no ranking was recorded") if value is None else Estimate(value, None, None)


def _grade_table(state: StateTable) -> Table:
    """Return how many predictions people graded, the judge, or both."""
    graded, ungraded = state.only(has_outcome=1), state.only(has_outcome=0)
    found = {
        "people and the judge": graded.without(judged=None),
        "people only": graded.only(judged=None),
        "the judge only": ungraded.without(judged=None),
        "nobody": ungraded.only(judged=None),
    }
    total = state.total("weight")
    rows: list[tuple[Cell, ...]] = [
        (name, part.total("weight"), part.total("weight") / total if total else None) for name, part in found.items()
    ]
    lines = [(name, number(part.total("weight"), "rows")) for name, part in found.items()]
    return Table("grades", GRADE_COLUMNS, rows, ("graded by", "predictions"), lines)
