"""Local days: profiles by day hold the rows of that day by the model's clock, also where it changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from setpoint.control.loop import tick
from setpoint.core.clock import micros
from setpoint.core.model import Model
from setpoint.core.window import Window, local_midnight
from setpoint.project.keeping import import_file
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout
from setpoint.store.summaries import Summaries

ZONE = "America/New_York"


@pytest.mark.parametrize("first", ["2026-03-04", "2026-10-28"])  # clocks change on 8 March and 1 November
@pytest.mark.parametrize("is_kept", [False, True])
def test_days_are_those_of_the_models_clock(tmp_path: Path, first: str, *, is_kept: bool) -> None:
    start = datetime.fromisoformat(first).replace(tzinfo=ZoneInfo(ZONE)).astimezone(UTC)
    times = [start + timedelta(minutes=30 * n + 7) for n in range(48 * 8)]
    rows = pl.DataFrame({"ts": times, "x": [float(n % 5) for n in range(len(times))], "score": [0.5] * len(times)})
    rows.write_parquet(tmp_path / "rows.parquet")
    layout = Layout.create(tmp_path / "store")
    layout.declare(Model("m", timezone=ZONE))
    import_file(layout.root, "m", str(tmp_path / "rows.parquet"))
    if is_kept:
        tick(layout)
    expected: dict[int, int] = {}
    for time in times:
        midnight = local_midnight(micros(time), ZONE)
        expected[midnight] = expected.get(midnight, 0) + 1
    now = micros(datetime(2026, 12, 1, tzinfo=UTC))
    with Summaries.reading(layout.summaries("m")) as summaries:
        evidence = KeptEvidence(layout, layout.model("m"), now, now, summaries)
        found = evidence.profile_by_day(Window(micros(times[0]), micros(times[-1]) + 1))
        evidence.close()
    counted = {at: float(state.only(feature="x", part="moments").column("rows").sum()) for at, state in found}
    assert counted == expected
