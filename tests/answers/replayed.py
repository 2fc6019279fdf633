"""A store that was recorded on a replay clock, and the rows of an answer's table by column."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from setpoint.answers.answer import Table
from setpoint.core.model import Model
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.spool import Spool


@contextmanager
def replay(folder: Path, model: Model, start: int, until: int) -> Generator[tuple[Recorder, ReplayClock]]:
    """Yield a recorder of a new store at `folder / "store"`, and the clock to set before each event.

    Args:
        folder: Where the store is made.
        model: Its one model.
        start: Where the clock stands at first.
        until: Where it stands in the end, for every question.
    """
    layout = Layout.create(folder / "store", replay_now=start)
    layout.declare(model)
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    recorder = Recorder(layout, model.name, spool=Spool(layout))
    yield recorder, clock
    recorder.close()
    clock.set(until)
    clock.save()


def rows_of(table: Table) -> list[dict[str, Any]]:
    """Return the rows of a table by column."""
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]
