"""A connection that is kept and then closed: what may have been billed is a call, and is never sent twice unseen."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import cast

import pytest
from tests.connect.servers import Answer, in_turn, serving, streamed, told

from setpoint import Endpoint, Recorder, Upstream
from setpoint.connect.upstream import Protocol
from setpoint.control.route_plans import publish
from setpoint.core.errors import UpstreamError
from setpoint.core.route_plan import Limits, Route
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

CHAT = {
    "model": "m",
    "choices": [{"message": {"content": "ham"}}],
    "usage": {"prompt_tokens": 2, "completion_tokens": 1},
}
PIECES = [{"choices": [{"delta": {"content": "ham"}}]}, "[DONE]"]


def leave(handler: BaseHTTPRequestHandler, _: Mapping[str, object]) -> None:
    """Close without a word, when all of the request was read."""
    handler.close_connection = True


def closing(answer: Answer) -> Answer:
    """Answer, and close the connection that was to be kept."""

    def answer_and_close(handler: BaseHTTPRequestHandler, body: Mapping[str, object]) -> None:
        answer(handler, body)
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    return answer_and_close


def upstream_at(url: str, protocol: Protocol = "chat") -> Upstream:
    return Upstream(url, protocol=protocol, chat_model="m", prompt="{x}", provider="p", timeout_seconds=30.0)


def connections(asked: list[Mapping[str, object]]) -> list[int]:
    """Return on which connection each request came, counted from 0."""
    clients = [one["client"] for one in asked]
    return [list(dict.fromkeys(clients)).index(client) for client in clients]


def test_a_chat_that_was_read_and_not_answered_is_not_sent_again_unseen() -> None:
    with serving(in_turn(told(CHAT), leave, told(CHAT))) as (url, asked):
        upstream = upstream_at(url)
        assert upstream({"x": 1.0}).text == "ham"
        with pytest.raises(UpstreamError) as found:
            upstream({"x": 2.0})
        assert connections(asked) == [0, 0]
        assert found.value.kind == "closed early"
        assert [(call["error"], call.get("cost_nano_usd")) for call in found.value.calls] == [("closed early", None)]
        assert upstream({"x": 3.0}).text == "ham"


def test_neither_is_one_whose_answer_comes_in_pieces() -> None:
    with serving(in_turn(streamed(PIECES), leave)) as (url, asked):
        upstream = upstream_at(url)
        assert list(upstream.stream({"x": 1.0})) == ["ham"]
        with pytest.raises(UpstreamError) as found:
            list(upstream.stream({"x": 2.0}))
        assert (len(asked), found.value.kind, len(found.value.calls)) == (2, "closed early", 1)


def test_a_route_that_asks_again_records_both_tries() -> None:
    with serving(in_turn(told(CHAT), leave, told(CHAT))) as (url, asked), temporary_store() as (layout, spool):
        publish(layout, "m", Route("single", (("v1", 1.0),), stable="v1", limits=Limits(attempts=2)))
        endpoint = Endpoint(layout, "m", {"v1": upstream_at(url)}, recorder=Recorder(layout, "m", spool=spool))
        assert [endpoint.predict({"x": 1.0}).prediction for _ in range(2)] == ["ham", "ham"]
        assert endpoint.close()
        with Snapshot(layout, "m") as snapshot:
            calls = snapshot.connection.execute(
                "SELECT error, input_tokens, cost_nano_usd FROM calls ORDER BY called_at, attempt"
            ).fetchall()
        assert sorted(calls, key=str) == [("closed early", None, None), (None, 2, None), (None, 2, None)]
        assert len(asked) == 3


def test_a_version_that_nobody_bills_is_asked_again() -> None:
    with serving(in_turn(told(1.0), leave, told(2.0))) as (url, asked):
        upstream = upstream_at(url, "json")
        assert [upstream({}).prediction for _ in range(2)] == [1.0, 2.0]
        assert connections(asked) == [0, 0, 1]


@pytest.mark.parametrize("protocol", ["json", "chat"])
def test_a_connection_that_was_closed_while_idle_is_renewed_and_nobody_told(protocol: Protocol) -> None:
    answer = CHAT if protocol == "chat" else 1.0
    with serving(closing(told(answer))) as (url, asked):
        upstream = upstream_at(url, protocol)
        for n in range(3):
            reply = upstream({"x": 1.0})
            assert len(reply.calls) == (protocol == "chat")
            assert len(asked) == n + 1
            (kept,) = upstream._kept  # pyright: ignore[reportPrivateUsage] — its end has arrived before the next request
            assert select.select([cast("socket.socket", kept.sock)], [], [], 30.0)[0]
        assert connections(asked) == [0, 1, 2]


def test_a_request_that_could_not_be_written_whole_is_sent_again() -> None:
    def leave_at_its_first_byte(handler: BaseHTTPRequestHandler, body: Mapping[str, object]) -> None:
        told(CHAT)(handler, body)
        handler.rfile.read(1)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True
        handler.connection.close()

    with serving(in_turn(leave_at_its_first_byte, told(CHAT))) as (url, asked):
        upstream = upstream_at(url)
        upstream({"x": "short"})
        assert len(upstream({"x": "long" * (1 << 23)}).calls) == 1  # more than any buffer takes
        assert connections(asked) == [0, 1]


def test_a_forked_child_asks_on_a_connection_of_its_own() -> None:
    with serving(told({"prediction": 1.0})) as (address, asked):
        version = Upstream(address)
        version({})
        child = os.fork()
        if not child:
            signal.alarm(60)  # it must end, also when it is wrong
            os._exit(version({}).prediction != 1.0)
        assert os.waitpid(child, 0)[1] == 0
        version({})
        first, of_child, last = [one["client"] for one in asked]
        assert first == last != of_child
