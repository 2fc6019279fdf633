"""How complete are the outcomes, and when will they be?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.answers.groups import cohort_of
from setpoint.core.clock import DAY, day_text
from setpoint.core.clock import text as time_text
from setpoint.core.metric import Metric, counted, number
from setpoint.core.model import OutcomeKind, Task
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window, shift_days
from setpoint.feedback.delay import PART, Delay, delay
from setpoint.feedback.proxies import rate
from setpoint.store.arrivals import ARRIVALS
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable, merge

DEFAULT_LENGTH = 30 * DAY
_SHOWN_DAYS = 7
_PART = f"{100 * PART:.0f} %"
_Days = Sequence[tuple[int, StateTable]]
KIND_COLUMNS = (
    "kind",
    "is_final",
    "rate",
    "low",
    "high",
    "arrived_ratio",
    "predictions",
    "source",
    "selection",
    "complete_seconds",
    "unknown",
)
DAY_COLUMNS = ("day", "predictions", "arrived_ratio", "complete_ratio", "complete_at")
DELAY_COLUMNS = (
    "predictions",
    "arrived_ratio",
    "final_ratio",
    "half_seconds",
    "complete_seconds",
    "complete_low_seconds",
    "complete_high_seconds",
    "unknown",
)


@dataclass(frozen=True, slots=True)
class _Day:
    midnight: int
    predictions: float
    arrived: float | None
    complete: float | None
    complete_at: int | None


def outcomes(evidence: RowEvidence, *, window: Window | None = None, by: str = "") -> Answer:
    """Return how complete the outcomes of a window are, day by day, and the rates of all kinds.

    Args:
        evidence: The model's states.
        window: Predictions of this window; the last 30 days by default, the whole of a file.
        by: `endpoint`, `version` or a cohort's name: also how long the outcomes of each group take.
    """
    model, as_of = evidence.model, evidence.as_of
    cohort = cohort_of(by, model)
    if window is None and evidence.is_recorded:
        window = Window(as_of - DEFAULT_LENGTH, as_of)
    split = evidence.arrivals_by_day(window, cohort=cohort)
    days = [(midnight, merge(state.kind, [state.at("cohort_value", None)])) for midnight, state in split]
    final = model.final_kind
    found = delay(days, final, as_of=as_of, zone=model.timezone)
    each = [_day(midnight, state.only(kind=final), found, evidence) for midnight, state in days]
    tables = [_kind_table(evidence, days), _day_table(each, evidence)]
    if by:
        tables.insert(0, _group_table(split, by, evidence))
    return Answer(
        question="outcomes",
        model=model.name,
        verdict=Verdict.OK if found.arrived else Verdict.UNKNOWN,
        headline=_headline(model.name, found, each),
        because=_because(evidence, window, found),
        unknowns=_unknowns(found),
        as_of=as_of,
        zone=model.timezone,
        tables=tuple(tables),
        is_silent=not found.predictions,
    )


def _day(midnight: int, state: StateTable, found: Delay, evidence: RowEvidence) -> _Day:
    end = min(shift_days(midnight, 1, evidence.model.timezone), max(evidence.as_of, midnight + 1))
    window = Window(midnight, end)
    predictions = state.total("weight")
    arrived = state.without(outcome=None).total("weight") / predictions if predictions else None
    complete = found.complete_ratio(window, evidence.as_of)
    return _Day(midnight, predictions, arrived, complete, found.complete_at(window))


def _headline(name: str, found: Delay, days: Sequence[_Day]) -> str:
    subject = f"{name}: " if name else ""
    if found.arrived_ratio is None:
        return f"{subject}cannot say: no prediction in this window"
    share = f"{subject}outcomes have arrived for {number(found.arrived_ratio, 'share')}"
    needed = found.seconds_until(PART)
    if needed is None:
        return f"{share} of {counted(found.predictions, 'prediction')}"
    waiting = [day for day in days if (day.complete or 0.0) < PART]
    open_days = f"; {counted(len(waiting), 'day')} not complete yet" if waiting else "; every day is complete"
    return f"{share}; {_PART} of those that come are there within {_length(needed[0])}{open_days}"


def _because(evidence: RowEvidence, window: Window | None, found: Delay) -> tuple[str, ...]:
    zone = evidence.model.timezone
    lines = [f"{window.text(zone)} ({zone})" if window else "all predictions"]
    final, needed = found.final_ratio, found.seconds_until(PART)
    if final is not None and needed is not None and found.curve is not None:
        low, high = (_length(end) if end is not None else "longer than seen" for end in needed[1:])
        lines.append(
            f"{number(final, 'share')} [{number(float(found.curve.low[-1]), 'share')},"
            f" {number(float(found.curve.high[-1]), 'share')}] ever arrive, as far as the oldest day can tell;"
            f" {_PART} of those after {_length(needed[0])} [{low}, {high}]"
        )
        lines.append("assumes that the outcomes of every day take as long; `setpoint tick` looks whether that changed")
    last = evidence.last_outcome_at()
    if last is not None:
        lines.append(f"the last outcome came {time_text(last, zone)}")
    return tuple(lines)


def _unknowns(found: Delay) -> tuple[str, ...]:
    if not found.predictions:
        return ()
    return (f"how long outcomes take: {found.unknown}",) if found.unknown else ()


def _length(seconds: float) -> str:
    """Return a length of time with two digits."""
    unit, size = next(((u, s) for u, s in (("d", 86_400), ("h", 3_600), ("min", 60)) if seconds >= s), ("s", 1))
    return f"{seconds / size:.{0 if seconds >= 10 * size else 1}f} {unit}"


def _kind_table(evidence: RowEvidence, days: _Days) -> Table:
    """Return the rate of yes of each kind: how often, of whom it is known, and by whom."""
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    state = merge(days[0][1].kind, [state for _, state in days]) if days else StateTable.of(ARRIVALS, [])
    for kind in evidence.model.outcomes:
        if not (evidence.is_recorded or kind.final):  # a file has one kind
            continue
        known = delay(days, kind.name, as_of=evidence.as_of, zone=evidence.model.timezone)
        metric = rate(state, kind)
        if kind.final and evidence.model.task is Task.REGRESSION:
            why = "a number says neither yes nor no"
            metric = Metric(metric.name, None, None, None, "share", "none", metric.rows, why)
        needed = known.seconds_until(PART)
        rows.append(
            (kind.name, kind.final, metric.value, metric.low, metric.high, known.arrived_ratio, known.predictions,
             kind.source or None, kind.selection or None, needed[0] if needed else None, metric.unknown or None)
        )  # fmt: skip
        lines.append(_kind_line(kind, metric, known, evidence.model.task))
    return Table("kinds", KIND_COLUMNS, rows, ("outcome", "share that says yes", "of", "seen for"), lines)


_YES = {Task.MULTICLASS: " answered right", Task.RANKING: " with anything relevant", Task.GENERATION: " good enough"}
"""What a final outcome that says yes says of a model that does not answer yes or no."""


def _kind_line(kind: OutcomeKind, metric: Metric, known: Delay, task: Task) -> tuple[str, ...]:
    seen = kind.selection or ("everybody whose outcome came" if kind.final else "all predictions")
    share = "" if known.arrived_ratio is None else number(known.arrived_ratio, "share")
    means = _YES.get(task, "") if (kind.final or kind.judge) and metric.value is not None else ""
    return (f"{kind.name}{' (final)' if kind.final else ''}", f"{metric.text()}{means}", seen, share)


def _day_table(days: Sequence[_Day], evidence: RowEvidence) -> Table:
    zone = evidence.model.timezone
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for day in days:
        when = None if day.complete_at is None else time_text(day.complete_at, zone)
        rows.append((day_text(day.midnight, zone), day.predictions, day.arrived, day.complete, when))
    for day in days[-_SHOWN_DAYS:]:
        when = "" if day.complete_at is None else time_text(day.complete_at, zone)
        lines.append(
            (
                day_text(day.midnight, zone),
                number(day.predictions, "rows"),
                "" if day.arrived is None else number(day.arrived, "share"),
                "" if day.complete is None else number(day.complete, "share"),
                when,
            )
        )
    shown = ("day", "predictions", "outcome arrived", "of all that come", f"{_PART} of them by")
    return Table("days", DAY_COLUMNS, rows, shown, lines)


def _group_table(split: _Days, by: str, evidence: RowEvidence) -> Table:
    """Return how long the outcomes of each group take, the slowest first."""
    column = by if by in {"version", "endpoint"} else "cohort_value"
    final = evidence.model.final_kind
    found: list[tuple[str, Delay]] = []
    for value in dict.fromkeys(value for _, state in split for value in state.key(column)):
        part = [(midnight, state.only(**{column: value})) for midnight, state in split]
        name = "(none)" if value is None else str(value)
        found.append((name, delay(part, final, as_of=evidence.as_of, zone=evidence.model.timezone)))
    found.sort(key=lambda item: (-((item[1].seconds_until(PART) or (0.0,))[0]), item[0]))
    rows = [(name, *_delay_cells(known)) for name, known in found]
    lines = [(name, *_delay_line(known)) for name, known in found[:8]]
    shown = (by, "predictions", "outcome arrived", f"{_PART} complete after")
    return Table(f"by_{by}", (by, *DELAY_COLUMNS), rows, shown, lines)


def _delay_cells(known: Delay) -> tuple[Cell, ...]:
    half, needed = known.seconds_until(0.5), known.seconds_until(PART)
    ends = needed or (None, None, None)
    return (known.predictions, known.arrived_ratio, known.final_ratio, half[0] if half else None, *ends,
            known.unknown or None)  # fmt: skip


def _delay_line(known: Delay) -> tuple[str, ...]:
    needed = known.seconds_until(PART)
    share = "" if known.arrived_ratio is None else number(known.arrived_ratio, "share")
    after = f"unknown: {known.unknown}" if needed is None else _length(needed[0])
    return (number(known.predictions, "rows"), share, after)
