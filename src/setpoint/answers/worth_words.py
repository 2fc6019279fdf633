"""What a comparison of two versions says: the gain, what it costs, and whether that is worth it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from setpoint.core.metric import Metric, counted, number
from setpoint.core.verdict import Verdict
from setpoint.stats.estimate import LEVEL, Estimate
from setpoint.stats.worth import COST, COST_BEFORE, EXTRA_COST, GAIN, Means
from setpoint.store.versus import Side, Versus

_HOPELESS = 100.0
"""So many times the rows are not worth waiting for."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one comparison says.

    Attributes:
        names: The candidate, and what it is held against.
        found: The rows.
        means: Of success and cost.
        value_usd: What a correct answer is worth; None when nobody said.
        unpriced: Why costs are unknown; empty when they are known.
        level: How often an interval holds the truth.
    """

    names: tuple[str, str]
    found: Versus
    means: Means
    value_usd: float | None
    unpriced: str
    level: float = LEVEL

    @property
    def gain(self) -> Estimate:
        """Correct answers more, as a share of all."""
        return self.means.contrast(GAIN, self.level)

    @property
    def extra_cost(self) -> Estimate:
        """Dollars more a prediction."""
        return self._priced(lambda: self.means.contrast(EXTRA_COST, self.level))

    @property
    def relative_cost(self) -> Estimate:
        """The same as a share of what the other one costs."""
        found = self._priced(lambda: self.means.ratio(COST, COST_BEFORE, self.level))
        if found.value is None or found.low is None or found.high is None:
            return Estimate.unknown(found.reason or "the other one costs nothing")
        return Estimate(found.value - 1.0, found.low - 1.0, found.high - 1.0)

    @property
    def is_proven(self) -> bool:
        """Whether the gain, or the loss, cannot be chance."""
        low, high = _ends(self.gain)
        return low > 0.0 or high < 0.0

    @property
    def per_extra(self) -> Estimate:
        """Dollars an extra correct answer; unknown while it is not known whether there are any."""
        if not self.is_proven:
            return Estimate.unknown("gain unproven: its interval holds 0, so the cost per extra correct has no bound")
        return self._priced(lambda: self.means.ratio(EXTRA_COST, GAIN, self.level))

    @property
    def net_benefit(self) -> Estimate:
        """Dollars a prediction that it brings more than it costs, at the value of a correct answer."""
        value = self.value_usd
        if value is None:
            return Estimate.unknown("nobody said what a correct answer is worth: --value 0.40")
        return self._priced(lambda: self.means.net_benefit(value, self.level))

    def _priced(self, measure: Callable[[], Estimate]) -> Estimate:
        return Estimate.unknown(self.unpriced) if self.unpriced else measure()

    @property
    def verdict(self) -> Verdict:
        """Whether it is worth it at the value, else whether that can be said of some value."""
        if self.unpriced:
            return Verdict.UNKNOWN
        if self.value_usd is not None:
            low, high = _ends(self.net_benefit)
            return Verdict.OK if low > 0.0 else Verdict.BREACH if high < 0.0 else Verdict.UNKNOWN
        if not self.is_proven:
            return Verdict.UNKNOWN
        is_worse, is_dearer = _ends(self.gain)[1] < 0.0, _ends(self.extra_cost)[0] >= 0.0
        return Verdict.BREACH if is_worse and is_dearer else Verdict.OK

    @property
    def headline(self) -> str:
        """The answer in the form that whoever pays for it asks for."""
        gain = f"{_percent(self.gain, 1)} correct"
        if self.unpriced:
            return f"{gain} for an unknown cost: {self.unpriced}"
        extra = f"{_percent(self.relative_cost, 0)} cost"
        if self.relative_cost.value is None:
            extra = f"{_dollars(self.extra_cost)} more a prediction"
        return f"{gain} for {extra}{self._price}{self._at_value}"

    @property
    def _price(self) -> str:
        if not self.is_proven:
            return ": gain unproven"
        is_better, (low, high) = _ends(self.gain)[0] > 0.0, _ends(self.extra_cost)
        if is_better and high <= 0.0:
            return ": better and no dearer"
        if not is_better and low >= 0.0:
            return ": worse and no cheaper"
        return f" = {_dollars(self.per_extra)} {'per extra correct' if is_better else 'saved per correct answer lost'}"

    @property
    def told(self) -> tuple[str, str]:
        """The gain, and what an extra correct answer costs, in words."""
        return _percent(self.gain, 1), self.per_extra.reason or self._price.removeprefix(" = ").removeprefix(": ")

    @property
    def _at_value(self) -> str:
        if self.value_usd is None:
            return ""
        words = {Verdict.OK: "worth it", Verdict.BREACH: "not worth it"}.get(self.verdict, "cannot say")
        return f"; at {number(self.value_usd, 'usd')} a correct answer: {words}"

    @property
    def because(self) -> tuple[str, ...]:
        """What either version does, and from which value of a correct answer on the candidate is worth it."""
        successes, costs = self.means.values[[0, 2]].tolist(), self.means.values[[1, 3]].tolist()
        told = [
            f"{name}: {number(success, 'share')} correct"
            + ("" if self.unpriced else f" at {number(cost, 'usd')} a prediction")
            + f" ({counted(side.rows, 'row')} of {counted(side.units, 'unit')})"
            for name, success, cost, side in zip(self.names, successes, costs, self.found.sides, strict=True)
        ]
        lines = ["; ".join(told)]
        if self.value_usd is not None and self.net_benefit.value is not None:
            at = number(self.value_usd, "usd")
            lines.append(f"net benefit at {at} a correct answer: {_dollars(self.net_benefit)} a prediction")
        return (*lines, *self._break_even)

    @property
    def _break_even(self) -> tuple[str, ...]:
        """At which value of a correct answer it becomes worth it; nothing when at all values or at none."""
        found = self.per_extra
        if found.value is None or found.low is None or found.high is None or found.high <= 0.0:
            return ()
        is_better = _ends(self.gain)[0] > 0.0
        more, sure, never = ("more", found.high, found.low) if is_better else ("less", found.low, found.high)
        words = f"worth it where a correct answer is worth {more} than {number(found.value, 'usd')}"
        words += f"; sure at {more} than {number(max(sure, 0.0), 'usd')}, and that it is not at"
        return (f"{words} {'less' if is_better else 'more'} than {number(max(never, 0.0), 'usd')}",)

    @property
    def unknowns(self) -> tuple[str, ...]:
        """What is not known, and what it would take."""
        found = [f"cost: {self.unpriced}"] if self.unpriced else []
        if not self.is_proven:
            found.append(f"cost per extra correct: {self.per_extra.reason}; {self._rows_needed(self.gain)}")
        benefit = self.net_benefit
        if benefit.value is not None and self.verdict is Verdict.UNKNOWN:
            found.append(f"net benefit: its interval holds 0; {self._rows_needed(benefit)}")
        return tuple(found)

    def _rows_needed(self, found: Estimate) -> str:
        """Return how many rows would do, should the value stay: an interval shrinks with the root of their number."""
        value, (low, high) = found.value or 0.0, _ends(found)
        times = ((high - low) / 2.0 / abs(value)) ** 2 if value else math.inf
        if times > _HOPELESS:
            return "no number of rows in sight would show one so small"
        rows = sum(side.rows for side in self.found.sides)
        return f"needs about {counted(math.ceil(rows * max(times - 1.0, 0.0)), 'more row')} with an outcome"

    @property
    def metrics(self) -> list[Metric]:
        """Every number with its interval."""
        rows = min(side.rows for side in self.found.sides)
        named = [
            ("gain", self.gain, "ratio", "higher"),
            ("extra_cost_usd", self.extra_cost, "usd", "lower"),
            ("extra_cost_ratio", self.relative_cost, "ratio", "lower"),
            ("cost_per_extra_success_usd", self.per_extra, "usd", "lower"),
            ("net_benefit_usd", self.net_benefit, "usd", "higher"),
        ]
        return [
            Metric(
                name, one.value, one.low, one.high, unit, "higher" if better == "higher" else "lower", rows, one.reason
            )
            for name, one, unit, better in named
        ]


def why_unpriced(found: Versus, names: tuple[str, str]) -> str:
    """Return which part of the rows has no known price; empty when all have one."""
    return "; ".join(
        f"{number(side.unpriced / side.weight, 'share')} of {name}'s {counted(side.rows, 'row')} have no known price"
        for name, side in zip(names, found.sides, strict=True)
        if side.unpriced
    )


def outcome_share(side: Side) -> float | None:
    """Return the share of a version's predictions whose outcome is known; None without any."""
    return side.weight / side.predictions if side.predictions else None


def _ends(found: Estimate) -> tuple[float, float]:
    return -math.inf if found.low is None else found.low, math.inf if found.high is None else found.high


def _percent(found: Estimate, digits: int) -> str:
    value, low, high = (100.0 * (end or 0.0) for end in (found.value, found.low, found.high))
    return f"{value:+.{digits}f} % [{low:.{digits}f}, {high:.{digits}f}]"


def _dollars(found: Estimate) -> str:
    return Metric("", found.value, found.low, found.high, "usd", "lower", 0, found.reason).text()
