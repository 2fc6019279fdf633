"""Wrapped clients of Anthropic's own SDK, against servers that answer as its API does."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import anthropic
import pytest
from tests.connect.recorded import SECRET, Recorded, recorded
from tests.connect.servers import Answer, in_turn, serving, streamed, told

import setpoint
from setpoint import Model, Recorder, Task

ASK: Any = {
    "model": "claude-small",
    "max_tokens": 50,
    "system": "Answer in one word.",
    "messages": [{"role": "user", "content": [{"type": "text", "text": SECRET}]}],
}
REPORTED = "claude-small-20261101"
USAGE = {
    "input_tokens": 86,
    "cache_read_input_tokens": 1920,
    "cache_creation_input_tokens": 400,
    "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 300,
    "output_tokens_details": {"thinking_tokens": 200},
    "service_tier": "standard",
}
COST = 86 * 1000 + 1920 * 100 + 400 * 1250 + 100 * 10_000 + 200 * 10_000
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def message(*content: object, **fields: object) -> dict[str, object]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": REPORTED, "stop_sequence": None}
    return {**head, "content": list(content), "stop_reason": "end_turn", "usage": USAGE, **fields}


TEXT = {"type": "text", "text": "refund", "citations": None}
TOOL = {"type": "tool_use", "id": "t1", "name": "refund", "input": {"why": SECRET}}
BEGUN = {**USAGE, "output_tokens": 1, "output_tokens_details": None}
HALF = [
    {"type": "message_start", "message": message(stop_reason=None, usage=BEGUN)},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "re"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "fund"}},
]
SUM = {"output_tokens": 300, "output_tokens_details": {"thinking_tokens": 200}}
WHOLE = [
    *HALF,
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": SUM},
    {"type": "message_stop"},
]
KEPT = Model("m", task=Task.GENERATION, free_text="keep")


@contextmanager
def talking(
    answer: Answer, model: Model | None = None
) -> Generator[tuple[anthropic.Anthropic, Recorded, list[Mapping[str, Any]]]]:
    """Yield a wrapped client of a server, what it recorded, and what the server was asked."""
    with serving(answer) as (url, asked), recorded(model) as store:
        with anthropic.Anthropic(api_key="k", base_url=url) as plain:
            yield setpoint.wrap(plain, store.recorder, provider="p"), store, asked
        gc.collect()


def test_what_was_read_from_and_written_to_a_cache_is_priced_as_that_litellm_11364_14849_16341_29145() -> None:
    with talking(told(message(TEXT)), KEPT) as (client, store, asked):
        assert isinstance(client, anthropic.Anthropic)
        with setpoint.details(unit="u1"):
            answer = client.messages.create(**ASK, metadata={"user_id": "u@example.com"}, service_tier="auto")
        assert type(answer) is anthropic.types.Message
        assert asked[0]["body"]["system"] == "Answer in one word."
        fields = "input_tokens, cached_read_tokens, cached_write_tokens, output_tokens, reasoning_tokens, tier"
        assert store.query(f"SELECT {fields}, provider_model, requested_model, cost_nano_usd FROM calls") == [
            (86, 1920, 400, 100, 200, "standard", REPORTED, "claude-small", COST)
        ]
        inputs = "inputs.model, inputs.max_tokens, inputs.service_tier, inputs.messages_total, inputs.prompt_characters"
        length = len("Answer in one word.") + len(SECRET)
        assert store.query(f"SELECT text, unit, {inputs} FROM predictions") == [
            ("refund", "u1", "claude-small", 50, "auto", 1, length)
        ]
        for words in (SECRET, "Answer in one word", "u@example.com"):
            assert not store.holds(words)


def test_a_failed_attempt_is_a_call_whose_cost_is_unknown_not_zero_litellm_8810_21023() -> None:
    with talking(in_turn(told(OVERLOADED, 529), told(message(TOOL)))) as (client, store, _):
        client.messages.create(**ASK)
        assert store.predictions == [("refund", None)]
        assert store.calls == [(1, "status 529", None, None, None), (2, None, 86, 100, COST)]
        assert not store.holds(SECRET)


def test_a_stream_is_the_sdks_and_its_usage_is_the_last_one_told_litellm_25843() -> None:
    with talking(streamed(WHOLE), KEPT) as (client, store, asked):
        stream = client.messages.create(**ASK, stream=True)
        assert isinstance(stream, anthropic.Stream)
        assert [event.type for event in stream] == [one["type"] for one in WHOLE if one["type"] != "ping"]
        with client.messages.stream(**ASK) as helper:
            assert "".join(helper.text_stream) == "refund"
            assert helper.get_final_message().usage.output_tokens == 300
            assert helper.response.status_code == 200
        assert store.calls == [(1, None, 86, 100, COST)] * 2
        assert (
            store.query("SELECT text, error, first_chunk_seconds > 0 FROM predictions") == [("refund", None, True)] * 2
        )
        assert all("stream_options" not in one["body"] for one in asked)


def test_of_a_stream_that_breaks_the_prompt_is_known_and_the_cost_is_not_litellm_39462() -> None:
    with talking(in_turn(streamed(HALF, is_cut=True), streamed([*HALF, OVERLOADED]), streamed(WHOLE))) as (
        client,
        store,
        _,
    ):
        with pytest.raises(Exception, match=r"incomplete|closed") as broken:
            list(client.messages.create(**ASK, stream=True))
        assert not isinstance(broken.value, setpoint.SetpointError)
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            list(client.messages.create(**ASK, stream=True))
        with client.messages.stream(**ASK) as half:
            next(iter(half))
        kinds = ["closed early", "error in the stream", "closed by the caller"]
        assert [error for _, error in store.predictions] == kinds
        # One token was told of at the start of the answer: that is not what it used.
        assert store.calls == [(1, kind, 86, None, None) for kind in kinds]


def test_of_a_stream_that_tells_no_usage_at_its_end_the_cost_is_unknown() -> None:
    silent = [{**event, "usage": None} if event["type"] == "message_delta" else event for event in WHOLE]
    with talking(streamed(silent)) as (client, store, _):
        assert len(list(client.messages.create(**ASK, stream=True))) == len(WHOLE) - 1
        assert store.predictions[0][1] is None
        assert store.calls == [(1, None, 86, None, None)]


def test_the_tool_that_a_stream_calls_is_the_prediction() -> None:
    pieces = [
        HALF[0],
        {"type": "content_block_start", "index": 0, "content_block": {**TOOL, "input": {}}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": f'{{"why": "{SECRET}"}}'},
        },
        *WHOLE[-3:],
    ]
    with talking(streamed(pieces)) as (client, store, _):
        list(client.messages.create(**ASK, stream=True))
        assert store.predictions == [("refund", None)]
        assert not store.holds(SECRET)


def test_other_requests_are_not_predictions_and_garbage_is_an_error() -> None:
    with talking(in_turn(told({"input_tokens": 5}), told(b"<html>busy</html>"), told({"hello": 1}))) as (
        client,
        store,
        _,
    ):
        assert client.messages.count_tokens(model="claude-small", messages=ASK["messages"]).input_tokens == 5
        client.messages.create(**ASK)
        client.beta.messages.create(**ASK)
        assert [error for _, error in store.predictions] == ["not JSON", "no answer in it"]


def test_async_requests_streams_and_helpers() -> None:
    async def act(url: str, recorder: Recorder) -> None:
        async with anthropic.AsyncAnthropic(api_key="k", base_url=url) as plain:
            client = setpoint.wrap(plain, recorder, provider="p")
            assert isinstance(client, anthropic.AsyncAnthropic)
            raw = await client.messages.with_raw_response.create(**ASK)
            assert (await raw.parse()).content[0].type == "text"
            stream = await client.messages.create(**ASK, stream=True)
            assert len([event async for event in stream]) == len(WHOLE) - 1
            with setpoint.details(unit="u1"):
                manager = client.messages.stream(**ASK)  # sent below, but asked for here
            async with manager as helper:
                assert (await helper.get_final_message()).content[0].type == "text"
            async with client.messages.stream(**ASK) as half:
                await anext(aiter(half))

    with serving(in_turn(told({}, 500), told(message(TEXT)), *[streamed(WHOLE)] * 3)) as (url, _), recorded() as store:
        asyncio.run(act(url, store.recorder))
        gc.collect()
        assert [error for _, error in store.predictions] == [None, None, None, "closed by the caller"]
        whole = (1, None, 86, 100, COST)
        assert store.calls == [
            (1, "status 500", None, None, None),
            (2, *whole[1:]),
            whole,
            whole,
            (1, "closed by the caller", 86, None, None),
        ]
        assert store.query("SELECT unit FROM predictions ORDER BY prediction_id") == [
            (None,),
            (None,),
            ("u1",),
            (None,),
        ]
