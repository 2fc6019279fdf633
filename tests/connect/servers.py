"""Servers on loopback that answer as a test says, for the tests beside it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler, Mapping[str, object]], None]


@contextmanager
def serving(answer: Answer) -> Generator[tuple[str, list[Mapping[str, object]]]]:
    """Serve on a free port; yield the address and what was asked."""
    asked: list[Mapping[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append({"path": self.path, "client": self.client_address, "body": body})
            answer(self, body)

        def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def told(content: object, status: int = 200) -> Answer:
    def answer(handler: BaseHTTPRequestHandler, _: Mapping[str, object]) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        handler.send_response(status)
        handler.send_header("content-type", "text/html" if isinstance(content, bytes) else "application/json")
        handler.send_header("content-length", str(len(body)))
        handler.send_header("retry-after-ms", "1")  # who tries again need not wait
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """Answer each request as the next one says."""
    left = iter(answers)

    def answer(handler: BaseHTTPRequestHandler, body: Mapping[str, object]) -> None:
        next(left)(handler, body)

    return answer


def streamed(events: Sequence[object], *, is_cut: bool = False) -> Answer:
    """Answer with events as they come from a provider: by name where they have a `type`, chunk by chunk.

    Args:
        events: Their data; a text is sent as it is.
        is_cut: Whether the connection breaks after them.
    """

    def answer(handler: BaseHTTPRequestHandler, _: Mapping[str, object]) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for event in events:
            data = event if isinstance(event, str) else json.dumps(event)
            name = f"event: {event['type']}\n" if isinstance(event, Mapping) and "type" in event else ""
            part = f"{name}data: {data}\n\n".encode()
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        if is_cut:
            handler.close_connection = True
        else:
            handler.wfile.write(b"0\r\n\r\n")

    return answer
