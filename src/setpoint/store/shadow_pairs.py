"""What versions in shadow answered beside what the caller got, from rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from setpoint.core.window import Window
from setpoint.store.engines.duck import at, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.version_cohorts import version_named


@dataclass(frozen=True, slots=True)
class Compared:
    """The requests that a version in shadow and the one that was served both answered.

    Attributes:
        version: The version in shadow.
        pairs: How many rows; without sampling all of them.
        weight: What those with a prediction on both sides stand for.
        squares: Sum of squared weights of those.
        agreed: Weight of those whose predictions are the same.
        score_difference: The mean of the score in shadow less that of the caller; None without scores.
    """

    version: str | None
    pairs: int
    weight: float
    squares: float
    agreed: float
    score_difference: float | None


def compared(evidence: RowEvidence, window: Window | None, named: Iterable[str] = ()) -> list[Compared]:
    """Return the comparison of each version that ran in shadow; none where rows were let go.

    Args:
        evidence: The event log.
        window: From when until when copies were made.
        named: Versions that a route names: what is called like a checkpoint of one is that one.
    """
    if not evidence.has_rows_of(window):
        return []
    inside = f" AND s.predicted_at >= {at(window.start)} AND s.predicted_at < {at(window.end)}" if window else ""
    weight = "coalesce(1.0 / s.keep_probability, 1.0)"
    both = "s.prediction IS NOT NULL AND r.prediction IS NOT NULL"
    found = rows(
        evidence.connection,
        f"SELECT {version_named('s.version', named)} AS named, count(*),"
        f" sum(CASE WHEN {both} THEN {weight} ELSE 0 END),"
        f" sum(CASE WHEN {both} THEN {weight} * {weight} ELSE 0 END),"
        f" sum(CASE WHEN s.prediction = r.prediction THEN {weight} ELSE 0 END),"
        f" sum({weight} * (s.score - r.score)) / sum(CASE WHEN s.score - r.score IS NOT NULL THEN {weight} END)"
        " FROM predictions AS s JOIN predictions AS r ON r.prediction_id = s.root_id"
        f" WHERE s.role = 'shadow' AND s.error IS NULL AND r.error IS NULL{inside}"
        " GROUP BY named ORDER BY named",
    )
    return [Compared(*row) for row in found]  # pyright: ignore[reportArgumentType] — columns in this order
