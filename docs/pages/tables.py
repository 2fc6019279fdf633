"""The page of the tables."""

from __future__ import annotations

import typing
from collections.abc import Iterator

import msgspec
import msgspec.structs

from pages.columns import MEANING
from pages.docstring import doc_of, parsed, prose
from pages.markdown import NOTE, as_table, cell, first, wrapped
from setpoint.core.events import IDENTIFIER, PARTITIONED_BY, TABLES, column_types
from setpoint.core.finding import Finding

_LEAD = """Every model has these Delta tables under `STORE/lake/MODEL/`. Each has two more columns: `day`, the
UTC day that it is partitioned by, and `ship`, the number of the commit that brought the row. A reader of Delta
tables is all you need; rows that were recorded moments ago still lie in the spool."""
_FINDINGS: tuple[str, type[msgspec.Struct]] = ("findings", Finding)


def page() -> Iterator[str]:
    """Yield the lines of the page."""
    yield from ["# Tables", "", NOTE]
    yield from wrapped(_LEAD)
    yield ""
    yield from as_table(
        ("table", "one row is"), [(f"[`{t}`](#{t})", first(doc_of(e))) for t, e in [*TABLES.items(), _FINDINGS]]
    )
    for table, event in TABLES.items():
        kinds = column_types(table)
        yield from ["", f"## {table}", "", *prose(parsed(doc_of(event)).lead), ""]
        yield f"Its identifier is `{IDENTIFIER[table]}`; `day` is the day of `{PARTITIONED_BY[table]}`."
        yield ""
        yield from _columns(table, event, kinds)
    yield from ["", f"## {_FINDINGS[0]}", "", *prose(parsed(doc_of(Finding)).lead), ""]
    said = dict(parsed(doc_of(Finding)).named["Attributes"])
    rows = [("`finding_id`", "`VARCHAR`", "The same for all rows of one finding.")]
    for name, hint in typing.get_type_hints(Finding).items():
        kind = "TIMESTAMP WITH TIME ZONE" if name.endswith("_at") else "BIGINT" if hint is int else "VARCHAR"
        rows.append((f"`{name}`", f"`{kind}`", cell(said[name]).replace(", microseconds", "")))
    yield from as_table(("column", "type", "meaning"), rows)


def _columns(table: str, event: type[msgspec.Struct], kinds: dict[str, str]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = []
    for one in msgspec.structs.fields(event):
        kind = kinds.get(one.name, "STRUCT")
        if one.name in {"prediction", "outcome"}:
            kind = "DOUBLE or VARCHAR"
        default = "" if one.required or one.default is None else str(one.default).lower()
        said = MEANING.get(f"{table}.{one.name}") or MEANING[one.name]
        if not one.required and not default and "null" not in said:
            said += " May be null."
        rows.append((f"`{one.name}`", f"`{kind}`", said + (f" Default: {default}." if default else "")))
    yield from as_table(("column", "type", "meaning"), rows)
