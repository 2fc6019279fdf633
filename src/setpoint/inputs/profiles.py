"""A profile: what one feature looked like in one window, from its mergeable state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from setpoint.stats import bins
from setpoint.stats.distances import Moments
from setpoint.store.measures import OTHER, UNSEEN, Definition, Scale
from setpoint.store.states import StateTable
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

    @property
    def quantiles(self) -> list[float] | list[None]:
        """Each of `QUANTILES`, interpolated inside its bin; None for categories or without rows."""
        nothing: list[None] = [None] * len(QUANTILES)
        if self.scale is None or self.minimum is None or self.maximum is None or not len(self.index):
            return nothing
        place, ends = self.scale, (self.minimum, self.maximum)
        found = bins.values_from_value_bins(
            self.index, self.counts, QUANTILES, ends, center=place.center, scale=place.scale
        )
        return found or nothing


def profiles(state: StateTable, definition: Definition) -> dict[str, Profile]:
    """Return the profile of every feature of a window."""
    places = [state.kind.keys.index(name) for name in ("feature", "part", "bin")]
    features, parts, labels = (state.levels[place] for place in places)
    of_feature, of_part, of_bin = state.codes[:, places].T
    is_sum = of_part == next((code for code, part in enumerate(parts) if part == "moments"), -1)
    sums = _sums(state, is_sum, len(features))
    counted = np.flatnonzero(~is_sum)
    is_number = np.array([isinstance(definition.features.get(str(name)), Scale) for name in features], dtype=bool)
    used = np.unique(of_bin[counted[is_number[of_feature[counted]]]])
    numbers = np.zeros(len(labels), dtype=np.int64)
    numbers[used] = [int(cast("str", labels[code])) for code in used.tolist()]
    # One order for all features: sorting each on its own costs more than all the rest.
    counted = counted[np.lexsort((numbers[of_bin[counted]], of_feature[counted]))]
    codes, counts = of_bin[counted], state.column("rows")[counted]
    ends = np.cumsum(np.bincount(of_feature[counted], minlength=len(features))).tolist()
    of_present = parts_of_present(definition)
    found: dict[str, Profile] = {}
    for name, told, start, end in zip(map(str, features), sums, [0, *ends], ends, strict=False):
        if name not in definition.features or (start == end and not told[0]):
            continue
        how = definition.features[name]
        if isinstance(how, Scale):
            profile = _numeric(name, how, told, numbers[codes[start:end]], counts[start:end])
        else:
            values = (str(labels[code]) for code in codes[start:end].tolist())
            profile = _categorical(name, told, dict(zip(values, counts[start:end].tolist(), strict=True)))
        found[name] = profile.of_present if name in of_present else profile
    return found


def _sums(state: StateTable, is_sum: NDArray[np.bool_], count: int) -> list[list[float]]:
    """Return the sums, the minimum and the maximum of each feature, in the order of the state's columns."""
    kind, places = state.kind, state.codes[is_sum, state.kind.keys.index("feature")]
    values, found = state.values[is_sum], np.zeros((count, len(kind.values)))
    low, high = kind.values.index("minimum"), kind.values.index("maximum")
    found[:, low], found[:, high] = math.inf, -math.inf
    np.add.at(found[:, : len(kind.sums)], places, values[:, : len(kind.sums)])
    np.minimum.at(found[:, low], places, values[:, low])
    np.maximum.at(found[:, high], places, values[:, high])
    return found.tolist()


_NOTHING = np.array([], dtype=np.int64), np.array([], dtype=np.float64)


def _categorical(name: str, sums: Sequence[float], values: Mapping[str, float]) -> Profile:
    rows, missing, squares = sums[0], sums[1], sums[5]
    return Profile(name, "categorical", rows, squares, missing, 0.0, None, None, None, None, *_NOTHING, values, None)


def _numeric(
    name: str, scale: Scale, sums: Sequence[float], index: NDArray[np.int64], counts: NDArray[np.float64]
) -> Profile:
    rows, missing, infinite, shifted, shifted_squares, squares, low, high = sums
    mean, sd = _spread(shifted, shifted_squares, rows - missing - infinite, scale.center)
    return Profile(
        name,
        "numeric",
        rows,
        squares,
        missing,
        infinite,
        mean,
        sd,
        low if math.isfinite(low) else None,
        high if math.isfinite(high) else None,
        index,
        counts,
        {},
        scale,
    )


def _spread(shifted: float, squares: float, rows: float, center: float) -> tuple[float | None, float | None]:
    if rows <= 0 or not math.isfinite(center + shifted / rows):  # as where sums are beyond the largest double
        return None, None
    mean = shifted / rows
    variance = max(squares - shifted * mean, 0.0) / (rows - 1) if rows > 1 else math.inf
    return center + mean, math.sqrt(variance) if math.isfinite(variance) else None


NAMES_OF_REST = {OTHER: "(other)", UNSEEN: "(new)"}
