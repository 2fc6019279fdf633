"""The check of drift inside cohorts: what moved in a group of predictions and not in all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from setpoint.control.declared import declared_beside
from setpoint.control.drift_checks import Alarm, Judged, alarms_of, episodes, judged_features, told_otherwise, without
from setpoint.control.episode import Episode
from setpoint.control.reference_days import PastDays, noted, past_days, references
from setpoint.core.clock import DAY, moment
from setpoint.core.finding import COHORT_DRIFT
from setpoint.core.window import Window
from setpoint.inputs.detection import FEWEST_DAYS, LENGTHS, Day, Detector, Drift, of_groups
from setpoint.inputs.profiles import NAMES_OF_REST, profiles
from setpoint.store.evidence import RowEvidence

NOTE = "cohort drift"

JUDGED_DAYS = 28
"""Days back that are judged if nobody has: a model with a hundred groups has as many detectors."""


def cohort_drift(evidence: RowEvidence, now: int) -> list[Episode]:
    """A feature that changed inside a group of a declared cohort, as `input_drift` judges it, and not so in all rows.

    What shows a group's change best must not show in all rows in the same direction: groups that move against each
    other make the whole wider, which does not say who moved where. All groups of all cohorts share one budget of false
    alarms. A group counts on the days on which it has rows; days older than four weeks are not judged for the first
    time.
    """
    if not evidence.model.cohorts:
        return []
    past = past_days(evidence, now)
    known = references(evidence, past.midnights)
    judged = without(told_otherwise(evidence, now), _judged(evidence, past, known, now))
    whole = {midnight: {_shown(one) for one in alarms} for midnight, alarms in judged_features(evidence, past)}
    judged = without(whole, judged, _shown)
    return declared_beside(evidence, episodes(COHORT_DRIFT, judged, evidence))


def _shown(alarm: Alarm) -> tuple[str, str, bool]:
    """Return what an alarm shows: of which feature, by which question, and in which direction."""
    return alarm.feature, alarm.question, alarm.effect > 0.0


def _judged(evidence: RowEvidence, past: PastDays, references: Mapping[int, range], now: int) -> Judged:
    """Return the alarms of groups at the end of each day; those of days that were judged before from notes."""
    kept = noted(evidence, NOTE, dict[str, list[Alarm]])
    midnights, prints, found = past.midnights, past.prints, dict[str, list[Alarm]]()
    cohorts = repr(evidence.model.cohorts)
    judged: list[tuple[int, list[Alarm]]] = []
    groups: _Groups | None = None
    for n, reference in references.items():
        last = range(max(n + 1 - LENGTHS[-1], reference.stop), n + 1)
        told = "".join([cohorts, *(prints[m] for m in (*reference, *last))])
        key = hashlib.blake2b(told.encode(), digest_size=12).hexdigest()
        if key not in kept:
            if midnights[n] < now - JUDGED_DAYS * DAY:
                continue
            groups = groups or _Groups.of(evidence, Window(midnights[reference.start], now))
            kept[key] = groups.alarms(midnights[reference.start : reference.stop], midnights[last.start : last.stop])
        found[key] = kept[key]
        judged.append((midnights[n], found[key]))
    if found:
        evidence.notes[NOTE] = msgspec.msgpack.encode(found)
    return judged


@dataclass(frozen=True)
class _Groups:
    """The days of each group, by midnight, and what was learned of them."""

    days: Mapping[str, Mapping[int, Day]]
    learned: dict[tuple[str, int], Detector] = field(default_factory=dict[tuple[str, int], Detector])

    @classmethod
    def of(cls, evidence: RowEvidence, window: Window) -> _Groups:
        zone, found = evidence.model.timezone, dict[str, dict[int, Day]]()
        for cohort in evidence.model.cohorts:
            for midnight, state in evidence.profile_by_day(window, cohort=cohort.name):
                for value in dict.fromkeys(state.key("cohort_value")):
                    name = f"{cohort.name}={NAMES_OF_REST.get(str(value), str(value))}"
                    inside = profiles(state.only(cohort_value=value), evidence.definition)
                    found.setdefault(name, {})[midnight] = Day(inside, moment(midnight, zone).weekday())
        return cls(found)

    def alarms(self, reference: Sequence[int], last: Sequence[int]) -> list[Alarm]:
        """Return the alarms of all groups at the end of the last of some days, by the question that shows each best."""
        found: dict[str, list[Drift]] = {}
        for name, days in self.days.items():
            detector = self._detector(name, reference)
            now = [days[midnight] for midnight in last if midnight in days]
            if detector is not None and last[-1] in days:
                found[name] = detector.judge(now)
        best: dict[tuple[str, str, int], Alarm] = {}
        for name, drifts in of_groups(found).items():
            for alarm in alarms_of(drifts):
                best.setdefault((name, alarm.feature, alarm.days), msgspec.structs.replace(alarm, group=name))
        return list(best.values())

    def _detector(self, name: str, reference: Sequence[int]) -> Detector | None:
        known = [self.days[name][midnight] for midnight in reference if midnight in self.days[name]]
        if len(known) < FEWEST_DAYS:
            return None
        key = name, reference[0]
        if key not in self.learned:
            self.learned[key] = Detector(known)
        return self.learned[key]
