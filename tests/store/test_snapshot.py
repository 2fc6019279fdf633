"""A small table of a snapshot is read once and held, a large one is read where it lies: both say the same."""

from __future__ import annotations

import random
from pathlib import Path

from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.model import Model
from setpoint.predictions.recorder import Recorder
from setpoint.store.engines.duck import Row, rows
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool

START = 1_767_225_600_000_000  # 2026-01-01
COUNT = 1500


def stored(folder: Path, length: int) -> Layout:
    """Return a store of which a third of the rows is still spooled, with units whose names are so long."""
    layout, rng = Layout.create(folder, replay_now=START), random.Random(1)
    layout.declare(Model("m"))
    recorder, clock = Recorder(layout, "m", spool=Spool(layout)), layout.clock
    assert isinstance(clock, ReplayClock)
    for n in range(COUNT):
        clock.set(START + n * 3 * DAY // COUNT)
        name = f"{n % 7}".zfill(2) + rng.randbytes(length).hex()
        recorder.record({"x": n / 7, "y": f"v{n % 3}"}, prediction_id=f"p{n:05d}", score=n / COUNT, unit=name)
        recorder.outcome(n % 2, prediction_id=f"p{n:05d}")
        if n == 2 * COUNT // 3:
            recorder.close()
            tick(layout)
    recorder.close()
    return layout


def told(layout: Layout, as_of: int | None) -> tuple[str, list[Row], list[Row]]:
    """Return how the predictions are read, and what they say."""
    with Snapshot(layout, "m", as_of=as_of) as snapshot:
        ((held,),) = rows(snapshot.connection, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'predictions'")
        columns = rows(snapshot.connection, "SELECT column_name, column_type FROM (DESCRIBE predictions)")
        found = rows(
            snapshot.connection,
            "SELECT prediction_id, epoch_us(predicted_at), score, inputs.x, inputs.y, left(unit, 2), p.ship, o.outcome"
            " FROM predictions AS p LEFT JOIN outcomes AS o USING (prediction_id) ORDER BY prediction_id",
        )
    return "held" if held else "read", columns, found


def test_a_large_table_says_what_a_small_one_does(tmp_path: Path) -> None:
    small, large = stored(tmp_path / "small", 2), stored(tmp_path / "large", 300)
    for as_of in (None, START + 36 * HOUR):
        held, read = told(small, as_of), told(large, as_of)
        assert (held[0], read[0]) == ("held", "read")
        assert held[1:] == read[1:]
        assert len(held[2]) == (COUNT if as_of is None else COUNT // 2 + 1)
