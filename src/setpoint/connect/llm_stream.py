"""Streams of a provider's SDK as they are, noticed piece by piece and once at their end."""

from __future__ import annotations

import time
import weakref
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Protocol, Self, cast

CLOSED, ABANDONED = "closed by the caller", "abandoned"


class Listener(Protocol):
    """Who is told what a stream does. None of it raises.

    Attributes:
        waited_seconds: How long the provider was waited for.
    """

    waited_seconds: float

    def hear(self, piece: object) -> bool:
        """Take in a piece; return whether it is also the caller's."""
        ...

    def fail(self, error: BaseException) -> None:
        """Note that the stream broke."""
        ...

    def finish(self, reason: str = "closed early") -> None:
        """Note that nothing more comes, and why, if more should have come. Only the first time counts."""
        ...


class _Heard:
    """What both kinds of streams have: everything else is the SDK's stream's own."""

    def __init__(self, stream: object, listener: Listener) -> None:
        self._stream = stream
        self._listener = listener
        weakref.finalize(self, listener.finish, ABANDONED)  # nobody else would tell that it was dropped half-read

    def __getattr__(self, name: str) -> object:
        return cast("object", getattr(self._stream, name))

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride] — so that it passes for the SDK's own
        return type(self._stream)


class HeardStream(_Heard):
    """A stream that is read by `for`."""

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        while True:
            started = time.perf_counter()
            try:
                try:
                    piece = next(cast("Iterator[object]", self._stream))
                finally:
                    self._listener.waited_seconds += time.perf_counter() - started
            except StopIteration:
                self._listener.finish()
                raise
            except BaseException as error:  # theirs, and raised as it is
                self._listener.fail(error)
                raise
            if self._listener.hear(piece):
                return piece

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the SDK's stream."""
        try:
            cast("HeardStream", self._stream).close()
        finally:
            self._listener.finish(CLOSED)


class HeardAsyncStream(_Heard):
    """A stream that is read by `async for`."""

    def __aiter__(self) -> AsyncIterator[object]:
        return self

    async def __anext__(self) -> object:
        while True:
            started = time.perf_counter()
            try:
                try:
                    piece = await anext(cast("AsyncIterator[object]", self._stream))
                finally:
                    self._listener.waited_seconds += time.perf_counter() - started
            except StopAsyncIteration:
                self._listener.finish()
                raise
            except BaseException as error:  # theirs, and raised as it is
                self._listener.fail(error)
                raise
            if self._listener.hear(piece):
                return piece

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the SDK's stream."""
        try:
            await cast("HeardAsyncStream", self._stream).close()
        finally:
            self._listener.finish(CLOSED)
