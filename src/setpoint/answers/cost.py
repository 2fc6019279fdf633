"""What is our all-in cost per correct prediction?"""

from __future__ import annotations

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.answers.groups import cohort_of, groups, overall
from setpoint.charts.bars import bar_chart
from setpoint.core.clock import DAY
from setpoint.core.metric import Metric, counted, number
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.feedback.quality import Arrival, arrival
from setpoint.predictions.meter import traffic
from setpoint.predictions.spending import CostLine, bill, cost_per_success
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable

DEFAULT_LENGTH = 30 * DAY
LINE_COLUMNS = ("line", "usd", "rows", "unpriced")
METRIC_COLUMNS = ("metric", "value_usd", "low_usd", "high_usd", "rows", "outcome_share", "unknown")


def cost(evidence: RowEvidence, *, window: Window | None = None, by: str = "") -> Answer:
    """Return what a window's predictions cost, a unit and a correct one, all in.

    Args:
        evidence: The model's states.
        window: The window; the last 30 days by default.
        by: `endpoint`, `version`, a cohort's name or `day`: one row of the table a group.
    """
    model = evidence.model
    if window is None and evidence.span is not None:
        window = Window(max(evidence.as_of - DEFAULT_LENGTH, evidence.span.start), evidence.as_of)
    cohort = cohort_of(by, model, "day")
    state = evidence.quality(window, cohort=cohort)
    roots = (overall(state) if cohort else state).only(is_root=True)
    known = arrival(roots)
    traffic_state = evidence.traffic(window)
    seen = traffic(traffic_state, window or Window(0, 0))
    requests = seen.requests or round(known.predictions)
    compute = traffic_state.only(measure="compute_seconds").total("amount")
    lines = bill(model, evidence.spending(window), requests, compute, round(known.with_outcome), window or Window(0, 0))
    overhead = _overhead(lines, requests)
    correct = cost_per_success(roots, model, overhead_usd=overhead)
    total = _total(lines, declared=model.rates.declared)
    per_unit = _per_unit(total, requests, model.cost_unit, lines)
    if total is None:
        correct = Metric(correct.name, None, None, None, "usd", "lower", correct.rows, per_unit.unknown)
    tables = [_metrics_table([correct, per_unit], known), _lines_table(lines)]
    if by:
        tables.insert(1, _group_table(evidence, window, state, by, overhead))
    is_silent = requests == 0
    return Answer(
        question="cost",
        model=model.name,
        verdict=Verdict.OK if correct.value is not None else Verdict.UNKNOWN,
        headline=_headline(evidence, correct, per_unit, is_silent=is_silent),
        because=_because(evidence, window, known, total, requests),
        unknowns=tuple(f"{m.name}: {m.unknown}" for m in (correct, per_unit) if m.value is None),
        as_of=evidence.as_of,
        zone=model.timezone,
        tables=tuple(tables),
        is_silent=is_silent,
        figure=bar_chart([(c.name, c.usd, number(c.usd, "usd")) for c in lines if c.usd is not None], "what was spent"),
    )


def _overhead(lines: list[CostLine], requests: int) -> float:
    """Return the dollars a request that belong to no row: monthly and labelling costs."""
    shared = sum(line.usd or 0.0 for line in lines if line.name in {"monthly", "outcomes"})
    return shared / requests if requests else 0.0


def _total(lines: list[CostLine], *, declared: bool) -> float | None:
    if any(line.usd is None for line in lines) or (not lines and not declared):
        return None
    return sum(line.usd or 0.0 for line in lines)


def _per_unit(total: float | None, requests: int, unit: str, lines: list[CostLine]) -> Metric:
    name = f"cost_per_{unit}_usd"
    if not requests:
        return Metric(name, None, None, None, "usd", "lower", 0, "no prediction in this window")
    if total is None:
        unpriced = sum(line.unpriced for line in lines)
        why = (
            f"{counted(unpriced, 'call')} with no known price"
            if unpriced
            else "no price is known: declare rates, or record calls with their cost"
        )
        return Metric(name, None, None, None, "usd", "lower", requests, why)
    return Metric(name, total / requests, None, None, "usd", "lower", requests)


def _headline(evidence: RowEvidence, correct: Metric, per_unit: Metric, *, is_silent: bool) -> str:
    name = evidence.model.name
    subject = f"{name}: " if name else ""
    if is_silent:
        return f"{subject}cannot say what a correct prediction costs: no prediction in this window"
    if correct.value is None:
        return f"{subject}cannot say what a correct prediction costs: {correct.unknown}"
    unit = per_unit.text() if per_unit.value is not None else "unknown"
    return f"{subject}a correct prediction costs {correct.text()}; a {evidence.model.cost_unit} costs {unit}"


def _because(
    evidence: RowEvidence, window: Window | None, known: Arrival, total: float | None, requests: int
) -> tuple[str, ...]:
    zone = evidence.model.timezone
    where = f"{window.text(zone)} ({zone}): " if window else ""
    spent = "an unknown amount" if total is None else number(total, "usd")
    lines = [f"{where}{counted(requests, 'prediction')} for {spent} in all"]
    share = known.share
    if share is not None:
        lines.append(
            f"measured on the {number(share, 'share')} whose outcome is known;"
            f" {number(1.0 - share, 'share')} are still without one"
        )
    return tuple(lines)


def _metrics_table(metrics: list[Metric], known: Arrival) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (m.name, m.value, m.low, m.high, m.rows, known.share, m.unknown or None) for m in metrics
    ]
    return Table("metrics", METRIC_COLUMNS, rows)


def _lines_table(lines: list[CostLine]) -> Table:
    rows: list[tuple[Cell, ...]] = [(line.name, line.usd, line.rows, line.unpriced) for line in lines]
    shown = [
        (
            line.name,
            "unknown" if line.usd is None else number(line.usd, "usd"),
            f"{line.rows:,}",
            f"{line.unpriced:,} without a price" if line.unpriced else "",
        )
        for line in lines
    ]
    return Table("lines", LINE_COLUMNS, rows, ("cost line", "amount", "billed", ""), shown)


def _group_table(evidence: RowEvidence, window: Window | None, state: StateTable, by: str, overhead: float) -> Table:
    found = _days(evidence, window) if by == "day" else groups(state, by)
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for name, part in found:
        metric = cost_per_success(part, evidence.model, overhead_usd=overhead)
        share = arrival(part).share
        rows.append((name, *(metric.value, metric.low, metric.high, metric.rows, share, metric.unknown or None)))
        lines.append((name, metric.text(), "" if share is None else number(share, "share")))
    columns = (by, "cost_per_success_usd", "low_usd", "high_usd", "rows", "outcome_share", "unknown")
    return Table(f"by_{by}", columns, rows, (by, "a correct prediction costs", "with outcome"), lines)


def _days(evidence: RowEvidence, window: Window | None) -> list[tuple[str, StateTable]]:
    """Return the quality state of each local day of a window, oldest first."""
    return [(day, part.only(is_root=True)) for day, part in evidence.quality_by_day(window)]
