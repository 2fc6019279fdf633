"""Two files as a training set and the rows to evaluate on, with the columns that both of them have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import duckdb
import numpy as np
from numpy.typing import NDArray

from setpoint.core.clock import time_zone
from setpoint.core.errors import ColumnError, UsageError
from setpoint.core.metric import counted
from setpoint.core.model import Model, Task
from setpoint.core.reference import ROLES
from setpoint.feedback.leaks import Column, Split, Twins
from setpoint.project.fitted import Columns
from setpoint.project.guess import ColumnFacts, check_roles, guess, look_at, mend
from setpoint.project.guess import said as said_roles
from setpoint.project.init import Looked, guessed_task, positive_value
from setpoint.stats.special import FloatArray
from setpoint.store.defining import is_number_type
from setpoint.store.engines.duck import literal, quoted, rows
from setpoint.store.files import SECONDS, Mapped, Source, check_columns, load
from setpoint.store.task_sql import class_text, gains, grade
from setpoint.store.times import time_sql

TRAIN, TEST = "evaluate_train", "evaluate_test"
MOST_ROWS = 300_000
"""Rows of a file that columns are judged by; of a longer one a share, chosen by a hash of the row."""
_NOT_IN_TRAINING = (
    "version", "endpoint", "prediction", "score", *SECONDS, "cost_usd", "value_usd", "error", "keep_probability",
)  # fmt: skip
_ANSWERS = {"prediction", "predicted", "y_pred", "y_hat", "yhat"}
"""What nobody calls an input: such a column is what the model answered, in either file."""
_SCORES = {"score", "y_score", "y_prob", "y_proba", "pred_proba"}
"""As above, where all values are probabilities; a score of another kind may well be an input."""
_NOT_COMPARED = ("time", "observed_at", "key", "prediction_id", "unit")
_TELLING = 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person says beside the two files.

    Attributes:
        columns: Column by role, where a guess would be wrong; an empty text says that there is none.
        inputs: The input columns; None to guess.
        entities: Columns whose values are to be on one side only.
        observed: Column with the time when an input was observed, by input.
        zone: The zone of times that carry none.
    """

    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    inputs: tuple[str, ...] | None = None
    entities: tuple[str, ...] = ()
    observed: Mapping[str, str] = field(default_factory=dict[str, str])
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Files:
    """A training file and a file to evaluate on, looked at.

    Attributes:
        train: The training rows.
        test: The rows to evaluate on; its columns play the roles that they play in the training file.
        task: What is predicted.
        positive: Binary: the outcome that means yes, as text; empty when outcomes are 0 and 1.
        has_classes: Whether outcomes are classes: leaks are sought of one of them, against all others.
        asked: What was said.
        notes: What was guessed, in words.
    """

    train: Looked
    test: Looked
    task: Task
    positive: str
    asked: Asked
    notes: tuple[str, ...]
    has_classes: bool = False


def open_files(
    connection: duckdb.DuckDBPyConnection, train: Source, test: Source, asked: Asked, model: Model | None = None
) -> Files:
    """Load both files and find which column plays which role.

    Args:
        connection: Where to.
        train: The training rows, as `setpoint.read` takes them.
        test: The rows to evaluate on.
        asked: What need not be guessed.
        model: The declaration, for the task and what means yes.

    Raises:
        UsageError: A file cannot be read, or no column is an outcome.
        ColumnError: A named column is not there, or the test file lacks the outcome or every input.
    """
    check_roles(asked.columns)
    time_zone(asked.zone)
    known = _training(connection, train, asked)
    later, lacking = _evaluated(connection, test, known, asked)
    for name in (*asked.entities, *asked.observed.values()):
        for side in (known, later):
            check_columns({f"{side.name}": name}, side.types)
    task, said = guessed_task(known, known)
    positive, notes = "", [f"task {said.value}, {said.reason}"]
    if model is not None:
        task, positive, notes = model.task, model.positive, [f"task {model.task.value}, as {model.name} declares"]
    has_classes = task is Task.MULTICLASS
    if has_classes:
        task = Task.BINARY  # whether it is one of the classes: a leak of that one is a leak
    if task is Task.BINARY and not positive and (found := positive_value(known)) is not None:
        positive = found.value
        notes.append(f"yes is {positive!r}, {found.reason}")
    guessed = said_roles(known.mapped, asked.columns)
    notes += [f"columns guessed: {guessed}"] if guessed else []
    notes += [
        f"{name} is {known.types[name]} in {known.name} and {later.types[name]} in {later.name}: compared as text"
        for name in later.mapped.inputs
        if is_number_type(known.types[name]) != is_number_type(later.types[name])
    ]
    notes += [f"not in {later.name}, and so not judged: {', '.join(lacking)}"] if lacking else []
    return Files(known, later, task, positive, asked, tuple(notes), has_classes)


def _training(connection: duckdb.DuckDBPyConnection, train: Source, asked: Asked) -> Looked:
    types = load(connection, train, TRAIN)
    facts = look_at(connection, TRAIN, types)
    roles: dict[str, str] = dict.fromkeys(_NOT_IN_TRAINING, "")  # a price or a duration among training rows is an input
    if "observed_at" in types and "observed_at" not in asked.columns:
        roles["observed_at"] = "observed_at"
    # A score may be named that only the test file has.
    given = {role: c for role, c in asked.columns.items() if role not in _NOT_IN_TRAINING or c in types}
    mapped = guess(facts, {**roles, **given}, asked.inputs)
    if "outcome" not in mapped.roles:
        msg = f"no column of {_name(train, 'the training table')} looks like an outcome: {', '.join(types)}"
        raise UsageError(msg, hint="name it: --map outcome=is_fraud")
    # When an input was observed, and what the model answered, are no inputs.
    named = {*asked.columns.values(), *(asked.inputs or ())}
    answers = set[str]() if "prediction" in asked.columns else _ANSWERS - named
    answers |= set[str]() if "score" in asked.columns else _scores(facts) - named
    no_inputs = {*asked.observed.values(), *given.values(), *answers}
    mapped = Mapped(mapped.roles, tuple(c for c in mapped.inputs if c not in no_inputs), mapped.scales)
    for name in asked.observed:
        if name not in mapped.inputs:
            msg = f"{name!r} is no input: {', '.join(mapped.inputs)}"
            raise ColumnError(msg, hint="write --observed INPUT=COLUMN, the column with the time of observation")
    types = mend(connection, TRAIN, types, facts, mapped)
    return Looked(connection, TRAIN, _name(train, "the training table"), types, facts, mapped)


def _evaluated(
    connection: duckdb.DuckDBPyConnection, test: Source, train: Looked, asked: Asked
) -> tuple[Looked, list[str]]:
    """Return the file to evaluate on, and the inputs that it lacks."""
    types = load(connection, test, TEST)
    facts = look_at(connection, TEST, types)
    name = _name(test, "the test table")
    outcome = train.mapped.roles["outcome"]
    if outcome not in types:
        msg = f"{name} has no outcomes: no column {outcome!r}"
        raise ColumnError(msg, hint=f"columns: {', '.join(list(types)[:20])}")
    inputs = tuple(column for column in train.mapped.inputs if column in types)
    if train.mapped.inputs and not inputs:
        msg = f"{name} has none of the inputs of {train.name}: {', '.join(train.mapped.inputs[:20])}"
        raise ColumnError(msg, hint="give rows with the columns that the model was trained on")
    roles = dict.fromkeys(ROLES, "") | {role: c for role, c in train.mapped.roles.items() if c in types}
    free = ("score", "prediction", "ranking", "judge")
    roles = {role: c for role, c in roles.items() if role not in free or c} | {
        role: asked.columns[role] for role in free if role in asked.columns
    }
    new = {
        c: f for c, f in facts.items() if c not in train.types or c in roles.values() or c in _ANSWERS | _scores(facts)
    }
    mapped = guess(new | {c: facts[c] for c in inputs}, roles, inputs)
    types = mend(connection, TEST, types, facts, mapped)
    lacking = [column for column in train.mapped.inputs if column not in types]
    return Looked(connection, TEST, name, types, facts, mapped), lacking


def _scores(facts: Mapping[str, ColumnFacts]) -> set[str]:
    """Return the columns that hold what the model answered as a probability."""
    return {name for name in _SCORES & facts.keys() if facts[name].is_probability}


def _name(source: Source, otherwise: str) -> str:
    return Path(source).name if isinstance(source, str | Path) else otherwise


def split_of(files: Files) -> tuple[Split, tuple[str, ...]]:
    """Return both files as arrays, and in words what was left out.

    Args:
        files: From `open_files`.

    Raises:
        ColumnError: A column cannot be the time that its role asks for.
    """
    reader = _Reader(files)
    roles = files.train.mapped.roles
    both = {role: column for role, column in roles.items() if column in files.test.types}
    units = [both["unit"]] if "unit" in both else list[str]()
    entities = tuple(dict.fromkeys([*files.asked.entities, *units]))
    split = Split(
        inputs=tuple(reader.column(name) for name in files.test.mapped.inputs),
        train_outcomes=reader.outcomes(files.train),
        test_outcomes=reader.outcomes(files.test),
        is_binary=files.task in {Task.BINARY, Task.RANKING},
        times=reader.time(both.get("time")),
        known_at=reader.time(both.get("observed_at")),
        observed={name: reader.sure_time(column) for name, column in files.asked.observed.items()},
        identifiers=tuple(reader.column(both[role]) for role in ("key", "prediction_id") if role in both),
        entities=tuple(reader.codes(name) for name in entities),
        declared=frozenset(files.asked.entities),
        twins=_twins(files),
        zone=files.asked.zone,
    )
    return split, reader.notes


def recorded_answers(files: Files) -> tuple[FloatArray | None, FloatArray | None]:
    """Return the scores and the predictions that the file to evaluate on has; None for what it has not.

    Binary: predictions are 1 where they are the outcome that means yes.
    """
    reader, types, roles = _Reader(files), files.test.types, files.test.mapped.roles
    score = roles.get("score") if files.task is Task.BINARY else None
    scores = None if score is None else reader.tested(f"TRY_CAST({quoted(score)} AS DOUBLE)")
    name = roles.get("prediction")
    if name is None:
        return scores, None
    is_yes = files.task is Task.BINARY
    sql = _yes(quoted(name), types[name], files.positive) if is_yes else f"TRY_CAST({quoted(name)} AS DOUBLE)"
    return scores, reader.tested(sql)


def recorded_rightness(files: Files) -> FloatArray | None:
    """Return whether each recorded class is the one that came, 1 or 0, nan where nobody knows; None without any."""
    types, roles = files.test.types, files.test.mapped.roles
    if "prediction" not in roles:
        return None
    answered, came = (class_text(quoted(roles[role]), types[roles[role]]) for role in ("prediction", "outcome"))
    return _Reader(files).tested(f"CAST({answered} = {came} AS DOUBLE)")


def places_of_outcomes(files: Files, classes: Sequence[str]) -> FloatArray:
    """Return the place of each outcome among some classes; -1 for another one, nan for none."""
    column = files.test.mapped.roles["outcome"]
    came = class_text(quoted(column), files.test.types[column])
    listed = ", ".join(map(literal, classes))
    place = f"coalesce(list_position([{listed}], {came}), 0) - 1"
    return _Reader(files).tested(f"CASE WHEN {came} IS NOT NULL THEN CAST({place} AS DOUBLE) END")


def asked_of_model(files: Files, names: Sequence[str]) -> Columns:
    """Return inputs of the rows to evaluate on as a fitted model takes them: texts as objects, all else as numbers.

    Raises:
        ColumnError: The file lacks one.
    """
    reader, types = _Reader(files), files.test.types
    check_columns({f"the model's input {name}": name for name in names}, types)
    return {
        name: reader.tested_texts(name)
        if types[name].startswith(("VARCHAR", "ENUM"))
        else reader.tested(f"CAST({quoted(name)} AS DOUBLE)").astype(np.float64)
        for name in names
    }


def _yes(column: str, kind: str, positive: str) -> str:
    """Return SQL for whether a column says yes: 1, 0, or null."""
    if not positive or kind == "BOOLEAN":
        return f"TRY_CAST(TRY_CAST({column} AS BOOLEAN) AS DOUBLE)"
    yes, word = literal(positive), f"CAST({column} AS VARCHAR)"
    same = f"{word} = {yes} OR TRY_CAST({word} AS DOUBLE) = TRY_CAST({yes} AS DOUBLE)"
    return f"CASE WHEN {column} IS NOT NULL THEN CASE WHEN coalesce({same}, false) THEN 1.0 ELSE 0.0 END END"


class _Reader:
    """Reads columns of both files as numbers; the same rows of a file for every column."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._rows: dict[str, str] = {}
        notes: list[str] = []
        for side in (files.train, files.test):
            count = cast("int", rows(side.connection, f"SELECT count(*) FROM {quoted(side.table)}")[0][0])
            share = -(-count // MOST_ROWS)
            self._rows[side.table] = f"{quoted(side.table)} AS r" + (
                f" WHERE hash(r) % {share} = 0" if share > 1 else ""
            )
            if share > 1:
                notes.append(f"columns of {side.name} are judged by every {share}th of {counted(count, 'row')}")
        self.notes = tuple(notes)

    def column(self, name: str) -> Column:
        """Return an input or an identifier."""
        kinds = [side.types[name] for side in (self._files.train, self._files.test)]
        if all(is_number_type(kind) or kind == "BOOLEAN" for kind in kinds):
            sql = f"CAST({quoted(name)} AS DOUBLE)"
            return Column(name, "number", *(self._numbers(side, sql) for side in self._sides))
        if all(kind.startswith("TIMESTAMP") or kind == "DATE" for kind in kinds):
            return self.sure_time(name)
        return self.codes(name)

    def codes(self, name: str) -> Column:
        """Return a column as codes in the order of its values as text; nan for none."""
        texts = [self._fetched(side, f"CAST({quoted(name)} AS VARCHAR)") for side in self._sides]
        found = [[None if value is np.ma.masked else cast("str | None", value) for value in side] for side in texts]
        known = sorted({value for side in found for value in side if value is not None})
        place = {value: float(n) for n, value in enumerate(known)}
        nothing = float("nan")
        arrays = [np.array([nothing if v is None else place[v] for v in side], dtype=np.float64) for side in found]
        return Column(name, "category", *arrays)

    def time(self, name: str | None) -> Column | None:
        """Return a column of times; None when there is no such column, or a side has no time at all."""
        found = None if name is None else self.sure_time(name)
        is_there = found is not None and not bool(np.all(np.isnan(found.train)) or np.all(np.isnan(found.test)))
        return found if is_there else None

    def sure_time(self, name: str) -> Column:
        """Return a column of times in microseconds; nan for what is none."""
        zone = self._files.asked.zone
        sql = [f"CAST(epoch_us({time_sql(quoted(name), side.types[name], zone)}) AS DOUBLE)" for side in self._sides]
        return Column(name, "time", *(self._numbers(side, part) for side, part in zip(self._sides, sql, strict=True)))

    def outcomes(self, side: Looked) -> FloatArray:
        """Return the outcomes of a file: 0 and 1, or numbers; nan for none."""
        name = self._files.train.mapped.roles["outcome"]
        column, kind = quoted(name), side.types[name]
        if self._files.task is Task.GENERATION:
            return self._numbers(side, grade(column, kind))
        if self._files.task is Task.RANKING:  # was anything relevant?
            relevant = f"list_filter(map_values({gains(column, kind)}), lambda g: g > 0.0)"
            return self._numbers(side, f"CAST(len({relevant}) > 0 AS DOUBLE)")
        if self._files.task is Task.REGRESSION:
            return self._numbers(side, f"TRY_CAST({column} AS DOUBLE)")
        return self._numbers(side, _yes(column, kind, self._files.positive))

    def tested(self, sql: str) -> FloatArray:
        """Return what SQL makes of each row to evaluate on; nan for none."""
        return self._numbers(self._files.test, sql)

    def tested_texts(self, name: str) -> NDArray[np.generic]:
        """Return a text column of the rows to evaluate on; None for none."""
        found = self._fetched(self._files.test, f"CAST({quoted(name)} AS VARCHAR)")
        plain = np.asarray(found).astype(object)
        plain[np.ma.getmaskarray(found)] = None
        return plain

    @property
    def _sides(self) -> tuple[Looked, Looked]:
        return self._files.train, self._files.test

    def _numbers(self, side: Looked, sql: str) -> FloatArray:
        found = np.ma.filled(np.ma.asarray(self._fetched(side, sql), dtype=np.float64), np.nan)
        return np.where(np.isfinite(found), found, np.nan)

    def _fetched(self, side: Looked, sql: str) -> NDArray[np.generic]:
        found = side.connection.execute(f"SELECT {sql} AS v FROM {self._rows[side.table]}").fetchnumpy()
        return cast("NDArray[np.generic]", found["v"])


def _twins(files: Files) -> Twins:
    """Count the test rows that are equal to a training row in all columns but times and identifiers."""
    train, test = files.train, files.test
    apart = {train.mapped.roles.get(role) for role in _NOT_COMPARED} | {*files.asked.observed.values()}
    shared = [name for name in train.types if name in test.types and name not in apart]
    as_text = [f"CAST({quoted(n)} AS VARCHAR)" if train.types[n] != test.types[n] else quoted(n) for n in shared]
    row = f"hash({', '.join(as_text)})"
    distinct = ", ".join(f"count(DISTINCT {quoted(name)})" for name in shared)
    counts = rows(train.connection, f"SELECT count(DISTINCT {row}), {distinct} FROM {quoted(TRAIN)}")[0]
    different = cast("int", counts[0])
    most, telling = max(zip(cast("tuple[int, ...]", counts[1:]), shared, strict=True))
    is_telling = most > _TELLING * different
    there = f" WHERE {quoted(telling)} IS NOT NULL" if is_telling else ""
    found = rows(
        train.connection,
        f"WITH a AS (SELECT {row} AS h FROM {quoted(TRAIN)}{there}),"
        f" b AS (SELECT {row} AS h FROM {quoted(TEST)}{there})"
        " SELECT (SELECT count(*) FROM b), (SELECT count(*) FROM b SEMI JOIN a USING (h)),"
        " (SELECT coalesce(sum(n) FILTER (n > 1) / sum(n), 0.0) FROM (SELECT count(*) AS n FROM a GROUP BY h))",
    )[0]
    test_rows, twins, chance = cast("tuple[int, int, float]", found)
    return Twins(test_rows, twins, 0.0 if is_telling else chance, telling if is_telling else "", _is_same(files))


def _is_same(files: Files) -> bool:
    """Whether both files hold the same rows, in whatever order."""
    if list(files.train.types.items()) != list(files.test.types.items()):
        return False
    sums = [
        rows(side.connection, f"SELECT count(*), sum(CAST(hash(r) AS HUGEINT)) FROM {quoted(side.table)} AS r")[0]
        for side in (files.train, files.test)
    ]
    return sums[0] == sums[1]
