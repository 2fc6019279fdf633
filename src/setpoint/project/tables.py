"""Tables without a log: opened as rows of inputs, or as what comparisons of a log start from."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from setpoint.answers.diff import Reference
from setpoint.answers.sides import Side
from setpoint.core.errors import UsageError
from setpoint.core.model import Model
from setpoint.inputs.drift import TYPE_CHANGED
from setpoint.project.guess import ColumnFacts, guess, look_at, mend
from setpoint.store.ages import AGE, NO_AGE, is_time_type
from setpoint.store.defining import is_number_type
from setpoint.store.engines.duck import connect
from setpoint.store.evidence import RowEvidence
from setpoint.store.files import ROLES, Source, create_views, load
from setpoint.store.measures import Definition, Scale

Columns = tuple[str, ...] | list[str] | None


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
        # Only texts need a look: one that differs in almost every row is free text, or no feature.
        looked = look_at(connection, "raw_predictions", {c: kind for c, kind in types.items() if kind == "VARCHAR"})
        facts = {c: looked.get(c) or ColumnFacts.unseen(kind) for c, kind in types.items()}
        nothing: dict[str, str] = {**dict.fromkeys(ROLES, ""), "time": time}
        present = None if inputs is None else tuple(name for name in inputs if name in types)
        mapped = guess(facts, nothing, present, with_texts=True)
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
        for feature in [name for name, column in found.inputs.items() if is_time_type(column.kind)]:
            if found.is_timed != evidence.is_timed:
                retyped[f"{feature}{AGE}"] = NO_AGE
                del found.inputs[feature]
        only_there = {feature: column for feature, column in found.inputs.items() if feature not in evidence.inputs}
        found.definition = Definition({**evidence.definition.features, **found.define(only_there).features})
        side = Side.of(name, found.profile(None), found.definition)
        yield Reference(side, retyped, rows=found)
