"""Can an evaluation set be trusted? The answer is a sanity check: it never says that a model may go anywhere."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.answers.cohorts import found_table, found_words, small_table, small_words
from setpoint.core.clock import text as time_text
from setpoint.core.metric import Metric, counted, number
from setpoint.core.model import Expectation, Model
from setpoint.core.verdict import Verdict
from setpoint.feedback.column_leaks import Judged
from setpoint.feedback.coverage import FEWEST_SET_ROWS, THIN, Coverage, Gap
from setpoint.feedback.evaluation import Online, Told, expected, rows_needed
from setpoint.feedback.leaks import Leak, Split, share_words
from setpoint.feedback.quality import judge
from setpoint.feedback.underserved import Search, TooSmall
from setpoint.stats.estimate import Estimate

LEAK_COLUMNS = ("code", "severity", "subject", "value", "low", "high", "rows", "said", "evidence")
COVERAGE_COLUMNS = ("kind", "name", "set_rows", "predictions", "traffic_share", "low", "high", "value_share", "verdict")
QUALITY_COLUMNS = (
    "metric",
    "value",
    "low",
    "high",
    "unit",
    "rows",
    "bar",
    "margin",
    "rows_needed",
    "verdict",
    "unknown",
)
PAST_COLUMNS = ("start", "end", "metric", "offline", "online", "low", "high", "gap", "gap_low", "gap_high", "rows",
                "completeness", "unknown")  # fmt: skip
INPUT_COLUMNS = ("input", "kind", "strength", "low", "high", "training_strength", "training_low", "training_high")
CAUTION = (
    "an offline result is a sanity check: it shows what is wrong with a set, and never that production will be fine"
)
_BLIND = (
    "not looked for: leaks spread over several inputs, and what both files have wrong in the same way; intervals assume"
    " independent rows"
)
_SHOWN = 8
_AIMS = {"ratio": 0.01}
_TITLES = {
    "test_older_than_training": "the test rows are older than the training rows",
    "interleaved_times": "test and training rows are interleaved in time",
    "unclean_border": "the border between training and test is not clean",
    "outcome_before_prediction": "outcomes were known before the prediction",
    "outcomes_from_the_test_period": "training outcomes come from the test period",
    "training_rows_as_test": "the test rows are training rows",
    "rows_on_both_sides": "the same rows are on both sides",
    "identifiers_on_both_sides": "the same cases are on both sides ({})",
    "entities_on_both_sides": "a {} is on both sides",
    "outcome_in_input": "{} holds the outcome",
    "encoded_with_test_outcomes": "{} was made with test outcomes",
    "observed_after_prediction": "{} was observed after the prediction",
    "time_after_prediction": "{} is a time after the prediction",
    "function_of_outcome": "{} was made from the outcomes",
    "knows_later_outcomes": "{} knows later outcomes",
    "counted_over_the_future": "{} counts what was still to come",
    "missing_tells_outcome": "whether {} is missing tells the outcome",
    "suspiciously_strong": "{} is suspiciously strong",
    "stronger_in_training": "{} is far stronger in training",
    "scaled_with_test_rows": "{} was scaled with test rows",
    "row_number_as_input": "{} is a row number",
    "identifier_tells_outcome": "the order of {} tells the outcome",
}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """All that was found on an evaluation set.

    Attributes:
        names: Of the training file and of the file to evaluate on.
        split: Both sets.
        is_timeless: Whether the user says that the rows have no time.
        leaks: What was found, in any order.
        columns: What the inputs came to.
        metrics: Quality on the set, the one that is shown first first.
        answered_by: Whose answers those are about; empty without any.
        model: The declaration; None without a store.
        cohorts: Who is under-served in the set, or has too few rows; None where that was not sought.
        coverage: What production has and the set lacks; None without a store.
        told: What was once measured offline; None when nobody knows.
        online: What production measured since: all first, then weeks.
        as_of: The time that production was asked for, microseconds; 0 without a store.
        notes: What was guessed, in words.
    """

    names: tuple[str, str]
    split: Split
    is_timeless: bool
    leaks: tuple[Leak, ...]
    columns: Judged
    metrics: tuple[Metric, ...]
    answered_by: str
    model: Model | None
    cohorts: Search | None
    coverage: Coverage | None
    told: Told | None
    online: tuple[Online, ...]
    as_of: int
    notes: tuple[str, ...]


def evaluation(found: Evaluated) -> Answer:
    """Return what was found on an evaluation set as an answer."""
    leaks = sorted(found.leaks, key=lambda one: one.severity != "breach")
    bar = expected(found.model, found.metrics[0].name)
    verdict = _verdict(found, bar)
    name = f"{found.model.name}: " if found.model is not None else ""
    return Answer(
        question="evaluate",
        model="" if found.model is None else found.model.name,
        verdict=verdict,
        headline=f"sanity check: {name}{_headline(found, leaks, verdict)}",
        because=(CAUTION, *_because(found, leaks, bar)),
        unknowns=_unknowns(found),
        as_of=found.as_of or _last(found.split),
        zone=found.split.zone,
        tables=(
            _leak_table(leaks),
            _coverage_table(found),
            _quality_table(found),
            _past_table(found),
            _inputs(found),
            *(() if found.cohorts is None else (found_table(found.cohorts), small_table(found.cohorts))),
        ),
    )


def _last(split: Split) -> int:
    """Return the last time of the set; 0 without times."""
    if split.times is None:
        return 0
    return int(np.nanmax(split.times.test))


def _thin(found: Evaluated) -> list[Gap]:
    return [] if found.coverage is None else [gap for gap in found.coverage.gaps if gap.is_thin]


def _is_unfair(found: Evaluated) -> bool:
    """Whether a cohort of the set is under-served already."""
    return found.cohorts is not None and bool(found.cohorts.found)


def _is_untimed(found: Evaluated) -> bool:
    """Whether nobody knows if the test rows are later, and nobody said that there is no later."""
    return found.split.times is None and not found.is_timeless


def _is_not_judged(found: Evaluated) -> bool:
    """Whether what inputs give away was sought, and could not be told of any."""
    return found.columns.is_sought and not found.columns.strengths


def _verdict(found: Evaluated, bar: Expectation | None) -> Verdict:
    if any(leak.severity == "breach" for leak in found.leaks):
        return Verdict.BREACH
    below = bar is not None and judge(found.metrics[0], bar) in {Verdict.WARNING, Verdict.BREACH}
    if _is_not_judged(found) or _is_untimed(found):
        return Verdict.UNKNOWN
    return Verdict.WARNING if found.leaks or below or _thin(found) or _is_unfair(found) else Verdict.OK


def _headline(found: Evaluated, leaks: list[Leak], verdict: Verdict) -> str:
    metric = found.metrics[0]
    said = f"{metric.name} {metric.text()}" if metric.value is not None else "quality unknown"
    titles = [_TITLES[leak.code].format(leak.subject) for leak in leaks]
    more = f" and {len(titles) - 2} more" if len(titles) > 2 else ""  # noqa: PLR2004 — as many as one reads
    listed = f"{'; '.join(titles[:2])}{more}"
    if verdict is Verdict.BREACH:
        worth = f"; {said} is not to be believed" if metric.value is not None else ""
        return f"the set leaks: {listed}{worth}"
    if verdict is Verdict.UNKNOWN:
        why = found.columns.unknown[0] if _is_not_judged(found) else (
            "whether test rows are later than training rows: no column of both files is a time"
        )  # fmt: skip
        return f"cannot say {why}" + (f"; suspicious: {listed}" if titles else "")
    if titles:
        return f"suspicious: {listed}; {said}"
    rows = counted(int(np.sum(~np.isnan(found.split.test_outcomes))), "test row")
    known = sum(test.is_known for test, _ in found.columns.strengths.values())
    where = f"in {counted(known, 'input')} and" if found.columns.is_sought else "between training rows and"
    gaps = _thin(found)
    unseen = f"; the set has hardly seen {gaps[0].name} ({_gap_words(gaps[0])})" if gaps else ""
    served = f"; in it {found_words(found.cohorts)}" if found.cohorts is not None and found.cohorts.found else ""
    return f"no leak found {where} {rows}{unseen}{served}; {said}"


def _gap_words(gap: Gap) -> str:
    money = "" if gap.value_share is None else f", {number(gap.value_share, 'share')} of the money"
    return f"{number(gap.traffic.value or 0.0, 'share')} of the traffic{money}"


def _because(found: Evaluated, leaks: list[Leak], bar: Expectation | None) -> list[str]:
    lines = [f"{leak.severity}: {leak.said}" for leak in leaks[:_SHOWN]]
    if len(leaks) > _SHOWN:
        lines.append(f"{counted(len(leaks) - _SHOWN, 'more finding')}: see --json")
    lines += [_rows_words(found), *_quality_words(found, bar), *_past_words(found), *_coverage_words(found)]
    return [*lines, *found.notes, _BLIND]


def _rows_words(found: Evaluated) -> str:
    sides: list[str] = []
    for n, (name, outcomes) in enumerate(
        zip(found.names, (found.split.train_outcomes, found.split.test_outcomes), strict=True)
    ):
        share = float(np.mean(~np.isnan(outcomes))) if len(outcomes) else 0.0
        times = found.split.times
        when = "" if times is None else _span(times.test if n else times.train, found.split.zone)
        sides.append(f"{name}: {counted(len(outcomes), 'row')}, {number(share, 'share')} with an outcome{when}")
    return f"training {sides[0]}; test {sides[1]}"


def _span(times: np.ndarray, zone: str) -> str:
    missing = int(np.sum(np.isnan(times)))
    without = f", {missing:,} of them without a time" if missing else ""
    return f", {time_text(int(np.nanmin(times)), zone)} – {time_text(int(np.nanmax(times)), zone)}{without}"


def _quality_words(found: Evaluated, bar: Expectation | None) -> list[str]:
    metric = found.metrics[0]
    if metric.value is None:
        return []
    lines = [f"{metric.name} {metric.text()} on {counted(metric.rows, 'row')}, answered by {found.answered_by}"]
    if bar is None:
        return [f"{lines[0]}; no bar is declared for {metric.name}: nothing says what is enough"]
    limit = _limit(bar)
    needed = rows_needed(metric, limit)
    words = f"at least {limit:g}" if bar.at_least is not None else f"at most {limit:g}"
    if needed is None:
        size = "no number of rows decides it: the value is at the bar, or has no interval"
    elif needed > metric.rows:
        size = f"to decide needs about {needed - metric.rows:,} more rows, {needed:,} in all, if the value stays"
    else:
        size = f"the {metric.rows:,} rows there are decide it, about {needed:,} would have"
    return [f"{lines[0]}, declared {words} ({judge(metric, bar).value}); {size}"]


def _limit(bar: Expectation) -> float:
    return bar.at_least if bar.at_least is not None else bar.at_most or 0.0


def _past_words(found: Evaluated) -> list[str]:
    if found.told is None or not found.online:
        return []
    whole, *weeks = found.online
    exact = "" if found.told.low is not None else "; the offline interval was not written down, so the gap is too sure"
    zone, arrived = found.split.zone, f"outcomes have arrived for {number(whole.completeness, 'share')}"
    said = f"offline said {found.told.metric} {number(found.told.value, 'ratio')} ({found.told.source}), online was"
    online = f"{whole.metric.text()} in {whole.window.text(zone)}: {_gap_estimate(whole.gap)}"
    lines = [f"{said} {online}; {arrived}{exact}"]
    known = [week for week in weeks if week.gap.value is not None]
    if known:
        worst = max(known, key=lambda week: _least(week.gap))
        lines.append(
            f"surely furthest apart in the week of {time_text(worst.window.start, zone)[:10]}, of"
            f" {counted(len(known), 'week')}: online {worst.metric.text()}, {_gap_estimate(worst.gap)}"
        )
    return lines


def _least(gap: Estimate) -> float:
    """Return how large a gap is at least: a week with few rows is not the worst only because it scatters."""
    low, high = gap.low or 0.0, gap.high or 0.0
    return max(low, -high, 0.0)


def _gap_estimate(gap: Estimate) -> str:
    if gap.value is None:
        return f"the gap is unknown: {gap.reason}"
    if gap.low is None or gap.high is None:
        return f"a gap of {gap.value:+.3f}"
    return f"a gap of {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"


def _coverage_words(found: Evaluated) -> list[str]:
    covered = found.coverage
    if covered is None or covered.unknown:
        return []
    window = "" if covered.window is None else f" of {covered.window.text(found.split.zone)}"
    gaps = _thin(found)
    more = f" and {len(covered.compared) - _SHOWN} more" if len(covered.compared) > _SHOWN else ""
    where = f"{', '.join(covered.compared[:_SHOWN]) or 'nothing'}{more}"
    what = f"compared with {counted(covered.predictions, 'prediction')}{window} in {where}"
    few = f"fewer than {FEWEST_SET_ROWS} test rows"
    if not gaps:
        return [f"{what}: nothing with {number(THIN, 'share')} of the traffic or money or more has {few}"]
    listed = ", ".join(f"{gap.name} ({_gap_words(gap)})" for gap in gaps[:3])
    more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""  # noqa: PLR2004 — as many as one reads
    return [f"{what}: {few} for {listed}{more}; sample rows of them, or measure them in production first"]


def _unknowns(found: Evaluated) -> tuple[str, ...]:
    lines: list[str] = []
    if _is_untimed(found):
        lines.append(
            "whether test rows are later than training rows: name the time with --map time=COLUMN, or say that there"
            " is none with --map time="
        )
    lines += found.columns.unknown if found.columns.strengths else found.columns.unknown[:1]
    metric = found.metrics[0]
    if metric.value is None:
        lines.append(f"{metric.name}: {metric.unknown}")
    if found.cohorts is not None:
        lines += small_words(found.cohorts, lambda one: f"{one.rows:,} rows, {_shares(found, one)}")
    if found.coverage is None:
        lines.append("what the set lacks of production, and how far offline was off before: name --store and --model")
        return tuple(lines)
    if found.coverage.unknown:
        lines.append(f"what the set lacks of production: {found.coverage.unknown}")
    if found.coverage.left_out:
        lines.append(f"coverage of {', '.join(found.coverage.left_out)}: not in the set, or too many values")
    if not found.coverage.has_values and not found.coverage.unknown:
        lines.append("coverage by money: production records no value_usd with its outcomes")
    if found.told is None:
        lines.append("how far offline was off before: no declared bar says what was measured offline")
    elif not found.online:
        lines.append("how far offline was off before: production has no prediction yet")
    return tuple(lines)


def _shares(found: Evaluated, one: TooSmall) -> str:
    """Return how large a part of the set a cohort is, and of production where that has any."""
    traffic = found.coverage.shares.get(one.cohort) if found.coverage is not None else None
    known = "" if traffic is None else f", {number(traffic, 'share')} of the traffic"
    return f"{number(one.share, 'share')} of the set{known}"


def _leak_table(leaks: list[Leak]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for leak in leaks:
        name = "share" if "share" in leak.numbers else "strength"
        numbers = [leak.numbers.get(key) for key in (name, f"{name}_low", f"{name}_high", "rows")]
        evidence = json.dumps(dict(leak.numbers), sort_keys=True)
        rows.append((leak.code, leak.severity, leak.subject, *numbers, leak.said, evidence))
    return Table("leaks", LEAK_COLUMNS, rows)


def _coverage_table(found: Evaluated) -> Table:
    gaps = () if found.coverage is None else found.coverage.gaps
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for gap in gaps:
        share, verdict = gap.traffic, Verdict.WARNING if gap.is_thin else Verdict.OK
        counts = (gap.set_rows, gap.rows, share.value, share.low, share.high)
        rows.append((gap.kind, gap.name, *counts, gap.value_share, verdict.value))
        money = "" if gap.value_share is None else number(gap.value_share, "share")
        lines.append((gap.name, f"{gap.set_rows:,}", f"{gap.rows:,}", share_words(share), money))
    if len(lines) > _SHOWN:
        lines = [*lines[:_SHOWN], (f"… {len(lines) - _SHOWN} more: see --json", "", "", "", "")]
    shown = ("hardly in the set", "test rows", "predictions", "share of traffic", "share of money")
    return Table("coverage", COVERAGE_COLUMNS, rows, shown, lines)


def _quality_table(found: Evaluated) -> Table:
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for metric in found.metrics:
        bar = expected(found.model, metric.name)
        limit = None if bar is None else _limit(bar)
        margin = None if limit is None or metric.value is None else abs(metric.value - limit)
        needed = None if limit is None else rows_needed(metric, limit)
        verdict = Verdict.UNKNOWN if bar is None else judge(metric, bar)
        value = (metric.value, metric.low, metric.high, metric.unit, metric.rows)
        rows.append((metric.name, *value, limit, margin, needed, verdict.value, metric.unknown))
        if metric.value is not None:
            cells = ("" if limit is None else f"{limit:g}", "" if needed is None else f"{needed:,}")
            lines.append((metric.name, metric.text(), f"{metric.rows:,}", *cells))
    shown = ("offline", "value and 95 % interval", "rows", "bar", "rows to decide")
    return Table("quality", QUALITY_COLUMNS, rows, shown, lines)


def _past_table(found: Evaluated) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for one in found.online:
        start, end = (time_text(at, found.split.zone) for at in (one.window.start, one.window.end))
        offline = None if found.told is None else found.told.value
        metric, gap = one.metric, one.gap
        numbers = (offline, metric.value, metric.low, metric.high, gap.value, gap.low, gap.high)
        rows.append((start, end, metric.name, *numbers, metric.rows, one.completeness, metric.unknown))
    return Table("past", PAST_COLUMNS, rows)


def _inputs(found: Evaluated) -> Table:
    kinds = {column.name: column.kind for column in found.split.inputs}
    rows: list[tuple[Cell, ...]] = [
        (name, kinds[name], *(end for one in sides for end in (one.value, one.low, one.high)))
        for name, sides in found.columns.strengths.items()
    ]
    return Table("inputs", INPUT_COLUMNS, sorted(rows, key=lambda row: -float(row[2] or 0.0)))
