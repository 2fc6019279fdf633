"""Stores that are gone when the test is."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from setpoint.core.model import Model
from setpoint.store.layout import Layout
from setpoint.store.spool import Spool


@contextmanager
def temporary_store(model: Model | None = None, *, replay_now: int | None = None) -> Generator[tuple[Layout, Spool]]:
    """Make a store with a spool of its own, and delete both at the end.

    It lies in shared memory where the system has some, so a test pays for no disk.

    Args:
        model: A declaration to put in force.
        replay_now: Start of a replay; None uses the system's clock.

    Example:
        >>> from setpoint import Model, Recorder
        >>> with temporary_store(Model("fraud")) as (layout, spool):
        ...     recorder = Recorder(layout, "fraud", spool=spool)
        ...     _ = recorder.record({"amount": 3.0}, score=0.1)
        ...     recorder.flush()
        True
    """
    memory = Path("/dev/shm")  # noqa: S108 — only as the parent of a fresh private folder
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        layout = Layout.create(Path(folder) / "store", replay_now=replay_now)
        if model is not None:
            layout.declare(model)
        spool = Spool(layout)
        try:
            yield layout, spool
        finally:
            spool.close()
