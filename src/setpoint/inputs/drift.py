"""How one feature differs between two windows: the numbers, beside what chance alone would show.

Distances are measured on ten bins of equal mass of the reference, with missing as a bin of its own:
most tools drop missing rows first and cannot see a missing rate that doubles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from setpoint.core.metric import Distance
from setpoint.inputs.detection import Drift
from setpoint.inputs.profiles import NAMES_OF_REST, Profile
from setpoint.stats import bins, distances
from setpoint.stats.estimate import Estimate
from setpoint.store.defining import is_nested_type, is_number_type
from setpoint.store.measures import OTHER, UNSEEN, Scale
from setpoint.store.times import is_time_type

_GROUPS, _CHANCE_GROUPS = 10, 24
_TOP = 5
APPEARED, VANISHED, TYPE_CHANGED = "appeared", "vanished", "type changed"
STARTED_TO_VARY = "was constant and now varies"
NO_VALUE = "no value in either window: distances are unknown"
_NEW_ROWS = 1.0
_DUE_ROWS = 3.0  # P(0 rows | 3 due) = 5 %
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """A distance between two windows, beside what it reads when nothing changed.

    Attributes:
        value: As measured; None when one window is empty.
        expected: Its mean at these sample sizes if nothing had changed.
        noise: Its 95 % quantile if nothing had changed.
    """

    value: float | None
    expected: float | None
    noise: float | None


@dataclass(frozen=True, slots=True)
class FeatureChange:
    """One feature in two windows.

    Attributes:
        feature: Its name; `$score` and `$prediction` are the model's own answers.
        reference: Its profile in the reference window; None when it was not there.
        current: Its profile in the current window; None when it has gone.
        importance: Declared share of the model's skill; an equal share when undeclared.
        drift: How it was judged; None when there was too little to judge it by.
        mean_shift: Difference of means in standard deviations, with its interval.
        missing_shift: Difference of missing ratios, with its interval.
        distances: Those of `stats.distances` by name.
        new_values: Categories that the reference never had.
        vanished_values: Categories that the current window lacks, though it should have some.
        note: What is special about it, in words: it appeared, vanished or is constant.
    """

    feature: str
    reference: Profile | None
    current: Profile | None
    importance: float
    drift: Drift | None
    mean_shift: Estimate
    missing_shift: Estimate
    distances: Mapping[Distance, Measured]
    new_values: tuple[str, ...]
    vanished_values: tuple[str, ...]
    note: str

    @property
    def has_values(self) -> bool:
        """Whether a row of either window has a value."""
        return any(side is not None and side.present > 0 for side in (self.reference, self.current))

    @property
    def is_too_large(self) -> bool:
        """Whether a window has numbers of which no mean or deviation can be said."""
        return any(side is not None and side.is_too_large for side in (self.reference, self.current))

    @property
    def is_other_column(self) -> bool:
        """Whether it appeared, vanished or has another type: then no number can be held against another."""
        return self.note in {APPEARED, VANISHED} or self.note.startswith(TYPE_CHANGED)

    @property
    def is_changed(self) -> bool:
        """Whether it changed by more than chance and the usual difference between days explain."""
        return self.is_other_column or (self.drift is not None and self.drift.is_alarm)

    @property
    def is_judged(self) -> bool:
        """Whether there was enough to say that."""
        return self.is_other_column or self.drift is not None

    @property
    def moved(self) -> float:
        """Share of the rows that lie elsewhere, at least, 0 to 1; 0 when nothing changed."""
        if self.is_other_column:
            return 1.0
        return self.drift.moved if self.drift is not None else 0.0

    @property
    def p(self) -> float:
        """How likely as much is by chance, all features together."""
        return self.drift.p if self.drift is not None else float(not self.is_other_column)

    @property
    def impact(self) -> float:
        """What it is ranked by: the share of rows that moved, at least, times the importance."""
        return self.moved * self.importance


def compare(
    feature: str,
    reference: Profile | None,
    current: Profile | None,
    importance: float,
    drift: Drift | None = None,
    note: str = "",
) -> FeatureChange:
    """Return how a feature differs between two windows.

    Args:
        feature: Its name.
        reference: Its profile in the reference window; None when it was not there.
        current: Its profile in the current window; None when it has gone.
        importance: Share of the model's skill, 0 to 1.
        drift: How it was judged.
        note: What is special about it already, such as another type.
    """
    if reference is None or current is None or not reference.rows or not current.rows:
        return _one_sided(feature, reference, current, importance, note)
    if not reference.present and not current.present:
        unknown = Estimate.unknown(NO_VALUE)
        return FeatureChange(
            feature, reference, current, importance, drift, unknown, unknown, {}, (), (), note or NO_VALUE
        )
    new, gone = _new_and_gone(reference, current) if reference.kind == "categorical" else ((), ())
    left, right = reference.moments, current.moments
    shift = (
        distances.pooled_effect(left, right)
        if left is not None and right is not None and (left.sd > 0 or right.sd > 0)
        else Estimate.unknown("not a number, or it does not vary")
    )
    missing = distances.proportion_difference(
        (reference.missing, reference.rows),
        (current.missing, current.rows),
        reference_rows=reference.effective_rows,
        current_rows=current.effective_rows,
    )
    return FeatureChange(
        feature,
        reference,
        current,
        importance,
        drift,
        shift,
        missing,
        distances_beside_chance(reference, current),
        new,
        gone,
        note or _note(reference, current),
    )


def type_changed(before: str, after: str) -> str:
    """Return in words that a column has another type; empty where that does no harm: a number is one in any width.

    Args:
        before: Its SQL type in the reference.
        after: Its SQL type now.

    Example:
        >>> type_changed("BIGINT", "VARCHAR"), type_changed("INTEGER", "DOUBLE")
        ('type changed from BIGINT to VARCHAR', '')
    """
    return "" if _sort_of(before) == _sort_of(after) else f"{TYPE_CHANGED} from {before} to {after}"


def _sort_of(kind: str) -> str:
    if kind == "BOOLEAN":
        return kind
    sorts = {"number": is_number_type, "time": is_time_type, "nested": is_nested_type}
    return next((sort for sort, is_it in sorts.items() if is_it(kind)), "text")


def distances_between(reference: Profile, current: Profile) -> dict[Distance, float]:
    """Return how far a feature lies in one window from where it lies in another, by each distance that can tell.

    Args:
        reference: Its profile in the earlier window.
        current: Its profile in the later one.
    """
    if reference.kind != current.kind or not (reference.present or current.present):
        return {}
    measured = _measured(_grouped(reference, current))
    return {name: found.value for name, found in measured.items() if found.value is not None}


def distances_beside_chance(reference: Profile, current: Profile) -> dict[Distance, Measured]:
    """Return the same, beside what each distance would read at these sample sizes had nothing changed."""
    groups = _grouped(reference, current)
    measured, chance = _measured(groups), _by_chance(groups, reference, current)
    return {name: Measured(found.value, chance[name].value, chance[name].high) for name, found in measured.items()}


def top_values(profile: Profile, limit: int = _TOP) -> list[tuple[str, float]]:
    """Return the most frequent categories with their share of rows, the rest under a name of its own."""
    ranked = sorted(profile.values.items(), key=lambda item: (-item[1], item[0]))
    named = [(value, count / profile.rows) for value, count in ranked if value not in NAMES_OF_REST]
    rest = [(NAMES_OF_REST[value], count / profile.rows) for value, count in ranked if value in NAMES_OF_REST]
    return [*named[:limit], *rest]


def _one_sided(
    feature: str, reference: Profile | None, current: Profile | None, importance: float, note: str
) -> FeatureChange:
    unknown = Estimate.unknown("only one of the windows has it")
    has_before = reference is not None and reference.present > 0
    has_after = current is not None and current.present > 0
    if not note:
        note = NO_VALUE if has_before == has_after else VANISHED if has_before else APPEARED
    return FeatureChange(feature, reference, current, importance, None, unknown, unknown, {}, (), (), note)


def _note(reference: Profile, current: Profile) -> str:
    if current.present == 0 < reference.present:
        return VANISHED
    if reference.present == 0 < current.present:
        return APPEARED
    constant = [_is_constant(profile) for profile in (reference, current)]
    if constant[0] and not constant[1]:
        return STARTED_TO_VARY
    return "is constant now" if constant[1] and not constant[0] else ""


def _is_constant(profile: Profile) -> bool:
    if profile.kind == "numeric":
        return profile.minimum is not None and profile.minimum == profile.maximum
    return len(profile.values) == 1 and not set(profile.values) & {OTHER, UNSEEN}


@dataclass(frozen=True, slots=True)
class _Groups:
    """Counts of both windows on the same groups of values, missing last; of numbers also where they lie.

    Attributes:
        before: Rows of the reference a group.
        after: Rows of the current window a group.
        placed: Every bin of a number, in standard deviations of the reference; None when that cannot be said.
    """

    before: Floats
    after: Floats
    placed: _Placed | None = None


def _grouped(reference: Profile, current: Profile) -> _Groups:
    """Return both windows on bins of equal reference mass, or on their categories."""
    if reference.kind == "categorical":
        names = sorted({*reference.values, *current.values})
        counts = ([side.values.get(name, 0.0) for name in names] for side in (reference, current))
        before, after = map(np.array, counts)
        return _Groups(np.append(before, reference.missing), np.append(after, current.missing))
    index = np.union1d(reference.index, current.index)
    before, after = _aligned(index, reference), _aligned(index, current)
    total = before.sum()
    if total > 0:
        reached = np.cumsum(before) - before / 2
        group = np.minimum((reached / total * _GROUPS).astype(np.int64), _GROUPS - 1)
    else:
        group = np.zeros(len(index), dtype=np.int64)
    labels, place = np.unique(group, return_inverse=True)
    grouped = [np.bincount(place, weights=counts, minlength=len(labels)) for counts in (before, after)]
    scaled = _middles(index, reference, current) / reference.sd if reference.sd else np.array([])
    # Numbers near the largest double have no spread that a double can hold.
    is_placed = len(scaled) > 0 and bool(np.all(np.isfinite(scaled)) and np.all(np.diff(scaled) > 0))
    return _Groups(
        np.append(grouped[0], reference.missing),
        np.append(grouped[1], current.missing),
        _Placed(scaled, before, after) if is_placed else None,
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    """Every bin with a row: where it lies, and how much of each window is in it."""

    positions: Floats
    before: Floats
    after: Floats


def _coarse(placed: _Placed) -> _Placed:
    """Return a few bins of equal mass instead of all: drawing windows from every bin costs five times as much."""
    pooled = placed.before + placed.after
    reached = (np.cumsum(pooled) - pooled / 2) / pooled.sum()
    _, place = np.unique((reached * _CHANCE_GROUPS).astype(np.int64), return_inverse=True)
    mass = np.bincount(place, weights=pooled)
    return _Placed(
        np.bincount(place, weights=placed.positions * pooled) / mass,
        np.bincount(place, weights=placed.before).astype(np.float64),
        np.bincount(place, weights=placed.after).astype(np.float64),
    )


def _aligned(index: NDArray[np.int64], profile: Profile) -> Floats:
    counts = np.zeros(len(index))
    counts[np.searchsorted(index, profile.index)] = profile.counts
    return counts


def _middles(index: NDArray[np.int64], reference: Profile, current: Profile) -> Floats:
    """Return where the rows of each bin lie: the outermost bins are wide, and end at the extremes."""
    scale = reference.scale or Scale(0.0, 1.0)
    middles = bins.value_bin_middle(index, scale.center, scale.scale)
    if len(middles):
        lows = [p.minimum for p in (reference, current) if p.minimum is not None]
        highs = [p.maximum for p in (reference, current) if p.maximum is not None]
        middles[0] = max(middles[0], min(lows, default=middles[0]))
        middles[-1] = min(middles[-1], max(highs, default=middles[-1]))
    return middles


def _new_and_gone(reference: Profile, current: Profile) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the categories that the reference never had, and those that the current window should have and lacks."""
    new = tuple(
        NAMES_OF_REST.get(name, name)
        for name, count in sorted(current.values.items())
        if count >= _NEW_ROWS and (not reference.values.get(name) or name == UNSEEN)
    )
    # A rare value may be absent by chance: it has vanished when three or more rows of it were due.
    due = sum(current.values.values()) / max(sum(reference.values.values()), 1.0)
    gone = tuple(
        name
        for name, count in sorted(reference.values.items())
        if not current.values.get(name) and count * due >= _DUE_ROWS and name != OTHER
    )
    return new, gone


def _measured(groups: _Groups) -> dict[Distance, Estimate]:
    before, after, placed = groups.before, groups.after, groups.placed
    measured: dict[Distance, Estimate] = {
        "psi": distances.psi(before, after),
        "kullback_leibler": distances.kullback_leibler(before, after),
        "jensen_shannon": distances.jensen_shannon(before, after),
        "total_variation": distances.total_variation(before, after),
    }
    if placed is not None:  # on all bins: ten groups would hide a tail that moves
        measured["wasserstein"] = distances.wasserstein_binned(placed.positions, placed.before, placed.after)
    return measured


def _by_chance(groups: _Groups, reference: Profile, current: Profile) -> dict[Distance, Estimate]:
    """Return what each distance would read had nothing changed."""
    chance = distances.all_expected_if_unchanged(
        {"psi": None, "kullback_leibler": None, "jensen_shannon": None, "total_variation": None},
        groups.before,
        groups.after,
        rows=(reference.effective_rows, current.effective_rows),
    )
    if groups.placed is not None:
        coarse = _coarse(groups.placed)
        chance["wasserstein"] = distances.expected_if_unchanged(
            "wasserstein",
            coarse.before,
            coarse.after,
            positions=coarse.positions,
            reference_rows=reference.present * reference.certainty,
            current_rows=current.present * current.certainty,
        )
    return chance
