"""What providers charge and since when: a call's tokens to whole nano-dollars, or why nobody can say.

A price that is not known is never 0, and nothing is guessed from what looks similar: not from another
model, tier, class of tokens or time.
"""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from typing import cast

from setpoint.core.clock import text
from setpoint.core.events import Call
from setpoint.core.money import EXACT, nano_usd

INPUT_CLASSES = ("input", "cached_read", "cached_write", "cached_write_1h", "input_audio", "input_image")
OUTPUT_CLASSES = ("output", "reasoning", "output_audio", "output_image")
TOKEN_CLASSES = (*INPUT_CLASSES, *OUTPUT_CLASSES)
STANDARD, USD = "standard", "USD"
REFUSED = "status "
"""How the error of a call begins that the provider answered by an error status: `status 429`."""

MOST_TOKENS = 1_000_000_000  # of one class in one call: a hundred times the largest context that is sold
_MOST_NANO = 1 << 63
_ONE = Decimal(1)
_MILLION = Decimal(1_000_000)
# What providers call the tier that one gets without asking for another.
STANDARD_WORDS: Mapping[str | None, str] = {None: STANDARD, "": STANDARD, "default": STANDARD}


@dataclass(frozen=True, slots=True)
class Price:
    """What one model of a provider costs in one tier, from one date on.

    Attributes:
        provider: As calls name it, such as `openai`.
        model: The provider's model as calls name it, or a version of your own.
        since: From when on it is paid, microseconds; None: since ever.
        until: Until when; None: until another price of the same model, tier and size begins.
        tier: As calls name it.
        above_input_tokens: It holds for calls with more input tokens of all classes than this.
        currency: What the amounts are in.
        per_million_tokens: By class of tokens; a class that is left out is unknown, not free. Without any, tokens
            are not charged.
        per_request: Of one call.
        per_compute_second: Of one second of compute.
        per_tool_request: Of one request to a tool of the provider's own, such as a web search.
        per_refused_request: Of one call without tokens that was answered by an error status, instead of all the above.
    """

    provider: str
    model: str
    since: int | None = None
    until: int | None = None
    tier: str = STANDARD
    above_input_tokens: int = 0
    currency: str = USD
    per_million_tokens: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    per_request: Decimal | None = None
    per_compute_second: Decimal | None = None
    per_tool_request: Decimal | None = None
    per_refused_request: Decimal | None = None

    @property
    def subject(self) -> str:
        """Whose price it is, in one word.

        Example:
            >>> Price("google", "gemini-3", tier="batch", above_input_tokens=200_000).subject
            'google/gemini-3/batch>200000'
        """
        tier = "" if self.tier == STANDARD else f"/{self.tier}"
        size = f">{self.above_input_tokens}" if self.above_input_tokens else ""
        return f"{self.provider}/{self.model}{tier}{size}"

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What only one price at a time may have."""
        return (self.provider, self.model, self.tier, self.above_input_tokens)

    @property
    def amounts(self) -> dict[str, Decimal]:
        """Every amount that is charged, by what it is charged for."""
        flat = {
            "per_request": self.per_request,
            "per_compute_second": self.per_compute_second,
            "per_tool_request": self.per_tool_request,
            "per_refused_request": self.per_refused_request,
        }
        return {**self.per_million_tokens, **{name: amount for name, amount in flat.items() if amount is not None}}


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """What one unit of a currency is worth in dollars, from `since` on (microseconds; None: since ever)."""

    currency: str
    usd: Decimal
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Priced:
    """What a call costs: `nano_usd` by the price `price_id`, or why that is `unknown`."""

    nano_usd: int | None = None
    price_id: str | None = None
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class _Period:
    """A price with what its time needs: its end, and the rates of its currency."""

    price: Price
    start: float
    end: float
    rates: tuple[tuple[float, Decimal, str], ...]
    """From when on, dollars a unit of its currency, and the identifier of the price at this rate."""

    def holds_at(self, time: float) -> bool:
        return self.start <= time < self.end

    def rate_at(self, time: float) -> tuple[float, Decimal, str] | None:
        return next((one for one in reversed(self.rates) if one[0] <= time), None)


@dataclass(frozen=True, slots=True)
class InForce:
    """The calls that a price holds for: made in `[start, end)`, with `above` < input tokens <= `upto`."""

    price_id: str
    start: float
    end: float
    above: float
    upto: float


@dataclass(frozen=True)
class PriceBook:
    """Every price that is known, and what currencies are worth.

    Example:
        >>> mini = Price("openai", "gpt-5-mini", per_million_tokens={"input": Decimal("0.25"), "output": Decimal(2)})
        >>> call = Call(call_id="c", prediction_id="p", called_at=0, recorded_at=0, provider="openai",
        ...             provider_model="gpt-5-mini", input_tokens=1000, output_tokens=50)
        >>> PriceBook((mini,)).cost(call).nano_usd
        350000
        >>> call.reasoning_tokens = 7
        >>> PriceBook((mini,)).cost(call).unknown
        'openai/gpt-5-mini has no price of reasoning tokens'
    """

    prices: tuple[Price, ...] = ()
    exchange_rates: tuple[ExchangeRate, ...] = ()

    @cached_property
    def _by_model(self) -> dict[str, dict[str, list[_Period]]]:
        rates = {USD: [ExchangeRate(USD, _ONE)]}
        for rate in sorted(self.exchange_rates, key=lambda one: _start(one.since)):
            rates.setdefault(rate.currency, []).append(rate)
        found: dict[str, dict[str, list[_Period]]] = {}
        for price, end in with_ends(self.prices):
            of_currency = tuple(
                (_start(rate.since), rate.usd, _identifier(price, rate.usd)) for rate in rates.get(price.currency, ())
            )
            period = _Period(price, _start(price.since), end, of_currency)
            found.setdefault(price.model, {}).setdefault(price.provider, []).append(period)
        return found

    @cached_property
    def in_force(self) -> dict[str, list[InForce]]:
        """When and for which calls each price holds, by provider and model."""
        found: dict[str, list[InForce]] = {}
        for model, providers in self._by_model.items():
            for provider, periods in providers.items():
                of_tier: dict[str, list[_Period]] = {}
                for period in periods:
                    of_tier.setdefault(period.price.tier, []).append(period)
                found[f"{provider}/{model}"] = [one for several in of_tier.values() for one in _in_force(several)]
        return found

    def cost(self, call: Call) -> Priced:
        """Return what a call costs by its time, tier, size and tokens, exact and rounded once; never raises.

        What it has a `cost_nano_usd` of its own for is not looked at.
        """
        named = cast("tuple[object, ...]", (call.provider or "", call.provider_model or "", call.tier or ""))
        if odd := [name for name in named if not isinstance(name, str)]:  # what a caller may give
            return Priced(unknown=f"the call names {odd[0]!r:.40}, which is no text")
        counts, why = _counts(call)
        if why:
            return Priced(unknown=why)
        period, why = self._period(call, sum(counts.get(name, 0) for name in INPUT_CLASSES))
        if period is None:
            return Priced(unknown=why)
        price = period.price
        rate = period.rate_at(call.called_at)
        if rate is None:
            return Priced(unknown=f"{price.subject}: no rate of {price.currency} to USD at {text(call.called_at)} UTC")
        amount, why = _amount(price, counts, call)
        if amount is None:
            return Priced(unknown=f"{price.subject} {why}")
        nano = nano_usd(EXACT.multiply(amount, rate[1]))
        return Priced(nano, rate[2]) if nano < _MOST_NANO else Priced(unknown=f"{price.subject}: an absurd amount")

    def changed_from(self, before: PriceBook) -> dict[str, int | None]:
        """Return the provider models that are paid otherwise than before, each with the first time that differs.

        Example:
            >>> PriceBook((Price("a", "b", since=7),)).changed_from(PriceBook())
            {'a/b': 7}
        """
        found: dict[str, int | None] = {}
        for name in sorted({*self.in_force, *before.in_force}):
            new, old = self.in_force.get(name, []), before.in_force.get(name, [])
            times = sorted({time for one in (*new, *old) for time in (one.start, one.end)})
            first = next((time for time in times if _paid_at(new, time) != _paid_at(old, time)), None)
            if first is not None:
                found[name] = None if math.isinf(first) else int(first)
        return found

    def _period(self, call: Call, input_tokens: int) -> tuple[_Period | None, str]:
        """Return the price that holds for a call, or why none does."""
        if not call.provider_model:
            return None, "the call names no provider_model"
        providers = self._by_model.get(call.provider_model, {})
        provider = call.provider or (next(iter(providers)) if len(providers) == 1 else "")
        if provider not in providers:
            asked = f"{call.provider}/{call.provider_model}" if call.provider else call.provider_model
            others = f"; it has one from {', '.join(sorted(providers))}" if providers else ""
            return None, f"{asked} has no price{others}"
        found = providers[provider]
        tier = STANDARD_WORDS.get(call.tier, call.tier)
        of_tier = [one for one in found if one.price.tier == tier]
        if not of_tier:
            known = ", ".join(sorted({one.price.tier for one in found}))
            return None, f"{provider}/{call.provider_model} has no price of tier {tier}; it has {known}"
        in_time = [one for one in of_tier if one.holds_at(call.called_at)]
        if not in_time:
            return None, f"{provider}/{call.provider_model} has no price at this time; {_times(of_tier)}"
        fitting = [one for one in in_time if not 0 < one.price.above_input_tokens >= input_tokens]
        if not fitting:
            return None, f"{provider}/{call.provider_model} has no price for so few input tokens"
        return max(fitting, key=lambda one: one.price.above_input_tokens), ""


def with_ends(prices: Iterable[Price]) -> list[tuple[Price, float]]:
    """Return each price with its end: its own, or where the next with the same key begins; by key and time.

    Example:
        >>> [end for _, end in with_ends([Price("a", "b", since=7), Price("a", "b")])]
        [7, inf]
    """
    ordered = sorted(prices, key=lambda one: (one.key, _start(one.since)))
    ends: list[tuple[Price, float]] = []
    for place, price in enumerate(ordered):
        after = ordered[place + 1] if place + 1 < len(ordered) else None
        next_start = _start(after.since) if after is not None and after.key == price.key else math.inf
        ends.append((price, next_start if price.until is None else price.until))
    return ends


def _in_force(periods: Sequence[_Period]) -> list[InForce]:
    """Return what holds when, of one model and tier: of several sizes the largest that a call exceeds."""
    times = sorted({time for one in periods for time in (one.start, one.end, *(rate[0] for rate in one.rates))})
    found: list[InForce] = []
    for start, end in pairwise(times):
        held = [(one.price.above_input_tokens or -1, one.rate_at(start)) for one in periods if one.holds_at(start)]
        held.sort(key=lambda one: one[0])
        for (above, rate), (upto, _) in pairwise([*held, (math.inf, None)]):
            if rate is not None:
                found.append(InForce(rate[2], start, end, above, upto))
    return found


def _paid_at(prices: Sequence[InForce], time: float) -> set[tuple[str, float, float]]:
    return {(one.price_id, one.above, one.upto) for one in prices if one.start <= time < one.end}


def _start(since: int | None) -> float:
    return -math.inf if since is None else since


def _times(periods: Sequence[_Period]) -> str:
    spans = [
        " ".join(
            ([] if math.isinf(one.start) else [f"from {text(int(one.start))}"])
            + ([] if math.isinf(one.end) else [f"until {text(int(one.end))}"])
        )
        for one in periods
    ]
    return f"it has one {', and '.join(spans)} UTC"


def _counts(call: Call) -> tuple[dict[str, int], str]:
    """Return the tokens of each class that was reported, or what is wrong with them."""
    counts: dict[str, int] = {}
    for name in TOKEN_CLASSES:
        told: object = getattr(call, f"{name}_tokens")
        if told is None:
            continue
        try:
            count = operator.index(told)  # pyright: ignore[reportArgumentType] — what is no whole number raises
        except TypeError:
            return {}, f"{name}_tokens is {told!r}, no whole number"
        if not 0 <= count <= MOST_TOKENS:
            return {}, f"{name}_tokens is {'negative' if count < 0 else 'absurd'}: {count}"
        counts[name] = count
    return counts, ""


def _amount(price: Price, counts: Mapping[str, int], call: Call) -> tuple[Decimal | None, str]:
    """Return what a call costs in the price's currency, or what is missing."""
    if price.per_refused_request is not None and not counts and str(call.error).startswith(REFUSED):
        return price.per_refused_request, ""
    if price.amounts.keys() == {"per_refused_request"}:
        return None, "has a price of refused requests only"
    amount, why = _of_tokens(price.per_million_tokens, counts)
    if amount is None:
        return None, why
    if price.per_request is not None:
        amount = EXACT.add(amount, price.per_request)
    if price.per_compute_second is not None:
        seconds = cast("object", call.compute_seconds)  # what a caller may give
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
            return None, f"is paid by the second, and compute_seconds is {seconds}"
        amount = EXACT.fma(price.per_compute_second, Decimal(str(seconds)), amount)
    if tools := cast("object", call.tool_requests):
        if price.per_tool_request is None or not isinstance(tools, int) or not 0 <= tools <= MOST_TOKENS:
            return None, f"has no price of {tools!r} tool requests"
        amount = EXACT.fma(price.per_tool_request, Decimal(tools), amount)
    return amount, ""


def _of_tokens(per_token: Mapping[str, Decimal], counts: Mapping[str, int]) -> tuple[Decimal | None, str]:
    if not per_token:  # what is paid by the request or the second alone is not paid by tokens
        return Decimal(0), ""
    for side, classes in (("input", INPUT_CLASSES), ("output", OUTPUT_CLASSES)):
        # Nobody knows what a stream that ended without its usage would have cost.
        if any(per_token.get(name) for name in classes) and not any(name in counts for name in classes):
            return None, f"is paid by {side} tokens, and the call reports none"
    amount = Decimal(0)
    for name, count in counts.items():
        if not count:
            continue
        each = per_token.get(name)
        if each is None:
            return None, f"has no price of {name} tokens"
        amount = EXACT.fma(each, Decimal(count), amount)
    return EXACT.divide(amount, _MILLION), ""


def _identifier(price: Price, usd: Decimal) -> str:
    """Return the name of a price at a rate of exchange, which changes with every amount and never without."""
    amounts = sorted((name, str(amount.normalize(EXACT))) for name, amount in price.amounts.items())
    told = repr((price.key, price.since, price.currency, str(usd.normalize(EXACT)), amounts))
    since = "" if price.since is None else f"@{text(price.since)[:10]}"
    return f"{price.subject}{since}#{hashlib.blake2b(told.encode(), digest_size=4).hexdigest()}"
