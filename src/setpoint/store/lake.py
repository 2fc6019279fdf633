"""One table of the lake: append-only Delta, partitioned by UTC day, one commit a shipment.

Every row carries `ship`, the number of the commit that brought it. So "what is new since" is a
filter, whatever compaction did to the files in between.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import duckdb
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from setpoint.core.errors import StoreError
from setpoint.core.events import PARTITIONED_BY, TIMESTAMP

SHIP = "ship"
# Every so many commits files are merged, up to so many times the size of eight commits: were all of a day's
# rows written anew every eight commits, a day of ten-second commits would write them five hundred times.
_COMPACT_EVERY = 8
_LEVELS = {1024: math.inf, 64: 64.0, 8: 8.0}
_LARGE_BYTES = 100 << 20  # what deltalake leaves alone by default
_VACUUM_EVERY = 64
# A reader that has just opened its snapshot needs the files a little longer.
READER_HOURS = 1
_SQL_OF_DELTA = {
    "string": "VARCHAR",
    "double": "DOUBLE",
    "float": "DOUBLE",
    "long": "BIGINT",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "timestamp": TIMESTAMP,
    "date": "DATE",
}
# Segments are deleted soon after their commit: a week of transaction ids is ample to tell doubles.
_CONFIGURATION: dict[str, str | None] = {
    "delta.setTransactionRetentionDuration": "interval 7 days",
    "delta.logRetentionDuration": "interval 7 days",
    "delta.checkpointInterval": "16",  # opening a table replays the log since the last one
    # Keys and texts must not be copied into the log's statistics, where erasing them is hard.
    "delta.dataSkippingStatsColumns": "recorded_at,ship",
}


def last_version(path: Path) -> int | None:
    """Return the number of a table's last commit, without opening it; None without one that is in the log."""
    try:
        names = os.listdir(path / "_delta_log")  # noqa: PTH208 - of hundreds, names are all that is needed
    except FileNotFoundError:
        return None
    return max((int(name[:20]) for name in names if name.endswith(".json") and name[:20].isdigit()), default=None)


class LakeTable:
    """A snapshot of one Delta table, which need not exist yet.

    Attributes:
        columns: SQL type of each column but `inputs`, `day` and `ship`; empty for a new table.
        inputs: SQL type of each feature.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A URI, since deltalake reads %41 in a plain path as an A; quoted, so that any folder name will do.
        self.uri = path.absolute().as_uri()
        self._shipped: dict[str, int] = {}  # asking the snapshot takes milliseconds
        try:
            self.delta: DeltaTable | None = DeltaTable(self.uri)
        except TableNotFoundError:
            self.delta = None
        except DeltaError as error:
            msg = f"{path} is damaged: {str(error).splitlines()[0]}"
            raise StoreError(msg, hint="restore its folder from a backup") from error
        self.columns, self.inputs = ({}, {}) if self.delta is None else _types(self.delta)

    @property
    def version(self) -> int | None:
        """Number of its last commit of any kind; None before the first."""
        return None if self.delta is None else self.delta.version()

    @property
    def ship(self) -> int:
        """The number of the last shipment; 0 before the first."""
        return self.shipped(SHIP)

    def shipped(self, application: str) -> int:
        """Return the last sequence of a writer that is in this snapshot; 0 for none."""
        known = self._shipped.get(application)
        if known is None:
            known = (self.delta.transaction_version(application) if self.delta else None) or 0
            self._shipped[application] = known
        return known

    def files(self, first_day: str = "", last_day: str = "") -> list[str]:
        """Return the Parquet files of the snapshot, of the days in between only when given (ISO)."""
        if self.delta is None:
            return []
        paths = [_path_of(uri) for uri in self.delta.file_uris()]
        return [path for path in paths if first_day <= _day_of(path) <= (last_day or "9999")]

    def files_since(self, ship: int | None, first_day: str) -> list[str]:
        """Return the files of a day (ISO) and later, and those that a shipment after one is in; None leaves these out.

        A file whose largest `ship` the log does not tell is one of them.
        """
        if self.delta is None:
            return []
        actions = self.delta.get_add_actions(flatten=True)
        told = {name: cast("Any", actions.column(name)).to_pylist() for name in actions.column_names}
        paths = cast("list[str]", told["path"])
        ships = cast("list[int | None]", told.get("max.ship") or [None] * len(paths))
        return [
            str(self.path.absolute() / unquote(path))
            for path, last in zip(paths, ships, strict=True)
            if _day_of(path) >= first_day or (ship is not None and (last is None or last > ship))
        ]

    def shipment(self, select: str) -> str:
        """Return SQL of the rows of a query with the `day` and the `ship` that the next commit gives them."""
        day = f"CAST({PARTITIONED_BY[self.path.name]} AS DATE) AS day"
        return f"SELECT *, {day}, CAST({self.ship + 1} AS BIGINT) AS {SHIP} FROM ({select})"

    def append(self, rows: duckdb.DuckDBPyRelation, sequences: dict[str, int]) -> None:
        """Commit rows, once: the transaction ids of their writers go into the same commit.

        Args:
            rows: A relation with the table's columns, `day` and `ship`.
            sequences: Last sequence of each writer that these rows complete.
        """
        transactions = [Transaction(name, version) for name, version in sequences.items()]
        write_deltalake(
            self.delta or self.uri,  # the open table replays only what came since; opening it replays all
            rows,
            mode="append",
            schema_mode="merge",
            partition_by=["day"],
            configuration=_CONFIGURATION if self.delta is None else None,
            commit_properties=CommitProperties(app_transactions=[Transaction(SHIP, self.ship + 1), *transactions]),
        )
        self._shipped.clear()

    def replace_days(self, rows: duckdb.DuckDBPyRelation, days: Sequence[str]) -> None:
        """Put rows in the place of whole days, in one commit.

        Args:
            rows: What these days hold from now on, with the table's columns.
            days: The days, ISO.
        """
        listed = ", ".join(f"DATE '{day}'" for day in days)  # deltalake 1.6.0 compares no date with a text
        write_deltalake(self.uri, rows, mode="overwrite", predicate=f"day IN ({listed})", schema_mode="merge")

    def rewrite(self, rows: duckdb.DuckDBPyRelation) -> None:
        """Put rows in the place of the whole table, whatever their types are, in one commit.

        The files before stay for readers until a vacuum; the configuration and the transaction ids stay.

        Args:
            rows: A relation with the table's columns, `day` and `ship`.
        """
        write_deltalake(self.uri, rows, mode="overwrite", schema_mode="overwrite", partition_by=["day"])

    def drop_days(self, before: str) -> int:
        """Forget all days before one (ISO); return how many files that were."""
        if self.delta is None:
            return 0
        gone = sum(_day_of(uri) < before for uri in self.delta.file_uris())
        if gone:
            self.delta.delete(f"day < DATE '{before}'")
        return gone

    def vacuum(self, retention_hours: int) -> int:
        """Delete files that no snapshot of the last hours needs; return how many."""
        table = DeltaTable(self.uri)
        return len(table.vacuum(retention_hours, dry_run=False, enforce_retention_duration=False))

    def day_sizes(self) -> dict[str, int]:
        """Return the bytes of each day, oldest first."""
        if self.delta is None:
            return {}
        sizes: dict[str, int] = {}
        for uri in self.delta.file_uris():
            path = _path_of(uri)
            day = _day_of(path)
            sizes[day] = sizes.get(day, 0) + Path(path).stat().st_size
        return dict(sorted(sizes.items()))

    def compact_when_due(self) -> bool:
        """Merge a day's small files when enough commits have come since the last time."""
        table = self.delta or DeltaTable(self.uri)
        commit = table.version() + 1
        if commit % _COMPACT_EVERY:
            return False
        level = next(times for every, times in _LEVELS.items() if commit % every == 0)
        sizes = sorted(Path(_path_of(uri)).stat().st_size for uri in table.file_uris())
        self.compact(table, up_to_bytes=min(level * sum(sizes[:_COMPACT_EVERY]), _LARGE_BYTES))
        if commit % _VACUUM_EVERY == 0:
            self.vacuum(READER_HOURS)
        return True

    def compact(self, table: DeltaTable | None = None, *, up_to_bytes: float = _LARGE_BYTES) -> None:
        """Merge the small files of every day and write a checkpoint.

        Args:
            table: The table, when it is open.
            up_to_bytes: Larger files are left alone.
        """
        table = table or DeltaTable(self.uri)
        table.optimize.compact(target_size=int(up_to_bytes))
        table.create_checkpoint()


def _path_of(uri: str) -> str:
    """Return the path that a local file's URI stands for."""
    return unquote(uri.removeprefix("file://"))


def _day_of(uri: str) -> str:
    return next((part[4:] for part in reversed(uri.split("/")) if part.startswith("day=")), "")


def _types(table: DeltaTable) -> tuple[dict[str, str], dict[str, str]]:
    schema = cast("dict[str, list[dict[str, object]]]", json.loads(table.schema().to_json()))
    columns: dict[str, str] = {}
    inputs: dict[str, str] = {}
    for field in schema["fields"]:
        name = cast("str", field["name"])
        if name == "inputs":
            struct = cast("dict[str, list[dict[str, str]]]", field["type"])
            inputs = {inner["name"]: _SQL_OF_DELTA[inner["type"]] for inner in struct["fields"]}
        elif name not in {"day", SHIP}:
            columns[name] = _sql_type(field["type"])
    return columns, inputs


def _sql_type(delta_type: object) -> str:
    if isinstance(delta_type, str):
        return _SQL_OF_DELTA[delta_type]
    entries = cast("dict[str, str]", delta_type)
    if entries["type"] == "array":
        return f"{_SQL_OF_DELTA[entries['elementType']]}[]"
    return f"MAP({_SQL_OF_DELTA[entries['keyType']]}, {_SQL_OF_DELTA[entries['valueType']]})"
