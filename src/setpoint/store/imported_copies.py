"""What another version would have answered, from files: rows in shadow of the requests that they belong to."""

from __future__ import annotations

import duckdb

from setpoint.core.errors import ColumnError, UsageError
from setpoint.store.engines.duck import literal, rows
from setpoint.store.lake import LakeTable


def put_beside_requests(connection: duckdb.DuckDBPyConnection, lake: LakeTable, version: str) -> None:
    """Make of the `predictions` view of files rows in shadow: each at the time and under the id of its request.

    A request is named by its `prediction_id`, else by its key: then it is the latest with that key. A row of which
    nobody knows the request has no time.

    Args:
        connection: Where the view is.
        lake: The predictions that the store has.
        version: The version of rows that carry none; empty when all do.

    Raises:
        UsageError: The store has no predictions.
        ColumnError: No row belongs to a request of the store.
    """
    if not lake.files():
        msg = "nothing is recorded of this model, so there is nothing to be in shadow of"
        raise UsageError(msg, hint="import or record the predictions first, then what another version made of them")
    listed = ", ".join(literal(file) for file in lake.files())
    request = "prediction_id, key, unit, endpoint, predicted_at"
    rows(
        connection,
        f"CREATE TEMP TABLE requests AS SELECT {request} FROM read_parquet([{listed}], union_by_name=true)"
        " WHERE parent_id IS NULL",
    )
    rows(connection, "ALTER VIEW predictions RENAME TO answers_in_shadow")
    named = f"substr(sha256(r.prediction_id || coalesce(a.version, {literal(version)})), 1, 30)"
    rows(
        connection,
        f"CREATE VIEW predictions AS SELECT a.* REPLACE ({named} AS prediction_id, r.prediction_id AS parent_id,"
        " r.prediction_id AS root_id, r.predicted_at AS predicted_at, r.predicted_at AS recorded_at,"
        " NULL::VARCHAR AS key, r.unit AS unit, r.endpoint AS endpoint, 'shadow' AS role)"
        " FROM answers_in_shadow AS a LEFT JOIN (SELECT *, 'id' AS via, prediction_id AS name FROM requests UNION ALL"
        " SELECT *, 'key', key FROM (FROM requests QUALIFY row_number() OVER (PARTITION BY key ORDER BY"
        " predicted_at DESC, prediction_id) = 1)) AS r"
        " ON r.via = CASE WHEN a.prediction_id <> '' THEN 'id' ELSE 'key' END"
        " AND r.name = CASE WHEN a.prediction_id <> '' THEN a.prediction_id ELSE a.key END",
    )
    if not rows(connection, "SELECT 1 FROM predictions WHERE predicted_at IS NOT NULL LIMIT 1"):
        msg = "no row belongs to a prediction of the store"
        raise ColumnError(msg, hint="name the column that says which: --map key=COLUMN or --map prediction_id=COLUMN")
