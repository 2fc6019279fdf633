"""What a call costs, to the nano-dollar; and every reason for which nobody can say."""

from __future__ import annotations

import random
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import msgspec
import pytest

from setpoint.core.clock import DAY
from setpoint.core.events import Call
from setpoint.core.prices import TOKEN_CLASSES, ExchangeRate, Price, PriceBook

GPT = Price(
    "openai",
    "gpt-5",
    since=10 * DAY,
    per_million_tokens={"input": Decimal("1.25"), "cached_read": Decimal("0.125"), "output": Decimal(10)},
)


def call(**fields: object) -> Call:
    given = {"provider": "openai", "provider_model": "gpt-5", "called_at": 20 * DAY, **fields}
    return Call(call_id="c", prediction_id="p", recorded_at=0, **given)  # pyright: ignore[reportArgumentType] — on purpose also wrong ones


def book(*prices: Price, rates: tuple[ExchangeRate, ...] = ()) -> PriceBook:
    return PriceBook(prices or (GPT,), rates)


def test_a_log_of_20000_calls_equals_an_independent_decimal_computation() -> None:
    rng = random.Random(7)
    classes = list(TOKEN_CLASSES)
    table: dict[tuple[str, str, int, int], dict[str, str]] = {}
    prices: list[Price] = []
    for model in range(12):
        for tier in ("standard", "batch", "priority"):
            for above in (0, 200_000):
                for since in (0, 40):
                    amounts = {
                        name: f"{rng.randrange(1, 10 ** rng.randrange(1, 9))}e-{rng.randrange(9)}" for name in classes
                    }
                    table[f"m{model}", tier, above, since] = amounts
                    prices.append(
                        Price(
                            "p",
                            f"m{model}",
                            since * DAY,
                            tier=tier,
                            above_input_tokens=above,
                            currency="EUR" if model % 3 == 0 else "USD",
                            per_million_tokens={name: Decimal(amount) for name, amount in amounts.items()},
                            per_request=Decimal("0.000000000123") if model % 2 else None,
                        )
                    )
    known = PriceBook(
        tuple(prices), (ExchangeRate("EUR", Decimal("1.0837")), ExchangeRate("EUR", Decimal("1.1"), 30 * DAY))
    )
    total, names = 0, identifiers(known)
    for _ in range(20_000):
        model, day = rng.randrange(12), rng.randrange(80)
        tier = rng.choice(["standard", "batch", "priority"])
        used = {name: rng.choice([0, rng.randrange(300), rng.randrange(250_000)]) for name in rng.sample(classes, 6)}
        used = {"input": 5, "output": 0, **used}
        asked = call(
            provider="p", provider_model=f"m{model}", called_at=day * DAY, tier=tier,
            **{f"{name}_tokens": count for name, count in used.items()},
        )  # fmt: skip
        long = sum(n for name, n in used.items() if name.startswith(("input", "cached"))) > 200_000
        amounts = table[f"m{model}", tier, 200_000 if long else 0, 40 if day >= 40 else 0]
        with localcontext() as context:
            context.prec = 80
            exact = sum((Decimal(amounts[name]) * count for name, count in used.items()), Decimal(0)) / 10**6
            exact += Decimal("1.23e-10") if model % 2 else 0
            exact *= (Decimal("1.0837") if day < 30 else Decimal("1.1")) if model % 3 == 0 else 1
            expected = int((exact * 10**9).quantize(Decimal(1), ROUND_HALF_EVEN))
        found = known.cost(asked)
        assert found.nano_usd == expected, found
        assert found.price_id in names
        total += expected
    assert total > 0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"provider_model": None}, "the call names no provider_model"),
        ({"provider_model": "gpt-6", "input_tokens": 1}, "openai/gpt-6 has no price"),
        ({"provider": "azure", "input_tokens": 1}, "azure/gpt-5 has no price; it has one from openai"),
        ({"tier": "flex", "input_tokens": 1}, "openai/gpt-5 has no price of tier flex; it has standard"),
        ({"called_at": 0, "input_tokens": 1},
         "openai/gpt-5 has no price at this time; it has one from 1970-01-11 00:00 UTC"),
        ({"output_tokens": 1, "input_tokens": 1, "reasoning_tokens": 3},
         "openai/gpt-5 has no price of reasoning tokens"),
        ({"input_tokens": 1, "output_tokens": 1, "cached_write_1h_tokens": 3},
         "openai/gpt-5 has no price of cached_write_1h tokens"),
        ({}, "openai/gpt-5 is paid by input tokens, and the call reports none"),
        ({"input_tokens": 5}, "openai/gpt-5 is paid by output tokens, and the call reports none"),
        ({"input_tokens": -5, "output_tokens": 1}, "input_tokens is negative: -5"),
        ({"input_tokens": 10**12, "output_tokens": 1}, "input_tokens is absurd: 1000000000000"),
        ({"input_tokens": 2.5, "output_tokens": 1}, "input_tokens is 2.5, no whole number"),
        ({"input_tokens": "12", "output_tokens": 1}, "input_tokens is '12', no whole number"),
        ({"input_tokens": float("nan"), "output_tokens": 1}, "input_tokens is nan, no whole number"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_unknown_with_the_reason_and_never_0(fields: dict[str, object], expected: str) -> None:
    found = book().cost(call(**fields))
    assert (found.nano_usd, found.price_id, found.unknown) == (None, None, expected)


def test_a_currency_without_a_rate_in_time_is_unknown() -> None:
    euro = Price("mistral", "large", currency="EUR", per_request=Decimal(1))
    asked = call(provider="mistral", provider_model="large")
    known = book(euro, rates=(ExchangeRate("EUR", Decimal("1.1"), since=30 * DAY),))
    assert known.cost(asked).unknown == "mistral/large: no rate of EUR to USD at 1970-01-21 00:00 UTC"
    asked.called_at = 30 * DAY
    assert known.cost(asked).nano_usd == 1_100_000_000


def test_a_gap_in_time_is_unknown_and_a_price_holds_until_the_next_begins() -> None:
    first = Price("o", "m", since=1 * DAY, per_request=Decimal(1))
    ended = Price("o", "m", since=5 * DAY, until=7 * DAY, per_request=Decimal(2))
    last = Price("o", "m", since=9 * DAY, per_request=Decimal(3))
    known = book(last, first, ended)
    asked = call(provider="o", provider_model="m")
    found: list[int | None] = []
    for day in (0, 1, 4, 5, 7, 9):
        asked.called_at = day * DAY
        nano = known.cost(asked).nano_usd
        found.append(None if nano is None else nano // 10**9)
    assert found == [None, 1, 1, 2, None, 3]


def test_one_call_is_rounded_once_half_to_even() -> None:
    half = Price("o", "m", per_million_tokens={"input": Decimal("0.0005")})
    known = book(half)
    nanos = [known.cost(call(provider="o", provider_model="m", input_tokens=n)).nano_usd for n in (1, 3, 5, 4)]
    assert nanos == [0, 2, 2, 2]


def test_a_price_of_0_is_0_and_needs_no_tokens_reported() -> None:
    free = Price("own", "v3", per_million_tokens={"input": Decimal(0), "output": Decimal(0)})
    assert book(free).cost(call(provider="own", provider_model="v3")).nano_usd == 0


def test_a_version_of_your_own_is_paid_by_the_second() -> None:
    own = Price("own", "v3", per_compute_second=Decimal("0.002"), per_request=Decimal("0.0001"))
    known = book(own)
    assert known.cost(call(provider="own", provider_model="v3", compute_seconds=0.25)).nano_usd == 600_000
    for seconds in (None, -1.0, float("nan"), float("inf"), "1"):
        found = known.cost(call(provider="own", provider_model="v3", compute_seconds=seconds))
        assert found.unknown == f"own/v3 is paid by the second, and compute_seconds is {seconds}"


def test_the_tier_that_providers_call_default_is_the_standard_one() -> None:
    for tier in (None, "", "default", "standard"):
        assert book().cost(call(tier=tier, input_tokens=4, output_tokens=0)).nano_usd == 5000


def test_a_call_without_a_provider_is_priced_when_only_one_sells_the_model() -> None:
    asked = call(provider=None, input_tokens=4, output_tokens=0)
    assert book().cost(asked).nano_usd == 5000
    azure = msgspec.structs.replace(asked, provider="azure")
    both = book(GPT, Price("azure", "gpt-5", per_request=Decimal(1)))
    assert both.cost(azure).nano_usd == 10**9
    assert both.cost(asked).unknown == "gpt-5 has no price; it has one from azure, openai"


def test_a_long_context_counts_cached_tokens_and_its_price_holds_for_the_whole_call() -> None:
    long = Price(
        "g", "m", above_input_tokens=200_000, per_million_tokens={"input": Decimal(4), "cached_read": Decimal(1)}
    )
    short = Price("g", "m", per_million_tokens={"input": Decimal(2), "cached_read": Decimal("0.5")})
    known = book(long, short)
    at_limit = call(provider="g", provider_model="m", input_tokens=100_000, cached_read_tokens=100_000)
    above = call(provider="g", provider_model="m", input_tokens=100_001, cached_read_tokens=100_000)
    assert (known.cost(at_limit).nano_usd, known.cost(above).nano_usd) == (250_000_000, 500_004_000)


def identifiers(known: PriceBook) -> set[str]:
    return {one.price_id for several in known.in_force.values() for one in several}


def test_an_identifier_changes_with_every_amount_and_rate_and_with_nothing_else() -> None:
    euro = Price("o", "m", since=DAY, currency="EUR", per_request=Decimal("1.0"))
    rates = (ExchangeRate("EUR", Decimal("1.1")), ExchangeRate("EUR", Decimal("1.2"), 5 * DAY))
    known = book(euro, rates=rates)
    assert len(identifiers(known)) == 2
    more = book(
        euro,
        Price("o", "m", since=9 * DAY, per_request=Decimal(1)),
        rates=(*rates, ExchangeRate("EUR", Decimal(2), 7 * DAY)),
    )
    assert identifiers(known) < identifiers(more)
    same = Price("o", "m", since=DAY, currency="EUR", per_request=Decimal("1.00"))
    assert identifiers(book(same, rates=rates)) == identifiers(known)
    assert all(name.startswith("o/m@1970-01-02#") for name in identifiers(known))


def test_a_book_survives_its_file() -> None:
    known = book(GPT, rates=(ExchangeRate("EUR", Decimal("1.1")),))
    assert identifiers(known)
    again = msgspec.json.decode(msgspec.json.encode(known), type=PriceBook)
    assert again == known
    assert identifiers(again) == identifiers(known)


def test_what_changed_between_two_books() -> None:
    later = Price("openai", "gpt-5", since=50 * DAY, per_request=Decimal(1))
    assert book().changed_from(book()) == {}
    assert book(GPT, later).changed_from(book()) == {"openai/gpt-5": 50 * DAY}
    assert PriceBook().changed_from(book(GPT, Price("a", "b", per_request=Decimal(1)))) == {
        "a/b": None,
        "openai/gpt-5": 10 * DAY,
    }


def test_a_refused_request_costs_what_the_book_says_of_it_and_is_unknown_without() -> None:
    refused = {"error": "status 503"}
    tokens = {"input_tokens": 1_000_000, "output_tokens": 0}
    assert book().cost(call(**refused)).unknown
    free = book(Price("openai", "gpt-5", per_million_tokens={"input": Decimal(1)}, per_refused_request=Decimal(0)))
    assert free.cost(call(**refused)).nano_usd == 0
    assert free.cost(call(**refused, **tokens)).nano_usd == 1_000_000_000  # it reports what was billed
    assert free.cost(call(error="timeout")).unknown  # may have been billed
    only = book(Price("openai", "gpt-5", per_refused_request=Decimal(0)))
    assert only.cost(call(**refused)).nano_usd == 0
    assert only.cost(call(**tokens)).unknown == "openai/gpt-5 has a price of refused requests only"
    assert identifiers(free) != identifiers(book(Price("openai", "gpt-5", per_million_tokens={"input": Decimal(1)})))
