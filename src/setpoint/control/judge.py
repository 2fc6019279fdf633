"""Whether a candidate is worse than the stable version, or better than a red line, looked at as often as one likes.

Source: Ville (1939) for the limit on wealth; Vovk & Wang (2021), "E-values", Annals of Statistics 49, for the mean over
metrics; Wang & Ramdas (2022), "False discovery rate control with e-values", JRSS B 84, for which metric it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import msgspec
import numpy as np

from setpoint.core.errors import UsageError
from setpoint.stats.assignment import log_block_factors, log_mean, log_odds_factors
from setpoint.stats.special import FloatArray

Batch = Mapping[str, "tuple[int, int] | FloatArray"]
"""By metric: rows and those of them in which it happened, or the values of all rows in the order of time."""

# What is bet on, as powers of the red line: a little worse, as bad as it, worse; and how the stake is spread.
_WORSE, _STAKES = (0.3, 0.6, 1.0, 1.6, 2.3), (0.1, 0.2, 0.4, 0.2, 0.1)
# Against the red line it is bet that the versions are equal, or nearly so.
_FINE, _FINE_STAKES = (-0.3, 0.0, 0.4), (0.25, 0.5, 0.25)


@dataclass(frozen=True, slots=True)
class Counted:
    """A metric that happens or does not: errors, wrong answers, refusals.

    Attributes:
        name: Such as `errors`.
        red_line: Odds ratio that would be too bad, above 1: 2 is about twice as often.
        weight: How much of the false rollbacks it may cause, beside other metrics.
    """

    name: str
    red_line: float = 2.0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric with values of which more is worse: latency, cost, loss.

    Of the values, those above `clip` count as it: a mean is not to be one request's. What happens above the thresholds
    is looked at beside it, so a tail that grows is seen that the mean hardly moves by.

    Attributes:
        name: Such as `latency_seconds`.
        mean: Of the stable version's history, clipped.
        variance: Of the same, above 0.
        clip: The largest value that counts, such as the history's P99.5.
        thresholds: Such as the history's P50, P95 and P99; may be empty.
        red_line: Ratio to the stable version's values that would be too bad, above 1.
        tail_red_line: Odds ratio of values above a threshold that would be too bad, above 1.
        weight: As above.
    """

    name: str
    mean: float
    variance: float
    clip: float
    thresholds: tuple[float, ...] = ()
    red_line: float = 1.25
    tail_red_line: float = 2.0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the evidence says so far.

    Attributes:
        is_worse: Whether the candidate is to be rolled back.
        is_fine: Whether it may be promoted: better than the red line in every view.
        worse: The metrics that it is worse in, when it is: of those named a share of at most the risk is wrong.
        evidence: By metric, what bets that it is worse have won; 1 at the start.
        least_fine: The view that is the furthest from being shown better than its red line, and what its bets have won.
    """

    is_worse: bool
    is_fine: bool
    worse: tuple[str, ...]
    evidence: Mapping[str, float]
    least_fine: tuple[str, float]


class _State(msgspec.Struct):
    """What bets have won, as logarithms, by view."""

    worse: dict[str, list[float]]
    fine: dict[str, list[float]]
    batches: list[str]


@dataclass
class Judge:
    """Judges a candidate against the stable version, batch by batch.

    A healthy candidate is found worse at most once in `1 / risk` rollouts, however often one looks and however many
    metrics there are; one as bad as a red line is found fine at most once in `1 / miss`. Assumes that within a batch
    it was left to chance which version a row went to, and that each unit is in one row only: requests of one unit
    fail together. That values are fine assumes that a worse version's are larger by a factor.

    Args:
        metrics: What is looked at.
        risk: Of a false rollback, in all.
        miss: Of promoting a version as bad as a red line.

    Raises:
        UsageError: A red line is not above 1, or there is no metric.

    Example:
        >>> judge = Judge([Counted("errors", red_line=2.0)])
        >>> for _ in range(30):
        ...     judge.update({"errors": (900, 4)}, {"errors": (100, 2)})
        >>> judge.judgement().is_worse
        True
    """

    metrics: Sequence[Counted | Measured]
    risk: float = 0.01
    miss: float = 0.05
    _state: _State = field(default_factory=lambda: _State({}, {}, []), repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be judged."""
        if not self.metrics:
            msg = "a judge without a metric"
            raise UsageError(msg, hint="name at least one: Counted('errors')")
        for one in self.metrics:
            if not one.red_line > 1.0:
                msg = f"a red line of {one.red_line:g} for {one.name}, expected more than 1"
                raise UsageError(msg, hint="2 is twice the odds of the stable version, 1.25 a quarter more")

    def update(self, stable: Batch, candidate: Batch, *, batch: str = "") -> None:
        """Take the evidence of one batch; a metric that either version does not have is left out.

        Args:
            stable: Of the stable version.
            candidate: Of the candidate.
            batch: What it is called: one that was taken already changes nothing.
        """
        if batch and batch in self._state.batches:
            return
        if batch:
            self._state.batches.append(batch)
        for one in self.metrics:
            held, tried = stable.get(one.name), candidate.get(one.name)
            if isinstance(one, Counted) and isinstance(held, tuple) and isinstance(tried, tuple):
                self._count(one.name, held, tried, one.red_line)
            elif isinstance(one, Measured) and isinstance(held, np.ndarray) and isinstance(tried, np.ndarray):
                self._measure(one, held, tried)

    def _count(self, view: str, held: tuple[int, int], tried: tuple[int, int], red_line: float) -> None:
        odds = [red_line**power for power in _WORSE]
        _add(self._state.worse, view, log_odds_factors(held, tried, odds))
        fine = [red_line**power for power in _FINE]
        _add(self._state.fine, view, log_odds_factors(held, tried, fine, null_odds=red_line))

    def _measure(self, one: Measured, held: FloatArray, tried: FloatArray) -> None:
        shifts = [(one.red_line**power - 1.0) * one.mean for power in _WORSE]
        clipped = np.minimum(held, one.clip), np.minimum(tried, one.clip)
        _add(self._state.worse, one.name, log_block_factors(*clipped, [shift / one.variance for shift in shifts]))
        # Divided by the red line the candidate's would be like the stable version's: it is bet that those are larger.
        fine = [(one.red_line - one.red_line**power) * one.mean / one.variance for power in _FINE]
        _add(
            self._state.fine, one.name, log_block_factors(np.minimum(tried / one.red_line, one.clip), clipped[0], fine)
        )
        for threshold in one.thresholds:
            above = [(len(values), int((values > threshold).sum())) for values in (held, tried)]
            self._count(f"{one.name} above {threshold:g}", above[0], above[1], one.tail_red_line)

    def judgement(self) -> Judgement:
        """Return what the evidence says."""
        logs = {one.name: self._of(one) for one in self.metrics}
        total = sum(one.weight for one in self.metrics)
        shares = np.array([one.weight / total for one in self.metrics])
        in_all = log_mean(np.array([logs[one.name] for one in self.metrics]), shares)
        is_worse = in_all >= -math.log(self.risk)
        least = min(
            ((view, log_mean(np.array(won), np.array(_FINE_STAKES))) for view, won in self._fine().items()),
            key=lambda one: one[1],
        )
        return Judgement(
            is_worse=is_worse,
            is_fine=not is_worse and least[1] >= -math.log(self.miss),
            worse=self._named(logs) if is_worse else (),
            evidence={name: math.exp(min(log, _MOST)) for name, log in logs.items()},
            least_fine=(least[0], math.exp(min(least[1], _MOST))),
        )

    def _views(self, one: Counted | Measured) -> list[str]:
        return [one.name, *(f"{one.name} above {at:g}" for at in getattr(one, "thresholds", ()))]

    def _of(self, one: Counted | Measured) -> float:
        """Return what bets on a metric have won: the mean over its views."""
        won = [self._state.worse.get(view, [0.0] * len(_STAKES)) for view in self._views(one)]
        each = np.array([log_mean(np.array(logs), np.array(_STAKES)) for logs in won])
        return log_mean(each, np.full(len(each), 1.0 / len(each)))

    def _fine(self) -> dict[str, list[float]]:
        views = [view for one in self.metrics for view in self._views(one)]
        return {view: self._state.fine.get(view, [0.0] * len(_FINE)) for view in views}

    def _named(self, logs: Mapping[str, float]) -> tuple[str, ...]:
        """Return the metrics that evidence of this size may be said of (e-BH), the worst at least."""
        order = sorted(logs, key=lambda name: -logs[name])
        count = max(
            (n for n in range(1, len(order) + 1) if logs[order[n - 1]] >= math.log(len(order) / (n * self.risk))),
            default=1,
        )
        return tuple(order[:count])

    def merge(self, other: Self) -> None:
        """Add the evidence of other batches, such as another worker's, of the same rollout and metrics."""
        for mine, theirs in ((self._state.worse, other._state.worse), (self._state.fine, other._state.fine)):
            for view, won in theirs.items():
                _add(mine, view, np.array(won))
        self._state.batches += [batch for batch in other._state.batches if batch not in self._state.batches]

    def dumps(self) -> bytes:
        """Return the evidence as bytes: a few numbers a view, and the names of the batches."""
        return msgspec.json.encode(self._state)

    def loads(self, content: bytes) -> None:
        """Take the evidence that `dumps` gave."""
        self._state = msgspec.json.decode(content, type=_State)


_MOST = 700.0  # the largest exponent of a double


def _add(held: dict[str, list[float]], view: str, logs: FloatArray) -> None:
    before = held.get(view)
    held[view] = (logs if before is None else logs + np.array(before)).tolist()
