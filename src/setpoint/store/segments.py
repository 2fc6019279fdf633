"""One spool file: a typed header, then one JSON line an event.

A segment belongs to one process and one table. Its writer holds the file's lock for as long as it
appends; a segment without a lock holder is sealed, whether it was rotated, closed or its writer
was killed. It appears under its name only once it is locked, so a reader never meets it half made.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from setpoint.core.events import DECIDED_BY_DATA, column_types
from setpoint.store.layout import FORMAT, locked
from setpoint.store.shapes import SPELLED, Types, column_type


class Header(msgspec.Struct, omit_defaults=True):
    """The first line of a segment: who wrote it and what its columns are."""

    setpoint_format: int
    model: str
    table: str
    process: str
    sequence: int
    columns: dict[str, str]
    inputs: dict[str, str]


@dataclass(frozen=True, slots=True)
class SegmentName:
    """What a segment's file name says."""

    process: str
    sequence: int

    @property
    def file(self) -> str:
        """The file name."""
        return f"{self.process}.{self.sequence:08d}.ndjson"

    @classmethod
    def of(cls, path: Path) -> SegmentName | None:
        """Read a file name; None when it is no segment's."""
        process, _, rest = path.name.rpartition(".ndjson")[0].rpartition(".")
        return cls(process, int(rest)) if process and rest.isdigit() else None


class SegmentWriter:
    """Appends to one segment. Not thread-safe: one writer thread owns it."""

    def __init__(self, folder: Path, header: Header, opened_at: float) -> None:
        self.header = header
        self.opened_at = opened_at
        self.size = 0
        self.is_dirty = False
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / SegmentName(header.process, header.sequence).file
        draft = folder / f".{self.path.name}"
        self._descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            locked(self._descriptor)
            self.append(msgspec.json.encode(header) + b"\n")
            draft.rename(self.path)
            _sync_folder(folder)
        except OSError:
            os.close(self._descriptor)
            draft.unlink(missing_ok=True)
            raise

    def append(self, lines: bytes) -> None:
        """Append whole lines, or nothing.

        Raises:
            OSError: Nothing was appended; a full disk, for one.
        """
        view = memoryview(lines)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(lines)
        self.is_dirty = True

    def sync(self) -> None:
        """Return when all that was appended is on the disk."""
        if self.is_dirty:
            os.fdatasync(self._descriptor)
            self.is_dirty = False

    def close(self) -> None:
        """Sync and let go of the lock, of which a child that was just forked may have a copy: the segment is sealed."""
        self.sync()
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self.abandon()

    def abandon(self) -> None:
        """Close a forked child's copy; the parent keeps the lock."""
        # Forgotten first: whoever is forked here must not close by its number what it has opened since.
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Segment:
    """A segment opened for reading: it stays readable after it was deleted."""

    def __init__(self, path: Path, name: SegmentName) -> None:
        self.path = path
        self.name = name
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    @property
    def uri(self) -> str:
        """A path that reaches the open file even when its name is gone."""
        return f"/proc/self/fd/{self._descriptor}" if _HAS_PROC else str(self.path)

    @property
    def size(self) -> int:
        """Bytes in the file now."""
        return os.fstat(self._descriptor).st_size

    @property
    def modified_at(self) -> float:
        """When it was last appended to, seconds since 1970."""
        return os.fstat(self._descriptor).st_mtime

    def is_sealed(self) -> bool:
        """Return whether no living writer holds it."""
        if not locked(self._descriptor):
            return False
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return True

    def header(self) -> Header | None:
        """Return the header; None when the first line is damaged."""
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            try:
                return msgspec.json.decode(file.readline(), type=Header)
            except msgspec.MsgspecError:
                return None

    def line_count(self) -> int:
        """Return the number of lines, a torn one too."""
        count, last = 0, b"\n"
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            while part := file.read(1 << 20):
                count += part.count(b"\n")
                last = part[-1:]
        return count + (last != b"\n")

    def columns(self) -> Header:
        """Return the header, or what the lines say when it is damaged: their rows must not lose their inputs."""
        found = self.header()
        if found is not None:
            return found
        types: Types = {}
        inputs: Types = {}
        for line in self.lines():
            try:
                row = msgspec.json.decode(line, type=_Row)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
            for name, value in (("prediction", row.prediction), ("outcome", row.outcome)):
                types[name] = types.get(name) or type_of(value)
            for name, value in row.inputs.items():
                inputs[name] = inputs.get(name) or type_of(value)
        return new_header("", self.path.parent.name, self.name.process, self.name.sequence, types, inputs)

    def lines(self) -> list[bytes]:
        """Return every line, the header's and a torn one too."""
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            return file.read().splitlines(keepends=True)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


class _Row(msgspec.Struct):
    prediction: object = None
    outcome: object = None
    inputs: dict[str, object] = {}


def type_of(value: object) -> str | None:
    """Return the column type of a value in a line; None for null."""
    return "DOUBLE" if isinstance(value, str) and value in SPELLED else column_type(type(value))


def open_segments(folder: Path) -> list[Segment]:
    """Open all segments of a table, oldest first.

    One that is deleted between listing and opening is left out: it was committed before, so a lake
    snapshot taken after this call has it.
    """
    found: list[Segment] = []
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return found
    for path in paths:
        name = None if path.name.startswith(".") else SegmentName.of(path)
        if name is None:
            continue
        try:
            found.append(Segment(path, name))
        except FileNotFoundError:
            continue
    return found


def new_header(model: str, table: str, process: str, sequence: int, types: Types, inputs: Types) -> Header:
    """Return the header of a new segment; a column of unknown type is left out until it is known.

    Args:
        model: The model.
        table: The table.
        process: The writing process.
        sequence: Counts this process's segments of this table.
        types: Types of the columns that depend on the task: `prediction` or `outcome`.
        inputs: Types of the features.
    """
    columns = {name: kind for name, kind in column_types(table).items() if name not in DECIDED_BY_DATA}
    columns |= {name: kind for name, kind in types.items() if kind is not None}
    known = {name: kind for name, kind in inputs.items() if kind is not None}
    return Header(FORMAT, model, table, process, sequence, columns, known)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_HAS_PROC = Path("/proc/self/fd").is_dir()
