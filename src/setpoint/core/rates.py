"""Flat prices and since when they hold: a new price is paid from its date on, and never before it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from setpoint.core.clock import QUARTER_HOUR, text
from setpoint.core.errors import DeclarationError
from setpoint.core.window import Window

_FAR = 1 << 62
EVER = Window(-_FAR, _FAR)


@dataclass(frozen=True, slots=True)
class Rates:
    """Flat cost rates in USD; None means not declared.

    Attributes:
        per_prediction_usd: Cost of one prediction.
        per_compute_second_usd: Cost of one second of compute.
        per_month_usd: Fixed cost of a month.
        per_outcome_usd: Cost of learning one outcome.
        per_idle_hour_usd: Cost of an hour of capacity in which nothing was computed.
        capacity: How much compute there is at a time, such as 2 for two machines; it goes with the price of idleness.
        since: From when on they are paid, microseconds, at a quarter of an hour: that is how tallies count.
            None: since ever.
        earlier: What was paid until then.
    """

    per_prediction_usd: float | None = None
    per_compute_second_usd: float | None = None
    per_month_usd: float | None = None
    per_outcome_usd: float | None = None
    per_idle_hour_usd: float | None = None
    capacity: float | None = None
    since: int | None = None
    earlier: Rates | None = None

    def __post_init__(self) -> None:
        """Refuse dates that do not rise, or that tallies cannot tell apart."""
        if self.since is not None and self.since % QUARTER_HOUR:
            msg = f"rates since {text(self.since)}, expected a whole quarter of an hour"
            raise DeclarationError(msg, hint="predictions are counted by the quarter of an hour: move the date")
        if (self.capacity is None) != (self.per_idle_hour_usd is None):
            msg = "one of capacity and per_idle_hour_usd, expected both or neither"
            raise DeclarationError(msg, hint="what is idle is what of the capacity was not used")
        before = self.earlier
        if before is not None and (self.since is None or (before.since is not None and before.since >= self.since)):
            msg = "rates that are not later than the ones before them"
            raise DeclarationError(msg, hint="give each but the first a `since`, later than the one before")

    @property
    def paid(self) -> tuple[float | None, ...]:
        """The prices, without their date."""
        rows = (self.per_prediction_usd, self.per_compute_second_usd)
        return (*rows, self.per_month_usd, self.per_outcome_usd, self.per_idle_hour_usd, self.capacity)

    @property
    def is_paid(self) -> bool:
        """Whether one of these prices is known, whatever held earlier."""
        return any(price is not None for price in self.paid)

    @property
    def declared(self) -> bool:
        """Whether any price is known, now or earlier."""
        return any(one.is_paid for one in self.periods)

    @property
    def periods(self) -> tuple[Rates, ...]:
        """Every price in its turn, oldest first; the first one holds since ever, even if it says nothing.

        Example:
            >>> day = 96 * QUARTER_HOUR
            >>> [one.per_month_usd for one in Rates(per_month_usd=9, since=day).periods]
            [None, 9]
        """
        found: list[Rates] = []
        one: Rates | None = self
        while one is not None:
            found.insert(0, one)
            one = one.earlier
        return (Rates(), *found) if found[0].since is not None else tuple(found)


def within(rates: Rates, window: Window | None) -> list[tuple[Rates, Window | None]]:
    """Return the parts of a window in which prices stay, with the price of each, oldest first.

    Without a window nothing has a time, and everything is priced as of now.

    Example:
        >>> day = 96 * QUARTER_HOUR
        >>> rates = Rates(2.0, since=day, earlier=Rates(1.0))
        >>> [(one.per_prediction_usd, part.length // day) for one, part in within(rates, Window(0, 3 * day))]
        [(1.0, 1), (2.0, 2)]
    """
    if window is None:
        return [(rates, None)]
    periods = rates.periods
    starts = [EVER.start, *(EVER.start if one.since is None else one.since for one in periods[1:])]
    found: list[tuple[Rates, Window | None]] = []
    for one, start, end in zip(periods, starts, [*starts[1:], EVER.end], strict=True):
        part = Window(max(start, window.start), max(start, window.start, min(end, window.end)))
        if part.length or (start <= window.start < end and not window.length):
            found.append((one, part))
    return found


def taking_over(rates: Rates, before: Rates, at: int) -> Rates:
    """Return what is in force once rates are put in the place of others.

    Rates with a date tell the whole history. Rates without one are what is paid from `at` on, unless
    nothing was ever paid before: then they hold since ever.

    Args:
        rates: What is declared now.
        before: What is in force, with its history.
        at: When rates without a date begin.

    Example:
        >>> hour = 4 * QUARTER_HOUR
        >>> taking_over(Rates(1.0), Rates(2.0), hour) == Rates(1.0, since=hour, earlier=Rates(2.0))
        True
    """
    if rates.since is not None or rates.earlier is not None or not before.declared:
        return rates
    if rates.paid == before.paid:
        return before
    kept: Rates | None = before
    while kept is not None and kept.since is not None and kept.since >= at:
        kept = kept.earlier
    if kept is None:
        return rates
    return kept if kept.paid == rates.paid else replace(rates, since=at, earlier=kept)


def repriced(rates: Rates, before: Rates) -> list[Window]:
    """Return the stretches of time in which other prices are paid than before, oldest first.

    Example:
        >>> hour = 4 * QUARTER_HOUR
        >>> [one.start // hour for one in repriced(Rates(1.0, since=hour, earlier=Rates(2.0)), Rates(2.0))]
        [1]
    """
    return [
        both
        for mine, when in within(rates, EVER)
        for theirs, both in within(before, when)
        if both is not None and mine.paid != theirs.paid
    ]
