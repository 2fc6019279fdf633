"""Profiles kept as files: made of a table, and compared with another one."""

from __future__ import annotations

from pathlib import Path

from setpoint.answers.diff import Reference
from setpoint.answers.sides import Side, side_of_states
from setpoint.core.errors import UsageError
from setpoint.core.model import Model
from setpoint.inputs.drift import TYPE_CHANGED
from setpoint.project.tables import Columns, table
from setpoint.store.ages import AGE, NO_AGE
from setpoint.store.defining import is_number_type
from setpoint.store.evidence import RowEvidence
from setpoint.store.files import Source
from setpoint.store.measures import Definition, Scale
from setpoint.store.profile_file import PROFILE_ENDING, SavedProfile
from setpoint.store.texts import PARTS, part_of


def save_profile(
    source: Source, path: str | Path, *, time: str = "", tz: str = "UTC", inputs: Columns = None
) -> SavedProfile:
    """Write how a table looks into a file, to compare others with: `setpoint.diff("train.profile", now)`.

    Counts of bins and values, sums and extremes of each column; no row, but frequent values and values that were seen
    are in it by name. Some KB a column.

    Args:
        source: The table, as `read` takes it.
        path: The file to write, best with the ending `.profile`.
        time: The column that says when each row was: then days are told apart, and how days differ is known.
        tz: The zone whose days count, and of times that carry none.
        inputs: The columns; all others by default.

    Raises:
        ColumnError: A named column is not there.
        EmptyFile: The table has no rows.

    Example:
        >>> import duckdb, tempfile
        >>> train = duckdb.sql("SELECT i % 7 AS weekday FROM range(4200) AS t(i)")
        >>> now = duckdb.sql("SELECT i % 6 AS weekday FROM range(4200) AS t(i)")
        >>> import setpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     saved = save_profile(train, f"{folder}/train.profile")
        ...     print(setpoint.diff(f"{folder}/train.profile", now).headline)
        1 of 1 features changed beyond chance: weekday mean 3 → 2.5
    """
    chosen = tuple(inputs) if inputs is not None else None
    with table(source, chosen, Model(name="", timezone=tz), time=time) as rows:
        days = rows.profile_by_day(None) if time else [(0, rows.profile(None))]
        if not days:
            msg = f"no row has a time in {time!r}"
            raise UsageError(msg, hint="name the column that says when each row was")
        kinds = {name: column.kind for name, column in rows.inputs.items()}
        name = Path(source).name if isinstance(source, str | Path) else "the reference table"
        saved = SavedProfile(name, tz, bool(time), kinds, Definition(rows.definition.features), days)
    saved.write(Path(path))
    return saved


def is_profile_file(source: object) -> bool:
    """Return whether a source is the file of a profile."""
    return isinstance(source, str | Path) and Path(source).suffix == PROFILE_ENDING


def saved_side(saved: SavedProfile) -> Side:
    """Return a profile as the reference of a comparison."""
    if not saved.is_timed:
        return Side.of(saved.name, saved.days[0][1], saved.definition)
    return side_of_states(saved.name, saved.days, saved.definition, saved.zone)


def saved_reference(path: Path, evidence: RowEvidence) -> Reference:
    """Return a profile as what a log's predictions are compared with.

    Raises:
        UsageError: There is no such file, it is no profile, or it has none of the log's inputs.
    """
    saved = SavedProfile.read(path)
    if not saved.kinds.keys() & evidence.inputs.keys():
        msg = f"{path.name} has none of the model's inputs: {', '.join(evidence.inputs)}"
        raise UsageError(msg, hint="give the profile of the rows that the model was trained on")
    definition, retyped = comparable(saved, evidence)
    return Reference(saved_side(saved), retyped, definition)


def comparable(saved: SavedProfile, evidence: RowEvidence) -> tuple[Definition, dict[str, str]]:
    """Return how the columns of a profile are binned in other rows, and those whose type changed, in words."""
    features, retyped = dict(saved.definition.features), dict[str, str]()
    for name, column in evidence.inputs.items():
        kind = saved.kinds.get(name)
        if kind is not None and is_number_type(kind) != is_number_type(column.kind):
            retyped[name] = f"{TYPE_CHANGED} from {kind} to {column.kind}"
            if isinstance(features.get(name), Scale):
                features.pop(name)  # a text is in no bin
            for part in PARTS:
                features.pop(part_of(name, part), None)
    if saved.is_timed != evidence.is_timed:
        for name in [name for name in features if name.endswith(AGE)]:
            retyped[name] = NO_AGE
            features.pop(name)
    new = {name: column for name, column in evidence.inputs.items() if name not in saved.kinds}
    return Definition({**features, **evidence.define(new).features}), retyped
