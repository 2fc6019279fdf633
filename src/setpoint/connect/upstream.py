"""A version that another server answers: plain JSON, Open Inference Protocol 2, MLflow, or an OpenAI-compatible chat.

Connections are kept open, one a thread. What goes wrong has a kind, so that errors can be counted by it.
"""

from __future__ import annotations

import http.client
import json
import math
import select
import threading
import time
import weakref
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from datetime import date
from functools import partial
from typing import Literal, cast
from urllib.parse import urlsplit

from setpoint.connect.providers import provider_at
from setpoint.connect.timed_response import TimedResponse
from setpoint.core.errors import UpstreamError, UsageError
from setpoint.core.usage import token_fields
from setpoint.predictions.calls import UNREACHABLE, answered_model, prompt_version
from setpoint.predictions.forks import watch_forks
from setpoint.predictions.reply import Reply
from setpoint.predictions.rows import Value

Protocol = Literal["json", "open_inference", "mlflow", "chat"]
_OK = range(200, 300)
_PART_BYTES, _MOST_BYTES = 1 << 16, 1 << 26


class Upstream:
    """A version at an address.

    Attributes:
        close: Closes the connections of all threads; done when nobody holds the version any more.

    Args:
        url: Where requests go, whole: `http://host:8000/predict`.
        protocol: How they are put: `json` sends the inputs as an object; `open_inference` and `mlflow` as one row;
            `chat` as messages.
        headers: Sent with each request, such as an authorization.
        timeout_seconds: How long a server may take until the head of its answer is there, and for the rest of it; of
            one that comes in events, for each of them, however slowly it drips. A route's timeout is of all of it.
        chat_model: `chat`: the model to ask for.
        prompt: `chat`: the template of the message; fields of the inputs in braces. Without it the inputs hold
            `messages`. Its hash is recorded as the prompt's version.
        provider: `chat`: what price lists call it; when left out `openai` and `anthropic` at their own addresses, the
            address's host elsewhere.

    Raises:
        UsageError: The address is none of HTTP's.
    """

    def __init__(
        self,
        url: str,
        *,
        protocol: Protocol = "json",
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 30.0,
        chat_model: str = "",
        prompt: str = "",
        provider: str = "",
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            msg = f"not an address: {url!r}"
            raise UsageError(msg, hint="write it whole: http://127.0.0.1:8000/predict")
        self._connect: Callable[..., http.client.HTTPConnection] = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._host, self._port = parts.hostname, parts.port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"content-type": "application/json", **(headers or {})}
        self._timeout_seconds = timeout_seconds
        self._protocol: Protocol = protocol
        self._chat_model, self._prompt = chat_model, prompt
        self._provider = provider or provider_at(parts.hostname)
        self._kept: set[http.client.HTTPConnection] = set()
        self.close = weakref.finalize(self, _close, self._kept)
        self.forget_parent()
        watch_forks(self)

    def forget_parent(self) -> None:
        """Start afresh in a forked child: two processes on one connection would get each other's answers."""
        self._open = threading.local()
        self._kept.clear()  # let go, not closed: one that a thread of the parent reads from would wait for that thread

    def __call__(self, inputs: Mapping[str, Value]) -> Reply:
        """Return the server's answer.

        Raises:
            UpstreamError: There is none.
        """
        started = time.perf_counter()
        try:
            reply = self._answered({name: _plain(value) for name, value in inputs.items()})
        except UpstreamError as error:
            error.upstream_seconds = time.perf_counter() - started
            raise
        reply.upstream_seconds = time.perf_counter() - started
        return reply

    def _answered(self, inputs: Mapping[str, Value]) -> Reply:
        match self._protocol:
            case "json":
                return Reply.of(_answer(self._posted(inputs)))
            case "mlflow":
                return self._first("predictions", {"dataframe_records": [inputs]})
            case "open_inference":
                return self._inferred(inputs)
            case "chat":
                return self._chatted(inputs)

    @property
    def is_billed(self) -> bool:
        """Whether somebody charges for each request."""
        return self._protocol == "chat"

    @property
    def prompt_version(self) -> str:
        """By what the prompt's template is known; empty without one."""
        return prompt_version(self._prompt) or ""

    def _first(self, field: str, body: Mapping[str, object]) -> Reply:
        found = self._posted(body)
        rows = cast("Mapping[str, object]", found).get(field) if isinstance(found, Mapping) else None
        if not isinstance(rows, list) or not rows:
            raise UpstreamError(kind="no answer in it", detail=f"a list of `{field}` was expected")
        return Reply.of(cast("list[object]", rows)[0])

    def _inferred(self, inputs: Mapping[str, Value]) -> Reply:
        tensors = [
            {"name": name, "shape": [1], "datatype": _datatype(value), "data": [value]}
            for name, value in inputs.items()
            if value is not None
        ]
        found = self._posted({"inputs": tensors})
        outputs = cast("Mapping[str, object]", found).get("outputs") if isinstance(found, Mapping) else None
        if not isinstance(outputs, list) or not outputs:
            raise UpstreamError(kind="no answer in it", detail="a list of `outputs` was expected")
        try:
            listed = cast("list[Mapping[str, list[Value]]]", outputs)
            told = {str(output.get("name")): output["data"][0] for output in listed}
        except (AttributeError, TypeError, LookupError) as error:
            raise UpstreamError(kind="no answer in it", detail="each output needs its `data`") from error
        return Reply.of(told if told.keys() <= {"prediction", "score"} else next(iter(told.values())))

    def stream(self, inputs: Mapping[str, Value]) -> Generator[str, None, Reply]:
        """Yield the pieces of a chat's answer as they come, and return the whole; other protocols have one piece.

        The usage is asked for; where the server tells none, what it cost is unknown. Close it to stop.

        Raises:
            UpstreamError: There is no answer, or it broke off: with what is billed all the same in its `calls`.
        """
        if self._protocol != "chat":
            return self(inputs)
        started, text = time.perf_counter(), list[str]()
        body = self._question({name: _plain(value) for name, value in inputs.items()})
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        call = self._call()
        try:
            for event in self._events(body):
                call |= self._told(event)
                if piece := _piece(event):
                    text.append(piece)
                    yield piece
        except (UpstreamError, GeneratorExit) as error:
            seconds = time.perf_counter() - started
            kind = error.kind if isinstance(error, UpstreamError) else "closed by the caller"
            detail = error.detail if isinstance(error, UpstreamError) else "it wanted no more of the answer"
            call |= {"error": kind, "latency_seconds": seconds}
            failed = UpstreamError(kind=kind, detail=detail, calls=[call])
            failed.upstream_seconds = seconds
            raise failed from error
        seconds = time.perf_counter() - started
        call |= {"latency_seconds": seconds}
        return Reply(text="".join(text), calls=[call], upstream_seconds=seconds).with_text(text)

    def _chatted(self, inputs: Mapping[str, Value]) -> Reply:
        started, call = time.perf_counter(), self._call()
        try:
            found = self._posted(self._question(inputs))
        except UpstreamError as error:
            call |= {"error": error.kind, "latency_seconds": time.perf_counter() - started}
            raise UpstreamError(kind=error.kind, detail=error.detail, calls=[call]) from error
        told: Mapping[str, object] = cast("Mapping[str, object]", found) if isinstance(found, Mapping) else {}
        call |= {**self._told(told), "latency_seconds": time.perf_counter() - started}
        try:
            choices = cast("list[Mapping[str, Mapping[str, object]]]", told["choices"])
            content = choices[0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise UpstreamError(
                kind="no answer in it", detail="a list of `choices` was expected", calls=[call]
            ) from error
        text = None if content is None else str(content)  # who calls a tool, or refuses, may say nothing
        return Reply(prediction=text, text=text, calls=[call])

    def _question(self, inputs: Mapping[str, Value]) -> dict[str, object]:
        try:
            messages = inputs.get("messages") or [{"role": "user", "content": self._prompt.format_map(inputs)}]
        except KeyError as error:
            msg = f"the prompt names {error}, which is not among the inputs"
            raise UsageError(msg, hint="pass it with each request, or take it out of the prompt") from error
        return {"model": self._chat_model, "messages": messages}

    def _call(self) -> dict[str, float | str | None]:
        """Return what is known of a chat's call before it is answered."""
        known: dict[str, float | str | None] = {"provider": self._provider, "provider_model": self._chat_model}
        return known | {"prompt_version": prompt_version(self._prompt)}

    def _told(self, answer: Mapping[str, object]) -> dict[str, float | str | None]:
        """Return what an answer, or a piece of one, tells of its call."""
        usage, model = answer.get("usage"), answer.get("model")
        known: dict[str, float | str | None] = {**answered_model(self._chat_model, model)} if model else {}
        return known | (token_fields(cast("Mapping[str, object]", usage)) if isinstance(usage, Mapping) else {})

    def _events(self, body: object) -> Generator[Mapping[str, object]]:
        """Yield the events of a streamed answer; one that does not come to its end is an error."""
        connection, response = self._begun(body)
        if response.status not in _OK:
            _refuse_status(response, self._rest(connection, response))
        response.wait_anew()
        is_done = False
        try:
            while not is_done:
                with self._faults(connection):
                    line = _line(response)
                if not line:
                    raise UpstreamError(kind="closed early", detail="the stream ended before it was done")
                content = line.removeprefix(b"data:").strip()
                is_done = content == b"[DONE]"
                if line.startswith(b"data:") and not is_done:
                    event = _json(content)
                    if not isinstance(event, Mapping) or "error" in event:
                        raise UpstreamError(kind="error in the stream", detail=content[:200].decode(errors="replace"))
                    yield cast("Mapping[str, object]", event)
                    response.wait_anew()  # the caller's time is not the server's
            self._rest(connection, response)
        finally:
            response.close()
            if not is_done:  # it has the rest of the answer in it
                self._drop(connection)

    def _posted(self, body: object) -> object:
        """Send a request and return the JSON of its answer."""
        connection, response = self._begun(body)
        answer = self._rest(connection, response)
        if response.status not in _OK:
            _refuse_status(response, answer)
        return _json(answer)

    def _begun(self, body: object) -> tuple[http.client.HTTPConnection, TimedResponse]:
        """Send a request and return what begins to come; once more where that is sure to bill nothing twice.

        A kept connection that the server has closed meanwhile is found by asking the socket, before a byte is written;
        one that breaks while the request is written gave the server no whole one. Either is renewed and nobody told.
        Once all is written nobody can know whether it was carried out: what may be billed is not sent again, but is
        the error `closed early` with a call of unknown cost, and the route's `attempts` say whether to ask again.
        """
        content = json.dumps(body).encode()
        kept = self._taken()
        if kept is not None and not _is_unused(kept):
            self._drop(kept)
        elif kept is not None:
            is_written = False
            try:
                self._write(kept, content)
                is_written = True
                return kept, self._response(kept)
            except UpstreamError as error:
                if error.kind != "closed early" or (is_written and self.is_billed):
                    raise
        new = self._connect(self._host, self._port, timeout=self._timeout_seconds)
        new.response_class = partial(TimedResponse, seconds=self._timeout_seconds)  # pyright: ignore[reportAttributeAccessIssue] — it makes one
        self._kept.add(new)
        try:
            new.connect()
        except OSError as error:  # too slow, too: nothing was sent, so nothing is billed
            self._drop(new)
            raise UpstreamError(kind=UNREACHABLE, detail=str(error)) from error
        self._write(new, content)
        return new, self._response(new)

    def _write(self, connection: http.client.HTTPConnection, content: bytes) -> None:
        with self._faults(connection):
            if connection.sock is not None:  # the last answer left it what was left of its time
                connection.sock.settimeout(self._timeout_seconds)
            connection.request("POST", self._path, content, self._headers)

    def _response(self, connection: http.client.HTTPConnection) -> TimedResponse:
        with self._faults(connection):
            return cast("TimedResponse", connection.getresponse())

    def _rest(self, connection: http.client.HTTPConnection, response: TimedResponse) -> bytes:
        """Read an answer to its end, and keep the connection for the next request of this thread."""
        response.wait_anew()
        with self._faults(connection), closing(response):
            found = _read(response)
        if getattr(self._open, "connection", None) is None:
            self._open.connection = connection
        else:  # a stream that was begun on another thread
            self._drop(connection)
        return found

    def _taken(self) -> http.client.HTTPConnection | None:
        """Return the connection that is kept for this thread; while it is used it is no other request's."""
        kept = cast("http.client.HTTPConnection | None", getattr(self._open, "connection", None))
        self._open.connection = None
        return kept

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        self._kept.discard(connection)

    @contextmanager
    def _faults(self, connection: http.client.HTTPConnection) -> Generator[None]:
        """Give what may go wrong on the way its kind, and let go of the connection."""
        try:
            yield
        except TimeoutError as error:
            self._drop(connection)
            raise UpstreamError(kind="timeout", detail=f"{self._timeout_seconds:g} s") from error
        except (http.client.HTTPException, OSError) as error:
            self._drop(connection)
            raise UpstreamError(kind=_fault(error), detail=str(error)) from error


def _is_unused(connection: http.client.HTTPConnection) -> bool:
    """Return whether a connection is open and nothing came on it since the last answer: not even its end."""
    if connection.sock is None:
        return False
    coming = select.poll()  # `select` knows no descriptor above 1023
    coming.register(connection.sock, select.POLLIN)
    return not coming.poll(0)


class _TooLarge(http.client.HTTPException):
    """More than anybody's answer: to read on would take all memory."""


def _line(response: http.client.HTTPResponse) -> bytes:
    try:
        line = response.readline(_MOST_BYTES)
    except ValueError as error:  # a part of a negative length
        raise http.client.HTTPException(str(error)) from error
    if len(line) == _MOST_BYTES:
        raise _TooLarge
    return line


def _read(response: http.client.HTTPResponse) -> bytes:
    """Return the rest of an answer; part by part, as there is no room for a length that is absurd."""
    found, left = bytearray(), response.length
    while left is None or len(found) < left:
        part = response.read1(_PART_BYTES if left is None else min(_PART_BYTES, left - len(found)))
        if not part:
            break
        found += part
        if len(found) > _MOST_BYTES:
            raise _TooLarge
    if left is not None and len(found) < left:
        raise http.client.IncompleteRead(bytes(found), left - len(found))
    return bytes(found)


def _fault(error: Exception) -> str:
    if isinstance(error, _TooLarge):
        return "too large"
    is_cut = isinstance(error, OSError | http.client.IncompleteRead)
    return "closed early" if is_cut else "not HTTP"


def _answer(found: object) -> object:
    """Return what a server answers in JSON of its own; some tell errors as if they were answers."""
    if found is None or found == {}:
        raise UpstreamError(kind="no answer in it", detail=json.dumps(found))
    told: Mapping[str, object] = cast("Mapping[str, object]", found) if isinstance(found, Mapping) else {}
    if told.get("error") and "prediction" not in told and "score" not in told:
        raise UpstreamError(kind="error in it", detail=str(told["error"])[:200])
    return cast("object", found)


def _refuse_status(response: http.client.HTTPResponse, answer: bytes) -> None:
    raise UpstreamError(kind=f"status {response.status}", detail=answer[:200].decode(errors="replace"))


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UpstreamError(kind="not JSON", detail=content[:200].decode(errors="replace")) from error


def _piece(event: Mapping[str, object]) -> str:
    """Return the text of a streamed event; empty for one that tells something else, such as the usage."""
    try:
        choices = cast("list[Mapping[str, Mapping[str, object]]]", event.get("choices") or [])
        content = choices[0]["delta"].get("content") if choices else None
    except (AttributeError, KeyError, TypeError) as error:
        raise UpstreamError(kind="no answer in it", detail="`choices` with a `delta` were expected") from error
    if content is not None and not isinstance(content, str):
        raise UpstreamError(kind="no answer in it", detail=f"`content` is {content!r:.40}, a text was expected")
    return content or ""


def _close(connections: set[http.client.HTTPConnection]) -> None:
    for connection in [*connections]:  # threads may still make some
        connection.close()


def _plain(value: Value) -> Value:
    """Return a value as JSON takes it: NumPy's scalars as numbers, times as ISO texts, what is not finite as null."""
    item = getattr(value, "item", None)
    if callable(item) and not hasattr(value, "__len__"):
        value = item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if isinstance(value, date) else value


def _datatype(value: Value) -> str:
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, int):
        return "INT64"
    return "FP64" if isinstance(value, float) else "BYTES"
