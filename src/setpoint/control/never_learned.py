"""A cohort that was served worse than the rest from the first prediction on: no change caused that."""

from __future__ import annotations

from typing import cast

from setpoint.control.symptoms import Symptom
from setpoint.core.cause import Cause
from setpoint.core.metric import number
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import difference, effective_size, mean, wilson
from setpoint.stats.slices import MATERIAL
from setpoint.store.cause_rows import TABLE, OneCohort
from setpoint.store.engines.duck import literal, rows
from setpoint.store.evidence import RowEvidence

_FEWEST = 15
"""Rows with a value in each half of the cohort's time: fewer say nothing."""
_HARDLY = 0.02
"""Of the training rows: a model can learn little from fewer."""


def never_learned(evidence: RowEvidence, symptom: Symptom, of: OneCohort, training: RowEvidence | None) -> Cause | None:
    """Return that a cohort never was served as well as the rest; None when it was, or too little is known.

    Its time is cut where half of its rows are on either side, and in both halves it has to be worse than the rest by
    a fifth, with the 95 % interval of the difference on that side. Assumes independent rows.

    Args:
        evidence: A recorded model, whose `cause_rows` are loaded from its first prediction on.
        symptom: The metric; one that is neither better high nor low says nothing.
        of: The cohort.
        training: The rows that the model was trained on; None when nobody knows them.
    """
    found = rows(
        evidence.connection,
        f"WITH valued AS (SELECT moment, weight, v, ({of.where}) IS TRUE AS inside"
        f" FROM (SELECT *, {symptom.value} AS v FROM {TABLE}) WHERE v IS NOT NULL),"
        " middle AS (SELECT median(moment) AS turn FROM valued WHERE inside)"
        " SELECT inside, inside AND moment >= turn AS half, min(moment), count(*), sum(weight), sum(weight * weight),"
        " sum(weight * v), sum(weight * v * v) FROM valued, middle GROUP BY ALL ORDER BY inside, half",
    )
    if symptom.better == "none" or len(found) < 3 or min(cast("int", row[3]) for row in found) < _FEWEST:  # noqa: PLR2004 — the rest and two halves
        return None
    rest, *halves = (_mean(*cast("tuple[float, float, float, float]", row[4:])) for row in found)
    if not all(_is_worse(half, rest, symptom) for half in halves):
        return None
    share = None if training is None else _share_of(training, of)
    is_hardly_there = share is not None and share < _HARDLY
    if share is None:
        learned = "how many training rows are of it is not known"
    else:
        learned = f"{number(share, 'share')} of the training rows are of it"
    told = " and ".join(_text(half) for half in halves)
    said = (
        f"{of.name} was {'never learned' if is_hardly_there else 'never served well'}: {symptom.metric} was {told} in"
        f" both halves of its time, {_number(rest.value)} in the rest; {learned}"
    )
    began = cast("int", found[1][2])
    return Cause("never_learned" if is_hardly_there else "never_served", of.name, 1.0, began, 1.0, said)


def _mean(weight: float, squares_of_weight: float, total: float, squares: float) -> Estimate:
    if total == squares and 0.0 <= total <= weight:  # only ones and noughts
        return wilson(total, weight, effective_size(weight, squares_of_weight))
    return mean(total, squares, weight, squares_of_weight)


def _is_worse(part: Estimate, rest: Estimate, symptom: Symptom) -> bool:
    first, second = (part, rest) if symptom.better == "lower" else (rest, part)
    by, material = difference(first, second), MATERIAL * abs(rest.value or 0.0)
    return by.value is not None and by.low is not None and by.low > 0.0 and by.value >= material


def _share_of(training: RowEvidence, of: OneCohort) -> float | None:
    """Return the share of the training rows that are of a cohort; None when they do not tell."""
    value = training.cohorts.get(of.cohort, "NULL")
    [(inside, known)] = rows(
        training.connection,
        f"SELECT count(*) FILTER (CAST({value} AS VARCHAR) = {literal(of.value)}), count({value})"
        " FROM predictions AS p",
    )
    return cast("int", inside) / cast("int", known) if known else None


def _text(found: Estimate) -> str:
    return f"{_number(found.value)} [{_number(found.low)}, {_number(found.high)}]"


def _number(value: float | None) -> str:
    return "unknown" if value is None else number(value, "ratio" if abs(value) < 1.0 else "")
