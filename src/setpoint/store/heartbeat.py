"""When the loop last ran, how long that took, and which models it could not look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from setpoint.store.layout import Layout, write_atomically


@dataclass(frozen=True, slots=True)
class Failing:
    """A model whose checks could not be run.

    Attributes:
        since: The first tick of those that failed one after the other, microseconds by the store's clock.
        said: What went wrong.
    """

    since: int
    said: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What is known of the loop.

    Attributes:
        ticked_at: When its last tick ended, seconds since 1970 by this machine's clock, whatever the store's says.
        took_seconds: How long it took.
        failing: Models that it could not look at.
    """

    ticked_at: float = 0.0
    took_seconds: float = 0.0
    failing: Mapping[str, Failing] = field(default_factory=dict[str, Failing])


def last_heartbeat(layout: Layout) -> Heartbeat | None:
    """Return what is known of the loop; None while it never ran, or when the file is damaged: a tick mends it."""
    try:
        return msgspec.json.decode(_path(layout).read_bytes(), type=Heartbeat)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def write_heartbeat(layout: Layout, heartbeat: Heartbeat) -> None:
    """Write that the loop ran."""
    write_atomically(_path(layout), msgspec.json.encode(heartbeat))


def _path(layout: Layout) -> Path:
    return layout.root / "loop.json"
