"""An HTTP response that is waited for no longer than was said, in whatever small parts it comes."""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class TimedResponse(http.client.HTTPResponse):
    """A response whose head has to be there within a time, and then whatever is waited for next.

    A socket's own timeout begins anew with each byte, so that a server that drips is never too slow for it.

    Args:
        sock: Where it comes from.
        method: Of the request.
        seconds: How long it is waited for.
    """

    def __init__(self, sock: socket.socket, *, method: str | None = None, seconds: float) -> None:
        self._coming = _Coming(sock, seconds)
        super().__init__(cast("socket.socket", self._coming), method=method)

    def wait_anew(self) -> None:
        """Give what comes next its own time."""
        self._coming.wait_anew()


class _Coming(io.RawIOBase):
    """What comes from a socket, until the time is over."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock, self._raw, self._seconds = sock, sock.makefile("rb", buffering=0), seconds
        self.wait_anew()

    def wait_anew(self) -> None:
        self._until = time.monotonic() + self._seconds

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return it as a response reads it."""
        return io.BufferedReader(cast("io.RawIOBase", self))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0.0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
