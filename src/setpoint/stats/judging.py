"""Grades that a judge model gives by the thousand, made honest by the few that people gave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from setpoint.stats.estimate import LEVEL, Estimate, Z
from setpoint.stats.intervals import effective_size, share_of_variance, wilson
from setpoint.stats.special import FloatArray, student_t_quantile

FEWEST_BOTH = 30
"""Rows graded by both below which the judge's bias is unknown, and with it what its grades say."""

PRIOR = 0.5
"""Rows added for each of the four ways in which two grades of 0 and 1 can meet."""

ASSUMED = "people grade a random part of what the judge grades"


@dataclass(frozen=True, slots=True)
class Grades:
    """Weighted sums of the grades of some rows; merging two windows adds them.

    Attributes:
        weight: Sum of row weights.
        weight_of_squares: Sum of squared row weights.
        people: Sum of weight * people's grade.
        people_squares: The same of its square.
        judge: Sum of weight * the judge's grade.
        judge_squares: The same of its square.
        products: Sum of weight * people's grade * the judge's grade.
    """

    weight: float = 0.0
    weight_of_squares: float = 0.0
    people: float = 0.0
    people_squares: float = 0.0
    judge: float = 0.0
    judge_squares: float = 0.0
    products: float = 0.0

    def __add__(self, other: Grades) -> Grades:
        return Grades(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def rows(self) -> float:
        """Effective number of rows."""
        return effective_size(self.weight, self.weight_of_squares)


@dataclass(frozen=True, slots=True)
class Judged:
    """The grades of a window, by who gave them.

    Attributes:
        both: Rows that people and the judge graded.
        people_only: Rows that only people graded.
        judge_only: Rows that only the judge graded.
    """

    both: Grades
    people_only: Grades
    judge_only: Grades

    @classmethod
    def from_rows(cls, people: FloatArray, judge: FloatArray) -> Judged:
        """Return the sums of rows; the reference for every engine that computes them in SQL.

        Args:
            people: People's grade of each row; nan where they gave none.
            judge: The judge's, likewise.
        """
        has_people, has_judge = ~np.isnan(people), ~np.isnan(judge)

        def sums(chosen: NDArray[np.bool_]) -> Grades:
            h, j = (np.where(has & chosen, grade, 0.0) for has, grade in ((has_people, people), (has_judge, judge)))
            size = float(np.count_nonzero(chosen))
            return Grades(size, size, float(np.sum(h)), float(h @ h), float(np.sum(j)), float(j @ j), float(h @ j))

        return cls(sums(has_people & has_judge), sums(has_people & ~has_judge), sums(~has_people & has_judge))


def judged_mean(grades: Judged, *, is_share: bool) -> Estimate:
    """Return the mean grade that people would give to all rows, from theirs and from the judge's.

    Where both graded a row, the judge's error is seen; so the mean of people's grades is moved by what the judge says
    of the other rows, as far as the two go together. A judge that is blind or biased moves it by nothing on average,
    and the interval counts the rows that people graded. Assumes that these are a random part of what the judge
    graded.

    Args:
        grades: The grades of the window.
        is_share: Whether grades are 0 and 1.

    Returns:
        In the unit of the grades. Unknown when the judge graded and fewer than 30 of its rows were graded by people
        too: then nothing says how it errs.

    Example:
        >>> rng = np.random.default_rng(4)
        >>> truth = (rng.random(4000) < 0.7).astype(float)
        >>> judge = np.maximum(truth, rng.random(4000) < 0.5).astype(float)  # calls half of the bad ones good
        >>> people = np.where(np.arange(4000) < 300, truth, np.nan)
        >>> found = judged_mean(Judged.from_rows(people, judge), is_share=True)
        >>> round(float(judge.mean()), 2), round(found.low, 2), round(found.high, 2)
        (0.85, 0.6, 0.68)

    Source: Angelopoulos, Duchi & Zrnic (2023), PPI++, arXiv:2311.01453, for the mean with the tuned weight; rows that
    only people graded enter as in Chen & Chen (2000), Biometrika 87.
    """
    graded, all_judged = grades.both + grades.people_only, grades.both + grades.judge_only
    if not graded.weight and not all_judged.weight:
        return Estimate.unknown("no grade has arrived for this window")
    if grades.judge_only.weight and grades.both.rows < FEWEST_BOTH - 1e-9:
        missing = int(np.ceil(FEWEST_BOTH - grades.both.rows - 1e-9))
        return Estimate.unknown(f"needs {missing} more predictions that people graded as well as the judge")
    if graded.rows < 2.0:  # noqa: PLR2004 — a spread needs two
        return Estimate.unknown("needs 1 more grade")
    mean = graded.people / graded.weight
    judged = grades.judge_only.judge / grades.judge_only.weight - grades.both.judge / grades.both.weight if (
        grades.judge_only.weight
    ) else 0.0  # fmt: skip
    if is_share:
        # Rows that were not seen yet: without them few rows look surer than they are.
        seen = _with_prior(grades)
        graded, all_judged, grades = seen.both + seen.people_only, seen.both + seen.judge_only, seen
    spread = _variance(graded.people, graded.people_squares, graded) / graded.rows
    if grades.judge_only.weight:
        noise = _variance(all_judged.judge, all_judged.judge_squares, all_judged)
        noise *= 1.0 / grades.judge_only.rows + 1.0 / grades.both.rows
        shared = _covariance(grades.both) / graded.rows
        trust = min(max(shared / noise, 0.0), 1.0) if noise > 0.0 else 0.0
        mean += trust * judged
        spread += trust * trust * noise - 2.0 * trust * shared
    if is_share:
        student = student_t_quantile((1.0 + LEVEL) / 2.0, graded.rows - 1.0) / Z
        return share_of_variance(mean, spread * student * student, graded.rows)
    half = student_t_quantile((1.0 + LEVEL) / 2.0, graded.rows - 1.0) * float(np.sqrt(max(spread, 0.0)))
    return Estimate(mean, mean - half, mean + half)


def judge_bias(both: Grades) -> Estimate:
    """Return by how much the judge grades higher than people do, where both graded.

    Args:
        both: Rows that people and the judge graded.

    Returns:
        In the unit of the grades; Student interval of the differences. Unknown with fewer than 30 such rows.

    Example:
        >>> people, judge = np.repeat([1.0, 0.0], 50), np.repeat([1.0, 1.0, 0.0, 0.0], 25)
        >>> found = judge_bias(Judged.from_rows(people, np.maximum(judge, people * 1.0)).both)
        >>> found.value
        0.0
    """
    missing = int(np.ceil(FEWEST_BOTH - both.rows - 1e-9))
    if missing > 0:
        return Estimate.unknown(f"needs {missing} more predictions that people graded as well as the judge")
    gap = (both.judge - both.people) / both.weight
    squares = both.judge_squares - 2.0 * both.products + both.people_squares
    variance = max(squares / both.weight - gap * gap, 0.0) * both.rows / (both.rows - 1.0)
    half = student_t_quantile((1.0 + LEVEL) / 2.0, both.rows - 1.0) * float(np.sqrt(variance / both.rows))
    return Estimate(gap, gap - half, gap + half)


def judge_agreement(same: float, both: Grades) -> Estimate:
    """Return the share of rows graded by both of which they say the same, right or wrong.

    Args:
        same: Weight of the rows that they agree about.
        both: Rows that people and the judge graded.

    Returns:
        Between 0 and 1, Wilson interval; unknown with fewer than 30 such rows.

    Example:
        >>> judge_agreement(45.0, Grades(50.0, 50.0)).value
        0.9
    """
    missing = int(np.ceil(FEWEST_BOTH - both.rows - 1e-9))
    if missing > 0:
        return Estimate.unknown(f"needs {missing} more predictions that people graded as well as the judge")
    return wilson(min(same, both.weight), both.weight, both.rows)


def _with_prior(grades: Judged) -> Judged:
    """Return the grades with a row more for each pair of grades 0 and 1, weighing half a row each."""
    one = grades.both.weight_of_squares / grades.both.weight if grades.both.weight else 1.0
    row = PRIOR * one
    pairs = Grades(4.0 * row, 4.0 * row * one, 2.0 * row, 2.0 * row, 2.0 * row, 2.0 * row, row)
    return Judged(grades.both + pairs, grades.people_only, grades.judge_only)


def _variance(total: float, squares: float, grades: Grades) -> float:
    mean = total / grades.weight
    return max(squares / grades.weight - mean * mean, 0.0) * grades.rows / max(grades.rows - 1.0, 1.0)


def _covariance(both: Grades) -> float:
    mean = both.people * both.judge / both.weight**2
    return (both.products / both.weight - mean) * both.rows / max(both.rows - 1.0, 1.0)
