"""What a forked child must not share with its parent: locks that another thread may hold, threads and connections."""

from __future__ import annotations

import os
from functools import partial
from typing import Protocol
from weakref import ref


class Forgetful(Protocol):
    """Who has something of the process's own."""

    def forget_parent(self) -> None:
        """Start afresh in a forked child."""
        ...


def watch_forks(one: Forgetful) -> None:
    """Let somebody start afresh in each forked child, as long as it is alive."""
    os.register_at_fork(after_in_child=partial(_after_fork, ref(one)))


def _after_fork(one: ref[Forgetful]) -> None:
    if (alive := one()) is not None:
        alive.forget_parent()
