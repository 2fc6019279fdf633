"""Profiles kept as files: made of a table, and compared with another one."""

from __future__ import annotations

from pathlib import Path

from setpoint.answers.diff import Reference
from setpoint.answers.sides import Side, side_of_states
from setpoint.core.errors import UsageError
from setpoint.core.model import Model
from setpoint.core.window import days_in_words
from setpoint.project.tables import Columns, Known, check_inputs, chosen, table, types_changed
from setpoint.store.ages import AGE, NO_AGE
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
    named = chosen(inputs)
    with table(source, named, Model(name="", timezone=tz), time=time) as rows:
        check_inputs(named, rows)
        days = rows.profile_by_day(None) if time else [(0, rows.profile(None))]
        if not days:
            msg = f"no row has a time in {time!r}"
            raise UsageError(msg, hint="name the column that says when each row was")
        name = Path(source).name if isinstance(source, str | Path) else "the reference table"
        known, definition = rows.known, Definition(rows.definition.features)
        reach = days_in_words(rows.span, [midnight for midnight, _ in days]) if rows.span else ""
        odd = tuple(sorted(known.aside)), rows.said, reach
        saved = SavedProfile(name, tz, bool(time), dict(known.kinds), definition, days, *odd)
    saved.write(Path(path))
    return saved


def is_profile_file(source: object) -> bool:
    """Return whether a source is the file of a profile."""
    return isinstance(source, str | Path) and Path(source).suffix == PROFILE_ENDING


def saved_columns(saved: SavedProfile) -> Known:
    """Return what the columns of a profile are, for later tables."""
    return Known(saved.kinds, saved.aside)


def saved_side(saved: SavedProfile) -> Side:
    """Return a profile as the reference of a comparison."""
    if not saved.is_timed:
        return Side.of(saved.name, saved.days[0][1], saved.definition)
    named = f"{saved.name}, {saved.reach}" if saved.reach else saved.name
    return side_of_states(named, saved.days, saved.definition, saved.zone)


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
    features, retyped = dict(saved.definition.features), types_changed(saved.kinds, evidence)
    for name in list(retyped):
        if isinstance(features.get(name), Scale):
            features.pop(name)  # a text is in no bin
        for part in (f"{name}{AGE}", *(part_of(name, part) for part in PARTS)):
            if features.pop(part, None) is not None:
                retyped[part] = retyped[name]
    if saved.is_timed != evidence.is_timed:
        for name in [name for name in features if name.endswith(AGE)]:
            retyped[name] = NO_AGE
            features.pop(name)
    new = {name: column for name, column in evidence.inputs.items() if name not in saved.kinds}
    return Definition({**features, **evidence.define(new).features}), retyped
