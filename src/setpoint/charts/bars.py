"""Named amounts as horizontal bars, the largest first."""

from __future__ import annotations

from collections.abc import Sequence

from setpoint.charts.svg import INK, bar, picture, text

_LEFT, _WIDTH, _ROW = 150, 300, 22


def bar_chart(rows: Sequence[tuple[str, float, str]], title: str) -> str:
    """Return amounts as bars; empty without any amount.

    Args:
        rows: Name, amount (not negative) and the amount in words.
        title: What the chart says.

    Example:
        >>> "temp 79 %" in bar_chart([("temp", 0.79, "79 %"), ("hour", 0.01, "1 %")], "rows moved")
        True
    """
    most = max((amount for _, amount, _ in rows), default=0.0)
    if most <= 0:
        return ""
    marks: list[str] = []
    for place, (name, amount, words) in enumerate(rows):
        y = _ROW * place
        marks += [
            text(_LEFT - 8, y + 15, name, anchor="end"),
            bar(_LEFT, y + 4, _WIDTH * amount / most, _ROW - 8, color=INK),
            text(_LEFT + _WIDTH * amount / most + 6, y + 15, words),
        ]
    said = "; ".join(f"{name} {words}" for name, _, words in rows)
    return picture(_LEFT + _WIDTH + 90, _ROW * len(rows), title, said, marks)
