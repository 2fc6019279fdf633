"""The whole days of a model, and which of them each is held against."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
from numpy.typing import NDArray

from setpoint.core.window import Window, fixed_window, local_monday, shift_days
from setpoint.inputs.detection import FEWEST_DAYS, LENGTHS
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable

REFERENCE_DAYS = 28
"""Whole days that are the reference when none is declared."""

Days = Sequence[tuple[int, StateTable]]
Note = TypeVar("Note")


@dataclass(frozen=True)
class PastDays:
    """The days of a model that are over, without the first one, which may have begun in its midst.

    Attributes:
        days: The midnight and the profile state of each, oldest first.
    """

    days: Days

    @cached_property
    def midnights(self) -> list[int]:
        """When each began."""
        return [midnight for midnight, _ in self.days]

    @cached_property
    def prints(self) -> list[str]:
        """A hash of what each looked like."""
        return [digest(state) for _, state in self.days]


_READ: WeakKeyDictionary[RowEvidence, dict[int, PastDays]] = WeakKeyDictionary()
"""Days that were read: all checks of a tick want the same ones, and rows that are not summed up yet cost."""


def past_days(evidence: RowEvidence, now: int) -> PastDays:
    """Return the days that are over."""
    read = _READ.setdefault(evidence, {})
    if now not in read:
        read[now] = PastDays(_whole(evidence, now, evidence.profile_by_day))
    return read[now]


def shown_days(evidence: RowEvidence, now: int) -> PastDays:
    """Return what rankings showed on the days that are over, without those on which they showed nothing."""
    return PastDays(_whole(evidence, now, evidence.exposure_by_day))


def _whole(evidence: RowEvidence, now: int, by_day: Callable[[Window], Days]) -> Days:
    span = evidence.span
    if span is None:
        return []
    zone = evidence.model.timezone
    days = by_day(Window(span.start, max(now, span.start)))
    return [
        (midnight, state) for midnight, state in days if midnight >= span.start and shift_days(midnight, 1, zone) <= now
    ]


def references(evidence: RowEvidence, midnights: Sequence[int]) -> dict[int, range]:
    """Return the places of the days of the reference, by the place of each day that is judged."""
    zone, count = evidence.model.timezone, len(midnights)
    if (fixed := _fixed(evidence, midnights)) is not None:
        return dict.fromkeys(range(fixed.stop, count), fixed) if fixed else {}
    found: dict[int, range] = {}
    for n in range(REFERENCE_DAYS, count):
        # It moves once a week, and from the start on stays where it is until sixteen days lie between.
        monday = local_monday(midnights[max(n - LENGTHS[-1], 0)], zone)
        end = max(bisect_left(midnights, monday), REFERENCE_DAYS)
        found[n] = range(end - REFERENCE_DAYS, end)
    return found


def latest_reference(evidence: RowEvidence, midnights: Sequence[int]) -> range:
    """Return the places of the days that the last or the next day is held against; none when they are too few."""
    if (fixed := _fixed(evidence, midnights)) is not None:
        return fixed
    count = len(midnights)
    found = references(evidence, midnights).get(count - 1, range(min(count, REFERENCE_DAYS)))
    return found if len(found) >= FEWEST_DAYS else range(0)


def _fixed(evidence: RowEvidence, midnights: Sequence[int]) -> range | None:
    """Return the places of the days of the declared window, none when they are too few; None when it moves along."""
    model = evidence.model
    if not model.reference or model.reference_file:
        return None
    window = fixed_window(model.reference, model.timezone)
    if window is None:  # one that goes along with the present is none that a day could be held against
        return None
    inside = [n for n, midnight in enumerate(midnights) if window.start <= midnight < window.end]
    return range(inside[0], inside[-1] + 1) if len(inside) >= FEWEST_DAYS else range(0)


def digest(state: StateTable) -> str:
    """Return a hash of what a day looked like, in whatever order its rows and keys stand."""
    found, ranks = hashlib.blake2b(digest_size=12), list[NDArray[np.int64]]()
    for name, codes in zip(state.kind.keys, state.codes.T, strict=True):
        used, place = np.unique(codes, return_inverse=True)
        levels = state.levels[state.kind.keys.index(name)]
        told = np.array([repr(levels[code]) for code in used.tolist()])
        order = np.argsort(told)
        found.update("\x1f".join(told[order].tolist()).encode())
        ranks.append(np.argsort(order)[place])
    rows = np.lexsort(ranks)
    for column in (*ranks, *state.values.T):
        found.update(np.ascontiguousarray(column[rows]).tobytes())
    return found.hexdigest()


def noted(evidence: RowEvidence, name: str, kind: type[Note]) -> Note:
    """Return what a check found of days that it judged before, as a `kind` made of nothing when it found none."""
    note = evidence.notes.get(name)
    try:
        return kind() if note is None else msgspec.msgpack.decode(note, type=kind)
    except msgspec.MsgspecError:  # of an older version's form
        return kind()
