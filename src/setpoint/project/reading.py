"""Your own files as a log: read in place, joined, and asked the same questions as a recorded model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import duckdb

from setpoint.core.clock import text, time_zone
from setpoint.core.errors import ColumnError, UsageError
from setpoint.core.model import Cohort, Model, Task
from setpoint.core.reference import ROLES
from setpoint.declare.problems import did_you_mean
from setpoint.project.bands import with_edges_of
from setpoint.project.guess import (
    ColumnFacts,
    check_roles,
    guess,
    guess_cohorts,
    guess_kinds,
    guess_task,
    look_at,
    mend,
    said,
    warnings,
)
from setpoint.project.log import FileSource, Log
from setpoint.project.tables import Columns, chosen
from setpoint.store.cells import renamed_columns
from setpoint.store.engines.duck import connect, quoted, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.files import (
    Mapped,
    Source,
    check_columns,
    create_views,
    load,
)
from setpoint.store.times import shifted_times


def read(
    predictions: Source,
    *,
    outcomes: Source | None = None,
    model: str | Model = "",
    task: str = "",
    tz: str = "UTC",
    inputs: Columns = None,
    cohorts: Columns = None,
    **columns: str,
) -> Log:
    """Read your own files as a log: every answer works, without a server and without a declaration.

    Args:
        predictions: A Parquet, CSV or NDJSON path or pattern, or any object with the Arrow C stream.
        outcomes: A second table with the outcomes, joined by `prediction_id` or `key`.
        model: A declaration, or just a name.
        task: binary, multiclass, regression, ranking or generation; guessed when left out, or declared by `model`.
        tz: The zone of times that carry none.
        inputs: The feature columns; guessed when left out.
        cohorts: Columns to look at separately; guessed when left out.
        **columns: Column by role: time, key, prediction_id, version, endpoint, prediction, score, outcome,
            latency_seconds and its parts (queue_seconds, features_seconds, compute_seconds, upstream_seconds),
            first_chunk_seconds, cost_usd, value_usd, error, unit; scores (a map, a struct, or one
            column a class: `scores="proba_*"`), ranking (a list) and judge (a judge model's grade). Guessed when
            left out; an empty text says that there is none.

    Raises:
        ColumnError: A named column is not there.
        EmptyFile: A file has no rows.
        UsageError: There is no such task, or the declaration says another one or knows no judge.

    Example:
        >>> import duckdb
        >>> table = duckdb.sql("SELECT i % 2 AS outcome, 0.25 + 0.5 * (i % 2) AS score FROM range(400) AS t(i)")
        >>> read(table, score="score", outcome="outcome").status().table("metrics").rows[1][:2]
        ('accuracy', 1.0)
    """
    connection = connect()
    try:
        return _read(connection, predictions, outcomes, model, _task(task, model), tz, inputs, cohorts, columns)
    except BaseException:
        connection.close()
        raise


def _read(
    connection: duckdb.DuckDBPyConnection,
    predictions: Source,
    outcomes: Source | None,
    model: str | Model,
    task: Task | None,
    tz: str,
    inputs: Columns,
    cohorts: Columns,
    columns: Mapping[str, str],
) -> Log:
    check_roles(columns)
    time_zone(tz)
    types = load(connection, predictions, "raw_predictions")
    notes = [_renamed_words(*pair) for pair in renamed_columns(connection, "raw_predictions", types).items()]
    facts = look_at(connection, "raw_predictions", types)
    if isinstance(model, Model):
        facts = {column: _declared_text(fact, column, model, types) for column, fact in facts.items()}
    given = {**columns, **({"outcome": ""} if outcomes is not None else {}), **_judge(columns, model)}
    named = chosen(inputs)
    declared = model.features if isinstance(model, Model) else ()
    texts = [feature.name for feature in declared if feature.kind == "text"]
    mapped = guess(facts, given, named, texts, with_texts=True)
    if "observed_at" in mapped.inputs and named is None and "outcome" in mapped.roles:
        mapped = guess(facts, {**given, "observed_at": "observed_at"}, None, texts, with_texts=True)
    notes += [f"columns: {said(mapped, given)}"] if said(mapped, given) else []
    types = mend(connection, "raw_predictions", types, facts, mapped)
    known = model if isinstance(model, Model) else Model(model, task=task) if task else None
    notes += [*warnings(facts, mapped, _MISSING, known), *_repeated(connection, mapped)]
    if outcomes is None and not {"outcome"} & {*mapped.roles, *columns}:
        notes.append("no outcome column: quality is unknown until one is named, outcome='COLUMN'")
    second = None if outcomes is None else _second(connection, outcomes, mapped, columns, known, notes)
    _note_times(connection, types, mapped, tz, notes)
    _check_cohorts(cohorts, types, mapped)
    features = create_views(connection, ("raw_predictions", types, mapped), second, tz)
    if isinstance(model, Model):
        declared = model
    else:
        outcome_facts = look_at(connection, "raw_outcomes", second[1]) if second is not None else {}
        whole = mapped if second is None else _with_outcome(mapped, second[2])
        guessed = task or guess_task({**facts, **outcome_facts}, whole)
        if task is None and guessed is not Task.BINARY:
            notes.append(f"task={guessed.value!r}")
        declared = _guessed_model(model, guessed, facts, mapped, tz, cohorts, notes)
    if second is not None and "time" not in second[2].roles:
        declared = replace(declared, outcome_horizon=_ANY_TIME)  # an outcome without a time is never too late
    evidence = RowEvidence(connection, declared, features, 0, is_joined=second is None, is_recorded=False)
    span = evidence.span
    if span:
        evidence.as_of = span.end
        notes.append(f"answers hold as of {text(span.end, declared.timezone)}, the end of the data")
    evidence.model = with_edges_of(evidence, declared)
    return Log(FileSource(evidence, tuple(notes)))


_ANY_TIME = 1 << 60
_MISSING = " and count as missing"


def _task(name: str, model: str | Model) -> Task | None:
    """Return the task that was asked for; None when none was."""
    known = [task.value for task in Task]
    if name and name not in known:
        msg = f"there is no task {name!r}"
        raise UsageError(msg, hint=did_you_mean(name, known) or f"one of {', '.join(known)}")
    if name and isinstance(model, Model) and model.task != name:
        msg = f"task={name!r}, and the declaration says {model.task.value}"
        raise UsageError(msg, hint="leave one of them out")
    return Task(name) if name else None


def _judge(columns: Mapping[str, str], model: str | Model) -> dict[str, str]:
    """Return that no column is a judge's grade when no judge is declared, whatever a column is called."""
    if isinstance(model, str) or model.judge_kind:
        return {}
    if columns.get("judge"):
        msg = f"judge={columns['judge']!r}, and the declaration knows no judge"
        raise UsageError(msg, hint="outcomes=(OutcomeKind(), OutcomeKind('judge', final=False, judge=True))")
    return {"judge": ""}


def _renamed_words(new: str, old: str) -> str:
    return f"{new} is the file's column {old!r}: another one differs only in upper and lower case"


def _declared_text(fact: ColumnFacts, column: str, model: Model, types: Mapping[str, str]) -> ColumnFacts:
    """Return the facts of a column that stays a text, since it is declared as one."""
    declared = model.feature(column)
    is_text = declared is not None and declared.kind not in {None, "numeric", "integer"}
    return replace(fact, kind=types[column], odd=0, values=0) if is_text and fact.odd else fact


def _repeated(connection: duckdb.DuckDBPyConnection, mapped: Mapped) -> list[str]:
    """Return whether identifiers stand more than once, in words."""
    column = mapped.roles.get("prediction_id")
    if column is None:
        return []
    once = f"SELECT {quoted(column)} FROM raw_predictions WHERE {quoted(column)} IS NOT NULL GROUP BY 1"
    count = cast("int", rows(connection, f"SELECT count(*) FROM ({once} HAVING count(*) > 1)")[0][0])
    return [f"{column}: {count:,} values stand more than once; all their rows count"] if count else []


def _check_cohorts(cohorts: Columns, types: Mapping[str, str], mapped: Mapped) -> None:
    """Refuse a cohort that would have no value in any row."""
    named = tuple(cohorts or ())
    check_columns({f"cohorts[{n}]": column for n, column in enumerate(named)}, types)
    for column in named:
        if column not in mapped.inputs and column not in ROLES:
            msg = f"the cohort {column!r} is no input"
            raise ColumnError(msg, hint="add it to inputs=[...]")


def _second(
    connection: duckdb.DuckDBPyConnection,
    outcomes: Source,
    mapped: Mapped,
    columns: Mapping[str, str],
    known: Model | None,
    notes: list[str],
) -> tuple[str, dict[str, str], Mapped]:
    """Load the table of outcomes and find what joins it."""
    types = load(connection, outcomes, "raw_outcomes")
    facts = look_at(connection, "raw_outcomes", types)
    wanted = {role: columns[role] for role in ("outcome", "value_usd") if role in columns}
    links = [role for role in ("prediction_id", "key") if mapped.roles.get(role) in types]
    if not links:
        msg = "nothing joins the two tables: no prediction_id or key column stands in both"
        raise UsageError(msg, hint="name it: key='order_id'")
    link = links[0]
    wanted[link] = mapped.roles[link]
    found = guess(facts, wanted, ())
    if "outcome" not in found.roles:
        msg = f"no outcome column among {', '.join(types)}"
        raise UsageError(msg, hint="name it: outcome='is_fraud'")
    if link == "key":
        found = Mapped({k: v for k, v in found.roles.items() if k != "prediction_id"}, (), found.scales)
    guessed = said(found, wanted)
    notes.append(f"outcomes: joined by {link} {mapped.roles[link]!r}{f', {guessed}' if guessed else ''}")
    types = mend(connection, "raw_outcomes", types, facts, found)
    notes += warnings(facts, found, _MISSING, known)
    if "time" not in found.roles:
        notes.append("outcomes have no time: as_of leaves none of them out")
    return "raw_outcomes", types, found


def _with_outcome(mapped: Mapped, outcomes: Mapped) -> Mapped:
    return Mapped({**mapped.roles, "outcome": outcomes.roles["outcome"]}, mapped.inputs, mapped.scales)


def _note_times(
    connection: duckdb.DuckDBPyConnection, types: Mapping[str, str], mapped: Mapped, tz: str, notes: list[str]
) -> None:
    column = mapped.roles.get("time")
    if column is None:
        notes.append("no time column: all rows are one window")
    elif types[column] != "TIMESTAMP WITH TIME ZONE":
        notes.append(f"{column} has no zone: read as {tz} (tz={tz!r})")
        skipped = shifted_times(connection, "raw_predictions", column, types[column], tz)
        if skipped:
            notes.append(f"{skipped:,} times do not exist in {tz} (daylight saving): moved one hour on")


def _guessed_model(
    name: str,
    task: Task,
    facts: Mapping[str, ColumnFacts],
    mapped: Mapped,
    tz: str,
    cohorts: Columns,
    notes: list[str],
) -> Model:
    chosen = list(cohorts) if cohorts is not None else guess_cohorts(facts, mapped)
    if cohorts is None and chosen:
        notes.append(f"cohorts={chosen!r}")
    return Model(
        name=name,
        task=task,
        timezone=tz,
        cohorts=tuple(Cohort(column, by=column) for column in chosen),
        outcomes=guess_kinds(mapped),
    )
