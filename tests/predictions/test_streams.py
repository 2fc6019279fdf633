"""Answers in pieces: who is asked before the first one, and what is recorded whichever way they end."""

from __future__ import annotations

import gc
import threading
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import pytest
from tests.connect.servers import Answer, in_turn, serving, streamed, told

from setpoint import Endpoint, Model, Recorder, Reply, Task, Upstream, UsageError
from setpoint.control.route_plans import publish
from setpoint.core.errors import UpstreamError
from setpoint.core.route_plan import Cascade, Limits, Route
from setpoint.predictions.versions import Version
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

ONE = Route("single", (("v1", 1.0),), stable="v1")
FALLBACK = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",))
GENERATION = Model("m", task=Task.GENERATION, free_text="keep")
WANTED = "version, role, text, error, first_chunk_seconds IS NOT NULL"


@pytest.fixture
def layout() -> Iterator[Layout]:
    with temporary_store(GENERATION) as (made, _):
        yield made


def endpoint_of(layout: Layout, route: Route, **versions: Version) -> Endpoint:
    publish(layout, "m", route)
    return Endpoint(layout, "m", versions, recorder=Recorder(layout, "m"))


def rows(endpoint: Endpoint, columns: str = WANTED) -> list[tuple[Any, ...]]:
    assert endpoint.close()
    assert endpoint.recorder.spool.failed == 0
    with Snapshot(endpoint.recorder.layout, "m") as snapshot:
        found = f"SELECT {columns} FROM predictions ORDER BY parent_id IS NOT NULL, prediction_id"
        return snapshot.connection.execute(found).fetchall()


def counting(_: Mapping[str, object]) -> Generator[str, None, Reply]:
    yield "one "
    yield "two"
    return Reply(confidence=0.75, calls=[{"cost_nano_usd": 5}])


def breaking(_: Mapping[str, object]) -> Iterator[str]:
    yield "one "
    raise ConnectionResetError


def failing(_: Mapping[str, object]) -> Iterator[str]:
    raise ConnectionResetError
    yield "never"


def test_pieces_are_passed_on_and_the_whole_is_recorded(layout: Layout) -> None:
    endpoint = endpoint_of(layout, ONE, v1=counting)
    stream = endpoint.stream({"x": 1.0}, unit="u", key="k")
    assert stream.reply is None
    assert list(stream) == ["one ", "two"]
    reply = stream.reply
    assert reply is not None
    assert (reply.text, reply.version, reply.prediction_id) == ("one two", "v1", stream.prediction_id)
    assert endpoint.predict({"x": 2.0}).text == "one two"  # asked for the whole, it is joined
    found = rows(endpoint, f"{WANTED}, score, key, first_chunk_seconds <= latency_seconds")
    assert found == [
        ("v1", "stable", "one two", None, True, 0.75, "k", True),
        ("v1", "stable", "one two", None, False, 0.75, None, None),
    ]


def test_before_the_first_piece_another_version_answers_litellm_25843_10972_5512(layout: Layout) -> None:
    endpoint = endpoint_of(layout, FALLBACK, v1=failing, v0=counting)
    stream = endpoint.stream({"x": 1.0})
    assert list(stream) == ["one ", "two"]
    assert stream.reply is not None
    assert stream.reply.is_fallback
    assert rows(endpoint) == [
        ("v0", "stable", "one two", None, True),
        ("v1", "stage", None, "ConnectionResetError", False),
    ]


def test_after_the_first_piece_none_does_and_what_came_is_recorded_litellm_39462(layout: Layout) -> None:
    endpoint = endpoint_of(layout, FALLBACK, v1=breaking, v0=counting)
    seen: list[str] = []
    with pytest.raises(ConnectionResetError):
        seen.extend(endpoint.stream({"x": 1.0}))
    assert rows(endpoint) == [("v1", "stable", "one ", "ConnectionResetError", True)]


@pytest.mark.parametrize("way", ["close", "with", "dropped"])
def test_a_caller_who_stops_is_recorded_and_no_failure_of_the_version(layout: Layout, way: str) -> None:
    limits = Limits(breaker_failures=1, breaker_seconds=60.0)
    endpoint = endpoint_of(layout, Route("single", (("v1", 1.0),), stable="v1", limits=limits), v1=counting)
    stream = endpoint.stream({"x": 1.0})
    assert next(stream) == "one "
    if way == "with":
        with stream:
            pass
    elif way == "close":
        stream.close()
    del stream
    gc.collect()
    assert list(endpoint.stream({"x": 2.0})) == ["one ", "two"]  # no breaker opened
    assert rows(endpoint) == [
        ("v1", "stable", "one ", "CancelledError", True),
        ("v1", "stable", "one two", None, True),
    ]


def test_a_breaker_opens_by_streams_that_break(layout: Layout) -> None:
    limits = Limits(breaker_failures=2, breaker_seconds=600.0)
    route = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=limits)
    endpoint = endpoint_of(layout, route, v1=breaking, v0=counting)
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            list(endpoint.stream({}))
    assert list(endpoint.stream({})) == ["one ", "two"]
    assert rows(endpoint)[-1][:4] == ("v1", "stage", None, "breaker open")


def test_a_cascade_holds_a_cheap_answer_back_until_it_will_do(layout: Layout) -> None:
    def large(_: Mapping[str, object]) -> Iterator[str]:
        yield from ("large ", "answer")

    for at_least, pieces in ((0.5, ["one two"]), (0.9, ["large ", "answer"])):
        route = Route("cascade", (("v1", 1.0),), stable="v0", cascade=Cascade("v1", "v0", at_least=at_least, audit=0.0))
        endpoint = endpoint_of(layout, route, v1=counting, v0=large)
        assert list(endpoint.stream({"x": 1.0})) == pieces
        endpoint.close()
    found = rows(endpoint, "version, role, text")
    assert sorted(found) == sorted(
        [("v1", "candidate", "one two"), ("v0", "stable", "large answer"), ("v1", "stage", "one two")]
    )


def test_a_piece_is_waited_for_as_long_as_the_route_says_and_no_longer(layout: Layout) -> None:
    leave = threading.Event()

    def hanging(_: Mapping[str, object]) -> Iterator[str]:
        leave.wait(60)
        yield "late"

    limits = Limits(timeout_seconds=0.05)
    route = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=limits)
    endpoint = endpoint_of(layout, route, v1=hanging, v0=counting)
    assert list(endpoint.stream({})) == ["one ", "two"]
    leave.set()
    assert [row[3] for row in rows(endpoint)] == [None, "TimeoutError"]


def test_versions_that_give_no_pieces_give_one(layout: Layout) -> None:
    async def later(_: Mapping[str, object]) -> str:
        return "later"

    inner = Endpoint(layout, "inner", {"v1": counting})
    endpoint = endpoint_of(layout, ONE, v1=lambda _: Reply(text="whole"))
    assert list(endpoint.stream({})) == ["whole"]
    assert list(endpoint_of(layout, ONE, v1=inner).stream({})) == ["one ", "two"]
    assert list(endpoint_of(layout, ONE, v1=lambda _: 3.5).stream({})) == []
    with pytest.raises(UsageError, match="version v1 is asynchronous"):
        list(endpoint_of(layout, ONE, v1=later).stream({}))
    assert inner.close()


def chunk(text: str | None = None, **more: object) -> dict[str, object]:
    choices = [] if text is None else [{"index": 0, "delta": {"content": text}}]
    return {"id": "1", "model": "small-2026-11-01", "choices": choices, **more}


USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 8}}
CHAT = [chunk("Guten "), chunk("Tag"), chunk(usage=USAGE), "[DONE]"]
CALLS = "input_tokens, cached_read_tokens, output_tokens, cost_nano_usd, error, provider_model, requested_model"


def calls(layout: Layout) -> list[tuple[Any, ...]]:
    with Snapshot(layout, "m") as snapshot:
        return snapshot.connection.execute(f"SELECT {CALLS} FROM calls ORDER BY call_id").fetchall()


def upstream(url: str) -> Upstream:
    return Upstream(f"{url}/v1/chat/completions", protocol="chat", chat_model="small", prompt="{x}", timeout_seconds=5)


def test_a_chat_is_streamed_over_a_connection_that_is_kept(layout: Layout) -> None:
    with serving(streamed(CHAT)) as (url, asked):
        endpoint = endpoint_of(layout, ONE, v1=upstream(url))
        for _ in range(3):
            assert list(endpoint.stream({"x": "hi"})) == ["Guten ", "Tag"]
        assert asked[0]["body"] == {
            "model": "small", "messages": [{"role": "user", "content": "hi"}], "stream": True,
            "stream_options": {"include_usage": True},
        }  # fmt: skip
        assert len({one["client"] for one in asked}) == 1
    found = rows(endpoint, "text, prediction, upstream_seconds > 0, upstream_seconds <= latency_seconds")
    assert found == [("Guten Tag", None, True, True)] * 3
    assert calls(layout) == [(4, 8, 5, None, None, "small-2026-11-01", "small")] * 3


@pytest.mark.parametrize(
    ("answer", "error", "tokens"),
    [
        (streamed(CHAT[:2], is_cut=True), "closed early", None),
        (streamed(CHAT[:2]), "closed early", None),
        (streamed([*CHAT[:2], {"error": {"message": "overloaded"}}]), "error in the stream", None),
        (streamed([*CHAT[:2], "{garbage"]), "not JSON", None),
        (streamed([*CHAT[:3]], is_cut=True), "closed early", 4),
    ],
)
def test_a_stream_that_breaks_off_costs_an_unknown_amount(
    layout: Layout, answer: Answer, error: str, tokens: int | None
) -> None:
    with serving(answer) as (url, _):
        endpoint = endpoint_of(layout, FALLBACK, v1=upstream(url), v0=counting)
        with pytest.raises(UpstreamError, match=error):
            list(endpoint.stream({"x": "hi"}))
    assert rows(endpoint, "version, text, error") == [("v1", "Guten Tag", error)]
    assert [(row[0], row[3], row[4]) for row in calls(layout)] == [(tokens, None, error)]


def test_a_stream_without_usage_has_an_unknown_cost_and_not_none(layout: Layout) -> None:
    with serving(streamed([*CHAT[:2], "[DONE]"])) as (url, _):
        endpoint = endpoint_of(layout, ONE, v1=upstream(url))
        assert list(endpoint.stream({"x": "hi"})) == ["Guten ", "Tag"]
    assert rows(endpoint, "error") == [(None,)]
    assert calls(layout) == [(None, None, None, None, None, "small-2026-11-01", "small")]


def test_before_a_stream_begins_a_refusal_is_a_fallback(layout: Layout) -> None:
    with serving(in_turn(told({"error": "busy"}, 503), streamed(CHAT))) as (url, _):
        endpoint = endpoint_of(layout, FALLBACK, v1=upstream(url), v0=upstream(url))
        assert list(endpoint.stream({"x": "hi"})) == ["Guten ", "Tag"]
    assert rows(endpoint, "version, error") == [("v0", None), ("v1", "status 503")]


def test_a_caller_who_leaves_a_chat_closes_its_connection_and_the_next_gets_another(layout: Layout) -> None:
    with serving(streamed(CHAT)) as (url, asked):
        endpoint = endpoint_of(layout, ONE, v1=upstream(url))
        with endpoint.stream({"x": "hi"}) as stream:
            assert next(stream) == "Guten "
        assert list(endpoint.stream({"x": "hi"})) == ["Guten ", "Tag"]
        assert len({one["client"] for one in asked}) == 2
    assert rows(endpoint, "error") == [("CancelledError",), (None,)]
    assert [row[4] for row in calls(layout)] == ["closed by the caller", None]


def test_two_streams_of_one_thread_do_not_share_a_connection(layout: Layout) -> None:
    with serving(streamed(CHAT)) as (url, asked):
        endpoint = endpoint_of(layout, ONE, v1=upstream(url))
        first, second = endpoint.stream({"x": "a"}), endpoint.stream({"x": "b"})
        mixed = [next(one) for _ in range(2) for one in (first, second)]
        assert mixed == ["Guten ", "Guten ", "Tag", "Tag"]
        assert [list(first), list(second)] == [[], []]
        assert len({one["client"] for one in asked}) == 2
    assert rows(endpoint, "error") == [(None,), (None,)]


def test_a_request_that_ends_the_process_is_recorded_and_raised(layout: Layout) -> None:
    def ending(_: Mapping[str, object]) -> Iterator[str]:
        yield "one "
        raise KeyboardInterrupt

    limits = Limits(breaker_failures=1, breaker_seconds=600.0)
    endpoint = endpoint_of(layout, Route("single", (("v1", 1.0),), stable="v1", limits=limits), v1=ending)
    for _ in range(2):  # no failure of the version: no breaker opens
        with pytest.raises(KeyboardInterrupt):
            list(endpoint.stream({}))
    assert rows(endpoint) == [("v1", "stable", "one ", "KeyboardInterrupt", True)] * 2
