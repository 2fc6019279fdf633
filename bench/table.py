"""Tables of aligned columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Cell = str | float | int


def table(headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return rows under their headings: words to the left, numbers to the right.

    Example:
        >>> print(table(["what", "seconds"], [["raw scan", 0.5], ["status", 12.25]]))
        what      seconds
        raw scan      0.5
        status       12.2
    """
    found = [list(row) for row in rows]
    lines = [list(headings), *([_text(cell) for cell in row] for row in found)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(headings))]
    numeric = [not any(isinstance(row[n], str) for row in found) for n in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def _text(cell: Cell) -> str:
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)
