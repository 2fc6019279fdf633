"""Whether rows lie in other groups than before: more than days usually do, and than another place and width explain."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.stats.special import FloatArray, chi_square_tail, normal_quantile, student_t_cdf

FEWEST_WINDOWS = 5
"""How many windows of its length a reference must hold before it is known how they differ."""

_NOTHING = 1e-9

_BY_DAYS = 1.5
"""Mean chi-square over its degrees of freedom from which on days make most of it."""

MARGIN = 0.02
"""Share of rows that may move while nobody knows how days differ."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How rows are spread over groups in a reference, and how its days differ in that.

    Attributes:
        shares: Share of each group, shape (groups,).
        rows: Rows of the reference.
        apart: What is asked elsewhere and taken off here: place and width, shape (0 or 2, groups).
        days: Rows by group of each day of the reference, shape (days, groups).
    """

    shares: FloatArray
    rows: float
    apart: FloatArray
    days: FloatArray

    @classmethod
    def learn(cls, days: Sequence[FloatArray], *, is_number: bool) -> "Shape":
        """Learn it from the rows by group of each day of a reference.

        Args:
            days: Rows by group, each of shape (groups,).
            is_number: Whether groups are in order: then another place and width are no other shape.

        Example:
            >>> rng = np.random.default_rng(0)
            >>> usual = Shape.learn([rng.multinomial(1000, [0.5, 0.3, 0.2]) * 1.0 for _ in range(20)], is_number=False)
            >>> days = (np.array([500.0, 305.0, 195.0]), np.array([400.0, 400.0, 200.0]))
            >>> [round(usual.p_value(day, usual=usual), 3) for day in days]
            [0.95, 0.0]

        Source: Pearson (1900), Philosophical Magazine 50; Wilson & Hilferty (1931), PNAS 17, for the cube root.
        """
        total = np.sum(days, axis=0)
        rows = float(total.sum())
        shares = total / rows if rows else total
        apart = _place_and_width(shares) if is_number else np.zeros((0, len(shares)))
        return cls(shares, rows, apart, np.array(days))

    @property
    def degrees(self) -> int:
        """Degrees of freedom; below 1 there is nothing to ask."""
        return int(np.count_nonzero(self.shares)) - 1 - len(self.apart)

    def moved(self, groups: FloatArray) -> float:
        """Return the share of a window's rows that lie in other groups than before, 0 to 1."""
        total = groups.sum()
        return float(np.abs(groups / total - self.shares).sum() / 2.0) if total and len(self.shares) else 0.0

    def p_value(self, groups: FloatArray, length: int = 1, *, usual: "Shape | None") -> float:
        """Return how likely as different a shape is by chance: of rows, and of days when enough are known.

        Args:
            groups: Rows by group of the window, shape (groups,).
            length: Days of the window. There must be five times as many usual ones to know how such windows differ.
            usual: The days that say how days differ, by the same groups; without any a margin stands in.
        """
        total = float(groups.sum())
        if self.degrees < 1 or not total:
            return 1.0
        square = float(self._squares(groups[None, :])[0]) / (1.0 + total / self.rows)
        if usual is None:
            # A share t of the rows that moves has a chi-square of at least 4 t**2 a row.
            square = max(np.sqrt(square) - 2.0 * MARGIN * np.sqrt(total), 0.0) ** 2
            return float(chi_square_tail(np.array(square), self.degrees))
        by_rows = float(chi_square_tail(np.array(square), self.degrees))
        count = len(usual.days) / length
        if count < FEWEST_WINDOWS or usual.degrees < 1:
            return 1.0
        ratios = np.maximum(usual.of_windows(length), _NOTHING)
        mean = float(ratios.mean())
        # What chi-square is normal in: its cube root when rows alone make it, its log where days do, some by far.
        normal, least = (np.cbrt, 2.0 / 9.0) if mean < _BY_DAYS else (np.log, 2.0 * (2.0 * mean - 1.0) / mean**2)
        found = normal(ratios)
        spread = max(float(found.var(ddof=1)), least / self.degrees)
        t = (normal(max(square / self.degrees, _NOTHING)) - found.mean()) / np.sqrt(spread * (1.0 + 1.0 / count))
        return max(by_rows, float(student_t_cdf(np.array(-t), count - 1.0)))

    def of_windows(self, length: int) -> FloatArray:
        """Return chi-square over its degrees of freedom for every stretch of days of the reference.

        Days go together, a few as much as one: so stretches are measured, not worked out from days.
        """
        sums = np.concatenate([np.zeros((1, len(self.shares))), np.cumsum(self.days, axis=0)])
        windows = sums[length:] - sums[:-length]
        rows = windows.sum(axis=1)
        windows, rows = windows[rows > 0.0], rows[rows > 0.0]
        return self._squares(windows) / np.maximum(1.0 - rows / self.rows, _NOTHING) / self.degrees

    def _squares(self, windows: FloatArray) -> FloatArray:
        """Return the chi-square of each window's rows against the reference's shares, less place and width."""
        known = self.shares > 0.0
        shares, rows = self.shares[known], windows.sum(axis=1)
        gap = windows[:, known] / rows[:, None] / shares - 1.0
        taken = ((gap * shares) @ self.apart[:, known].T) ** 2
        return np.asarray(rows * np.maximum(gap**2 @ shares - taken.sum(axis=1), 0.0))


def _place_and_width(shares: FloatArray) -> FloatArray:
    """Return the two orthonormal components of another place and another width, by group; none of too few groups."""
    known = shares > 0.0
    if np.count_nonzero(known) < 4:  # noqa: PLR2004 — two components and the whole leave nothing of three
        return np.zeros((0, len(shares)))
    p = shares[known]
    place = normal_quantile(np.cumsum(p) - p / 2.0)
    first = place - p @ place
    first /= np.sqrt(p @ first**2)
    second = first**2 - 1.0
    second -= (p @ (second * first)) * first
    second /= np.sqrt(p @ second**2)
    found = np.zeros((2, len(shares)))
    found[:, known] = first, second
    return found
