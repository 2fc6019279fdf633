"""What a provider's SDK hands over of an answer, whole or in pieces: its text, its tools, its model, its tokens.

Read by the names of the fields, as chat completions and responses of OpenAI (and all that imitate them), embeddings and
messages of Anthropic have them. Bodies may be objects of the SDK or plain JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import cast

from setpoint.core.usage import token_fields

NO_ANSWER = "no answer in it"
_OUTPUT = ("output_tokens", "reasoning_tokens", "output_audio_tokens", "output_image_tokens")
_DONE = {"response.completed", "response.incomplete", "response.failed"}


class Answer:
    """What is known of one answer so far.

    Attributes:
        model: The model that it names; empty when it names none.
        tier: The service tier that it names.
        tools: The names of the tools that it calls, never their arguments.
        error: By what kind it says itself that it failed; empty when it does not.
        is_whole: Whether it said that it is complete.
    """

    def __init__(self) -> None:
        self.model = ""
        self.tier: str | None = None
        self.tools: list[str] = []
        self.error = ""
        self.is_whole = False
        self._texts: list[str] = []
        self._usage: dict[str, object] = {}

    @property
    def text(self) -> str | None:
        """What was generated; None without any."""
        return "".join(self._texts) or None

    @property
    def has_content(self) -> bool:
        """Whether it holds anything that a reader waits for."""
        return bool(self._texts or self.tools)

    @property
    def tokens(self) -> dict[str, int]:
        """Token fields of a call; of an answer that broke off those of its prompt, as the others would go on."""
        found = token_fields(self._usage)
        return found if self.is_whole else {name: count for name, count in found.items() if name not in _OUTPUT}

    def read(self, body: object) -> None:
        """Take in a whole answer."""
        if isinstance(body, str | bytes):
            self.error = "not JSON"
            return
        self._head(body)
        self._said(body)
        failed = field(body, "status") == "failed" or (field(body, "error") and not self.has_content)
        is_answer = field(body, "choices") or any(
            field(body, name) is not None for name in ("output", "content", "data")
        )
        if failed or not is_answer:
            self.error = _kind(field(body, "error")) or NO_ANSWER
        self.is_whole = not self.error

    def read_text(self, body: bytes) -> None:
        """Take in a whole answer as it came."""
        try:
            self.read(json.loads(body))
        except (ValueError, RecursionError):
            self.error = "not JSON"

    def hear(self, piece: object) -> None:
        """Take in the next piece of an answer that comes in pieces."""
        kind = str(field(piece, "type") or "")
        if kind in _DONE:
            self._texts, self.tools = [], []
            self.read(field(piece, "response"))
        elif kind == "response.output_text.delta":
            self._texts.append(str(field(piece, "delta")))
        elif kind == "response.output_item.added":
            self._block(field(piece, "item"))
        elif kind == "error":
            self.error = _kind(piece)
        elif kind.startswith("response."):
            self._head(field(piece, "response"))
        elif kind:
            self._message(kind, piece)
        else:
            self._head(piece)
            self._said(piece)
            self.is_whole |= any(field(choice, "finish_reason") for choice in _listed(piece, "choices"))

    def _message(self, kind: str, piece: object) -> None:
        """Take in a piece of a message of Anthropic."""
        if kind == "message_start":
            self._head(field(piece, "message"))
            for name in ("output_tokens", "output_tokens_details"):  # of its first token; the whole is told at the end
                self._usage.pop(name, None)
        elif kind == "content_block_start":
            self._block(field(piece, "content_block"))
        elif kind == "content_block_delta":
            self._block(field(piece, "delta"))
        elif kind == "message_delta":
            self._head(piece)
        elif kind == "message_stop":
            self.is_whole = True

    def _head(self, body: object) -> None:
        """Take in what an answer says of itself; what comes later counts, where it says anything."""
        model, tier, usage = (field(body, name) for name in ("model", "service_tier", "usage"))
        self.model = model if isinstance(model, str) else self.model
        tier = tier or field(usage, "service_tier")
        self.tier = tier if isinstance(tier, str) else self.tier
        if usage is not None:
            self._usage |= {name: value for name, value in _block_of(usage).items() if value is not None}

    def _said(self, body: object) -> None:
        """Take in the content of an answer: of several to choose from the first."""
        for n, choice in enumerate(_listed(body, "choices")):
            place = field(choice, "index")
            if (n if place is None else place) == 0:
                message = field(choice, "message") or field(choice, "delta")
                self._text(field(message, "content"))
                for tool in _listed(message, "tool_calls"):
                    self._tool(field(field(tool, "function") or field(tool, "custom"), "name"))
        for item in (*_listed(body, "output"), *_listed(body, "content")):
            self._block(item)

    def _block(self, block: object) -> None:
        """Take in one part of a content: a text, a tool that is called, or parts of its own."""
        self._text(field(block, "text"))
        if str(field(block, "type")).endswith(("_call", "tool_use")):
            self._tool(field(block, "name"))
        if field(block, "type") == "message":
            for part in _listed(block, "content"):
                self._text(field(part, "text"))

    def _text(self, text: object) -> None:
        if isinstance(text, str) and text:
            self._texts.append(text)

    def _tool(self, name: object) -> None:
        if isinstance(name, str) and name:
            self.tools.append(name)


def is_usage_alone(piece: object) -> bool:
    """Return whether a piece of a chat holds its usage and nothing else: what `include_usage` adds at the end."""
    return field(piece, "usage") is not None and field(piece, "choices") == []


def field(body: object, name: str) -> object:
    """Return a field of an SDK's object or of plain JSON; None where there is none."""
    # Where the SDKs' models keep what they hold: to ask one for a field that it lacks takes ten times as long.
    for held in (body, getattr(body, "__dict__", None), getattr(body, "__pydantic_extra__", None)):
        if isinstance(held, dict) and name in held:
            return cast("dict[str, object]", held)[name]
    return None


def _listed(body: object, name: str) -> Iterator[object]:
    found = field(body, name)
    yield from cast("list[object]", found) if isinstance(found, list | tuple) else ()


def _block_of(usage: object) -> Mapping[str, object]:
    if isinstance(usage, Mapping):
        return cast("Mapping[str, object]", usage)
    dump = cast("Callable[..., dict[str, object]] | None", getattr(usage, "model_dump", None))
    return dump(warnings=False) if dump is not None else {}  # what is odd is ours to say, not pydantic's


def _kind(error: object) -> str:
    """Return by what an error that an answer tells is counted: its code or type, not its message."""
    told = field(error, "code") or field(error, "type")
    return str(told) if told and told != "error" else ""
