"""What a provider says that a call used, as disjoint classes of tokens: each token is in one class, and priced once.

Providers count the same tokens several times: what was read from a cache is part of the prompt (OpenAI, Gemini)
or beside it (Anthropic), reasoning is part of the answer (OpenAI) or beside it (Gemini, xAI), and a cached image
is both cached and an image.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import SupportsIndex, cast

_Block = Mapping[str, object]
_MOST = 1 << 62


NO_COUNT = -1
"""The count of what was told and is no count: like counts that contradict each other it has no price, at any time."""


def whole(told: object) -> int | None:
    """Return what is told as a whole number that a table can keep; None when it is none.

    Example:
        >>> whole(3), whole(3.0), whole("3"), whole(True), whole(float("nan"))
        (3, 3, None, None, None)
    """
    if isinstance(told, float) and told.is_integer():
        told = int(told)
    if isinstance(told, bool) or not isinstance(told, SupportsIndex):
        return None
    return found if abs(found := index(told)) < _MOST else None


def token_fields(usage: Mapping[str, object]) -> dict[str, int]:
    """Return the token fields of a `Call` from the usage block of a provider's answer.

    Reads what the chat and responses APIs of OpenAI and all that imitate them, Anthropic and Gemini report. What
    is not reported is left out; what is reported and is no count is -1. What the provider's own tools were asked for,
    such as web searches, is counted in `tool_requests`: they are charged beside the tokens. Counts that contradict
    each other come out negative, and so have no price.

    Args:
        usage: As it was answered; of an SDK's object its `model_dump()`.

    Example:
        >>> token_fields({"prompt_tokens": 2006, "completion_tokens": 300,
        ...               "prompt_tokens_details": {"cached_tokens": 1920},
        ...               "completion_tokens_details": {"reasoning_tokens": 200}})
        {'input_tokens': 86, 'cached_read_tokens': 1920, 'output_tokens': 100, 'reasoning_tokens': 200}
    """
    tools = _block(usage, "server_tool_use")
    counts = [count for name in tools if (count := _count(tools, name)) is not None]
    return {**_tokens(usage), **({"tool_requests": sum(counts)} if counts else {})}


def _tokens(usage: _Block) -> dict[str, int]:
    if _count(usage, "promptTokenCount", "prompt_token_count") is not None:
        return _gemini(usage)
    if "prompt_tokens" not in usage and not {"cache_read_input_tokens", "cache_creation_input_tokens"}.isdisjoint(
        usage
    ):
        return _anthropic(usage)
    return _openai(usage)


def _openai(usage: _Block) -> dict[str, int]:
    sent = _block(usage, "prompt_tokens_details", "input_tokens_details")
    answered = _block(usage, "completion_tokens_details", "output_tokens_details")
    prompt = _count(usage, "prompt_tokens", "input_tokens")
    completion = _count(usage, "completion_tokens", "output_tokens")
    cached = _count(sent, "cached_tokens")
    if cached is None:
        cached = _count(usage, "cache_read_input_tokens", "prompt_cache_hit_tokens")
    reasoning = _count(answered, "reasoning_tokens", "thinking_tokens")
    total = _count(usage, "total_tokens")
    beside = prompt is not None and completion is not None and total == prompt + completion + (reasoning or 0)
    if completion is not None and reasoning and beside:  # xAI: the total says that reasoning is no part of the answer
        completion += reasoning
    of_cached = _block(sent, "cached_tokens_details")
    return {
        **_parted(
            "input",
            prompt,
            {"cached_read": cached, **_written(usage, sent)},
            {name: _less(_count(sent, f"{name}_tokens"), _count(of_cached, f"{name}_tokens")) for name in _MODALITIES},
        ),
        **_parted(
            "output",
            completion,
            {"reasoning": reasoning},
            {name: _count(answered, f"{name}_tokens") for name in _MODALITIES},
        ),
    }


def _anthropic(usage: _Block) -> dict[str, int]:
    thought = _count(_block(usage, "output_tokens_details"), "thinking_tokens")
    return _fields(
        {
            "input": _count(usage, "input_tokens"),
            "cached_read": _count(usage, "cache_read_input_tokens"),
            **_written(usage, _EMPTY),
            "output": _less(_count(usage, "output_tokens"), thought),
            "reasoning": thought,
        }
    )


def _gemini(usage: _Block) -> dict[str, int]:
    def modality(camel: str, snake: str) -> dict[str, int]:
        parts = usage.get(camel) or usage.get(snake)
        found: dict[str, int] = {}
        for part in cast("list[object]", parts) if isinstance(parts, list) else []:
            block = cast("_Block", part) if isinstance(part, Mapping) else _EMPTY
            name = str(block.get("modality", "")).rpartition(".")[2].lower()
            found[name] = found.get(name, 0) + (_count(block, "tokenCount", "token_count") or 0)
        return found

    sent = modality("promptTokensDetails", "prompt_tokens_details")
    of_cached = modality("cacheTokensDetails", "cache_tokens_details")
    answered = modality("candidatesTokensDetails", "candidates_tokens_details")
    prompt = _count(usage, "promptTokenCount", "prompt_token_count") or 0
    thoughts = _count(usage, "thoughtsTokenCount", "thoughts_token_count")
    candidates = _count(usage, "candidatesTokenCount", "candidates_token_count")
    whole = None if candidates is None and thoughts is None else (candidates or 0) + (thoughts or 0)
    return {
        **_parted(
            "input",
            prompt + (_count(usage, "toolUsePromptTokenCount", "tool_use_prompt_token_count") or 0),
            {"cached_read": _count(usage, "cachedContentTokenCount", "cached_content_token_count")},
            {name: _less(sent.get(name), of_cached.get(name)) for name in _MODALITIES},
        ),
        **_parted("output", whole, {"reasoning": thoughts}, {name: answered.get(name) for name in _MODALITIES}),
    }


_MODALITIES = ("audio", "image")
_EMPTY: _Block = {}


def _parted(
    side: str, total: int | None, parts: Mapping[str, int | None], modalities: Mapping[str, int | None]
) -> dict[str, int]:
    """Return a side's total as disjoint classes that add up to it: its parts, its modalities, and the rest.

    What is both, such as a cached image, is a part only: more than the total cannot have been used.
    """
    if total is None:
        return {}
    left = total - sum(count or 0 for count in parts.values())
    told: dict[str, int | None] = {}
    for name, count in modalities.items():
        told[f"{side}_{name}"] = None if count is None else min(count, max(left, 0))
        left -= told[f"{side}_{name}"] or 0
    return _fields({side: left, **parts, **told})


def _written(usage: _Block, sent: _Block) -> dict[str, int | None]:
    """Return what was written to a cache, by how long it is kept: the sum holds both."""
    written = _count(usage, "cache_creation_input_tokens")
    if written is None:
        written = _count(sent, "cache_creation_tokens", "cache_write_tokens")
    by_age = _block(usage, "cache_creation")
    hour = _count(by_age, "ephemeral_1h_input_tokens")
    if written is None and hour is not None:
        written = hour + (_count(by_age, "ephemeral_5m_input_tokens") or 0)
    return {"cached_write": _less(written, hour), "cached_write_1h": hour}


def _fields(told: Mapping[str, int | None]) -> dict[str, int]:
    return {f"{name}_tokens": count for name, count in told.items() if count is not None}


def _less(count: int | None, part: int | None) -> int | None:
    return None if count is None else count - (part or 0)


def _block(usage: _Block, *names: str) -> _Block:
    for name in names:
        found = usage.get(name)
        if isinstance(found, Mapping):
            return cast("_Block", found)
    return _EMPTY


def _count(block: _Block, *names: str) -> int | None:
    """Return the first count that is told; -1, which has no price, when what is told is none."""
    found = [whole(one) for name in names if (one := block.get(name)) is not None]
    return next((one for one in found if one is not None), NO_COUNT if found else None)
