"""What the code around a request knows of it, where the request itself cannot be told."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Unpack

import msgspec

from setpoint.predictions.details import CallerDetails
from setpoint.predictions.rows import Value


class Around(msgspec.Struct, frozen=True):
    """What is known of the requests of a block.

    Attributes:
        inputs: Value by feature name.
        prompt: The template of their prompt; empty when nobody said.
        details: Whose they are.
        recorded: The identifiers of their predictions, of every block around them.
    """

    inputs: Mapping[str, Value]
    prompt: str
    details: CallerDetails
    recorded: tuple[list[str], ...]


_around: ContextVar[Around | None] = ContextVar("setpoint_around", default=None)
_NOTHING = Around({}, "", {}, ())


def around() -> Around:
    """Return what is known of the requests that are sent here."""
    return _around.get() or _NOTHING


@contextmanager
def details(
    inputs: Mapping[str, Value] | None = None, *, prompt: str = "", **known: Unpack[CallerDetails]
) -> Generator[list[str]]:
    """Say whose the requests of a `with` block are: those that a wrapped client sends inside it.

    Holds for this thread or task and the tasks begun inside; a block inside another one adds to it.

    Args:
        inputs: Further features of theirs, value by name.
        prompt: The template of their prompt: only a hash of it is recorded.
        **known: `key`, `unit`, `feature_version`, `source`, `trace_id` and `run_id`.

    Returns:
        The identifiers of their predictions, in order, as they are sent: outcomes can name them.

    Example:
        >>> with details({"topic": "billing"}, unit="u1") as ids:
        ...     pass  # client.chat.completions.create(...)
        >>> ids
        []
    """
    outer, recorded = around(), list[str]()
    token = _around.set(
        Around(
            {**outer.inputs, **(inputs or {})},
            prompt or outer.prompt,
            {**outer.details, **known},
            (*outer.recorded, recorded),
        )
    )
    try:
        yield recorded
    finally:
        with suppress(ValueError):  # a generator that is closed from elsewhere: what was said ended with its context
            _around.reset(token)
