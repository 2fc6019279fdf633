"""What comparisons start from: a stretch of the predictions, or a file such as the training data."""

from __future__ import annotations

from pathlib import PurePath

TABLE_ENDINGS = (".parquet", ".csv", ".tsv", ".ndjson", ".jsonl", ".json")
ROLES: tuple[str, ...] = (
    "time", "key", "prediction_id", "unit", "version", "endpoint", "prediction", "score", "scores", "ranking",
    "outcome", "judge", "observed_at", "latency_seconds", "compute_seconds", "queue_seconds",
    "features_seconds", "upstream_seconds", "first_chunk_seconds", "cost_usd", "value_usd", "error",
    "keep_probability", "revision", "retracted",
)  # fmt: skip
"""What a column of such a file can be; every other one is an input, or left out."""


def is_table_file(reference: str) -> bool:
    """Return whether a reference names a file of rows rather than a window.

    Example:
        >>> is_table_file("train/*.parquet"), is_table_file("2013-01-01..2013-04-01"), is_table_file("last week")
        (True, False, False)
    """
    return PurePath(reference).suffix.lower() in TABLE_ENDINGS
