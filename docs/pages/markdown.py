"""Pieces of Markdown: tables, wrapped text, the anchor of a heading."""

from __future__ import annotations

import re
from collections.abc import Iterator

WIDTH = 118
"""Characters of a line of text."""

NOTE = "<!-- Written by `docs/generate.py` from the code: change the code, then run it. -->\n"


def as_table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"| {' | '.join(titles)} |"
    yield "|" + "---|" * len(titles)
    yield from (f"| {' | '.join(row)} |".replace("  ", " ") for row in rows)


def cell(text: str | None) -> str:
    """Return a text as it may stand in a table."""
    return " ".join((text or "").split()).replace("|", "\\|")


def first(text: str | None) -> str:
    """Return the first paragraph of a text, as it may stand in a table."""
    return cell((text or "").split("\n\n", maxsplit=1)[0])


def anchor(text: str) -> str:
    """Return what a link to a heading ends with."""
    return re.sub(r"[^a-z0-9 _-]", "", text.lower()).replace(" ", "-")


def wrapped(text: str | None) -> Iterator[str]:
    """Yield the lines of a text, none longer than a line may be."""
    line = ""
    for word in (text or "").split():
        if line and len(line) + len(word) >= WIDTH:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    if line:
        yield line
