"""How often each item was shown: the state behind the coverage of a catalogue and the concentration of exposure."""

from __future__ import annotations

import duckdb

from setpoint.store.engines.duck import rows
from setpoint.store.matching import Matching, windowed
from setpoint.store.primitives import printed, weight
from setpoint.store.states import StateKind, StateTable

EXPOSURE = StateKind("exposure", ("bucket", "version", "endpoint", "item"), ("rows", "weight"))
"""Root predictions that show an item among the first `success.top`, however often each of them does."""


def query_exposure(connection: duckdb.DuckDBPyConnection, matching: Matching, *, time: str = "") -> StateTable:
    """Return how often each item was shown in a window, from rows.

    Args:
        connection: Where the views are.
        matching: The model and the window.
        time: SQL of the bucket that a row belongs to; empty for none.
    """
    who = f"{time or 'CAST(0 AS BIGINT)'} AS bucket, version, endpoint"
    shown = f"unnest(list_distinct(ranking[1:{matching.model.success.top}])) AS item"
    where = f"parent_id IS NULL AND ranking IS NOT NULL{windowed('predicted_at', matching.window)}"
    source = f"SELECT {who}, {printed(weight())} AS weight, {shown} FROM predictions AS p WHERE {where}"
    found = rows(
        connection,
        f"SELECT bucket, version, endpoint, item, count(*), sum(weight) FROM ({source}) GROUP BY ALL",
    )
    return StateTable.of(EXPOSURE, found)
