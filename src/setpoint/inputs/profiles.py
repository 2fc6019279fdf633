"""A profile: what one feature looked like in one window, from its mergeable state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from setpoint.stats import bins
from setpoint.stats.distances import Moments
from setpoint.store.measures import OTHER, UNSEEN, Definition, Scale, Vocabulary
from setpoint.store.states import StateTable

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
        mean: Of finite values; None without any.
        sd: Sample standard deviation of finite values; None with fewer than two.
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
    parts: dict[str, dict[str, list[int]]] = {}
    for n, (feature, part) in enumerate(zip(state.key("feature"), state.key("part"), strict=True)):
        parts.setdefault(str(feature), {}).setdefault(str(part), []).append(n)
    return {
        name: _profile(name, definition.features[name], state, places)
        for name, places in parts.items()
        if name in definition.features
    }


def _profile(name: str, how: Scale | Vocabulary, state: StateTable, places: dict[str, list[int]]) -> Profile:
    moments = places.get("moments", [])

    def total(column: str) -> float:
        return float(state.column(column)[moments].sum())

    rows, missing, infinite = total("rows"), total("missing"), total("infinite")
    squares = total("weight_squares")
    counted = state.column("rows")
    labels = state.key("bin")
    if isinstance(how, Vocabulary):
        values = {str(labels[n]): float(counted[n]) for n in places.get("value", []) if labels[n] is not None}
        nothing = np.array([], dtype=np.int64), np.array([], dtype=np.float64)
        return Profile(name, "categorical", rows, squares, missing, 0.0, None, None, None, None, *nothing, values, None)
    finite = rows - missing - infinite
    found = sorted(
        (int(cast("str", labels[n])), float(counted[n])) for n in places.get("bin", []) if labels[n] is not None
    )
    low = float(state.column("minimum")[moments].min()) if moments else math.inf
    high = float(state.column("maximum")[moments].max()) if moments else -math.inf
    mean, sd = _spread(total("shifted"), total("shifted_squares"), finite, how.center)
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
        np.array([index for index, _ in found], dtype=np.int64),
        np.array([count for _, count in found], dtype=np.float64),
        {},
        how,
    )


def _spread(shifted: float, squares: float, rows: float, center: float) -> tuple[float | None, float | None]:
    if rows <= 0:
        return None, None
    mean = shifted / rows
    if rows <= 1:
        return center + mean, None
    variance = max(squares - shifted * mean, 0.0) / (rows - 1)
    return center + mean, math.sqrt(variance)


NAMES_OF_REST = {OTHER: "(other)", UNSEEN: "(new)"}
