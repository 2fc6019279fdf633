"""When each unit was first seen, so that a prediction is of a `new` unit or of a `returning` one.

The first sight of a unit is that of its first root prediction, also of one that was let go since: of those, one small
file a model keeps the units and the times, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import duckdb

from setpoint.core.model import Model
from setpoint.store.engines.duck import at, literal, rows
from setpoint.store.layout import Layout, write_atomically
from setpoint.store.primitives import bucket, printed

_SIGHTS = "temp.first_sights"
_COLUMNS = ("seen_at", "root_id")


def tells_new(model: Model) -> bool:
    """Return whether a cohort of the model depends on when a unit was first seen."""
    return any(cohort.new_for is not None for cohort in model.cohorts)


def is_new_sql(new_for: int) -> str:
    """Return SQL for the cohort of a prediction `p`; null without a unit. Needs `find_first_sights`.

    Shadow and cascade rows come after their root: those of the first one are new as it is.
    """
    first_at, root = (f"(SELECT s.{column} FROM {_SIGHTS} AS s WHERE s.unit = p.unit)" for column in _COLUMNS)
    age = f"epoch_us(p.predicted_at) - epoch_us({first_at})"
    return f"CASE WHEN {age} <= {new_for} OR p.root_id = {root} THEN 'new' WHEN {age} > 0 THEN 'returning' END"


def find_first_sights(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table of first sights, from all predictions that a connection sees."""
    first = "arg_min_null(root_id, {'seen_at': seen_at, 'root_id': root_id})"  # of two at the same time always one
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE first_sights AS SELECT unit, min(seen_at) AS seen_at, {first} AS root_id"
        f" FROM ({_seen()}) GROUP BY unit"
    )


def buckets_with_moved_sights(
    connection: duckdb.DuckDBPyConnection, ships: Mapping[str, int], bucket_seconds: int
) -> set[int]:
    """Return the buckets with predictions of units of which an earlier one came since the given shipments."""

    def fresh(table: str) -> str:
        return f"(ship IS NULL OR ship > {ships.get(table, 0)})"

    new = _seen(predictions=fresh("predictions"), unkept=fresh("unkept"), is_let_go=False)
    old = _seen(predictions=f"NOT {fresh('predictions')}", unkept=f"NOT {fresh('unkept')}")
    first = "SELECT unit, min(seen_at) AS seen_at FROM ({}) GROUP BY unit"
    both = f"({first.format(new)}) AS n JOIN ({first.format(old)}) AS o USING (unit)"
    moved = f"SELECT unit FROM {both} WHERE n.seen_at <= o.seen_at"
    return buckets_of_units(connection, moved, bucket_seconds)


def buckets_of_units(connection: duckdb.DuckDBPyConnection, units: str, bucket_seconds: int) -> set[int]:
    """Return the buckets with predictions of some units, given as SQL."""
    at_bucket = printed(bucket("p.predicted_at", bucket_seconds))
    found = rows(connection, f"SELECT DISTINCT {at_bucket} FROM predictions AS p WHERE unit IN ({units})")
    return {cast("int", row[0]) for row in found if row[0] is not None}


def _seen(*, predictions: str = "true", unkept: str = "true", is_let_go: bool = True) -> str:
    """Return SQL for units with the times and roots at which they were seen."""
    seen = (
        "SELECT unit, predicted_at AS seen_at, nullif(root_id, '') AS root_id FROM predictions"
        f" WHERE parent_id IS NULL AND unit IS NOT NULL AND predicted_at IS NOT NULL AND {predictions}"
        f" UNION ALL SELECT unit, predicted_at, prediction_id FROM unkept"
        f" WHERE key IS NOT NULL AND unit IS NOT NULL AND {unkept}"
    )
    return f"{seen} UNION ALL SELECT unit, seen_at, NULL FROM let_go_units" if is_let_go else seen


def let_go_units(layout: Layout, model: str, as_of: int | None) -> str:
    """Return SQL for the units that were seen in rows that were let go: unit, seen_at."""
    path = _file(layout, model)
    if not path.exists():
        return "SELECT NULL::VARCHAR AS unit, NULL::TIMESTAMPTZ AS seen_at WHERE false"
    known = f" WHERE seen_at <= {at(as_of)}" if as_of is not None else ""
    return f"SELECT unit, seen_at FROM read_parquet({literal(str(path))}){known}"


def keep_sights(connection: duckdb.DuckDBPyConnection, layout: Layout, model: str, before: int) -> None:
    """Note the first sight of each unit in rows that are about to be let go: those before a time."""
    _write(
        connection,
        layout,
        model,
        f"SELECT unit, min(seen_at) AS seen_at FROM ({_seen()}) WHERE seen_at < {at(before)} GROUP BY unit",
    )


def forget_sight(connection: duckdb.DuckDBPyConnection, layout: Layout, model: str, unit: str) -> None:
    """Erase that a unit was ever seen."""
    if _file(layout, model).exists():
        _write(connection, layout, model, f"SELECT unit, seen_at FROM let_go_units WHERE unit <> {literal(unit)}")


def knows_let_go_units(layout: Layout, model: str) -> bool:
    """Return whether the units of rows that were let go were noted."""
    return _file(layout, model).exists()


def _file(layout: Layout, model: str) -> Path:
    return layout.lake(model, "let_go_units.parquet")


def _write(connection: duckdb.DuckDBPyConnection, layout: Layout, model: str, units: str) -> None:
    with TemporaryDirectory() as folder:
        copy = Path(folder, "units.parquet")
        connection.execute(f"COPY ({units} ORDER BY unit) TO {literal(str(copy))} (FORMAT parquet)")
        _file(layout, model).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(_file(layout, model), copy.read_bytes())
