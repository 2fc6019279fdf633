"""Rows of a segment whose types differ from the table's: they are cast where a declaration says so, else put aside."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from setpoint.core.events import InputValue
from setpoint.store.kinds import Misfit, cast_value
from setpoint.store.segment_sql import Columns, conflicts
from setpoint.store.segments import Header, Segment

INPUT = "inputs."


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that goes to the quarantine."""

    process: str
    line_number: int
    reason: str
    raw: str


def fitting(segment: Segment, header: Header, columns: Columns, folder: Path) -> tuple[str, list[Broken]]:
    """Return a path to the segment's rows that fit the table, and the rows that do not.

    The path is the segment's own when nothing is in conflict. Readers and the shipper both read this, so
    a row that will be put aside is never counted with a null meanwhile.

    Args:
        segment: The segment.
        header: Its header, or what stands in for it.
        columns: The columns of the table.
        folder: Where a copy may be written.
    """
    found = conflicts(header, columns)
    if not found:
        return segment.uri, []
    copy = folder / segment.path.name
    broken: list[Broken] = []
    with copy.open("wb") as file:
        for number, line in enumerate(segment.lines(), start=1):
            try:
                file.write(_fitted(line, found, columns.cast))
            except Misfit as error:
                broken.append(Broken(segment.name.process, number, str(error), line.decode(errors="replace")))
    return str(copy), broken


def _fitted(line: bytes, found: Mapping[str, str], castable: Collection[str]) -> bytes:
    """Return a line with the values of the columns in conflict cast to the table's types.

    Raises:
        Misfit: One does not fit; the message is the reason.
    """
    try:
        row = msgspec.json.decode(line, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return line  # counted with the broken lines
    if "setpoint_format" in row:
        return line
    inputs = cast("dict[str, InputValue]", row.get("inputs") or {})
    is_cast = False
    for column, kind in found.items():
        name = column.removeprefix(INPUT)
        value = inputs.get(name) if column.startswith(INPUT) else row.get(column)
        if value is None:
            continue
        if not column.startswith(INPUT) or name not in castable:
            raise Misfit(misfit_reason(column, kind, value))
        inputs[name] = fitted_value(name, kind, value)
        is_cast = True
    return msgspec.json.encode(row) + b"\n" if is_cast else line


def fitted_value(name: str, kind: str, value: object) -> InputValue:
    """Return an input as a column of some type holds it.

    Raises:
        Misfit: It does not fit; the message is the reason.
    """
    try:
        return cast_value(value, kind)
    except Misfit:
        raise Misfit(misfit_reason(f"{INPUT}{name}", kind, value)) from None


def misfit_reason(column: str, kind: str, value: object) -> str:
    """Return the reason why a row is put aside.

    Example:
        >>> misfit_reason("inputs.amount", "DOUBLE", "a lot")
        "inputs.amount is DOUBLE in the table and this row holds 'a lot'"
    """
    return f"{column} is {kind} in the table and this row holds {value!r}"
