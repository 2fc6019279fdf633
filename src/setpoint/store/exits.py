"""What a process does with its spools when it ends or forks: flush and seal, or start afresh."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing.util
import os
import signal
import threading
import weakref
from types import FrameType
from typing import Protocol, TypeVar


class Closable(Protocol):
    """A spool, as far as the end of its process is concerned."""

    def close(self) -> bool:
        """Write everything and seal all segments."""
        ...

    def forget_parent(self) -> None:
        """Start afresh in a forked child."""
        ...


class Telling(Protocol):
    """Who has more to record when its process ends."""

    def tell_rest(self) -> None:
        """Record it."""
        ...


Member = TypeVar("Member")
_spools: weakref.WeakSet[Closable] = weakref.WeakSet()
_telling: weakref.WeakSet[Telling] = weakref.WeakSet()
_hooks_lock = threading.Lock()
_hooked = False


def watch(spool: Closable) -> None:
    """Flush a spool at exit and on SIGTERM, and make it start afresh in forked children."""
    global _hooked  # noqa: PLW0603 — the interpreter's exit hooks are one per process too
    _spools.add(spool)
    with _hooks_lock:
        if _hooked:
            return
        _hooked = True
    atexit.register(close_all)
    os.register_at_fork(after_in_child=_after_fork_in_child)
    # A forked worker of multiprocessing ends without `atexit`; it runs its own finalizers.
    multiprocessing.util.register_after_fork(close_all, _finalize_in_worker)
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def ask_before_end(one: Telling) -> None:
    """Let somebody record the rest before the spools of this process are closed."""
    _telling.add(one)


def close_all() -> None:
    """Flush and seal the spools of this process."""
    for one in _living(_telling):
        with contextlib.suppress(Exception):  # as below
            one.tell_rest()
    for spool in _living(_spools):
        with contextlib.suppress(Exception):  # an exit hook that raises hides the program's own error
            spool.close()


def _living(those: weakref.WeakSet[Member]) -> list[Member]:
    while True:
        try:
            return list(those)
        except RuntimeError:  # another thread has just made one
            continue


def _finalize_in_worker(_: object) -> None:
    multiprocessing.util.Finalize(None, close_all, exitpriority=0)


def _on_sigterm(number: int, _frame: FrameType | None) -> None:
    close_all()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _after_fork_in_child() -> None:
    for spool in _living(_spools):
        spool.forget_parent()
