"""Predictions by how long the caller waited, with what became of them: from rows, within a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from setpoint.core.window import Window
from setpoint.store.engines.duck import quoted, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.matching import examples
from setpoint.store.primitives import finite, printed


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of the rows of which something is known; those that were kept with a chance weigh more.

    Attributes:
        rows: How many.
        weight: What they stand for.
        squares: Sum of squared weights.
        total: Sum of weight * value: of successes their number.
        total_squares: Sum of weight * value**2.
    """

    rows: int
    weight: float
    squares: float
    total: float
    total_squares: float


@dataclass(frozen=True, slots=True)
class Band:
    """What became of the predictions of a group that took so long.

    Attributes:
        group: The value of the cohort, of the version or of the endpoint; None without any, or where it is missing.
        place: The band: the first is the quickest.
        weight: Predictions, those that were not kept included.
        success: Whether they were right, where that is known.
        value_usd: What they were worth, where an outcome says so.
    """

    group: str | None
    place: int
    weight: float
    success: Sums
    value_usd: Sums


def latency_bands(evidence: RowEvidence, window: Window | None, edges: Sequence[float], *, by: str = "") -> list[Band]:
    """Return what became of predictions by latency, groups in alphabetical order and the quickest first.

    Args:
        evidence: The model's rows.
        window: Of the predictions.
        edges: Where bands end, in seconds, rising; the last has no end.
        by: `version`, `endpoint` or a cohort; empty for none.
    """
    matching = evidence.matching(window)
    names = [name for name, _ in matching.cohorts]
    group = f"cohort_{names.index(by)}" if by in names else quoted(by) if by else "NULL"
    band = " ".join(f"WHEN latency_seconds < {edge!r} THEN {place}" for place, edge in enumerate(edges))
    value = printed(finite("value_usd"))
    inner = (
        f"SELECT {group} AS who, CASE {band} ELSE {len(edges)} END AS band, weight,"
        f" CAST(CASE WHEN has_outcome THEN is_success END AS INTEGER) AS success, {value} AS amount"
        f" FROM ({examples(matching)}) AS e WHERE is_root AND latency_seconds IS NOT NULL"
    )
    sums = ", ".join(
        f"count({of}), sum(CASE WHEN {of} IS NOT NULL THEN weight ELSE 0 END),"
        f" sum(CASE WHEN {of} IS NOT NULL THEN weight * weight ELSE 0 END),"
        f" coalesce(sum(weight * {of}), 0), coalesce(sum(weight * {of} * {of}), 0)"
        for of in ("success", "amount")
    )
    found = rows(evidence.connection, f"SELECT who, band, sum(weight), {sums} FROM ({inner}) GROUP BY ALL ORDER BY ALL")
    return [
        Band(None if row[0] is None else str(row[0]), int(row[1]), float(row[2]), Sums(*row[3:8]), Sums(*row[8:13]))  # pyright: ignore[reportArgumentType] — columns of numbers
        for row in found
    ]
