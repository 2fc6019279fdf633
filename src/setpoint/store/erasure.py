"""Erases all that was recorded of a key or a unit, from spool, lake and summaries, and proves it."""

from __future__ import annotations

import mmap
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from setpoint.core.errors import StoreBusy, StoreError
from setpoint.core.model import Model
from setpoint.store.arrivals import ARRIVALS
from setpoint.store.engines.duck import literal, rows, session
from setpoint.store.evidence import bucket_seconds
from setpoint.store.exposure import EXPOSURE
from setpoint.store.first_sight import buckets_of_units, forget_sight, tells_new
from setpoint.store.lake import LakeTable
from setpoint.store.layout import Layout
from setpoint.store.measures import OTHER, PROFILE
from setpoint.store.money import MONEY
from setpoint.store.primitives import bucket, printed
from setpoint.store.quality_kinds import quality_kind
from setpoint.store.refresh import refresh
from setpoint.store.shipper import LEASE, ship
from setpoint.store.snapshot import Snapshot
from setpoint.store.summaries import Categorical, Summaries

_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased: rows a table."""

    rows: dict[str, int]

    @property
    def total(self) -> int:
        """All rows erased."""
        return sum(self.rows.values())


def forget(layout: Layout, model: Model, *, key: str = "", unit: str = "") -> Erased:
    """Erase every prediction of a key or unit with its calls and outcomes.

    Rewrites the days that hold any, deletes the old files at once (readers in the middle of a query
    may have to ask again), recomputes the hours and then searches every byte of the store.

    Args:
        layout: The store.
        model: The declaration.
        key: The join key to forget; or give `unit`.
        unit: The unit to forget.

    Raises:
        StoreBusy: A recorder still holds events of it in an open segment.
        StoreError: The text is still found somewhere in the store.
    """
    text = key or unit
    _wait_until_shipped(layout, model.name, text)
    with layout.lease(LEASE):
        erased, buckets = _rewrite(layout, model, "key" if key else "unit", text)
        _mark(layout, model, buckets, text)
    refresh(layout, model, layout.clock.now())
    Summaries.rewrite(layout.summaries(model.name))
    left = list(traces(layout.root, text, model.name))
    if left:
        msg = f"{text!r} is still found in {', '.join(str(path.relative_to(layout.root)) for path in left[:3])}"
        raise StoreError(
            msg,
            hint="if it is also a feature's value or a cohort's, forget it there too, or drop that feature",
        )
    return Erased(erased)


def traces(root: Path, text: str, model: str) -> Iterator[Path]:
    """Yield every file of a model in which a text stands, byte by byte."""
    wanted = text.encode()
    for folder in (root / "spool" / model, root / "lake" / model, root / "summaries"):
        for path in sorted(folder.rglob("*")):
            if (
                path.is_file()
                and (folder.name != "summaries" or path.name.startswith(f"{model}.db"))
                and _holds(path, wanted)
            ):
                yield path


def _wait_until_shipped(layout: Layout, model: str, text: str) -> None:
    """Ship until all that was spooled before is in the lake; a live recorder seals its segment within seconds.

    Not only what holds the text: an outcome names a prediction, and a child its root, by identifier.
    """
    spooled = list((layout.root / "spool" / model).rglob("*.ndjson"))
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        ship(layout, grace_seconds=-1)
        ship(layout, grace_seconds=-1)  # the second run deletes what the first committed
        found = (layout.root / "spool" / model).rglob("*.ndjson")
        held = [path for path in found if path in spooled or _holds(path, text.encode())]
        if not held:
            return
        if time.monotonic() > deadline:
            msg = f"a recorder still writes {held[0].name}, which may hold {text!r}"
            raise StoreBusy(msg, hint="stop or flush the recorder, then run it again")
        time.sleep(0.25)


def _rewrite(layout: Layout, model: Model, column: str, text: str) -> tuple[dict[str, int], set[int]]:
    """Rewrite the days that hold rows of the text; return rows erased a table, and the hours touched."""
    named = literal(text)
    erased: dict[str, int] = {}
    with Snapshot(layout, model.name) as snapshot:
        connection = snapshot.connection
        connection.execute(
            "CREATE TEMP TABLE gone AS SELECT prediction_id, root_id, key, unit, predicted_at FROM predictions"
            f" WHERE root_id IN (SELECT root_id FROM predictions WHERE {column} = {named})"
            " UNION ALL SELECT prediction_id, prediction_id, key, unit, predicted_at FROM unkept"
            f" WHERE {column} = {named}"
        )
        at = printed(bucket("predicted_at", bucket_seconds(model.timezone)))
        buckets = {cast("int", row[0]) for row in rows(connection, f"SELECT DISTINCT {at} FROM gone")}
        if tells_new(model):  # a unit's later rows may now be its first
            buckets |= buckets_of_units(connection, "SELECT unit FROM gone", bucket_seconds(model.timezone))
        if column == "unit":
            forget_sight(connection, layout, model.name, text)
        connection.execute(
            "CREATE TEMP TABLE gone_keys AS SELECT key FROM gone WHERE key IS NOT NULL EXCEPT"
            " SELECT key FROM (SELECT key, prediction_id FROM predictions UNION ALL"
            " SELECT key, prediction_id FROM unkept) WHERE prediction_id NOT IN (SELECT prediction_id FROM gone)"
        )
        by_key = f"key = {named}" if column == "key" else "(prediction_id IS NULL AND key IN (FROM gone_keys))"
        conditions = {
            "calls": "prediction_id IN (SELECT prediction_id FROM gone)",
            "outcomes": f"(prediction_id IN (SELECT prediction_id FROM gone) OR {by_key})",
            "quarantine": f"regexp_matches(raw, {literal(_as_word(text))})",
            "unkept": f"{column} = {named}",
            # Last: a run that is killed before finds them, and so the rest, again.
            "predictions": "prediction_id IN (SELECT prediction_id FROM gone)",
        }
        for table, condition in conditions.items():
            lake = LakeTable(layout.lake(model.name, table))
            if lake.delta is None:
                continue
            files = ", ".join(literal(file) for file in lake.files())
            source = f"read_parquet([{files}], union_by_name=true, hive_partitioning=true)" if files else ""
            if not source:
                continue
            found = rows(
                connection,
                f"SELECT CAST(day AS VARCHAR), count(*) FROM {source} WHERE {condition} GROUP BY day",
            )
            if found:
                days = [cast("str", row[0]) for row in found]
                listed = ", ".join(literal(day) for day in days)
                lake.replace_days(
                    connection.sql(
                        f"SELECT * FROM {source} WHERE CAST(day AS VARCHAR) IN ({listed}) AND ({condition}) IS NOT TRUE"
                    ),
                    days,
                )
            lake.vacuum(0)  # also what an earlier compaction or collection left behind
            erased[table] = sum(cast("int", row[1]) for row in found)
    return erased, buckets


def _mark(layout: Layout, model: Model, buckets: set[int], text: str) -> None:
    """Declare the touched hours dirty, and take the text out of every state and of what is counted by name."""
    with Summaries.amending(layout.summaries(model.name)) as kept:
        if kept is None:
            return
        summaries, progress = kept
        progress.marked = sorted({*progress.marked, *buckets})
        for how in progress.features.values():
            if isinstance(how, Categorical):
                how.named = tuple(value for value in how.named if value != text)
                how.seen = tuple(value for value in how.seen if value != text)
        for cohort, values in progress.told_apart.items():
            progress.told_apart[cohort] = tuple(value for value in values if value != text)
        for kind in (PROFILE, ARRIVALS, MONEY, EXPOSURE, quality_kind(model)):
            summaries.rename(kind, text, OTHER)


def _holds(path: Path, wanted: bytes) -> bool:
    """Return whether a file holds some bytes as a word of their own."""
    if len(wanted) < _SHORT and path.suffix == ".parquet":
        return _has_value(path, wanted.decode())
    word = re.compile(_as_word(wanted.decode()).encode())
    if len(wanted) < _SHORT and path.suffix in {".json", ".ndjson"}:
        # In quotes, that a row in quarantine escapes: a duration in a log may read 42.
        word = re.compile(re.escape(msgspec.json.encode(wanted.decode())[:-1]) + rb'\\?"')
    if len(wanted) < _SHORT and ".db" in path.name:
        word = re.compile(re.escape(bytes([0xA0 | len(wanted)]) + wanted))  # as MessagePack writes it
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = [one.end() for one in word.finditer(content)]
            is_cut = path.suffix == ".db" and all(_goes_on(content, end - 1) for end in found)
        return bool(found) and (not is_cut or _has_cell(path, word))
    except (FileNotFoundError, ValueError):  # gone, or empty
        return False


def _goes_on(content: mmap.mmap, end: int) -> bool:
    """Return whether a text in SQLite's file may go on elsewhere: `txn-100` may be cut after its fifth or sixth letter.

    A page that a value goes on in is named after the part before it, or at the begin of that page.
    """
    size = int.from_bytes(content[16:18], "big")
    size = 65536 if size == 1 else size
    if end % size == 0 or (end + 1) % size == 0:  # the next page's first byte, or this page's last, ended the word
        return True
    page = int.from_bytes(content[end : end + 4], "big")
    return 1 < page <= len(content) // size


def _has_cell(path: Path, word: re.Pattern[bytes]) -> bool:
    """Return whether a value of a SQLite database holds a word."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        cells = (cell for name in tables for row in connection.execute(f'SELECT * FROM "{name}"') for cell in row)
        return any(word.search(cell if isinstance(cell, bytes) else str(cell).encode()) for cell in cells)


def _as_word(text: str) -> str:
    """Return a pattern that finds `txn-1` and not `txn-10`; before a long text may stand its length, any byte."""
    if len(text) >= _LONG:
        return re.escape(text)
    return f"(?:^|[^A-Za-z0-9_-]){re.escape(text)}(?:[^A-Za-z0-9_-]|$)"


def _has_value(path: Path, text: str) -> bool:
    """Return whether a Parquet file holds a value: a few bytes stand in compressed pages by chance."""
    with closing(session()) as connection:
        found = f"contains(CAST(to_json(r) AS VARCHAR), CAST(to_json({literal(text)}) AS VARCHAR))"
        return bool(rows(connection, f"SELECT 1 FROM read_parquet({literal(str(path))}) AS r WHERE {found} LIMIT 1"))


_SHORT, _LONG = 8, 32
