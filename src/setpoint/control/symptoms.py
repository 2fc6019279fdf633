"""What changed, and when: a metric as a mean over rows, so that it can be recomputed without some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from setpoint.core.errors import UsageError
from setpoint.core.finding import GUARDRAIL
from setpoint.core.guardrail import FLAGGED, LATENCY, SUBTLE
from setpoint.core.incident import Incident
from setpoint.core.metric import QUALITY_METRICS, Direction
from setpoint.core.model import Model, Task
from setpoint.core.window import Window
from setpoint.store.cause_rows import TABLE
from setpoint.store.engines.duck import rows
from setpoint.store.evidence import RowEvidence

OPERATIONAL = ("error_ratio", "violation_ratio", "outcome_ratio", "cost_per_prediction_usd", "latency_seconds")
"""What can be explained besides quality."""
_CERTAIN = 5.0
_PARTS = 96
_FEWEST_ROWS, _FEWEST_OF_COHORT = 50, 20  # of one cohort a finding has told already that something changed
_SMALLEST = 0.02  # no side of a change point has fewer of the rows

_MEANS = {
    "error_ratio": "CAST(error IS NOT NULL AS DOUBLE)",
    "violation_ratio": "CAST(contract_violations IS NOT NULL AS DOUBLE)",
    "cost_per_prediction_usd": "cost_usd",
    "cost_per_success_usd": "cost_usd",
    "spend_usd": "cost_usd",
    "latency_seconds": "latency_seconds",
    "precision": "CASE WHEN decision = 1 THEN success END",
    "recall": "CASE WHEN outcome_number = 1 THEN success END",
    "brier": "(score - outcome_number) * (score - outcome_number)",
    "base_rate": "outcome_number",
    "mean_score": "score",
    FLAGGED: "decision",
    "bias": "decision - outcome_number",
}
_BETTER: dict[str, Direction] = {"precision": "higher", "recall": "higher", "brier": "lower"}


@dataclass(frozen=True, slots=True)
class Symptom:
    """A metric that may have changed.

    Attributes:
        metric: Its name.
        value: SQL of the number of a row whose mean is explained; null where a row has none.
        better: Which of its means are.
    """

    metric: str
    value: str
    better: Direction = "none"


@dataclass(frozen=True, slots=True)
class Shift:
    """A symptom that did change.

    Attributes:
        symptom: What changed.
        reference: Before the change point.
        current: Since.
        before: The mean before.
        after: The mean since.
        certainty: The change in standard errors, as large as the noise between parts of the time makes them.
    """

    symptom: Symptom
    reference: Window
    current: Window
    before: float
    after: float
    certainty: float

    @property
    def surely_before(self) -> int:
        """The end of the reference without its last tenth: a change seen late leaves changed rows there."""
        return self.reference.end - self.reference.length // 10


def symptom_of(evidence: RowEvidence, metric: str) -> Symptom:
    """Return a metric as a mean over rows; one that is none is stood in for by one that moves with it.

    Raises:
        UsageError: There is no such metric.
    """
    task = evidence.model.task
    if metric in _MEANS:
        return Symptom(metric, _MEANS[metric], _BETTER.get(metric, "none"))
    if LATENCY.fullmatch(metric):
        return Symptom(metric, "ln(greatest(latency_seconds, 1e-6))")
    if metric == "outcome_ratio":
        return Symptom(metric, _on_time(evidence))
    if metric in {known.name for known in QUALITY_METRICS[task]}:
        if task is Task.REGRESSION:
            return Symptom(metric, "abs(decision - outcome_number)", "lower")
        return Symptom(metric, _right(task), "higher")
    msg = f"no metric is called {metric!r}"
    raise UsageError(msg, hint=f"known here: {', '.join([*OPERATIONAL, *(m.name for m in QUALITY_METRICS[task])])}")


def _right(task: Task) -> str:
    return "success" if task is Task.BINARY else "outcome_number"


def _on_time(evidence: RowEvidence) -> str:
    """Return SQL of whether the outcome of a row came as soon as nine in ten of the first ones did."""
    usual = rows(
        evidence.connection,
        f"SELECT quantile_cont(outcome_age, 0.9) FROM {TABLE}"
        f" WHERE moment <= (SELECT quantile_cont(moment, 0.3) FROM {TABLE})",
    )[0][0]
    if usual is None:
        return "CAST(NULL AS DOUBLE)"
    old = f"moment + {float(cast('float', usual))!r} * 1e6 <= {evidence.as_of}"
    return f"CASE WHEN {old} THEN CAST(coalesce(outcome_age <= {float(cast('float', usual))!r}, false) AS DOUBLE) END"


def metrics_of(incident: Incident, model: Model) -> tuple[str, ...]:
    """Return the metrics that an incident may be about: the one that changed most is explained."""
    own = [one.metric for one in model.guardrails if one.is_about(incident.subject) and one.metric]
    if incident.kind == GUARDRAIL and own:
        return tuple(own)
    if incident.kind in {"changed_delay", "stalled_outcomes"}:
        return ("outcome_ratio",)
    quality = {Task.BINARY: "accuracy", Task.REGRESSION: "mae", Task.GENERATION: "success_rate"}
    found = (quality.get(model.task, QUALITY_METRICS[model.task][0].name), *OPERATIONAL)
    # How long answers take says nothing of why inputs drift: a busy machine is not to stand for the cause.
    return tuple(name for name in found if name != "latency_seconds" or incident.kind not in SUBTLE)


def cohort_of(incident: Incident, model: Model) -> tuple[str, str] | None:
    """Return the declared cohort and its value that an incident is about; None when it is about all rows."""
    if incident.kind != GUARDRAIL:
        return None
    declared = {cohort.name for cohort in model.cohorts}
    for one in model.guardrails:
        if one.cohort in declared and one.is_about(incident.subject):
            return one.cohort, one.value or incident.subject.removeprefix(f"{one.name}: ")
    return None


def shift_of(evidence: RowEvidence, symptom: Symptom, span: Window, *, is_of_cohort: bool = False) -> Shift | None:
    """Return when and how a symptom changed within a stretch; None when it did not beyond its noise.

    The change point is the one that tells the two sides apart best; the bar is high enough for the best of many.
    """
    width = max(1, span.length // _PARTS)
    found = rows(
        evidence.connection,
        f"SELECT (moment - {span.start}) // {width} AS part, sum(weight), sum(weight * v), sum(weight * v * v)"
        f" FROM (SELECT moment, weight, {symptom.value} AS v FROM {TABLE}) WHERE v IS NOT NULL"
        " GROUP BY part ORDER BY part",
    )
    if len(found) < 2:  # noqa: PLR2004 — a change has two sides
        return None
    table = np.array(found, dtype=np.float64)
    parts, sums = table[:, 0], np.cumsum(table[:, 1:], axis=0)
    total = sums[-1]
    left, right = sums[:-1], total - sums[:-1]
    fewest = _FEWEST_OF_COHORT if is_of_cohort else _FEWEST_ROWS
    is_large = np.minimum(left[:, 0], right[:, 0]) >= max(fewest, _SMALLEST * total[0])
    if not is_large.any():
        return None
    means = left[:, 1] / left[:, 0], right[:, 1] / right[:, 0]
    inner = np.maximum(left[:, 2] + right[:, 2] - left[:, 0] * means[0] ** 2 - right[:, 0] * means[1] ** 2, 0.0)
    error = np.sqrt(np.maximum(inner / total[0], 1e-18) * (1.0 / left[:, 0] + 1.0 / right[:, 0]))
    z = np.where(is_large, np.abs(means[1] - means[0]) / error, 0.0)
    best = int(np.argmax(z))
    variance = float(inner[best] / total[0])
    centre = np.repeat([means[0][best], means[1][best]], [best + 1, len(table) - best - 1])
    each = table[:, 2] / table[:, 1]
    noise = float(np.sum(table[:, 1] * (each - centre) ** 2) / max(1, len(table) - 2)) / max(variance, 1e-18)
    certainty = float(z[best]) / max(1.0, noise) ** 0.5
    if certainty < _CERTAIN:
        return None
    turn = span.start + int(parts[best + 1]) * width
    return Shift(
        symptom,
        Window(span.start, turn),
        Window(turn, span.end),
        float(means[0][best]),
        float(means[1][best]),
        certainty,
    )
