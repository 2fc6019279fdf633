"""What is our all-in cost per correct prediction?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.answers.aside import aside_lines
from setpoint.answers.groups import BY_DAY, cohort_of, days, groups, overall
from setpoint.charts.bars import bar_chart
from setpoint.core.clock import DAY
from setpoint.core.metric import Metric, counted, number
from setpoint.core.model import Model
from setpoint.core.rates import Rates, within
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.feedback.quality import Arrival, arrival
from setpoint.predictions.meter import traffic
from setpoint.predictions.spending import Came, CostLine, Stretch, Usage, bill, cost_per_success, graded
from setpoint.store.evidence import RowEvidence
from setpoint.store.row_counts import UnitCount, count_units, count_without_compute
from setpoint.store.states import StateTable

DEFAULT_LENGTH = 30 * DAY
LINE_COLUMNS = ("line", "usd", "rows", "unpriced", "unknown", "at_least_usd", "low_usd", "high_usd")
PRICED_COLUMNS = ("predictions", "unpriced", "unpriced_share", "priced_usd", "at_least_usd")
METRIC_COLUMNS = ("metric", "value_usd", "low_usd", "high_usd", "rows", "outcome_share", "unknown")
_NO_PRICE = "no price is known: declare rates, or record calls with their cost"


@dataclass(frozen=True, slots=True)
class _Units:
    """How many units of work a window has; when unknown, why."""

    count: int
    unknown: str = ""


def cost(evidence: RowEvidence, *, window: Window | None = None, by: str = "") -> Answer:
    """Return what a window's predictions cost, a unit and a correct one, all in.

    The unit is the declared `cost_unit`. A prediction is one; of any other kind, such as a ticket,
    there are as many as different values of `unit` among the predictions. An unknown price or
    amount makes the total unknown, and all that is divided out of it.

    Args:
        evidence: The model's states.
        window: The window; the last 30 days by default.
        by: `endpoint`, `version`, a cohort's name or `day`: one row of the table a group.
    """
    model = evidence.model
    if window is None and evidence.span is not None:
        window = Window(max(evidence.as_of - DEFAULT_LENGTH, evidence.span.start), evidence.as_of)
    cohort = cohort_of(by, model, BY_DAY)
    state = evidence.quality(window, cohort=cohort)
    roots = (overall(state) if cohort else state).only(is_root=True)
    known = arrival(roots)
    counted_rows = evidence.traffic(window)
    seen = traffic(counted_rows, window or Window(0, 0))
    requests = seen.requests or round(known.predictions)
    stretches = _stretches(evidence, window, roots, counted_rows)
    lines = _lines(evidence, window, stretches)
    overhead = _overhead(lines, requests)
    error_usd = sum(line.error_usd for line in lines)  # of the same rows, so they err together
    each_usd = error_usd / requests if requests else 0.0
    correct = _widened(roots, model, overhead or 0.0, each_usd)
    total = _total(lines, is_priced=any(one.rates.is_paid for one in stretches))
    units = _units(evidence, window, requests, not_kept=seen.not_kept)
    per_unit = _per_unit(total, units, model.cost_unit, lines, error_usd)
    if total is None:
        correct = Metric(correct.name, None, None, None, "usd", "lower", correct.rows, _why_unknown(lines))
    priced = _priced(lines, roots) if total is None and lines else None
    tables = [_metrics_table([correct, per_unit], known), _lines_table(lines)]
    if priced is not None:
        tables.append(Table("priced", PRICED_COLUMNS, [priced]))
    if by:
        tables.insert(1, _group_table(evidence, window, state, by, overhead, each_usd))
    is_silent = requests == 0
    return Answer(
        question="cost",
        model=model.name,
        verdict=Verdict.OK if correct.value is not None else Verdict.UNKNOWN,
        headline=_headline(evidence, correct, per_unit, is_silent=is_silent),
        because=_because(evidence, window, known, _spent(total, error_usd), requests, priced),
        unknowns=tuple(f"{m.name}: {m.unknown}" for m in (correct, per_unit) if m.value is None),
        as_of=evidence.as_of,
        zone=model.timezone,
        tables=tuple(tables),
        is_silent=is_silent,
        figure=bar_chart([(c.name, c.usd, number(c.usd, "usd")) for c in lines if c.usd is not None], "what was spent"),
    )


def shared_cost(evidence: RowEvidence, window: Window | None) -> float | None:
    """Return the dollars a request that belong to no prediction: monthly, labelling and judging; None when unknown."""
    roots, counted_rows = _states(evidence, window)
    requests = traffic(counted_rows, window or Window(0, 0)).requests or round(arrival(roots).predictions)
    return _overhead(_lines(evidence, window, _stretches(evidence, window, roots, counted_rows)), requests)


def _lines(evidence: RowEvidence, window: Window | None, stretches: list[Stretch]) -> list[CostLine]:
    return [*bill(evidence.spending(window), stretches), *graded(evidence.model, _graded(evidence, window))]


def _stretches(
    evidence: RowEvidence, window: Window | None, roots: StateTable, counted_rows: StateTable
) -> list[Stretch]:
    return [
        _stretch(evidence, rates, part, *((roots, counted_rows) if part == window else _states(evidence, part)))
        for rates, part in within(evidence.model.rates, window)
    ]


def _states(evidence: RowEvidence, window: Window | None) -> tuple[StateTable, StateTable]:
    return evidence.quality(window).only(is_root=True), evidence.traffic(window)


def _stretch(
    evidence: RowEvidence, rates: Rates, window: Window | None, roots: StateTable, counted_rows: StateTable
) -> Stretch:
    """Return what was used in a part of the window in which prices stay.

    Args:
        evidence: The rows, which are asked only when a price is missing.
        rates: The prices.
        window: The part.
        roots: Its quality state of root rows.
        counted_rows: Its traffic state.
    """
    known = arrival(roots)
    without = {False: 0, True: 0}
    is_by_second = rates.per_compute_second_usd is not None or rates.per_idle_hour_usd is not None
    if is_by_second and (roots.total("unpriced") or rates.per_compute_second_usd is None):
        without |= count_without_compute(evidence, window)
    made: list[Usage] = []
    for is_shadow, part in enumerate((counted_rows.without(role="shadow"), counted_rows.only(role="shadow"))):
        predictions = int(part.only(measure="requests").total("amount"))
        if not predictions and not is_shadow:
            predictions = round(known.predictions)
        seconds = part.only(measure="compute_seconds").total("amount")
        # Without a row that was kept, only the tallies tell, and a sum of nothing says that there was nothing.
        is_missing = is_by_second and not len(roots) and not seconds
        made.append(Usage(predictions, seconds, predictions if is_missing else without[bool(is_shadow)]))
    missing = roots.total("unpriced")
    return Stretch(
        rates,
        *made,
        outcomes=Came.weighed(known.with_outcome, known.squares),
        lived=_lived(evidence, window),
        unpriced=max(round(missing), 1) if missing else 0,
    )


def _lived(evidence: RowEvidence, window: Window | None) -> Window | None:
    """Return the part of a window for which a monthly cost is due: from the first prediction until now."""
    span = evidence.span
    if window is None:
        return None
    if span is None:
        return Window(window.start, window.start)
    start = min(max(window.start, span.start), window.end)
    return Window(start, max(start, min(window.end, evidence.as_of)))


def _graded(evidence: RowEvidence, window: Window | None) -> dict[str, Came]:
    """Return how many outcomes of each kind that costs something have arrived."""
    priced = [kind.name for kind in evidence.model.outcomes if kind.cost_usd is not None]
    arrived = evidence.arrivals(window).without(outcome=None) if priced else None
    if arrived is None:
        return {}
    of_kind = {name: arrived.only(kind=name) for name in priced}
    return {name: Came.weighed(one.total("weight"), one.total("weight_squares")) for name, one in of_kind.items()}


def _widened(roots: StateTable, model: Model, overhead_usd: float, error_usd: float) -> Metric:
    """Return the cost per success, with how sure the part that is spread over all predictions is.

    Args:
        roots: The quality state of root rows.
        model: The declaration.
        overhead_usd: Dollars a request that belong to no row.
        error_usd: Half of the 95 % interval of that.
    """
    found = cost_per_success(roots, model, overhead_usd=overhead_usd)
    if not error_usd or found.value is None or found.low is None or found.high is None:
        return found
    shifted = cost_per_success(roots, model, overhead_usd=overhead_usd + error_usd).value
    shift = (shifted or found.value) - found.value
    below, above = (math.hypot(abs(end - found.value), shift) for end in (found.low, found.high))
    return replace(found, low=max(found.value - below, 0.0), high=found.value + above)


def _units(evidence: RowEvidence, window: Window | None, requests: int, *, not_kept: int) -> _Units:
    """Return how many units of work there are: predictions, or different values of their `unit`."""
    if evidence.model.cost_unit == "prediction" or not requests:
        return _Units(requests)
    if not_kept:
        return _Units(0, "units cannot be counted while rows are sampled: keep all rows, or use cost_unit: prediction")
    found = count_units(evidence, window)
    why = _why_uncounted(found)
    return _Units(0 if why or found is None else found.units, why)


def _why_uncounted(found: UnitCount | None) -> str:
    """Return why units cannot be counted; empty when they can."""
    if found is None:
        return "units cannot be counted: rows of this window were let go"
    if found.sampled:  # the rows of a file may have been, before
        return f"units cannot be counted: {counted(found.sampled, 'row')} stand for others that were not kept"
    if found.named == found.predictions:
        return ""
    missing = f"{counted(found.predictions - found.named, 'prediction')} of {found.predictions:,} carry no unit"
    return f"{missing if found.named else 'no prediction carries a unit'}: pass unit="


def _overhead(lines: list[CostLine], requests: int) -> float | None:
    """Return the dollars a request that belong to no row: monthly, labelling and judging costs; None when unknown."""
    shared = [line.usd for line in lines if line.is_shared]
    known = [usd for usd in shared if usd is not None]
    if len(known) < len(shared):
        return None
    return sum(known) / requests if requests else 0.0


def _total(lines: list[CostLine], *, is_priced: bool) -> float | None:
    if any(line.usd is None for line in lines) or (not lines and not is_priced):
        return None
    return sum(line.at_least_usd for line in lines)


def _priced(lines: list[CostLine], roots: StateTable) -> tuple[float, float, float | None, float, float]:
    """Return what is known where no total is: predictions, those without a price, their share, and lower bounds."""
    predictions, unpriced = roots.total("weight"), roots.total("unpriced")
    share = unpriced / predictions if predictions else None
    at_least = sum(max(line.at_least_usd - line.error_usd, 0.0) for line in lines)
    return predictions, unpriced, share, roots.total("cost"), at_least


def _why_unknown(lines: list[CostLine]) -> str:
    """Return why there is no total."""
    return next((line.unknown for line in lines if line.usd is None), _NO_PRICE)


def _spent(total: float | None, error_usd: float) -> str:
    """Return the total in words, with its interval where outcomes that cost something are estimated."""
    if total is None:
        return "an unknown amount"
    return Metric("total", total, *_ends(total, error_usd), "usd", "lower", 0).text()


def _ends(usd: float, error_usd: float) -> tuple[float | None, float | None]:
    """Return the interval of an amount; none where it is counted."""
    return (max(usd - error_usd, 0.0), usd + error_usd) if error_usd else (None, None)


def _per_unit(total: float | None, units: _Units, unit: str, lines: list[CostLine], error_usd: float) -> Metric:
    name = f"cost_per_{unit}_usd"
    why = units.unknown or ("" if units.count else "no prediction in this window")
    if units.count and total is None:
        why = _why_unknown(lines)
    if why or total is None:
        return Metric(name, None, None, None, "usd", "lower", units.count, why)
    ends = _ends(total / units.count, error_usd / units.count)
    return Metric(name, total / units.count, *ends, "usd", "lower", units.count)


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
    evidence: RowEvidence,
    window: Window | None,
    known: Arrival,
    spent: str,
    requests: int,
    priced: tuple[float, float, float | None, float, float] | None,
) -> tuple[str, ...]:
    zone = evidence.model.timezone
    where = f"{window.text(zone)} ({zone}): " if window else ""
    lines = [f"{where}{counted(requests, 'prediction')} for {spent} in all"]
    if priced is not None:
        predictions, unpriced, missing, priced_usd, at_least = priced
        lines.append(f"at least {number(at_least, 'usd')} in all: that much has a price")
        if missing:
            lines.append(
                f"{counted(unpriced, 'prediction')} of {predictions:,.0f} ({number(missing, 'share')}) have no known"
                f" price; the other {predictions - unpriced:,.0f} cost {number(priced_usd, 'usd')}"
            )
    lines += aside_lines(evidence)
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
    rows: list[tuple[Cell, ...]] = [
        (line.name, line.usd, line.rows, line.unpriced, line.unknown or None, line.at_least_usd,
         *(end if line.usd is not None else None for end in _ends(line.at_least_usd, line.error_usd)))
        for line in lines
    ]  # fmt: skip
    shown = [
        (
            line.name,
            _spent(line.usd, line.error_usd) if line.usd is not None else _unknown_amount(line),
            f"{line.rows:,}",
            line.unknown,
        )
        for line in lines
    ]
    return Table("lines", LINE_COLUMNS, rows, ("cost line", "amount", "billed", ""), shown)


def _unknown_amount(line: CostLine) -> str:
    return f"unknown, at least {number(line.at_least_usd, 'usd')}" if line.at_least_usd else "unknown"


def _group_table(
    evidence: RowEvidence, window: Window | None, state: StateTable, by: str, overhead: float | None, error_usd: float
) -> Table:
    found = days(evidence, window) if by == BY_DAY else groups(state, by)
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for name, part in found:
        metric = _widened(part, evidence.model, overhead or 0.0, error_usd)
        if overhead is None:
            metric = replace(metric, value=None, low=None, high=None, unknown="the monthly cost is unknown")
        share = arrival(part).share
        rows.append((name, *(metric.value, metric.low, metric.high, metric.rows, share, metric.unknown or None)))
        lines.append((name, metric.text(), "" if share is None else number(share, "share")))
    columns = (by, "cost_per_success_usd", "low_usd", "high_usd", "rows", "outcome_share", "unknown")
    return Table(f"by_{by}", columns, rows, (by, "a correct prediction costs", "with outcome"), lines)
