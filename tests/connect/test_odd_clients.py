"""Clients and answers of providers' SDKs that are odd: nothing of ours is raised, one row a request, no wrong cost."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from pydantic import BaseModel
from tests.connect.recorded import Recorded, recorded
from tests.connect.servers import Answer, serving, streamed, told

import setpoint
from setpoint import Model, Task, UsageError

MESSAGES: Any = [{"role": "user", "content": "Is this spam?"}]
USED = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
COST = 5 * 1000 + 3 * 10_000


def chat(*contents: object, usage: object = USED, **fields: object) -> dict[str, object]:
    choices = [
        {"index": n, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        for n, content in enumerate(contents or ("spam",))
    ]
    told_of = {"id": "c", "object": "chat.completion", "created": 1, "model": "small-2026-11-01"}
    return {**told_of, "choices": choices, "usage": usage, **fields}


def chunk(content: object = "a", finish: str | None = None, usage: object = None) -> dict[str, object]:
    choices = [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "model": "small-2026-11-01",
        "choices": choices,
        "usage": usage,
    }


def with_usage(usage: object) -> list[object]:
    return [chunk(), chunk(finish="stop"), {**chunk(usage=usage), "choices": []}, "[DONE]"]


@contextmanager
def plain(answer: Answer, model: Model | None = None) -> Generator[tuple[openai.OpenAI, Recorded]]:
    """Yield a client of a server that is not wrapped, and where to record."""
    with serving(answer) as (url, _), recorded(model) as store:
        with openai.OpenAI(api_key="k", base_url=f"{url}/v1", max_retries=0) as client:
            yield client, store
        gc.collect()


def create(client: openai.OpenAI, n: int = 1) -> object:
    return client.chat.completions.create(model="small", messages=MESSAGES, n=n)


def consume(client: openai.OpenAI) -> object:
    return [*client.chat.completions.create(model="small", messages=MESSAGES, stream=True)]


def raw(client: openai.OpenAI) -> object:
    return client.chat.completions.with_raw_response.create(model="small", messages=MESSAGES).text


Ask = Callable[[openai.OpenAI], object]
ODD: dict[str, tuple[Ask, Answer, int | None]] = {
    **{
        f"usage {usage!r:.60}": (create, told(chat(usage=usage)), cost)
        for usage, cost in (
            (None, None),
            ({}, None),
            ([1], None),
            ("x", None),
            (5, None),
            ({**USED, "prompt_tokens": -5}, None),
            ({**USED, "prompt_tokens": 10**30}, None),
            ({**USED, "prompt_tokens_details": None, "completion_tokens_details": None}, COST),
            ({**USED, "prompt_tokens_details": {"cached_tokens": None}}, COST),
            ({**USED, "prompt_tokens_details": {"cached_tokens": "4"}}, 1000 + 4 * 100 + 3 * 10_000),
            ({"prompt_tokens": 5.0, "completion_tokens": 3.0, "total_tokens": 8.0}, COST),
        )
    },
    **{
        f"choices {choices!r:.60}": (create, told(chat(choices=choices)), cost)
        for choices, cost in ((None, None), ([], None), ("abc", COST), ([None], COST), ([{"message": None}], COST))
    },
    **{f"body {body!r}": (create, told(body), None) for body in ([1], None, 5, b"", {"error": "x"})},
    **{
        f"stream {n}": (consume, streamed(events, is_cut=is_cut), cost)
        for n, (events, is_cut, cost) in enumerate(
            (
                (with_usage(USED), False, COST),
                (with_usage({"prompt_tokens": "5"}), False, None),
                ([chunk()], False, None),
                ([chunk()], True, None),
                ([], False, None),
                ([chunk(), None, "[DONE]"], False, None),
                ([chunk(), [1], "[DONE]"], False, None),
                ([chunk(), "{oops"], False, None),
                ([{"choices": None}, {"choices": [{"delta": None}]}, *with_usage(USED)], False, COST),
                ([chunk(usage=USED), chunk(finish="stop", usage=USED), "[DONE]"], False, COST),
            )
        )
    },
    "raw": (raw, told(chat()), COST),
    "raw garbage": (raw, told(b"<html>"), None),
    "raw nested too deep": (raw, told(b"[" * 200_000), None),
}


def outcome(ask: Ask, client: openai.OpenAI) -> str:
    try:
        return type(ask(client)).__name__
    except Exception as error:  # noqa: BLE001 — the SDK's own, of which it is asked whether it is the same
        return f"raised {type(error).__name__}"


@pytest.mark.parametrize("name", ODD)
def test_the_caller_gets_what_the_sdk_gives_and_there_is_one_row_and_no_wrong_cost(name: str) -> None:
    ask, answer, cost = ODD[name]
    with plain(answer) as (client, store):
        expected = outcome(ask, client)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pydantic's, of a usage that is odd
            assert outcome(ask, setpoint.wrap(client, store.recorder, provider="p")) == expected
        gc.collect()
        assert len(store.predictions) == 1
        assert [row[-1] for row in store.calls] == [cost]


def test_a_client_that_is_wrapped_twice_is_recorded_once_and_by_another_recorder_too() -> None:
    with plain(told(chat())) as (client, store), recorded() as other:
        twice = setpoint.wrap(setpoint.wrap(client, store.recorder, provider="p"), store.recorder, provider="p")
        create(twice.with_options(timeout=9))
        assert (len(store.predictions), [row[-1] for row in store.calls]) == (1, [COST])
        create(setpoint.wrap(twice, other.recorder, provider="p"))
        assert (len(store.predictions), len(other.predictions)) == (2, 1)


def test_what_nothing_would_be_recorded_of_is_refused() -> None:
    class Own(openai.OpenAI):
        def __init__(self, address: str) -> None:
            super().__init__(api_key="k", base_url=address)

    with plain(told(chat())) as (client, store):
        for odd in (object(), client.chat, client.chat.completions.create):
            with pytest.raises(UsageError, match="neither a client"):
                setpoint.wrap(odd, store.recorder)
        with Own("http://127.0.0.1:1/v1") as own, pytest.raises(UsageError, match="cannot be copied"):
            setpoint.wrap(own, store.recorder)


def test_an_answer_that_the_sdk_does_not_like_is_billed_all_the_same() -> None:
    class Verdict(BaseModel):
        label: str

    def parse(client: openai.OpenAI) -> object:
        return client.chat.completions.parse(model="small", messages=MESSAGES, response_format=Verdict)

    cut: Mapping[str, object] = {
        "index": 0,
        "message": {"role": "assistant", "content": "{"},
        "finish_reason": "length",
    }
    with plain(told(chat(choices=[cut]))) as (client, store):
        with pytest.raises(openai.LengthFinishReasonError):
            parse(setpoint.wrap(client, store.recorder, provider="p"))
        assert [error for _, error in store.predictions] == ["LengthFinishReasonError"]
        assert [row[-1] for row in store.calls] == [COST]


def test_of_several_choices_the_first_is_the_prediction_whether_they_are_numbered_or_not() -> None:
    bare = [{"message": {"role": "assistant", "content": word}, "finish_reason": "stop"} for word in ("spam", "ham")]
    for choices in (chat("spam", "ham")["choices"], bare):
        with plain(told(chat(choices=choices)), Model("m", task=Task.MULTICLASS)) as (client, store):
            create(setpoint.wrap(client, store.recorder, provider="p"), n=2)
            assert store.predictions == [("spam", None)]
