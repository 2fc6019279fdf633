"""Metrics as dots with their intervals, each on the scale from 0 to 1, with its bar as a red line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from setpoint.charts.svg import BAD, GOOD, INK, QUIET, dot, line, picture, text

_LEFT, _WIDTH, _ROW = 150, 300, 24


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """One metric to draw.

    Attributes:
        name: What it is called.
        value: Between 0 and 1.
        low: Lower end of its interval.
        high: Upper end of its interval.
        bar: The declared bar; None without one.
        is_bad: Whether it breaks its bar.
    """

    name: str
    value: float
    low: float
    high: float
    bar: float | None = None
    is_bad: bool = False


def interval_chart(rows: Sequence[IntervalRow], title: str) -> str:
    """Return metrics between 0 and 1 as dots with intervals; empty without rows.

    Example:
        >>> chart = interval_chart([IntervalRow("auc", 0.7, 0.68, 0.72, bar=0.75, is_bad=True)], "quality")
        >>> "auc 0.700, 95 % interval 0.680 to 0.720, bar 0.750" in chart
        True
    """
    if not rows:
        return ""
    marks = [line(_LEFT, 0, _LEFT, _ROW * len(rows), color=QUIET)]
    said: list[str] = []
    for place, row in enumerate(rows):
        y = _ROW * place + _ROW / 2
        color = BAD if row.is_bad else (GOOD if row.bar is not None else INK)
        marks += [
            text(_LEFT - 8, y + 4, row.name, anchor="end"),
            line(_x(row.low), y, _x(row.high), y, color=color, width=2),
            dot(_x(row.value), y, color=color),
            text(_LEFT + _WIDTH + 8, y + 4, f"{row.value:.3f}"),
        ]
        if row.bar is not None:
            marks.append(line(_x(row.bar), y - 9, _x(row.bar), y + 9, color=BAD))
        bar = "" if row.bar is None else f", bar {row.bar:.3f}"
        said.append(f"{row.name} {row.value:.3f}, 95 % interval {row.low:.3f} to {row.high:.3f}{bar}")
    return picture(_LEFT + _WIDTH + 60, _ROW * len(rows), title, "; ".join(said), marks)


def _x(value: float) -> float:
    return _LEFT + _WIDTH * min(max(value, 0.0), 1.0)
