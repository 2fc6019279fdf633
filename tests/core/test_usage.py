"""Each token is priced once: the mistakes that others made with cached, reasoning and overlapping tokens, by name."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from setpoint.core.events import Call
from setpoint.core.prices import Price, PriceBook
from setpoint.core.usage import token_fields


def cost(usage: Mapping[str, object], **per_million: str) -> int | None:
    price = Price("p", "m", per_million_tokens={name: Decimal(amount) for name, amount in per_million.items()})
    call = Call(call_id="c", prediction_id="p", called_at=0, recorded_at=0, provider="p", provider_model="m")
    for name, count in token_fields(usage).items():
        setattr(call, name, count)
    return PriceBook((price,)).cost(call).nano_usd


def test_litellm_11364_anthropic_through_a_proxy_has_its_cache_within_the_prompt() -> None:
    usage = {
        "prompt_tokens": 98_805,
        "completion_tokens": 5120,
        "total_tokens": 103_925,
        "prompt_tokens_details": {"cached_tokens": 66_360, "cache_creation_tokens": 32_435, "text_tokens": None},
        "completion_tokens_details": {"reasoning_tokens": 1710, "text_tokens": None},
        "cache_read_input_tokens": 66_360,
        "cache_creation_input_tokens": 32_435,
    }
    assert token_fields(usage) == {
        "input_tokens": 10,
        "cached_read_tokens": 66_360,
        "cached_write_tokens": 32_435,
        "output_tokens": 3410,
        "reasoning_tokens": 1710,
    }


def test_anthropic_counts_its_cache_beside_the_input_and_tells_writes_of_an_hour() -> None:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 66_360,
        "cache_creation_input_tokens": 32_435,
        "cache_creation": {"ephemeral_5m_input_tokens": 32_000, "ephemeral_1h_input_tokens": 435},
        "output_tokens": 5120,
        "output_tokens_details": {"thinking_tokens": 5000},
    }
    assert token_fields(usage) == {
        "input_tokens": 10,
        "cached_read_tokens": 66_360,
        "cached_write_tokens": 32_000,
        "cached_write_1h_tokens": 435,
        "output_tokens": 120,
        "reasoning_tokens": 5000,
    }
    uncached = {name: usage[name] for name in ("input_tokens", "output_tokens", "output_tokens_details")}
    assert token_fields(uncached) == {"input_tokens": 10, "output_tokens": 120, "reasoning_tokens": 5000}


def test_litellm_14849_cached_tokens_of_gemini_are_not_billed_twice() -> None:
    usage = {"promptTokenCount": 262_960, "cachedContentTokenCount": 257_955, "candidatesTokenCount": 1744}
    expected = 5005 * Decimal("1.25") + 257_955 * Decimal("0.625") + 1744 * 10
    assert cost(usage, input="1.25", cached_read="0.625", output="10") == expected * 1000


def test_litellm_14874_a_text_count_that_holds_the_cached_tokens_is_not_added() -> None:
    details = {"text_tokens": 2739, "cached_tokens": 2634, "audio_tokens": 0}
    usage = {"prompt_tokens": 2739, "completion_tokens": 5, "prompt_tokens_details": details}
    assert cost(usage, input="1", cached_read="1000", output="1") == (105 + 2_634_000 + 5) * 1000


def test_litellm_37407_a_cached_image_is_billed_as_cached_alone() -> None:
    details = {"text_tokens": None, "cached_tokens": 90, "image_tokens": 80}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": details}
    assert cost(usage, input="1", input_image="1", cached_read="0.1", output="2") == 39_000


def test_an_image_that_is_said_to_be_cached_is_taken_off_exactly() -> None:
    details = {"cached_tokens": 50, "image_tokens": 40, "cached_tokens_details": {"image_tokens": 30}}
    usage = {"prompt_tokens": 100, "completion_tokens": 1, "prompt_tokens_details": details}
    found = token_fields(usage)
    assert (found["input_tokens"], found["input_image_tokens"], found["cached_read_tokens"]) == (40, 10, 50)


def test_litellm_18599_reasoning_is_part_of_the_answer_and_billed_once() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 22, "completion_tokens_details": {"reasoning_tokens": 21}}
    assert cost(usage, input="0.3", output="2.5", reasoning="2.5") == 9 * 300 + 22 * 2500


def test_reasoning_beside_the_answer_is_billed_too() -> None:
    gemini: dict[str, object] = {
        "promptTokenCount": 9,
        "candidatesTokenCount": 1,
        "thoughtsTokenCount": 21,
        "totalTokenCount": 31,
    }
    xai: dict[str, object] = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 31}
    xai |= {"completion_tokens_details": {"reasoning_tokens": 21}}
    for usage in (gemini, xai):
        assert cost(usage, input="0.3", output="2.5", reasoning="2.5") == 9 * 300 + 22 * 2500


def test_gemini_modalities_and_tool_prompts() -> None:
    usage = {
        "prompt_token_count": 100,
        "tool_use_prompt_token_count": 7,
        "cached_content_token_count": 60,
        "prompt_tokens_details": [{"modality": "MediaModality.AUDIO", "token_count": 50}, {"modality": "TEXT"}],
        "cache_tokens_details": [{"modality": "AUDIO", "token_count": 45}],
        "candidates_token_count": 3,
    }
    assert token_fields(usage) == {
        "input_tokens": 42,
        "cached_read_tokens": 60,
        "input_audio_tokens": 5,
        "output_tokens": 3,
    }


def test_the_responses_api_is_not_taken_for_anthropics() -> None:
    usage = {
        "input_tokens": 2461,
        "input_tokens_details": {"audio_tokens": None, "cached_tokens": 2432},
        "output_tokens": 606,
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    assert token_fields(usage) == {
        "input_tokens": 29,
        "cached_read_tokens": 2432,
        "output_tokens": 606,
        "reasoning_tokens": 0,
    }


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"prompt_tokens": "many", "completion_tokens": None},
        {"input_tokens": 2.5, "output_tokens": [3]},
        {"prompt_tokens_details": [1], "completion_tokens": True},
        {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 12}},
        {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": "4"}},
        {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 10**30}},
        {"prompt_tokens": 10, "completion_tokens": 1, "server_tool_use": {"web_search_requests": "2"}},
        {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": float("nan")},
    ],
)
def test_garbage_has_no_price_and_raises_nothing(usage: Mapping[str, object]) -> None:
    assert cost(usage, input="1", cached_read="1", output="1") is None


def test_counts_that_come_as_floats_are_read() -> None:
    usage = {"prompt_tokens": 10.0, "completion_tokens": 1.0, "prompt_tokens_details": {"cached_tokens": 4.0}}
    assert token_fields(usage) == {"input_tokens": 6, "cached_read_tokens": 4, "output_tokens": 1}


def test_every_token_is_in_one_class() -> None:
    for cached in (0, 50, 100):
        for image in (0, 40, 100):
            for audio in (0, 70):
                details = {"cached_tokens": cached, "image_tokens": image, "audio_tokens": audio}
                usage = {"prompt_tokens": 100, "completion_tokens": 0, "prompt_tokens_details": details}
                found = token_fields(usage)
                assert sum(found.values()) == 100
                assert min(found.values()) >= 0


def test_litellm_42663_requests_to_the_provider_s_own_tools_are_charged_or_the_cost_is_unknown() -> None:
    usage = {
        "input_tokens": 1000, "cache_read_input_tokens": 0, "output_tokens": 200,
        "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 1},
    }  # fmt: skip
    assert token_fields(usage)["tool_requests"] == 4
    assert cost(usage, input="3", output="15") is None
    tools = Price(
        "p", "m", per_million_tokens={"input": Decimal(3), "output": Decimal(15)}, per_tool_request=Decimal("0.01")
    )
    call = Call(call_id="c", prediction_id="p", called_at=0, recorded_at=0, provider="p", provider_model="m")
    for name, count in token_fields(usage).items():
        setattr(call, name, count)
    assert PriceBook((tools,)).cost(call).nano_usd == 3_000_000 + 3_000_000 + 40_000_000
    for odd in (-1, "two", 10**12):
        call.tool_requests = odd  # pyright: ignore[reportAttributeAccessIssue] — what a caller may give
        assert "tool requests" in PriceBook((tools,)).cost(call).unknown
    assert (
        cost({**usage, "server_tool_use": {"web_search_requests": 0}}, input="3", output="15", cached_read="1")
        == 6_000_000
    )
