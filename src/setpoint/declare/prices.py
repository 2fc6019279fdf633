"""The price book of a project as a YAML file: `prices.yaml` beside `setpoint.yaml`."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from setpoint.core.clock import parse_time, text
from setpoint.core.prices import MOST_TOKENS, STANDARD, STANDARD_WORDS, USD, ExchangeRate, Price, PriceBook, with_ends
from setpoint.declare.parts import Part
from setpoint.declare.problems import Problem, did_you_mean, shown
from setpoint.declare.source import Path, Source, dotted
from setpoint.declare.spellings import TimeText, Word, refuse

Amount = Annotated[float, Field(ge=0, le=1e9)]


def _currency(value: str) -> str:
    if re.fullmatch(_CURRENCY, value, re.ASCII) is None:
        refuse(f"found {shown(value)}, expected three capital letters", "write the code of ISO 4217, such as EUR")
    return value


_CURRENCY = r"[A-Z]{3}"
Currency = Annotated[str, AfterValidator(_currency), Field(json_schema_extra={"pattern": f"^{_CURRENCY}$"})]
TokenClass = Literal[
    "input",
    "cached_read",
    "cached_write",
    "cached_write_1h",
    "input_audio",
    "input_image",
    "output",
    "reasoning",
    "output_audio",
    "output_image",
]


class PriceDeclaration(Part):
    """What one model of a provider costs in one tier; what is left out is unknown, not free."""

    provider: Word
    """As calls name it, such as openai."""
    model: Word
    """The provider's model as calls name it, or a version of your own."""
    since: TimeText | None = None
    """From when on it is paid: 2026-03-01 (UTC) or a time with an offset; without it since ever."""
    until: TimeText | None = None
    """Until when it is paid; without it until the next price of the same model and tier begins."""
    tier: Word = STANDARD
    """As calls name it, such as batch or priority; default is standard."""
    above_input_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] = 0
    """It holds for calls with more input tokens of all classes than this: a long context."""
    currency: Currency = USD
    """What the amounts are in; any but USD needs its rates."""
    per_million_tokens: dict[TokenClass, Amount] = Field(default_factory=dict)
    """The price of a million tokens by their class; classes are disjoint, reasoning is no part of output."""
    per_request: Amount | None = None
    """The price of one call."""
    per_compute_second: Amount | None = None
    """The price of one second of compute."""
    per_tool_request: Amount | None = None
    """The price of one request to a tool of the provider's own, such as a web search."""
    per_refused_request: Amount | None = None
    """The price of a call that the provider answered by an error status, such as 429 or 503; without it unknown."""

    @model_validator(mode="after")
    def _charges(self) -> Self:
        amounts = (self.per_request, self.per_compute_second, self.per_refused_request)
        if not self.per_million_tokens and amounts == (None, None, None):
            refuse(
                "found no amount, expected per_million_tokens, per_request or per_compute_second",
                "what is free has the price 0",
            )
        if self.since and self.until and parse_time(self.since) >= parse_time(self.until):
            refuse(f"found {self.until}, expected a time after since ({self.since})", at=("until",))
        return self

    def to_core(self) -> Price:
        """Return the core noun."""
        return Price(
            self.provider,
            self.model,
            None if self.since is None else parse_time(self.since),
            None if self.until is None else parse_time(self.until),
            STANDARD_WORDS.get(self.tier, self.tier),
            self.above_input_tokens,
            self.currency,
            {name: _exact(amount) for name, amount in self.per_million_tokens.items()},
            None if self.per_request is None else _exact(self.per_request),
            None if self.per_compute_second is None else _exact(self.per_compute_second),
            None if self.per_tool_request is None else _exact(self.per_tool_request),
            None if self.per_refused_request is None else _exact(self.per_refused_request),
        )


class ExchangeRateDeclaration(Part):
    """What one unit of a currency is worth from a date on."""

    since: TimeText | None = None
    """From when on; without it since ever."""
    usd: Annotated[float, Field(gt=0, le=1e9)]
    """Dollars for one unit."""


class PricesDeclaration(Part):
    """A price book: what each model of each provider costs, and since when."""

    currencies: dict[Currency, Annotated[list[ExchangeRateDeclaration], Field(min_length=1)]] = Field(
        default_factory=dict[str, list[ExchangeRateDeclaration]]
    )
    """The rates of each currency but USD, oldest first."""
    prices: list[PriceDeclaration] = Field(default_factory=list[PriceDeclaration])
    """The prices, in any order."""

    def to_core(self) -> PriceBook:
        """Return the core noun."""
        rates = [
            ExchangeRate(currency, _exact(rate.usd), None if rate.since is None else parse_time(rate.since))
            for currency, of_currency in self.currencies.items()
            for rate in of_currency
        ]
        return PriceBook(tuple(price.to_core() for price in self.prices), tuple(rates))


def price_problems(book: PriceBook, source: Source) -> list[Problem]:
    """Return what is wrong between entries of a book: prices that overlap, currencies that have no rate.

    Args:
        book: What the source says, in its order.
        source: Where it is written.
    """

    def problem(path: Path, message: str, hint: str = "") -> Problem:
        file, line = source.place(path)
        return Problem(file, line, dotted(path), message, hint)

    place = {id(price): n for n, price in enumerate(book.prices)}
    found: list[Problem] = []
    for (price, end), (after, _) in pairwise(with_ends(book.prices)):
        if price.key == after.key and (price.since == after.since or end > (after.since or 0)):
            first, second = sorted((place[id(price)], place[id(after)]))
            other = source.place(("prices", first))[1]
            found.append(
                problem(
                    ("prices", second),
                    f"found a second price of {price.subject} for the same time, the other is in line {other}",
                    "a price ends where the next one begins: give each a `since` of its own, and leave `until` out",
                )
            )
    known = {rate.currency for rate in book.exchange_rates}
    for n, price in enumerate(book.prices):
        if price.currency not in {USD, *known}:
            hint = did_you_mean(price.currency, known) or f"add currencies.{price.currency}: [{{usd: ...}}]"
            found.append(
                problem(("prices", n, "currency"), f"found {price.currency}, of which no rate is declared", hint)
            )
    by_currency: dict[str, list[ExchangeRate]] = {}
    for rate in book.exchange_rates:
        of_currency = by_currency.setdefault(rate.currency, [])
        if of_currency and (rate.since is None or rate.since <= (of_currency[-1].since or rate.since - 1)):
            message = "found a rate that is not later than the one before"
            found.append(problem(("currencies", rate.currency, len(of_currency)), message, "list them oldest first"))
        of_currency.append(rate)
    if USD in by_currency:
        found.append(problem(("currencies", USD), "found rates of USD, expected none: all is counted in it"))
    return found


def gaps(book: PriceBook) -> list[str]:
    """Return in words when a model that has a price before and after has none, or its currency has no rate yet.

    Example:
        >>> day = 86_400_000_000
        >>> gaps(PriceBook((Price("a", "m", until=day), Price("a", "m", since=2 * day))))
        ['a/m has no price from 1970-01-02 00:00 until 1970-01-03 00:00 UTC']
    """
    found = [
        f"{price.subject} has no price from {text(int(end))} until {text(after.since)} UTC"
        for (price, end), (after, _) in pairwise(with_ends(book.prices))
        if price.key == after.key and after.since is not None and end < after.since
    ]
    first: dict[str, int | None] = {}
    for rate in book.exchange_rates:
        first.setdefault(rate.currency, rate.since)
    for price in book.prices:
        start = first.get(price.currency)
        if start is not None and (price.since is None or price.since < start):
            found.append(f"{price.subject}: {price.currency} has no rate before {text(start)} UTC")
    return found


def _exact(amount: float) -> Decimal:
    """Return a number as it is written: 0.1 is a tenth, not the nearest binary fraction."""
    return Decimal(repr(amount))
