"""Tables without a log: opened as rows of inputs, or as what comparisons of a log start from."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import cast

import duckdb

from setpoint.answers.diff import Reference
from setpoint.answers.sides import Side
from setpoint.core.errors import ColumnError, UsageError
from setpoint.core.model import Model
from setpoint.core.reference import ROLES
from setpoint.inputs.drift import type_changed
from setpoint.project.guess import ColumnFacts, guess, look_at, mend, warnings
from setpoint.store.ages import AGE, NO_AGE
from setpoint.store.defining import is_number_type
from setpoint.store.engines.duck import connect, quoted, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.files import Source, check_columns, create_views, load
from setpoint.store.measures import Column, Definition, Scale
from setpoint.store.times import is_time_type

Columns = tuple[str, ...] | list[str] | None

NO_TYPE = '"NULL"'
"""The type of a column in which no row has a value."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the columns of a reference are, and so those of later tables.

    Attributes:
        kinds: SQL type of each that is a feature.
        aside: Those that are none: identifiers, nested ones, the time of the rows.
    """

    kinds: Mapping[str, str]
    aside: Collection[str]


class TableRows(RowEvidence):
    """The rows of a table whose columns are all inputs.

    Attributes:
        time: The column that says when each row was; empty for none.
        left_out: Columns that are no input.
        said: What is odd about the columns and the rows, in words.
    """

    time = ""
    left_out: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    @cached_property
    def kinds(self) -> dict[str, str]:
        """SQL type of each input; `NO_TYPE` of those without a value."""
        return {name: one.kind if has_value(self, name) else NO_TYPE for name, one in self.inputs.items()}

    @property
    def known(self) -> Known:
        """What its columns are, for later tables."""
        return Known(self.kinds, {*self.left_out, self.time})


@contextmanager
def table(
    source: Source,
    inputs: tuple[str, ...] | None = None,
    model: Model | None = None,
    *,
    time: str = "",
    known: Known | None = None,
) -> Generator[TableRows]:
    """Open a table whose columns are all inputs: rows without predictions or outcomes.

    Args:
        source: The table, as `read` takes it.
        inputs: Its inputs; None for every column that can be one.
        model: Whose kinds, cohorts and zone hold.
        time: The column that says when each row was; empty for rows without a time.
        known: What the columns of the reference are: only others are guessed.

    Raises:
        UsageError: It cannot be read.
        ColumnError: Numbers are no times.
        EmptyFile: It has no rows.
    """
    connection = connect()
    try:
        types = load(connection, source, "raw_predictions")
        # Only texts need a look: one that differs in almost every row is free text, or no feature.
        looked = look_at(connection, "raw_predictions", {c: kind for c, kind in types.items() if kind == "VARCHAR"})
        facts = {c: looked.get(c) or ColumnFacts.unseen(kind) for c, kind in types.items()}
        if known is not None:
            facts = {c: _as_known(fact, types[c], known.kinds.get(c)) for c, fact in facts.items()}
            facts = {c: fact for c, fact in facts.items() if c not in known.aside or c == time}
        nothing: dict[str, str] = {**dict.fromkeys(ROLES, ""), "time": time}
        present = None if inputs is None else tuple(name for name in inputs if name in types)
        mapped = guess(facts, nothing, present, known.kinds if known else (), with_texts=True)
        types = mend(connection, "raw_predictions", types, facts, mapped)
        if time:
            _check_time(connection, time, types[time])
        zone = "UTC" if model is None else model.timezone
        features = create_views(connection, ("raw_predictions", types, mapped), None, zone)
        found = TableRows(connection, model or Model(name=""), features, 0, is_joined=True, is_recorded=False)
        found.time, found.left_out = time, mapped.left_out
        found.said = (*warnings(facts, mapped, " and count as missing", found.model), *_untimed(connection, time))
        yield found
    finally:
        connection.close()


def chosen(columns: Columns, argument: str = "inputs") -> tuple[str, ...] | None:
    """Return the columns that a person named by an argument; None when there are none.

    Raises:
        UsageError: It is a text.
    """
    if isinstance(columns, str):
        msg = f"{argument}={columns!r} is a text, and a list of columns is wanted"
        raise UsageError(msg, hint=f"{argument}=[{columns!r}]")
    return None if columns is None else tuple(columns)


def check_inputs(inputs: tuple[str, ...] | None, *tables: TableRows) -> None:
    """Refuse a named input that is in none of some tables.

    Raises:
        ColumnError: There is no such column.
    """
    found = [rows(each.connection, "DESCRIBE raw_predictions") for each in tables]
    types = {str(name): str(kind) for each in found for name, kind, *_ in each}
    check_columns({f"inputs[{n}]": column for n, column in enumerate(inputs or ())}, types)


def has_value(evidence: RowEvidence, name: str) -> bool:
    """Return whether a row has a value of an input."""
    sql = f"SELECT 1 FROM predictions WHERE {evidence.inputs[name].sql} IS NOT NULL LIMIT 1"
    return bool(rows(evidence.connection, sql))


def types_changed(kinds: Mapping[str, str], evidence: RowEvidence) -> dict[str, str]:
    """Return the inputs of another type than in the reference, in words; one without a value takes the type it had.

    Args:
        kinds: SQL type of each column of the reference.
        evidence: The later rows.
    """
    found: dict[str, str] = {}
    for name, kind in kinds.items():
        column = evidence.inputs.get(name)
        said = "" if column is None or kind == NO_TYPE else type_changed(kind, _kind_of(evidence, name))
        if said and has_value(evidence, name):
            found[name] = said
        elif said:
            evidence.inputs[name] = Column(f"CAST(NULL AS {kind})", kind)
    return found


def _kind_of(evidence: RowEvidence, name: str) -> str:
    """Return the SQL type of an input; a text that is declared as a time is one."""
    declared = evidence.model.feature(name)
    return "TIMESTAMP" if declared is not None and declared.kind == "time" else evidence.inputs[name].kind


def _as_known(fact: ColumnFacts, kind: str, known: str | None) -> ColumnFacts:
    """Return the facts of a column of texts, of which the reference says that they are no numbers."""
    return replace(fact, kind=kind, odd=0, values=0) if known is not None and not is_number_type(known) else fact


def _check_time(connection: duckdb.DuckDBPyConnection, column: str, kind: str) -> None:
    """Refuse numbers that lie before 1973 as seconds since 1970: they are something else."""
    if not is_number_type(kind):
        return
    [(middle,)] = rows(connection, f"SELECT CAST(median(abs({quoted(column)})) AS DOUBLE) FROM raw_predictions")
    if middle is not None and cast("float", middle) < _FIRST_SECONDS:
        msg = f"time={column!r} holds numbers such as {middle:g}, which are no times since 1970"
        raise ColumnError(msg, hint="name the column that says when each row was: time='ts'")


_FIRST_SECONDS = 1e8
"""March 1973: as in `times`, smaller numbers are no times that anyone has rows of."""


def _untimed(connection: duckdb.DuckDBPyConnection, time: str) -> list[str]:
    """Return how many rows have no time, in words."""
    if not time:
        return []
    [(count, total)] = rows(connection, "SELECT count(*) - count(predicted_at), count(*) FROM predictions")
    return [f"{count:,} of {total:,} rows have no time in {time!r}: left out"] if count else []


@contextmanager
def training_rows(evidence: RowEvidence) -> Generator[RowEvidence | None]:
    """Open the file of rows that a model declares it was trained on; None when it declares none that can be read."""
    with ExitStack() as opened:
        found: RowEvidence | None = None
        with suppress(UsageError):
            if evidence.model.reference_file:
                wanted = tuple(evidence.inputs)
                found = opened.enter_context(table(evidence.model.reference_file, wanted, evidence.model))
        yield found


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
        for feature in [name for name in found.inputs if name in evidence.inputs]:
            kinds = _kind_of(found, feature), _kind_of(evidence, feature)
            if said := type_changed(*kinds):
                retyped[f"{feature}{AGE}" if is_time_type(kinds[1]) else feature] = said
                if isinstance(evidence.definition.features.get(feature), Scale):
                    del found.inputs[feature]  # a text is in no bin
        for feature in [name for name, column in found.inputs.items() if is_time_type(column.kind)]:
            if found.is_timed != evidence.is_timed:
                retyped[f"{feature}{AGE}"] = NO_AGE
                del found.inputs[feature]
        only_there = {feature: column for feature, column in found.inputs.items() if feature not in evidence.inputs}
        found.definition = Definition({**evidence.definition.features, **found.define(only_there).features})
        side = Side.of(name, found.profile(None), found.definition)
        yield Reference(side, retyped, rows=found)
