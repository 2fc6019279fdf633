"""What each version made of the requests of a stretch, also as a copy in shadow, in one temporary table."""

from __future__ import annotations

from typing import Literal, cast

from setpoint.core.clock import HOUR
from setpoint.core.window import Window
from setpoint.store.cause_rows import OneCohort
from setpoint.store.engines.duck import literal, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.matching import examples

Together = Literal["requests", "hours"]
"""Rows of requests that two versions answered both, or of hours in which both answered some."""


def load_version_rows(
    evidence: RowEvidence, value: str, window: Window, *, copies: bool, of: OneCohort | None = None
) -> None:
    """Make the table.

    Args:
        evidence: A recorded model.
        value: SQL of the number of a row, as in `cause_rows`.
        window: Predictions of this window.
        copies: Whether rows in shadow are among them.
        of: Only rows of this cohort; None for all.
    """
    asked = "e.role IS DISTINCT FROM 'stage'" if copies else "e.is_root"
    only = "" if of is None else f" AND e.{of.column} = {literal(of.value)}"
    evidence.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE version_rows AS SELECT root_id, moment, version, is_root, {value} AS v"
        " FROM (SELECT e.root_id, epoch_us(e.predicted_at) AS moment, e.version, e.is_root, e.score, e.decision,"
        " e.outcome_number, CAST(e.is_success AS DOUBLE) AS success, e.outcome_age / 1e6 AS outcome_age, e.cost_usd,"
        f" e.latency_seconds, e.error, i.contract_violations FROM ({examples(evidence.matching(window))}) AS e"
        " JOIN (SELECT prediction_id, contract_violations FROM predictions) AS i ON i.prediction_id = e.prediction_id"
        f" WHERE {asked}{only}) WHERE v IS NOT NULL"
    )


def versions_since(evidence: RowEvidence, turn: int) -> list[tuple[str, int, int, int]]:
    """Return each version: rows that were answers since a moment, all rows since, and rows before; see `load_`."""
    found = rows(
        evidence.connection,
        f"SELECT version, count(*) FILTER (is_root AND moment >= {turn}), count(*) FILTER (moment >= {turn}),"
        f" count(*) FILTER (moment < {turn}) FROM version_rows WHERE version IS NOT NULL GROUP BY version ORDER BY 1",
    )
    return [cast("tuple[str, int, int, int]", row) for row in found]


def sums_before(evidence: RowEvidence, version: str, turn: int) -> tuple[int, float, float]:
    """Return how many rows a version had before a moment, and the sums of their values and squares."""
    return _sums(evidence, version, f"moment < {turn}")


def sums_together(
    evidence: RowEvidence, versions: tuple[str, str], turn: int, together: Together
) -> list[tuple[int, float, float]]:
    """Return the same of both versions, of rows since a moment that have a fellow of the other version."""
    by = "root_id" if together == "requests" else f"moment // {HOUR}"
    named = ", ".join(literal(version) for version in versions)
    shared = (
        f"moment >= {turn} AND {by} IN (SELECT {by} FROM version_rows WHERE version IN ({named})"
        f" AND moment >= {turn} GROUP BY 1 HAVING count(DISTINCT version) = 2)"
    )
    return [_sums(evidence, version, shared) for version in versions]


def _sums(evidence: RowEvidence, version: str, where: str) -> tuple[int, float, float]:
    sql = f"SELECT count(*), coalesce(sum(v), 0), coalesce(sum(v * v), 0) FROM version_rows WHERE {where}"
    return cast("tuple[int, float, float]", rows(evidence.connection, f"{sql} AND version = {literal(version)}")[0])
