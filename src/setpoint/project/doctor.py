"""Is Setpoint itself well: what waits, what was lost or put aside, how much room there is."""

from __future__ import annotations

import platform
import shutil
import time
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import cast

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.core.clock import MICROS, duration_text, text
from setpoint.core.events import TABLES
from setpoint.core.metric import number
from setpoint.core.verdict import Verdict
from setpoint.store.engines.duck import rows
from setpoint.store.lake import LakeTable
from setpoint.store.layout import FORMAT, Layout, ReplayClock
from setpoint.store.segments import open_segments
from setpoint.store.snapshot import Snapshot
from setpoint.store.summaries import Summaries

LOSS_WINDOW_SECONDS = 0.2
_PACKAGES = ("setpoint", "duckdb", "deltalake", "numpy", "sqlglot", "msgspec", "pydantic")
_LATE_SECONDS = 300.0
_TIGHT = 0.05


def doctor(store: Path) -> Answer:
    """Return how a store and this installation are."""
    layout = Layout.open(store)
    checks: list[tuple[Verdict, str, str]] = []
    for model in layout.models():
        checks += _model_checks(layout, model)
    disk = shutil.disk_usage(layout.root)
    used = sum(path.stat().st_size for path in layout.root.rglob("*") if path.is_file())
    is_tight = disk.free < _TIGHT * disk.total
    said = f"the store takes {_bytes(used)}; {_bytes(disk.free)} free"
    checks.append((Verdict.WARNING if is_tight else Verdict.OK, "disk", said))
    clock = layout.clock
    replay = f"a replay that stands at {text(clock.now())} UTC" if isinstance(clock, ReplayClock) else "the system's"
    checks.append((Verdict.OK, "clock", replay))
    checks.append(
        (
            Verdict.OK,
            "loss window",
            f"{LOSS_WINDOW_SECONDS:g} s of rows and 5 s of counts: what a crash may lose, at most",
        )
    )
    checks.append(
        (
            Verdict.OK,
            "versions",
            ", ".join([f"python {platform.python_version()}", *map(_version, _PACKAGES)]),
        )
    )
    checks.append((Verdict.OK, "store format", str(FORMAT)))
    bad = [check for check in checks if check[0] is not Verdict.OK]
    headline = "all is well" if not bad else f"{len(bad)} things need attention: {'; '.join(c[1] for c in bad[:3])}"
    return Answer(
        question="doctor",
        model="",
        verdict=Verdict.WARNING if bad else Verdict.OK,
        headline=headline,
        because=(),
        unknowns=(),
        as_of=clock.now(),
        zone="UTC",
        tables=(_table(checks),),
    )


def _model_checks(layout: Layout, model: str) -> list[tuple[Verdict, str, str]]:
    waiting, oldest = 0, 0.0
    for folder in (layout.spool(model, table) for table in TABLES):
        lake = LakeTable(layout.lake(model, folder.name))
        for segment in open_segments(folder):
            with closing(segment):
                if segment.name.sequence > lake.shipped(segment.name.process):
                    waiting += segment.size
                    oldest = max(oldest, time.time() - segment.modified_at)
    is_late = waiting > 0 and oldest > _LATE_SECONDS
    lag = (
        f"{_bytes(waiting)} wait, the oldest for {duration_text(round(oldest * MICROS))}"
        if waiting
        else "nothing waits"
    )
    found = [(Verdict.WARNING if is_late else Verdict.OK, f"{model}: spool", lag)]
    with Snapshot(layout, model, tables=("quarantine", "tallies")) as snapshot:
        aside = cast(
            "list[tuple[str, str, int]]",
            rows(
                snapshot.connection,
                "SELECT source_table, reason, count(*) FROM quarantine GROUP BY ALL ORDER BY 3 DESC",
            ),
        )
        dropped = cast("int", rows(snapshot.connection, "SELECT coalesce(sum(dropped), 0)::BIGINT FROM tallies")[0][0])
    reasons = "; ".join(f"{count:,} {table}: {reason}" for table, reason, count in aside[:3])
    total = sum(count for _, _, count in aside)
    found.append(
        (
            Verdict.WARNING if aside else Verdict.OK,
            f"{model}: quarantine",
            f"{total:,} rows put aside. {reasons}".strip(),
        )
    )
    found.append(
        (
            Verdict.WARNING if dropped else Verdict.OK,
            f"{model}: drops",
            f"{dropped:,} events dropped by full queues",
        )
    )
    found.append((Verdict.OK, f"{model}: summaries", _summaries(layout, model)))
    return found


def _summaries(layout: Layout, model: str) -> str:
    with Summaries.reading(layout.summaries(model)) as summaries:
        progress = summaries.progress() if summaries is not None else None
    if progress is None:
        return "none yet: run `setpoint tick`"
    return f"hours are closed until {text(progress.closed_until)} UTC"


def _table(checks: list[tuple[Verdict, str, str]]) -> Table:
    cells: list[tuple[Cell, ...]] = [(verdict.value, what, said) for verdict, what, said in checks]
    lines = [(verdict.value, what, said) for verdict, what, said in checks]
    return Table("checks", ("verdict", "what", "found"), cells, ("", "what", "found"), lines)


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} (not installed)"


def _bytes(size: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return number(size, "rows") + " bytes"
