"""Two tables compared, without a log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from setpoint.answers.answer import Answer
from setpoint.answers.diff import compared
from setpoint.answers.sides import Side, Sides
from setpoint.inputs.drift import TYPE_CHANGED
from setpoint.project.saved_profiles import comparable, is_profile_file, saved_side
from setpoint.project.tables import Columns, table
from setpoint.store.defining import is_number_type
from setpoint.store.evidence import RowEvidence
from setpoint.store.files import Source
from setpoint.store.measures import Definition
from setpoint.store.profile_file import SavedProfile
from setpoint.store.profiling import query_profile
from setpoint.store.states import StateTable


def diff_tables(reference: Source, current: Source, *, inputs: Columns = None) -> Answer:
    """What changed between two tables, for example the training data and this week's?

    Args:
        reference: The earlier table, as `read` takes it, or the file of its profile.
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
    if is_profile_file(reference):
        return _since_profile(SavedProfile.read(Path(str(reference))), current, chosen)
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
            before.inputs[name], after.inputs[name] = (
                replace(one, kind="VARCHAR", is_text=False) for one in (column, other)
            )
    return found


def _profile(evidence: RowEvidence, definition: Definition) -> StateTable:
    return query_profile(evidence.connection, definition, evidence.profiled, is_weighted=False)


def _since_profile(saved: SavedProfile, current: Source, chosen: tuple[str, ...] | None) -> Answer:
    with table(current, chosen) as after:
        definition, retyped = comparable(saved, after)
        side = Side.of("the current table", _profile(after, definition), definition)
        return compared(after, Sides(saved_side(saved), side, retyped=retyped))
