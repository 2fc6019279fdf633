"""A profile: what one feature looked like in one window, from its mergeable state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from setpoint.stats import bins
from setpoint.stats.distances import Moments
from setpoint.store.measures import OTHER, UNSEEN, Definition, Scale, Vocabulary
from setpoint.store.states import StateKind, StateTable
from setpoint.store.texts import parts_of_present

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Profile:
    """One feature in one window.

    Attributes:
        feature: Its name.
        kind: `numeric` or `categorical`.
        rows: Rows of the window, weighted.
        weight_squares: Sum of squared weights: how much the sampling of rows costs in certainty.
        missing: Rows without a value: null or not a number.
        infinite: Rows with an infinity; they enter no moment.
        mean: Of finite values; None without any, and where they are too large for one.
        sd: Sample standard deviation of finite values; None with fewer than two, and where they are too large for one.
        minimum: Smallest finite value.
        maximum: Largest finite value.
        index: Bins that hold rows, sorted.
        counts: Weight a bin.
        values: Weight a category; `other` and `unseen` are under their own marks.
    """

    feature: str
    kind: str
    rows: float
    weight_squares: float
    missing: float
    infinite: float
    mean: float | None
    sd: float | None
    minimum: float | None
    maximum: float | None
    index: NDArray[np.int64]
    counts: NDArray[np.float64]
    values: Mapping[str, float]
    scale: Scale | None

    @property
    def present(self) -> float:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def of_present(self) -> Profile:
        """The same without the rows that have no value."""
        squares = self.weight_squares * self.present / self.rows if self.rows else 0.0
        return replace(self, rows=self.present, weight_squares=squares, missing=0.0)

    @property
    def missing_ratio(self) -> float | None:
        """Share of rows without a value, 0 to 1; None without rows."""
        return self.missing / self.rows if self.rows else None

    @property
    def certainty(self) -> float:
        """Independent rows that a weighted one is worth, 0 to 1: Kish's effective size over the weighted rows.

        Source: L. Kish, Survey Sampling (1965), §11.7.
        """
        return self.rows / self.weight_squares if self.weight_squares else 1.0

    @property
    def effective_rows(self) -> float:
        """Independent rows that this profile is worth."""
        return self.rows * self.certainty

    @property
    def moments(self) -> Moments | None:
        """Mean, spread and effective rows for a comparison; None when they are not known."""
        if self.mean is None or self.sd is None:
            return None
        return Moments(self.mean, self.sd, (self.present - self.infinite) * self.certainty)

    @property
    def is_too_large(self) -> bool:
        """Whether it has numbers of which no mean or deviation can be said: they are near the largest double."""
        return self.kind == "numeric" and self.present - self.infinite > 1 and self.sd is None

    def quantile(self, probability: float) -> float | None:
        """Return a quantile, interpolated inside its bin; None for categories or without rows."""
        if self.scale is None or self.minimum is None or self.maximum is None or not len(self.index):
            return None
        ends = (self.minimum, self.maximum)
        place = self.scale
        return bins.value_from_value_bins(
            self.index, self.counts, probability, ends, center=place.center, scale=place.scale
        )


def profiles(state: StateTable, definition: Definition) -> dict[str, Profile]:
    """Return the profile of every feature of a window."""
    places = [state.kind.keys.index(name) for name in ("feature", "part", "bin")]
    names, parts, labels = (state.levels[place] for place in places)
    moments = next((code for code, part in enumerate(parts) if part == "moments"), -1)
    of_feature = state.codes[:, places[0]]
    order = np.argsort(of_feature, kind="stable")
    codes, values = state.codes[order], state.values[order]
    ends = np.cumsum(np.bincount(of_feature, minlength=len(names))).tolist()
    found: dict[str, Profile] = {}
    of_present = parts_of_present(definition)
    for name, start, end in zip(map(str, names), [0, *ends], ends, strict=False):
        if start == end or name not in definition.features:
            continue
        is_sum = codes[start:end, places[1]] == moments
        sums = _Sums(state.kind, values[start:end][is_sum])
        told = [labels[code] for code in codes[start:end, places[2]][~is_sum].tolist()]
        counts = values[start:end, state.kind.values.index("rows")][~is_sum]
        profile = _profile(name, definition.features[name], sums, (told, counts))
        found[name] = profile.of_present if name in of_present else profile
    return found


class _Sums:
    """The sums, minima and maxima of a feature."""

    def __init__(self, kind: StateKind, values: NDArray[np.float64]) -> None:
        count = len(kind.sums)
        self._totals = dict(zip(kind.sums, values[:, :count].sum(axis=0).tolist(), strict=True))
        self.low = float(values[:, kind.values.index("minimum")].min(initial=math.inf))
        self.high = float(values[:, kind.values.index("maximum")].max(initial=-math.inf))

    def __getitem__(self, name: str) -> float:
        return self._totals[name]


def _profile(
    name: str, how: Scale | Vocabulary, sums: _Sums, counted: tuple[Sequence[object], NDArray[np.float64]]
) -> Profile:
    rows, missing, infinite, squares = (sums[column] for column in ("rows", "missing", "infinite", "weight_squares"))
    labels, counts = counted
    if isinstance(how, Vocabulary):
        values = dict(zip(map(str, labels), counts.tolist(), strict=True))
        nothing = np.array([], dtype=np.int64), np.array([], dtype=np.float64)
        return Profile(name, "categorical", rows, squares, missing, 0.0, None, None, None, None, *nothing, values, None)
    index = np.array(labels, dtype=np.int64)
    order = np.argsort(index, kind="stable")
    mean, sd = _spread(sums["shifted"], sums["shifted_squares"], rows - missing - infinite, how.center)
    return Profile(
        name,
        "numeric",
        rows,
        squares,
        missing,
        infinite,
        mean,
        sd,
        sums.low if math.isfinite(sums.low) else None,
        sums.high if math.isfinite(sums.high) else None,
        index[order],
        counts[order],
        {},
        how,
    )


def _spread(shifted: float, squares: float, rows: float, center: float) -> tuple[float | None, float | None]:
    if rows <= 0 or not math.isfinite(center + shifted / rows):  # as where sums are beyond the largest double
        return None, None
    mean = shifted / rows
    variance = max(squares - shifted * mean, 0.0) / (rows - 1) if rows > 1 else math.inf
    return center + mean, math.sqrt(variance) if math.isfinite(variance) else None


NAMES_OF_REST = {OTHER: "(other)", UNSEEN: "(new)"}
