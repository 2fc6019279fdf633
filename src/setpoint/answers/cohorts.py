"""Who is under-served?"""

from __future__ import annotations

from collections.abc import Callable

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.core.clock import DAY
from setpoint.core.errors import UsageError
from setpoint.core.metric import counted, number
from setpoint.core.model import Task
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.feedback.quality import odd_outcome_words
from setpoint.feedback.underserved import (
    ABSOLUTE,
    ERROR_RATE,
    GAP,
    RECALL,
    Acting,
    Search,
    TooSmall,
    UnderServed,
    find_underserved,
)
from setpoint.stats.estimate import Estimate
from setpoint.stats.slices import ALPHA, MATERIAL, Comparison
from setpoint.store.evidence import RowEvidence
from setpoint.store.row_counts import count_unread_outcomes

DEFAULT_LENGTH = 90 * DAY
_SHOWN = 12
_SHOWN_SMALL = 5
COHORT_COLUMNS = (
    "cohort",
    "rows",
    "share",
    "criterion",
    "value",
    "low",
    "high",
    "rest",
    "rest_low",
    "rest_high",
    "affected",
    "excess",
    "confirming_rows",
    "p_adjusted",
    "verdict",
)
TOO_SMALL_COLUMNS = ("cohort", "rows", "share", "verdict", "unknown")


def cohorts(evidence: RowEvidence, *, window: Window | None = None, budget: float | None = None) -> Answer:
    """Return which cohorts a model serves worse than the rest.

    Declared cohorts, inputs with few values and pairs of both are searched on one half of the predictions; what is
    found is confirmed on the other half.

    Args:
        evidence: The model's rows.
        window: The window; by default the last 90 days, or all of a file.
        budget: Share of predictions that can be acted on, between 0 and 1: the highest scores. By default those that
            the model itself says yes to.

    Raises:
        UsageError: The budget is no share, or the model is a regression and has none.
    """
    _check(evidence, budget)
    if window is None and evidence.is_recorded:
        window = Window(evidence.as_of - DEFAULT_LENGTH, evidence.as_of)
    if not evidence.has_rows_of(window):
        why = "rows of this window were let go, and kept states do not tell cohorts apart: ask about a later window"
        return _answer(evidence, Verdict.UNKNOWN, f"cannot say who is under-served: {why}")
    searched = find_underserved(evidence, window, budget)
    verdict, headline = _headline(evidence, window, searched)
    tables = (found_table(searched), small_table(searched))
    return _answer(
        evidence, verdict, headline, _because(evidence, window, searched), _unknowns(searched), tables,
        is_silent=searched.arrival.predictions == 0,
    )  # fmt: skip


def _check(evidence: RowEvidence, budget: float | None) -> None:
    if budget is None:
        return
    if evidence.model.task is not Task.BINARY:
        msg = f"a {evidence.model.task} model has no budget: nothing is acted on by its score"
        raise UsageError(msg, hint="leave budget out")
    if not 0.0 < budget < 1.0:
        msg = f"a budget is a share of the predictions, between 0 and 1: {budget!r}"
        raise UsageError(msg, hint="0.2 acts on the fifth with the highest scores")


def _answer(
    evidence: RowEvidence,
    verdict: Verdict,
    headline: str,
    because: tuple[str, ...] = (),
    unknowns: tuple[str, ...] = (),
    tables: tuple[Table, ...] = (),
    *,
    is_silent: bool = False,
) -> Answer:
    model = evidence.model
    subject = f"{model.name}: " if model.name else ""
    return Answer(
        question="cohorts",
        model=model.name,
        verdict=verdict,
        headline=f"{subject}{headline}",
        because=because,
        unknowns=unknowns,
        as_of=evidence.as_of,
        zone=model.timezone,
        tables=tables,
        is_silent=is_silent,
    )


def _headline(evidence: RowEvidence, window: Window | None, searched: Search) -> tuple[Verdict, str]:
    if searched.unknown:
        why = searched.unknown
        odd = 0 if searched.arrival.rows else count_unread_outcomes(evidence, window)
        if odd:
            why = f"{odd:,} {odd_outcome_words(evidence.model)}"
        return Verdict.UNKNOWN, f"cannot say who is under-served: {why}"
    if not searched.found:
        if not searched.looked_at:
            return Verdict.UNKNOWN, "cannot say who is under-served: every cohort has too few outcomes"
        return Verdict.OK, "no cohort is found to be under-served"
    return Verdict.WARNING, found_words(searched)


def found_words(searched: Search) -> str:
    """Return the cohort to look at first, in words."""
    first = searched.found[0]
    same = [one for one in searched.found if one.cohort == first.cohort]
    has_gap = same[0].criterion == RECALL and first.is_under_forecast
    said = ", ".join(_told(one, searched.acting) for one in same if not (has_gap and one.criterion == GAP))
    others = list(dict.fromkeys(one.cohort for one in searched.found if one.cohort != first.cohort))
    too = f"; so {'is' if len(others) == 1 else 'are'} {_listed(others, 2)}" if others else ""
    return f"{first.cohort} is under-served: {said}{too}"


def _told(one: UnderServed, acting: Acting | None) -> str:
    """Return a finding in words, with its interval and what it is held against."""
    value, rest = one.comparison.value, one.comparison.rest
    against = f"{_interval(value)} against {_value(rest)}"
    if one.criterion == RECALL and acting is not None:
        missed = f"{counted(one.comparison.bad, 'positive')} missed"
        gap = f", {_gap_words(one.gap)}" if one.is_under_forecast and one.gap is not None else ""
        return f"recall {against} {_when_acting(acting)}, {missed}{gap}"
    if one.criterion == ERROR_RATE:
        return f"error rate {against}, {counted(one.comparison.excess, 'error')} more than at the rate of the rest"
    if one.criterion == GAP:
        return _gap_words(one.comparison)
    return f"mean absolute error {against}"


def _gap_words(gap: Comparison) -> str:
    value, rest = gap.value.value or 0.0, gap.rest.value or 0.0
    ends = [end for end in (gap.value.low, gap.value.high) if end is not None]
    if value > 0.0:
        return f"over-forecast by {_interval(gap.value)} against {number(rest, 'ratio')}"
    low, high = (number(-end, "ratio") for end in reversed(ends))
    return f"under-forecast by {number(-value, 'ratio')} [{low}, {high}] against {number(-rest, 'ratio')}"


def _when_acting(acting: Acting) -> str:
    if acting.cut is None:
        return f"when acting where the model says yes, {number(acting.share, 'share')} of predictions"
    return f"when acting on the top {number(acting.share, 'share')}"


def _value(estimate: Estimate) -> str:
    return "unknown" if estimate.value is None else number(estimate.value, "ratio")


def _interval(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return _value(estimate)
    return f"{_value(estimate)} [{number(estimate.low, 'ratio')}, {number(estimate.high, 'ratio')}]"


def _listed(names: list[str], most: int) -> str:
    """Return some names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def _because(evidence: RowEvidence, window: Window | None, searched: Search) -> tuple[str, ...]:
    zone = evidence.model.timezone
    lines: list[str] = []
    if evidence.span is None and searched.arrival.predictions:
        lines.append("the predictions have no times: all of them are one window")
    elif window is not None or evidence.span is not None:
        lines.append(f"{(window or evidence.span or Window(0, 0)).text(zone)} ({zone})")
    share = searched.arrival.share
    if share is not None:
        arrived = f"outcomes have arrived for {number(share, 'share')}: the rest is taken to be like them"
        lines.append(f"{counted(searched.arrival.predictions, 'prediction')}, {arrived}")
    if searched.unknown:
        return tuple(lines)
    pairs = " and their pairs" if len(searched.dimensions) > 1 else ""
    lines.append(
        f"searched {_listed(list(searched.dimensions), 6)}{pairs}:"
        f" {counted(searched.looked_at, 'comparison')} on one half of the predictions, the"
        f" {searched.tests:,} that looked worst tested on the other half"
    )
    lines.append(
        f"named is what is at least {number(MATERIAL, 'share')} worse than the rest, a pair also than each of its own"
        f" two; by chance, a cohort is named in at most {number(ALPHA, 'share')} of searches (Holm)"
    )
    lines.append(
        "values and intervals are those of the half that had no say in the choice; assumes that predictions are"
        " independent, but for those of one unit, which share a half"
    )
    return tuple(lines)


def _unknowns(searched: Search) -> tuple[str, ...]:
    if searched.unknown:
        return ()
    found = [f"recall: {searched.acting.unknown}"] if searched.acting is not None and searched.acting.unknown else []
    found += small_words(searched, lambda one: counted(one.rows, "prediction"))
    if searched.left_out:
        found.append(f"not searched, there are too many inputs: {_listed(list(searched.left_out), 6)}")
    return tuple(found)


def small_words(searched: Search, size: Callable[[TooSmall], str]) -> list[str]:
    """Return the largest cohorts that have too few rows to be judged, in words.

    Args:
        searched: The search.
        size: How large one is, in words.
    """
    small = searched.too_small
    found = [f"{one.cohort} ({size(one)}): {one.reason}" for one in small[:_SHOWN_SMALL]]
    if len(small) > _SHOWN_SMALL:
        found.append(f"{counted(len(small) - _SHOWN_SMALL, 'smaller cohort')}: see --json")
    return found


def found_table(searched: Search) -> Table:
    """Return the cohorts that were found to be under-served, a row for each criterion."""
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for one in searched.found:
        value, rest = one.comparison.value, one.comparison.rest
        rows.append(
            (
                one.cohort,
                one.rows,
                one.share,
                one.criterion,
                value.value,
                value.low,
                value.high,
                rest.value,
                rest.low,
                rest.high,
                one.comparison.bad if one.criterion != GAP else None,
                one.comparison.excess,
                one.comparison.confirming_rows,
                one.p_adjusted,
                Verdict.WARNING.value,
            )
        )
        counts = (number(one.rows, "rows"), number(one.share, "share"))
        excess = number(one.comparison.excess, "rows") if one.criterion != ABSOLUTE else ""
        lines.append((one.cohort, *counts, one.criterion, _interval(value), _value(rest), excess))
    if len(lines) > _SHOWN:
        lines = [*lines[:_SHOWN], (f"… {len(lines) - _SHOWN} more: see --json", *[""] * 6)]
    shown = ("cohort", "predictions", "share", "criterion", "value and 95 % interval", "rest", "excess")
    return Table("cohorts", COHORT_COLUMNS, rows, shown, lines)


def small_table(searched: Search) -> Table:
    """Return the cohorts that have too few rows to be judged."""
    rows: list[tuple[Cell, ...]] = [
        (one.cohort, one.rows, one.share, Verdict.UNKNOWN.value, one.reason) for one in searched.too_small
    ]
    return Table("too_small", TOO_SMALL_COLUMNS, rows)
