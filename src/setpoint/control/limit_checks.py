"""The check of declared limits: days on which a feature lay further from the reference than the team says is fine."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from setpoint.control.episode import Episode, stretches
from setpoint.control.reference_days import (
    Days,
    PastDays,
    latest_reference,
    noted,
    past_days,
    references,
)
from setpoint.core.clock import day_text
from setpoint.core.finding import DRIFT_LIMIT
from setpoint.core.metric import Distance, counted
from setpoint.core.model import DriftLimit, Model
from setpoint.core.window import shift_days
from setpoint.inputs.detection import FEWEST_DAYS
from setpoint.inputs.drift import distances_beside_chance, distances_between
from setpoint.inputs.profiles import Profile, profiles
from setpoint.store.evidence import LABELS, RowEvidence
from setpoint.store.measures import PROFILE
from setpoint.store.states import merge

NOTE = "drift limits"

OFTEN = 0.1
"""Share of the reference's days from which on a limit that it is beyond is no limit, but the usual."""

_NAMED = 3


class Excess(msgspec.Struct, frozen=True):
    """A day of a feature that was beyond a limit.

    Attributes:
        feature: Its name.
        metric: Which distance.
        at_most: The limit.
        value: How far the day lay from the reference.
        expected: The mean of that at these sample sizes had nothing changed.
        noise: Its 95 % quantile had nothing changed.
        rows: Rows of the day.
    """

    feature: str
    metric: Distance
    at_most: float
    value: float
    expected: float | None
    noise: float | None
    rows: float

    @property
    def subject(self) -> str:
        """The limit, and the feature that was beyond it."""
        return DriftLimit(self.metric, self.at_most, self.feature).name

    @property
    def said(self) -> str:
        """The value, the limit and what chance makes, in words."""
        beyond = f"{self.value:.3g}, above the limit of {self.at_most:g}"
        if self.expected is None or self.noise is None:
            return f"{beyond}; what {counted(self.rows, 'row')} make by chance is unknown"
        chance = f"had nothing changed, {counted(self.rows, 'row')} would make {self.expected:.2g}, and up to"
        within = ": the limit is within chance" if self.at_most < self.noise else ""
        return f"{beyond}; {chance} {self.noise:.2g} by chance{within}"


@dataclass(frozen=True, slots=True)
class Replay:
    """How often a limit would have alarmed on the days of the reference, each held against the others.

    Attributes:
        limit: The limit.
        days: Days of the reference; 0 when they are too few to tell.
        alarms: On how many of them any feature was beyond it.
        features: On how many each was, those with the most first.
        is_measured: Whether the distance can be told of any feature.
    """

    limit: DriftLimit
    days: int
    alarms: int
    features: tuple[tuple[str, int], ...]
    is_measured: bool

    @property
    def is_frequent(self) -> bool:
        """Whether it would have alarmed more often than a limit should."""
        return self.alarms > OFTEN * self.days

    @property
    def text(self) -> str:
        """That in words."""
        name = f"{self.limit.name} above {self.limit.at_most:g}"
        if not self.days:
            needed = f"needs {FEWEST_DAYS} whole days of predictions as a reference"
            return f"{name}: how often it would have alarmed is unknown: {needed}"
        if not self.is_measured:
            return f"{name}: the reference has nothing that it can be measured on"
        named = ", ".join(f"{feature} {count}" for feature, count in self.features[:_NAMED])
        more = f" and {len(self.features) - _NAMED} more" if len(self.features) > _NAMED else ""
        by = f" ({named}{more})" if named and not self.limit.feature else ""
        often = ": that is the usual, not drift; raise the limit" if self.is_frequent else ""
        return f"{name} would have alarmed on {self.alarms} of {self.days} days of the reference{by}{often}"


def drift_limits(evidence: RowEvidence, now: int) -> list[Episode]:
    """A feature that lies further from the reference than a limit of the team's own allows.

    The reference is the one of `input_drift`. One finding for each limit, feature and stretch of days beyond it; a day
    within it ends that.
    """
    if not evidence.model.drift_limits:
        return []
    past = past_days(evidence, now)
    judged = _judged(evidence, past, references(evidence, past.midnights))
    subjects = dict.fromkeys(excess.subject for _, found in judged for excess in found)
    return [episode for subject in subjects for episode in _episodes(subject, judged, evidence.model.timezone)]


def replayed(evidence: RowEvidence, now: int) -> list[Replay]:
    """Return how often each declared limit would have alarmed on the days of the reference, had it been in force."""
    model = evidence.model
    if not model.drift_limits:
        return []
    past = past_days(evidence, now)
    reference = [past.days[place] for place in latest_reference(evidence, past.midnights)]
    held: list[list[_Held]] = []
    for place, day in enumerate(reference):
        others = [*reference[:place], *reference[place + 1 :]]
        held.append(list(_held(model, _profiles(evidence, others), _profiles(evidence, [day]))))
    return [_replay(limit, held) for limit in model.drift_limits]


@dataclass(frozen=True, slots=True)
class _Held:
    """A feature of a day, held against the reference by the limit that counts for it."""

    feature: str
    limit: DriftLimit
    value: float
    reference: Profile
    day: Profile

    @property
    def is_beyond(self) -> bool:
        return self.value > self.limit.at_most


def _held(model: Model, reference: Mapping[str, Profile], day: Mapping[str, Profile]) -> Iterator[_Held]:
    for name, before in reference.items():
        feature, after = LABELS.get(name, name), day.get(name)
        limits = _limits(model, feature)
        if after is not None and limits:
            values = distances_between(before, after)
            told = [limit for metric, limit in limits.items() if metric in values]
            yield from (_Held(feature, limit, values[limit.metric], before, after) for limit in told)


def _limits(model: Model, feature: str) -> dict[Distance, DriftLimit]:
    """Return the limits that count for a feature: its own before those of all."""
    found = sorted(model.drift_limits, key=lambda limit: limit.feature)
    return {limit.metric: limit for limit in found if limit.feature in {"", feature}}


def _replay(limit: DriftLimit, held: Sequence[Sequence[_Held]]) -> Replay:
    mine = [[one for one in day if one.limit == limit] for day in held]
    counts = Counter(one.feature for day in mine for one in day if one.is_beyond)
    features = tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    alarms = sum(any(one.is_beyond for one in day) for day in mine)
    return Replay(limit, len(held), alarms, features, is_measured=any(mine))


def _judged(evidence: RowEvidence, past: PastDays, references: Mapping[int, range]) -> list[tuple[int, list[Excess]]]:
    """Return what was beyond a limit on each day; of days that were judged before, and are the same, from notes."""
    kept = noted(evidence, NOTE, dict[str, list[Excess]])
    limits = repr(evidence.model.drift_limits)
    days, prints = past.days, past.prints
    profiled: dict[range, Mapping[str, Profile]] = {}
    found: dict[str, list[Excess]] = {}
    judged: list[tuple[int, list[Excess]]] = []
    for n, reference in references.items():
        told = "".join([limits, *(prints[m] for m in (*reference, n))])
        key = hashlib.blake2b(told.encode(), digest_size=12).hexdigest()
        if key not in kept:
            if reference not in profiled:
                profiled[reference] = _profiles(evidence, days[reference.start : reference.stop])
            kept[key] = _beyond(evidence.model, profiled[reference], _profiles(evidence, [days[n]]))
        found[key] = kept[key]
        judged.append((days[n][0], found[key]))
    if found:
        evidence.notes[NOTE] = msgspec.msgpack.encode(found)
    return judged


def _beyond(model: Model, reference: Mapping[str, Profile], day: Mapping[str, Profile]) -> list[Excess]:
    return [_excess(one) for one in _held(model, reference, day) if one.is_beyond]


def _excess(held: _Held) -> Excess:
    metric = held.limit.metric
    chance = distances_beside_chance(held.reference, held.day)[metric]
    return Excess(held.feature, metric, held.limit.at_most, held.value, chance.expected, chance.noise, held.day.rows)


def _episodes(subject: str, judged: Sequence[tuple[int, list[Excess]]], zone: str) -> list[Episode]:
    """Return each stretch of days beyond a limit; its words and numbers are those of the first."""
    mine = ((midnight, next((one for one in found if one.subject == subject), None)) for midnight, found in judged)
    return [_episode(*stretch, zone) for stretch in stretches(mine, zone)]


def _episode(midnight: int, excess: Excess, ended_at: int | None, zone: str) -> Episode:
    said = f"{excess.subject} on {day_text(midnight, zone)} is {excess.said}; drift alone is not harm: look at status"
    numbers = {name: getattr(excess, name) for name in ("value", "at_most", "expected", "noise", "rows")}
    return Episode(DRIFT_LIMIT, "", excess.subject, shift_days(midnight, 1, zone), ended_at, "warning", said, numbers)


def _profiles(evidence: RowEvidence, days: Days) -> dict[str, Profile]:
    return profiles(merge(PROFILE, [state for _, state in days]), evidence.definition)
