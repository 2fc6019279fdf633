"""Which time buckets a set of new rows touches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import duckdb

from setpoint.core.model import Model
from setpoint.store.engines.duck import rows
from setpoint.store.first_sight import buckets_with_moved_sights, tells_new
from setpoint.store.matching import Matching
from setpoint.store.primitives import bucket, printed


def changed_buckets(
    connection: duckdb.DuckDBPyConnection, model: Model, ships: Mapping[str, int], bucket_seconds: int
) -> set[int]:
    """Return the buckets that got predictions since the given shipments, or whose predictions are of other cohorts."""
    at = printed(bucket("p.predicted_at", bucket_seconds))
    fresh = f"(ship IS NULL OR ship > {ships.get('predictions', 0)})"
    found = rows(connection, f"SELECT DISTINCT {at} FROM predictions AS p WHERE {fresh}")
    buckets = {cast("int", row[0]) for row in found if row[0] is not None}
    return buckets | buckets_with_moved_sights(connection, ships, bucket_seconds) if tells_new(model) else buckets


def dirty_buckets(
    connection: duckdb.DuckDBPyConnection, matching: Matching, ships: Mapping[str, int], bucket_seconds: int
) -> set[int]:
    """Return the buckets whose state may differ from what it was at the given shipments.

    May name a bucket too many, never one too few: a new prediction with a key may take an outcome
    from an earlier one, and an outcome by key may belong to any prediction within the horizon.
    """

    def fresh(table: str) -> str:
        return f"(ship IS NULL OR ship > {ships.get(table, 0)})"

    at = printed(bucket("p.predicted_at", bucket_seconds))
    found = changed_buckets(connection, matching.model, ships, bucket_seconds)

    def add(sql: str) -> None:
        found.update(cast("int", row[0]) for row in rows(connection, sql) if row[0] is not None)

    add(f"SELECT DISTINCT {printed(bucket('t.bucket_at', bucket_seconds))} FROM tallies AS t WHERE {fresh('tallies')}")
    add(
        f"SELECT DISTINCT {at} FROM predictions AS p SEMI JOIN (SELECT prediction_id FROM outcomes"
        f" WHERE {fresh('outcomes')}) AS o ON p.root_id = o.prediction_id"
    )
    if matching.has_calls:
        add(
            f"SELECT DISTINCT {at} FROM predictions AS p SEMI JOIN (SELECT prediction_id FROM calls"
            f" WHERE {fresh('calls')}) AS c ON p.prediction_id = c.prediction_id"
        )
        called = printed(bucket("c.called_at", bucket_seconds))
        add(f"SELECT DISTINCT {called} FROM calls AS c WHERE {fresh('calls')}")
        if matching.has_unkept:  # a row that says what calls that came before it were made for
            add(
                f"SELECT DISTINCT {called} FROM calls AS c SEMI JOIN (SELECT prediction_id FROM unkept"
                f" WHERE role IS NOT NULL AND {fresh('unkept')}) AS u ON u.prediction_id = c.prediction_id"
            )
    if matching.has_children:
        add(
            f"SELECT DISTINCT {at} FROM predictions AS p SEMI JOIN (SELECT root_id FROM predictions"
            f" WHERE {fresh('predictions')}) AS q ON p.root_id = q.root_id"
        )
    if matching.has_keys:
        horizon = matching.model.outcome_horizon
        reach = f"epoch_us(n.happened) - epoch_us(p.predicted_at) BETWEEN 0 AND {horizon}"
        add(
            f"SELECT DISTINCT {at} FROM predictions AS p JOIN ("
            f"SELECT key, observed_at AS happened FROM outcomes WHERE {fresh('outcomes')} AND prediction_id IS NULL"
            f" UNION ALL SELECT key, predicted_at FROM predictions WHERE {fresh('predictions')}"
            f" UNION ALL SELECT key, predicted_at FROM unkept WHERE {fresh('unkept')}"
            f") AS n ON p.key = n.key AND {reach}"
        )
    return found
