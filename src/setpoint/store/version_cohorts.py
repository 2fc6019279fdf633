"""The cohorts that a version makes of itself: `family@checkpoint` is of a family, and as old as its checkpoint.

They are read off the rows when they are asked for: no state is kept by them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import duckdb

from setpoint.core.clock import DAY, HOUR
from setpoint.store.engines.duck import literal
from setpoint.store.states import StateTable

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


def is_version(column: str, name: str) -> str:
    """Return SQL for whether a version is one that a route names, or a checkpoint of it."""
    return f"({column} = {literal(name)} OR starts_with({column}, {literal(f'{name}@')}))"


def version_named(column: str, names: Iterable[str]) -> str:
    """Return SQL for the version of these that a route names; where it is none of them, as it is."""
    longest = sorted(names, key=len, reverse=True)  # `learner@3` may be named beside its family, and is of its own then
    cases = " ".join(f"WHEN {is_version(column, name)} THEN {literal(name)}" for name in longest)
    return f"CASE {cases} ELSE {column} END" if cases else column


def by_family(table: StateTable, named: Collection[str] = ()) -> StateTable:
    """Return a state with the family in the place of its checkpoints, but for versions that are named themselves."""
    versions = [None if version is None else str(version) for version in table.key("version")]
    return table.with_keys(version=[one if one is None or one in named else one.partition("@")[0] for one in versions])


def find_version_starts(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table of each version's first prediction; of one that was let go its change remembers it."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE version_starts AS SELECT version, min(first_at) AS first_at FROM ("
        " SELECT version, predicted_at AS first_at FROM predictions UNION ALL"
        " SELECT subject, started_at FROM changes WHERE kind = 'version' AND author = 'setpoint'"
        ") WHERE version IS NOT NULL GROUP BY version"
    )
