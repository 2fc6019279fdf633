"""A version at an address: real servers on loopback, and every way in which they may not answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import cast

import numpy as np
import pytest
from tests.connect.servers import Answer, serving, streamed, told

from setpoint import Endpoint, Recorder, Upstream, UsageError
from setpoint.connect.upstream import Protocol
from setpoint.control.route_plans import publish
from setpoint.core.errors import UpstreamError
from setpoint.core.route_plan import Limits, Route
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store


def test_plain_json_over_one_connection() -> None:
    with serving(told({"prediction": True, "score": 0.75})) as (url, asked):
        upstream = Upstream(f"{url}/predict?v=2", headers={"x-key": "k"})
        replies = [upstream({"amount": 3.0, "country": "de"}) for _ in range(3)]
        assert [(reply.prediction, reply.score) for reply in replies] == [(True, 0.75)] * 3
        assert asked[0]["path"] == "/predict?v=2"
        assert asked[0]["body"] == {"amount": 3.0, "country": "de"}
        assert len({one["client"] for one in asked}) == 1


def test_connections_are_kept_where_threads_ask() -> None:
    async def ask(endpoint: Endpoint) -> None:
        for _ in range(30):
            assert (await endpoint.predict_async({"x": 1.0})).prediction is True

    with temporary_store() as (layout, _), serving(told({"prediction": True})) as (url, asked):
        publish(layout, "m", Route("single", (("v1", 1.0),), stable="v1", limits=Limits(timeout_seconds=30.0)))
        endpoint = Endpoint(layout, "m", {"v1": Upstream(url)})
        asyncio.run(ask(endpoint))
        for _ in range(30):
            assert endpoint.predict({"x": 1.0}).prediction is True
        assert endpoint.close()
        assert len({one["client"] for one in asked}) == 1


def test_mlflow_and_open_inference() -> None:
    with serving(told({"predictions": [0.25]})) as (url, asked):
        assert Upstream(f"{url}/invocations", protocol="mlflow")({"x": 1.0}).prediction == 0.25
        assert asked[0]["body"] == {"dataframe_records": [{"x": 1.0}]}
    outputs = [{"name": "prediction", "data": ["spam"]}, {"name": "score", "data": [0.9]}]
    with serving(told({"outputs": outputs})) as (url, asked):
        upstream = Upstream(f"{url}/v2/models/m/infer", protocol="open_inference")
        reply = upstream({"x": 1.0, "n": 2, "new": True, "text": "hi", "gone": None})
        assert (reply.prediction, reply.score) == ("spam", 0.9)
        tensors = cast("list[Mapping[str, object]]", cast("Mapping[str, object]", asked[0]["body"])["inputs"])
        assert [(one["name"], one["datatype"]) for one in tensors] == [
            ("x", "FP64"),
            ("n", "INT64"),
            ("new", "BOOL"),
            ("text", "BYTES"),
        ]
    with serving(told({"outputs": [{"name": "y", "data": [7]}]})) as (url, _):
        assert Upstream(url, protocol="open_inference")({"x": 1.0}).prediction == 7


def test_inputs_are_sent_as_json_takes_them() -> None:
    inputs = {"a": np.float32(0.5), "b": np.int64(3), "c": float("nan"), "d": datetime(2026, 1, 2, tzinfo=UTC)}
    with serving(told({"outputs": [{"name": "y", "data": [7]}]})) as (url, asked):
        Upstream(url, protocol="open_inference")(inputs)
        tensors = cast("list[Mapping[str, object]]", cast("Mapping[str, object]", asked[0]["body"])["inputs"])
        assert [(one["datatype"], one["data"]) for one in tensors] == [
            ("FP64", [0.5]),
            ("INT64", [3]),
            ("BYTES", ["2026-01-02T00:00:00+00:00"]),
        ]


CHAT = {
    "model": "small-2026-11-01",
    "choices": [{"message": {"role": "assistant", "content": "spam"}}],
    "usage": {
        "prompt_tokens": 20,
        "completion_tokens": 3,
        "total_tokens": 23,
        "prompt_tokens_details": {"cached_tokens": 16},
    },
}


def test_a_chat_tells_what_it_is_billed_for_and_by_which_model() -> None:
    with serving(told(CHAT)) as (url, asked):
        upstream = Upstream(
            f"{url}/v1/chat/completions", protocol="chat", chat_model="small", prompt="Spam? {text}", provider="p"
        )
        reply = upstream({"text": "win money"})
        assert reply.text == reply.prediction == "spam"
        assert len(upstream.prompt_version) == 12
        call = dict(reply.calls[0])
        assert float(cast("float", call.pop("latency_seconds"))) > 0
        assert call == {
            "provider": "p",
            "provider_model": "small-2026-11-01",
            "requested_model": "small",
            "prompt_version": upstream.prompt_version,
            "input_tokens": 4,
            "cached_read_tokens": 16,
            "output_tokens": 3,
        }
        assert asked[0]["body"] == {"model": "small", "messages": [{"role": "user", "content": "Spam? win money"}]}


def test_a_chat_that_says_nothing_has_no_answer_and_a_prompt_without_its_input_is_said() -> None:
    silent = {**CHAT, "choices": [{"message": {"role": "assistant", "content": None, "tool_calls": []}}]}
    with serving(told(silent)) as (url, asked):
        upstream = Upstream(f"{url}/v1/chat/completions", protocol="chat", chat_model="small", prompt="Spam? {text}")
        reply = upstream({"text": "x"})
        assert (reply.prediction, reply.text, len(reply.calls)) == (None, None, 1)
        with pytest.raises(UsageError, match="the prompt names 'text', which is not among the inputs"):
            upstream({"words": "x"})
        assert len(asked) == 1


def hang(_: BaseHTTPRequestHandler, __: Mapping[str, object]) -> None:
    threading.Event().wait(2.0)


def close(handler: BaseHTTPRequestHandler, _: Mapping[str, object]) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "100")
    handler.end_headers()
    handler.wfile.write(b"{")
    handler.close_connection = True


def drip(handler: BaseHTTPRequestHandler, _: Mapping[str, object]) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    with suppress(OSError):
        for _n in range(1000):
            handler.wfile.write(b" ")
            threading.Event().wait(0.02)


def dripping(handler: BaseHTTPRequestHandler, begin: bytes, drop: bytes) -> None:
    with suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 " + begin)
        for _n in range(1000):
            handler.wfile.write(drop)
            threading.Event().wait(0.02)
    handler.close_connection = True


def drip_head(handler: BaseHTTPRequestHandler, _: Mapping[str, object]) -> None:
    dripping(handler, b"200 OK\r\nx-slow: ", b"y")


def go_on(handler: BaseHTTPRequestHandler, _: Mapping[str, object]) -> None:
    dripping(handler, b"100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n")


def drip_trailer(handler: BaseHTTPRequestHandler, _: Mapping[str, object]) -> None:
    dripping(handler, b"200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"x: y\r\n")


def comment(handler: BaseHTTPRequestHandler, _: Mapping[str, object]) -> None:
    dripping(handler, b"200 OK\r\nconnection: close\r\n\r\n", b": still here\n\n")


def drip_event(handler: BaseHTTPRequestHandler, _: Mapping[str, object]) -> None:
    dripping(handler, b"200 OK\r\nconnection: close\r\n\r\ndata: ", b"x")


def pour(handler: BaseHTTPRequestHandler, _: Mapping[str, object]) -> None:
    with suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        for _n in range(70):
            handler.wfile.write(b" " * (1 << 20))
    handler.close_connection = True


def test_an_answer_without_end_is_not_read_to_it() -> None:
    with serving(pour) as (url, _):
        asked = Upstream(url, protocol="chat", chat_model="m", prompt="{x}", timeout_seconds=30.0)
        for ask in (asked, lambda inputs: list(asked.stream(inputs))):
            with pytest.raises(UpstreamError) as found:
                ask({"x": 1.0})
            assert found.value.kind == "too large"


def negative(handler: BaseHTTPRequestHandler, _: Mapping[str, object]) -> None:
    dripping(handler, b"200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"-5\r\n{}\r\n")


def babble(handler: BaseHTTPRequestHandler, _: Mapping[str, object]) -> None:
    handler.wfile.write(b"SSH-2.0-babbling\r\n")
    handler.close_connection = True


FAULTS: list[tuple[Protocol, Answer, str]] = [
    ("json", told({"error": "no"}, 500), "status 500"),
    ("json", told(b"<html>"), "not JSON"),
    ("json", told(b"[" * 200_000), "not JSON"),
    ("json", hang, "timeout"),
    ("json", drip, "timeout"),
    ("json", drip_head, "timeout"),
    ("json", go_on, "timeout"),
    ("json", drip_trailer, "timeout"),
    ("json", babble, "not HTTP"),
    ("json", told(None), "no answer in it"),
    ("json", told({}), "no answer in it"),
    ("json", told({"error": "out of memory"}), "error in it"),
    ("json", close, "closed early"),
    ("mlflow", told([1.0]), "no answer in it"),
    ("mlflow", told({"predictions": []}), "no answer in it"),
    ("open_inference", told({"outputs": []}), "no answer in it"),
    ("open_inference", told({"outputs": [1]}), "no answer in it"),
    ("chat", told({"choices": []}), "no answer in it"),
    ("chat", told("what?"), "no answer in it"),
    ("chat", told({"error": "busy"}, 429), "status 429"),
]


@pytest.mark.parametrize(("protocol", "answer", "kind"), FAULTS)
def test_every_fault_has_a_kind(protocol: Protocol, answer: Answer, kind: str) -> None:
    with serving(answer) as (url, _):
        upstream = Upstream(url, protocol=protocol, timeout_seconds=0.2, chat_model="m", prompt="{x}")
        with pytest.raises(UpstreamError) as found:
            upstream({"x": 1.0})
        assert found.value.kind == kind
        assert found.value.message.count(kind) == 1
        # What a chat may have billed is known to be unknown.
        assert [call.get("cost_nano_usd") for call in found.value.calls] == ([None] if protocol == "chat" else [])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (drip_head, "timeout"),
        (comment, "timeout"),
        (drip_event, "timeout"),
        (drip_trailer, "timeout"),
        (negative, "not HTTP"),
    ],
)
def test_every_fault_of_a_stream_has_a_kind(answer: Answer, kind: str) -> None:
    with serving(answer) as (url, _):
        upstream = Upstream(url, protocol="chat", timeout_seconds=0.2, chat_model="m", prompt="{x}")
        with pytest.raises(UpstreamError) as found:
            list(upstream.stream({"x": 1.0}))
        assert found.value.kind == kind
        assert found.value.message.count(kind) == 1
        assert [call["error"] for call in found.value.calls] == [kind]


def test_a_slow_caller_is_no_slow_server_and_the_next_request_has_all_its_time() -> None:
    whole = {"choices": [{"delta": {"content": "a"}}]}
    with serving(streamed([whole, whole, "[DONE]"])) as (url, asked):
        upstream = Upstream(url, protocol="chat", timeout_seconds=0.3, chat_model="m", prompt="{x}")
        for _ in range(2):
            pieces = upstream.stream({"x": 1.0})
            first = next(pieces)
            threading.Event().wait(0.4)  # longer than the server may take
            assert [first, *pieces] == ["a", "a"]
        assert len({one["client"] for one in asked}) == 1


def test_nobody_at_the_address_and_no_address() -> None:
    with serving(told(1.0)) as (url, _):
        pass
    with pytest.raises(UpstreamError, match="unreachable"):
        Upstream(url)({})
    with temporary_store() as (layout, spool):
        chat = Upstream(url, protocol="chat", chat_model="m", prompt="{x}")
        endpoint = Endpoint(layout, "m", {"v1": chat}, recorder=Recorder(layout, "m", spool=spool))
        with pytest.raises(UpstreamError, match="unreachable"):
            endpoint.predict({"x": 1.0})
        assert endpoint.close()
        with Snapshot(layout, "m") as snapshot:
            calls = snapshot.connection.execute("SELECT error, cost_nano_usd FROM calls").fetchall()
    assert calls == [("unreachable", 0)]  # nothing was sent
    with pytest.raises(UsageError, match="not an address"):
        Upstream("127.0.0.1:80")


def test_a_server_that_comes_back_is_found_again() -> None:
    count = [0]

    def once_each(handler: BaseHTTPRequestHandler, body: Mapping[str, object]) -> None:
        told(1.0)(handler, body)
        count[0] += 1
        handler.close_connection = True  # without saying so: the next request finds a closed connection

    with serving(once_each) as (url, _):
        upstream = Upstream(url, timeout_seconds=5.0)
        assert [upstream({}).prediction for _ in range(5)] == [1.0] * 5


def test_an_upstream_that_fails_falls_back_and_is_recorded_by_its_kind() -> None:
    with serving(told({}, 503)) as (url, _), temporary_store() as (layout, spool):
        publish(layout, "m", Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",)))
        versions = {"v1": Upstream(url, protocol="chat", chat_model="m", prompt="{x}"), "v0": lambda _: "ham"}
        endpoint = Endpoint(layout, "m", versions, recorder=Recorder(layout, "m", spool=spool))
        assert endpoint.predict({"x": 1.0}).prediction == "ham"
        assert endpoint.close()
        with Snapshot(layout, "m") as snapshot:
            stage = "SELECT error, prediction_id FROM predictions WHERE role = 'stage'"
            error, name = snapshot.connection.execute(stage).fetchall()[0]
            calls = snapshot.connection.execute("SELECT prediction_id, error, cost_nano_usd FROM calls").fetchall()
        assert error == "status 503"
        assert calls == [(name, "status 503", None)]


@pytest.mark.parametrize("content", [5, ["a"], {"text": "a"}])
def test_a_piece_that_is_no_text_is_an_error_of_its_own_kind(content: object) -> None:
    good = {"choices": [{"delta": {"content": "one"}}]}
    with serving(streamed([good, {"choices": [{"delta": {"content": content}}]}, "[DONE]"])) as (url, _):
        coming = Upstream(url, protocol="chat", chat_model="m", prompt="{x}").stream({"x": "1"})
        assert next(coming) == "one"
        with pytest.raises(UpstreamError) as found:
            next(coming)
        assert found.value.kind == "no answer in it"
        assert len(found.value.calls) == 1
