"""Tables of how honest scores are."""

from __future__ import annotations

from dataclasses import astuple

from setpoint.answers.answer import Cell, Table
from setpoint.core.metric import number
from setpoint.stats.calibration import brier_decomposition, reliability
from setpoint.stats.classification import BinaryState
from setpoint.stats.estimate import Estimate

RELIABILITY_COLUMNS = ("lowest_score", "highest_score", "mean_score", "rate", "low", "high", "rows")
BRIER_COLUMNS = ("brier", "reliability", "resolution", "uncertainty", "within_groups")
_SHOWN = 10


def told(found: Estimate) -> str:
    """Return a number with its interval, or why there is none.

    Example:
        >>> told(Estimate(0.5, 0.4, 0.6)), told(Estimate.unknown("no rows"))
        ('0.500 [0.400, 0.600]', 'unknown (no rows)')
    """
    if found.value is None:
        return f"unknown ({found.reason})"
    ends = "" if found.low is None or found.high is None else f" [{found.low:.3f}, {found.high:.3f}]"
    return f"{found.value:.3f}{ends}"


def reliability_table(counts: BinaryState, said: str = "scores") -> Table:
    """Return what groups of scores say and how often they come true.

    Args:
        counts: Rows with scores and outcomes.
        said: What the scores are called.
    """
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for one in reliability(counts):
        rate = one.rate
        rows.append((one.lowest_score, one.highest_score, one.mean_score, rate.value, rate.low, rate.high, one.weight))
        scores = f"{one.lowest_score:.3f} - {one.highest_score:.3f}"
        lines.append((scores, f"{one.mean_score:.3f}", told(rate), number(one.weight, "rows")))
    return Table(
        "reliability", RELIABILITY_COLUMNS, rows, (said, "say on average", "came true", "rows"), lines[:_SHOWN]
    )


def brier_table(counts: BinaryState | None) -> Table:
    """Return the parts of the Brier score; none where it is unknown."""
    parts = None if counts is None else brier_decomposition(counts)
    return Table("brier", BRIER_COLUMNS, [] if parts is None else [astuple(parts)], BRIER_COLUMNS)
