"""Lines of a file that are no rows: found by their number, so that the others can be read."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

_LINES = (".ndjson", ".jsonl")
_TABLES = (".csv", ".tsv")


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line of a file that is no row: torn by a crash, garbage, or with too few or too many cells.

    Attributes:
        path: The file.
        number: Counts from 1.
        raw: The line itself.
        why: What is the matter, such as `not a JSON object`.
    """

    path: Path
    number: int
    raw: str
    why: str


def broken_lines(path: Path) -> list[BrokenLine]:
    """Return the lines of an NDJSON file that are no JSON object, and of a CSV those with other cells than its header.

    Of other files, and of a CSV of which most lines would be broken, none: then it is the header that is none.
    """
    suffix = path.suffix.lower()
    if suffix in _TABLES:
        return _ragged(path)
    if suffix not in _LINES:
        return []
    found: list[BrokenLine] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip() and not _is_object(line):
                raw = line.decode(errors="replace").rstrip("\r\n")
                found.append(BrokenLine(path, number, raw, "not a JSON object"))
    return found


def is_ragged(path: Path, columns: Collection[str]) -> bool:
    """Return whether DuckDB did not read a CSV by its header, for lines that have too few or too many cells.

    It then takes each line for one cell, or begins below the header, and says nothing.

    Args:
        path: The file.
        columns: The columns that were read, of this and of other files.
    """
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        header = next(csv.reader(file, delimiter=_delimiter(path)), list[str]())
    return len(header) > 1 and not set(columns) & {name.strip() for name in header} and bool(_ragged(path))


def _ragged(path: Path) -> list[BrokenLine]:
    found: list[BrokenLine] = []
    delimiter, width, count, before = _delimiter(path), 0, 0, 0
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        for cells in reader:
            first, before = before + 1, reader.line_num
            width = width or len(cells)
            count += 1
            if cells and len(cells) != width:
                lines = range(first, reader.line_num + 1)  # a cell may hold a line's end
                found += [BrokenLine(path, number, delimiter.join(cells), _RAGGED) for number in lines]
    return found if 2 * len(found) < count else []


_RAGGED = "not of as many cells as the header"


def _delimiter(path: Path) -> str:
    """Return what stands most often in a CSV's first line, of what may stand between cells."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline()
    return max(",;\t|", key=first.count)


def _is_object(line: bytes) -> bool:
    try:
        # As DuckDB, and unlike msgspec, `json` lets NaN pass. One name twice passes neither here nor there.
        return isinstance(json.loads(line, object_pairs_hook=_once), dict)
    except ValueError:
        return False


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        msg = "a name stands twice"
        raise ValueError(msg)
    return found


def without(path: Path, broken: Sequence[BrokenLine], copy: Path) -> Path:
    """Write a copy of a file without its broken lines."""
    numbers = {line.number for line in broken}
    with path.open("rb") as file, copy.open("wb") as clean:
        clean.writelines(line for number, line in enumerate(file, start=1) if number not in numbers)
    return copy
