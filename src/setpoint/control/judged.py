"""What a judge looks at: metrics, the views of each, and what bets on them win in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from setpoint.core.errors import UsageError
from setpoint.stats.assignment import log_block_factors, log_odds_factors, log_pair_factors
from setpoint.stats.betting import log_rate_factors
from setpoint.stats.likeness import Likeness
from setpoint.stats.special import FloatArray

Evidence = tuple[int, int] | Sequence[float] | FloatArray
"""Rows and those of them in which it happened, or a value of each row in the order of time."""


Flags = NDArray[np.bool_]


class View(NamedTuple):
    """One way to look at a metric.

    Attributes:
        name: Of the view; the metric's for its first.
        share: Of what is staked on the metric, between 0 and 1.
        stakes: How that is spread over bets that the candidate is worse, sum 1.
        fine_stakes: The same of bets that it is better than the red line.
    """

    name: str
    share: float
    stakes: tuple[float, ...]
    fine_stakes: tuple[float, ...]


class Won(NamedTuple):
    """The logarithm of what the bets on one view win in one batch, in the order of its stakes."""

    worse: FloatArray
    fine: FloatArray


# Of counts: odds ratios that are bet on, as powers of the red line; against it, that versions are about equal.
_POWERS, _STAKES = (0.3, 0.6, 1.0, 1.6, 2.3), (0.08, 0.2, 0.44, 0.2, 0.08)
_FINE_POWERS, _FINE_STAKES = (-0.3, 0.0, 0.4), (0.2, 0.6, 0.2)
# Of values: a quarter of the tilt that suits the red line, a half, the whole, twice. Where likeness has these, one bet
# on the mean stands beside them; values have a longer tail than the tilt is for, so it is a bit less bold.
_RUNGS, _ON_LIKENESS, _MEAN_BOLDNESS = (0.1, 0.25, 0.5, 0.15), 0.8, 0.7
_BOTH = (*(_ON_LIKENESS * stake for stake in _RUNGS), 1.0 - _ON_LIKENESS)
_FINE_RUNGS = (0.3, 0.7)
# Of a share beside its limit: odds that are bet on, as factors of the limit's.
_BEYOND, _BEYOND_STAKES = (1.25, 1.6, 2.5), (0.3, 0.4, 0.3)
_LIMIT_SHARE, _FIRST_VIEW_SHARE = 0.2, 0.7


@dataclass(frozen=True, slots=True)
class Counted:
    """A metric that happens or does not: errors, wrong answers, refusals.

    Attributes:
        name: Such as `errors`.
        red_line: Odds ratio that would be too bad, above 1: 2 is about twice as often.
        weight: How much of the false rollbacks it may cause, beside other metrics.
        limit: Share of the candidate's rows, between 0 and 1, that would be too bad whatever befalls the stable
            version; None for no such.

    Example:
        >>> [view.name for view in Counted("errors", limit=0.2).views]
        ['errors', 'errors at 0.2']
    """

    name: str
    red_line: float = 2.0
    weight: float = 1.0
    limit: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be judged."""
        _check(self.name, self.weight, self.red_line)
        if self.limit is not None and not 0.0 < self.limit < 1.0:
            msg = f"a limit of {self.limit:g} for {self.name}, expected a share between 0 and 1"
            raise UsageError(msg, hint="0.2 is one row in five")

    @property
    def views(self) -> tuple[View, ...]:
        """How it is looked at."""
        if self.limit is None:
            return (View(self.name, 1.0, _STAKES, _FINE_STAKES),)
        return (
            View(self.name, 1.0 - _LIMIT_SHARE, _STAKES, _FINE_STAKES),
            View(f"{self.name} at {self.limit:g}", _LIMIT_SHARE, _BEYOND_STAKES, _BEYOND_STAKES),
        )

    def won(self, stable: Evidence, candidate: Evidence) -> list[Won]:
        """Return what the bets on each view win in one batch.

        Args:
            stable: Rows of the stable version, and those of them in which it happened.
            candidate: The same of the candidate.

        Raises:
            UsageError: Not two whole numbers, the second between 0 and the first.
        """
        held, tried = (_table(self.name, one) for one in (stable, candidate))
        return [_of_tables(held, tried, self.red_line), *_beside_limit(self, *tried)]


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric with values of which more is worse: latency, cost, loss.

    Of the values, those above `clip` count as it: a mean is not to be one request's. What happens above the thresholds
    is looked at beside it, so a tail that grows is seen that the mean hardly moves by. `of` takes all of it from past
    values of the stable version. Of a score of which more is better, give how far it is from the best.

    Attributes:
        name: Such as `latency_seconds`.
        mean: Of the stable version's history, clipped.
        variance: Of the same, above 0; of pairs, half of that of their differences.
        clip: The largest value that counts, such as the history's P99.5.
        thresholds: Such as the history's P50, P95 and P99; may be empty.
        red_line: Ratio to the stable version's values that would be too bad, above 1.
        tail_red_line: Odds ratio of values above a threshold that would be too bad, above 1.
        weight: How much of the false rollbacks it may cause, beside other metrics.
        likeness: How much likelier values are when all are larger by the red line; None to bet on the mean alone.
    """

    name: str
    mean: float
    variance: float
    clip: float
    thresholds: tuple[float, ...] = ()
    red_line: float = 1.25
    tail_red_line: float = 2.0
    weight: float = 1.0
    likeness: Likeness | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be judged."""
        _check(self.name, self.weight, self.red_line, self.tail_red_line)
        if not (self.mean > 0.0 and self.variance > 0.0 and np.isfinite([self.mean, self.variance, self.clip]).all()):
            msg = f"a mean of {self.mean:g} and a variance of {self.variance:g} for {self.name}, expected both above 0"
            raise UsageError(msg, hint="of the stable version's values, clipped; Measured.of computes them")

    @classmethod
    def of(
        cls,
        name: str,
        history: Sequence[float] | FloatArray,
        *,
        red_line: float = 1.25,
        tail_red_line: float = 2.0,
        quantiles: Sequence[float] = (0.5, 0.95, 0.99),
        clip_quantile: float = 0.995,
        weight: float = 1.0,
    ) -> Self:
        """Return the metric as past values of the stable version say it; a thousand or more should be there.

        Args:
            name: See above.
            history: Values from before the rollout, 0 or above.
            red_line: See above.
            tail_red_line: See above.
            quantiles: Where the thresholds lie, between 0 and 1.
            clip_quantile: Where the clip lies.
            weight: See above.

        Raises:
            UsageError: Values that are missing, negative or all the same.

        Example:
            >>> past = np.random.default_rng(1).lognormal(0.0, 0.5, 10_000)
            >>> latency = Measured.of("latency_seconds", past)
            >>> [round(one, 1) for one in latency.thresholds], round(latency.clip, 1)
            ([1.0, 2.2, 3.2], 3.6)
        """
        past = _values(name, history)
        if not len(past) or past.min() < 0.0 or past.min() == past.max():
            msg = f"a history of {name} with {len(past)} values, expected several different ones of 0 or above"
            raise UsageError(msg, hint="take the stable version's values of some days")
        clip = float(np.quantile(past, clip_quantile)) or float(past.max())
        clipped = np.minimum(past, clip)
        # A threshold that nothing was below of or nothing above could only repeat another one, or tell nothing.
        thresholds = sorted({float(one) for one in np.quantile(past, quantiles)} - {float(past.max())})
        return cls(
            name,
            float(clipped.mean()),
            float(clipped.var()),
            clip,
            tuple(thresholds),
            red_line,
            tail_red_line,
            weight,
            Likeness.fit(past, red_line),
        )

    @property
    def views(self) -> tuple[View, ...]:
        """How it is looked at."""
        first = _FIRST_VIEW_SHARE if self.thresholds else 1.0
        return (
            View(self.name, first, _BOTH if self.likeness else _RUNGS, _FINE_RUNGS),
            *(
                View(f"{self.name} above {at:g}", (1.0 - first) / len(self.thresholds), _STAKES, _FINE_STAKES)
                for at in self.thresholds
            ),
        )

    def won(self, stable: Evidence, candidate: Evidence) -> list[Won]:
        """Return what the bets on each view win in one batch.

        Args:
            stable: Values of the stable version's rows, in the order of time.
            candidate: The same of the candidate's.

        Raises:
            UsageError: Values that are missing or no numbers.
        """
        held, tried = (_values(self.name, one) for one in (stable, candidate))
        return [first_view(self, held, tried), *_tails(self, held, tried, _of_flags)]


@dataclass(frozen=True, slots=True)
class Paired:
    """A metric of requests that both versions answered, as in a shadow: the candidate's value beside the stable one's.

    What makes a request hard is the same on both sides and cancels. Rows are given one by one for both versions, in the
    same order: values, or for what happens or does not, 1 and 0. It assumes that of two equal versions each is as
    likely to be the worse one on a request: a shadow that waits in another queue is not equal in latency.

    Attributes:
        of: The metric.

    Example:
        >>> Paired(Counted("wrong answers")).name
        'wrong answers'
    """

    of: Counted | Measured

    @property
    def name(self) -> str:
        """The metric's."""
        return self.of.name

    @property
    def weight(self) -> float:
        """The metric's."""
        return self.of.weight

    @property
    def views(self) -> tuple[View, ...]:
        """How it is looked at."""
        return self.of.views

    def won(self, stable: Evidence, candidate: Evidence) -> list[Won]:
        """Return what the bets on each view win in one batch.

        Args:
            stable: A value of each request, or whether it happened.
            candidate: The same of the same requests.

        Raises:
            UsageError: Not as many of both, values that are missing, or neither 0 nor 1.
        """
        held, tried = (_values(self.name, one) for one in (stable, candidate))
        if len(held) != len(tried):
            msg = f"{len(held)} rows of the stable version and {len(tried)} of the candidate for {self.name}"
            raise UsageError(msg, hint="pairs are of the same requests, in the same order")
        if isinstance(self.of, Measured):
            return [first_view(self.of, held, tried), *_tails(self.of, held, tried, _of_pairs)]
        if not np.isin([*held, *tried], (0.0, 1.0)).all():
            msg = f"pairs of {self.name} that are neither 0 nor 1"
            raise UsageError(msg, hint="1 for each request in which it happened, else 0")
        return [
            _of_pairs(held > 0.0, tried > 0.0, self.of.red_line),
            *_beside_limit(self.of, len(tried), int(tried.sum())),
        ]


Metric = Counted | Measured | Paired


def first_view(metric: Measured, held: FloatArray, tried: FloatArray) -> Won:
    """Return what bets on the values themselves win.

    Args:
        metric: What the values are of.
        held: Of the stable version, in one batch or in several of the same rows, shape (..., rows).
        tried: The same of the candidate.
    """
    # Divided by the red line the candidate's would be like the stable version's: it is bet that those are larger.
    scaled = tried / metric.red_line
    mean_tilt = (metric.red_line - 1.0) * metric.mean / metric.variance
    clipped = [np.minimum(values, metric.clip) for values in (held, tried, scaled)]
    if metric.likeness is None:
        worse = log_block_factors(clipped[0], clipped[1], mean_tilt / 4.0, len(_RUNGS))
        return Won(worse, log_block_factors(clipped[2], clipped[0], mean_tilt / 2.0, len(_FINE_RUNGS)))
    like = [metric.likeness.of(values) for values in (held, tried, scaled)]
    worse = [
        log_block_factors(like[0], like[1], 0.25, len(_RUNGS)),
        log_block_factors(clipped[0], clipped[1], mean_tilt * _MEAN_BOLDNESS),
    ]
    return Won(np.concatenate(worse), log_block_factors(like[2], like[0], 0.5, len(_FINE_RUNGS)))


def _tails(
    metric: Measured, held: FloatArray, tried: FloatArray, count: Callable[[Flags, Flags, float], Won]
) -> list[Won]:
    return [count(held > at, tried > at, metric.tail_red_line) for at in metric.thresholds]


def _beside_limit(metric: Counted, rows: int, hits: int) -> list[Won]:
    """Return what bets on the candidate's share beside the limit win, when there is one."""
    if metric.limit is None:
        return []
    odds = metric.limit / (1.0 - metric.limit)
    above, below = ([one / (1.0 + one) for one in each] for each in _around(odds))
    return [Won(*(log_rate_factors(rows, hits, metric.limit, rates) for rates in (above, below)))]


def _of_tables(held: tuple[int, int], tried: tuple[int, int], red_line: float) -> Won:
    return _split(log_odds_factors(held, tried, *_odds(red_line)))


def _of_flags(held: Flags, tried: Flags, red_line: float) -> Won:
    return _of_tables((len(held), int(held.sum())), (len(tried), int(tried.sum())), red_line)


def _of_pairs(held: Flags, tried: Flags, red_line: float) -> Won:
    return _split(log_pair_factors(int((held & ~tried).sum()), int((tried & ~held).sum()), *_odds(red_line)))


def _odds(red_line: float) -> tuple[list[float], list[float]]:
    """Return the odds ratios that are bet on, and what each is bet against."""
    bets = [red_line**power for power in (*_POWERS, *_FINE_POWERS)]
    return bets, [1.0] * len(_POWERS) + [red_line] * len(_FINE_POWERS)


def _split(logs: FloatArray) -> Won:
    return Won(logs[: len(_POWERS)], logs[len(_POWERS) :])


def _around(odds: float) -> tuple[list[float], list[float]]:
    return [odds * one for one in _BEYOND], [odds / one for one in _BEYOND]


def _table(name: str, given: Evidence) -> tuple[int, int]:
    if not isinstance(given, tuple) or len(given) != 2 or not all(isinstance(one, int | np.integer) for one in given):  # noqa: PLR2004 — rows and hits
        msg = f"{_shown(given)} for {name}, expected rows and those of them in which it happened"
        raise UsageError(msg, hint=f'such as {{"{name}": (900, 4)}}')
    rows, hits = int(given[0]), int(given[1])
    if not 0 <= hits <= rows:
        msg = f"{hits} of {rows} rows for {name}"
        raise UsageError(msg, hint="the rows come first, then those of them in which it happened")
    return rows, hits


def _values(name: str, given: Evidence) -> FloatArray:
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"{_shown(given)} for {name}, expected a number of each row"
        raise UsageError(msg, hint="a list or an array of numbers, in the order of time") from error
    if values.ndim != 1 or isinstance(given, tuple):
        msg = f"{_shown(given)} for {name}, expected a value of each row"
        raise UsageError(msg, hint="a list or an array of numbers; Counted takes rows and hits")
    if not np.isfinite(values).all():
        msg = f"{int((~np.isfinite(values)).sum())} of {len(values)} values of {name} are missing or infinite"
        raise UsageError(msg, hint="leave such rows out of both versions, or count them as a metric of their own")
    return values


def _shown(given: object) -> str:
    text = repr(given)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


_LONGEST = 40


def _check(name: str, weight: float, *red_lines: float) -> None:
    for red_line in red_lines:
        if not 1.0 < red_line < np.inf:
            msg = f"a red line of {red_line:g} for {name}, expected more than 1"
            raise UsageError(msg, hint="2 is twice the odds of the stable version, 1.25 a quarter more")
    if not 0.0 < weight < np.inf:
        msg = f"a weight of {weight:g} for {name}, expected more than 0"
        raise UsageError(msg, hint="1 for each shares the risk evenly")
