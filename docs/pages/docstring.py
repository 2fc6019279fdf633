"""Docstrings in the style of this code base, taken apart and written as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pages.markdown import as_table, cell, wrapped


@dataclass
class Docstring:
    """A docstring in the style of this code base, taken apart."""

    lead: list[str] = field(default_factory=list[str])
    named: dict[str, list[tuple[str, str]]] = field(default_factory=dict[str, list[tuple[str, str]]])
    texts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


_NAMED = ("Args", "Attributes", "Raises")
_TEXTS = ("Returns", "Example")


def doc_of(value: object) -> str:
    """Return the docstring of something; empty when it has none."""
    return inspect.getdoc(value) or ""


def documented(text: str) -> Iterator[str]:
    """Yield a docstring as Markdown: its text, then a table or block for each section."""
    doc = parsed(text)
    yield from prose(doc.lead)
    for section, titles in (("Args", ("argument", "meaning")), ("Attributes", ("attribute", "meaning"))):
        if section in doc.named:
            yield from ["", *as_table(titles, [(f"`{n}`", cell(said)) for n, said in doc.named[section]])]
    if "Returns" in doc.texts:
        yield from ["", *wrapped("Returns: " + " ".join(doc.texts["Returns"]))]
    if "Raises" in doc.named:
        yield from ["", *as_table(("raises", "when"), [(f"`{n}`", cell(said)) for n, said in doc.named["Raises"]])]
    if "Example" in doc.texts:
        yield from ["", "```pycon", *doc.texts["Example"], "```"]


def parsed(text: str) -> Docstring:
    """Return a docstring taken apart."""
    doc = Docstring()
    section = ""
    for line in text.splitlines():
        title = line.rstrip(":") if line.endswith(":") and not line.startswith(" ") else ""
        if title in _NAMED or title in _TEXTS:
            section = title
        elif not section:
            doc.lead.append(line)
        elif section in _TEXTS:
            doc.texts.setdefault(section, []).append(line.removeprefix("    "))
        elif line.startswith("     "):
            name, said = doc.named[section][-1]
            doc.named[section][-1] = (name, f"{said} {line.strip()}")
        elif line.strip():
            name, _, said = line.strip().partition(": ")
            doc.named.setdefault(section, []).append((name, said))
    for name, lines in doc.texts.items():
        doc.texts[name] = "\n".join(lines).strip("\n").splitlines()
    return doc


def prose(lines: list[str]) -> Iterator[str]:
    """Yield paragraphs; lines that are indented stay as they are."""
    for n, paragraph in enumerate(re.split(r"\n\s*\n", "\n".join(lines).strip())):
        if not paragraph:
            continue
        yield from [""] * (n > 0)
        yield from wrapped(" ".join(paragraph.split()))
