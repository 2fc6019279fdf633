"""Answers in pieces for coroutines: as those for threads, and nobody else of the loop waits."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
from tests.connect.servers import serving, streamed

from setpoint import Endpoint, Model, Recorder, Reply, Task, Upstream, UsageError
from setpoint.control.route_plans import publish
from setpoint.core.route_plan import Cascade, Limits, Route
from setpoint.predictions.versions import Version
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

ONE = Route("single", (("v1", 1.0),), stable="v1")
FALLBACK = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",))
GENERATION = Model("m", task=Task.GENERATION, free_text="keep")
Inputs = Mapping[str, object]


@pytest.fixture
def layout() -> Iterator[Layout]:
    with temporary_store(GENERATION) as (made, _):
        yield made


def endpoint_of(layout: Layout, route: Route, **versions: Version) -> Endpoint:
    publish(layout, "m", route)
    return Endpoint(layout, "m", versions, recorder=Recorder(layout, "m"))


def rows(
    endpoint: Endpoint, columns: str = "version, role, text, error, first_chunk_seconds IS NOT NULL"
) -> list[tuple[Any, ...]]:
    assert endpoint.close()
    assert endpoint.recorder.spool.failed == 0
    with Snapshot(endpoint.recorder.layout, "m") as snapshot:
        found = f"SELECT {columns} FROM predictions ORDER BY parent_id IS NOT NULL, prediction_id"
        return snapshot.connection.execute(found).fetchall()


def taken(endpoint: Endpoint, inputs: Inputs | None = None) -> tuple[list[str], Reply | None]:
    async def take() -> tuple[list[str], Reply | None]:
        stream = endpoint.stream_async(inputs or {"x": 1.0}, unit="u", key="k")
        return [piece async for piece in stream], stream.reply

    return asyncio.run(take())


async def counting(_: Inputs) -> AsyncIterator[object]:
    yield "one "
    await asyncio.sleep(0)
    yield "two"
    yield Reply(confidence=0.75, calls=[{"cost_nano_usd": 5}])


async def breaking(_: Inputs) -> AsyncIterator[str]:
    yield "one "
    raise ConnectionResetError


async def failing(_: Inputs) -> AsyncIterator[str]:
    raise ConnectionResetError
    yield "never"


def counting_in_a_thread(_: Inputs) -> Iterator[str]:
    yield "one "
    yield "two"
    return Reply(confidence=0.75, calls=[{"cost_nano_usd": 5}])


@pytest.mark.parametrize("version", [counting, counting_in_a_thread])
def test_pieces_are_passed_on_and_the_whole_is_recorded(layout: Layout, version: Version) -> None:
    endpoint = endpoint_of(layout, ONE, v1=version)
    pieces, reply = taken(endpoint)
    assert pieces == ["one ", "two"]
    assert reply is not None
    assert (reply.text, reply.version, len(reply.calls)) == ("one two", "v1", 1)
    whole = asyncio.run(endpoint.predict_async({"x": 2.0}))
    assert whole.text == "one two"  # asked for the whole, it is joined
    found = rows(endpoint, "text, error, score, key, first_chunk_seconds <= latency_seconds")
    assert found == [("one two", None, 0.75, "k", True), ("one two", None, 0.75, None, None)]


def test_before_the_first_piece_another_version_answers_and_after_it_none_does(layout: Layout) -> None:
    endpoint = endpoint_of(layout, FALLBACK, v1=failing, v0=counting)
    pieces, reply = taken(endpoint)
    assert pieces == ["one ", "two"]
    assert reply is not None
    assert reply.is_fallback
    endpoint.close()
    endpoint = endpoint_of(layout, FALLBACK, v1=breaking, v0=counting)
    with pytest.raises(ConnectionResetError):
        taken(endpoint)
    assert rows(endpoint) == [
        ("v0", "stable", "one two", None, True),
        ("v1", "stable", "one ", "ConnectionResetError", True),
        ("v1", "stage", None, "ConnectionResetError", False),
    ]


def test_a_cascade_holds_a_cheap_answer_back_until_it_will_do(layout: Layout) -> None:
    async def large(_: Inputs) -> AsyncIterator[str]:
        yield "large "
        yield "answer"

    for at_least, pieces in ((0.5, ["one two"]), (0.9, ["large ", "answer"])):
        route = Route("cascade", (("v1", 1.0),), stable="v0", cascade=Cascade("v1", "v0", at_least=at_least, audit=0.0))
        endpoint = endpoint_of(layout, route, v1=counting, v0=large)
        assert taken(endpoint)[0] == pieces
        endpoint.close()


async def _closed(endpoint: Endpoint) -> None:
    stream = endpoint.stream_async({})
    assert await anext(stream) == "one "
    await stream.aclose()
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def _left(endpoint: Endpoint) -> None:
    async with endpoint.stream_async({}) as stream:
        assert await anext(stream) == "one "


async def _dropped(endpoint: Endpoint) -> None:
    assert await anext(endpoint.stream_async({})) == "one "
    gc.collect()


async def _cancelled(endpoint: Endpoint) -> None:
    came = asyncio.Event()

    async def take() -> None:
        async for _ in endpoint.stream_async({}):
            came.set()

    task = asyncio.create_task(take())
    await came.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("stop", [_closed, _left, _dropped, _cancelled])
def test_a_caller_who_stops_is_recorded_and_no_failure_of_the_version(
    layout: Layout, stop: Callable[[Endpoint], Any]
) -> None:
    ended: list[str] = []

    async def waiting(inputs: Inputs) -> AsyncIterator[str]:
        try:
            yield "one "
            await asyncio.sleep(0 if inputs else 60)
            yield "two"
        finally:
            ended.append("v1")

    limits = Limits(breaker_failures=1, breaker_seconds=60.0)
    endpoint = endpoint_of(layout, Route("single", (("v1", 1.0),), stable="v1", limits=limits), v1=waiting)
    asyncio.run(stop(endpoint))
    assert ended == ["v1"]  # it is closed, too
    assert taken(endpoint)[0] == ["one ", "two"]  # no breaker opened
    assert rows(endpoint) == [
        ("v1", "stable", "one ", "CancelledError", True),
        ("v1", "stable", "one two", None, True),
    ]


def test_a_stream_that_is_never_read_asks_nobody_and_is_not_recorded(layout: Layout) -> None:
    async def leave(endpoint: Endpoint) -> None:
        await endpoint.stream_async({}).aclose()
        endpoint.stream_async({})

    endpoint = endpoint_of(layout, ONE, v1=failing)
    asyncio.run(leave(endpoint))
    assert rows(endpoint) == []


@pytest.mark.parametrize("is_async", [False, True])
def test_a_piece_is_waited_for_as_long_as_the_route_says_and_no_longer(layout: Layout, *, is_async: bool) -> None:
    leave = threading.Event()

    def hanging(_: Inputs) -> Iterator[str]:
        leave.wait(60)
        yield "late"

    async def hanging_async(_: Inputs) -> AsyncIterator[str]:
        await asyncio.sleep(60)
        yield "late"

    route = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=Limits(timeout_seconds=0.05))
    endpoint = endpoint_of(layout, route, v1=hanging_async if is_async else hanging, v0=counting)
    assert taken(endpoint)[0] == ["one ", "two"]
    leave.set()
    assert [row[3] for row in rows(endpoint)] == [None, "TimeoutError"]


def test_streams_of_one_loop_go_on_side_by_side(layout: Layout) -> None:
    """Each waits for a piece of the other, in threads and in the loop: one that held the loop up would hang."""
    turns = {name: threading.Event() for name in "ab"}

    def talking(inputs: Inputs) -> Iterator[str]:
        me = str(inputs["x"])
        yield "first"
        turns[me].set()
        assert turns["b" if me == "a" else "a"].wait(60)
        yield "second"

    async def both(endpoint: Endpoint) -> list[list[str]]:
        async def take(name: str) -> list[str]:
            return [piece async for piece in endpoint.stream_async({"x": name})]

        return [*await asyncio.gather(take("a"), take("b"))]

    endpoint = endpoint_of(layout, ONE, v1=talking)
    assert asyncio.run(both(endpoint)) == [["first", "second"]] * 2


def test_versions_that_give_no_pieces_give_one(layout: Layout) -> None:
    async def later(_: Inputs) -> Reply:
        await asyncio.sleep(0)
        return Reply(text="later")

    inner = Endpoint(layout, "inner", {"v1": counting})
    assert taken(endpoint_of(layout, ONE, v1=later))[0] == ["later"]
    assert taken(endpoint_of(layout, ONE, v1=lambda _: Reply(text="whole")))[0] == ["whole"]
    assert taken(endpoint_of(layout, ONE, v1=lambda _: 3.5))[0] == []
    outer = endpoint_of(layout, ONE, v1=inner)
    pieces, reply = taken(outer)
    assert pieces == ["one ", "two"]
    assert reply is not None
    assert len(reply.calls) == 1  # what the inner endpoint was billed
    with pytest.raises(UsageError, match="version v1 is asynchronous"):
        list(endpoint_of(layout, ONE, v1=counting).stream({}))
    assert inner.close()


def test_a_chat_is_streamed_to_coroutines_over_a_connection_that_is_kept(layout: Layout) -> None:
    chunks = [{"id": "1", "model": "small", "choices": [{"index": 0, "delta": {"content": one}}]} for one in ("a", "b")]
    usage = {"prompt_tokens": 12, "completion_tokens": 5}
    with serving(streamed([*chunks, {"model": "small", "choices": [], "usage": usage}, "[DONE]"])) as (url, asked):
        upstream = Upstream(f"{url}/v1/chat/completions", protocol="chat", chat_model="small", prompt="{x}")
        endpoint = endpoint_of(layout, ONE, v1=upstream)
        for _ in range(3):
            assert taken(endpoint, {"x": "hi"})[0] == ["a", "b"]
        assert len({one["client"] for one in asked}) == 1
    assert rows(endpoint, "text, error, upstream_seconds > 0") == [("ab", None, True)] * 3
