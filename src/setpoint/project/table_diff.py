"""Two tables compared, without a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from setpoint.answers.answer import Answer
from setpoint.answers.diff import compared
from setpoint.answers.sides import Side, Sides
from setpoint.project.saved_profiles import comparable, is_profile_file, saved_columns, saved_side
from setpoint.project.tables import NO_TYPE, Columns, TableRows, check_inputs, chosen, table, types_changed
from setpoint.store.evidence import RowEvidence
from setpoint.store.files import Source
from setpoint.store.measures import Column, Definition
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
    named = chosen(inputs)
    if is_profile_file(reference):
        return _since_profile(SavedProfile.read(Path(str(reference))), current, named)
    with table(reference, named) as before, table(current, named, known=before.known) as after:
        check_inputs(named, before, after)
        retyped = _retyped(before, after)
        shared = before.definition
        new = {name: column for name, column in after.profiled.items() if name not in before.profiled}
        if new:
            shared = Definition({**shared.features, **after.define(new).features})
        sides = Sides(
            Side.of("the reference table", _profile(before, shared), shared),
            Side.of("the current table", _profile(after, shared), shared),
            retyped=retyped,
            said=_said(before.said, after.said),
        )
        return compared(after, sides)


def _retyped(before: TableRows, after: TableRows) -> dict[str, str]:
    """Return the columns of another type in the later table, in words; both are then read as text."""
    found = types_changed(before.kinds, after)
    for name, kind in before.kinds.items():
        if name in found:
            for side in (before, after):
                side.inputs[name] = replace(side.inputs[name], kind="VARCHAR", is_text=False)
        elif kind == NO_TYPE and name in after.inputs:
            other = after.inputs[name].kind
            before.inputs[name] = Column(f"CAST(NULL AS {other})", other)
    return found


def _said(before: Sequence[str], after: Sequence[str]) -> tuple[str, ...]:
    """Return what is odd about two tables; what is left out of the earlier one is out of the later one too."""
    return (*(f"the reference: {one}" for one in before), *(f"the current table: {one}" for one in after))


def _profile(evidence: RowEvidence, definition: Definition) -> StateTable:
    return query_profile(evidence.connection, definition, evidence.profiled, is_weighted=False)


def _since_profile(saved: SavedProfile, current: Source, named: tuple[str, ...] | None) -> Answer:
    with table(current, named, known=saved_columns(saved)) as after:
        definition, retyped = comparable(saved, after)
        side = Side.of("the current table", _profile(after, definition), definition)
        said = _said(saved.said, after.said)
        return compared(after, Sides(saved_side(saved), side, retyped=retyped, said=said))
