"""Wrapped clients of OpenAI's own SDK, against servers that answer as its API does."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel
from tests.connect.recorded import SECRET, Recorded, recorded
from tests.connect.servers import Answer, in_turn, serving, streamed, told

import setpoint
from setpoint import Model, Recorder, Task

MESSAGES: Any = [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": SECRET}]
REPORTED = "small-2026-11-01"
# 2006 tokens of the prompt, 1920 of them read from a cache; 300 of the answer, 200 of them reasoning.
USAGE = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 200, "accepted_prediction_tokens": 0},
}
COST = 86 * 1000 + 1920 * 100 + 100 * 10_000 + 200 * 10_000
RATE_LIMITED = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}


def chat(content: str | None = "refund", **fields: object) -> dict[str, object]:
    message = {"role": "assistant", "content": content, "refusal": None, **fields}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": REPORTED,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
        "service_tier": "default",
    }


def chunk(*, finish: str | None = None, usage: object = None, **delta: object) -> dict[str, object]:
    choices = [] if usage else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": REPORTED}
    return {**head, "service_tier": "default", "choices": choices, "usage": usage}


HALF = [chunk(role="assistant", content=""), chunk(content="re"), chunk(content="fund")]
WHOLE = [*HALF, chunk(finish="stop")]
WITH_USAGE = [*WHOLE, chunk(usage=USAGE), "[DONE]"]


@contextmanager
def talking(
    answer: Answer, model: Model | None = None, max_retries: int = 2
) -> Generator[tuple[openai.OpenAI, Recorded, list[Mapping[str, Any]]]]:
    """Yield a wrapped client of a server, what it recorded, and what the server was asked."""
    with serving(answer) as (url, asked), recorded(model) as store:
        with openai.OpenAI(api_key="k", base_url=f"{url}/v1", max_retries=max_retries) as plain:
            yield setpoint.wrap(plain, store.recorder, provider="p"), store, asked
        gc.collect()


def run_async(answer: Answer, act: Callable[[openai.AsyncOpenAI], Any]) -> tuple[Any, list[tuple[Any, ...]], list[Any]]:
    """Return what an async client did, and the predictions and calls that were recorded."""

    async def run(url: str, recorder: Recorder) -> object:
        async with openai.AsyncOpenAI(api_key="k", base_url=f"{url}/v1") as plain:
            return await act(setpoint.wrap(plain, recorder, provider="p"))

    with serving(answer) as (url, _), recorded() as store:
        result = asyncio.run(run(url, store.recorder))
        gc.collect()
        return result, store.predictions, store.calls


def test_the_answer_is_the_sdks_own_and_no_word_of_the_prompt_is_kept() -> None:
    with talking(told(chat())) as (client, store, asked):
        assert isinstance(client, openai.OpenAI)
        with setpoint.details({"topic": "billing"}, unit="u1", key="t-1") as ids:
            answer = client.chat.completions.create(
                model="small", messages=MESSAGES, temperature=0.5, max_completion_tokens=9, user="u@example.com"
            )
        assert type(answer) is ChatCompletion
        assert answer.choices[0].message.content == "refund"
        assert asked[0]["body"]["messages"] == MESSAGES
        found = store.query(
            "SELECT prediction_id, key, unit, version, inputs.topic, inputs.model, inputs.temperature,"
            " inputs.max_completion_tokens, inputs.messages_total, inputs.prompt_characters, prediction, text, error,"
            " latency_seconds >= upstream_seconds AND upstream_seconds > 0 FROM predictions"
        )
        length = len("Answer in one word.") + len(SECRET)
        assert found == [(*ids, "t-1", "u1", "v1", "billing", "small", 0.5, 9, 2, length, None, None, None, True)]
        for words in (SECRET, "Answer in one word", "refund", "u@example.com"):
            assert not store.holds(words)


def test_cached_tokens_are_billed_once_and_as_cached_litellm_11364_14849_16341_29145() -> None:
    with talking(told(chat())) as (client, store, _):
        client.chat.completions.create(model="small", messages=MESSAGES)
        found = store.query(
            "SELECT provider, provider_model, requested_model, tier, input_tokens, cached_read_tokens, cost_nano_usd,"
            " attempt, latency_seconds > 0 FROM calls"
        )
        assert found == [("p", REPORTED, "small", "default", 86, 1920, COST, 1, True)]


def test_reasoning_tokens_are_no_output_tokens_litellm_18599() -> None:
    usage = {
        "input_tokens": 2006,
        "input_tokens_details": {"cached_tokens": 1920},
        "output_tokens": 300,
        "output_tokens_details": {"reasoning_tokens": 200},
        "total_tokens": 2306,
    }
    content = [{"type": "output_text", "text": "refund", "annotations": []}]
    thought = {"type": "reasoning", "id": "r1", "summary": [], "content": [{"type": "reasoning_text", "text": SECRET}]}
    message = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": content}
    body = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": REPORTED}
    body |= {"output": [thought, message], "usage": usage, "error": None, "parallel_tool_calls": True, "tools": []}
    with talking(told(body), Model("m", task=Task.GENERATION, free_text="keep")) as (client, store, _):
        answer = client.responses.create(
            model="small", instructions="Be brief.", input=SECRET, reasoning={"effort": "low"}
        )
        assert answer.output_text == "refund"
        found = store.query("SELECT reasoning_tokens, output_tokens, cost_nano_usd FROM calls")
        assert found == [(200, 100, COST)]
        assert store.query("SELECT text, inputs.reasoning_effort FROM predictions") == [("refund", "low")]
        assert not store.holds(SECRET)


def test_a_failed_attempt_is_a_call_whose_cost_is_unknown_not_zero_litellm_8810_21023() -> None:
    with talking(in_turn(told(RATE_LIMITED, 429), told(chat()))) as (client, store, _):
        assert client.chat.completions.create(model="small", messages=MESSAGES).model == REPORTED
        assert store.predictions == [(None, None)]
        assert store.calls == [(1, "status 429", None, None, None), (2, None, 86, 100, COST)]


def test_the_error_of_the_last_attempt_is_the_callers_and_each_attempt_is_a_call() -> None:
    with talking(in_turn(*[told(RATE_LIMITED, 429)] * 2, told({}, 500)), max_retries=2) as (client, store, _):
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="small", messages=MESSAGES)
        assert store.predictions == [(None, "status 500")]
        errors = ["status 429", "status 429", "status 500"]
        assert store.calls == [(n + 1, error, None, None, None) for n, error in enumerate(errors)]


def test_a_stream_is_asked_for_its_usage_and_looks_as_without_litellm_25843() -> None:
    with serving(streamed([*WHOLE, "[DONE]"])) as (url, asked), openai.OpenAI(api_key="k", base_url=url) as plain:
        usual = list(plain.chat.completions.create(model="small", messages=MESSAGES, stream=True))
        assert "stream_options" not in asked[0]["body"]  # pyright: ignore[reportOperatorIssue] — a mapping
    with talking(streamed(WITH_USAGE)) as (client, store, asked):
        stream = client.chat.completions.create(model="small", messages=MESSAGES, stream=True)
        assert isinstance(stream, openai.Stream)
        assert stream.response.status_code == 200
        assert list(stream) == usual
        assert asked[0]["body"]["stream_options"] == {"include_usage": True}
        assert store.calls == [(1, None, 86, 100, COST)]
        times = "first_chunk_seconds > 0 AND first_chunk_seconds <= latency_seconds AND upstream_seconds > 0"
        assert store.query(f"SELECT error, {times} FROM predictions") == [(None, True)]


def test_who_asks_for_the_usage_gets_it_and_who_refuses_it_has_an_unknown_cost() -> None:
    with talking(in_turn(streamed(WITH_USAGE), streamed([*WHOLE, "[DONE]"]))) as (client, store, asked):
        several: Any = [{"include_usage": True}, {"include_usage": False}]
        streams = [
            client.chat.completions.create(model="small", messages=MESSAGES, stream=True, stream_options=options)
            for options in several
        ]
        assert [[bool(one.usage) for one in stream][-1] for stream in streams] == [True, False]
        assert [one["body"]["stream_options"] for one in asked] == several
        assert store.calls == [(1, None, 86, 100, COST), (1, None, None, None, None)]


def test_a_stream_that_breaks_raises_as_ever_and_its_cost_is_unknown_litellm_39462() -> None:
    with talking(streamed(HALF, is_cut=True)) as (client, store, _):
        with pytest.raises(openai.APIConnectionError):
            list(client.chat.completions.create(model="small", messages=MESSAGES, stream=True))
        assert store.predictions == [(None, "closed early")]
        assert store.calls == [(1, "closed early", None, None, None)]


def test_a_stream_that_ends_before_its_answer_does_is_an_error() -> None:
    with talking(streamed(HALF)) as (client, store, _):
        assert len(list(client.chat.completions.create(model="small", messages=MESSAGES, stream=True))) == 3
        assert store.calls == [(1, "closed early", None, None, None)]


def test_an_error_in_the_stream_is_the_sdks_and_has_a_kind() -> None:
    with talking(streamed([*HALF, {"error": {"message": "overloaded", "code": "server_error"}}])) as (client, store, _):
        with pytest.raises(openai.APIError, match="overloaded"):
            list(client.chat.completions.create(model="small", messages=MESSAGES, stream=True))
        assert store.predictions == [(None, "error in the stream")]


def test_a_stream_that_is_closed_or_dropped_half_read_is_recorded_once() -> None:
    with talking(streamed(WITH_USAGE)) as (client, store, _):
        with client.chat.completions.create(model="small", messages=MESSAGES, stream=True) as stream:
            next(iter(stream))
        stream.close()
        dropped = client.chat.completions.create(model="small", messages=MESSAGES, stream=True)
        next(iter(dropped))
        del dropped
        gc.collect()
        with client.chat.completions.stream(model="small", messages=MESSAGES) as helper:
            next(iter(helper))
        del helper
        gc.collect()
        kinds = ["closed by the caller", "abandoned", "abandoned"]
        assert [error for _, error in store.predictions] == kinds
        assert store.calls == [(1, kind, None, None, None) for kind in kinds]


def test_helpers_and_parsing_are_recorded_as_plain_requests_are() -> None:
    class Verdict(BaseModel):
        label: str

    tools: Any = [{"type": "function", "function": {"name": "refund", "parameters": {}, "strict": True}}]
    parts = [chunk(role="assistant", content='{"label":'), chunk(content='"spam"}'), chunk(finish="stop")]
    answers = in_turn(told(chat('{"label": "spam"}')), streamed([*parts, chunk(usage=USAGE), "[DONE]"]), told(chat()))
    with talking(answers) as (client, store, _):
        parsed = client.chat.completions.parse(model="small", messages=MESSAGES, response_format=Verdict, tools=tools)
        assert parsed.choices[0].message.parsed == Verdict(label="spam")
        with client.chat.completions.stream(model="small", messages=MESSAGES, response_format=Verdict) as stream:
            assert stream.get_final_completion().choices[0].message.parsed == Verdict(label="spam")
        raw = client.with_options(timeout=9).chat.completions.with_raw_response.create(model="small", messages=MESSAGES)
        assert raw.parse().choices[0].message.content == "refund"
        assert store.calls == [(1, None, 86, 100, COST)] * 3
        assert store.query("SELECT inputs.tools_total FROM predictions ORDER BY prediction_id")[0] == (1,)


def test_who_reads_a_raw_stream_alone_gets_it_as_it_is_and_its_cost_is_unknown() -> None:
    with talking(streamed([*WHOLE, "[DONE]"])) as (client, store, asked):
        with client.chat.completions.with_streaming_response.create(
            model="small", messages=MESSAGES, stream=True
        ) as raw:
            assert sum(line.startswith("data:") for line in raw.iter_lines()) == 5
        assert "stream_options" not in asked[0]["body"]
        assert store.calls == [(1, None, None, None, None)]


def test_the_names_of_tools_are_the_prediction_and_their_arguments_are_not_kept() -> None:
    function = {"name": "refund", "arguments": json.dumps({"why": SECRET})}
    calls = [{"id": "c1", "type": "function", "function": function}]
    opened = [{"index": 0, "id": "c1", "type": "function", "function": {"name": "refund", "arguments": ""}}]
    more = [{"index": 0, "function": {"arguments": json.dumps({"why": SECRET})}}]
    pieces = [chunk(role="assistant", tool_calls=opened), chunk(tool_calls=more), chunk(finish="tool_calls")]
    with talking(in_turn(told(chat(None, tool_calls=calls)), streamed(pieces))) as (client, store, _):
        client.chat.completions.create(model="small", messages=MESSAGES)
        list(client.chat.completions.create(model="small", messages=MESSAGES, stream=True))
        assert store.predictions == [("refund", None), ("refund", None)]
        assert not store.holds(SECRET)


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": REPORTED,
    "output": [],
    "error": None,
    "tools": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
}


def test_a_stream_of_a_response_and_one_that_fails() -> None:
    item = {"type": "message", "id": "m1", "role": "assistant", "status": "in_progress", "content": []}
    place = {"item_id": "m1", "output_index": 0, "content_index": 0, "sequence_number": 2}
    text = {"type": "output_text", "text": "refund", "annotations": []}
    usage = {"input_tokens": 86, "output_tokens": 100, "total_tokens": 186}
    begun = [
        {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "status": "in_progress"}},
        {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "part": {**text, "text": ""}},
        {"type": "response.output_text.delta", **place, "delta": "refund", "logprobs": []},
    ]
    done = {**RESPONSE, "status": "completed", "output": [{**item, "content": [text]}], "usage": usage}
    failed = {**RESPONSE, "status": "failed", "error": {"code": "server_error", "message": "no"}}
    ends = [
        {"type": "response.completed", "sequence_number": 9, "response": done},
        {"type": "response.failed", "sequence_number": 9, "response": failed},
    ]
    model = Model("m", task=Task.GENERATION, free_text="keep")
    with talking(in_turn(*(streamed([*begun, end]) for end in [*ends, ends[0]])), model) as (client, store, _):
        with client.responses.stream(model="small", input=SECRET) as stream:
            assert stream.get_final_response().output_text == "refund"
        kinds = [event.type for event in client.responses.create(model="small", input=SECRET, stream=True)]
        assert kinds[-1] == "response.failed"
        with client.responses.create(model="small", input=SECRET, stream=True) as half:
            assert [event.type for _, event in zip(range(4), half, strict=False)][-1] == "response.output_text.delta"
        found = store.query("SELECT text, error FROM predictions ORDER BY prediction_id")
        assert found == [("refund", None), (None, "server_error"), ("refund", "closed by the caller")]
        cost = 86 * 1000 + 100 * 10_000
        assert store.calls == [
            (1, None, 86, 100, cost),
            (1, "server_error", None, None, None),
            (1, "closed by the caller", None, None, None),
        ]


def test_embeddings_are_a_prediction_with_a_cost_of_their_own() -> None:
    body = {"object": "list", "model": "embed", "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]}
    with talking(told({**body, "usage": {"prompt_tokens": 8, "total_tokens": 8}})) as (client, store, _):
        assert client.embeddings.create(model="embed", input=[SECRET, SECRET]).data[0].embedding == [0.1, 0.2]
        assert store.predictions == [(None, None)]
        assert store.query("SELECT inputs.prompt_characters FROM predictions") == [(2 * len(SECRET),)]
        assert store.query("SELECT input_tokens, requested_model, provider_model FROM calls") == [(8, None, "embed")]


FAULTS: list[tuple[Answer, str]] = [
    (told(b"<html>busy</html>"), "not JSON"),
    (told({"choices": []}), "no answer in it"),
    (told({"hello": "world"}), "no answer in it"),
    (told({"error": {"code": 502, "message": "no"}, "choices": None}), "502"),
]


@pytest.mark.parametrize(("answer", "kind"), FAULTS)
def test_garbage_is_the_callers_as_it_came_and_an_error_of_a_kind(answer: Answer, kind: str) -> None:
    with talking(answer) as (client, store, _):
        client.chat.completions.create(model="small", messages=MESSAGES)
        assert store.predictions == [(None, kind)]
        assert [cost for *_, cost in store.calls] == [None]


def test_nobody_at_the_address_and_a_server_that_hangs() -> None:
    def hang(*_: object) -> None:
        asyncio.run(asyncio.sleep(1.0))

    with talking(hang, max_retries=1) as (client, store, _):
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.1).chat.completions.create(model="small", messages=MESSAGES)
        with pytest.raises(openai.APIConnectionError):
            client.with_options(base_url="http://127.0.0.1:9", max_retries=0).chat.completions.create(
                model="small", messages=MESSAGES
            )
        assert [error for _, error in store.predictions] == ["timeout", "unreachable"]
        assert [(attempt, error, cost) for attempt, error, *_, cost in store.calls] == [
            (1, "no response", None),
            (2, "timeout", None),
            (1, "unreachable", 0),  # nothing was sent
        ]


def test_other_requests_are_not_predictions() -> None:
    with talking(told({"object": "list", "data": []})) as (client, store, _):
        client.post("/fine_tuning/jobs", cast_to=object, body={"model": "small"})
        assert store.query("SELECT count(*) FROM predictions") == [(0,)]


def test_what_a_classifier_says_is_its_class() -> None:
    with talking(told(chat("spam")), Model("m", task=Task.MULTICLASS)) as (client, store, _):
        client.chat.completions.create(model="small", messages=MESSAGES)
        assert store.query("SELECT prediction, text FROM predictions") == [("spam", None)]


def test_the_system_message_is_the_prompts_version_unless_a_template_is_given() -> None:
    def version() -> str | None:
        return store.query("SELECT prompt_version FROM calls ORDER BY call_id")[-1][0]

    with talking(told(chat())) as (client, store, _):
        client.chat.completions.create(model="small", messages=MESSAGES)
        of_system = version()
        client.chat.completions.create(model="small", messages=[MESSAGES[0], {"role": "user", "content": "other"}])
        assert version() == of_system
        client.chat.completions.create(model="small", messages=MESSAGES[1:])
        assert version() is None
        with setpoint.details(prompt="Is this spam? {text}"):
            client.chat.completions.create(model="small", messages=MESSAGES)
        upstream = setpoint.Upstream("http://127.0.0.1:9", protocol="chat", prompt="Is this spam? {text}")
        assert version() == upstream.prompt_version != of_system


def test_async_requests_and_streams_with_whose_they_are() -> None:
    async def act(client: openai.AsyncOpenAI) -> tuple[list[str], int]:
        async def ask(n: int) -> str:
            with setpoint.details(unit=f"u{n}") as ids:
                await client.chat.completions.create(model="small", messages=MESSAGES)
                return ids[0]

        names = await asyncio.gather(*map(ask, range(8)))
        stream = await client.chat.completions.create(model="small", messages=MESSAGES, stream=True)
        assert isinstance(stream, openai.AsyncStream)
        chunks = [piece async for piece in stream]
        async with await client.chat.completions.create(model="small", messages=MESSAGES, stream=True) as half:
            await anext(aiter(half))
        async with client.chat.completions.stream(model="small", messages=MESSAGES) as helper:
            await helper.get_final_completion()
        return names, len(chunks)

    answers = in_turn(*[told(chat())] * 8, *[streamed(WITH_USAGE)] * 3)
    (names, chunks), predictions, calls = run_async(answers, act)
    assert len(set(names)) == 8
    assert chunks == len(WHOLE)
    assert [error for _, error in predictions] == [None] * 9 + ["closed by the caller", None]
    priced = (1, None, 86, 100, COST)
    assert sorted(calls, key=str) == sorted([*[priced] * 10, (1, "closed by the caller", None, None, None)], key=str)


def test_async_attempts_and_a_request_that_is_cancelled() -> None:
    async def act(client: openai.AsyncOpenAI) -> None:
        await client.chat.completions.create(model="small", messages=MESSAGES)
        task = asyncio.create_task(client.chat.completions.create(model="small", messages=MESSAGES))
        await asyncio.to_thread(asked.wait, 10.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        done.set()

    asked, done = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        asked.set()
        done.wait(10.0)

    _, predictions, calls = run_async(in_turn(told(RATE_LIMITED, 429), told(chat()), hang), act)
    assert [error for _, error in predictions] == [None, "CancelledError"]
    assert [(attempt, error) for attempt, error, *_ in calls] == [(1, "status 429"), (2, None), (1, "CancelledError")]
