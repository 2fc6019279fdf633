"""A public price list becomes prices of ours; what it says in other ways is named, never dropped."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from setpoint.core.clock import parse_time
from setpoint.core.errors import UsageError
from setpoint.core.events import Call
from setpoint.core.prices import PriceBook
from setpoint.declare.load import load_prices
from setpoint.declare.price_list import MOST_PRICES, read_price_list
from setpoint.declare.write import prices_yaml

SINCE = parse_time("2026-03-01")
LIST: dict[str, object] = {
    "sample_spec": {"litellm_provider": "one of ...", "input_cost_per_token": 0.0, "mode": "one of: chat"},
    "gpt-5": {
        "litellm_provider": "openai",
        "mode": "chat",
        "max_input_tokens": 272000,
        "supports_vision": True,
        "input_cost_per_token": 1.25e-06,
        "output_cost_per_token": 1e-05,
        "cache_read_input_token_cost": 1.25e-07,
        "input_cost_per_token_priority": 2.5e-06,
        "output_cost_per_token_priority": 2e-05,
        "input_cost_per_token_batches": 6.25e-07,
        "output_cost_per_token_batches": 5e-06,
        "search_context_cost_per_query": {"search_context_size_low": 0.01, "search_context_size_high": 0.014},
    },
    "claude-sonnet": {
        "litellm_provider": "anthropic",
        "input_cost_per_token": 3e-06,
        "output_cost_per_token": 1.5e-05,
        "cache_creation_input_token_cost": 3.75e-06,
        "cache_creation_input_token_cost_above_1hr": 6e-06,
        "cache_read_input_token_cost": 3e-07,
        "input_cost_per_token_above_200k_tokens": 6e-06,
        "output_cost_per_token_above_200k_tokens": 2.25e-05,
        "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 1.2e-05,
        "tool_use_system_prompt_tokens": 159,
        "search_context_cost_per_query": {"search_context_size_low": 0.01, "search_context_size_high": 0.01},
    },
    "gemini/gemini-live": {
        "litellm_provider": "gemini",
        "input_cost_per_token": 5e-07,
        "input_cost_per_audio_token": 3e-06,
        "output_cost_per_token": 2e-06,
        "output_cost_per_audio_token": 1.2e-05,
        "output_cost_per_reasoning_token": 3.5e-06,
    },
    "perplexity/search": {"litellm_provider": "perplexity", "input_cost_per_query": 0.005},
    "dall-e-2": {"litellm_provider": "openai", "output_cost_per_image": 0.02},
    "odd": {"litellm_provider": "x", "input_cost_per_token": -1, "output_cost_per_token": "free"},
    "nobody": {"input_cost_per_token": 1e-06},
    "openai/gpt-5": {"litellm_provider": "openai", "input_cost_per_token": 9e-06},
}


def test_what_is_understood_becomes_prices_and_what_is_not_is_named() -> None:
    found = read_price_list(json.dumps(LIST), since=SINCE)
    told = {one.subject: {name: str(amount) for name, amount in one.amounts.items()} for one in found.prices}
    assert told == {
        "openai/gpt-5": {
            "input": "1.25", "output": "1E+1", "cached_read": "0.125", "reasoning": "1E+1", "input_image": "1.25",
        },
        "openai/gpt-5/priority": {"input": "2.5", "output": "2E+1", "reasoning": "2E+1", "input_image": "2.5"},
        "openai/gpt-5/batch": {"input": "0.625", "output": "5", "reasoning": "5", "input_image": "0.625"},
        "anthropic/claude-sonnet": {
            "input": "3", "output": "15", "cached_write": "3.75", "cached_write_1h": "6", "cached_read": "0.3",
            "reasoning": "15", "per_tool_request": "0.01",
        },
        "anthropic/claude-sonnet>200000": {
            "input": "6", "output": "22.5", "cached_write_1h": "12", "reasoning": "22.5",
            "per_tool_request": "0.01",
        },
        "gemini/gemini-live": {
            "input": "0.5", "input_audio": "3", "output": "2", "output_audio": "12", "reasoning": "3.5",
        },
        "perplexity/search": {"per_request": "0.005"},
    }  # fmt: skip
    assert found.lines == [
        "not read: input_cost_per_token, of odd",
        "not read: output_cost_per_image, of dall-e-2",
        "not read: output_cost_per_token, of odd",
        "not read: search_context_cost_per_query, of gpt-5",
        "left out: dall-e-2: no price of tokens or requests was understood",
        "left out: odd: no price of tokens or requests was understood",
        "left out: nobody: it names no litellm_provider",
        "left out: openai/gpt-5: openai/gpt-5 stands in the list before, at another price",
    ]


def test_the_yaml_that_is_written_says_the_same_prices() -> None:
    prices = read_price_list(json.dumps(LIST), since=SINCE).prices
    again = load_prices(prices_yaml(prices))
    assert again.in_force == PriceBook(tuple(prices)).in_force


def test_a_call_costs_what_the_list_says() -> None:
    book = load_prices(prices_yaml(read_price_list(json.dumps(LIST), since=SINCE, only=["claude-*"]).prices))
    call = Call(
        call_id="c",
        prediction_id="p",
        called_at=SINCE,
        recorded_at=SINCE,
        provider="anthropic",
        provider_model="claude-sonnet",
        input_tokens=10,
        cached_read_tokens=66_360,
        cached_write_1h_tokens=435,
        output_tokens=5120,
        tool_requests=3,
    )
    exact = 10 * Decimal(3) + 66_360 * Decimal("0.3") + 435 * Decimal(6) + 5120 * Decimal(15) + 3 * Decimal(10_000)
    assert book.cost(call).nano_usd == exact * 1000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "no model in the list"),
        ("{}", "no model in the list"),
        (json.dumps({f"m{n}": {"litellm_provider": "p", "input_cost_per_token": 1} for n in range(MOST_PRICES + 1)}),
         "found 1,001 prices, a price book holds at most 1,000"),
    ],
)  # fmt: skip
def test_what_is_no_list_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_price_list(text)


def test_a_pattern_that_fits_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="no model that fits"):
        read_price_list(json.dumps(LIST), only=["gpt-9*"])
