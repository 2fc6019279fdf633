"""The kinds of state that quality is computed from, one a task."""

from __future__ import annotations

from setpoint.core.model import Model, Task
from setpoint.store.states import StateKind

_WHO = ("bucket", "version", "endpoint", "is_root", "cohort_value")
_COSTS = ("cost", "cost_squares", "unpriced")
_LATE = ("value_usd",)

BINARY_QUALITY = StateKind(
    "binary_quality",
    (*_WHO, "bin", "decision", "outcome"),
    (
        "rows",
        "weight",
        "weight_squares",
        "score",
        "brier",
        "brier_squares",
        "log_loss",
        "log_loss_squares",
        *_COSTS,
        *_LATE,
    ),
    ("lowest_score",),
    ("highest_score",),
)
REGRESSION_QUALITY = StateKind(
    "regression_quality",
    (*_WHO, "success", "has_outcome"),
    (
        "rows",
        "weight",
        "weight_squares",
        "error",
        "error_2",
        "error_3",
        "error_4",
        "absolute",
        "outcome",
        "outcome_2",
        "outcome_3",
        "outcome_4",
        "error_2_outcome",
        "error_2_outcome_2",
        *_COSTS,
        *_LATE,
    ),
)
MULTICLASS_QUALITY = StateKind(
    "multiclass_quality",
    (*_WHO, "bin", "decision", "outcome"),
    (
        "rows",
        "weight",
        "weight_squares",
        "score",
        "loss_weight",
        "brier",
        "brier_squares",
        "log_loss",
        "log_loss_squares",
        *_COSTS,
        *_LATE,
    ),
    ("lowest_score",),
    ("highest_score",),
)
RANKING_QUALITY = StateKind(
    "ranking_quality",
    (*_WHO, "success", "has_outcome"),
    ("rows", "weight", "weight_squares", "ndcg", "ndcg_squares", "recall", "recall_squares", *_COSTS, *_LATE),
)
GENERATION_QUALITY = StateKind(
    "generation_quality",
    (*_WHO, "success", "judged", "has_outcome"),
    (
        "rows",
        "weight",
        "weight_squares",
        "grade",
        "grade_squares",
        "judge",
        "judge_squares",
        "grade_judge",
        *_COSTS,
        *_LATE,
    ),
)


def quality_kind(model: Model) -> StateKind:
    """Return the kind of quality state that a model's task needs."""
    return QUALITY_KINDS[model.task]


QUALITY_KINDS = {
    Task.BINARY: BINARY_QUALITY,
    Task.REGRESSION: REGRESSION_QUALITY,
    Task.MULTICLASS: MULTICLASS_QUALITY,
    Task.RANKING: RANKING_QUALITY,
    Task.GENERATION: GENERATION_QUALITY,
}
