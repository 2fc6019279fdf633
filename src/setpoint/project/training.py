"""A first declaration from a fitted model: importance and the bar, from rows it was and was not trained on."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import cast

import duckdb
import numpy as np
from numpy.typing import NDArray

from setpoint.connect.loading import Estimator, load_estimator
from setpoint.core.clock import DAY, MICROS, moment
from setpoint.core.clock import text as time_text
from setpoint.core.errors import ColumnError, UsageError
from setpoint.core.metric import counted
from setpoint.core.model import Expectation, Model, Task
from setpoint.core.reference import ROLES
from setpoint.core.window import Window
from setpoint.feedback.expectation import worse_end
from setpoint.project.fitted import Columns, Fitted, Floats, word
from setpoint.project.guess import guess, look_at, mend
from setpoint.project.importance import Importance, shares_of
from setpoint.project.init import (
    NOTHING,
    Draft,
    Given,
    Guess,
    Looked,
    described,
    file_name,
    guessed_task,
    look,
    positive_value,
    role_guesses,
    with_positive,
)
from setpoint.stats import classification, ranking, regression
from setpoint.stats.classification import BinaryState
from setpoint.stats.estimate import Estimate
from setpoint.stats.regression import RegressionState
from setpoint.store.engines.duck import connect, literal, quoted, rows
from setpoint.store.files import Mapped, Source, check_columns, load
from setpoint.store.task_sql import class_text
from setpoint.store.times import time_sql

_YES_AND_NO = 2
ON_TRAINING_ROWS = "unknown: measured on training rows"
_IMPORTANCE_ROWS = 5_000
_MEASURED_ROWS = 200_000
_REPEATS, _MANY_INPUTS = 3, 50


def draft_trained(train: Source, model_file: Path, given: Given = NOTHING, *, holdout: Source | None = None) -> Draft:
    """Return a declaration with reference, importance and, from later rows only, a bar.

    Args:
        train: The rows the model was fitted on, with their outcomes.
        model_file: The model, written by joblib or pickle. Loading it runs code from the file.
        given: What need not be guessed; inputs are by default the names the model was fitted with.
        holdout: Rows with outcomes that are all later than the training rows.

    Raises:
        UsageError: A file cannot be read, or the model does not fit it.
    """
    estimator = load_estimator(model_file)
    with closing(connect()) as connection:
        looked = look(connection, train, given.columns, given.inputs)
        if given.inputs is None and (named := _fitted_names(estimator, looked)):
            looked = replace(looked, mapped=guess(looked.facts, given.columns, named))
        if "outcome" not in looked.mapped.roles:
            msg = f"no column of {looked.name} looks like an outcome: {', '.join(looked.types)}"
            raise UsageError(msg, hint="name it: --map outcome=is_fraud")
        fitted, positive, task = _fitted(estimator, looked)
        model, found = described(looked, given.name or file_name(model_file), fitted.task, given.tz)
        roles = tuple(role for role in ROLES if role not in {"prediction", "score"})
        guesses = [*role_guesses(looked, given.columns, shown=roles), task, *([positive] if positive else []), *found]
        later = None if holdout is None else _later(connection, holdout, looked)
        if isinstance(train, str | Path):
            model = replace(model, reference=str(Path(train).resolve()))
            guesses.append(Guess("reference", str(train), "the rows the model was trained on"))
        else:
            why = "the training rows are a table in memory: write them to a file to compare with them"
            guesses.append(Guess("reference", "none", why))
        return _measured(with_positive(model, positive), guesses, fitted, looked, later)


def _fitted_names(estimator: Estimator, looked: Looked) -> tuple[str, ...]:
    """Return the names a model was fitted with; nothing when they are not the file's at all."""
    names = tuple(str(name) for name in getattr(estimator, "feature_names_in_", ()))
    known = [name for name in names if name in looked.types]
    if known and len(known) < len(names):
        missing = ", ".join(name for name in names if name not in looked.types)
        msg = f"{looked.name} lacks inputs of the model: {missing}"
        raise ColumnError(msg, hint="give the file the model was trained on")
    return names if known else ()


def _fitted(estimator: Estimator, looked: Looked) -> tuple[Fitted, Guess | None, Guess]:
    columns = looked.mapped.inputs
    count = getattr(estimator, "n_features_in_", len(columns))
    if count != len(columns):
        seen = f"{len(columns)}: {', '.join(columns)}"
        msg = f"the model takes {counted(count, 'input')}, {looked.name} seems to have {seen}"
        raise UsageError(msg, hint="name them in the model's order: --inputs a,b,c")
    classes = [word(value) for value in getattr(estimator, "classes_", ())]
    task, said = guessed_task(looked, looked)
    if classes:
        task = Task.MULTICLASS if len(classes) > _YES_AND_NO else Task.BINARY
        said = Guess("task", task.value, f"the model's classes are {' and '.join(classes)}")
    elif hasattr(estimator, "predict_proba"):
        task, said = Task.BINARY, Guess("task", Task.BINARY.value, "the model has predict_proba")
    positive = positive_value(looked) if task is Task.BINARY else None
    if task is Task.MULTICLASS:
        _check_spelling(looked, classes)
    elif positive and classes:
        positive = _second_class(looked, classes)
    values = {
        name: _text_values(looked, name) for name in columns if looked.types[name].startswith(("VARCHAR", "ENUM"))
    }
    is_named = hasattr(estimator, "feature_names_in_")
    yes = positive.value if positive else next((c for c in classes[-1:]), "1")
    return Fitted(estimator, columns, yes, task, is_named, values), positive, said


def _second_class(looked: Looked, classes: list[str]) -> Guess:
    """Return the outcome that the model calls yes, when the file spells outcomes as the model does."""
    _check_spelling(looked, classes)
    return Guess("positive", classes[-1], "the model's second class")


def _check_spelling(looked: Looked, classes: list[str]) -> None:
    """Refuse outcomes of which none is a class of the model."""
    column = looked.mapped.roles["outcome"]
    known = _text_values(looked, column)
    spelled = {value.removesuffix(".0") for value in known}
    if spelled.isdisjoint(classes):
        msg = f"the model's classes are {' and '.join(classes)}, {column} holds {', '.join(known[:5])}"
        raise UsageError(msg, hint=f"write {column} as the model was fitted, so that it is known which is which")


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
    mapped = Mapped(roles, train.mapped.inputs)
    columns = mend(connection, "init_holdout", columns, facts, mapped)
    return Looked(connection, "init_holdout", name, columns, facts, mapped)


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
    """Add the end of training, importance and bar to a model."""
    zone = model.timezone
    trained = span(train, zone)
    if trained is not None:
        end = -(-trained.end // MICROS) * MICROS
        model = replace(model, trained_until=end)
        guesses.append(Guess("trained_until", moment(end).isoformat(), f"the last time in {train.name}"))
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
        bar = worse_end(
            model.task, metric, found, f"{judged.name}, {counted(len(outcomes), 'row')}{when}, all after training ended"
        )
        model = replace(model, expectations=(bar,) if bar else ())
        guesses.append(Guess(f"quality.{metric}", *_bar_text(bar, found, judged.name)))
    part = {name: values[:_IMPORTANCE_ROWS] for name, values in table.items()}
    where = f"{metric} lost when shuffled, on {counted(min(len(outcomes), _IMPORTANCE_ROWS), 'row')} of {judged.name}"
    importance = Importance(importances(fitted, part, outcomes[:_IMPORTANCE_ROWS]), where)
    if importance.shares:
        model = importance.on(model)
        guesses.append(Guess("importance", importance.text, where))
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
    if fitted.task is Task.MULTICLASS:
        listed = ", ".join(literal(name) for name in fitted.classes)
        spelled = class_text(outcome, looked.types[looked.mapped.roles["outcome"]])
        truth = f"CAST(coalesce(list_position([{listed}], {spelled}), 0) - 1 AS DOUBLE)"
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
    """Return the metric of a model and its value on rows: AUC, accuracy without scores or of classes, or RMSE."""
    if not bool(np.all(np.isfinite(answers))):
        count = int(np.sum(~np.isfinite(answers)))
        msg = f"the model answers {count:,} of {counted(len(answers), 'row')} with no finite number"
        raise UsageError(msg, hint="look for missing or infinite inputs in the file")
    if fitted.task is Task.REGRESSION:
        shift = float(outcomes.mean()) if len(outcomes) else 0.0
        return "rmse", regression.rmse(RegressionState.from_rows(answers, outcomes, shift=shift))
    if fitted.task is Task.MULTICLASS:
        right = BinaryState.from_rows(answers == outcomes, decisions=np.ones(len(outcomes)))
        return "accuracy", classification.accuracy(right)
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
        losses[name] = whole - sum(after) / repeats
    return shares_of(losses)


def _bar_text(bar: Expectation | None, found: Estimate, file: str) -> tuple[str, str]:
    if bar is None or found.low is None or found.high is None:
        return "none", found.reason
    words = f"at least {bar.at_least:g}" if bar.at_least is not None else f"at most {bar.at_most:g}"
    return words, f"the worse end of {found.value:.4g} [{found.low:.4g}, {found.high:.4g}] on {file}"
