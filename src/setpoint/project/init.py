"""A first declaration from a file: every guess is said with its reason, also beside its key in the YAML."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import duckdb

from setpoint.connect.loading import load_estimator
from setpoint.core.clock import time_zone
from setpoint.core.errors import StoreReadOnly, UsageError
from setpoint.core.metric import counted
from setpoint.core.model import GROUPINGS, Cohort, Feature, FeatureKind, Model, Task
from setpoint.core.reference import ROLES
from setpoint.declare.json_schema import model_schema
from setpoint.declare.load import PROJECT_FILE, load_text
from setpoint.declare.write import to_yaml
from setpoint.project.editing import models_folder
from setpoint.project.guess import (
    ColumnFacts,
    check_roles,
    guess,
    guess_cohorts,
    guess_kinds,
    guess_task,
    look_at,
    mend,
)
from setpoint.project.guessed_contract import FEWEST, MOST_LEVELS, guessed_contract
from setpoint.project.importance import Importance, importance_of_answers, importance_of_model
from setpoint.store.cells import renamed_columns
from setpoint.store.engines.duck import connect, quoted, rows
from setpoint.store.files import Mapped, Source, load
from setpoint.store.layout import check_name

SCHEMA_FILE = "model.schema.json"
MAIN_ROLES = ("time", "key", "prediction", "score", "outcome")
_PROJECT_TEXT = "# Events are kept in `store`; models are declared in models/NAME.yaml.\nstore: ./store\n"
_TO_FILL_IN = {
    "owner": "to fill in: {team: risk, on_call: risk-rota}",
    "business_metric": "to fill in: {name: fraud_loss_usd, unit: usd, better: lower}",
}
_BARS = {
    Task.BINARY: "{auc: {at_least: 0.7, source: why}}",
    Task.REGRESSION: "{rmse: {at_most: 12, source: why}}",
    Task.MULTICLASS: "{accuracy: {at_least: 0.8, source: why}}",
    Task.RANKING: "{ndcg_at_k: {at_least: 0.3, source: why}}",
    Task.GENERATION: "{success_rate: {at_least: 0.8, source: why}}",
}
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
        renamed: The file's own name of a column that got another one, since two differ only in case.
    """

    connection: duckdb.DuckDBPyConnection
    table: str
    name: str
    types: Mapping[str, str]
    facts: Mapping[str, ColumnFacts]
    mapped: Mapped
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Given:
    """What a person says beside the files; all else is guessed.

    Attributes:
        name: The model's name; a file's when empty.
        tz: The model's zone, and the zone of times that carry none.
        columns: Column by role, where the guess would be wrong; an empty text says that there is none.
        inputs: The input columns, in the order a fitted model takes them; None to guess.

    Raises:
        UsageError: A name, a zone or a role cannot be.
    """

    name: str = ""
    tz: str = "UTC"
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    inputs: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be before a file is opened."""
        time_zone(self.tz)
        check_name(self.name or "model")
        check_roles(self.columns)


NOTHING = Given()


def draft(
    file: Source,
    given: Given = NOTHING,
    *,
    outcomes: Source | None = None,
    importance: bool = False,
    model_file: Path | None = None,
) -> Draft:
    """Return a declaration guessed from a file of predictions.

    Args:
        file: The predictions, as `setpoint.read` takes them.
        given: What need not be guessed.
        outcomes: A second file with the outcomes, joined by `prediction_id` or `key`.
        importance: Also how much each input matters, by the recorded score or prediction.
        model_file: The fitted model, which then says that instead. Loading it runs code from the file.

    Raises:
        UsageError: A file cannot be read, the two files cannot be joined, or the model says nothing of these inputs.

    Example:
        >>> import duckdb
        >>> table = duckdb.sql("SELECT i % 2 AS late, i / 9 AS score, i * 1.5 AS miles FROM range(9) t(i)")
        >>> found = draft(table, Given("flights", columns={"outcome": "late"}))
        >>> found.model.task.value, [feature.name for feature in found.model.features]
        ('binary', ['miles'])
    """
    columns = given.columns
    with closing(connect()) as connection:
        first = look(connection, file, {**columns, **({"outcome": ""} if outcomes is not None else {})}, given.inputs)
        truth = first if outcomes is None else _joined(connection, outcomes, first, columns)
        guesses = [*role_guesses(first, columns, hidden="outcome" if truth is not first else "")]
        if truth is not first:
            guesses += role_guesses(truth, {}, shown=("outcome",), place=f" in {truth.name}")
        task, task_guess = guessed_task(first, truth)
        positive = positive_value(truth) if task is Task.BINARY else None
        model, found = described(first, given.name or file_name(file), task, given.tz)
        model = replace(model, columns=tuple(columns.items()))
        told = _importance(first, model, model_file) if importance else Importance({}, "")
    guesses += [task_guess, *([positive] if positive else []), *found]
    guesses += [Guess("importance", told.text, told.how)] if told.shares else []
    notes = {"importance": told.how} if importance and not told.shares else {}
    return Draft(told.on(with_positive(model, positive)), tuple(guesses), notes)


def _importance(looked: Looked, model: Model, model_file: Path | None) -> Importance:
    if model_file is not None:
        spreads = {name: _spread(looked, name) for name in looked.mapped.inputs if looked.facts[name].is_number}
        return importance_of_model(load_estimator(model_file), model_file.name, model.features, spreads)
    answer = looked.mapped.roles.get("score") or looked.mapped.roles.get("prediction")
    if answer is None:
        return Importance({}, "unknown: the file has neither score nor prediction; give the model with --model")
    return importance_of_answers(looked.connection, looked.table, answer, model.features)


def _spread(looked: Looked, column: str) -> float:
    number = f"CAST({quoted(column)} AS DOUBLE)"
    sql = f"SELECT stddev_samp({number}) FROM {quoted(looked.table)} WHERE isfinite({number})"
    return cast("float | None", rows(looked.connection, sql)[0][0]) or 0.0


def look(
    connection: duckdb.DuckDBPyConnection,
    file: Source,
    given: Mapping[str, str],
    inputs: tuple[str, ...] | None,
    table: str = "init_predictions",
) -> Looked:
    """Load a file and guess its columns."""
    types = load(connection, file, table)
    renamed = renamed_columns(connection, table, types)
    facts = look_at(connection, table, types)
    words = Path(file).name if isinstance(file, str | Path) else "the table"
    mapped = guess(facts, given, inputs)
    types = mend(connection, table, types, facts, mapped)
    return Looked(connection, table, words, types, facts, mapped, renamed)


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
    values = f"{_values(fact)} in {counted(fact.rows, 'row')}"
    if fact.odd and role in {"prediction", "score", "outcome"}:
        values += f", {fact.odd:,} of {fact.values:,} are no numbers and count as missing"
    if role == "time":
        return f"named like a time, type {fact.kind}"
    if fact.minimum is not None and fact.maximum is not None and role not in {"key", "prediction_id", "unit"}:
        return f"named like {words}, numbers from {fact.minimum:g} to {fact.maximum:g}, {values}"
    return f"named like {words}, {values}"


def guessed_task(first: Looked, truth: Looked) -> tuple[Task, Guess]:
    """Return what the model answers, and what in the files says so."""
    roles = {**first.mapped.roles, **truth.mapped.roles}
    task = guess_task({**first.facts, **truth.facts}, Mapped(roles, first.mapped.inputs))
    told = next((role for role in ("ranking", "judge", "scores") if role in roles), "")
    if told:
        reason = f"guessed: {roles[told]} looks like {_OF_TASK[told]}"
    elif "outcome" in roles:
        reason = f"guessed: the outcome has {_values(truth.facts[roles['outcome']])}"
    elif "score" in roles:
        reason = "guessed: there is a score between 0 and 1"
    elif "prediction" in roles:
        reason = f"guessed: the prediction has {_values(first.facts[roles['prediction']])}"
    else:
        reason = "guessed: nothing in the file says otherwise"
    return task, Guess("task", task.value, reason)


_OF_TASK = {"ranking": "a ranking", "judge": "a judge's grade", "scores": "the probability of each class"}


def positive_value(truth: Looked) -> Guess | None:
    """Return which outcome means yes where it is not 1 or true: the rarest text, the largest number."""
    column = truth.mapped.roles.get("outcome")
    if column is None or truth.types[column] == "BOOLEAN":
        return None
    fact = truth.facts[column]
    if fact.is_number and {fact.minimum, fact.maximum} <= {0.0, 1.0}:
        return None
    q = quoted(column)
    first = rows(
        truth.connection,
        f"SELECT CAST({q} AS VARCHAR), count(*) FROM {quoted(truth.table)} WHERE {q} IS NOT NULL"
        f" GROUP BY {q} ORDER BY {f'{q} DESC' if fact.is_number else '2, 1'} LIMIT 1",
    )
    if not first:
        return None
    value, count = cast("tuple[str, int]", first[0])
    rarest = "the only value" if fact.distinct == 1 else f"the rarest of {fact.distinct} values"
    which = "the largest value" if fact.is_number else f"{rarest}, {counted(count, 'row')}"
    warning = "" if fact.distinct <= _YES_AND_NO else "; the others all count as no"
    return Guess("positive", value, f"guessed: {which}{warning}")


def with_positive(model: Model, positive: Guess | None) -> Model:
    """Return a model that knows which outcome means yes."""
    return replace(model, positive=positive.value) if positive else model


def described(looked: Looked, name: str, task: Task, tz: str) -> tuple[Model, list[Guess]]:
    """Return a model with the features and cohorts of a file, and why each is one."""
    kinds: dict[str, FeatureKind] = {}
    for column in looked.mapped.inputs:
        if (kind := _kind(looked.facts[column])) is not None:
            kinds[column] = kind
    features = tuple(Feature(column, kind) for column, kind in kinds.items())
    guesses = [Guess(f"features.{c}", kind, _feature_reason(looked.facts[c])) for c, kind in kinds.items()]
    used = {*looked.mapped.roles.values(), *kinds}
    guesses += [
        Guess(f"left out {column}", fact.kind, f"taken for no input, {_values(fact)}{_watched(fact)}")
        for column, fact in looked.facts.items()
        if column not in used
    ]
    guesses += [
        Guess(f"column of {new}", old, "renamed: another column differs only in upper and lower case")
        for new, old in looked.renamed.items()
    ]
    cohorts = guess_cohorts(looked.facts, looked.mapped)
    if cohorts:
        guesses.append(Guess("cohorts", ", ".join(cohorts), "guessed: inputs that are no numbers, 2 to 20 values"))
    time = looked.mapped.roles.get("time")
    is_zoned = time is None or looked.types[time] == "TIMESTAMP WITH TIME ZONE"
    read = "" if is_zoned else f"; {time} is read in it where it carries no zone"
    guesses.append(Guess("timezone", tz, f"days and weeks are local to it{read}"))
    declared = tuple(Cohort(f"{column}_value" if column in GROUPINGS else column, by=column) for column in cohorts)
    kinds_of_outcome = guess_kinds(looked.mapped)
    if len(kinds_of_outcome) > 1:
        guesses.append(Guess("outcomes", "judge", f"{looked.mapped.roles['judge']} is taken for a judge model's grade"))
    few = {column for column in kinds if looked.facts[column].distinct <= MOST_LEVELS}
    contract, promised = guessed_contract(looked.connection, looked.table, kinds, few)
    guesses += [Guess(f"contract.fields.{field}", *told) for field, told in promised.items()]
    if contract is None and kinds:
        guesses.append(Guess("contract", "none", f"fewer than {FEWEST} rows say too little about what never happens"))
    model = Model(
        name=name, task=task, timezone=tz, features=features, cohorts=declared, outcomes=kinds_of_outcome,
        contract=contract,
    )  # fmt: skip
    return model, guesses


def _watched(fact: ColumnFacts) -> str:
    """Return what it takes to watch a column that is taken for no input; nothing for others."""
    if fact.is_text:
        return "; free text is kept and watched when it is declared: kind: text"
    return "; it is watched by its age when it is declared: kind: time" if fact.is_time else ""


def _kind(fact: ColumnFacts) -> FeatureKind | None:
    if fact.nulls == fact.rows:
        return None
    if fact.is_time:
        return "time"
    if fact.is_number:
        return "numeric"
    if fact.is_text:
        return "text"
    return "boolean" if fact.kind == "BOOLEAN" else "categorical"


def _feature_reason(fact: ColumnFacts) -> str:
    missing = f", {fact.nulls:,} of {fact.rows:,} missing" if fact.nulls else ""
    if fact.odd:
        missing += f", {fact.odd:,} of {fact.values:,} values are no numbers and count as missing"
    if fact.is_number and fact.minimum is not None and fact.maximum is not None:
        return f"guessed: numbers from {fact.minimum:g} to {fact.maximum:g}{missing}"
    return f"guessed: {fact.kind}, {_values(fact)}{missing}"


def _values(fact: ColumnFacts) -> str:
    return counted(fact.distinct, "different value")


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
    folder = models_folder(out)
    path = folder / f"{found.model.name}.yaml"
    if path.exists() and not force:
        msg = f"{path} is there already"
        raise UsageError(msg, hint="name the model with --name, or replace the file with --force")
    model = found.model
    if model.reference_file:
        model = replace(model, reference=os.path.relpath(model.reference_file, folder.resolve()))
    text = replace(found, model=model).yaml(os.path.relpath(out / SCHEMA_FILE, folder))
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
