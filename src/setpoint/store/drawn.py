"""Which units a rollout has seen: of the last hours from rows, of all before from a file of hashes that is kept.

The file says of each unit and step when it came first and which versions it met, so that no look has to read all rows
since a rollout began. It counts what was recorded within two hours; when it is lost it is made again from rows.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import duckdb

from setpoint.core.clock import HOUR, MICROS
from setpoint.core.rollout import Rollout
from setpoint.core.route_plan import BUCKETS
from setpoint.store.engines.duck import at, literal, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.layout import Layout, writing
from setpoint.store.version_cohorts import version_named

_OPEN, _PACE = 2 * HOUR, HOUR
"""Rows of the last two hours are read at every look, and each hour that is older is put into the file once."""
_FIRSTS = (
    "unit, step, min(first_at) AS first_at, min(counted_at) AS counted_at,"
    " arg_min(first_is_candidate, first_at) AS first_is_candidate, bool_or(has_candidate) AS has_candidate,"
    " bool_or(has_stable) AS has_stable"
)


def draw(
    evidence: RowEvidence, rollout: Rollout, *, starts: Mapping[int, int], marks: Sequence[int], kept: Path | None
) -> None:
    """Read which requests were drawn since a rollout began, once for all that is asked about them.

    Cost: the unit, version, time and error of the requests of three hours, and a few numbers a unit of those before;
    without a file those of all requests.

    Args:
        evidence: The event log.
        rollout: The rollout.
        starts: By its place, from when on requests of a step count, microseconds.
        marks: When what happened, microseconds, rising: since any of these requests are counted.
        kept: The file, or where it will be; None to read all rows.
    """
    connection, until = evidence.connection, rollout.started_at
    has_file = kept is not None and kept.exists()
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE seen_before AS "
        + (f"SELECT * FROM read_parquet({literal(str(kept))})" if has_file else _EMPTY)
    )
    if has_file:
        until = cast("int", rows(connection, "SELECT max(until) FROM seen_before")[0][0] or until)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE drawn AS SELECT {unit_of('p')} AS unit, epoch_us(p.predicted_at) AS asked_at,"
        f" {_answered('p', rollout)} AS version, {is_candidate('p', rollout)} AS is_candidate,"
        f" {step_of('p', rollout)} AS step,"
        " p.error IS NOT NULL AS has_error"
        f" FROM predictions AS p WHERE {is_drawn('p', rollout)} AND p.predicted_at >= {at(until)}"
    )
    counted = " ".join(f"WHEN step = {step} AND asked_at >= {begun} THEN asked_at" for step, begun in starts.items())
    counted = f"CASE {counted} END" if counted else "NULL"
    now_until = evidence.as_of - _OPEN
    if kept is not None and now_until - until >= _PACE:
        _put(evidence, kept, counted, marks, now_until)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE seen_before AS SELECT * FROM read_parquet({literal(str(kept))})"
        )
        connection.execute(f"DELETE FROM drawn WHERE asked_at < {now_until}")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE seen_units AS SELECT {_FIRSTS} FROM ({_BEFORE} UNION ALL {_of_rows(counted)})"
        " GROUP BY unit, step"
    )


_EMPTY = (
    "SELECT NULL::UBIGINT AS unit, NULL::INTEGER AS step, NULL::BIGINT AS first_at, NULL::BIGINT AS counted_at,"
    " NULL::BOOLEAN AS first_is_candidate, NULL::BOOLEAN AS has_candidate, NULL::BOOLEAN AS has_stable,"
    " NULL::VARCHAR AS version, NULL::BIGINT AS mark, NULL::BIGINT AS requests, NULL::BIGINT AS last_at,"
    " NULL::BIGINT AS until WHERE false"
)
_BEFORE = (
    "SELECT unit, step, first_at, counted_at, first_is_candidate, has_candidate, has_stable FROM seen_before"
    " WHERE unit IS NOT NULL"
)


def _of_rows(counted: str, until: int | None = None) -> str:
    where = "" if until is None else f" WHERE asked_at < {until}"
    return (
        f"SELECT unit, step, min(asked_at) AS first_at, min({counted}) AS counted_at,"
        " arg_min(is_candidate, asked_at) AS first_is_candidate, bool_or(is_candidate) AS has_candidate,"
        f" bool_or(NOT is_candidate) AS has_stable FROM drawn{where} GROUP BY unit, step"
    )


def _put(evidence: RowEvidence, kept: Path, counted: str, marks: Sequence[int], until: int) -> None:
    """Put the rows before a moment into the file, which is replaced as a whole: so also after a crash, or by two."""
    mark = " ".join(f"WHEN asked_at >= {one} THEN {one}" for one in sorted(marks, reverse=True))
    mark = f"CASE {mark} ELSE 0 END" if mark else "0"
    units = (
        f"SELECT {_FIRSTS}, NULL::VARCHAR AS version, NULL::BIGINT AS mark, NULL::BIGINT AS requests,"
        f" NULL::BIGINT AS last_at, {until} AS until FROM ({_BEFORE} UNION ALL {_of_rows(counted, until)})"
        " GROUP BY unit, step"
    )
    counts = (
        "SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, version, mark, sum(requests), max(last_at),"
        f" {until} FROM (SELECT version, mark, requests, last_at FROM seen_before WHERE unit IS NULL UNION ALL"
        f" SELECT version, {mark} AS mark, count(*) AS requests, max(asked_at) AS last_at FROM drawn"
        f" WHERE asked_at < {until} GROUP BY 1, 2) GROUP BY version, mark"
    )
    with writing(kept.parent):
        kept.parent.mkdir(parents=True, exist_ok=True)
        draft = kept.with_name(f".{kept.name}.{os.getpid()}")
        evidence.connection.execute(f"COPY ({units} UNION ALL {counts}) TO {literal(str(draft))} (FORMAT parquet)")
        draft.replace(kept)


def seen_file(layout: Layout, rollout: Rollout) -> Path:
    """Return where it is kept which units a rollout has seen: another engine hashes otherwise, and makes its own."""
    name = hashlib.blake2b(rollout.rollout_id.encode(), digest_size=12).hexdigest()
    return layout.root / "seen" / f"{name}-{duckdb.__version__}.parquet"


def asked(evidence: RowEvidence, since: int) -> dict[str, tuple[int, int]]:
    """Return, by version, how many requests were drawn for it since a mark, and when the last one came; see `draw`."""
    found = rows(
        evidence.connection,
        "SELECT version, sum(requests)::BIGINT, max(last_at) FROM (SELECT version, requests, last_at FROM seen_before"
        f" WHERE unit IS NULL AND mark >= {since} UNION ALL SELECT version, count(*), max(asked_at) FROM drawn"
        f" WHERE asked_at >= {since} GROUP BY version) GROUP BY version",
    )
    return {cast("str", row[0]): (cast("int", row[1]), cast("int", row[2])) for row in found}


def shared_out(evidence: RowEvidence, since: int) -> dict[int, tuple[int, int, int]]:
    """Return, by the step in which units were seen first, how many went to each version and to both; see `draw`.

    Args:
        evidence: The event log.
        since: Units that were seen before are left out, microseconds.

    Returns:
        Units of the stable version, of the candidate, and those that were answered by both within the step.
    """
    found = rows(
        evidence.connection,
        "SELECT step, count(*) FILTER (NOT first_is_candidate), count(*) FILTER (first_is_candidate),"
        " count(*) FILTER (has_candidate AND has_stable) FROM (SELECT *,"
        " row_number() OVER (PARTITION BY unit ORDER BY step) AS place FROM seen_units WHERE step IS NOT NULL)"
        f" WHERE place = 1 AND first_at >= {since} GROUP BY step",
    )
    return {cast("int", row[0]): cast("tuple[int, int, int]", row[1:]) for row in found}


def units_before(evidence: RowEvidence, until: int) -> int:
    """Return how many units, once a step, count whose first request came before a moment; see `draw`."""
    return cast("int", rows(evidence.connection, f"SELECT count(*) FROM seen_units WHERE counted_at < {until}")[0][0])


def errors_by_minute(evidence: RowEvidence, version: str, since: int) -> list[tuple[int, int]]:
    """Return requests of a version and how many of them failed, for each minute of the last two hours; see `draw`."""
    found = rows(
        evidence.connection,
        f"SELECT count(*), count(*) FILTER (has_error) FROM drawn WHERE version = {literal(version)}"
        f" AND asked_at >= {since} GROUP BY asked_at // {60 * MICROS} ORDER BY min(asked_at)",
    )
    return [(cast("int", row[0]), cast("int", row[1])) for row in found]


def unit_of(name: str) -> str:
    """Return SQL for which unit a request is of: a hash of its name, the same in one version of the engine."""
    return f"hash(coalesce({name}.unit, {name}.root_id))"


def is_candidate(name: str, rollout: Rollout) -> str:
    """Return SQL for whether the candidate answered, or a checkpoint of it that is not the stable version."""
    return f"{_answered(name, rollout)} = {literal(rollout.candidate)}"


def is_stable(name: str, rollout: Rollout) -> str:
    """Return SQL for whether the stable version answered, as `is_candidate`."""
    return f"{_answered(name, rollout)} = {literal(rollout.stable)}"


def _answered(name: str, rollout: Rollout) -> str:
    return version_named(f"{name}.version", (rollout.candidate, rollout.stable))


def is_drawn(name: str, rollout: Rollout) -> str:
    """Return SQL for whether a version was asked because the lot fell on it: also when another one answered then."""
    return (
        f"{name}.assignment_probability IS NOT NULL AND {name}.role IS DISTINCT FROM 'shadow'"
        f" AND {_answered(name, rollout)} IN ({literal(rollout.stable)}, {literal(rollout.candidate)})"
    )


def step_of(name: str, rollout: Rollout) -> str:
    """Return SQL for the step of a request: by the probability that was logged, for clocks of machines differ."""
    share = (
        f"CASE WHEN {is_candidate(name, rollout)} THEN {name}.assignment_probability"
        f" ELSE 1.0 - {name}.assignment_probability END"
    )
    cases = " ".join(f"WHEN {round(one * BUCKETS)} THEN {n}" for n, one in enumerate(rollout.rules.steps))
    return f"CASE round({share} * {BUCKETS}) {cases} END"
