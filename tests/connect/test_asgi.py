"""The middleware in a real FastAPI service under real servers: what was answered is in the store."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import pytest

from setpoint.connect.asgi import SetpointMiddleware
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

HEADER = "x-setpoint-prediction-id"
HERE = Path(__file__).parent
SERVERS = {
    "uvicorn": ("uvicorn", "service:make_app", "--factory", "--app-dir", str(HERE), "--port", "{port}",
                "--log-level", "warning"),
    "gunicorn": ("gunicorn", "service:make_app()", "--chdir", str(HERE), "--workers", "2", "--bind", "127.0.0.1:{port}",
                 "--worker-class", "uvicorn.workers.UvicornWorker", "--log-level", "warning"),
    "gunicorn, preloaded": ("gunicorn", "service:make_app()", "--chdir", str(HERE), "--workers", "2", "--preload",
                 "--bind", "127.0.0.1:{port}", "--worker-class", "uvicorn.workers.UvicornWorker",
                 "--log-level", "warning"),
}  # fmt: skip


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def serving(name: str, store: Path) -> Generator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    port = free_port()
    arguments = [part.format(port=port) for part in SERVERS[name]]
    environment = {**os.environ, "SERVICE_STORE": str(store)}
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0, trust_env=False) as client:

            def is_up() -> bool:
                assert process.poll() is None, "the server ended"
                try:
                    return client.get("/health").status_code == 200
                except httpx.TransportError:
                    return False

            wait_until(is_up)
            yield client, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def afresh(client: httpx.Client, path: str, row: dict[str, object]) -> httpx.Response:
    """Post over a connection of its own."""
    with httpx.Client(base_url=client.base_url, timeout=30.0, trust_env=False) as other:
        return other.post(path, json=row)


def query(store: Path, sql: str) -> list[tuple[object, ...]]:
    with Snapshot(Layout.open(store), "m") as snapshot:
        return snapshot.connection.execute(sql).fetchall()


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_every_answer_is_in_the_store_after_the_server_was_told_to_end(server: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    answered: dict[str, tuple[float, str]] = {}
    with serving(server, store) as (client, process):
        for n in range(60):
            answer = client.post("/predict", json={"amount": n, "order_id": n, "user": f"u{n % 3}", "country": "de"})
            assert answer.status_code == 200
            answered[answer.headers[HEADER]] = (answer.json()["score"], str(n))
            if n % 10 == 0:  # fresh connections reach both workers
                more = afresh(client, "/predict", {"amount": n, "order_id": 1000 + n})
                answered[more.headers[HEADER]] = (more.json()["score"], str(1000 + n))
        assert HEADER not in client.get("/health").headers
        failed = {path: afresh(client, path, {"amount": 1}) for path in ("/fail", "/broken")}
        assert [answer.status_code for answer in failed.values()] == [500, 503]
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    rows = query(store, "SELECT prediction_id, score, key FROM predictions WHERE error IS NULL")
    assert {row[0]: (row[1], row[2]) for row in rows} == answered
    assert len(rows) == len(answered) == 66
    details = query(
        store,
        "SELECT count(DISTINCT unit), min(inputs.country), min(version), bool_and(latency_seconds > 0),"
        " bool_and(prediction = CAST(score >= 0.5 AS DOUBLE)) FROM predictions WHERE unit IS NOT NULL",
    )
    assert details == [(3, "de", "v1", True, True)]
    errors = query(store, "SELECT prediction_id, error, inputs.amount FROM predictions WHERE error IS NOT NULL")
    assert sorted((str(row[1]), row[2]) for row in errors) == [("ZeroDivisionError", 1.0), ("http 503", 1.0)]
    assert failed["/broken"].headers[HEADER] in {row[0] for row in errors}
    totals = query(store, "SELECT sum(requests)::BIGINT, sum(errors)::BIGINT FROM tallies")
    assert totals == [(68, 2)]


def test_bodies_of_any_kind_pass_untouched_and_a_killed_server_keeps_what_it_synced(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with serving("uvicorn", store) as (client, process):
        ids: list[str] = []
        with client.stream("GET", "/stream") as answer:
            ids.append(answer.headers[HEADER])
            assert b"".join(answer.iter_bytes()) == b"".join(b"%06d" % n * 200 for n in range(2000))
        for body in (b"", b"\xff\x00 no JSON", b"[1, 2]", b'{"amount": 1', b"x" * (3 << 20), b'{"amount": 2}'):
            answer = client.post("/echo", content=body)
            assert answer.content == body
            ids.append(answer.headers[HEADER])
        known: Callable[[], set[object]] = lambda: {  # noqa: E731 — asked again and again
            row[0] for row in query(store, "SELECT prediction_id FROM predictions")
        }
        wait_until(lambda: known() == set(ids))  # the loss window is over
        process.kill()
        process.wait()
    assert known() == set(ids)
    # The stream, an empty body, one of other bytes and one that is torn; an array is JSON, and 3 MB are not looked at.
    assert query(store, "SELECT error, count(*) FROM predictions GROUP BY error ORDER BY error") == [
        ("no JSON", 4),
        (None, 3),
    ]
    assert query(store, "SELECT inputs.amount FROM predictions WHERE inputs.amount IS NOT NULL") == [(2.0,)]


Message = MutableMapping[str, object]


def exchange(middleware: SetpointMiddleware, body: bytes) -> list[Message]:
    """Send one request through a middleware without a server; return what it sent."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        await middleware({"type": "http", "path": "/predict"}, receive, send)

    anyio.run(run)
    return sent


@pytest.mark.parametrize(
    "answer",
    [b'{"score": 1e999}', b'{"score": "high", "prediction": {}}', b"[]", b"\xff", b'{"score": 1' + b"0" * 400 + b"}"],
)
def test_an_odd_answer_is_passed_on_and_raises_nothing(answer: bytes) -> None:
    async def app(
        _scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": answer})

    with temporary_store() as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        middleware = SetpointMiddleware(app, recorder)
        sent = exchange(middleware, b'{"amount": 1}')
        assert sent[1]["body"] == answer
        assert recorder.flush()
        kept = query(layout.root, "SELECT count(*) FROM predictions UNION ALL SELECT count(*) FROM quarantine")
        assert sum(int(str(row[0])) for row in kept) + spool.failed == 1


def test_a_refused_request_is_an_error_and_a_key_is_no_input() -> None:
    statuses = iter([200, 200, 422, 404, 301])

    async def app(
        _scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        await receive()
        await send({"type": "http.response.start", "status": next(statuses), "headers": []})
        await send({"type": "http.response.body", "body": b'{"score": 0.5}'})

    with temporary_store() as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        middleware = SetpointMiddleware(app, recorder, key="order")
        for body in (b'{"order": 7, "x": 1}', b'{"order": "A-8", "x": 2}', b'{"x": 3}', b"", b'{"x": 5}'):
            exchange(middleware, body)
        assert recorder.flush()
        found = query(layout.root, "SELECT key, inputs.x, error FROM predictions ORDER BY prediction_id")
        assert found == [
            ("7", 1, None),
            ("A-8", 2, None),
            (None, 3, "http 422"),
            (None, None, "http 404"),
            (None, 5, None),
        ]
        assert query(layout.root, "SELECT count(*) FROM quarantine") == [(0,)]
        with Snapshot(layout, "m") as snapshot:
            assert set(snapshot.columns) == {"x"}


@pytest.mark.parametrize(
    ("header", "waits"),
    [("t={:.3f}", 1.0), ("{:.0f}", 1e3), ("t={:.0f}", 1e6), ("yesterday", 0.0), ("t=12", 0.0), ("t=9{:.0f}", 1.0)],
)
def test_what_a_proxy_says_of_the_queue_is_a_part_of_the_latency(header: str, waits: float) -> None:
    async def app(scope: object, receive: object, send: Callable[[dict[str, object]], Awaitable[None]]) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def send(message: MutableMapping[str, object]) -> None:
        del message

    async def receive() -> MutableMapping[str, object]:
        return {"type": "http.request", "body": b"{}"}

    with temporary_store() as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        middleware = SetpointMiddleware(app, recorder)  # pyright: ignore[reportArgumentType] — plain ASGI
        said = header.format((time.time() - 5.0) * waits).encode()
        scope: dict[str, object] = {
            "type": "http", "method": "POST", "path": "/predict", "headers": [(b"x-request-start", said)],
        }  # fmt: skip
        anyio.run(middleware, scope, receive, send)
        recorder.close()
        with Snapshot(layout, "m") as snapshot:
            found = snapshot.connection.execute("SELECT queue_seconds, latency_seconds FROM predictions").fetchall()
    queued, latency = found[0]
    if waits and not header.startswith("t=9"):
        assert 4.9 < queued < 60.0
        assert queued < latency
    else:
        assert queued is None
