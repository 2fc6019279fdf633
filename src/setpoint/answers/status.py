"""Is this model still working as expected?"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.answers.aside import aside_lines, aside_tables
from setpoint.answers.equal_age import by_group, equal_age, old_enough
from setpoint.answers.estimates import estimate_tables
from setpoint.answers.groups import FIXED, cohort_of, groups, never_met, overall
from setpoint.answers.held_against import held_against
from setpoint.answers.proxy_rates import ProxyRate, proxy_rates
from setpoint.answers.training_age import training_age
from setpoint.charts.intervals import IntervalRow, interval_chart
from setpoint.core.clock import DAY, HOUR, MICROS, QUARTER_HOUR, day_text, duration_text
from setpoint.core.clock import text as time_text
from setpoint.core.metric import Metric, counted, number
from setpoint.core.model import Expectation, Model, Task
from setpoint.core.verdict import Verdict, worst
from setpoint.core.window import Window
from setpoint.feedback.graded import judge_words
from setpoint.feedback.quality import (
    NO_PREDICTION,
    Arrival,
    arrival,
    headline,
    judge,
    odd_outcome_words,
    quality,
    quality_metric,
    shown_first,
)
from setpoint.predictions.meter import Traffic, traffic
from setpoint.predictions.spending import tokens_per_request
from setpoint.store.evidence import RowEvidence
from setpoint.store.row_counts import count_answers, count_unread_outcomes
from setpoint.store.states import StateTable, merge

DEFAULT_LENGTH = 7 * DAY
METRIC_COLUMNS = (
    "metric",
    "value",
    "low",
    "high",
    "unit",
    "better",
    "rows",
    "expected",
    "verdict",
    "unknown",
)


@dataclass(frozen=True, slots=True)
class _Judged:
    metric: Metric
    bar: str
    verdict: Verdict


def status(evidence: RowEvidence, *, window: Window | None = None, by: str = "") -> Answer:
    """Return whether a model keeps what it promised in a window.

    Args:
        evidence: The model's states.
        window: The window; by default the last seven days, or without a declaration the last quarter
            of the data against the rest.
        by: `endpoint`, `version` or a cohort's name: one row of the table a group.
    """
    model = evidence.model
    now, reference = _windows(evidence, window)
    cohort = cohort_of(by, model)
    state = evidence.quality(now, cohort=cohort)
    roots = (overall(state) if cohort else state).only(is_root=True)
    seen = traffic(evidence.traffic(now), observed(evidence, now))
    tokens = tokens_per_request(evidence.spending(now), seen.requests)
    known = arrival(roots)
    metrics = quality(roots, model, outcome_shift=evidence.definition.outcome_shift)
    unread = _unread(evidence, now, known, metrics)
    if unread and not known.rows:
        metrics = [replace(m, unknown=unread) if m.value is None else m for m in metrics]
    rates = proxy_rates(evidence, now)
    judged = _judge(evidence, metrics, rates, now, reference)
    silent = _silence(evidence, seen, known)
    verdict = Verdict.UNKNOWN if silent else worst([j.verdict for j in judged if j.bar] or [Verdict.UNKNOWN])
    tables = [_metrics_table(judged, [*seen.metrics, tokens, *(one.completeness for one in rates)], known)]
    first = shown_first(metrics, model)
    aged = training_age(evidence, next((metric for metric in metrics if metric.name == first), None))
    tables += [*(one.table for one in aged), *estimate_tables(evidence, now, known, metrics), *aside_tables(evidence)]
    if by:
        tables.insert(0, _group_table(evidence, state, by, now, cohort, first))
    unknown = (*_unknowns(evidence, judged, known, now, unread), *(one.unknown_text for one in aged if one.unknown))
    return Answer(
        question="status",
        model=model.name,
        verdict=verdict,
        headline=_headline(model, verdict, judged, silent),
        because=(*_because(evidence, now, reference, seen, tokens, known, judged), *(one.text for one in aged)),
        unknowns=((*never_met(state, by, model), *unknown) if cohort else unknown),
        as_of=evidence.as_of,
        zone=model.timezone,
        tables=tuple(tables),
        is_silent=bool(silent),
        figure=_figure(evidence, judged),
    )


def _windows(evidence: RowEvidence, window: Window | None) -> tuple[Window | None, Window | None]:
    """Return the window in question and, without a declared bar, the one it is held against."""
    span = evidence.span
    if window is None and (evidence.is_recorded or evidence.model.expectations):
        window = Window(evidence.as_of - DEFAULT_LENGTH, evidence.as_of)
    if span is None:
        return window, None
    if window is None:
        start = span.end - span.length // 4
        return Window(start, span.end), Window(span.start, start)
    rest = Window(min(span.start, window.start), window.start)
    return window, rest if rest.length and not evidence.model.expectations else None


def observed(evidence: RowEvidence, window: Window | None) -> Window:
    """Return the part of a window that has been lived: a rate is over that, by the quarters of an hour counted."""
    span = evidence.span
    if window is None or span is None:
        return window or span or Window(0, 0)
    if evidence.is_recorded:
        window = window.widened(QUARTER_HOUR)
    start = min(max(window.start, span.start), window.end)
    return Window(start, max(start, min(window.end, evidence.as_of)))


def _judge(
    evidence: RowEvidence, metrics: list[Metric], rates: list[ProxyRate], now: Window | None, reference: Window | None
) -> list[_Judged]:
    bars = {expectation.metric: expectation for expectation in evidence.model.expectations}
    judged = [
        _judged(metric, bars[metric.name], evidence) if metric.name in bars else _Judged(metric, "", Verdict.UNKNOWN)
        for metric in (*metrics, *(one.metric for one in rates))
    ]
    coming = {one.metric.name: one.still_coming(bars[one.metric.name]) for one in rates if one.metric.name in bars}
    judged = [_young(j, coming.get(j.metric.name, "")) for j in judged]
    known = {j.metric.name for j in judged}
    for name in bars.keys() - known:
        why = f"no metric is called {name!r}; known: {', '.join(sorted(known))}"
        missing = Metric(name, None, None, None, "ratio", "none", 0, why)
        judged.insert(0, _Judged(missing, _bar(bars[name]), Verdict.UNKNOWN))
    if bars or reference is None:
        return judged
    first = shown_first(metrics, evidence.model)
    return [_held_against(evidence, j, now, reference) if j.metric.name == first else j for j in judged]


def _judged(metric: Metric, bar: Expectation, evidence: RowEvidence) -> _Judged:
    if bar.expires_at is not None and bar.expires_at <= evidence.as_of:
        day = day_text(bar.expires_at, evidence.model.timezone)
        return _Judged(metric, f"{_bar(bar)}{_EXPIRED}{day}", Verdict.UNKNOWN)
    return _Judged(metric, _bar(bar), judge(metric, bar))


_EXPIRED = ", which expired "
_COMING = ": "


def _young(judged: _Judged, coming: str) -> _Judged:
    """Return a rate that is below its bar as unknown while outcomes may still lift it."""
    return replace(judged, bar=f"{judged.bar}{_COMING}{coming}", verdict=Verdict.UNKNOWN) if coming else judged


def _held_against(evidence: RowEvidence, judged: _Judged, now: Window | None, reference: Window) -> _Judged:
    """Return a metric held against that of an earlier window, at equal outcome age while outcomes still come."""
    held = held_against(evidence, judged.metric, now, reference)
    words = f"{held.after.text()}{held.outcomes}, before" if held.outcomes else "before"
    if held.before.value is None and held.after.value is None:
        return replace(judged, verdict=Verdict.UNKNOWN)  # to say it twice says nothing more
    return replace(judged, bar=f"{words} {held.before.text()}", verdict=held.verdict)


def _bar(expectation: Expectation) -> str:
    parts: list[str] = []
    if expectation.at_least is not None:
        parts.append(f"at least {expectation.at_least:g}")
    if expectation.at_most is not None:
        parts.append(f"at most {expectation.at_most:g}")
    return " and ".join(parts)


def _silence(evidence: RowEvidence, seen: Traffic, known: Arrival) -> str:
    """Return why the source counts as silent; empty when it does not."""
    if seen.requests == 0 and known.predictions == 0:
        span = evidence.span
        zone = evidence.model.timezone
        return f"no prediction since {time_text(span.end, zone)}" if span else "no prediction was ever recorded"
    return ""


def _headline(model: Model, verdict: Verdict, judged: list[_Judged], silent: str) -> str:
    subject = f"{model.name}: " if model.name else ""
    barred = [j for j in judged if j.bar]
    bad = [j for j in barred if j.verdict in {Verdict.BREACH, Verdict.WARNING}]
    if silent:
        return f"{subject}cannot say: {silent}"
    if verdict is Verdict.BREACH:
        found = next(j for j in bad if j.verdict is Verdict.BREACH)
        return f"{subject}NOT working as expected: {found.metric.name} {found.metric.text()}, expected {found.bar}"
    if verdict is Verdict.WARNING:
        found = bad[0]
        said = found.bar if "before " in found.bar else f"expected {found.bar}"
        return f"{subject}may be slipping: {found.metric.name} {found.metric.text()}, {said}"
    if verdict is Verdict.OK:
        said = ", ".join(f"{j.metric.name} {j.metric.text()} ({j.bar})" for j in barred)
        return f"{subject}working as expected: {said}"
    undecided = next((j for j in barred if _EXPIRED in j.bar or _COMING in j.bar), None)
    if undecided is not None:
        said = f"{undecided.metric.name} {undecided.metric.text()}, {_renew(undecided)}"
        return f"{subject}cannot say whether it works: {said}"
    asked = barred or [j for j in judged if j.metric.name == headline(model)]
    missing = next((j.metric.unknown for j in asked if j.metric.unknown), "")
    why = missing or "no expectation is declared and there is nothing to compare with"
    return f"{subject}cannot say whether it works: {why}"


def _renew(undecided: _Judged) -> str:
    what = ": take a new snapshot, or declare a bar" if _EXPIRED in undecided.bar else ""
    return f"expected {undecided.bar}{what}"


def _because(
    evidence: RowEvidence,
    now: Window | None,
    reference: Window | None,
    seen: Traffic,
    tokens: Metric,
    known: Arrival,
    judged: list[_Judged],
) -> tuple[str, ...]:
    zone = evidence.model.timezone
    lines: list[str] = []
    if now is None and known.predictions:
        lines.append("the predictions have no times: all of them are one window")
    elif now is None:
        lines.append("no prediction was ever recorded")
    else:
        lines.append(f"{now.text(zone)} ({zone})" + (f", against {reference.text(zone)}" if reference else ""))
    share = known.share
    if share is not None:
        lines.append(f"{counted(known.predictions, 'prediction')}, outcomes have arrived for {number(share, 'share')}")
    lines += [words] if (words := judge_words(evidence.quality(now).only(is_root=True), evidence.model)) else []
    if seen.requests and seen.metrics:
        rate, errors, median, slow, compute = seen.metrics
        used = [f", {compute.text()} of compute each"] if compute.value is not None else []
        used += [f", {tokens.text()} each"] if tokens.value is not None else []
        latency = median.text() if median.value is None else f"P50 {median.text()}, P95 {slow.text()}"
        lines.append(
            f"{counted(seen.requests, 'request')} ({_rate(rate)}), errors {errors.text()}, "
            f"latency {latency}{''.join(used)}"
        )
    if seen.dropped:
        lines.append(f"{counted(seen.dropped, 'event')} dropped because a queue was full: no number here counts them")
    lines += aside_lines(evidence)
    sources = {e.source for e in evidence.model.expectations if e.source}
    lines += [f"expectation: {source}" for source in sorted(sources)]
    if not evidence.model.expectations and any(j.bar for j in judged):
        lines.append("no expectation is declared: the end of the data is held against what came before")
    for change in evidence.changes(now)[-3:]:
        lines.append(f"changed {time_text(change.started_at, zone)}: {change.kind} {change.subject}".rstrip())
    return tuple(lines)


def _rate(rate: Metric) -> str:
    value = rate.value or 0.0
    return f"{value:.3g}/s" if value >= 1 else f"{value * 3600:.3g}/h"


def _unread(evidence: RowEvidence, window: Window | None, known: Arrival, metrics: list[Metric]) -> str:
    """Return why outcomes that came count in no quality number; empty when all do.

    That takes the rows. In a store they are opened only when something hints at it: no outcome counts
    although some came, or all that count are the same.
    """
    model = evidence.model
    base_rate = next((metric.value for metric in metrics if metric.name == "base_rate"), None)
    is_one_sided = base_rate in {0.0, 1.0}
    is_hinted = is_one_sided or (known.rows == 0 and evidence.last_outcome_at() is not None)
    if known.predictions == 0 or (evidence.is_recorded and not is_hinted):
        return ""
    odd = count_unread_outcomes(evidence, window)
    if odd:
        return f"{odd:,} {odd_outcome_words(model)}"
    if model.task is Task.REGRESSION and known.rows == 0 and not count_answers(evidence, window):
        return NO_PREDICTION
    return ""


def _unknowns(
    evidence: RowEvidence, judged: list[_Judged], known: Arrival, now: Window | None, unread: str
) -> tuple[str, ...]:
    if known.predictions == 0:
        return ()
    if known.rows == 0:
        return (f"quality: {unread or 'no outcome has arrived for this window'}",)
    found = [f"quality: {unread}"] if unread else []
    if not any(j.bar for j in judged):
        found.append("whether this is good enough: no expectation is declared and there is nothing to compare with")
    found += [f"{j.metric.name}: {_renew(j)}" for j in judged if _EXPIRED in j.bar or _COMING in j.bar]
    for j in judged:
        if j.metric.unknown:
            # A file is whole: nothing more comes in, at whatever pace.
            eta = _eta(j.metric.unknown, known, now) if j.bar and evidence.is_recorded else ""
            found.append(f"{j.metric.name}: {j.metric.unknown}{eta}")
    return tuple(found)


def _eta(reason: str, known: Arrival, now: Window | None) -> str:
    """Return about how long until the missing outcomes are in, at the pace of this window."""
    missing = re.match(r"needs (\d+) more", reason)
    if missing is None or now is None or known.rows == 0:
        return ""
    return f", about {duration_text(max(int(missing[1]) * now.length // known.rows, HOUR))} at this pace"


def _figure(evidence: RowEvidence, judged: list[_Judged]) -> str:
    """Return the metrics between 0 and 1 as a chart."""
    bars = {e.metric: e.at_least if e.at_least is not None else e.at_most for e in evidence.model.expectations}
    rows = [
        IntervalRow(
            j.metric.name,
            j.metric.value,
            j.metric.value if j.metric.low is None else j.metric.low,
            j.metric.value if j.metric.high is None else j.metric.high,
            bars.get(j.metric.name),
            is_bad=j.verdict is Verdict.BREACH,
        )
        for j in judged
        if j.metric.value is not None and j.metric.unit == "ratio"
    ]
    return interval_chart(rows, f"quality of {evidence.model.name or 'the file'}")


def _metrics_table(judged: list[_Judged], used: list[Metric], known: Arrival) -> Table:
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for j in judged:
        rows.append(_row(j.metric, j.bar, j.verdict if j.bar else None))
        if j.metric.value is not None:
            lines.append((j.metric.name, j.metric.text(), j.bar, j.verdict.value if j.bar else ""))
    rows += [_row(metric, "", None) for metric in used]
    arrived = Metric("outcome_share", known.share, None, None, "share", "higher", known.rows, "no predictions")
    rows.append(_row(arrived, "", None))
    shown = ("quality", "value and 95 % interval", "expected", "verdict")
    return Table("metrics", METRIC_COLUMNS, rows, shown, lines)


def _row(metric: Metric, bar: str, verdict: Verdict | None) -> tuple[Cell, ...]:
    return (
        metric.name,
        metric.value,
        metric.low,
        metric.high,
        metric.unit,
        metric.better,
        metric.rows,
        bar or None,
        verdict.value if verdict else None,
        metric.unknown if metric.value is None else None,
    )


def _group_table(
    evidence: RowEvidence, state: StateTable, by: str, now: Window | None, cohort: str, first: str
) -> Table:
    """Return a metric of each group, at equal outcome age while outcomes still come."""
    parts = groups(state, by)
    shares = {name: arrival(part) for name, part in parts}
    column = by if by in FIXED else "cohort_value"
    age = equal_age(evidence, by_group(evidence.arrivals_by_day(now, cohort=cohort), column), now)
    if age is not None and now is not None:
        early = dict(groups(evidence.early_quality(old_enough(now, age, evidence.as_of), age, cohort=cohort), by))
        parts = [(name, early.get(name, merge(part.kind, []))) for name, part in parts]
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for name, part in parts:
        known = shares[name]
        metric = quality_metric(part, evidence.model, first, outcome_shift=evidence.definition.outcome_shift)
        rows.append((name, known.predictions, known.share, age and age / MICROS, *_row(metric, "", None)[:7]))
        share = "" if known.share is None else number(known.share, "share")
        lines.append((name, number(known.predictions, "rows"), share, metric.text()))
    columns = (by, "predictions", "outcome_share", "outcome_age_seconds", *METRIC_COLUMNS[:7])
    named = first if age is None else f"{first} with outcomes of {duration_text(age)}"
    return Table(f"by_{by}", columns, rows, (by, "predictions", "with outcome", named), lines)
