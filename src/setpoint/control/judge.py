"""Whether a candidate is worse than the stable version, or better than a red line, looked at as often as one likes.

Source: Ville (1939) for the limit on wealth; Vovk & Wang (2021), "E-values", Annals of Statistics 49, for the mean over
metrics; Wang & Ramdas (2022), "False discovery rate control with e-values", JRSS B 84, for which metric it is.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import msgspec
import numpy as np

from setpoint.control.judged import Counted, Evidence, Measured, Metric, Paired
from setpoint.control.taken import Taken, add, take
from setpoint.core.errors import UsageError
from setpoint.stats.assignment import log_mean
from setpoint.stats.special import FloatArray

__all__ = ["Batch", "Counted", "Judge", "Judgement", "Measured", "Paired"]

Batch = Mapping[str, Evidence]
"""By metric: rows and those of them in which it happened, or the values of all rows in the order of time."""


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
    """What bets have won, as logarithms, by view; and by metric, which batches it was in."""

    worse: dict[str, list[float]]
    fine: dict[str, list[float]]
    taken: dict[str, Taken]


class _Kept(msgspec.Struct):
    """The state as it is written: of which metrics, and with its checksum."""

    metrics: dict[str, str]
    crc32: int
    state: msgspec.Raw


@dataclass
class Judge:
    """Judges a candidate against the stable version, batch by batch.

    A healthy candidate is found worse at most once in `1 / risk` rollouts, however often one looks and however many
    metrics there are; one as bad as a red line is found fine at most once in `1 / miss`. Healthy means that each row
    would have had the same from either version. Assumes that within a batch it was left to chance which one a row went
    to, and that each unit is in one row only: requests of one unit fail together. That values are fine assumes that a
    worse version's are larger by a factor.

    Where the chance differs between rows of a batch, such as between units that came new and those that were moved when
    a weight was raised, each kind is a batch of its own: `12/new`, `12/moved`.

    Args:
        metrics: What is looked at.
        risk: Of a false rollback, in all.
        miss: Of promoting a version as bad as a red line.

    Raises:
        UsageError: No metric, two of one name, or a chance that is none.

    Example:
        >>> judge = Judge([Counted("errors", red_line=2.0)])
        >>> for n in range(30):
        ...     judge.update({"errors": (900, 4)}, {"errors": (100, 2)}, batch=f"{n}")
        >>> judge.judgement().is_worse
        True
    """

    metrics: Sequence[Metric]
    risk: float = 0.01
    miss: float = 0.05
    _state: _State = field(default_factory=lambda: _State({}, {}, {}), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be judged."""
        if not self.metrics:
            msg = "a judge without a metric"
            raise UsageError(msg, hint="name at least one: Counted('errors')")
        names = [view.name for one in self.metrics for view in one.views]
        if len(set(names)) < len(names):
            msg = f"two metrics that are called {max(names, key=names.count)}"
            raise UsageError(msg, hint="give each a name of its own")
        for what, chance in (("risk", self.risk), ("miss", self.miss)):
            if not 0.0 < chance < 1.0:
                msg = f"a {what} of {chance:g}, expected more than 0 and less than 1"
                raise UsageError(msg, hint="0.01 is one rollout in a hundred")

    def update(self, stable: Batch, candidate: Batch, *, batch: str = "") -> None:
        """Take the evidence of one batch; a metric that either version does not have is left out.

        Args:
            stable: Of the stable version.
            candidate: Of the candidate.
            batch: What it is called: a metric that was taken under that name already changes nothing. Names that count
                up, such as `12` or `12/moved`, are kept as two numbers a series. Without a name, it is always taken.

        Raises:
            UsageError: Evidence that is none, or of a metric that the judge does not have; nothing is taken then.
        """
        unknown = sorted({*stable, *candidate} - {one.name for one in self.metrics})
        if unknown:
            msg = f"evidence of {unknown[0]}, which this judge does not look at"
            raise UsageError(msg, hint=f"it looks at {', '.join(one.name for one in self.metrics)}")
        found = [
            (one, one.won(stable[one.name], candidate[one.name]))
            for one in self.metrics
            if one.name in stable and one.name in candidate
        ]
        for one, won in found:
            if batch and not take(self._state.taken.setdefault(one.name, {}), batch):
                continue
            for view, (worse, fine) in zip(one.views, won, strict=True):
                _add(self._state.worse, view.name, worse)
                _add(self._state.fine, view.name, fine)

    def judgement(self, *, aside: Collection[str] = ()) -> Judgement:
        """Return what the evidence says.

        Args:
            aside: Metrics whose evidence is not to be trusted: as if nothing were known of them.
        """
        logs = {one.name: 0.0 if one.name in aside else self._worse(one) for one in self.metrics}
        total = sum(one.weight for one in self.metrics)
        shares = np.array([one.weight / total for one in self.metrics])
        in_all = log_mean(np.array([logs[one.name] for one in self.metrics]), shares)
        is_worse = in_all >= -math.log(self.risk)
        fine = {
            view.name: 0.0 if one.name in aside else _won(self._state.fine, view.name, view.fine_stakes)
            for one in self.metrics
            for view in one.views
        }
        least = min(fine, key=lambda name: fine[name])
        return Judgement(
            is_worse=is_worse,
            is_fine=not is_worse and fine[least] >= -math.log(self.miss),
            worse=self._named(logs) if is_worse else (),
            evidence={name: _exp(log) for name, log in logs.items()},
            least_fine=(least, _exp(fine[least])),
        )

    def _worse(self, one: Metric) -> float:
        """Return what bets on a metric have won: the mean over its views."""
        logs = np.array([_won(self._state.worse, view.name, view.stakes) for view in one.views])
        return log_mean(logs, np.array([view.share for view in one.views]))

    def _named(self, logs: Mapping[str, float]) -> tuple[str, ...]:
        """Return the metrics that evidence of this size may be said of (e-BH), the worst at least."""
        order = sorted(logs, key=lambda name: -logs[name])
        count = max(
            (n for n in range(1, len(order) + 1) if logs[order[n - 1]] >= math.log(len(order) / (n * self.risk))),
            default=1,
        )
        return tuple(order[:count])

    def merge(self, other: Self) -> None:
        """Add the evidence of other batches, such as another worker's, of the same rollout and metrics.

        Raises:
            UsageError: Its metrics are others, or a batch was taken by both; nothing is added then.
        """
        self._refuse_others(other._metrics())
        taken = {name: {series: [*each] for series, each in kept.items()} for name, kept in self._state.taken.items()}
        for name, theirs in other._state.taken.items():
            both = add(taken.setdefault(name, {}), theirs)
            if both is not None:
                msg = f"a batch of the series {both!r} of {name} was taken by both judges"
                raise UsageError(msg, hint="a worker's batches need names of their own, such as 12/worker1")
        self._state.taken = taken
        for mine, wins in ((self._state.worse, other._state.worse), (self._state.fine, other._state.fine)):
            for view, won in wins.items():
                _add(mine, view, np.array(won))

    def dumps(self) -> bytes:
        """Return the evidence as JSON: a few numbers a view, and which batches it is of."""
        state = msgspec.json.encode(self._state)
        return msgspec.json.encode(_Kept(self._metrics(), zlib.crc32(state), msgspec.Raw(state)))

    def loads(self, content: bytes) -> None:
        """Take the evidence that `dumps` gave, instead of what there is.

        Raises:
            UsageError: It is damaged, or of other metrics; what there is stays.
        """
        kept, state = _read(content)
        self._refuse_others(kept.metrics)
        self._state = state

    def take_over(self, content: bytes) -> tuple[str, ...]:
        """Take the evidence that `dumps` gave of metrics that are looked at as they were, and return the others.

        Those begin anew, such as after an upgrade that looks at a metric otherwise. A bet that begins late is a bet all
        the same: a healthy candidate is found worse at most once in `1 / risk` rollouts by what was there before, and
        once more by what begins, as long as nobody lets them begin anew because of what the evidence said.

        Raises:
            UsageError: It is damaged; what there is stays.

        Example:
            >>> before, after = Judge([Counted("errors")]), Judge([Counted("errors"), Counted("refusals")])
            >>> after.take_over(before.dumps())
            ('refusals',)
        """
        kept, state = _read(content)
        mine = self._metrics()
        same = [one for one in self.metrics if kept.metrics.get(one.name) == mine[one.name]]
        views = {view.name for one in same for view in one.views}
        self._state = _State(
            *({name: won for name, won in wins.items() if name in views} for wins in (state.worse, state.fine)),
            taken={one.name: state.taken[one.name] for one in same if one.name in state.taken},
        )
        return tuple(one.name for one in self.metrics if one not in same)

    def _metrics(self) -> dict[str, str]:
        """Return a digest of how each metric is declared."""
        return {one.name: hashlib.sha256(repr(one).encode()).hexdigest()[:16] for one in self.metrics}

    def _refuse_others(self, theirs: Mapping[str, str]) -> None:
        mine = self._metrics()
        other = sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))
        if other:
            msg = f"evidence of a judge that looks at {other[0]} otherwise, or not at all"
            raise UsageError(msg, hint="evidence is of the metrics that it was gathered for: begin a new judge")


def _read(content: bytes) -> tuple[_Kept, _State]:
    """Return evidence as `dumps` gave it.

    Raises:
        UsageError: It is damaged.
    """
    try:
        kept = msgspec.json.decode(content, type=_Kept)
        is_whole = zlib.crc32(kept.state) == kept.crc32
        state = msgspec.json.decode(kept.state, type=_State)
    except msgspec.DecodeError as error:
        msg = f"evidence that cannot be read: {error}"
        raise UsageError(msg, hint=_DAMAGED) from error
    if not is_whole:
        msg = "evidence that was changed since it was written"
        raise UsageError(msg, hint=_DAMAGED)
    return kept, state


_DAMAGED = "take an older copy, or begin a new judge from the batches that are kept"
_MOST = 700.0  # the largest exponent of a double


def _exp(log: float) -> float:
    return math.exp(min(log, _MOST))


def _won(held: Mapping[str, list[float]], view: str, stakes: Sequence[float]) -> float:
    logs = held.get(view)
    return 0.0 if logs is None else log_mean(np.array(logs), np.array(stakes))


def _add(held: dict[str, list[float]], view: str, logs: FloatArray) -> None:
    before = held.get(view)
    held[view] = (logs if before is None else logs + np.array(before)).tolist()
