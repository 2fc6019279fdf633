"""Whether rows lie in other groups than before: more than days usually do, and than another place and width explain."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.stats.special import FloatArray, chi_square_tail, normal_quantile, student_t_cdf

FEWEST_WINDOWS = 5
"""How many windows of its length a reference must hold before it is known how they differ."""

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
            >>> [round(usual.p_value(day, knows_days=True), 3) for day in days]
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

    def p_value(self, groups: FloatArray, length: int = 1, *, knows_days: bool) -> float:
        """Return how likely as different a shape is by chance: of rows, and of days when enough are known.

        Args:
            groups: Rows by group of the window, shape (groups,).
            length: Days of the window. The reference must have five times as many to know how such windows differ.
            knows_days: Whether the days of the reference say how days differ; else a margin stands in.
        """
        total = float(groups.sum())
        if self.degrees < 1 or not total:
            return 1.0
        square = self._square(groups) / (1.0 + total / self.rows)
        if not knows_days:
            # A share t of the rows that moves has a chi-square of at least 4 t**2 a row.
            square = max(np.sqrt(square) - 2.0 * MARGIN * np.sqrt(total), 0.0) ** 2
            return float(chi_square_tail(np.array(square), self.degrees))
        by_rows = float(chi_square_tail(np.array(square), self.degrees))
        count = len(self.days) / length
        if count < FEWEST_WINDOWS:
            return 1.0
        usual = self._usual(length)
        spread = max(float(usual.var(ddof=1)), 2.0 / (9.0 * self.degrees))
        t = (np.cbrt(square / self.degrees) - usual.mean()) / np.sqrt(spread * (1.0 + 1.0 / count))
        return max(by_rows, float(student_t_cdf(np.array(-t), count - 1.0)))

    def _usual(self, length: int) -> FloatArray:
        """Return the cube root of chi-square over its degrees for every stretch of days of the reference.

        Days go together, a few as much as one: so stretches are measured, not worked out from days.
        """
        sums = np.concatenate([np.zeros((1, len(self.shares))), np.cumsum(self.days, axis=0)])
        windows = sums[length:] - sums[:-length]
        return np.array(
            [
                np.cbrt(self._square(window) / max(1.0 - window.sum() / self.rows, 1e-9) / self.degrees)
                for window in windows
                if window.sum()
            ]
        )

    def _square(self, groups: FloatArray) -> float:
        """Return the chi-square of rows against the reference's shares, less place and width."""
        total = float(groups.sum())
        if not total:
            return 0.0
        known = self.shares > 0.0
        shares = self.shares[known]
        gap = groups[known] / total / shares - 1.0
        taken = ((self.apart[:, known] * shares * gap).sum(axis=1) ** 2).sum()
        return total * max(float(shares @ gap**2) - float(taken), 0.0)


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
