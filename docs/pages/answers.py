"""The page of the answers."""

from __future__ import annotations

from collections.abc import Iterator

from pages.answer_tables import ANSWER_TABLES
from pages.docstring import doc_of, parsed
from pages.markdown import NOTE, as_table, cell, wrapped
from setpoint.answers.answer import SCHEMA, Answer
from setpoint.core.model import Model, Task
from setpoint.core.verdict import Verdict
from setpoint.feedback.quality import quality
from setpoint.store.quality_kinds import quality_kind
from setpoint.store.states import StateTable

_LEAD = f"""What `--json` prints and `answer.to_dict()` returns, in the schema `{SCHEMA}`. A key is never
renamed within a schema; new ones may come."""
_NUMBERS = """A number that is unknown is null, and the row's `unknown` says why. `low` and `high` are the ends
of the 95 % interval. Shares and ratios run from 0 to 1."""
_BESIDE = """Beside them `status` has `request_rate`, `error_ratio`, `latency_p50_seconds`,
`latency_p95_seconds`, `compute_seconds` and `outcome_share`."""


def page() -> Iterator[str]:
    """Yield the lines of the page."""
    yield from ["# Answers", "", NOTE]
    yield from wrapped(_LEAD)
    yield ""
    said = dict(parsed(doc_of(Answer)).named["Attributes"])
    said |= {"schema": "Name and version of this form.", "as_of": "The time it holds for, UTC."}
    said |= {"as_of_micros": "The same in microseconds since 1970.", "tables": "By name, a list of rows each."}
    keys = Answer("status", "", Verdict.OK, "", (), (), as_of=0, zone="UTC", tables=()).to_dict()
    yield from as_table(("key", "meaning"), [(f"`{key}`", cell(said[key])) for key in keys])
    yield ""
    yield from wrapped(_NUMBERS)
    for question, table, columns, words in ANSWER_TABLES:
        yield from ["", f"## {question}: `{table}`", "", words, ""]
        yield from wrapped(", ".join(f"`{column}`" if " " not in column else column for column in columns))
    yield from _metrics()


def _metrics() -> Iterator[str]:
    yield from ["", "## Quality metrics", ""]
    rows: list[tuple[str, ...]] = []
    for task in Task:
        model = Model("any", task=task)
        found = quality(StateTable.of(quality_kind(model), []), model)
        rows += [(task.value, f"`{m.name}`", m.unit, m.better if m.better != "none" else "") for m in found]
    yield from as_table(("task", "metric", "unit", "better"), rows)
    yield ""
    yield from wrapped(_BESIDE)
