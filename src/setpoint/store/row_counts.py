"""Counts that no kept state holds: they take the rows, and are unknown where those were let go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from setpoint.core.window import Window
from setpoint.store.engines.duck import at, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.matching import odd_examples


@dataclass(frozen=True, slots=True)
class UnitCount:
    """How many units of work the root predictions of a window belong to.

    Attributes:
        units: Different values of `unit`.
        predictions: Root predictions.
        named: Those that carry a unit.
        sampled: Those that stand for others that were not kept.
    """

    units: int
    predictions: int
    named: int
    sampled: int


def count_units(evidence: RowEvidence, window: Window | None) -> UnitCount | None:
    """Return the units of a window; None when rows of it were let go."""
    if not evidence.has_rows_of(window):
        return None
    found = _one(
        evidence,
        "SELECT count(DISTINCT unit), count(*), count(unit), count(*) FILTER (keep_probability < 1)"
        f" FROM predictions WHERE parent_id IS NULL{_inside(window)}",
    )
    return UnitCount(*cast("tuple[int, int, int, int]", found))


def count_without_compute(evidence: RowEvidence, window: Window | None) -> dict[bool, int]:
    """Return how many predictions have no compute time, by whether they are shadow rows; weighted when sampled."""
    found = rows(
        evidence.connection,
        "SELECT coalesce(role = 'shadow', false) AS is_shadow, sum(coalesce(1.0 / keep_probability, 1.0))"
        f" FROM predictions WHERE compute_seconds IS NULL{_inside(window)} GROUP BY is_shadow",
    )
    return {bool(is_shadow): max(round(cast("float", weight)), 1) for is_shadow, weight in found}


def count_unread_outcomes(evidence: RowEvidence, window: Window | None) -> int:
    """Return how many outcomes came that are neither yes nor no, or no number."""
    return cast("int", _one(evidence, f"SELECT count(*) FROM ({odd_examples(evidence.matching(window))})")[0])


def count_answers(evidence: RowEvidence, window: Window | None) -> int:
    """Return how many rows have a prediction."""
    return cast("int", _one(evidence, f"SELECT count(prediction) FROM predictions WHERE true{_inside(window)}")[0])


def _one(evidence: RowEvidence, sql: str) -> tuple[object, ...]:
    return rows(evidence.connection, sql)[0]


def _inside(window: Window | None) -> str:
    if window is None:
        return ""
    return f" AND predicted_at >= {at(window.start)} AND predicted_at < {at(window.end)}"
