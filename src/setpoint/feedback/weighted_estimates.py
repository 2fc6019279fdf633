"""Estimates where inputs moved: the reference's rows are weighted to look like those of the window.

A score may mean something else where the rows behind it are others. So scores are calibrated again on the reference's
kept rows, weighted by how much more of their kind the window has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from setpoint.core.clock import DAY
from setpoint.core.metric import Metric
from setpoint.core.model import Task
from setpoint.core.window import Window
from setpoint.feedback.estimates import Reference, all_unknown, estimated_metric, mature_reference
from setpoint.stats.density_ratio import density_ratio
from setpoint.stats.estimation import METRICS, ScoreHistogram, expected_quality
from setpoint.stats.score_map import UNDECIDED, OutcomeHistogram, calibrate, missing_outcomes
from setpoint.store.evidence import RowEvidence, is_number_type
from setpoint.store.matching import examples

MOST_ROWS, MOST_INPUTS, MOST_CATEGORIES = 20_000, 30, 8


@dataclass(frozen=True, slots=True)
class WeightedEstimates:
    """The estimated quality of a window, with the reference weighted to look like it.

    Attributes:
        metrics: Named `estimated_auc` ..., each with its interval or what is missing.
        effective_rows: Equally weighted reference rows that the weighted ones are worth; None without any.
        auc: How well the inputs of the two windows are told apart, 0.5 not at all; None when nobody knows.
    """

    metrics: tuple[Metric, ...]
    effective_rows: float | None = None
    auc: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    day: NDArray[np.int64]
    weight: NDArray[np.float64]
    score: NDArray[np.float64]
    decision: NDArray[np.int64]
    outcome: NDArray[np.float64]
    inputs: list[NDArray[np.float64] | NDArray[np.str_]]


def weighted_estimates(evidence: RowEvidence, window: Window) -> WeightedEstimates:
    """Return what the outcomes of a window will say, learned from mature rows weighted to look like its own.

    At most 20,000 rows of either window are looked at, chosen by their identifier, and the 30 most important inputs.

    Args:
        evidence: The model's rows.
        window: Predictions of this window.
    """
    reference, names = mature_reference(evidence, window), _inputs(evidence)
    missing = _missing(evidence, reference, names)
    if missing or reference.window is None:
        return WeightedEstimates(all_unknown(METRICS, missing))
    before = _rows(evidence, reference.window, names, with_outcome=True)
    now = _rows(evidence, window, names, with_outcome=False)
    pairs = [_numbers(old, new) for old, new in zip(before.inputs, now.inputs, strict=True)]
    found = density_ratio([old for old, _ in pairs], [new for _, new in pairs])
    auc = None if np.isnan(found.auc) else found.auc
    metrics = all_unknown(METRICS, found.unknown) if found.unknown else _estimated(before, now, found.weights)
    return WeightedEstimates(metrics, found.effective_rows, auc)


def _missing(evidence: RowEvidence, reference: Reference, names: Sequence[str]) -> str:
    """Return what keeps rows from being weighted, or an empty string."""
    if evidence.model.task is not Task.BINARY:
        return "only yes-or-no models are estimated by weighted rows"
    if reference.unknown or reference.window is None:
        return reference.unknown or "the predictions have no times"
    if not evidence.has_rows_of(reference.window):
        return "the rows of the days with mature outcomes were let go"
    return "" if names else "no inputs were recorded"


def _estimated(before: _Rows, now: _Rows, ratios: NDArray[np.float64]) -> tuple[Metric, ...]:
    learned = OutcomeHistogram.from_rows(
        before.score,
        before.outcome,
        groups=np.unique(before.day, return_inverse=True)[1].astype(np.int64),
        decisions=before.decision,
        weights=before.weight * ratios,
    )
    missing = missing_outcomes(learned)
    if missing:
        return all_unknown(METRICS, missing)
    scores = ScoreHistogram.from_rows(now.score, decisions=now.decision, weights=now.weight)
    sizes = np.bincount(np.unique(now.day, return_inverse=True)[1], now.weight)
    days = float(sizes.sum()) ** 2 / float(sizes @ sizes)
    expected = expected_quality(scores, calibrate(learned), days=days)
    return tuple(estimated_metric(name, expected[name], len(before.score)) for name in METRICS)


def _inputs(evidence: RowEvidence) -> list[str]:
    """Return the inputs that are numbers, words or booleans, the most important first."""
    importance = {feature.name: feature.importance or 0.0 for feature in evidence.model.features}
    usable = [n for n, c in evidence.inputs.items() if c.kind in {"VARCHAR", "BOOLEAN"} or is_number_type(c.kind)]
    return sorted(usable, key=lambda name: -importance.get(name, 0.0))[:MOST_INPUTS]


def _rows(evidence: RowEvidence, window: Window, names: Sequence[str], *, with_outcome: bool) -> _Rows:
    sources = tuple((f"d{n}", _value(evidence, name)) for n, name in enumerate(names))
    matching = replace(evidence.matching(window), cohorts=sources)
    where = "is_root AND score IS NOT NULL" + (" AND has_outcome" if with_outcome else "")
    order = "predicted_at" if evidence.is_joined else "md5(prediction_id)"
    columns = ", ".join(f"cohort_{n}" for n in range(len(names)))
    found = evidence.connection.execute(
        f"SELECT epoch_us(predicted_at) // {DAY} AS day, weight, score, coalesce(CAST(decision AS BIGINT), {UNDECIDED})"
        f" AS decision, coalesce(outcome_number, 0.0) AS outcome, {columns} FROM ({examples(matching)})"
        f" WHERE {where} ORDER BY {order} LIMIT {MOST_ROWS}"
    ).fetchnumpy()
    columns_found = cast("dict[str, np.ma.MaskedArray]", found)
    inputs = [_plain(columns_found[f"cohort_{n}"]) for n in range(len(names))]
    numbers = {name: np.asarray(columns_found[name], dtype=np.float64) for name in ("weight", "score", "outcome")}
    whole = {name: np.asarray(columns_found[name], dtype=np.int64) for name in ("day", "decision")}
    return _Rows(whole["day"], numbers["weight"], numbers["score"], whole["decision"], numbers["outcome"], inputs)


def _value(evidence: RowEvidence, name: str) -> str:
    is_text = evidence.inputs[name].kind in {"VARCHAR", "BOOLEAN"}
    return f"CAST({evidence.column(name)} AS {'VARCHAR' if is_text else 'DOUBLE'})"


def _plain(column: np.ma.MaskedArray) -> NDArray[np.float64] | NDArray[np.str_]:
    """Return a column with nan, or an empty text, for what is missing."""
    if column.dtype.kind == "f":
        return np.ma.filled(np.ma.asarray(column), np.nan).astype(np.float64)
    return np.array(["" if value is None else str(value) for value in np.ma.filled(column.astype(object), None)])


def _numbers(
    old: NDArray[np.float64] | NDArray[np.str_], new: NDArray[np.float64] | NDArray[np.str_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return an input of both windows as numbers: words by how frequent they are, the rare ones together."""
    if old.dtype.kind == "f" and new.dtype.kind == "f":
        return old.astype(np.float64), new.astype(np.float64)
    both = np.concatenate([old.astype(str), new.astype(str)])
    values, code, counts = np.unique(both, return_inverse=True, return_counts=True)
    rank = np.empty(len(values))
    rank[np.argsort(-counts, kind="stable")] = np.minimum(np.arange(len(values)), MOST_CATEGORIES - 1)
    coded = np.where(both == "", np.nan, rank[code])
    return coded[: len(old)], coded[len(old) :]
