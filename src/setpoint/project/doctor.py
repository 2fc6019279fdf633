"""Is Setpoint itself well: what waits, what was lost or put aside, how much room there is."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import cast

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.control.route_plans import fault, unfollowed
from setpoint.core.clock import MICROS, duration_text, text
from setpoint.core.errors import StoreError
from setpoint.core.events import TABLES
from setpoint.core.metric import counted, number
from setpoint.core.verdict import Verdict
from setpoint.feedback.quality import odd_outcome_words
from setpoint.store.engines.duck import at, literal, rows
from setpoint.store.heartbeat import last_heartbeat
from setpoint.store.lake import LakeTable
from setpoint.store.layout import FORMAT, Layout, ReplayClock
from setpoint.store.matching import odd_outcome
from setpoint.store.segments import Segment, open_segments
from setpoint.store.snapshot import Snapshot
from setpoint.store.summaries import Summaries

LOSS_WINDOW_SECONDS = 0.2
COUNTS_LOSS_WINDOW_SECONDS = 5.0
_LATE_SECONDS = 300.0
_LOOP_LATE_SECONDS = 7200.0  # whoever runs it from cron does so every hour at least
_TIGHT = 0.05
_AHEAD = 300 * MICROS
_TORN = "torn last line"
_SHOWN_REASONS = 3


@dataclass
class _Examination:
    """What was looked at and what was found.

    Attributes:
        layout: The store.
        checks: Verdict, what, and what was found in words.
        figures: Model (empty for the store itself), figure with its unit, and value.
        reasons: Model, table, reason and rows of what lies in quarantine.
    """

    layout: Layout
    checks: list[tuple[Verdict, str, str]] = field(default_factory=list[tuple[Verdict, str, str]])
    figures: list[tuple[str, str, float]] = field(default_factory=list[tuple[str, str, float]])
    reasons: list[tuple[str, str, str, int]] = field(default_factory=list[tuple[str, str, str, int]])

    def check(self, what: str, said: str, *, is_bad: bool = False) -> None:
        """Note a check, with a warning when something is to be done."""
        self.checks.append((Verdict.WARNING if is_bad else Verdict.OK, what, said))

    def note(self, model: str, **figures: float) -> None:
        """Note numbers."""
        self.figures += [(model, name, value) for name, value in figures.items()]


def doctor(store: Path) -> Answer:
    """Return how a store and this installation are.

    The table `checks` says it in words; `figures` has the numbers behind it and `quarantine` every reason.
    """
    found = _Examination(Layout.open(store))
    for model in found.layout.models():
        for look_at in (_spool, _quarantine, _drops, _summaries, _odd_rows, _route):
            try:
                look_at(found, model)
            except StoreError as error:
                found.check(f"{model}: damage", error.message, is_bad=True)
    _loop(found)
    _disk(found)
    clock = found.layout.clock
    is_replay = isinstance(clock, ReplayClock)
    found.check("clock", f"a replay that stands at {text(clock.now())} UTC" if is_replay else "the system's")
    lost = f"{LOSS_WINDOW_SECONDS:g} s of rows and {COUNTS_LOSS_WINDOW_SECONDS:g} s of counts"
    found.check("loss window", f"{lost}: what a crash may lose, at most")
    found.note("", loss_window_seconds=LOSS_WINDOW_SECONDS, counts_loss_window_seconds=COUNTS_LOSS_WINDOW_SECONDS)
    found.check("versions", ", ".join(f"{name} {one}" for name, one in versions().items()))
    found.check("store format", str(FORMAT))
    bad = [what for verdict, what, _ in found.checks if verdict is not Verdict.OK]
    headline = (
        "all is well"
        if not bad
        else f"{counted(len(bad), 'thing')} {'needs' if len(bad) == 1 else 'need'} attention: {'; '.join(bad[:3])}"
    )
    return Answer(
        question="doctor",
        model="",
        verdict=Verdict.WARNING if bad else Verdict.OK,
        headline=headline,
        because=(),
        unknowns=(),
        as_of=clock.now(),
        zone="UTC",
        tables=_tables(found),
    )


def versions() -> dict[str, str]:
    """Return the version of Python, of SQLite, of this package and of everything it depends on.

    Example:
        >>> sorted({"python", "setpoint", "sqlite"} - set(versions()))
        []
    """
    try:
        needed = [
            re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requires("setpoint") or () if "extra ==" not in line
        ]
    except PackageNotFoundError:
        needed = []
    installed = {name: _version(name) for name in ("setpoint", *sorted(needed))}
    return {"python": platform.python_version(), **installed, "sqlite": sqlite3.sqlite_version}


def _spool(found: _Examination, model: str) -> None:
    """Look at what lies in the spool and not yet in the lake; its age is that of the oldest segment's last line."""
    waiting, size, torn, oldest = 0, 0, 0, 0.0
    for table in TABLES:
        lake = LakeTable(found.layout.lake(model, table))
        for segment in open_segments(found.layout.spool(model, table)):
            with closing(segment):
                if segment.name.sequence > lake.shipped(segment.name.process):
                    is_torn = _is_torn(segment)
                    waiting += segment.line_count() - (segment.header() is not None) - is_torn
                    torn += is_torn
                    size += segment.size
                    oldest = max(oldest, time.time() - segment.modified_at)
    since = duration_text(round(oldest * MICROS))
    lag = f"{counted(waiting, 'row')} ({_bytes(size)}) not shipped yet, the oldest for {since}"
    is_late = size > 0 and oldest > _LATE_SECONDS
    late = ": run `setpoint tick`" if is_late else ""
    found.check(f"{model}: spool", f"{lag}{late}" if size else "nothing waits", is_bad=is_late)
    found.note(model, unshipped_rows=waiting, unshipped_bytes=size, unshipped_torn_lines=torn, lag_seconds=oldest)


def _loop(found: _Examination) -> None:
    """Look at when the loop last ran, by this machine's clock."""
    heartbeat = last_heartbeat(found.layout)
    if heartbeat is None:
        found.check("loop", "it never ran: run `setpoint run`, or `setpoint tick` from cron")
        return
    lag = time.time() - heartbeat.ticked_at
    took = f"it took {heartbeat.took_seconds:.1f} s"
    is_late = lag > _LOOP_LATE_SECONDS
    late = ": is `setpoint run`, or cron, still there?" if is_late else ""
    found.check("loop", f"last tick {duration_text(round(lag * MICROS))} ago, {took}{late}", is_bad=is_late)
    for model, failing in heartbeat.failing.items():
        found.check(f"{model}: checks", f"cannot be looked at: {failing.said}", is_bad=True)
    found.note("", loop_lag_seconds=lag, tick_seconds=heartbeat.took_seconds, failing_models=len(heartbeat.failing))


def _route(found: _Examination, model: str) -> None:
    if why := fault(found.layout, model):
        found.check(f"{model}: route", f"{why}: run `setpoint apply`", is_bad=True)
    if why := unfollowed(found.layout, model):
        found.check(f"{model}: services", why, is_bad=True)


def _is_torn(segment: Segment) -> bool:
    """Whether a crash cut the last line short: no living process writes on."""
    with Path(segment.uri).open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n" and segment.is_sealed()


def _quarantine(found: _Examination, model: str) -> None:
    with Snapshot(found.layout, model, tables=("quarantine",)) as snapshot:
        aside = cast(
            "list[tuple[str, str, int]]",
            rows(
                snapshot.connection,
                "SELECT source_table, reason, count(*) FROM quarantine GROUP BY ALL ORDER BY 3 DESC, 1, 2",
            ),
        )
    total = sum(count for _, _, count in aside)
    torn = sum(count for _, reason, count in aside if reason == _TORN)
    said = [f"{count:,} {table}: {reason}" for table, reason, count in aside[:_SHOWN_REASONS]]
    if len(aside) > _SHOWN_REASONS:
        said.append(f"{len(aside) - _SHOWN_REASONS:,} more reasons: see --json")
    words = f"{counted(total, 'row')} put aside, {torn:,} of them torn lines"
    found.check(f"{model}: quarantine", ". ".join([words, *(["; ".join(said)] if said else [])]), is_bad=total > 0)
    found.note(model, quarantined_rows=total, torn_lines=torn)
    found.reasons += [(model, *row) for row in aside]


def _drops(found: _Examination, model: str) -> None:
    with Snapshot(found.layout, model, tables=("tallies",)) as snapshot:
        sums = "SELECT coalesce(sum(dropped), 0)::BIGINT, coalesce(sum(failed), 0)::BIGINT FROM tallies"
        dropped, failed = cast("tuple[int, int]", rows(snapshot.connection, sums)[0])
    said = f"{counted(dropped, 'event')} dropped by full queues"
    if failed:
        said += f", {failed:,} could not be recorded: the first error is in the service's log"
    found.check(f"{model}: drops", said, is_bad=dropped + failed > 0)
    found.note(model, dropped_events=dropped, failed_events=failed)


def _summaries(found: _Examination, model: str) -> None:
    with Summaries.reading(found.layout.summaries(model)) as summaries:
        progress = summaries.progress() if summaries is not None else None
    until = (
        "none yet: run `setpoint tick`"
        if progress is None
        else f"hours are closed until {text(progress.closed_until)} UTC"
    )
    found.check(f"{model}: summaries", until)


def _odd_rows(found: _Examination, model: str) -> None:
    """Look for times after the store's clock, and scores and outcomes that are none; say nothing without any."""
    later = at(found.layout.clock.now() + _AHEAD)
    with Snapshot(found.layout, model, tables=("predictions", "outcomes")) as snapshot:
        future, odd = cast(
            "tuple[int, int]",
            rows(
                snapshot.connection,
                f"SELECT count(*) FILTER (predicted_at > {later})"
                f" + (SELECT count(*) FROM outcomes WHERE observed_at > {later}),"
                " count(*) FILTER (score < 0 OR score > 1 OR isnan(score)) FROM predictions",
            )[0],
        )
    if future:
        why = "a machine's clock is ahead, or an import had a wrong zone"
        said = f"{counted(future, 'row')} after the store's clock: {why}"
        found.check(f"{model}: times", said, is_bad=True)
    if odd:
        said = f"{odd:,} scores lie outside 0 to 1 and count in no quality number: record them as predictions"
        found.check(f"{model}: scores", said, is_bad=True)
    unread = _odd_outcomes(found, model)
    if unread:
        words = odd_outcome_words(found.layout.model(model))
        said = f"{unread:,} {words}; until then they count in no quality number"
        found.check(f"{model}: outcomes", said, is_bad=True)
    found.note(model, future_rows=future, odd_scores=odd, odd_outcomes=unread)


def _odd_outcomes(found: _Examination, model: str) -> int:
    declared = found.layout.model(model)
    with Snapshot(found.layout, model, tables=("outcomes",)) as snapshot:
        kinds = rows(snapshot.connection, "SELECT typeof(outcome) FROM outcomes LIMIT 1")
        if not kinds:
            return 0
        is_odd = odd_outcome(cast("str", kinds[0][0]), declared)
        sql = (
            f"SELECT count(*) FROM outcomes WHERE kind = {literal(declared.final_kind)} AND NOT retracted AND {is_odd}"
        )
        return cast("int", rows(snapshot.connection, sql)[0][0])


def _disk(found: _Examination) -> None:
    disk = shutil.disk_usage(found.layout.root)
    used = 0
    for path in found.layout.root.rglob("*"):
        try:
            used += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # another process ships meanwhile
            continue
    said = f"the store takes {_bytes(used)}; {_bytes(disk.free)} free"
    found.check("disk", said, is_bad=disk.free < _TIGHT * disk.total)
    found.note("", store_bytes=used, free_bytes=disk.free)


def _tables(found: _Examination) -> tuple[Table, ...]:
    cells: list[tuple[Cell, ...]] = [(verdict.value, what, said) for verdict, what, said in found.checks]
    lines = [(verdict.value, what, said) for verdict, what, said in found.checks]
    return (
        Table("checks", ("verdict", "what", "found"), cells, ("", "what", "found"), lines),
        Table("figures", ("model", "figure", "value"), [*found.figures]),
        Table("quarantine", ("model", "source_table", "reason", "rows"), [*found.reasons]),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def _bytes(size: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return number(size, "rows") + " bytes"
