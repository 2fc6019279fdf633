"""An answer: at most one screen whose first line says it in words."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from setpoint.core.clock import text as time_text
from setpoint.core.verdict import Verdict, exit_code

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl

SCHEMA = "setpoint.answer/1"
Cell = str | float | int | bool | None
_SCREEN_LINES = 40


@dataclass(frozen=True, slots=True)
class Table:
    """A part of an answer: named columns with their units in the names.

    Attributes:
        name: Such as `quality`.
        columns: Column names.
        rows: One tuple a row.
        shown: Columns that the one-screen text shows, with a heading each; all when empty.
        lines: The rows as text, aligned with `shown`.
    """

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    shown: tuple[str, ...] = ()
    lines: list[tuple[str, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """The answer to one question about one model.

    Attributes:
        question: What was asked: `status`, `diff`, `cost`, `outcomes`, `why`, `cohorts` ...
        model: The model's name; empty for a file or for all models.
        verdict: ok, warning, breach or unknown.
        headline: The answer in words.
        because: What it rests on, most important first.
        unknowns: What is not known, and what it would take.
        as_of: The time it holds for, microseconds.
        zone: The zone its times are shown in.
        tables: Its numbers, the main table first.
        is_silent: Whether it is unknown because the source has stopped.
        figure: An SVG picture; empty when there is none.
    """

    question: str
    model: str
    verdict: Verdict
    headline: str
    because: tuple[str, ...]
    unknowns: tuple[str, ...]
    as_of: int
    zone: str
    tables: tuple[Table, ...]
    is_silent: bool = False
    figure: str = ""

    @property
    def mark(self) -> str:
        """The verdict as one letter, readable without colour."""
        return _MARKS[self.verdict]

    @property
    def exit_code(self) -> int:
        """What the command line exits with: 0 ok or warning, 1 breach, 3 unknown, 4 silent."""
        return exit_code(self.verdict, silent=self.is_silent)

    def table(self, name: str) -> Table:
        """Return a table by its name.

        Raises:
            KeyError: The answer has no such table.
        """
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(name)

    def to_dict(self) -> dict[str, object]:
        """Return everything as plain values, in the versioned form that `--json` prints."""
        return {
            "schema": SCHEMA,
            "question": self.question,
            "model": self.model,
            "verdict": self.verdict.value,
            "headline": self.headline,
            "because": list(self.because),
            "unknowns": list(self.unknowns),
            "as_of": time_text(self.as_of, "UTC") + "Z",
            "as_of_micros": self.as_of,
            "is_silent": self.is_silent,
            "tables": {
                table.name: [dict(zip(table.columns, row, strict=True)) for row in table.rows] for table in self.tables
            },
        }

    def text(self) -> str:
        """Return the one-screen text."""
        lines = [f"{self.mark} {self.headline}"]
        lines += [f"  {reason}" for reason in self.because]
        for table in self.tables:
            if table.lines:
                lines += ["", *_aligned(table.shown, table.lines)]
        if self.unknowns:
            lines += ["", *(f"  unknown: {unknown}" for unknown in self.unknowns)]
        if len(lines) > _SCREEN_LINES:
            lines = [
                *lines[: _SCREEN_LINES - 1],
                f"  … {len(lines) - _SCREEN_LINES + 1} more lines: see --json",
            ]
        return "\n".join(lines)

    def __str__(self) -> str:
        """Return the one-screen text."""
        return self.text()

    def __repr__(self) -> str:
        """Return the one-screen text, so that a console shows the answer."""
        return self.text()

    def _repr_html_(self) -> str:
        """Return the answer for a notebook: inline, no script, no outside request."""
        parts = [f"<p><strong>{self.mark} {html.escape(self.headline)}</strong></p>"]
        if self.because:
            parts.append("<ul>" + "".join(f"<li>{html.escape(reason)}</li>" for reason in self.because) + "</ul>")
        parts.append(self.figure)
        parts += [_html_table(table) for table in self.tables if table.lines]
        parts += [f"<p>unknown: {html.escape(unknown)}</p>" for unknown in self.unknowns]
        return "<div>" + "".join(parts) + "</div>"

    def to_arrow(self, table: str = "") -> duckdb.DuckDBPyRelation:
        """Return a table as an object with the Arrow C stream; the main one by default."""
        import duckdb  # noqa: PLC0415 — needed only when asked for

        chosen = self.table(table) if table else self.tables[0]
        types = [_sql_type([row[n] for row in chosen.rows]) for n in range(len(chosen.columns))]
        connection = duckdb.connect(":memory:")
        columns = ", ".join(f'"{name}" {kind}' for name, kind in zip(chosen.columns, types, strict=True))
        connection.execute(f"CREATE TABLE answer ({columns})")
        if chosen.rows:
            marks = ", ".join("?" for _ in chosen.columns)
            connection.executemany(f"INSERT INTO answer VALUES ({marks})", [list(row) for row in chosen.rows])
        return connection.table("answer")

    def to_polars(self, table: str = "") -> pl.DataFrame:
        """Return a table as a polars frame; needs polars."""
        import polars as pl  # noqa: PLC0415 — only users of polars have it

        return pl.DataFrame(cast("Any", self.to_arrow(table)))

    def to_pandas(self, table: str = "") -> pd.DataFrame:
        """Return a table as a pandas frame; needs pandas."""
        import pandas as pd  # noqa: PLC0415 — only users of pandas have it

        chosen = self.table(table) if table else self.tables[0]
        return pd.DataFrame(chosen.rows, columns=list(chosen.columns))


_MARKS = {Verdict.OK: "✓", Verdict.WARNING: "!", Verdict.BREACH: "✗", Verdict.UNKNOWN: "?"}


def _aligned(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    rows = [tuple(headings), *lines]
    widths = [max(len(row[n]) for row in rows) for n in range(len(headings))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in table.shown)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in table.lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _sql_type(values: Sequence[Cell]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool}:
        return "BOOLEAN" if kinds else "VARCHAR"
    if kinds <= {int, bool}:
        return "BIGINT"
    return "DOUBLE" if kinds <= {int, float, bool} else "VARCHAR"
