"""Writes `docs/reference/` from the code, so that it cannot say anything else.

`python docs/generate.py` writes the pages; `tests/docs/test_reference.py` compares them.
"""

# ruff: noqa: INP001 — a script, not a package to install

from __future__ import annotations

import sys
from pathlib import Path

from pages import answers, cli, python, tables

FOLDER = Path(__file__).parent / "reference"


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"docs/reference/{name}\n")


def pages() -> dict[str, str]:
    """Return the text of each page by its file's name."""
    made = {"cli.md": cli.page(), "python.md": python.page(), "tables.md": tables.page(), "answers.md": answers.page()}
    return {name: "\n".join([*lines]).rstrip() + "\n" for name, lines in made.items()}


if __name__ == "__main__":
    main()
