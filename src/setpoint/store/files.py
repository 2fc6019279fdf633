"""The user's own tables as the views that every answer reads: columns are renamed, nothing is copied."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import duckdb

from setpoint.core.errors import ColumnError, EmptyFile, UsageError
from setpoint.core.events import TABLES, column_types
from setpoint.core.reference import ROLES, TABLE_ENDINGS
from setpoint.store.broken_lines import BrokenLine, broken_lines, is_ragged, without
from setpoint.store.cells import MOSTLY, ODD, odd_numbers, tried
from setpoint.store.defining import is_number_type
from setpoint.store.engines.duck import at, cursor, literal, quoted, rows
from setpoint.store.matching import NEVER
from setpoint.store.measures import Column, tallies_of_rows
from setpoint.store.task_sql import columns_of, ranking_sql, scores_sql
from setpoint.store.times import ZONED, time_sql

SECONDS = tuple(role for role in ROLES if role.endswith("_seconds"))
_READERS: dict[str, str] = dict(
    zip(TABLE_ENDINGS, ("read_parquet", "read_csv", "read_csv", "read_json", "read_json", "read_json"), strict=True)
)
# By name: else a column that the first files lack is lost in silence. With a header: else t, alone, is a row of true.
_OPTIONS = {
    "read_parquet": ", union_by_name=true",
    "read_csv": ", header=true, union_by_name=true, sample_size=-1",
    "read_json": ", union_by_name=true, sample_size=-1",
}
FILE = "setpoint.file"
SOURCE = "source"
"""The role of the column that says who told an outcome; there is none in a file of predictions."""


@runtime_checkable
class ArrowTable(Protocol):
    """Any object with the Arrow C stream: polars, pandas, DuckDB, pyarrow."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the stream's capsule."""
        ...


Source = str | Path | ArrowTable | Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Mapped:
    """Which column plays which role.

    Attributes:
        roles: Column by role; a role that is absent has no column.
        inputs: The feature columns.
        scales: Factor that brings a role's column to its unit, such as 0.001 for milliseconds.
        left_out: Columns that play no role: nested ones, and texts that differ in almost every row.
        texts: Inputs that are free text.
    """

    roles: Mapping[str, str]
    inputs: tuple[str, ...]
    scales: Mapping[str, float] = field(default_factory=dict[str, float])
    left_out: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


class _Stream:
    """Hides everything but the stream, so that DuckDB does not ask for pyarrow."""

    def __init__(self, table: ArrowTable) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def load(
    connection: duckdb.DuckDBPyConnection, source: Source, name: str, *, names_files: bool = False
) -> dict[str, str]:
    """Make a source readable under a name and return its column types.

    Args:
        connection: Where to.
        source: Paths, patterns or a table.
        name: The name.
        names_files: Whether each row has its file's path in the column `FILE`; not among the returned.

    Raises:
        UsageError: The file is not there, or its format is not known.
        EmptyFile: It has no rows.
    """
    if isinstance(source, ArrowTable) and not isinstance(source, str | Path):
        _load_object(connection, source, name)
        paths: list[str] = []
    else:
        paths = _paths(source)
        _load_files(connection, paths, name, names_files=names_files)
    try:
        types = _types(connection, quoted(name))
        is_empty = not connection.execute(
            f"SELECT hash(r) FROM {quoted(name)} AS r LIMIT 1"
        ).fetchall()  # reads all columns
    except duckdb.Error as error:
        raise _unreadable(paths, error) from error
    if is_empty:
        msg = f"no rows in {_listed(paths) or 'the table'}"
        raise EmptyFile(msg, hint="check the path and the filter that wrote it")
    return {column: kind for column, kind in types.items() if not (names_files and column == FILE)}


def load_history(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], name: str, folder: Path
) -> tuple[dict[str, str], dict[str, Path], list[BrokenLine]]:
    """Load files that are to be kept: with the column `FILE`, and without their broken lines.

    Args:
        connection: Where to.
        paths: The files.
        name: The name of the view.
        folder: An empty folder, for copies without the broken lines; needed as long as the view is.

    Returns:
        The column types, the file behind each value of `FILE`, and the broken lines.

    Raises:
        UsageError: A file cannot be read for another reason.
        EmptyFile: There are no rows.
    """
    behind = {str(path.absolute()): path for path in paths}
    broken: list[BrokenLine] = []
    try:
        return load(connection, list(behind), name, names_files=True), behind, broken
    except UsageError:
        for n, path in enumerate(paths):
            found = broken_lines(path)
            if found:
                broken += found
                del behind[str(path.absolute())]
                behind[str(without(path, found, folder / f"{n}{path.suffix}"))] = path
        if not broken:
            raise
    return load(connection, list(behind), name, names_files=True), behind, broken


def _paths(source: object) -> list[str]:
    """Return a path or a list of them as texts."""
    listed = list(cast("Sequence[object]", source)) if isinstance(source, list | tuple) else [source]
    if not listed:
        msg = "no file is named"
        raise UsageError(msg, hint=_SOURCES)
    for one in listed:
        if not isinstance(one, str | Path):
            msg = f"cannot read {type(one).__name__}: {one!r:.80}"
            raise UsageError(msg, hint=_SOURCES)
    return [str(one) for one in listed]


_SOURCES = "give a path, a pattern such as 'predictions/*.parquet', a list of paths, or a frame"


def _load_object(connection: duckdb.DuckDBPyConnection, source: ArrowTable, name: str) -> None:
    is_pandas = type(source).__module__.partition(".")[0] == "pandas"
    try:
        connection.register(f"{name}_object", source if is_pandas else _Stream(source))
        types = _types(connection, quoted(f"{name}_object"))
        connection.execute(
            f"CREATE TABLE {quoted(name)} AS SELECT *{_replaced(_as_texts(types))} FROM {quoted(name + '_object')}"
        )
    except duckdb.Error as error:
        if not len(getattr(source, "columns", " ")):
            msg = "no rows in the table: it has no columns"
            raise EmptyFile(msg, hint="check the filter that made it") from error
        msg = f"cannot read the table: {str(error).splitlines()[0]}"
        raise UsageError(msg) from error


def _load_files(connection: duckdb.DuckDBPyConnection, paths: list[str], name: str, *, names_files: bool) -> None:
    for path in paths:
        if not _is_pattern(path) and not Path(path).exists():
            msg = f"no file at {path}"
            raise UsageError(msg, hint="give a path, or a pattern such as 'predictions/*.parquet'")
    suffix = Path(paths[0]).suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None:
        msg = f"cannot read {paths[0]}: unknown file type {suffix or '(none)'}"
        raise UsageError(msg, hint=f"known types: {', '.join(_READERS)}")
    # Without any column DuckDB would make one up, for all files.
    filled = [path for path in paths if _is_pattern(path) or Path(path).stat().st_size] or paths
    listed = ", ".join(literal(path if _is_pattern(path) else _spelled_out(path)) for path in filled)
    file = f", filename={literal(FILE)}" if names_files else ""
    try:
        source = f"{reader}([{listed}]{_OPTIONS[reader]}{file})"
        replaced = _plain_types(connection, filled, listed, source) if reader == "read_json" else ""
        if reader == "read_csv" and any(is_ragged(path, _types(connection, source)) for path in files_of(filled)):
            msg = "not every line has as many cells as the header"
            raise duckdb.InvalidInputException(msg)
        connection.execute(f"CREATE OR REPLACE VIEW {quoted(name)} AS SELECT *{replaced} FROM {source}")
    except duckdb.Error as error:
        raise _unreadable(paths, error) from error


def _plain_types(connection: duckdb.DuckDBPyConnection, paths: Sequence[str], listed: str, source: str) -> str:
    """Return what makes of JSON's own types those of a table: texts of mixed values, times with their zone."""
    types = _types(connection, source)
    if types.get("json") == "JSON" and any(map(broken_lines, files_of(paths))):
        msg = "not every line is a JSON object"  # then DuckDB makes one column `json` of the whole file
        raise duckdb.InvalidInputException(msg)
    replaced = {name: f"{quoted(name)} ->> '$'" for name, kind in types.items() if kind == "JSON"}
    replaced |= _as_texts(types)
    times = [name for name, kind in types.items() if kind == "TIMESTAMP"]
    if times:
        # DuckDB 1.5 reads 02:00+02:00 as midnight, and does not say that this is UTC.
        spec = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in times)
        zoned = ", ".join(f"bool_or(regexp_matches({quoted(name)}, {literal(ZONED)}))" for name in times)
        found = rows(connection, f"SELECT {zoned} FROM read_json([{listed}], columns={{{spec}}})")[0]
        replaced |= {
            name: f"{quoted(name)} AT TIME ZONE 'UTC'" for name, is_zoned in zip(times, found, strict=True) if is_zoned
        }
    return _replaced(replaced)


def _as_texts(types: Mapping[str, str]) -> dict[str, str]:
    """Return what makes texts of columns without a type, which have no value: of a table's DuckDB reads none."""
    return {name: "CAST(NULL AS VARCHAR)" for name, kind in types.items() if kind == '"NULL"'}


def _replaced(columns: Mapping[str, str]) -> str:
    return f" REPLACE ({', '.join(f'{sql} AS {quoted(name)}' for name, sql in columns.items())})" if columns else ""


def _types(connection: duckdb.DuckDBPyConnection, source: str) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.execute(f"DESCRIBE FROM {source}").fetchall()}


def _unreadable(paths: Sequence[str], error: duckdb.Error) -> UsageError:
    """Return why files cannot be read: for NDJSON and CSV with the file and the line."""
    first = str(error).splitlines()[0]
    if "No files found" in first:
        return UsageError(f"no file matches {', '.join(paths)}", hint="check the pattern")
    for path in files_of(paths):
        broken = broken_lines(path)
        if broken:
            shown = broken[0].raw if len(broken[0].raw) <= _SHOWN else f"{broken[0].raw[:_SHOWN]}..."
            return UsageError(
                f"{path}: line {broken[0].number} is {broken[0].why}: {shown!r}"
                + (f" (and {len(broken) - 1:,} more)" if len(broken) > 1 else ""),
                hint="mend or remove it; `setpoint import` takes the other lines and puts it aside",
            )
    msg = f"cannot read {_listed(paths)}: {first}"
    return EmptyFile(msg) if "empty" in first.lower() else UsageError(msg)


_SHOWN = 80


def files_of(paths: Sequence[str]) -> list[Path]:
    """Return the files that paths and patterns stand for, in the order of their names."""
    found: list[Path] = []
    for path in paths:
        root = Path("/") if Path(path).is_absolute() else Path()
        found += sorted(root.glob(path.lstrip("/"))) if _is_pattern(path) else [Path(path)]
    return [path for path in found if not path.is_dir()]


def _is_pattern(path: str) -> bool:
    """Whether a path stands for many: a file that is really called so is none."""
    return any(letter in path for letter in "*?[") and not Path(path).exists()


def _spelled_out(path: str) -> str:
    """Return a path so that DuckDB takes it for no pattern."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""  # noqa: PLR2004 — as many as one reads
    return ", ".join(paths[:3]) + more


def check_columns(wanted: Mapping[str, str], types: Mapping[str, str]) -> None:
    """Refuse a mapping to a column that is not there.

    Raises:
        ColumnError: A column is missing.
    """
    for role, column in wanted.items():
        if column not in types and not (role == "scores" and columns_of(column, types)):
            near = difflib.get_close_matches(column, types, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"columns: {', '.join(list(types)[:20])}"
            msg = f"no column {column!r} for {role}"
            raise ColumnError(msg, hint=hint)


def create_views(
    connection: duckdb.DuckDBPyConnection,
    predictions: tuple[str, Mapping[str, str], Mapped],
    outcomes: tuple[str, Mapping[str, str], Mapped] | None,
    zone: str,
    *,
    names_files: bool = False,
) -> dict[str, Column]:
    """Create the views of a snapshot over user tables and return how each feature is read.

    Args:
        connection: Where the tables were loaded.
        predictions: Name, column types and mapping of the predictions table.
        outcomes: The same for a second table of outcomes; None when the first has them.
        zone: The zone of times without one.
        names_files: Whether the tables have the column `FILE`: then so have the views.

    Raises:
        ColumnError: A column cannot be read as its role asks.
    """
    name, types, mapped = predictions
    odd = odd_numbers(connection, name, _texts(mapped, types), allowed=1 - MOSTLY if names_files else 0.0)
    features = {c: Column(quoted(f"inputs.{c}"), types[c], c in mapped.texts) for c in mapped.inputs}
    selected = [f"{quoted(column)} AS {quoted(f'inputs.{column}')}" for column in mapped.inputs]
    is_joined = outcomes is None
    numbered = "CAST(row_number() OVER () AS VARCHAR)"
    identifier = _role(mapped, "prediction_id", "''" if is_joined else numbered)
    fixed = {
        "prediction_id": f"CAST({identifier} AS VARCHAR)",
        "predicted_at": _time(mapped, types, zone),
        "observed_at": _time(mapped, types, zone, "observed_at"),
        "parent_id": "NULL::VARCHAR",
        "role": "'stable'",
        "assignment_probability": "NULL::DOUBLE",
        **{role: f"CAST({_role(mapped, role)} AS VARCHAR)" for role in ("key", "unit", "version", "endpoint", "error")},
        **{role: _number(mapped, types, role) for role in _NUMBERS},
        "prediction": _role(mapped, "prediction", "CAST(NULL AS DOUBLE)"),
        "outcome": _role(mapped, "outcome", "CAST(NULL AS DOUBLE)"),
        "scores": scores_sql(mapped.roles.get("scores", ""), types),
        "ranking": ranking_sql(mapped.roles.get("ranking", ""), types),
        "judge": _role(mapped, "judge", "CAST(NULL AS DOUBLE)"),
        "ship": "CAST(NULL AS BIGINT)",
    }
    file = [quoted(FILE)] if names_files else []
    fixed |= {quoted(ODD): odd} if names_files else {}
    columns = ", ".join([*(f"{sql} AS {column}" for column, sql in fixed.items()), *selected, *file])
    connection.execute(
        f"CREATE VIEW predictions AS SELECT *, prediction_id AS root_id, predicted_at AS recorded_at FROM"
        f" (SELECT {columns} FROM {quoted(name)})"
    )
    _create_outcomes(connection, outcomes, zone, has_time="time" in mapped.roles, file=file)
    for table in TABLES:
        if table not in {"predictions", "outcomes", "tallies"}:
            nothing = ", ".join(f"NULL::{kind} AS {quoted(column)}" for column, kind in column_types(table).items())
            connection.execute(f"CREATE VIEW {table} AS SELECT {nothing} WHERE false")
    connection.execute(f"CREATE VIEW tallies AS {tallies_of_rows()}")
    connection.execute("CREATE VIEW let_go_units AS SELECT unit, predicted_at AS seen_at FROM predictions WHERE false")
    return features


def _create_outcomes(
    connection: duckdb.DuckDBPyConnection,
    outcomes: tuple[str, Mapping[str, str], Mapped] | None,
    zone: str,
    *,
    has_time: bool,
    file: Sequence[str],
) -> None:
    if outcomes is None:
        nothing = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in column_types("outcomes").items())
        connection.execute(f"CREATE VIEW outcomes AS SELECT {nothing}, NULL::BIGINT AS ship WHERE false")
        return
    name, types, mapped = outcomes
    odd_numbers(connection, name, _texts(mapped, types), allowed=0.0)
    for role, fits in (("revision", is_number_type), ("retracted", "BOOLEAN".__eq__)):
        column = mapped.roles.get(role)
        if column is not None and not fits(types[column]):
            msg = f"column {column} has type {types[column]}, which is no {role}"
            raise ColumnError(msg, hint="revisions are whole numbers, and retracted is true or false")
    # Without a time of its own an outcome is taken as later than every prediction.
    observed = _time(mapped, types, zone) if "time" in mapped.roles and has_time else NEVER
    columns = {
        "outcome_id": "CAST(row_number() OVER () AS VARCHAR)",
        "prediction_id": f"CAST({_role(mapped, 'prediction_id')} AS VARCHAR)",
        "key": f"CAST({'NULL' if 'prediction_id' in mapped.roles else _role(mapped, 'key')} AS VARCHAR)",
        "kind": "'final'",
        "observed_at": observed,
        "recorded_at": observed,
        "revision": f"coalesce(TRY_CAST({_role(mapped, 'revision')} AS BIGINT), 0)",
        "retracted": f"coalesce(TRY_CAST({_role(mapped, 'retracted')} AS BOOLEAN), false)",
        "outcome": _role(mapped, "outcome"),
        "value_usd": f"CAST({_role(mapped, 'value_usd')} AS DOUBLE)",
        SOURCE: f"CAST({_role(mapped, SOURCE)} AS VARCHAR)",
        "ship": "CAST(NULL AS BIGINT)",
    }
    selected = ", ".join([*(f"{sql} AS {column}" for column, sql in columns.items()), *file])
    connection.execute(f"CREATE VIEW outcomes AS SELECT {selected} FROM {quoted(name)}")


_NUMBERS = ("score", *SECONDS, "cost_usd", "value_usd", "keep_probability")


def _role(mapped: Mapped, role: str, otherwise: str = "NULL") -> str:
    column = mapped.roles.get(role)
    if column is None:
        return otherwise
    scale = mapped.scales.get(role)
    return quoted(column) if scale is None else f"{quoted(column)} * {scale!r}"


def _time(mapped: Mapped, types: Mapping[str, str], zone: str, role: str = "time") -> str:
    column = mapped.roles.get(role)
    return "NULL::TIMESTAMPTZ" if column is None else time_sql(quoted(column), types[column], zone)


def _number(mapped: Mapped, types: Mapping[str, str], role: str) -> str:
    column = mapped.roles.get(role, "")
    if types.get(column) != "VARCHAR":
        return f"CAST({_role(mapped, role)} AS DOUBLE)"
    return f"{tried(column)} * {mapped.scales.get(role, 1.0)!r}"


def _texts(mapped: Mapped, types: Mapping[str, str]) -> dict[str, str]:
    """Return the text columns of roles that ask for a number, by role."""
    return {role: mapped.roles[role] for role in _NUMBERS if types.get(mapped.roles.get(role, "")) == "VARCHAR"}


def known_at(connection: duckdb.DuckDBPyConnection, as_of: int) -> duckdb.DuckDBPyConnection:
    """Return a second connection to the views of `create_views`, on which what came later is not there.

    Close it; the first one still sees everything. An outcome without a time of its own counts whenever
    its prediction does.
    """
    found = cursor(connection)
    late = f"observed_at > {at(as_of)}"
    hidden = ", ".join(f"CASE WHEN {late} THEN NULL ELSE {column} END AS {column}" for column in _OF_OUTCOME)
    found.execute(
        f"CREATE TEMP VIEW predictions AS SELECT * REPLACE ({hidden}) FROM memory.main.predictions"
        f" WHERE predicted_at < {at(as_of)}"
    )
    found.execute(
        "CREATE TEMP VIEW outcomes AS SELECT * FROM memory.main.outcomes"
        f" WHERE recorded_at <= {at(as_of)} OR recorded_at = {NEVER}"
    )
    return found


_OF_OUTCOME = ("outcome", "value_usd")
