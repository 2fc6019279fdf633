"""What is recorded of a request to a language model: its settings and its size, and no word of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from setpoint.connect.llm_answer import field

_NAMES = {"model", "reasoning_effort", "service_tier", "tool_choice", "truncation", "verbosity"}
"""Settings whose value is a word of the API. All other texts may be a person's."""

_PROMPT = ("messages", "system", "instructions", "input")
_SYSTEM = {"system", "developer"}


def inputs_of_request(body: Mapping[str, object]) -> dict[str, float | str | bool]:
    """Return the settings of a request that are one number or word, and how long its prompt is.

    Args:
        body: As it is sent.

    Example:
        >>> inputs_of_request({"model": "m", "temperature": 0.2, "user": "u@example.com",
        ...                    "messages": [{"role": "user", "content": "Hello"}]})
        {'model': 'm', 'temperature': 0.2, 'prompt_characters': 5, 'messages_total': 1}
    """
    found: dict[str, float | str | bool] = {
        name: value
        for name, value in body.items()
        if isinstance(value, bool | int | float) or (name in _NAMES and isinstance(value, str))
    }
    effort = field(body.get("reasoning"), "effort")
    if isinstance(effort, str):
        found["reasoning_effort"] = effort
    found["prompt_characters"] = sum(len(text) for name in _PROMPT for text in _texts(body.get(name)))
    for name in ("messages", "tools"):
        several = body.get(name)
        if isinstance(several, list | tuple):
            found[f"{name}_total"] = len(cast("list[object]", several))
    return found


def prompt_of_request(body: Mapping[str, object]) -> str:
    """Return what a request says before anybody speaks: its system message; empty without one."""
    told = [*_texts(body.get("system")), *_texts(body.get("instructions"))]
    for name in ("messages", "input"):
        messages = body.get(name)
        for message in cast("list[object]", messages) if isinstance(messages, list | tuple) else ():
            if field(message, "role") in _SYSTEM:
                told += _texts(message)
    return "\n".join(told)


def _texts(part: object) -> Iterator[str]:
    """Yield the texts of a message or of parts of one; neither images nor the arguments of tools are."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, list | tuple):
        for each in cast("list[object]", part):
            yield from _texts(each)
    elif part is not None:
        yield from _texts(field(part, "text") or field(part, "content"))
