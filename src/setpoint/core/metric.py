"""A number that says its unit, its direction and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher", "lower", "none"]
QualityUnit = Literal["ratio", "nats", "outcome"]
Distance = Literal["psi", "kullback_leibler", "jensen_shannon", "total_variation", "wasserstein"]
"""How far two windows of a feature lie apart."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A measured number with its 95 % interval.

    Attributes:
        name: Such as `auc` or `latency_p95_seconds`.
        value: The point estimate; None when it is unknown.
        low: Lower end of the 95 % interval; None when there is none.
        high: Upper end of the 95 % interval; None when it is unbounded or unknown.
        unit: `ratio`, `seconds`, `usd`, `per_second` or the outcome's own unit.
        better: Which direction is better.
        rows: Rows the number rests on, before weighting.
        unknown: Why there is no value, and what is missing; empty when there is one.

    Example:
        >>> Metric("auc", 0.7, 0.68, 0.72, "ratio", "higher", rows=900).text()
        '0.700 [0.680, 0.720]'
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    unit: str
    better: Direction
    rows: int
    unknown: str = ""

    def text(self) -> str:
        """Return the number and its interval, or why there is none."""
        if self.value is None:
            return f"unknown: {self.unknown}"
        if self.low is None and self.high is None:
            return number(self.value, self.unit)
        low, high = (number(end, self.unit) if end is not None else "∞" for end in (self.low, self.high))
        return f"{number(self.value, self.unit)} [{low}, {high}]"


@dataclass(frozen=True, slots=True)
class QualityMetric:
    """What is known of a quality metric before any row is seen.

    Attributes:
        name: Such as `auc`.
        unit: `outcome` is the outcome's own unit.
        better: Which direction is better.
        lowest: No model is below it.
        highest: No model is above it.
    """

    name: str
    unit: QualityUnit
    better: Direction
    lowest: float = 0.0
    highest: float = 1.0


# By task; `feedback.quality` measures these.
QUALITY_METRICS: Mapping[str, tuple[QualityMetric, ...]] = {
    "binary": (
        QualityMetric("auc", "ratio", "higher"),
        QualityMetric("accuracy", "ratio", "higher"),
        QualityMetric("precision", "ratio", "higher"),
        QualityMetric("recall", "ratio", "higher"),
        QualityMetric("f1", "ratio", "higher"),
        QualityMetric("log_loss", "nats", "lower", highest=math.inf),
        QualityMetric("brier", "ratio", "lower"),
        QualityMetric("calibration_error", "ratio", "lower"),
        QualityMetric("base_rate", "ratio", "none"),
        QualityMetric("mean_score", "ratio", "none"),
    ),
    "regression": (
        QualityMetric("rmse", "outcome", "lower", highest=math.inf),
        QualityMetric("mae", "outcome", "lower", highest=math.inf),
        QualityMetric("bias", "outcome", "none", lowest=-math.inf, highest=math.inf),
        QualityMetric("r_squared", "ratio", "higher", lowest=-math.inf),
        QualityMetric("skill", "ratio", "higher", lowest=-math.inf),
        QualityMetric("within_tolerance", "ratio", "higher"),
    ),
    "multiclass": (
        QualityMetric("accuracy", "ratio", "higher"),
        QualityMetric("macro_f1", "ratio", "higher"),
        QualityMetric("macro_recall", "ratio", "higher"),
        QualityMetric("log_loss", "nats", "lower", highest=math.inf),
        QualityMetric("brier", "ratio", "lower", highest=2.0),
        QualityMetric("calibration_error", "ratio", "lower"),
        QualityMetric("mean_confidence", "ratio", "none"),
    ),
    "ranking": (
        QualityMetric("ndcg_at_k", "ratio", "higher"),
        QualityMetric("recall_at_k", "ratio", "higher"),
        QualityMetric("hit_rate_at_k", "ratio", "higher"),
    ),
    "generation": (
        QualityMetric("success_rate", "ratio", "higher"),
        QualityMetric("mean_grade", "outcome", "higher", lowest=-math.inf, highest=math.inf),
        QualityMetric("judge_bias", "outcome", "none", lowest=-math.inf, highest=math.inf),
        QualityMetric("judge_agreement", "ratio", "higher"),
    ),
}


def counted(count: float, noun: str) -> str:
    """Return how many there are of something, in words.

    Example:
        >>> counted(1, "day"), counted(1200, "different value")
        ('1 day', '1,200 different values')
    """
    told = f"{count:,.0f}"
    return f"{told} {noun}" if told == "1" else f"{told} {noun}s"


def difference(value: float, unit: str) -> str:
    """Return the difference of two numbers: of shares in points, for 2 % more than 10 % may be 12 % or 10.2 %.

    Example:
        >>> difference(0.02, "share"), difference(-0.5, "ratio")
        ('2.0 points', '-0.500')
    """
    return f"{100 * value:.1f} points" if unit == "share" else number(value, unit)


def number(value: float, unit: str) -> str:
    """Return a number with the digits that its unit deserves.

    Example:
        >>> number(0.0123, "seconds"), number(0.00042, "usd"), number(0.1234, "share")
        ('12.3 ms', '$0.00042', '12.3 %')
    """
    match unit:
        case "seconds":
            return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
        case "usd":
            return f"${value:,.2f}" if abs(value) >= 1 else f"${value:.3g}"
        case "share":
            return f"{value:.1%}".replace("%", " %")
        case "ratio":
            return f"{value:.3f}"
        case "rows" | "tokens":
            return f"{value:,.0f}" + (" tokens" if unit == "tokens" else "")
        case _:
            return f"{value:.4g}" + ("/s" if unit == "per_second" else "")
