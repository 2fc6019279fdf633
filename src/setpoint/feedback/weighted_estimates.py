"""Estimates where inputs moved: the reference's rows are weighted to look like those of the window.

A score may mean something else where the rows behind it are others, and a prediction may err more. So both are learned
again from the reference's kept rows, weighted by how much more of their kind the window has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from setpoint.core.clock import DAY
from setpoint.core.metric import Metric
from setpoint.core.model import Task
from setpoint.core.window import Window
from setpoint.feedback.estimated_losses import LOSS_METRICS, NO_NUMBER, loss_metric, prediction_bin, unknown_losses
from setpoint.feedback.estimates import Reference, all_unknown, estimated_metric, mature_reference
from setpoint.feedback.version_mix import lacks_outcomes, shares_of_versions
from setpoint.stats.density_ratio import density_ratio
from setpoint.stats.estimation import METRICS, ScoreHistogram, expected_quality
from setpoint.stats.loss_estimation import LossCurve, LossHistogram, expected_loss, missing_losses
from setpoint.stats.score_map import UNDECIDED, OutcomeHistogram, calibrate, missing_outcomes
from setpoint.store.defining import is_number_type
from setpoint.store.evidence import PREDICTION, RowEvidence
from setpoint.store.matching import examples
from setpoint.store.measures import Scale

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
    """Rows of a window; `score` is the bin of what was predicted where that is a number."""

    day: NDArray[np.int64]
    version: NDArray[np.str_]
    weight: NDArray[np.float64]
    score: NDArray[np.float64]
    decision: NDArray[np.float64]
    outcome: NDArray[np.float64]
    inputs: list[NDArray[np.float64] | NDArray[np.str_]]

    @property
    def group(self) -> NDArray[np.int64]:
        return np.unique(self.day, return_inverse=True)[1].astype(np.int64)

    def take(self, chosen: NDArray[np.bool_]) -> _Rows:
        weight, score, decision, outcome = (
            column[chosen] for column in (self.weight, self.score, self.decision, self.outcome)
        )
        inputs = [column[chosen] for column in self.inputs]
        return _Rows(self.day[chosen], self.version[chosen], weight, score, decision, outcome, inputs)


_Learn = Callable[[_Rows, NDArray[np.float64], _Rows], tuple[Metric, ...]]


def weighted_estimates(evidence: RowEvidence, window: Window) -> WeightedEstimates:
    """Return what the outcomes of a window will say, learned from mature rows weighted to look like its own.

    At most 20,000 rows of either window are looked at, chosen by their identifier, and the 30 most important inputs.

    Args:
        evidence: The model's rows.
        window: Predictions of this window.
    """
    scale = evidence.definition.features.get(PREDICTION)
    task = evidence.model.task
    match task:
        case Task.BINARY | Task.MULTICLASS:
            wanted = METRICS if task is Task.BINARY else ("accuracy",)
            unknown, learn, score = partial(all_unknown, wanted), partial(_quality, wanted), "score"
        case Task.REGRESSION:
            unknown, learn = unknown_losses, _losses
            score = prediction_bin(scale) if isinstance(scale, Scale) else ""
        case _:
            return WeightedEstimates(())
    reference, names = mature_reference(evidence, window), _inputs(evidence)
    missing = _missing(evidence, reference, names) or ("" if score else NO_NUMBER)
    if missing or reference.window is None:
        return WeightedEstimates(unknown(missing))
    now = _rows(evidence, window, names, score)
    before = _rows(evidence, reference.window, names, score, with_outcome=True)
    before = before.take(np.isin(before.version, now.version))
    pairs = [_numbers(old, new) for old, new in zip(before.inputs, now.inputs, strict=True)]
    found = density_ratio([old for old, _ in pairs], [new for _, new in pairs])
    auc = None if np.isnan(found.auc) else found.auc
    ratios = np.ones(len(before.day)) if found.unknown else found.weights
    missing = _lacking(before, now, ratios, task) or found.unknown
    metrics = unknown(missing) if missing else learn(before, found.weights, now)
    return WeightedEstimates(metrics, found.effective_rows, auc)


def _missing(evidence: RowEvidence, reference: Reference, names: Sequence[str]) -> str:
    """Return what keeps rows from being weighted, or an empty string."""
    if reference.unknown or reference.window is None:
        return reference.unknown or "the predictions have no times"
    if not evidence.has_rows_of(reference.window):
        return "the rows of the days with mature outcomes were let go"
    return "" if names else "no inputs were recorded"


def _lacking(before: _Rows, now: _Rows, ratios: NDArray[np.float64], task: Task) -> str:
    """Return what a version of the window lacks to be learned, or an empty string."""

    def missing(version: str) -> str:
        mine = before.version == version
        if task is Task.REGRESSION:
            return missing_losses(_loss_histogram(before.take(mine), ratios[mine]))
        return missing_outcomes(_outcome_histogram(before.take(mine), ratios[mine]))

    return lacks_outcomes(shares_of_versions(now.version.tolist(), now.weight.tolist()), missing)


def _quality(wanted: Sequence[str], before: _Rows, ratios: NDArray[np.float64], now: _Rows) -> tuple[Metric, ...]:
    scores = ScoreHistogram.from_rows(now.score, decisions=now.decision.astype(np.int64), weights=now.weight)
    learned = calibrate(_outcome_histogram(before, ratios))
    expected = expected_quality(scores, learned, days=_effective_days(now))
    return tuple(estimated_metric(name, expected[name], len(before.score)) for name in wanted)


def _losses(before: _Rows, ratios: NDArray[np.float64], now: _Rows) -> tuple[Metric, ...]:
    bins, days = now.score.astype(np.int64), _effective_days(now)
    return tuple(
        loss_metric(
            name,
            expected_loss(
                LossCurve(_loss_histogram(before, ratios, power)), bins, now.weight, now.weight**2, days=days
            ),
            len(before.score),
        )
        for name, power in LOSS_METRICS.items()
    )


def _outcome_histogram(rows: _Rows, ratios: NDArray[np.float64]) -> OutcomeHistogram:
    decisions = rows.decision.astype(np.int64)
    return OutcomeHistogram.from_rows(
        rows.score, rows.outcome, groups=rows.group, decisions=decisions, weights=rows.weight * ratios
    )


def _loss_histogram(rows: _Rows, ratios: NDArray[np.float64], power: int = 1) -> LossHistogram:
    losses = np.abs(rows.decision - rows.outcome) ** power
    return LossHistogram.from_rows(rows.score.astype(np.int64), losses, groups=rows.group, weights=rows.weight * ratios)


def _effective_days(now: _Rows) -> float:
    sizes = np.bincount(now.group, now.weight)
    return float(sizes.sum()) ** 2 / float(sizes @ sizes)


def _inputs(evidence: RowEvidence) -> list[str]:
    """Return the inputs that are numbers, words or booleans, the most important first."""
    importance = {feature.name: feature.importance or 0.0 for feature in evidence.model.features}
    usable = [n for n, c in evidence.inputs.items() if c.kind in {"VARCHAR", "BOOLEAN"} or is_number_type(c.kind)]
    return sorted(usable, key=lambda name: -importance.get(name, 0.0))[:MOST_INPUTS]


def _rows(
    evidence: RowEvidence, window: Window, names: Sequence[str], score: str, *, with_outcome: bool = False
) -> _Rows:
    sources = tuple((f"d{n}", _value(evidence, name)) for n, name in enumerate(names))
    matching = replace(evidence.matching(window), cohorts=sources)
    where = f"is_root AND ({score}) IS NOT NULL" + (" AND has_outcome" if with_outcome else "")
    order = "predicted_at" if evidence.is_joined else "md5(prediction_id)"
    columns = ", ".join(f"cohort_{n}" for n in range(len(names)))
    found = evidence.connection.execute(
        f"SELECT epoch_us(predicted_at) // {DAY} AS day, coalesce(version, '') AS of_version, weight,"
        f" CAST({score} AS DOUBLE) AS score, coalesce(CAST(decision AS DOUBLE), {UNDECIDED}.0) AS decision,"
        f" coalesce(outcome_number, 0.0) AS outcome, {columns} FROM ({examples(matching)})"
        f" WHERE {where} ORDER BY {order} LIMIT {MOST_ROWS}"
    ).fetchnumpy()
    columns_found = cast("dict[str, np.ma.MaskedArray]", found)
    inputs = [_plain(columns_found[f"cohort_{n}"]) for n in range(len(names))]
    day, version = np.asarray(columns_found["day"], dtype=np.int64), np.asarray(columns_found["of_version"], dtype=str)
    weight, number, decision, outcome = (
        np.asarray(columns_found[n], dtype=np.float64) for n in ("weight", "score", "decision", "outcome")
    )
    return _Rows(day, version, weight, number, decision, outcome, inputs)


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
