"""One text for callers that wait in their thread and for coroutines: written for these, run at once for those."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import ParamSpec, TypeVar, cast

P = ParamSpec("P")
Found = TypeVar("Found")


def at_once(function: Callable[P, Found]) -> Callable[P, Coroutine[object, None, Found]]:
    """Return a function as one to be awaited, which then waits for nothing but the function."""

    async def awaited(*args: P.args, **kwargs: P.kwargs) -> Found:
        return function(*args, **kwargs)

    return awaited


def finished(work: Coroutine[object, None, Found]) -> Found:
    """Return what a coroutine gives that awaits only what is there at once.

    Example:
        >>> finished(at_once(max)(1, 2))
        2
    """
    try:
        work.send(None)
    except StopIteration as stop:
        return cast("Found", stop.value)
    msg = "a coroutine that was to end at once waits for something"
    raise RuntimeError(msg)
