"""The checks of drift: features, answers and shown items whose days are no longer like those of the reference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, TypeVar

import msgspec

from setpoint.control.column_checks import varying_days
from setpoint.control.declared import declared_beside
from setpoint.control.episode import Episode
from setpoint.control.gross_checks import gross_days
from setpoint.control.reference_days import PastDays, noted, past_days, references, shown_days
from setpoint.core.clock import day_text, moment
from setpoint.core.finding import INPUT_DRIFT, OUTPUT_DRIFT
from setpoint.core.model import Task
from setpoint.core.window import shift_days
from setpoint.inputs.detection import LENGTHS, Day, Detector, Drift, in_words
from setpoint.inputs.exposure_drift import ExposureDetector, ShownDay
from setpoint.inputs.profiles import profiles
from setpoint.store.evidence import LABELS, RowEvidence
from setpoint.store.states import StateTable

QUIET_DAYS = 8
"""Days in a row without an alarm that end a finding: more than a week, for weekends show what other days do not."""

GOES_ON_DAYS = 4
"""Days that, put together, show that a change goes on even if each alone does not."""

NOTE, EXPOSURE_NOTE = "drift", "exposure_drift"
Told = TypeVar("Told")


class Alarm(msgspec.Struct, frozen=True):
    """A feature that had drifted in the days until the end of one.

    Attributes:
        feature: Its name.
        question: The question that shows it.
        days: How many days are put together.
        p: How likely as much is by chance, before other questions, windows and features are allowed for.
        effect: By how much it changed.
        said: That in words.
        group: The group that it is about; all rows when empty.
    """

    feature: str
    question: str
    days: int
    p: float
    effect: float
    said: str
    group: str = ""


Judged = Sequence[tuple[int, list[Alarm]]]
"""The alarms at the end of each day, by its midnight."""


@dataclass(frozen=True, slots=True)
class _Watch(Generic[Told]):
    """What is judged of each day, and by whom.

    Attributes:
        note: Under which name it is noted what was found.
        day: What a day looked like, from its state and its weekday.
        learn: From the days of a reference what judges the last of some days.
    """

    note: str
    day: Callable[[StateTable, int], Told]
    learn: Callable[[Sequence[Told]], Callable[[Sequence[Told]], list[Drift]]]


def input_drift(evidence: RowEvidence, now: int) -> list[Episode]:
    """A feature that changed by more than chance and the usual difference between days explain.

    The reference is the declared window, else four weeks that move along: those before the sixteen days that are put
    together. What has lasted for weeks is then the usual; a fixed reference would find each season. One finding a
    change, however many days it lasts.
    """
    judged = without(told_otherwise(evidence, now), judged_features(evidence, past_days(evidence, now)))
    return declared_beside(evidence, episodes(INPUT_DRIFT, judged, evidence))


def output_drift(evidence: RowEvidence, now: int) -> list[Episode]:
    """Rankings that show fewer or more different items, some of them more often, or new ones.

    Of a model that ranks; by the same reference and in the same way as `input_drift`, with a budget of its own.
    """
    if evidence.model.task is not Task.RANKING:
        return []
    watch = _Watch(EXPOSURE_NOTE, ShownDay.of, lambda days: ExposureDetector(days).judge)
    judged = _judged(evidence, shown_days(evidence, now), watch)
    return declared_beside(evidence, episodes(OUTPUT_DRIFT, judged, evidence))


def told_otherwise(evidence: RowEvidence, now: int) -> dict[int, set[str]]:
    """Return the features of which another finding tells that they changed, by midnight."""
    told = varying_days(evidence, now)
    for midnight, found in gross_days(evidence, now).items():
        told.setdefault(midnight, set()).update(one.feature for one in found)
    return told


def judged_features(evidence: RowEvidence, past: PastDays) -> Judged:
    """Return the alarms about features at the end of each day."""
    definition = evidence.definition
    watch = _Watch(NOTE, lambda state, weekday: Day(profiles(state, definition), weekday), lambda d: Detector(d).judge)
    return _judged(evidence, past, watch)


def _judged(evidence: RowEvidence, past: PastDays, watch: _Watch[Told]) -> Judged:
    """Return the alarms at the end of each day; those of days that were judged before, and are the same, from notes."""
    kept = noted(evidence, watch.note, dict[str, list[Alarm]])
    found: dict[str, list[Alarm]] = {}
    prints = past.prints
    told: dict[int, Told] = {}
    learned: dict[range, Callable[[Sequence[Told]], list[Drift]]] = {}

    def day(place: int) -> Told:
        if place not in told:
            midnight, state = past.days[place]
            told[place] = watch.day(state, moment(midnight, evidence.model.timezone).weekday())
        return told[place]

    judged: list[tuple[int, list[Alarm]]] = []
    for n, reference in references(evidence, past.midnights).items():
        last = range(max(n + 1 - LENGTHS[-1], reference.stop), n + 1)
        key = hashlib.blake2b("".join(prints[m] for m in (*reference, *last)).encode(), digest_size=12).hexdigest()
        if key not in kept:
            if reference not in learned:
                learned[reference] = watch.learn([day(m) for m in reference])
            kept[key] = alarms_of(learned[reference]([day(m) for m in last]))
        found[key] = kept[key]
        judged.append((past.midnights[n], found[key]))
    if found:
        evidence.notes[watch.note] = msgspec.msgpack.encode(found)
    return judged


def without(
    told: Mapping[int, Collection[object]], judged: Judged, what: Callable[[Alarm], object] = attrgetter("feature")
) -> Judged:
    """Return the alarms but for those of windows in which something else tells of the same.

    Args:
        told: What is told otherwise, by midnight.
        judged: The alarms.
        what: What an alarm tells of: its feature by default.
    """
    days = [told.get(midnight, ()) for midnight, _ in judged]
    return [
        (midnight, [a for a in alarms if not any(what(a) in day for day in days[max(n + 1 - a.days, 0) : n + 1])])
        for n, (midnight, alarms) in enumerate(judged)
    ]


def alarms_of(drifts: Sequence[Drift]) -> list[Alarm]:
    """Return the alarms among answers, of each feature the least likely first."""
    return [
        Alarm(one.feature, answer.question, answer.days, answer.p, answer.effect, in_words(answer))
        for one in drifts
        for answer in one.alarms
    ]


def episodes(kind: str, judged: Judged, evidence: RowEvidence) -> list[Episode]:
    """Return each stretch of days on which a feature had drifted, by feature and group.

    It goes on while as few days as showed it still do, or four together: two weeks go on showing what is long over.
    No day before the end of one counts for the next.
    """
    subjects = dict.fromkeys((alarm.feature, alarm.group) for _, alarms in judged for alarm in alarms)
    zone, found = evidence.model.timezone, list[Episode]()
    for feature, group in subjects:
        mine = [
            (midnight, [a for a in alarms if (a.feature, a.group) == (feature, group)]) for midnight, alarms in judged
        ]
        found += [_episode(kind, mine, *stretch, zone) for stretch in _stretches(mine, zone)]
    return found


def _stretches(judged: Judged, zone: str) -> list[tuple[int, Alarm, int | None]]:
    """Return where each stretch begins and the alarm that shows it first, and when it is over."""
    found: list[tuple[int, Alarm, int | None]] = []
    first: tuple[int, Alarm] | None = None
    last, since = 0, 0
    for n, (midnight, alarms) in enumerate(judged):
        mine = [alarm for alarm in alarms if n + 1 - alarm.days >= since]
        if first is None and mine:
            first, last = (n, min(mine, key=lambda alarm: alarm.days)), n
        elif first is not None and any(alarm.days <= max(first[1].days, GOES_ON_DAYS) for alarm in mine):
            last = n
        elif first is not None and n - last >= QUIET_DAYS:
            found.append((*first, shift_days(midnight, 1, zone)))
            first, since = None, last + 1
    return found if first is None else [*found, (*first, None)]


def _episode(kind: str, judged: Judged, place: int, alarm: Alarm, ended_at: int | None, zone: str) -> Episode:
    name = LABELS.get(alarm.feature, alarm.feature) + (f" in {alarm.group}" if alarm.group else "")
    began = shift_days(judged[place][0], 1 - alarm.days, zone)
    said = (
        f"{name} {alarm.said} since {day_text(began, zone)}, more than rows and the usual difference between days"
        " explain; drift alone is not harm: look at status"
    )
    numbers: dict[str, object] = {"question": alarm.question, "days": alarm.days, "p": alarm.p, "effect": alarm.effect}
    return Episode(kind, "", name, shift_days(judged[place][0], 1, zone), ended_at, "warning", said, numbers)
