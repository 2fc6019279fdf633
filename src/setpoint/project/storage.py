"""What a model takes on disk: measured where it has rows, estimated from its features where it has none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from setpoint.core.clock import DAY, HOUR, MICROS, duration_text
from setpoint.core.events import TABLES
from setpoint.core.metric import counted
from setpoint.core.model import Model
from setpoint.declare.write import size_spelling
from setpoint.store.engines.duck import rows
from setpoint.store.evidence import bucket_seconds, horizon
from setpoint.store.lake import LakeTable
from setpoint.store.layout import Layout
from setpoint.store.measures import COHORT_VALUES, TRAFFIC
from setpoint.store.snapshot import Snapshot
from setpoint.store.summaries import Kept, Summaries

MONTH = 30 * DAY
_FIXED_BYTES, _NUMERIC_BYTES, _TEXT_BYTES = 80, 9, 4
# What a feature takes in the kept states: an hour of them, and a day of one value of a cohort.
_HOUR_BYTES, _DAY_BYTES = 1_000, 1_500
_FAR = 1 << 62
_FEWEST_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Storage:
    """An estimate of what a model takes on disk.

    Attributes:
        bytes_per_prediction: With its outcome and calls.
        is_measured: Whether that comes from the lake, not from the declared features.
        rows_per_day: Predictions a day, before `keep`; None before any.
        seen: How long traffic was seen for, microseconds.
        keep: Share of the rows that is kept.
        summary_bytes_per_day: What the kept states take.
        window: How long rows must be kept: the retention's age, and never less than outcomes may take.
        budget: The declared size; None without one.
    """

    bytes_per_prediction: float
    is_measured: bool
    rows_per_day: float | None
    seen: int
    keep: float
    summary_bytes_per_day: float
    window: int
    budget: int | None

    def bytes_of(self, length: int) -> float:
        """Return the bytes of a stretch of time."""
        daily = (self.rows_per_day or 0.0) * self.keep * self.bytes_per_prediction
        return (daily + self.summary_bytes_per_day) * length / DAY

    @property
    def is_over(self) -> bool:
        """Whether one window takes more than the declared size."""
        return self.budget is not None and self.bytes_of(self.window) > self.budget

    @property
    def lines(self) -> list[str]:
        """The estimate in words."""
        source = "measured in the lake" if self.is_measured else "an estimate from the declared features"
        first = f"storage: about {counted(self.bytes_per_prediction, 'byte')} a prediction ({source})"
        if self.rows_per_day is None:
            traffic = "no traffic was seen yet: rows a day are unknown"
        else:
            kept = f", {self.keep:g} of them kept" if self.keep < 1.0 else ""
            over = f" (seen over {duration_text(self.seen)})" if self.seen < DAY else ""
            traffic = f"{counted(self.rows_per_day, 'prediction')} a day{over}{kept}"
        summaries = f"summaries {_size(self.summary_bytes_per_day)} a day"
        what = " without the rows" if self.rows_per_day is None else ""
        month = f"about {_size(self.bytes_of(MONTH))} a month{what}"
        found = [first, f"storage: {traffic}; {summaries}; {month}"]
        if self.budget is not None:
            said = f"{_size(self.bytes_of(self.window))} in {duration_text(self.window)}"
            found.append(f"storage: {said} of {size_spelling(self.budget)} declared in retention.size")
        return found


def estimate(layout: Layout | None, model: Model) -> Storage:
    """Return what a model takes on disk: from its lake when that has rows, else from its features."""
    per_row = _FIXED_BYTES + sum(
        _NUMERIC_BYTES if feature.kind in {"numeric", "integer", None} else _TEXT_BYTES for feature in model.features
    )
    measured = _measured_bytes(layout, model.name) if layout else None
    per_day, seen = _rows_per_day(layout, model.name) if layout else (None, 0)
    buckets = 86_400 // bucket_seconds(model.timezone)
    values = 2 + sum(COHORT_VALUES if cohort.by else 2 for cohort in model.cohorts)  # a version and an endpoint
    kept = _measured_summaries(layout, model.name) if layout else None
    return Storage(
        bytes_per_prediction=per_row if measured is None else measured,
        is_measured=measured is not None,
        rows_per_day=per_day,
        seen=seen,
        keep=model.keep,
        summary_bytes_per_day=(
            float(len(model.features) * (buckets * _HOUR_BYTES + values * _DAY_BYTES)) if kept is None else kept
        ),
        window=max(model.retention.age or 0, horizon(model)),
        budget=model.retention.size_bytes,
    )


def _measured_bytes(layout: Layout, name: str) -> float | None:
    """Return the bytes a row of the lake takes in all tables; None below a thousand, where overhead rules."""
    files = {table: LakeTable(layout.lake(name, table)).files() for table in TABLES}
    if not files["predictions"]:
        return None
    with Snapshot(layout, name, tables=("predictions",)) as snapshot:
        count = cast("int", rows(snapshot.connection, "SELECT count(ship) FROM predictions")[0][0])
    if count < _FEWEST_ROWS:
        return None
    return sum(Path(file).stat().st_size for listed in files.values() for file in listed) / count


def _measured_summaries(layout: Layout, name: str) -> float | None:
    """Return the bytes that a day of kept states takes; None before there is one."""
    path = layout.summaries(name)
    with Summaries.reading(path) as summaries:
        days = 0 if summaries is None else len(summaries.starts(Kept(TRAFFIC), "day", 0, _FAR))
    return path.stat().st_size / days if days else None


def _rows_per_day(layout: Layout, name: str) -> tuple[float | None, int]:
    """Return the requests a day that were seen, and how long they were seen for."""
    with Snapshot(layout, name, tables=("tallies",)) as snapshot:
        sql = "SELECT sum(requests), min(epoch_us(bucket_at)), max(epoch_us(bucket_at)) FROM tallies WHERE requests > 0"
        total, first, last = cast("tuple[float | None, int, int]", rows(snapshot.connection, sql)[0])
    if not total:
        return None, 0
    seen = max(last - first + 900 * MICROS, HOUR)
    return float(total) * DAY / seen, seen


def _size(size: float) -> str:
    for name, unit in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} B"
