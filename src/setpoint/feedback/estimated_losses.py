"""The errors of a regression before its outcomes: from rows, counted by day and by what was predicted."""

from __future__ import annotations

import math
from typing import cast

import duckdb
import numpy as np

from setpoint.core.clock import DAY
from setpoint.core.metric import QUALITY_METRICS, Metric
from setpoint.core.window import Window
from setpoint.feedback.version_mix import lacks_outcomes, shares_of_versions
from setpoint.stats.estimation import Expected
from setpoint.stats.loss_estimation import LossCurve, LossHistogram, expected_loss, missing_losses
from setpoint.stats.special import FloatArray
from setpoint.store.engines.duck import rows
from setpoint.store.evidence import PREDICTION, RowEvidence
from setpoint.store.matching import Matching, examples
from setpoint.store.measures import Scale
from setpoint.store.primitives import printed, value_bin

LOSS_METRICS = {"mae": 1, "rmse": 2}
"""The power of an error that each metric is the mean of."""

NO_NUMBER = "no prediction was recorded as a number"


def estimated_losses(evidence: RowEvidence, window: Window | None, reference: Window | None) -> tuple[Metric, ...]:
    """Return the errors that the outcomes of a window will show, if the concept is unchanged.

    Args:
        evidence: The model's rows.
        window: Predictions of this window; None takes all rows.
        reference: The window whose outcomes are mature; None takes all rows that have an outcome.
    """
    scale = evidence.definition.features.get(PREDICTION)
    if not isinstance(scale, Scale):
        return unknown_losses(NO_NUMBER)
    learned, now = (_counts(evidence, part, scale) for part in (reference, window))
    if not now:
        return unknown_losses("no prediction in this window")
    shares = shares_of_versions(list(now), [float(counts[:, _WEIGHT].sum()) for counts in now.values()])
    known = {version: _with_outcomes(learned.get(version, _NONE)) for version in shares}
    lacking = lacks_outcomes(shares, lambda version: missing_losses(_losses(known[version], 1)))
    if lacking:
        return unknown_losses(lacking)
    taught, asked = np.concatenate(list(known.values())), np.concatenate(list(now.values()))
    days = None if window is None or evidence.span is None else _effective_days(asked)
    outcomes = int(taught[:, _OUTCOMES].sum())
    return tuple(loss_metric(name, _expected(name, taught, asked, days), outcomes) for name in LOSS_METRICS)


def unknown_losses(why: str) -> tuple[Metric, ...]:
    """Return the errors of a regression, unknown for one reason."""
    return tuple(loss_metric(name, why, 0) for name in LOSS_METRICS)


_DAY, _BIN, _WEIGHT, _SQUARES, _OUTCOMES, _KNOWN, _KNOWN_SQUARES, _FIRST = range(8)


def _counts(evidence: RowEvidence, window: Window | None, scale: Scale) -> dict[str, FloatArray]:
    day = f"coalesce(epoch_us(predicted_at) // {DAY}, 0)"
    return loss_counts(evidence.connection, evidence.matching(window), scale, day)


def _with_outcomes(counts: FloatArray) -> FloatArray:
    return counts[counts[:, _OUTCOMES] > 0.0]


def losses_by_day(
    connection: duckdb.DuckDBPyConnection, matching: Matching, scale: Scale, day: str
) -> dict[str, dict[int, tuple[float, LossHistogram]]]:
    """Return, for each version and day, the weight of its predictions, and the absolute errors of those with outcomes.

    Args:
        connection: Where the views are.
        matching: What examples are made from.
        scale: Where the bins of predictions lie.
        day: SQL of the day of a prediction, a whole number.
    """
    found: dict[str, dict[int, tuple[float, LossHistogram]]] = {}
    for version, counts in loss_counts(connection, matching, scale, day).items():
        for one in np.unique(counts[:, _DAY]).tolist():
            mine = counts[counts[:, _DAY] == one]
            losses = _losses(_with_outcomes(mine), LOSS_METRICS["mae"])
            found.setdefault(version, {})[int(one)] = float(mine[:, _WEIGHT].sum()), losses
    return found


def loss_counts(
    connection: duckdb.DuckDBPyConnection, matching: Matching, scale: Scale, day: str
) -> dict[str, FloatArray]:
    """Return of each version a row a day and bin of the prediction.

    Its weights, and of those with an outcome the count, weights and sums of |error|**1..4.
    """
    error = "abs(decision - outcome_number)"
    sums = ", ".join(f"coalesce(sum(weight * {' * '.join([error] * power)}), 0.0)" for power in (1, 2, 3, 4))
    known = "outcome_number IS NOT NULL"
    found = rows(
        connection,
        f"SELECT coalesce(version, '') AS of_version, {day} AS day, {prediction_bin(scale)} AS bin,"
        f" sum(weight), sum(weight * weight), count(*) FILTER ({known}),"
        f" coalesce(sum(weight) FILTER ({known}), 0.0), coalesce(sum(weight * weight) FILTER ({known}), 0.0), {sums}"
        f" FROM ({examples(matching)}) WHERE is_root AND decision IS NOT NULL"
        f" GROUP BY of_version, day, bin ORDER BY of_version, day, bin",
    )
    by_version: dict[str, list[tuple[float, ...]]] = {}
    for version, *counts in found:
        by_version.setdefault(cast("str", version), []).append(tuple(cast("list[float]", counts)))
    return {version: np.array(counts, dtype=np.float64) for version, counts in by_version.items()}


_NONE = np.empty((0, _FIRST + 4))


def prediction_bin(scale: Scale) -> str:
    """Return SQL for the bin of a number that was predicted, `decision`."""
    return f"greatest(least({printed(value_bin('decision', scale.center, scale.scale))}, 63.0), -64.0)"


def _expected(name: str, learned: FloatArray, now: FloatArray, days: float | None) -> Expected | str:
    reference = _losses(learned, LOSS_METRICS[name])
    missing = missing_losses(reference)
    if missing:
        return missing
    bins = now[:, _BIN].astype(np.int64)
    return expected_loss(LossCurve(reference), bins, now[:, _WEIGHT], now[:, _SQUARES], days=days)


def _losses(counts: FloatArray, power: int) -> LossHistogram:
    """Return the losses |error|**power of counts that have outcomes."""
    return LossHistogram(
        np.unique(counts[:, _DAY], return_inverse=True)[1].astype(np.int64),
        counts[:, _BIN].astype(np.int64),
        counts[:, _KNOWN],
        counts[:, _KNOWN_SQUARES],
        counts[:, _FIRST + power - 1],
        counts[:, _FIRST + 2 * power - 1],
    )


def _effective_days(now: FloatArray) -> float:
    sizes = np.bincount(np.unique(now[:, _DAY], return_inverse=True)[1], now[:, _WEIGHT])
    return float(sizes.sum()) ** 2 / float(sizes @ sizes)


def loss_metric(name: str, expected: Expected | str, outcomes: int) -> Metric:
    """Return an expected mean loss as a metric that says it is an estimate.

    Args:
        name: A key of `LOSS_METRICS`.
        expected: The mean of the errors to its power, or why there is none.
        outcomes: How many it was learned from.
    """
    known = next(one for one in QUALITY_METRICS["regression"] if one.name == name)
    if isinstance(expected, str):
        return Metric(f"estimated_{name}", None, None, None, known.unit, known.better, outcomes, expected)
    found = expected.estimate
    ends = (found.value, found.low, found.high)
    value, low, high = (None if end is None else (math.sqrt(end) if name == "rmse" else end) for end in ends)
    return Metric(f"estimated_{name}", value, low, high, known.unit, known.better, outcomes)
