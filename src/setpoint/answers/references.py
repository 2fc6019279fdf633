"""What a window may be compared with by name: the training window, last year, the same weekdays, another version."""

from __future__ import annotations

from dataclasses import dataclass, replace

from setpoint.answers.sides import Side, Sides, side, side_of_days, time_before, whole_days
from setpoint.core.clock import moment
from setpoint.core.errors import UsageError
from setpoint.core.window import Window, shift_days
from setpoint.store.evidence import RowEvidence

TRAINING, LAST_YEAR, SAME_WEEKDAYS, VERSION = "training", "last-year", "same-weekdays", "version:"
NAMES = (TRAINING, LAST_YEAR, SAME_WEEKDAYS, f"{VERSION}NAME")
_WEEKS = 4
_YEAR_DAYS = 364
"""Fifty-two weeks: so that a Monday is compared with a Monday."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The windows that a name stands for.

    Attributes:
        sides: What stands in them.
        reference: The earlier window, where it is one whose quality can be compared; else None.
        said: What the comparison is called, in words; empty for nothing special.
    """

    sides: Sides
    reference: Window | None
    said: str = ""


def is_name(reference: str) -> bool:
    """Return whether a text names a reference rather than writes a window."""
    return reference in {TRAINING, LAST_YEAR, SAME_WEEKDAYS} or reference.startswith(VERSION)


def of_windows(evidence: RowEvidence, reference: Window, current: Window) -> Compared:
    """Return two windows of a model's predictions."""
    history = time_before(evidence, reference)
    sides = Sides(
        side(evidence, reference),
        side(evidence, current),
        whole_days(evidence, history, evidence.profile_by_day(history)) if history else (),
        tuple(evidence.changes(Window(min(reference.start, current.start), current.end))),
    )
    return Compared(sides, reference)


def by_name(evidence: RowEvidence, name: str, current: Window) -> Compared:
    """Return a window beside what a name stands for.

    Args:
        evidence: The model's states.
        name: One of `NAMES`.
        current: The later window.

    Raises:
        UsageError: No training window is declared, or the window has no row of that version.
    """
    zone = evidence.model.timezone
    if name == TRAINING:
        if not evidence.model.reference:
            msg = "no training data is declared"
            raise UsageError(msg, hint="write `reference:` into the model's file: a window, or a file of rows")
        window = Window.parse(evidence.model.reference, now=evidence.as_of, zone=zone)
        return replace(of_windows(evidence, window, current), said=SKEW)
    if name == LAST_YEAR:
        window = Window(*(shift_days(at, -_YEAR_DAYS, zone) for at in (current.start, current.end)))
        return replace(of_windows(evidence, window, current), said="the same weeks of last year, weekday by weekday")
    if name == SAME_WEEKDAYS:
        return _same_weekdays(evidence, current)
    return _other_version(evidence, name.removeprefix(VERSION), current)


SKEW = "skew: against the data that the model was trained on"


def _same_weekdays(evidence: RowEvidence, current: Window) -> Compared:
    zone = evidence.model.timezone
    now = evidence.profile_by_day(current)
    weekdays = {moment(at, zone).weekday() for at, _ in now}
    weeks = Window(shift_days(current.start, -7 * _WEEKS, zone), current.start)
    days = [(at, state) for at, state in evidence.profile_by_day(weeks) if moment(at, zone).weekday() in weekdays]
    reference = replace(side_of_days(evidence, weeks, days), named=f"the same weekdays of {weeks.text(zone)}")
    sides = Sides(reference, side_of_days(evidence, current, now), (), tuple(evidence.changes(current)))
    return Compared(sides, None, f"the same weekdays of the {_WEEKS} weeks before")


def _other_version(evidence: RowEvidence, version: str, current: Window) -> Compared:
    days = evidence.profile_by_day(current, cohort="version")
    known = sorted({str(value) for _, state in days for value in state.key("cohort_value") if value is not None})
    if version not in known:
        msg = f"no prediction of {current.text(evidence.model.timezone)} is of version {version!r}"
        raise UsageError(msg, hint=f"known: {', '.join(known)}" if known else "there is no prediction with a version")
    parts: list[Side] = []
    for is_it, named in ((True, f"version {version}"), (False, "the other versions")):
        part = [
            (at, state.only(cohort_value=version) if is_it else state.without(cohort_value=version))
            for at, state in days
        ]
        parts.append(replace(side_of_days(evidence, current, part), named=named))
    sides = Sides(parts[0], parts[1], (), tuple(evidence.changes(current)))
    return Compared(sides, None, "versions of the same time: their units may differ, unless they were drawn by lot")
