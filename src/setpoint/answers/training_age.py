"""How old what a model learned is, and how much quality it has lost since."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from setpoint.answers.answer import Cell, Table
from setpoint.answers.equal_age import UNEQUAL
from setpoint.answers.held_against import metric_of
from setpoint.core.clock import DAY, MICROS, day_text, duration_text
from setpoint.core.clock import text as time_text
from setpoint.core.errors import UsageError
from setpoint.core.metric import Metric
from setpoint.core.window import Window, fixed_window, local_midnight, shift_days
from setpoint.feedback.delay import delay
from setpoint.feedback.estimates import ASSUMED, estimates
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import difference
from setpoint.store.evidence import RowEvidence

WEEKS = 4
"""Weeks on either side of the comparison, at most; as many on both."""

_WEEK = 7
LOOKED_BACK = 112
"""Days whose outcomes say how long outcomes take."""

TRAINING_COLUMNS = (
    "trained_until", "age_seconds", "metric", "unit", "better",
    *(f"{side}_{part}" for side in ("first", "latest") for part in ("start", "end", "value", "low", "high")),
    "loss", "loss_low", "loss_high", "assumes", "unknown",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric of some weeks: measured, or estimated while their outcomes are still to come."""

    window: Window
    metric: Metric


@dataclass(frozen=True, slots=True)
class TrainingAge:
    """How old what a model learned is, and what that costs.

    Attributes:
        trained_until: End of what it learned from; None when the declaration does not say.
        as_of: The present.
        zone: The zone of its times.
        name: The metric that quality is judged by.
        first: That of the first mature weeks after it; None without any.
        latest: That of the latest ones; None without any.
        assumes: What the latest one assumes, when it is an estimate.
        unknown: Why the loss is unknown; empty when it is not.
    """

    trained_until: int | None
    as_of: int
    zone: str
    name: str
    first: Measured | None = None
    latest: Measured | None = None
    assumes: str = ""
    unknown: str = ""

    @property
    def loss(self) -> Estimate:
        """How much worse the latest weeks are, with the interval of the difference of different rows."""
        if self.unknown or self.first is None or self.latest is None:
            return Estimate.unknown(self.unknown)
        before, after = (Estimate(one.value, one.low, one.high) for one in (self.first.metric, self.latest.metric))
        return difference(after, before) if self.first.metric.better == "lower" else difference(before, after)

    @property
    def text(self) -> str:
        """The age in words."""
        if self.trained_until is None:
            return f"trained on data of unknown age: {self.unknown}"
        age = duration_text(self.as_of - self.trained_until)
        return f"trained on data until {time_text(self.trained_until, self.zone)}, {age} ago"

    @property
    def unknown_text(self) -> str:
        """What is not known of it, in words."""
        return f"how much {self.name} was lost since training: {self.unknown}"

    @property
    def table(self) -> Table:
        """The first weeks, the latest ones and the loss."""
        age = None if self.trained_until is None else self.as_of - self.trained_until
        until = None if self.trained_until is None else time_text(self.trained_until, self.zone)
        metric = None if self.first is None else self.first.metric
        loss = self.loss
        row: list[Cell] = [until, age and age / MICROS, self.name]
        row += [None, None] if metric is None else [metric.unit, metric.better]
        for side in (self.first, self.latest):
            row += [None] * 5 if side is None else _cells(side, self.zone)
        row += [loss.value, loss.low, loss.high, self.assumes or None, self.unknown or None]
        shown = (f"{self.name} since training", "value and 95 % interval", "of")
        return Table("training", TRAINING_COLUMNS, [tuple(row)], shown, self._lines(metric, loss))

    def _lines(self, metric: Metric | None, loss: Estimate) -> list[tuple[str, ...]]:
        if metric is None or loss.value is None or self.first is None or self.latest is None:
            return []
        lost = Metric("loss", loss.value, loss.low, loss.high, metric.unit, "lower", 0)
        latest = "latest weeks, estimated" if self.assumes else "latest weeks"
        sides = (("first weeks", self.first), (latest, self.latest))
        lines = [(name, one.metric.text(), _days(one.window, self.zone)) for name, one in sides]
        return [*lines, ("lost", lost.text(), self.assumes)]


def training_age(evidence: RowEvidence, metric: Metric | None) -> tuple[TrainingAge, ...]:
    """Return how old what a model learned is, and its loss of quality since; nothing when nothing is declared of it.

    Quality on the training rows themselves is that of rows that the model has seen. So the first weeks after them are
    compared with the latest: whole weeks of days whose outcomes are mature; where there are none yet, with an estimate.

    Args:
        evidence: The model's states.
        metric: The one that quality is judged by; None when there is no such metric.
    """
    model, until = evidence.model, _trained_until(evidence)
    age = TrainingAge(until, evidence.as_of, model.timezone, "quality" if metric is None else metric.name)
    if until is None and model.reference_file:
        why = f"{Path(model.reference_file).name} does not say when its rows end: declare trained_until"
        return (replace(age, unknown=why),)
    if until is None or until > evidence.as_of:
        return ()
    if metric is None or metric.better == "none":
        return (replace(age, unknown="it needs a metric that can be better or worse"),)
    try:
        return (_compared(evidence, age, until),)
    except UsageError as error:  # rows that are needed were let go
        return (replace(age, unknown=error.message),)


def _trained_until(evidence: RowEvidence) -> int | None:
    """Return the end of the training window: as declared, or that of a reference that stays where it is."""
    model = evidence.model
    if model.trained_until is not None or not model.reference or model.reference_file:
        return model.trained_until
    fixed = fixed_window(model.reference, model.timezone)
    return fixed and fixed.end


def _compared(evidence: RowEvidence, age: TrainingAge, trained_until: int) -> TrainingAge:
    """Return the age with the first and the latest weeks."""
    mature = _mature(evidence, trained_until)
    if isinstance(mature, str):
        return replace(age, unknown=mature)
    zone, days = age.zone, round(mature.length / DAY)
    if days < _WEEK:
        return replace(age, unknown=f"needs {_WEEK} days since then with mature outcomes, there are {days}")
    weeks = min(WEEKS, days // (2 * _WEEK))
    first = Window(mature.start, shift_days(mature.start, _WEEK * max(weeks, 1), zone))
    age = replace(age, first=_measured(evidence, first, age.name))
    if age.first is None or age.first.metric.value is None:
        return replace(age, unknown="" if age.first is None else age.first.metric.unknown)
    if weeks:
        latest = _measured(evidence, Window(shift_days(mature.end, -_WEEK * weeks, zone), mature.end), age.name)
        if latest.metric.value is not None:
            return replace(age, latest=latest)
    return _estimated(evidence, age, Window(max(first.end, shift_days(age.as_of, -_WEEK * WEEKS, zone)), age.as_of))


def _mature(evidence: RowEvidence, trained_until: int) -> Window | str:
    """Return the whole days since training whose outcomes are mature, or why nobody knows which are."""
    span, zone, as_of = evidence.span, evidence.model.timezone, evidence.as_of
    if span is None or span.end <= trained_until:
        return "no prediction since then"
    begin = max(trained_until, span.start)
    start = local_midnight(begin, zone)
    start = start if start == begin else shift_days(start, 1, zone)
    end = max(local_midnight(min(as_of, span.end), zone), start)
    recent = Window(max(start, shift_days(end, -LOOKED_BACK, zone)), end)
    found = delay(evidence.arrivals_by_day(recent), evidence.model.final_kind, as_of=as_of, zone=zone)
    if found.curve is None and not found.arrived:
        return "no outcome has arrived since then"
    if found.curve is None:
        return f"how long outcomes take: {found.unknown}" if evidence.is_recorded else Window(start, end)
    while end > start:
        before = shift_days(end, -1, zone)
        if (found.complete_ratio(Window(before, end), as_of) or 0.0) >= 1.0 - UNEQUAL:
            break
        end = before
    return Window(start, end)


def _measured(evidence: RowEvidence, window: Window, name: str) -> Measured:
    return Measured(window, metric_of(evidence, evidence.quality(window), name))


def _estimated(evidence: RowEvidence, age: TrainingAge, window: Window) -> TrainingAge:
    """Return the age with the quality of the latest weeks as their outcomes will say if the concept is unchanged."""
    found = next((one for one in estimates(evidence, window).metrics if one.name == f"estimated_{age.name}"), None)
    if found is None:
        return replace(age, unknown=f"{age.name} of the latest weeks has no outcomes yet, and is never estimated")
    if found.value is None:
        return replace(age, unknown=f"the latest weeks have no outcomes yet, and their estimate {found.unknown}")
    return replace(age, latest=Measured(window, found), assumes=ASSUMED)


def _cells(side: Measured, zone: str) -> list[Cell]:
    window, metric = side.window, side.metric
    return [time_text(window.start, zone), time_text(window.end, zone), metric.value, metric.low, metric.high]


def _days(window: Window, zone: str) -> str:
    return f"{day_text(window.start, zone)} to {day_text(window.end - 1, zone)}"
