"""Tables without a log: two of them compared, or one that comparisons of a log start from."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from setpoint.answers.answer import Answer
from setpoint.answers.diff import Reference, compared
from setpoint.answers.sides import Side, Sides
from setpoint.core.errors import UsageError
from setpoint.core.model import Model
from setpoint.inputs.drift import TYPE_CHANGED
from setpoint.project.guess import ColumnFacts, guess, look_at, mend
from setpoint.store.engines.duck import connect
from setpoint.store.evidence import RowEvidence, is_number_type
from setpoint.store.files import ROLES, Source, create_views, load
from setpoint.store.measures import Definition, Scale
from setpoint.store.profiling import query_profile
from setpoint.store.states import StateTable

Columns = tuple[str, ...] | list[str] | None


def diff_tables(reference: Source, current: Source, *, inputs: Columns = None) -> Answer:
    """What changed between two tables, for example the training data and this week's?

    Args:
        reference: The earlier table, as `read` takes it.
        current: The later table.
        inputs: The columns to compare; all that either table has when left out.

    Raises:
        ColumnError: A named column is in neither table.
        EmptyFile: A table has no rows.

    Example:
        >>> import duckdb
        >>> train = duckdb.sql("SELECT i % 7 AS weekday FROM range(4200) AS t(i)")
        >>> now = duckdb.sql("SELECT i % 6 AS weekday FROM range(4200) AS t(i)")
        >>> diff_tables(train, now).headline
        '1 of 1 features changed beyond chance: weekday mean 3 → 2.5'
    """
    chosen = tuple(inputs) if inputs is not None else None
    with table(reference, chosen) as before, table(current, chosen) as after:
        retyped = _retyped(before, after)
        shared = before.definition
        new = {name: column for name, column in after.profiled.items() if name not in before.profiled}
        if new:
            shared = Definition({**shared.features, **after.define(new).features})
        sides = Sides(
            Side.of("the reference table", _profile(before, shared), shared),
            Side.of("the current table", _profile(after, shared), shared),
            retyped=retyped,
        )
        return compared(after, sides)


def _retyped(before: RowEvidence, after: RowEvidence) -> dict[str, str]:
    """Return the columns that are numbers in one table and text in the other; both are then read as text."""
    found: dict[str, str] = {}
    for name, column in before.inputs.items():
        other = after.inputs.get(name)
        if other is not None and is_number_type(column.kind) != is_number_type(other.kind):
            found[name] = f"{TYPE_CHANGED} from {column.kind} to {other.kind}"
            before.inputs[name], after.inputs[name] = replace(column, kind="VARCHAR"), replace(other, kind="VARCHAR")
    return found


def _profile(evidence: RowEvidence, definition: Definition) -> StateTable:
    return query_profile(evidence.connection, definition, evidence.profiled, is_weighted=False)


@contextmanager
def table(
    source: Source, inputs: tuple[str, ...] | None = None, model: Model | None = None, *, time: str = ""
) -> Generator[RowEvidence]:
    """Open a table whose columns are all inputs: rows without predictions or outcomes.

    Args:
        source: The table, as `read` takes it.
        inputs: Its inputs; None for every column that can be one.
        model: Whose kinds, cohorts and zone hold.
        time: The column that says when each row was; empty for rows without a time.

    Raises:
        UsageError: It cannot be read.
        EmptyFile: It has no rows.
    """
    connection = connect()
    try:
        types = load(connection, source, "raw_predictions")
        # Only texts need a look: one that differs in almost every row is no feature.
        looked = look_at(connection, "raw_predictions", {c: kind for c, kind in types.items() if kind == "VARCHAR"})
        facts = {c: looked.get(c) or ColumnFacts.unseen(kind) for c, kind in types.items()}
        nothing: dict[str, str] = {**dict.fromkeys(ROLES, ""), "time": time}
        present = None if inputs is None else tuple(name for name in inputs if name in types)
        mapped = guess(facts, nothing, present)
        types = mend(connection, "raw_predictions", types, facts, mapped)
        zone = "UTC" if model is None else model.timezone
        features = create_views(connection, ("raw_predictions", types, mapped), None, zone)
        yield RowEvidence(connection, model or Model(name=""), features, 0, is_joined=True, is_recorded=False)
    finally:
        connection.close()


@contextmanager
def reference_rows(source: Source, evidence: RowEvidence) -> Generator[Reference]:
    """Open the table that a log is compared with: its inputs are the log's, binned as the log's are.

    Raises:
        UsageError: It cannot be read, or has none of the log's inputs.
        EmptyFile: It has no rows.
    """
    wanted = tuple(dict.fromkeys([*evidence.inputs, *(feature.name for feature in evidence.model.features)]))
    name = Path(source).name if isinstance(source, str | Path) else "the reference table"
    with table(source, wanted, evidence.model) as found:
        if wanted and not found.inputs:
            msg = f"{name} has none of the model's inputs: {', '.join(wanted)}"
            raise UsageError(msg, hint="give the rows that the model was trained on")
        retyped: dict[str, str] = {}
        for feature, column in list(found.inputs.items()):
            other = evidence.inputs.get(feature)
            if other is not None and is_number_type(column.kind) != is_number_type(other.kind):
                retyped[feature] = f"{TYPE_CHANGED} from {column.kind} to {other.kind}"
                if isinstance(evidence.definition.features.get(feature), Scale):
                    del found.inputs[feature]  # a text is in no bin
        only_there = {feature: column for feature, column in found.inputs.items() if feature not in evidence.inputs}
        found.definition = Definition({**evidence.definition.features, **found.define(only_there).features})
        yield Reference(found, name, retyped)
