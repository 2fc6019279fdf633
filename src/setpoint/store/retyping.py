"""Gives inputs the column type that their declared kind needs, and takes back the rows that fit then.

The first value ever recorded of an undeclared input decides its column's type, and it may have been
a bad one. The order of the steps is what makes a killed run harmless: the next one goes on, and
nothing is lost or doubled.

1. The kept states are void: they were made with the old type.
2. Rows that do not fit are copied to the quarantine, under identifiers that follow from their content.
3. The table is rewritten without them, in one commit. Readers keep the files they have opened.
4. Rows of the quarantine that fit now are committed, but for those that are predictions already.
5. These rows leave the quarantine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import duckdb
import msgspec

from setpoint.core.events import TIMESTAMP, InputValue, Quarantined, column_types
from setpoint.core.model import Model
from setpoint.store.engines.duck import literal, quoted, rows, session
from setpoint.store.fitting import INPUT, fitted_value
from setpoint.store.kinds import Misfit, cast_sql, declared_types, misfit_sql, valued_sql
from setpoint.store.lake import SHIP, LakeTable
from setpoint.store.layout import Layout, writing
from setpoint.store.segment_sql import Columns, select_segments
from setpoint.store.segments import type_of
from setpoint.store.shapes import SPELLED, Shape, scalar
from setpoint.store.shipper import LEASE, ship
from setpoint.store.snapshot import Snapshot
from setpoint.store.summaries import Summaries

_ROWS_AT_ONCE = 10_000
_NEEDED = ("prediction_id", "root_id", "predicted_at", "recorded_at")
_WHOLE_LIMIT = 1 << 63
_WORDS = {"DOUBLE": "a number", "BIGINT": "a whole number", "VARCHAR": "text", "BOOLEAN": "true or false"}


@dataclass(frozen=True, slots=True)
class Retyping:
    """What a declaration makes of the rows of one input.

    Attributes:
        name: The input.
        before: Its column type in the store.
        after: Its column type as declared; the same when only rows come back.
        declared: The word in the declaration that asks for it.
        values: Rows with a value.
        misfits: Those of them that go to the quarantine.
        returning: Rows of the quarantine that come back.
    """

    name: str
    before: str
    after: str
    declared: str
    values: int
    misfits: int
    returning: int

    @property
    def changes_type(self) -> bool:
        """Whether the column gets another type."""
        return self.before != self.after

    @property
    def text(self) -> str:
        """What happens, in one line."""
        parts: list[str] = []
        if self.changes_type and self.values:
            aside = f", {self.misfits:,} {'goes' if self.misfits == 1 else 'go'} to quarantine" if self.misfits else ""
            parts.append(f"{self.values - self.misfits:,} of {self.values:,} values fit{aside}")
        if self.returning:
            parts.append(
                f"{self.returning:,} {'row comes' if self.returning == 1 else 'rows come'} back from quarantine"
            )
        known = f"{_WORDS[self.before]} in the store and " if self.changes_type else ""
        return f"{self.name} is {known}declared {self.declared}: {'; '.join(parts) or 'no row has a value'}"


def survey(layout: Layout, model: Model) -> tuple[Retyping, ...]:
    """Return what `retype` would do, input by input; nothing is changed.

    Args:
        layout: The store.
        model: The declaration, in force or to be.
    """
    declared = declared_types(model)
    if not declared:
        return ()
    with Snapshot(layout, model.name, tables=("predictions", "quarantine")) as snapshot:
        have = {name: column.kind for name, column in snapshot.columns.items()}
        differing = {name: kind for name, kind in have.items() if declared.get(name, kind) != kind}
        counts = _counts(snapshot.connection, differing, declared)
        table = _Table(LakeTable(layout.lake(model.name, "predictions")), {**have, **declared}, model)
        returning = dict.fromkeys(declared, 0)
        for name, _, _ in table.returning(snapshot.connection, "quarantine"):
            returning[name] += 1
    return tuple(
        Retyping(name, differing.get(name, kind), kind, _word(model, name), *counts.get(name, (0, 0)), returning[name])
        for name, kind in declared.items()
        if name in differing or returning[name]
    )


def _counts(
    connection: duckdb.DuckDBPyConnection, differing: Mapping[str, str], declared: Mapping[str, str]
) -> dict[str, tuple[int, int]]:
    """Return how many values inputs have, and how many of them do not fit."""
    if not differing:
        return {}
    picked = ", ".join(
        f"count(*) FILTER {valued_sql(_input(name), kind)},"
        f" count(*) FILTER {misfit_sql(_input(name), kind, declared[name])}"
        for name, kind in differing.items()
    )
    found = cast("tuple[int, ...]", rows(connection, f"SELECT {picked} FROM predictions")[0])
    return dict(zip(differing, zip(found[::2], found[1::2], strict=True), strict=True))


def _word(model: Model, name: str) -> str:
    feature = model.feature(name)
    if feature is None:
        return ""
    return feature.kind or "" if feature.policy == "keep" else feature.policy


def retype(layout: Layout, model: Model) -> None:
    """Give the columns of a model's inputs their declared types and take back the rows that fit; ships first.

    The caller holds the loop's lease: a refresh meanwhile would keep states with the old types.

    Args:
        layout: The store.
        model: The declaration, in force or to be.

    Raises:
        StoreBusy: Another process ships.
        StoreReadOnly: The store cannot be written.
    """
    for _ in steps(layout, model):
        pass


def steps(layout: Layout, model: Model) -> Generator[str]:
    """Do what `retype` does and yield after each step what was done: a run may end there and lose nothing."""
    ship(layout)
    yield "shipped"
    with layout.lease(LEASE), writing(layout.root), closing(session()) as connection, TemporaryDirectory() as folder:
        lake = LakeTable(layout.lake(model.name, "predictions"))
        declared = declared_types(model)
        differing = {name: kind for name, kind in lake.inputs.items() if declared.get(name, kind) != kind}
        if differing:
            _void_states(layout, model)
            yield "states void"
            source = _source(lake)
            misfit = " OR ".join(misfit_sql(_input(n), kind, declared[n]) for n, kind in differing.items())
            found = _misfits(connection, lake, f"{source} WHERE {misfit}", {n: declared[n] for n in differing})
            _put_aside(connection, layout, model, found, Path(folder))
            yield "misfits put aside"
            struct = _retyped(lake, declared)
            lake.rewrite(connection.sql(f"SELECT * REPLACE ({struct} AS inputs) FROM {source} WHERE NOT ({misfit})"))
            yield "rewritten"
        if declared:
            yield from _bring_back(connection, layout, model, Path(folder))


def _void_states(layout: Layout, model: Model) -> None:
    """Make the next refresh compute every state anew; what is known of days let go stays noted."""
    with Summaries.amending(layout.summaries(model.name)) as kept:
        if kept is not None:
            kept[1].basis = ""


def _retyped(lake: LakeTable, declared: Mapping[str, str]) -> str:
    """Return SQL of the inputs with their declared types."""
    told = {
        name: cast_sql(_input(name), kind, declared[name]) if declared.get(name, kind) != kind else _input(name)
        for name, kind in lake.inputs.items()
    }
    members = ", ".join(f"{quoted(name)} := {sql}" for name, sql in told.items())
    return f"CASE WHEN inputs IS NOT NULL THEN struct_pack({members}) END"


def _misfits(
    connection: duckdb.DuckDBPyConnection, lake: LakeTable, source: str, wanted: Mapping[str, str]
) -> Iterator[tuple[bytes, str]]:
    """Yield rows that do not fit as the events that were recorded, each with the reason."""
    names = list(lake.columns)
    picked = ", ".join(f"epoch_us({quoted(n)})" if lake.columns[n] == TIMESTAMP else quoted(n) for n in names)
    cursor = connection.execute(f"SELECT {picked}, inputs FROM {source}")
    while chunk := cast("list[tuple[object, ...]]", cursor.fetchmany(_ROWS_AT_ONCE)):
        for *values, struct in chunk:
            inputs = _without_nulls(cast("dict[str, object]", struct))
            event = {**_without_nulls(dict(zip(names, values, strict=True))), "inputs": inputs}
            yield msgspec.json.encode(event), _reason(inputs, wanted)


def _without_nulls(values: Mapping[str, object]) -> dict[str, InputValue]:
    return {name: scalar(value) for name, value in values.items() if value is not None}


def _reason(inputs: Mapping[str, InputValue], wanted: Mapping[str, str]) -> str:
    try:
        for name, kind in wanted.items():
            fitted_value(name, kind, inputs.get(name))
    except Misfit as error:
        return str(error)
    return ""


def _put_aside(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    model: Model,
    found: Iterator[tuple[bytes, str]],
    folder: Path,
) -> None:
    """Copy rows to the quarantine, but for those that a killed run has copied already."""
    path = folder / "aside.ndjson"
    now = layout.clock.now()
    with path.open("wb") as file:
        for raw, reason in found:
            name = hashlib.blake2b(raw, digest_size=15).hexdigest()
            aside = Quarantined(
                quarantine_id=name, source_table="predictions", recorded_at=now, reason=reason, raw=raw.decode()
            )
            file.write(msgspec.json.encode(aside) + b"\n")
    lake = LakeTable(layout.lake(model.name, "quarantine"))
    there = _source(lake)
    known = f" WHERE quarantine_id NOT IN (SELECT quarantine_id FROM {there})" if there else ""
    columns = Columns({**column_types("quarantine"), **lake.columns}, {})
    _append(connection, lake, f"SELECT * FROM ({select_segments('quarantine', [str(path)], columns)}){known}")


def _bring_back(connection: duckdb.DuckDBPyConnection, layout: Layout, model: Model, folder: Path) -> Generator[str]:
    """Move the rows of the quarantine that fit now to the predictions."""
    quarantine = LakeTable(layout.lake(model.name, "quarantine"))
    aside = _source(quarantine)
    if not aside:
        return
    lake = LakeTable(layout.lake(model.name, "predictions"))
    table = _Table(lake, lake.inputs, model)
    path = folder / "back.ndjson"
    names: list[str] = []
    with path.open("wb") as file:
        for _, name, line in table.returning(connection, aside):
            names.append(name)
            file.write(line + b"\n")
    if not names:
        return
    back = f"({select_segments('predictions', [str(path)], table.columns)}) AS back"
    there = _source(lake)
    # A run that was killed may have committed them: a row is the same when identifier, time and inputs are.
    same = " AND ".join(
        ["there.prediction_id = back.prediction_id", "there.recorded_at = back.recorded_at"]
        + [f"there.inputs.{quoted(name)} IS NOT DISTINCT FROM back.inputs.{quoted(name)}" for name in lake.inputs]
    )
    _append(connection, lake, f"SELECT back.* FROM {back}{f' ANTI JOIN {there} AS there ON {same}' if there else ''}")
    yield "taken back"
    connection.execute("CREATE OR REPLACE TEMP TABLE gone AS SELECT unnest($1) AS quarantine_id", [names])
    days = rows(connection, f"SELECT DISTINCT CAST(day AS VARCHAR) FROM {aside} WHERE quarantine_id IN (FROM gone)")
    touched = [cast("str", day) for (day,) in days]
    listed = ", ".join(literal(day) for day in touched)
    quarantine.replace_days(
        connection.sql(
            f"SELECT * FROM {aside} WHERE CAST(day AS VARCHAR) IN ({listed}) AND quarantine_id NOT IN (FROM gone)"
        ),
        touched,
    )
    yield "let go by the quarantine"


class _Table:
    """The columns of the predictions: what decides whether a row of the quarantine fits now.

    Inputs that no row of the table has had join it with the first row that comes back.
    """

    def __init__(self, lake: LakeTable, inputs: Mapping[str, str], model: Model) -> None:
        self._fixed = {**column_types("predictions"), **lake.columns}
        self._inputs = dict(inputs)
        self._declared = declared_types(model)
        self._dropped = {feature.name for feature in model.features if feature.policy == "drop"}
        if "prediction" not in lake.columns:
            del self._fixed["prediction"]  # the first row decides its type

    @property
    def columns(self) -> Columns:
        """The columns, with those of the rows that came back so far."""
        return Columns({**column_types("predictions"), **self._fixed}, self._inputs)

    def returning(self, connection: duckdb.DuckDBPyConnection, source: str) -> Iterator[tuple[str, str, bytes]]:
        """Yield the rows of a quarantine that were put aside for a declared input and fit now.

        Yields:
            The input, the row's name in the quarantine, and the line of a segment that it is.
        """
        names = sorted(self._declared, key=len, reverse=True)  # an input may be called `a is b`
        blamed = " ".join(
            f"WHEN starts_with(reason, {literal(f'{INPUT}{name} is ')}) THEN {n}" for n, name in enumerate(names)
        )
        cursor = connection.execute(
            f"SELECT CASE {blamed} END AS blamed, quarantine_id, raw FROM {source}"
            " WHERE source_table = 'predictions' AND blamed IS NOT NULL ORDER BY recorded_at, quarantine_id"
        )
        while chunk := cast("list[tuple[int, str, str]]", cursor.fetchmany(_ROWS_AT_ONCE)):
            for place, name, raw in chunk:
                line = self._line(raw)
                if line is not None:
                    yield names[place], name, line

    def _line(self, raw: str) -> bytes | None:
        """Return a row that fits as a line; None for one with any fault, or that is no event."""
        try:
            row = msgspec.json.decode(raw, type=dict[str, object])
            inputs = msgspec.convert(row.pop("inputs", None) or {}, dict[str, object])
        except msgspec.MsgspecError:
            return None
        told = {n: v for n, v in inputs.items() if v is not None and n not in self._dropped}
        new = {n: self._declared.get(n) or type_of(v) for n, v in told.items() if n not in self._inputs}
        types = {**self._inputs, **new}
        fixed = {"prediction": _answer_type(row.get("prediction")), **self._fixed}
        if any(row.get(name) is None for name in _NEEDED) or (new and Shape(types).fault):
            return None
        if not all(value is None or _stands(value, fixed.get(name)) for name, value in row.items()):
            return None
        try:
            row["inputs"] = {name: self._fitted(name, types[name], value) for name, value in told.items()}
        except Misfit:
            return None
        self._inputs.update({name: kind for name, kind in new.items() if kind is not None})
        self._fixed.update({name: kind for name, kind in fixed.items() if kind is not None})
        return msgspec.json.encode(row)

    def _fitted(self, name: str, kind: str | None, value: object) -> InputValue:
        if name in self._declared and kind is not None:
            return fitted_value(name, kind, value)
        if not _stands(value, kind):
            raise Misfit
        return cast("InputValue", value)


def _answer_type(value: object) -> str | None:
    kind = type_of(value)
    return "DOUBLE" if kind == "BOOLEAN" else kind


def _stands(value: object, kind: str | None) -> bool:
    """Return whether a value of a line can be read as a column of some type as it is."""
    match kind:
        case "DOUBLE":
            return isinstance(value, int | float) or (isinstance(value, str) and value in SPELLED)
        case "BOOLEAN":
            return isinstance(value, bool)
        case "BIGINT" | "TIMESTAMP WITH TIME ZONE":
            return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _WHOLE_LIMIT
        case _:
            return kind == "VARCHAR" and isinstance(value, str)


def _append(connection: duckdb.DuckDBPyConnection, lake: LakeTable, select: str) -> None:
    connection.execute(f"CREATE OR REPLACE TEMP TABLE shipment AS {lake.shipment(select)}")
    if rows(connection, "SELECT 1 FROM shipment LIMIT 1"):
        lake.append(connection.table("shipment"), {})
    connection.execute("DROP TABLE shipment")


def _source(lake: LakeTable) -> str:
    """Return the rows of a table with their day as SQL, also of one that has no more; empty for one never made."""
    files = ", ".join(literal(file) for file in lake.files())
    if files or lake.delta is None:
        return f"read_parquet([{files}], union_by_name=true, hive_partitioning=true)" if files else ""
    members = ", ".join(f"{quoted(name)} {kind}" for name, kind in lake.inputs.items())
    types = {**lake.columns, **({"inputs": f"STRUCT({members})"} if members else {}), "day": "DATE", SHIP: "BIGINT"}
    return f"(SELECT {', '.join(f'NULL::{kind} AS {quoted(name)}' for name, kind in types.items())} WHERE false)"


def _input(name: str) -> str:
    return f"inputs.{quoted(name)}"
