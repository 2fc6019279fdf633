"""The cohorts that a version makes of itself: `family@checkpoint` is of a family, and as old as its checkpoint.

They are read off the rows when they are asked for: no state is kept by them.
"""

from __future__ import annotations

import duckdb

from setpoint.core.clock import DAY, HOUR

VERSION_FAMILY, VERSION_AGE = "version_family", "version_age"
VERSION_COHORTS = (VERSION_FAMILY, VERSION_AGE)

_STARTS = "temp.version_starts"
_BANDS = ((HOUR, "below 1h"), (6 * HOUR, "1h to 6h"), (DAY, "6h to 1d"), (7 * DAY, "1d to 7d"))
_OLDEST = "from 7d"


def version_cohort_sql(name: str) -> str:
    """Return SQL for one of `VERSION_COHORTS` over a prediction `p`; null without a version, or without a time.

    The age needs `find_version_starts`.
    """
    if name == VERSION_FAMILY:
        return "split_part(p.version, '@', 1)"
    first = f"(SELECT s.first_at FROM {_STARTS} AS s WHERE s.version = p.version)"
    age = f"(epoch_us(p.predicted_at) - epoch_us({first}))"
    bands = " ".join(f"WHEN {age} < {end} THEN '{band}'" for end, band in _BANDS)
    return f"CASE WHEN {age} IS NULL THEN NULL {bands} ELSE '{_OLDEST}' END"


def find_version_starts(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table of each version's first prediction; of one that was let go its change remembers it."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE version_starts AS SELECT version, min(first_at) AS first_at FROM ("
        " SELECT version, predicted_at AS first_at FROM predictions UNION ALL"
        " SELECT subject, started_at FROM changes WHERE kind = 'version' AND author = 'setpoint'"
        ") WHERE version IS NOT NULL GROUP BY version"
    )
