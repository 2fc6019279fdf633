"""How much a statistic of a window may differ from that of the days before it, when nothing has changed.

Two noises make days differ: each has a finite number of rows, and days differ by themselves, by weekday, or from one
to the next. A test that knows only the first alarms every day once there are rows enough. Here both are learned from
the days of a reference, and for many features at once, since four weeks of one feature say too little.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import lgamma
from typing import cast

import numpy as np

from setpoint.stats.special import FloatArray, IntArray, normal_cdf, student_t_cdf

WEEKS_FOR_WEEKDAYS = 4
_DAY_VARIANCES = np.concatenate([[0.0], 10.0 ** np.arange(-1.0, 5.01, 1 / 3)])
_WEEKDAY_VARIANCES = np.concatenate([[0.0], 10.0 ** np.arange(-1.0, 5.01, 2 / 3)])
_CORRELATIONS = np.array([0.0, 0.5, 0.8, 0.93])
_TAILS = (np.inf, 10.0, 6.0, 4.0, 3.0)  # degrees of freedom; the first is the normal distribution
_LIGHT = 0.98  # prior chance that days have no heavy tails

_FEATURES_THAT_ARE_CALM, _FEATURES_WITH_LIGHT_TAILS = 4.0, 1.0
"""As how many features the prior counts beside the measured ones (bench/drift.py)."""

_ROUNDS = 30
_OUT_OF_THE_QUESTION = 1e-9
_LIKELY = 0.02
"""From which p-value on tails do not matter."""

_CALM, _EVEN = 0.98, 0.9  # prior chance that days do not differ by themselves, and that weekdays do not


@dataclass(frozen=True, slots=True)
class _Grid:
    """Candidates for the noise of days, each a covariance of the days of a reference.

    Attributes:
        days: See `DayNoise`.
        correlations: See `DayNoise`.
        weekdays: See `DayNoise`.
        prior: Chance of each before anything was measured.
        inverse: Inverse covariances, shape (candidates, days, days).
        projected: The same with the mean taken out.
        fit: Log likelihood but for its quadratic form.
        sums: Row sums of the inverse, shape (candidates, days).
        lower: Lower Cholesky factors.
    """

    days: FloatArray
    correlations: FloatArray
    weekdays: FloatArray
    prior: FloatArray
    inverse: FloatArray
    projected: FloatArray
    fit: FloatArray
    sums: FloatArray
    lower: FloatArray


@dataclass(frozen=True, slots=True)
class DayNoise:
    """The noise of days of some features, learned from a reference.

    Attributes:
        unit: Mean rows of a day of the reference.
        tails: How likely each tail of `_TAILS` is, by feature, shape (features, tails).
        days: Variance that a day has of its own by candidate, in units of a mean day's sampling variance, shape
            (candidates,). Candidates that are out of the question were left out.
        correlations: Of that between one day and the next.
        weekdays: Variance that a weekday has of its own, same unit.
        chances: How likely each candidate is, by feature, shape (features, candidates).
        means: Mean of each feature by candidate.
        lifts: What is known of each weekday beyond the mean, shape (7, features, candidates).
        known: How well each weekday's mean is known: row sums of the inverse covariance over its days, shape
            (7, candidates).
        known_together: The same of two weekdays, shape (7, 7, candidates).
        known_in_all: Of the mean of all, shape (candidates,).
    """

    unit: float
    tails: FloatArray
    days: FloatArray
    correlations: FloatArray
    weekdays: FloatArray
    chances: FloatArray
    means: FloatArray
    lifts: FloatArray
    known: FloatArray
    known_together: FloatArray
    known_in_all: FloatArray

    @classmethod
    def learn(
        cls, values: FloatArray, rows: FloatArray, weekday: IntArray | None = None, *, last: int | None = None
    ) -> "DayNoise":
        """Learn it from the days of a reference.

        The chance of each candidate (variance of days, from day to day, of weekdays) is its likelihood times how
        often the other features show it: an empirical Bayes prior on a grid. Weekdays are told apart from four
        weeks on.

        Args:
            values: The statistic of each day, in standard deviations of a single row, so that a day of n rows has a
                sampling variance of 1 / n; shape (features, days), without missing values.
            rows: Rows of each day, positive, shape (days,).
            weekday: Weekday of each day, 0 to 6; None when days have none.
            last: How many of the last days windows are held against; those before only say how days differ. All by
                default.

        Raises:
            ValueError: There are fewer than two days, or a day without rows.

        Example:
            >>> rng = np.random.default_rng(0)
            >>> rows = np.full(28, 1000.0)
            >>> quiet = DayNoise.learn(rng.normal(0.0, rows**-0.5, (5, 28)), rows)
            >>> moody = DayNoise.learn(rng.normal(0.0, 0.2, (5, 28)), rows)
            >>> today = np.full(5, 0.2)  # two tenths of a standard deviation
            >>> [float(noise.p_values(today, np.array([1000.0])).max().round(2)) for noise in (quiet, moody)]
            [0.0, 0.4]

        Source: Searle, Casella & McCulloch, Variance Components (1992), for the restricted likelihood; Morris (1983),
        JASA 78, for empirical Bayes.
        """
        if values.ndim != 2 or values.shape[1] < 2 or not bool(np.all(rows > 0.0)):  # noqa: PLR2004 — features by days
            msg = "a reference has at least two days, each with rows"
            raise ValueError(msg)
        is_told = weekday is not None and len(rows) >= WEEKS_FOR_WEEKDAYS * 7
        days = weekday if is_told and weekday is not None else np.zeros(len(rows), dtype=np.int64)
        unit = float(rows.mean())
        scaled = values * np.sqrt(unit)
        most = int(np.ceil(np.log10(max(float(scaled.var(axis=1).max()), 1.0)))) + 1
        grid = _grid(tuple(rows.tolist()), tuple(days.tolist()), is_told, most)
        chances = _chances(grid, scaled)
        tails = _tails(grid, scaled, chances)
        kept = np.flatnonzero(chances.max(axis=0) > _OUT_OF_THE_QUESTION)
        inverse = grid.inverse[kept]
        if last is not None and last < len(rows):  # what is known of a few days is the covariance of those alone
            lower = grid.lower[kept, -last:]
            inverse = np.linalg.inv(lower @ lower.transpose(0, 2, 1))
            scaled, days = scaled[:, -last:], days[-last:]
        sums = inverse.sum(axis=2)
        of_weekday = (np.arange(7)[:, None] == days[None, :]).astype(np.float64)
        solved = np.einsum("kij,wj->wki", inverse, of_weekday)
        known, in_all = solved.sum(axis=2), sums.sum(axis=1)
        means = (scaled @ sums.T) / in_all
        lifts = np.einsum("wki,fi->wfk", solved, scaled) - known[:, None, :] * means
        together = np.einsum("wki,vi->wvk", solved, of_weekday)
        return cls(
            unit, tails, grid.days[kept], grid.correlations[kept], grid.weekdays[kept], chances[:, kept],
            means, lifts, known, together, in_all,
        )  # fmt: skip

    def p_values(self, mean: FloatArray, rows: FloatArray, weekday: IntArray | None = None) -> FloatArray:
        """Return how likely a mean as far away is, for each feature, if nothing has changed.

        Args:
            mean: The statistic of the window, in the unit of the days', shape (features,).
            rows: Rows of each day of the window, positive, shape (days of the window,).
            weekday: Weekday of each of them; None when days have none.

        Returns:
            Two-sided p-values, shape (features,): averages over the candidates, so that what is not known of the
            noise counts too.
        """
        expected, spread = self._predicted(rows, weekday)
        z = -np.abs(mean[:, None] * np.sqrt(self.unit) - expected) / spread
        found = np.minimum(2.0 * (self.chances * normal_cdf(z)).sum(axis=1), 1.0)
        for n in np.flatnonzero(found < _LIKELY):
            each = [2.0 * float(self.chances[n] @ _below(z[n], tail)) for tail in _TAILS]
            found[n] = min(float(self.tails[n] @ each), 1.0)
        return found

    def _predicted(self, rows: FloatArray, weekday: IntArray | None) -> tuple[FloatArray, FloatArray]:
        """Return the best linear prediction of a window's mean and its standard deviation, by candidate.

        The weekdays of the reference tell of the window's.
        """
        weights = rows / rows.sum()
        days = np.zeros(len(rows), dtype=np.int64) if weekday is None else weekday
        share = np.bincount(days, weights=weights, minlength=7)
        apart = np.abs(np.subtract.outer(np.arange(len(rows)), np.arange(len(rows))))
        together = {r: weights @ (float(r) ** apart if r else np.eye(len(rows))) @ weights for r in _CORRELATIONS}
        known = share @ self.known
        variance = (
            self.unit / rows.sum()
            + self.days * np.array([together[r] for r in self.correlations])
            + self.weekdays * (share @ share)
            - self.weekdays**2 * np.einsum("w,v,wvk->k", share, share, self.known_together)
            + (1.0 - self.weekdays * known) ** 2 / self.known_in_all
        )
        expected = self.means + self.weekdays * np.einsum("w,wfk->fk", share, self.lifts)
        return expected, np.sqrt(variance)


@lru_cache(maxsize=4)
def _grid(rows: tuple[float, ...], weekday: tuple[int, ...], is_told: bool, most: int) -> _Grid:  # noqa: FBT001 — a cache's key
    """Return the candidates for a reference of these days whose variances have at most so many decades.

    Those ten times as large as any feature's are out of the question, and most of the work.
    """
    weekdays = _WEEKDAY_VARIANCES if is_told else np.zeros(1)
    of_days = [(0.0, 0.0), *((v, r) for v in _DAY_VARIANCES[1:] for r in _CORRELATIONS)]
    found = np.array([(v, r, w) for v, r in of_days for w in weekdays])
    own, correlation, by_weekday = found[np.maximum(found[:, 0], found[:, 2]) < 1.01 * 10.0**most].T
    count = len(rows)
    apart = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    kernels = {r: float(r) ** apart if r else np.eye(count) for r in _CORRELATIONS}
    same = np.equal.outer(np.array(weekday), np.array(weekday)).astype(np.float64)
    sampling = np.diag(np.mean(rows) / np.array(rows))
    covariance = np.array(
        [sampling + v * kernels[r] + w * same for v, r, w in zip(own, correlation, by_weekday, strict=True)]
    )
    inverse = np.linalg.inv(covariance)
    lower = np.linalg.cholesky(covariance)
    sums = inverse.sum(axis=2)
    total = sums.sum(axis=1)
    log_determinant = 2.0 * np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    moody = (1.0 - _CALM) / (len(of_days) - 1)
    prior = np.where(own == 0.0, _CALM, moody)
    if is_told:
        prior *= np.where(by_weekday == 0.0, _EVEN, (1.0 - _EVEN) / (len(weekdays) - 1))
    return _Grid(
        own,
        correlation,
        by_weekday,
        prior,
        inverse,
        inverse - sums[:, :, None] * sums[:, None, :] / total[:, None, None],
        -0.5 * (log_determinant + np.log(total)),
        sums,
        lower,
    )


def _chances(grid: _Grid, values: FloatArray) -> FloatArray:
    """Return how likely each candidate is for each feature, by its own days and by what the others show."""
    quadratic = np.einsum("fi,gij,fj->fg", values, grid.projected, values, optimize=True)
    return _shared(grid.fit - 0.5 * quadratic, grid.prior, _FEATURES_THAT_ARE_CALM)


def _tails(grid: _Grid, values: FloatArray, chances: FloatArray) -> FloatArray:
    """Return how likely each tail is for each feature, when the likeliest covariance is taken off.

    By its own days and by what the others show: four weeks of one feature say little of tails.
    """
    best = chances.argmax(axis=1)
    means = (grid.sums[best] * values).sum(axis=1) / grid.sums[best].sum(axis=1)
    residuals = (values - means[:, None])[:, :, None]
    whitened = cast("FloatArray", np.linalg.solve(grid.lower[best], residuals))[:, :, 0]
    scale = np.sqrt(np.mean(whitened**2, axis=1, keepdims=True))
    standard = np.divide(whitened, scale, out=np.zeros_like(whitened), where=scale > 0.0)
    fits = np.array([_fit_of_tail(standard, tail) for tail in _TAILS]).T * (scale > 0.0)
    first = np.array([_LIGHT, *[(1.0 - _LIGHT) / (len(_TAILS) - 1)] * (len(_TAILS) - 1)])
    return _shared(fits, first, _FEATURES_WITH_LIGHT_TAILS)


def _fit_of_tail(values: FloatArray, degrees: float) -> FloatArray:
    """Return the log likelihood of each row by Student's distribution with variance 1, less that of the normal one."""
    normal = -0.5 * (np.log(2.0 * np.pi) + values**2).sum(axis=1)
    if np.isinf(degrees):
        return np.zeros(len(values))
    constant = lgamma((degrees + 1.0) / 2.0) - lgamma(degrees / 2.0) - 0.5 * np.log((degrees - 2.0) * np.pi)
    each = constant - (degrees + 1.0) / 2.0 * np.log1p(values**2 / (degrees - 2.0))
    return np.asarray(each.sum(axis=1) - normal)


def _below(z: FloatArray, degrees: float) -> FloatArray:
    """Return the chance of less than `z` standard deviations."""
    return normal_cdf(z) if np.isinf(degrees) else student_t_cdf(z * np.sqrt(degrees / (degrees - 2.0)), degrees)


def _shared(fits: FloatArray, first: FloatArray, count: float) -> FloatArray:
    """Return how likely each candidate is for each feature: by its own likelihood, and how often the others show it.

    Args:
        fits: Log likelihoods, shape (features, candidates).
        first: Chance of each candidate before anything was measured.
        count: As how many features that counts.
    """
    likelihood = np.exp(fits - fits.max(axis=1, keepdims=True))
    prior = first
    for _ in range(_ROUNDS):
        chances = likelihood * prior
        chances /= chances.sum(axis=1, keepdims=True)
        prior = (count * first + chances.sum(axis=0)) / (count + len(fits))
    chances = likelihood * prior
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))
