"""What a price book may say, and what is said when it does not hold: file, line and key."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from setpoint.core.clock import parse_time
from setpoint.core.errors import DeclarationError
from setpoint.core.prices import TOKEN_CLASSES, ExchangeRate, Price
from setpoint.declare.load import load_prices, load_project
from setpoint.declare.prices import TokenClass, gaps
from setpoint.declare.write import prices_yaml

BOOK = """\
currencies:
  EUR: [{usd: 1.08}, {since: 2026-03-01, usd: 1.1}]
prices:
  - provider: mistral
    model: large
    since: 2026-01-01
    until: 2026-06-01T12:00+02:00
    tier: batch
    above_input_tokens: 200000
    currency: EUR
    per_million_tokens: {input: 0.1, output: 1e-3}
    per_request: 0.0001
    per_compute_second: 2
    per_tool_request: 0.01
"""


def test_everything_a_price_book_says() -> None:
    book = load_prices(BOOK)
    assert book.prices == (
        Price(
            "mistral",
            "large",
            parse_time("2026-01-01"),
            parse_time("2026-06-01T10:00"),
            "batch",
            200_000,
            "EUR",
            {"input": Decimal("0.1"), "output": Decimal("0.001")},
            Decimal("0.0001"),
            Decimal(2),
            Decimal("0.01"),
        ),
    )
    currencies = BOOK[: BOOK.index("prices:")]
    assert load_prices(currencies + prices_yaml(book.prices)).prices == book.prices
    assert book.exchange_rates == (
        ExchangeRate("EUR", Decimal("1.08")),
        ExchangeRate("EUR", Decimal("1.1"), parse_time("2026-03-01")),
    )


SECOND = "  - {provider: o, model: m, per_request: 2}\n"
ENTRY = "prices:\n  - {provider: o, model: m, per_request: 1}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ENTRY.replace("1}", "-1}"), "p.yaml:2: prices[0].per_request: found -1, expected at least 0"),
        (ENTRY.replace("1}", ".inf}"), "p.yaml:2: prices[0].per_request: found inf, expected a finite number"),
        (ENTRY.replace("per_request: 1", "since: 2026-01-01"),
         "p.yaml:2: prices[0]: found no amount, expected per_million_tokens, per_request or per_compute_second"),
        (ENTRY.replace("per_request: 1", "per_million_tokens: {inputs: 1}"), "did you mean input?"),
        (ENTRY.replace("per_request", "per_requst"), "did you mean per_request?"),
        (ENTRY.replace("1}", "1, currency: EUR}"),
         "p.yaml:2: prices[0].currency: found EUR, of which no rate is declared"),
        ("currencies: {EUR: [{usd: 1.1}]}\n" + ENTRY.replace("1}", "1, currency: EUT}"), "did you mean EUR?"),
        ("currencies: {EUR: [{usd: 0}]}\n", "p.yaml:1: currencies.EUR[0].usd: found 0, expected more than 0"),
        ("currencies: {EUR: [{usd: 1}, {usd: 2}]}\n", "EUR[1]: found a rate that is not later than the one before"),
        ("currencies: {USD: [{usd: 1}]}\n", "currencies.USD: found rates of USD, expected none"),
        (ENTRY.replace("1}", "1, since: 2026-02-01, until: 2026-01-01}"),
         "prices[0].until: found 2026-01-01, expected a time after since (2026-02-01)"),
        (ENTRY + SECOND,
         "p.yaml:3: prices[1]: found a second price of o/m for the same time, the other is in line 2"),
        (ENTRY.replace("1}", "1, since: 2026-02-01}") + SECOND.replace("2}", "2, until: 2026-03-01}"),
         "p.yaml:3: prices[1]: found a second price of o/m for the same time, the other is in line 2"),
        (ENTRY.replace("1}", "1e-400}"),
         "p.yaml:2: prices[0].per_request: found '1e-400', which is too small to be read"),
        (ENTRY.replace("1}", "1e400}"), "p.yaml:2: prices[0].per_request: found inf, expected a finite number"),
        (ENTRY.replace("1}", "1, currency: usd}"),
         "p.yaml:2: prices[0].currency: found 'usd', expected three capital letters"),
        ("currencies: {euro: [{usd: 1}]}\n", "p.yaml:1: currencies.euro: found 'euro', expected three capital letters"),
        (ENTRY.replace("1}", f"1, above_input_tokens: 1{'0' * 400}}}"),
         "p.yaml:2: prices[0].above_input_tokens: found 1000"),
        (ENTRY.replace("1}", "1, tier: default}") + SECOND,
         "p.yaml:3: prices[1]: found a second price of o/m for the same time, the other is in line 2"),
        (ENTRY.replace("1}", "1, since: yesterday}"), "prices[0].since: found 'yesterday', expected a time"),
    ],
)  # fmt: skip
def test_what_does_not_hold_is_said_with_its_place(text: str, said: str) -> None:
    with pytest.raises(DeclarationError) as raised:
        load_prices(text, "p.yaml")
    assert said in str(raised.value)


def test_the_problems_of_a_price_book_and_of_models_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "setpoint.yaml").write_text("store: ./store\n")
    (tmp_path / "prices.yaml").write_text(ENTRY.replace("1}", "-1}"))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.yaml").write_text("keep: 2\n")
    with pytest.raises(DeclarationError, match="2 problems"):
        load_project(tmp_path)


def test_gaps_in_time_are_doubts() -> None:
    rates = "currencies: {EUR: [{since: 2026-03-01, usd: 1}]}\n"
    entries = (
        "prices:\n  - {provider: o, model: m, per_request: 1, until: 2026-01-01}\n"
        "  - {provider: o, model: m, per_request: 2, since: 2026-02-01, currency: EUR}\n"
    )
    assert gaps(load_prices(rates + entries)) == [
        "o/m has no price from 2026-01-01 00:00 until 2026-02-01 00:00 UTC",
        "o/m: EUR has no rate before 2026-03-01 00:00 UTC",
    ]


def test_the_classes_that_a_file_may_name_are_those_of_calls() -> None:
    assert set(get_args(TokenClass)) == set(TOKEN_CLASSES)
