"""How good is it in detail: where it is acted upon, how honest its scores are, and for whom?"""

from __future__ import annotations

from dataclasses import dataclass, replace

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.answers.aside import aside_lines
from setpoint.answers.business import business
from setpoint.answers.by_task import of_task
from setpoint.answers.groups import BY_DAY, cohort_of, days, groups, never_met, overall
from setpoint.answers.proxy_rates import proxy_rates
from setpoint.answers.scores import brier_table, reliability_table, told
from setpoint.control.estimate_checks import stored_audits
from setpoint.core.clock import DAY, day_text
from setpoint.core.errors import UsageError
from setpoint.core.metric import Metric, counted, number
from setpoint.core.model import Task
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.feedback.classes import right_or_wrong
from setpoint.feedback.graded import judge_words
from setpoint.feedback.quality import (
    Arrival,
    arrival,
    binary_state,
    headline,
    odd_outcome_words,
    quality,
    quality_metric,
)
from setpoint.stats.calibration import brier_decomposition, calibration_in_the_large
from setpoint.stats.classification import BinaryState
from setpoint.stats.estimate import Estimate
from setpoint.stats.operating_point import OperatingPoint, at_budget, at_threshold
from setpoint.store.evidence import RowEvidence
from setpoint.store.row_counts import count_unread_outcomes
from setpoint.store.states import StateTable

DEFAULT_LENGTH = 30 * DAY
_SHOWN = 10
METRIC_COLUMNS = ("metric", "value", "low", "high", "unit", "better", "rows", "unknown")
POINT_COLUMNS = ("measure", "value", "low", "high", "unknown")
AUDIT_COLUMNS = ("week", "metric", "estimated", "low", "high", "measured")
GROUP_COLUMNS = (
    "predictions",
    "outcome_share",
    *(f"{name}{end}" for name in ("metric", "forecast_gap", "recall", "precision") for end in ("", "_low", "_high")),
    "unknown",
)


@dataclass(frozen=True, slots=True)
class _Acted:
    """Where a yes-or-no model's scores are acted upon.

    Attributes:
        words: The rule in words.
        point: Threshold, share acted upon, precision and recall; None for a model without scores.
    """

    words: str
    point: OperatingPoint | None


def quality_in_detail(
    evidence: RowEvidence,
    *,
    window: Window | None = None,
    by: str = "",
    budget: float | None = None,
    threshold: float | None = None,
) -> Answer:
    """Return how good a model is where it is acted upon, how honest its scores are, and for whom.

    Args:
        evidence: The model's states.
        window: The window; the last 30 days by default, the whole of a file.
        by: `endpoint`, `version`, a cohort's name or `day`: the same for each group, with the cut of all rows.
        budget: Share of predictions that can be acted on, the highest scores; between 0 and 1.
        threshold: Score from which on a prediction is acted upon; the declared one, else 0.5, without a budget.

    Raises:
        UsageError: A budget or a threshold is no share, both are given, or the model does not say yes or no.
    """
    model = evidence.model
    _check(model.task, budget, threshold)
    cohort = cohort_of(by, model, BY_DAY)
    if window is None and evidence.is_recorded:
        window = Window(evidence.as_of - DEFAULT_LENGTH, evidence.as_of)
    split = evidence.quality(window, cohort=cohort)
    state = (overall(split) if cohort else split).only(is_root=True)
    known = arrival(state)
    metrics = quality(state, model, outcome_shift=evidence.definition.outcome_shift)
    if known.predictions and not known.rows and (odd := count_unread_outcomes(evidence, window)):
        why = f"{odd:,} {odd_outcome_words(model)}"
        metrics = [replace(metric, unknown=why) if metric.value is None else metric for metric in metrics]
    counts = binary_state(state) if model.task is Task.BINARY else None
    acted = None if counts is None else _acted(counts, budget, threshold, model.success.threshold)
    first = _shown_first(evidence, metrics, acted)
    # A score in parts is as unknown as the score.
    in_parts = next((counts for metric in metrics if metric.name == "brier" and metric.value is not None), None)
    rates = proxy_rates(evidence, window)
    tables = [_metric_table([*metrics, *(metric for one in rates for metric in (one.metric, one.completeness))])]
    tables += of_task(evidence, window, state)
    if counts is not None and acted is not None:
        tables = [_point_table(acted), *tables, reliability_table(counts), brier_table(in_parts)]
    if by:
        found = days(evidence, window) if by == BY_DAY else groups(split, by)
        tables.insert(0, _group_table(evidence, found, by, acted))
    judged = [words] if (words := judge_words(state, model)) else []
    worth = business(evidence, window or evidence.span)
    tables += [*worth.tables, *_audit_tables(evidence)]
    return Answer(
        question="quality",
        model=model.name,
        verdict=Verdict.UNKNOWN if first.value is None else Verdict.OK,
        headline=_headline(evidence, first, counts, acted, known),
        because=(*_because(evidence, window, known, in_parts), *judged, *worth.said, *aside_lines(evidence)),
        unknowns=(
            *(never_met(split, by, model) if cohort else ()),
            *(f"{metric.name}: {metric.unknown}" for metric in metrics if metric.unknown),
        ),
        as_of=evidence.as_of,
        zone=model.timezone,
        tables=tuple(tables),
        is_silent=not known.predictions,
    )


def _check(task: Task, budget: float | None, threshold: float | None) -> None:
    if budget is not None and threshold is not None:
        msg = "a budget and a threshold are two cuts"
        raise UsageError(msg, hint="give one of them")
    for name, value in (("budget", budget), ("threshold", threshold)):
        if value is None:
            continue
        if task is not Task.BINARY:
            msg = f"a {task} model has no {name}"
            raise UsageError(msg, hint="leave it out")
        if not 0.0 < value < 1.0:
            msg = f"the {name} is a share between 0 and 1, got {value:g}"
            raise UsageError(msg, hint=f"write 20 % as --{name} 0.2")


def _acted(counts: BinaryState, budget: float | None, threshold: float | None, declared: float | None) -> _Acted:
    cut = threshold if threshold is not None else (0.5 if declared is None else declared)
    words = f"acting on the top {budget * 100:g} %" if budget is not None else f"acting from a score of {cut:g} on"
    if not len(counts.bin_index):
        return _Acted(words, None)
    return _Acted(words, at_threshold(counts, cut) if budget is None else at_budget(counts, budget))


def _shown_first(evidence: RowEvidence, metrics: list[Metric], acted: _Acted | None) -> Metric:
    """Return the metric that the answer is about: of a model that only decides, the first that needs no scores."""
    first = next(metric for metric in metrics if metric.name == headline(evidence.model))
    if first.value is not None or evidence.model.expectations or acted is None or acted.point is not None:
        return first
    return next((metric for metric in metrics if metric.value is not None and metric.better != "none"), first)


def _headline(
    evidence: RowEvidence, first: Metric, counts: BinaryState | None, acted: _Acted | None, known: Arrival
) -> str:
    subject = f"{evidence.model.name}: " if evidence.model.name else ""
    if not known.predictions:
        return f"{subject}cannot say: no prediction in this window"
    said = f"{subject}{first.name} {first.text()}"
    if counts is None or acted is None or acted.point is None:
        return said
    recall, precision = (told(found) for found in (acted.point.recall, acted.point.precision))
    return (
        f"{said}; {acted.words}: recall {recall} at precision {precision}; {forecast(calibration_in_the_large(counts))}"
    )


def forecast(gap: Estimate) -> str:
    """Return in words whether scores are too high or too low on the whole.

    Example:
        >>> forecast(Estimate(0.04, 0.02, 0.06)), forecast(Estimate(0.01, -0.01, 0.03))
        ('over-forecast by 0.040', 'forecasts as much as happens')
    """
    if gap.value is None or gap.low is None or gap.high is None:
        return f"forecast unknown: {gap.reason}"
    if gap.low <= 0.0 <= gap.high:
        return "forecasts as much as happens"
    return f"{'over' if gap.value > 0 else 'under'}-forecast by {abs(gap.value):.3f}"


def _because(
    evidence: RowEvidence, window: Window | None, known: Arrival, counts: BinaryState | None
) -> tuple[str, ...]:
    zone = evidence.model.timezone
    lines = [f"{window.text(zone)} ({zone})" if window else "all predictions"]
    if known.share is not None:
        share = number(known.share, "share")
        only = "" if evidence.model.judge_kind else ": only those count"
        lines.append(f"{counted(known.predictions, 'prediction')}, outcomes have arrived for {share}{only}")
    parts = None if counts is None else brier_decomposition(counts)
    if parts is not None:
        lines.append(
            f"Brier score {parts.brier:.3f} = {parts.uncertainty:.3f} of chance - {parts.resolution:.3f} told apart"
            f" + {parts.reliability:.3f} by dishonest scores"
        )
    return tuple(lines)


def _metric_table(metrics: list[Metric]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (m.name, m.value, m.low, m.high, m.unit, m.better, m.rows, m.unknown or None) for m in metrics
    ]
    lines = [(m.name, m.text()) for m in metrics if m.value is not None]
    return Table("metrics", METRIC_COLUMNS, rows, ("quality", "value and 95 % interval"), lines)


def _point_table(acted: _Acted) -> Table:
    point = acted.point
    if point is None:
        return Table("operating_point", POINT_COLUMNS, [])
    found = {"acted_share": point.acted_share, "precision": point.precision, "recall": point.recall}
    rows: list[tuple[Cell, ...]] = [("threshold", point.threshold, None, None, None)]
    rows += [(name, one.value, one.low, one.high, one.reason or None) for name, one in found.items()]
    lines = [("threshold", f"{point.threshold:.3f}"), *((name, told(one)) for name, one in found.items())]
    return Table("operating_point", POINT_COLUMNS, rows, (acted.words, "value and 95 % interval"), lines)


def _audit_tables(evidence: RowEvidence) -> list[Table]:
    """Return what was estimated of each week before its outcomes, and what came true, as `tick` stored it."""
    stored = stored_audits(evidence)
    known = [one for one in stored.audits if one.end + stored.age <= evidence.as_of] if stored is not None else []
    if not known:
        return []
    zone = evidence.model.timezone
    rows: list[tuple[Cell, ...]] = []
    for one in known:
        found = one.expected.estimate
        rows.append((day_text(one.start, zone), one.metric, found.value, found.low, found.high, one.measured))
    held = sum(not one.is_beyond(0.025) for one in known)
    said = f"{held} of {counted(len(known), 'weekly estimate')} held what came true"
    return [Table("audits", AUDIT_COLUMNS, rows, ("estimates before outcomes",), [(said,)])]


def _group_table(evidence: RowEvidence, found: list[tuple[str, StateTable]], by: str, acted: _Acted | None) -> Table:
    """Return each group's quality with the cut of all rows: same AUC, and a tenth of the recall."""
    first = headline(evidence.model)
    task = evidence.model.task
    is_binary = task is Task.BINARY
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for name, part in found:
        known = arrival(part)
        metric = quality_metric(part, evidence.model, first, outcome_shift=evidence.definition.outcome_shift)
        gap, recall, precision = _of_group(evidence, part, acted)
        ends = [cell for one in (gap, recall, precision) for cell in (one.value, one.low, one.high)]
        why = metric.unknown or gap.reason or recall.reason
        rows.append((name, known.predictions, known.share, metric.value, metric.low, metric.high, *ends, why or None))
        said = f"bias {told(gap)}" if task is Task.REGRESSION else "" if gap.value is None else forecast(gap)
        lines.append((name, number(known.predictions, "rows"), metric.text(), said, told(recall) if is_binary else ""))
    shown = (by, "predictions", first, "forecast" if task in _FORECAST else "", "recall" if is_binary else "")
    return Table(f"by_{by}", (by, *GROUP_COLUMNS), rows, shown, lines[-_SHOWN:] if by == BY_DAY else lines[:_SHOWN])


_FORECAST = (Task.BINARY, Task.MULTICLASS, Task.REGRESSION)


def _of_group(evidence: RowEvidence, part: StateTable, acted: _Acted | None) -> tuple[Estimate, Estimate, Estimate]:
    """Return by how much a group is forecast too high, and its recall and precision at the cut of all rows."""
    task = evidence.model.task
    nothing = Estimate.unknown(f"a {task} model has none")
    if task is Task.MULTICLASS:
        return calibration_in_the_large(binary_state(right_or_wrong(part))), nothing, nothing
    if task is not Task.BINARY and task is not Task.REGRESSION:
        return nothing, nothing, nothing
    if acted is None:
        shift = evidence.definition.outcome_shift
        bias = quality_metric(part, evidence.model, "bias", outcome_shift=shift)
        return _estimate(bias), nothing, nothing
    counts = binary_state(part)
    gap = calibration_in_the_large(counts)
    if acted.point is None:
        none = Estimate.unknown("no scores with outcomes in this window")
        return gap, none, none
    point = at_threshold(counts, acted.point.threshold)
    return gap, point.recall, point.precision


def _estimate(metric: Metric) -> Estimate:
    if metric.value is None:
        return Estimate.unknown(metric.unknown)
    return Estimate(metric.value, metric.low, metric.high)
