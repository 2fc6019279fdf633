"""The check of estimates: where the truth has left what scores let expect, the concept has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import cast

import msgspec
import numpy as np

from setpoint.control.episode import Episode
from setpoint.core.clock import DAY, MICROS, day_text
from setpoint.core.metric import QUALITY_METRICS, number
from setpoint.core.model import Task
from setpoint.core.window import Window, local_monday, shift_days
from setpoint.feedback.audits import Audit, ConceptDrift, Week, concept_drifts, weekly_audits
from setpoint.feedback.classes import right_or_wrong
from setpoint.feedback.estimated_losses import losses_by_day
from setpoint.feedback.estimates import outcome_histogram
from setpoint.feedback.quality import headline
from setpoint.stats.estimation import METRICS
from setpoint.store.arrivals import query_arrivals
from setpoint.store.engines.duck import at, rows
from setpoint.store.evidence import PREDICTION, RowEvidence, horizon
from setpoint.store.matching import Matching
from setpoint.store.measures import Scale, query_quality
from setpoint.store.primitives import AGE_BINS_PER_OCTAVE
from setpoint.store.refresh import split_by_bucket
from setpoint.store.states import StateTable
from setpoint.store.summaries import basis

FIRST_DAYS = 28
"""Days whose outcomes tell by what age outcomes are mature."""

MATURE = 0.9
"""Share of the outcomes that come within the horizon which have come by that age."""

FEWEST_ARRIVALS = 100
_RUN_WEEKS = 13


class Audited(msgspec.Struct, frozen=True):
    """The audits of all mature weeks, and the changes they showed, kept until another week is mature or rows changed.

    Attributes:
        of: What they depend on: the declaration, the metrics, and the predictions and outcomes of the weeks.
        age: By which age outcomes are mature, microseconds.
        audits: One a week and metric.
        drifts: The changes.
    """

    of: str
    age: int
    audits: list[Audit]
    drifts: list[ConceptDrift]


NOTE = "audits"


def concept_drift(evidence: RowEvidence, now: int) -> list[Episode]:
    """Scores that no longer come true as often as they did: by more than chance and the usual noise of days explain."""
    return [_episode(drift, evidence) for drift in audited(evidence, now).drifts]


def audited(evidence: RowEvidence, now: int) -> Audited:
    """Return each mature week's estimate, as it could be made when the week ended, with what came true.

    A mature week never changes by what is learned later, so this is computed once, and again when the next one is
    mature, or when rows of mature weeks came late or were erased. It is then in the evidence's notes.
    """
    if not watched(evidence):
        return Audited("", 0, [], [])
    kept = stored_audits(evidence)
    if kept is not None and not kept.of.startswith(basis(evidence.model)):
        kept = None
    age = kept.age if kept is not None else maturity(evidence, now)
    if age is None:
        return Audited("", 0, [], [])
    mondays = mature_mondays(evidence, now, age)
    of = _depends_on(evidence, mondays, age)
    if kept is None or kept.of != of:
        found, metrics = weeks(evidence, mondays, age), watched(evidence)
        kept = Audited(of, age, weekly_audits(found, metrics), concept_drifts(found, metrics))
        evidence.notes[NOTE] = msgspec.msgpack.encode(kept)
    return kept


def stored_audits(evidence: RowEvidence) -> Audited | None:
    """Return the audits that were kept; None without any, or when they are of an older version's form."""
    note = evidence.notes.get(NOTE)
    try:
        return None if note is None else msgspec.msgpack.decode(note, type=Audited)
    except msgspec.MsgspecError:
        return None


def _depends_on(evidence: RowEvidence, mondays: Sequence[int], age: int) -> str:
    """Return a text that differs when the audits of some weeks would."""
    if not mondays:
        return basis(evidence.model)
    until, known = at(mondays[-1]), at(mondays[-1] + age)
    counts = rows(
        evidence.connection,
        f"SELECT (SELECT count(*) FROM predictions WHERE predicted_at < {until}),"
        f" (SELECT count(*) FROM outcomes WHERE recorded_at <= {known})",
    )[0]
    return f"{basis(evidence.model)} {','.join(watched(evidence))} {mondays[0]} {mondays[-1]} {age} {counts}"


def watched(evidence: RowEvidence) -> tuple[str, ...]:
    """Return the metrics whose estimates are held against the truth: the headline, and how often yes is the outcome.

    Of a regression it is the mean absolute error: see `feedback.audits`. Of classes it is how often the answered one is
    right; of rankings and texts nothing is estimated.
    """
    of_task = {Task.REGRESSION: ("mae",), Task.MULTICLASS: ("accuracy",), Task.RANKING: (), Task.GENERATION: ()}
    if evidence.model.task in of_task:
        return of_task[evidence.model.task]
    first = headline(evidence.model)
    return (first, "base_rate") if first in METRICS and first != "base_rate" else ("auc", "base_rate")


def mature_mondays(evidence: RowEvidence, now: int, age: int) -> list[int]:
    """Return the starts of the whole local weeks whose outcomes are mature, and the end of the last; else nothing.

    Args:
        evidence: The model's rows.
        now: The present.
        age: By which age outcomes are mature, microseconds.
    """
    span = evidence.span
    if span is None:
        return []
    zone = evidence.model.timezone
    start = local_monday(span.start, zone)
    mondays = [start if start == span.start else shift_days(start, 7, zone)]
    while (following := shift_days(mondays[-1], 7, zone)) + age <= now:
        mondays.append(following)
    mondays = [monday for monday in mondays if evidence.has_rows_of(Window(monday, monday))]
    return mondays if len(mondays) > 1 else []


def weeks(evidence: RowEvidence, mondays: Sequence[int], age: int) -> list[Week]:
    """Return some weeks, in order, each as known of its predictions by one age."""
    found: list[Week] = []
    for first in range(0, len(mondays) - 1, _RUN_WEEKS):
        found += _some_weeks(evidence, mondays[first : first + _RUN_WEEKS + 1], age)
    return found


def maturity(evidence: RowEvidence, now: int) -> int | None:
    """Return the age by which 90 % of outcomes have come, of those that come within the horizon of the first weeks.

    It is known when the first four weeks are as old as the horizon, and stays as it is.

    Args:
        evidence: The model's rows.
        now: The present.

    Returns:
        Microseconds; None when it cannot be known yet.
    """
    span, within = evidence.span, horizon(evidence.model)
    if span is None or span.start + FIRST_DAYS * DAY + within > now:
        return None
    first = Window(span.start, span.start + FIRST_DAYS * DAY)
    if not evidence.has_rows_of(first):
        return None
    matching = replace(evidence.matching(first), within=within)
    state = query_arrivals(evidence.connection, matching)[""].only(kind=evidence.model.final_kind)
    came = state.without(outcome=None).without(age=None)
    if came.total("rows") < FEWEST_ARRIVALS:
        return None
    ages = np.array([cast("int", age) for age in came.key("age")], dtype=np.int64)
    order = np.argsort(ages, kind="stable")
    share = np.cumsum(came.column("weight")[order]) / came.total("weight")
    place = int(ages[order][int(np.argmax(share >= MATURE))])
    return round(2.0 ** ((place + 1) / AGE_BINS_PER_OCTAVE) * MICROS)


def _some_weeks(evidence: RowEvidence, mondays: Sequence[int], age: int) -> list[Week]:
    """Return weeks that follow each other, in one query."""
    zone = evidence.model.timezone
    midnights = [mondays[0]]
    while midnights[-1] < mondays[-1]:
        midnights.append(shift_days(midnights[-1], 1, zone))
    cases = " ".join(f"WHEN predicted_at < {at(end)} THEN {start}" for start, end in pairwise(midnights))
    matching = replace(evidence.matching(Window(mondays[0], mondays[-1])), within=age)
    time = f"CASE {cases} END"
    if evidence.model.task is Task.REGRESSION:
        return _loss_weeks(evidence, matching, mondays, age, time)
    state = query_quality(evidence.connection, matching, evidence.definition, time=time)[""].only(is_root=True)
    if evidence.model.task is Task.MULTICLASS:
        state = right_or_wrong(state)
    days = split_by_bucket(state)
    found: list[Week] = []
    for start, end in pairwise(mondays):
        mine = [days[midnight] for midnight in midnights if start <= midnight < end and midnight in days]
        if mine:
            found.append(_week(start, end, age, mine))
    return found


def _loss_weeks(evidence: RowEvidence, matching: Matching, mondays: Sequence[int], age: int, time: str) -> list[Week]:
    """Return weeks of a regression: each is that of the version most of its predictions are of."""
    scale = evidence.definition.features.get(PREDICTION)
    if not isinstance(scale, Scale):
        return []
    by_version = losses_by_day(evidence.connection, matching, scale, time)
    found: list[Week] = []
    for start, end in pairwise(mondays):
        mine = {v: [one for day, one in days.items() if start <= day < end] for v, days in by_version.items()}
        sizes = {version: sum(weight for weight, _ in days) for version, days in mine.items()}
        version = max(sizes, key=lambda one: (sizes[one], one), default="")
        if sizes.get(version):
            losses = tuple(losses for _, losses in mine[version])
            arrived = sum(float(day.weight.sum()) for day in losses) / sizes[version]
            found.append(Week(start, end, end + age, version, losses, arrived))
    return found


def _week(start: int, end: int, age: int, days: Sequence[StateTable]) -> Week:
    sizes: dict[object, float] = {}
    for day in days:
        for version, weight in zip(day.key("version"), day.column("weight").tolist(), strict=True):
            sizes[version] = sizes.get(version, 0.0) + weight
    version = max(sizes, key=lambda one: (sizes[one], str(one)))
    mine = [day.only(version=version) for day in days]
    arrived = sum(day.without(outcome=None).total("weight") for day in mine) / sizes[version]
    histograms = tuple(outcome_histogram([day]) for day in mine)
    return Week(start, end, end + age, "" if version is None else str(version), histograms, arrived)


def _episode(drift: ConceptDrift, evidence: RowEvidence) -> Episode:
    found, zone = drift.audit, evidence.model.timezone
    task = evidence.model.task
    unit = next(one.unit for one in QUALITY_METRICS[task] if one.name == found.metric)
    value, low, high = (number(one, unit) for one in (found.expected.value, *found.expected.interval(0.025)))
    is_regression = task is Task.REGRESSION
    what = "errors are no longer as large as they were" if is_regression else "scores no longer mean what they meant"
    then = "" if is_regression else ", and a threshold may need another place"
    said = (
        f"{what}: {found.metric} {number(found.measured, unit)} from"
        f" {day_text(found.start, zone)} to {day_text(found.end, zone)}, where the outcomes since"
        f" {day_text(found.learned_from, zone)} let expect {value} [{low}, {high}], noise of days included;"
        f" estimates before outcomes were as wrong{then}: look at what changed"
    )
    numbers: dict[str, object] = {
        "metric": found.metric,
        "expected": found.expected.value,
        "measured": found.measured,
        "standard_errors": round(found.standard_errors, 2),
        "outcomes": found.outcomes,
        "window_started_at": found.start,
        "window_ended_at": found.end,
    }
    return Episode("concept_drift", "", found.metric, drift.noticed_at, drift.ended_at, "warning", said, numbers)
