"""Names for events that sort by time and never collide between processes."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
from collections.abc import Callable

_KEEP_SCALE = 1 << 52  # 13 hexadecimal digits: a double holds them all, in SQL too


def process_token() -> str:
    """Return a name for this process that no other process, past or future, has."""
    return f"{os.getpid():x}-{secrets.token_hex(6)}"


def id_maker() -> Callable[[int], str]:
    """Return a function from microseconds to a fresh 30-character identifier.

    Identifiers sort by time; a counter that begins at 40 random bits tells apart those of one
    microsecond. A forked child must make its own maker.

    Example:
        >>> make = id_maker()
        >>> make(1) < make(2) < make(3)
        True
    """
    following = itertools.count(secrets.randbits(40) << 23).__next__  # of 64 bits, the first one spare

    def make(at: int) -> str:  # half as long as to format the two as texts
        return (at << 64 | following()).to_bytes(15).hex()

    return make


def keeps(root_id: str, probability: float) -> bool:
    """Return whether the event and all its children are kept, the same in every process.

    Args:
        root_id: The identifier shared by a prediction and its shadow and cascade rows.
        probability: The share to keep, 0 to 1.

    Example:
        >>> sum(keeps(f"id-{i}", 0.25) for i in range(4000))
        977
    """
    if probability >= 1.0:
        return True
    return int(hashlib.sha256(root_id.encode()).hexdigest()[:13], 16) < probability * _KEEP_SCALE
