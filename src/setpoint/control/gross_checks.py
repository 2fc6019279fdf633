"""The check of gross change: features that are worse in some hour than in any such hour of the reference."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from weakref import WeakKeyDictionary

import msgspec

from setpoint.control.declared import declared_beside
from setpoint.control.episode import Episode, stretches
from setpoint.control.reference_days import noted, past_days, references
from setpoint.core.clock import HOUR, text
from setpoint.core.finding import GROSS_DRIFT
from setpoint.core.window import Window, local_midnight, shift_days
from setpoint.inputs.gross import DayByHour, Gross, Usual, by_hour, judge, learn
from setpoint.store.evidence import LABELS, RowEvidence, bucket_seconds

NOTE = "gross_drift"


class _Kept(msgspec.Struct):
    """What was found before, by what it was found from: the changes of days, and the worst hours of references."""

    found: dict[str, list[Gross]] = msgspec.field(default_factory=dict[str, list[Gross]])
    usual: dict[str, dict[str, Usual]] = msgspec.field(default_factory=dict[str, dict[str, Usual]])


def gross_drift(evidence: RowEvidence, now: int) -> list[Episode]:
    """A feature that is missing, has values never seen, or is one value for all, more than in any such hour before.

    The reference is that of `input_drift`. It is noticed in the hour in which it shows; a day without it ends it.
    """
    days = gross_days(evidence, now)
    features = dict.fromkeys(gross.feature for found in days.values() for gross in found)
    found = [episode for feature in features for episode in _episodes(feature, days, evidence.model.timezone, now)]
    return declared_beside(evidence, found)


_FOUND: WeakKeyDictionary[RowEvidence, dict[int, dict[int, list[Gross]]]] = WeakKeyDictionary()
"""What was found: three checks of a tick want it, and today's hours come from rows."""


def gross_days(evidence: RowEvidence, now: int) -> dict[int, list[Gross]]:
    """Return the gross changes of each day that has a reference, by its midnight; today's as far as it is known."""
    found = _FOUND.setdefault(evidence, {})
    if now not in found:
        found[now] = _gross_days(evidence, now)
    return found[now]


def _gross_days(evidence: RowEvidence, now: int) -> dict[int, list[Gross]]:
    past, today = past_days(evidence, now), local_midnight(now, evidence.model.timezone)
    midnights, prints = [*past.midnights, today], past.prints
    kept, keys = noted(evidence, NOTE, _Kept), dict[int, tuple[str, str, range]]()
    for n, reference in references(evidence, midnights).items():
        of_reference = _joined(prints[m] for m in reference)
        keys[n] = of_reference, "" if n == len(prints) else _joined((of_reference, prints[n])), reference
    asked = [n for n, (_, key, _) in keys.items() if key not in kept.found]
    to_learn = {keys[n][0]: keys[n][2] for n in asked if keys[n][0] not in kept.usual}
    hours = _hours(evidence, {midnights[n] for n in (*asked, *(m for each in to_learn.values() for m in each))}, now)
    usual = kept.usual | {
        name: learn([hours[midnights[m]] for m in each if midnights[m] in hours]) for name, each in to_learn.items()
    }
    found: dict[int, list[Gross]] = {}
    for n, (of_reference, key, _) in keys.items():
        day = hours.get(midnights[n])
        known = kept.found.get(key)
        found[midnights[n]] = known if known is not None else judge(usual[of_reference], day) if day else []
    if keys:
        last = keys[max(keys)][0]
        whole = {key: found[midnights[n]] for n, (_, key, _) in keys.items() if key}
        evidence.notes[NOTE] = msgspec.msgpack.encode(_Kept(whole, {last: usual[last]} if last in usual else {}))
    return found


def _hours(evidence: RowEvidence, midnights: set[int], now: int) -> dict[int, DayByHour]:
    if not midnights:
        return {}
    zone = evidence.model.timezone
    window = Window(min(midnights), min(shift_days(max(midnights), 1, zone), now))
    state = evidence.profile(window, bucket_seconds=bucket_seconds(zone))
    return {day.midnight: day for day in by_hour(state, evidence.definition, zone) if day.midnight in midnights}


def _joined(prints: Iterable[str]) -> str:
    return hashlib.blake2b("".join(prints).encode(), digest_size=12).hexdigest()


def _episodes(feature: str, days: Mapping[int, list[Gross]], zone: str, now: int) -> list[Episode]:
    """Return each stretch of days on which a feature had changed grossly; a day ends it when it is over."""
    mine = ((midnight, next((g for g in found if g.feature == feature), None)) for midnight, found in days.items())
    known = [(midnight, gross) for midnight, gross in mine if gross or shift_days(midnight, 1, zone) <= now]
    return [_episode(gross, ended_at, zone, now) for _, gross, ended_at in stretches(known, zone)]


def _episode(gross: Gross, ended_at: int | None, zone: str, now: int) -> Episode:
    name = LABELS.get(gross.feature, gross.feature)
    said = f"{name} {gross.said}, since {text(gross.began_at, zone)}: more than in any such hour before"
    numbers: dict[str, object] = {
        "sign": gross.sign,
        "rate": gross.rate,
        "usual": gross.usual,
        "rows": gross.rows,
        "log_evidence": gross.log_wealth,
    }
    noticed_at = min(gross.noticed_at + HOUR, now)
    return Episode(GROSS_DRIFT, "", name, gross.noticed_at, ended_at, "warning", said, numbers, noticed_at)
