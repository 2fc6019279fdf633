"""A first declaration from a file: every guess is said with its reason, also beside its key in the YAML."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import pickle
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, cast

import duckdb
import numpy as np
from numpy.typing import NDArray

from setpoint.core.clock import DAY, MICROS, moment, time_zone
from setpoint.core.clock import text as time_text
from setpoint.core.errors import ColumnError, StoreReadOnly, UsageError
from setpoint.core.model import Cohort, Expectation, Feature, FeatureKind, Model, Task
from setpoint.core.window import Window
from setpoint.declare.json_schema import model_schema
from setpoint.declare.load import MODELS_FOLDER, PROJECT_FILE, load_text
from setpoint.declare.problems import Problems, declaration_error, did_you_mean
from setpoint.declare.source import read_source
from setpoint.declare.write import to_yaml
from setpoint.project.guess import ColumnFacts, guess, guess_cohorts, guess_task, look_at
from setpoint.stats import classification, ranking, regression
from setpoint.stats.classification import BinaryState
from setpoint.stats.estimate import Estimate
from setpoint.stats.regression import RegressionState
from setpoint.store.engines.duck import connect, quoted, rows
from setpoint.store.files import ROLES, Mapped, Source, check_columns, load, time_sql
from setpoint.store.layout import check_name

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[np.generic]]

SCHEMA_FILE = "model.schema.json"
MAIN_ROLES = ("time", "key", "prediction", "score", "outcome")
_PROJECT_TEXT = "# Events are kept in `store`; models are declared in models/NAME.yaml.\nstore: ./store\n"
_TO_FILL_IN = {
    "owner": "to fill in: {team: risk, on_call: risk-rota}",
    "business_metric": "to fill in: {name: fraud_loss_usd, unit: usd, better: lower}",
}
_BARS = {Task.BINARY: "{auc: {at_least: 0.7, source: why}}", Task.REGRESSION: "{rmse: {at_most: 12, source: why}}"}
_YES_AND_NO = 2


@dataclass(frozen=True, slots=True)
class Guess:
    """What one key or column was taken for, and why.

    Attributes:
        key: A dotted key of the declaration, or `column of ROLE`.
        value: What was guessed, in words.
        reason: What in the file says so.
    """

    key: str
    value: str
    reason: str

    @property
    def note(self) -> str:
        """The comment that stands in the YAML."""
        is_key = not self.key.startswith(("column of ", "left out "))
        return self.reason if is_key else f"{self.value} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Draft:
    """A declaration to edit.

    Attributes:
        model: The model as guessed.
        guesses: Every guess with its reason.
        notes: Comments by dotted key that are no guesses: what is unknown, what is to fill in.
    """

    model: Model
    guesses: tuple[Guess, ...]
    notes: Mapping[str, str]

    def yaml(self, schema: str = f"../{SCHEMA_FILE}") -> str:
        """Return the YAML, with a comment beside each guessed key."""
        bar = {} if self.model.expectations else {"quality": f"to fill in: {_BARS[self.model.task]}"}
        guessed = {one.key: one.note for one in self.guesses}
        return to_yaml(self.model, {**_TO_FILL_IN, **bar, **guessed, **self.notes}, schema)

    @property
    def said(self) -> list[str]:
        """The guesses in lines for a person, and what stays unknown."""
        width = max((len(one.key) for one in self.guesses), default=0)
        lines = [f"  {one.key.ljust(width)}  {one.value}  ({one.reason})" for one in self.guesses]
        return lines + [f"  {key.ljust(width)}  {note}" for key, note in self.notes.items()]


@dataclass(frozen=True, slots=True)
class Looked:
    """A file that was looked at.

    Attributes:
        connection: Where it is a view.
        table: The view's name.
        name: The file's name in words.
        types: SQL type by column.
        facts: What the first rows of each column show.
        mapped: Which column plays which role.
    """

    connection: duckdb.DuckDBPyConnection
    table: str
    name: str
    types: Mapping[str, str]
    facts: Mapping[str, ColumnFacts]
    mapped: Mapped


def draft(
    file: Source,
    *,
    outcomes: Source | None = None,
    name: str = "",
    tz: str = "UTC",
    columns: Mapping[str, str] | None = None,
    inputs: tuple[str, ...] | None = None,
) -> Draft:
    """Return a declaration guessed from a file of predictions.

    Args:
        file: The predictions, as `setpoint.read` takes them.
        outcomes: A second file with the outcomes, joined by `prediction_id` or `key`.
        name: The model's name; the file's when empty.
        tz: The model's zone, and the zone of times that carry none.
        columns: Column by role, where the guess would be wrong; an empty text says that there is none.
        inputs: The feature columns; guessed when left out.

    Raises:
        UsageError: A file cannot be read, or the two files cannot be joined.

    Example:
        >>> import duckdb
        >>> table = duckdb.sql("SELECT i % 2 AS late, i / 9 AS score, i * 1.5 AS miles FROM range(9) t(i)")
        >>> found = draft(table, name="flights", columns={"outcome": "late"})
        >>> found.model.task.value, [feature.name for feature in found.model.features]
        ('binary', ['miles'])
    """
    time_zone(tz)
    check_name(name or "model")
    given = checked_roles(columns or {})
    with closing(connect()) as connection:
        first = look(connection, file, {**given, **({"outcome": ""} if outcomes is not None else {})}, inputs)
        truth = first if outcomes is None else _joined(connection, outcomes, first, given)
        guesses = [*role_guesses(first, given, hidden="outcome" if truth is not first else "")]
        if truth is not first:
            guesses += role_guesses(truth, {}, shown=("outcome",), place=f" in {truth.name}")
        task, task_guess = guessed_task(first, truth)
        positive = positive_value(truth) if task is Task.BINARY else None
        model, found = described(first, name or file_name(file), task, tz)
    guesses += [task_guess, *([positive] if positive else []), *found]
    return Draft(with_positive(model, positive), tuple(guesses), {})


def look(
    connection: duckdb.DuckDBPyConnection,
    file: Source,
    given: Mapping[str, str],
    inputs: tuple[str, ...] | None,
    table: str = "init_predictions",
) -> Looked:
    """Load a file and guess its columns."""
    types = load(connection, file, table)
    facts = look_at(connection, table, types)
    words = Path(file).name if isinstance(file, str | Path) else "the table"
    return Looked(connection, table, words, types, facts, guess(facts, given, inputs))


def _joined(connection: duckdb.DuckDBPyConnection, outcomes: Source, first: Looked, given: Mapping[str, str]) -> Looked:
    table = "init_outcomes"
    columns = load(connection, outcomes, table)
    links = [role for role in ("prediction_id", "key") if first.mapped.roles.get(role) in columns]
    if not links:
        msg = "nothing joins the two files: no prediction_id or key column stands in both"
        raise UsageError(msg, hint="name it: --map key=order_id")
    wanted = {links[0]: first.mapped.roles[links[0]]}
    wanted.update({"outcome": given["outcome"]} if given.get("outcome") else {})
    connection.execute(f"DROP VIEW IF EXISTS {quoted(table)}; DROP TABLE IF EXISTS {quoted(table)}")
    found = look(connection, outcomes, wanted, (), table)
    if "outcome" not in found.mapped.roles:
        msg = f"no column of {found.name} looks like an outcome: {', '.join(columns)}"
        raise UsageError(msg, hint="name it: --map outcome=is_fraud")
    return found


def checked_roles(columns: Mapping[str, str]) -> dict[str, str]:
    """Return columns by role when every role exists.

    Raises:
        UsageError: One does not.
    """
    for role in columns:
        if role not in ROLES:
            msg = f"no role is called {role!r}"
            raise UsageError(msg, hint=did_you_mean(role, ROLES) or f"roles: {', '.join(ROLES)}")
    return dict(columns)


def role_guesses(
    looked: Looked,
    given: Mapping[str, str],
    *,
    shown: tuple[str, ...] = ROLES,
    hidden: str = "",
    place: str = "",
) -> Iterable[Guess]:
    """Yield which column plays which role, and which main role has none."""
    for role in shown:
        column = looked.mapped.roles.get(role)
        key = f"column of {role}"
        if column is not None:
            reason = "as you said" if role in given else _reason(role, looked.facts[column])
            yield Guess(key, f"{column}{place}", reason)
        elif role in MAIN_ROLES and role != hidden:
            yield Guess(key, "none", f"no column looks like one; name it: --map {role}=COLUMN")


def _reason(role: str, fact: ColumnFacts) -> str:
    words = role.replace("_", " ")
    values = f"{fact.distinct:,} different values in {fact.rows:,} rows"
    if role == "time":
        return f"named like a time, type {fact.kind}"
    if fact.minimum is not None and fact.maximum is not None and role not in {"key", "prediction_id", "unit"}:
        return f"named like {words}, numbers from {fact.minimum:g} to {fact.maximum:g}, {values}"
    return f"named like {words}, {values}"


def guessed_task(first: Looked, truth: Looked) -> tuple[Task, Guess]:
    """Return what the model answers, and what in the files says so."""
    roles = {**first.mapped.roles, **truth.mapped.roles}
    task = guess_task({**first.facts, **truth.facts}, Mapped(roles, first.mapped.inputs))
    if "outcome" in roles:
        reason = f"guessed: the outcome has {truth.facts[roles['outcome']].distinct:,} different values"
    elif "score" in roles:
        reason = "guessed: there is a score between 0 and 1"
    elif "prediction" in roles:
        reason = f"guessed: the prediction has {first.facts[roles['prediction']].distinct:,} different values"
    else:
        reason = "guessed: nothing in the file says otherwise"
    return task, Guess("task", task.value, reason)


def positive_value(truth: Looked) -> Guess | None:
    """Return which outcome means yes where it is not 1 or true: the rarest text, the largest number."""
    column = truth.mapped.roles.get("outcome")
    if column is None or truth.types[column] == "BOOLEAN":
        return None
    fact = truth.facts[column]
    if fact.is_number and {fact.minimum, fact.maximum} <= {0.0, 1.0}:
        return None
    q = quoted(column)
    counted = rows(
        truth.connection,
        f"SELECT CAST({q} AS VARCHAR), count(*) FROM {quoted(truth.table)} WHERE {q} IS NOT NULL"
        f" GROUP BY {q} ORDER BY {f'{q} DESC' if fact.is_number else '2, 1'} LIMIT 1",
    )
    if not counted:
        return None
    value, count = cast("tuple[str, int]", counted[0])
    which = "the largest value" if fact.is_number else f"the rarest of {fact.distinct} values, {count:,} rows"
    warning = "" if fact.distinct <= _YES_AND_NO else "; the others all count as no"
    return Guess("positive", value, f"guessed: {which}{warning}")


def with_positive(model: Model, positive: Guess | None) -> Model:
    """Return a model that knows which outcome means yes."""
    return replace(model, positive=positive.value) if positive else model


def described(looked: Looked, name: str, task: Task, tz: str) -> tuple[Model, list[Guess]]:
    """Return a model with the features and cohorts of a file, and why each is one."""
    kinds: dict[str, FeatureKind | None] = {c: _kind(looked.facts[c]) for c in looked.mapped.inputs}
    features = tuple(Feature(column, kind) for column, kind in kinds.items() if kind is not None)
    guesses = [Guess(f"features.{f.name}", f.kind, _feature_reason(looked.facts[f.name])) for f in features]
    used = {*looked.mapped.roles.values(), *(feature.name for feature in features)}
    guesses += [
        Guess(f"left out {column}", fact.kind, f"taken for no input, {fact.distinct:,} different values")
        for column, fact in looked.facts.items()
        if column not in used
    ]
    cohorts = guess_cohorts(looked.facts, looked.mapped)
    if cohorts:
        guesses.append(Guess("cohorts", ", ".join(cohorts), "guessed: inputs that are no numbers, 2 to 20 values"))
    time = looked.mapped.roles.get("time")
    is_zoned = time is None or looked.types[time] == "TIMESTAMP WITH TIME ZONE"
    read = "" if is_zoned else f"; {time} is read in it where it carries no zone"
    guesses.append(Guess("timezone", tz, f"days and weeks are local to it{read}"))
    declared = tuple(Cohort(column, by=column) for column in cohorts)
    return Model(name=name, task=task, timezone=tz, features=features, cohorts=declared), guesses


def _kind(fact: ColumnFacts) -> FeatureKind | None:
    if fact.is_time or fact.nulls == fact.rows:
        return None
    if fact.is_number:
        return "numeric"
    return "boolean" if fact.kind == "BOOLEAN" else "categorical"


def _feature_reason(fact: ColumnFacts) -> str:
    missing = f", {fact.nulls:,} of {fact.rows:,} missing" if fact.nulls else ""
    if fact.is_number and fact.minimum is not None and fact.maximum is not None:
        return f"guessed: numbers from {fact.minimum:g} to {fact.maximum:g}{missing}"
    return f"guessed: {fact.kind}, {fact.distinct:,} different values{missing}"


def file_name(file: object) -> str:
    """Return a model's name made from a file's.

    Example:
        >>> file_name("data/late flights.parquet"), file_name("fraud/*.parquet"), file_name(None)
        ('late_flights', 'fraud', 'model')
    """
    path = Path(file) if isinstance(file, str | Path) else Path("model")
    for part in (path.name.split(".")[0], path.parent.name):
        cleaned = re.sub(r"[^A-Za-z0-9._-]+", "_", part).strip("._-")
        if cleaned:
            return cleaned[:100]
    return "model"


def write(found: Draft, out: Path, *, force: bool = False) -> list[Path]:
    """Write a draft into a project's folder and return the files that are new.

    Args:
        found: The draft.
        out: The project's folder; made when it is not there. A `setpoint.yaml` in it stays as it is.
        force: Replace the model's file when there is one.

    Raises:
        UsageError: The model has a file already.
        StoreReadOnly: The folder cannot be written.
    """
    folder = out / _models_folder(out)
    path = folder / f"{found.model.name}.yaml"
    if path.exists() and not force:
        msg = f"{path} is there already"
        raise UsageError(msg, hint="name the model with --name, or replace the file with --force")
    text = found.yaml(os.path.relpath(out / SCHEMA_FILE, folder))
    load_text(text, found.model.name, str(path))
    schema = json.dumps(model_schema(), indent=2) + "\n"
    wanted = {out / PROJECT_FILE: _PROJECT_TEXT, out / SCHEMA_FILE: schema, path: text}
    if (out / PROJECT_FILE).exists():
        del wanted[out / PROJECT_FILE]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target, content in wanted.items():
            target.write_text(content, encoding="utf-8")
    except OSError as error:
        msg = f"{out} cannot be written: {error.strerror}"
        raise StoreReadOnly(msg, hint="name another folder with --out") from error
    return list(wanted)


def _models_folder(out: Path) -> str:
    if not (out / PROJECT_FILE).exists():
        return MODELS_FOLDER
    try:
        named = read_source(out / PROJECT_FILE).data.get("models")
    except Problems as found:
        raise declaration_error(found.problems) from None
    return named if isinstance(named, str) and named else MODELS_FOLDER


# What follows measures a fitted model: importance and the bar, from files it was and was not trained on.

ON_TRAINING_ROWS = "unknown: measured on training rows"
_IMPORTANCE_ROWS = 5_000
_MEASURED_ROWS = 200_000
_REPEATS, _MANY_INPUTS = 3, 50


class _Estimator(Protocol):
    def predict(self, table: object, /) -> object: ...

    def predict_proba(self, table: object, /) -> object: ...


@dataclass(slots=True)
class Fitted:
    """A model from a file, and how it is asked.

    Attributes:
        estimator: Any object with `predict_proba` or `predict`.
        columns: Its inputs, in order.
        positive: Binary: the class that means yes, as text.
        task: What it answers.
        is_named: Whether it takes a frame with named columns.
        values: Values of each text input in the training file, for models that take categories.
        as_categories: Whether text is handed over as categories.
    """

    estimator: _Estimator
    columns: tuple[str, ...]
    positive: str
    task: Task
    is_named: bool
    values: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    as_categories: bool = False

    def answers(self, table: Columns) -> Floats:
        """Return the score of each row, or the prediction of a model without scores.

        Raises:
            UsageError: The model fails on these rows.
        """
        try:
            found = self._asked(table)
        except Exception as first:  # whatever a model raises, the user gets words
            msg = f"the model cannot answer the file's rows: {_first_line(first)}"
            refused = UsageError(msg, hint=f"it was asked with the columns {', '.join(self.columns)}")
            if self.as_categories or not self.values:
                raise refused from first
            self.as_categories = True
            try:
                found = self._asked(table)
            except Exception:  # noqa: BLE001 — the first refusal says more
                raise refused from first
        if self.task is Task.BINARY and not self.has_scores and (self.classes or found.dtype.kind not in "biuf"):
            found = np.array([_word(label) == self.positive for label in found.reshape(-1)])
        return found.astype(np.float64).reshape(-1)

    def _asked(self, table: Columns) -> NDArray[np.generic]:
        given = self._table({name: table[name] for name in self.columns})
        if not self.has_scores:
            return np.asarray(self.estimator.predict(given))
        found = cast("NDArray[np.generic]", np.asarray(self.estimator.predict_proba(given)))
        place = self.classes.index(self.positive) if self.positive in self.classes else -1
        return found if found.ndim == 1 else found[:, place]

    @property
    def has_scores(self) -> bool:
        """Whether the model gives probabilities."""
        return self.task is Task.BINARY and hasattr(self.estimator, "predict_proba")

    @property
    def classes(self) -> list[str]:
        """The classes of a classifier, as the store compares them; empty for other models."""
        return [_word(value) for value in getattr(self.estimator, "classes_", ())]

    def _table(self, table: Columns) -> object:
        if not (self.is_named or any(values.dtype == object for values in table.values())):
            return np.column_stack([values.astype(np.float64) for values in table.values()])
        pandas = _module("pandas", "the model takes named columns")
        if self.as_categories:
            known = self.values
            return pandas.DataFrame({n: pandas.Categorical(v, known[n]) if n in known else v for n, v in table.items()})
        return pandas.DataFrame(table)


def draft_trained(
    train: Source,
    model_file: Path,
    *,
    holdout: Source | None = None,
    name: str = "",
    tz: str = "UTC",
    columns: Mapping[str, str] | None = None,
    inputs: tuple[str, ...] | None = None,
) -> Draft:
    """Return a declaration with reference, importance and, from later rows only, a bar.

    Args:
        train: The rows the model was fitted on, with their outcomes.
        model_file: The model, written by joblib or pickle. Loading it runs code from the file.
        holdout: Rows with outcomes that are all later than the training rows.
        name: The model's name; the model file's when empty.
        tz: The model's zone, and the zone of times that carry none.
        columns: Column by role, where the guess would be wrong.
        inputs: The inputs, in the order the model takes them; by default the names it was fitted with.

    Raises:
        UsageError: A file cannot be read, or the model does not fit it.
    """
    time_zone(tz)
    check_name(name or "model")
    given = checked_roles(columns or {})
    estimator = load_estimator(model_file)
    with closing(connect()) as connection:
        looked = look(connection, train, given, inputs)
        if inputs is None and (named := _fitted_names(estimator, looked)):
            looked = replace(looked, mapped=guess(looked.facts, given, named))
        if "outcome" not in looked.mapped.roles:
            msg = f"no column of {looked.name} looks like an outcome: {', '.join(looked.types)}"
            raise UsageError(msg, hint="name it: --map outcome=is_fraud")
        fitted, positive, task = _fitted(estimator, looked)
        model, found = described(looked, name or file_name(model_file), fitted.task, tz)
        roles = tuple(role for role in ROLES if role not in {"prediction", "score"})
        guesses = [*role_guesses(looked, given, shown=roles), task, *([positive] if positive else []), *found]
        later = None if holdout is None else _later(connection, holdout, looked)
        return _measured(with_positive(model, positive), guesses, fitted, looked, later)


def load_estimator(path: Path) -> _Estimator:
    """Load a model with joblib, or with pickle where joblib is not installed. Runs code from the file.

    Raises:
        UsageError: There is no such file, it cannot be loaded, or what it holds does not predict.
    """
    if not path.is_file():
        msg = f"no file at {path}"
        raise UsageError(msg, hint="give the file that joblib.dump or pickle.dump wrote")
    try:
        if path.suffix in {".pkl", ".pickle"} and importlib.util.find_spec("joblib") is None:
            with path.open("rb") as file:
                found = cast("object", pickle.load(file))  # noqa: S301 — asked for, and said aloud
        else:
            found = cast("object", _module("joblib", f"{path.name} is read with it").load(path))
    except UsageError:
        raise
    except ModuleNotFoundError as error:
        msg = f"cannot load {path}: it needs the package {error.name}, which is not installed"
        raise UsageError(msg, hint=f"pip install {error.name}") from error
    except Exception as error:  # unpickling can raise anything
        msg = f"cannot load {path}: {_first_line(error)}"
        raise UsageError(
            msg, hint="write it again with joblib.dump(model, path), by the same library versions"
        ) from error
    if not (hasattr(found, "predict") or hasattr(found, "predict_proba")):
        msg = f"{path} holds a {type(found).__name__}, which has neither predict_proba nor predict"
        raise UsageError(msg, hint="save the fitted model or pipeline itself")
    return cast("_Estimator", found)


def _module(name: str, why: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        msg = f"{name} is not installed: {why}"
        raise UsageError(msg, hint=f"pip install {name}") from error


def _fitted_names(estimator: _Estimator, looked: Looked) -> tuple[str, ...]:
    """Return the names a model was fitted with; nothing when they are not the file's at all."""
    names = tuple(str(name) for name in getattr(estimator, "feature_names_in_", ()))
    known = [name for name in names if name in looked.types]
    if known and len(known) < len(names):
        missing = ", ".join(name for name in names if name not in looked.types)
        msg = f"{looked.name} lacks inputs of the model: {missing}"
        raise ColumnError(msg, hint="give the file the model was trained on")
    return names if known else ()


def _fitted(estimator: _Estimator, looked: Looked) -> tuple[Fitted, Guess | None, Guess]:
    columns = looked.mapped.inputs
    count = getattr(estimator, "n_features_in_", len(columns))
    if count != len(columns):
        seen = f"{len(columns)}: {', '.join(columns)}"
        msg = f"the model takes {count} inputs, {looked.name} seems to have {seen}"
        raise UsageError(msg, hint="name them in the model's order: --inputs a,b,c")
    classes = [_word(value) for value in getattr(estimator, "classes_", ())]
    if len(classes) > _YES_AND_NO:
        msg = f"the model tells {len(classes)} classes apart: {', '.join(classes)}"
        raise UsageError(msg, hint="Setpoint knows yes-or-no models and models that predict a number")
    task, said = guessed_task(looked, looked)
    if classes:
        task, said = (
            Task.BINARY,
            Guess("task", Task.BINARY.value, f"the model's classes are {' and '.join(classes)}"),
        )
    elif hasattr(estimator, "predict_proba"):
        task, said = Task.BINARY, Guess("task", Task.BINARY.value, "the model has predict_proba")
    positive = positive_value(looked) if task is Task.BINARY else None
    if positive and classes:
        positive = _second_class(looked, classes)
    values = {
        name: _text_values(looked, name) for name in columns if looked.types[name].startswith(("VARCHAR", "ENUM"))
    }
    is_named = hasattr(estimator, "feature_names_in_")
    yes = positive.value if positive else next((c for c in classes[-1:]), "1")
    return Fitted(estimator, columns, yes, task, is_named, values), positive, said


def _second_class(looked: Looked, classes: list[str]) -> Guess:
    """Return the outcome that the model calls yes, when the file spells outcomes as the model does."""
    column = looked.mapped.roles["outcome"]
    known = _text_values(looked, column)
    spelled = {value.removesuffix(".0") for value in known}
    if spelled.isdisjoint(classes):
        msg = f"the model's classes are {' and '.join(classes)}, {column} holds {', '.join(known[:5])}"
        raise UsageError(msg, hint=f"write {column} as the model was fitted, so that it is known which is which")
    return Guess("positive", classes[-1], "the model's second class")


def _text_values(looked: Looked, column: str) -> list[str]:
    q = quoted(column)
    sql = f"SELECT DISTINCT CAST({q} AS VARCHAR) FROM {quoted(looked.table)} WHERE {q} IS NOT NULL ORDER BY 1"
    return [cast("str", row[0]) for row in rows(looked.connection, sql)]


def _later(connection: duckdb.DuckDBPyConnection, holdout: Source, train: Looked) -> Looked:
    """Look at the hold-out: its columns play the roles that they play in the training file."""
    columns = load(connection, holdout, "init_holdout")
    roles = {role: train.mapped.roles[role] for role in ("outcome", "time") if role in train.mapped.roles}
    name = Path(holdout).name if isinstance(holdout, str | Path) else "the hold-out"
    check_columns({"outcome": roles["outcome"]}, columns)
    check_columns({f"the model's input {column}": column for column in train.mapped.inputs}, columns)
    roles = {role: column for role, column in roles.items() if column in columns}
    facts = look_at(connection, "init_holdout", columns)
    return Looked(connection, "init_holdout", name, columns, facts, Mapped(roles, train.mapped.inputs))


def span(looked: Looked, zone: str) -> Window | None:
    """Return from a file's first time to just after its last; None without a time in every row."""
    column = looked.mapped.roles.get("time")
    if column is None:
        return None
    kind = looked.types[column]
    sql = f"epoch_us({time_sql(quoted(column), kind, zone)})"
    found = rows(
        looked.connection,
        f"SELECT min({sql}), max({sql}), count(*) - count({sql}) FROM {quoted(looked.table)}",
    )
    first, last, missing = cast("tuple[int | None, int | None, int]", found[0])
    if first is None or last is None or missing:
        return None
    return Window(first, last + (DAY if kind == "DATE" else 1))


def _why_not_later(later: Looked | None, train: Window | None, zone: str) -> str:
    """Return why rows cannot set a bar; empty when all of them are later than the training rows."""
    if later is None:
        return "give rows that are all later than these with --holdout"
    if train is None:
        return "the training file has no time in every row, so nothing is known to be later"
    found = span(later, zone)
    if found is None:
        return f"{later.name} has no time in every row, so it is not known to be later"
    if found.start < train.end:
        return f"{later.name} starts {time_text(found.start, zone)}, training ended {time_text(train.end, zone)}"
    return ""


def _measured(model: Model, guesses: list[Guess], fitted: Fitted, train: Looked, later: Looked | None) -> Draft:
    """Add reference, importance and bar to a model."""
    zone = model.timezone
    trained = span(train, zone)
    if trained is not None:
        end = -(-trained.end // MICROS) * MICROS
        iso = [moment(at).isoformat() for at in (trained.start, end)]
        model = replace(model, reference="..".join(iso), trained_until=end)
        reason = f"the time span of {train.name}"
        guesses += [Guess("reference", "..".join(iso), reason), Guess("trained_until", iso[1], reason)]
    refusal = _why_not_later(later, trained, zone)
    judged = train if later is None or refusal else later
    table, outcomes = _rows(judged, fitted, _MEASURED_ROWS)
    metric, found = measure(fitted, fitted.answers(table), outcomes)
    notes: dict[str, str] = {}
    if refusal:
        seen = "" if found.value is None else f" ({metric} {found.value:.3g} there says nothing about later rows)"
        notes["quality"] = f"{ON_TRAINING_ROWS}{seen}: {refusal}"
    elif found.value is None:
        notes["quality"] = f"unknown: {metric} on {judged.name}: {found.reason}"
    else:
        window = span(judged, zone)
        when = "" if window is None else f" from {time_text(window.start, zone)} to {time_text(window.end, zone)}"
        bar = expectation(metric, found, f"{judged.name}, {len(outcomes):,} rows{when}, all after training ended")
        model = replace(model, expectations=(bar,) if bar else ())
        guesses.append(Guess(f"quality.{metric}", *_bar_text(bar, found, judged.name)))
    part = {name: values[:_IMPORTANCE_ROWS] for name, values in table.items()}
    shares = importances(fitted, part, outcomes[:_IMPORTANCE_ROWS])
    where = f"{metric} lost when shuffled, on {min(len(outcomes), _IMPORTANCE_ROWS):,} rows of {judged.name}"
    if shares:
        features = tuple(replace(one, importance=shares.get(one.name)) for one in model.features)
        model = replace(model, features=features)
        ranked = sorted(shares, key=lambda one: -shares[one])
        guesses.append(Guess("importance", ", ".join(f"{n} {shares[n]:.2f}" for n in ranked), where))
    else:
        notes["importance"] = f"unknown: {found.reason or f'shuffling no input lowers the {where}'}"
    return Draft(model, tuple(guesses), notes)


def _rows(looked: Looked, fitted: Fitted, limit: int) -> tuple[Columns, Floats]:
    """Return inputs and outcomes of rows that have one, in an order that depends on nothing but the rows."""
    outcome = quoted(looked.mapped.roles["outcome"])
    truth, is_known = f"CAST({outcome} AS DOUBLE)", f"{outcome} IS NOT NULL"
    if fitted.task is Task.REGRESSION:
        is_known += f" AND isfinite({truth})"
    if fitted.task is Task.BINARY and not looked.types[looked.mapped.roles["outcome"]].startswith("BOOL"):
        number = f"OR TRY_CAST(CAST({outcome} AS VARCHAR) AS DOUBLE) = TRY_CAST('{{}}' AS DOUBLE)"
        yes = fitted.positive.replace("'", "''")
        same = f"CAST({outcome} AS VARCHAR) = '{yes}' {number.format(yes)}"
        truth = f"CASE WHEN coalesce({same}, false) THEN 1.0 ELSE 0.0 END"
    inputs = ", ".join(quoted(name) for name in looked.mapped.inputs)
    found = looked.connection.execute(
        f"SELECT {inputs}, {truth} AS {quoted(_TRUTH)} FROM {quoted(looked.table)} AS row"
        f" WHERE {is_known} ORDER BY hash(row) LIMIT {limit}"
    ).fetchnumpy()
    table = {name: _plain(values) for name, values in cast("Columns", found).items()}
    return table, table.pop(_TRUTH).astype(np.float64)


_TRUTH = "$truth"


def _plain(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return a column with None for a text and NaN for a number that is missing."""
    missing, plain = np.ma.getmaskarray(values), np.asarray(values)
    if not missing.any():
        return plain
    found = plain.astype(np.float64 if values.dtype.kind in "biuf" else object)
    found[missing] = np.nan if found.dtype.kind == "f" else None
    return found


def measure(fitted: Fitted, answers: Floats, outcomes: Floats) -> tuple[str, Estimate]:
    """Return the metric of a model and its value on rows: AUC, accuracy without scores, or RMSE."""
    if not bool(np.all(np.isfinite(answers))):
        count = int(np.sum(~np.isfinite(answers)))
        msg = f"the model answers {count:,} of {len(answers):,} rows with no finite number"
        raise UsageError(msg, hint="look for missing or infinite inputs in the file")
    if fitted.task is Task.REGRESSION:
        shift = float(outcomes.mean()) if len(outcomes) else 0.0
        return "rmse", regression.rmse(RegressionState.from_rows(answers, outcomes, shift=shift))
    if not bool(np.all((answers >= 0.0) & (answers <= 1.0))):
        msg = f"the model's scores reach from {answers.min():g} to {answers.max():g}"
        raise UsageError(msg, hint="a yes-or-no model answers with probabilities between 0 and 1")
    if not fitted.has_scores and bool(np.all((answers == 0.0) | (answers == 1.0))):
        return "accuracy", classification.accuracy(BinaryState.from_rows(outcomes, decisions=answers))
    return "auc", ranking.auc(BinaryState.from_rows(outcomes, scores=answers))


def importances(fitted: Fitted, table: Columns, outcomes: Floats) -> dict[str, float]:
    """Return the share of skill lost when an input is shuffled: they sum to 1; empty when none is lost."""
    sign = -1.0 if fitted.task is Task.REGRESSION else 1.0

    def skill(changed: Columns) -> float:
        return sign * (measure(fitted, fitted.answers(changed), outcomes)[1].value or 0.0)

    generator = np.random.default_rng(0)
    whole = skill(table)
    repeats = _REPEATS if len(table) <= _MANY_INPUTS else 1
    losses: dict[str, float] = {}
    for name, values in table.items():
        after = [skill({**table, name: values[generator.permutation(len(values))]}) for _ in range(repeats)]
        losses[name] = max(whole - sum(after) / repeats, 0.0)
    total = sum(losses.values())
    if total <= 0.0:
        return {}
    shares = {name: round(loss / total, 4) for name, loss in losses.items()}
    top = max(shares, key=lambda name: shares[name])
    shares[top] = round(shares[top] + 1.0 - sum(shares.values()), 4)
    return shares


def expectation(metric: str, found: Estimate, measured_on: str) -> Expectation | None:
    """Return the end of the interval on the worse side as a bar, rounded so that it is never stricter.

    Example:
        >>> expectation("auc", Estimate(0.7, 0.68123, 0.72), "later.parquet").at_least
        0.6812
    """
    end = found.high if metric == "rmse" else found.low
    if found.value is None or end is None:
        return None
    source = f"{metric} {found.value:.4g} measured on {measured_on}; the bar is the worse end of its 95 % interval"
    scale = 10.0 ** (3 - math.floor(math.log10(abs(end)))) if end else 1.0
    if metric == "rmse":
        return Expectation(metric, at_most=float(f"{math.ceil(end * scale) / scale:.6g}"), source=source)
    return Expectation(metric, at_least=float(f"{math.floor(end * scale) / scale:.6g}"), source=source)


def _bar_text(bar: Expectation | None, found: Estimate, file: str) -> tuple[str, str]:
    if bar is None or found.low is None or found.high is None:
        return "none", found.reason
    words = f"at least {bar.at_least:g}" if bar.at_least is not None else f"at most {bar.at_most:g}"
    return words, f"the worse end of {found.value:.4g} [{found.low:.4g}, {found.high:.4g}] on {file}"


def _word(value: object) -> str:
    """Return a class as the store compares it: 1.0 is 1, True is true."""
    plain = cast("np.generic[object]", value).item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return f"{plain:g}" if isinstance(plain, float) else str(plain)


def _first_line(error: BaseException) -> str:
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0]}" if words else type(error).__name__
