"""The table of replayed incidents in README, and whether its numbers are those of a report."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e-\d+)?")


def row_of(demo: str) -> str:
    """Return the row of a replay."""
    (found,) = [line for line in README.read_text().splitlines() if line.startswith(f"| `{demo}` |")]
    return found


def strangers(demo: str, report: str) -> set[str]:
    """Return the numbers of a replay's row that stand nowhere in its report."""
    told = set(NUMBER.findall(row_of(demo)))
    assert len(told) > 5
    return told - set(NUMBER.findall(report))
