"""`setpoint evaluate`: an evaluation set under suspicion. A good result is a sanity check and decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np

from setpoint.answers.answer import Answer
from setpoint.answers.evaluation import Evaluated, evaluation
from setpoint.connect.loading import load_estimator
from setpoint.core.errors import UsageError
from setpoint.core.expression import parse
from setpoint.core.metric import Metric
from setpoint.core.model import Model, Task
from setpoint.core.window import Window
from setpoint.feedback.column_leaks import column_leaks
from setpoint.feedback.coverage import Coverage, coverage
from setpoint.feedback.evaluation import (
    Online,
    Told,
    binary_quality,
    class_quality,
    measured_online,
    regression_quality,
    told_offline,
)
from setpoint.feedback.leaks import Split, split_leaks
from setpoint.feedback.quality import quality
from setpoint.feedback.underserved import Search, find_underserved
from setpoint.project.fitted import Fitted, Floats, word
from setpoint.project.keeping import ship_if_free
from setpoint.project.log import When, open_log
from setpoint.project.splits import (
    Asked,
    Files,
    asked_of_model,
    open_files,
    places_of_outcomes,
    recorded_answers,
    recorded_rightness,
    split_of,
)
from setpoint.project.tables import Columns, chosen
from setpoint.store.engines.duck import connect
from setpoint.store.evidence import RowEvidence
from setpoint.store.files import Mapped, Source, create_views

PAST_WEEKS = 12
_TOLD = {"outcome", "score", "prediction"}
_WEEK = 7 * 86_400_000_000


@dataclass(frozen=True, slots=True)
class _Production:
    """What a store knows of the model: its declaration, what it had and the set lacks, how it did, and for whom."""

    model: Model | None = None
    cohorts: Search | None = None
    coverage: Coverage | None = None
    told: Told | None = None
    online: tuple[Online, ...] = ()
    as_of: int = 0
    evaluated: RowEvidence | None = None


def evaluate(
    test: Source,
    *,
    train: Source | None = None,
    store: str | Path | None = None,
    model: str = "",
    estimator: str | Path | None = None,
    inputs: Columns = None,
    entities: Columns = None,
    observed: Mapping[str, str] | None = None,
    tz: str = "",
    over: str | Window | None = None,
    as_of: When = None,
    **columns: str,
) -> Answer:
    """Can an evaluation set be trusted? Leaks, coverage of production, size, and how far offline was off before.

    Args:
        test: The rows to evaluate on with their outcomes, as `read` takes them.
        train: The rows the model was or will be trained on; the reference that the model declares when left out.
        store: Where production is recorded; None for no comparison with it.
        model: The model in the store; may be left out when there is only one.
        estimator: A fitted model's file, to measure its quality on the set; loading it runs code from the file.
        inputs: The input columns; guessed when left out.
        entities: Columns, such as a customer, whose values are to be on one side only.
        observed: Column with the time when an input was observed, by input.
        tz: The zone of times that carry none; the model's, else UTC, when empty.
        over: Production's window; the 30 days up to its last prediction by default.
        as_of: Ask production as if it were this time.
        **columns: Column by role, such as `outcome`, `time`, `key`, `score`; an empty text says that there is none.

    Raises:
        UsageError: A file cannot be read, or there is nothing to compare it with.

    Example:
        >>> import duckdb
        >>> rows = "SELECT i % 3 AS x, {} + i * 60 AS at, (i * 7 % 5 < 2)::INT AS late FROM range(300) AS t(i)"
        >>> before, after = duckdb.sql(rows.format(1700000000)), duckdb.sql(rows.format(1700090000))
        >>> evaluate(after, train=before, outcome="late", time="at").headline
        'sanity check: no leak found in 1 input and 300 test rows; quality unknown'
    """
    asked = Asked(columns, chosen(inputs), chosen(entities, "entities") or (), observed or {}, tz or "UTC")
    with closing(connect()) as connection:
        if store is None:
            if model:
                msg = f"which store has {model!r} is not said"
                raise UsageError(msg, hint="name it with store=")
            return _evaluated(connection, test, train, asked, estimator, _Production())
        ship_if_free(Path(store))
        with open_log(store) as log, log.evidence(model, as_of) as evidence:
            declared = evidence.model
            told = {role: name for role, name in declared.columns if role in _TOLD}
            asked = replace(asked, zone=tz or declared.timezone, columns={**told, **columns})
            files = open_files(connection, _training(train, declared), test, asked, declared)
            window = Window.parse(over, now=evidence.as_of, zone=declared.timezone) if isinstance(over, str) else over
            found = _production(evidence, files, window)
            return _judged(files, estimator, found)


def _training(train: Source | None, model: Model | None) -> Source:
    declared = "" if model is None else model.reference_file
    if train is not None or declared:
        return declared if train is None else train
    msg = "no training rows to hold the set against"
    raise UsageError(msg, hint="name them with --train, or declare them as the model's reference")


def _evaluated(
    connection: duckdb.DuckDBPyConnection,
    test: Source,
    train: Source | None,
    asked: Asked,
    estimator: str | Path | None,
    production: _Production,
) -> Answer:
    return _judged(open_files(connection, _training(train, None), test, asked), estimator, production)


def _judged(files: Files, estimator: str | Path | None, production: _Production) -> Answer:
    split, notes = split_of(files)
    columns = column_leaks(split, beyond=_BEYOND.get(files.task, ""))
    if files.task in _BEYOND:
        metrics, asked = _quality_in_words(files, estimator, production)
    else:
        metrics, asked = _quality(files, split, estimator)
    return evaluation(
        Evaluated(
            names=(files.train.name, files.test.name),
            split=split,
            is_timeless=files.asked.columns.get("time") == "",
            leaks=(*split_leaks(split), *columns.leaks),
            columns=columns,
            metrics=tuple(metrics),
            answered_by=asked,
            model=production.model,
            cohorts=production.cohorts,
            coverage=production.coverage,
            told=production.told,
            online=production.online,
            as_of=production.as_of,
            notes=(*files.notes, *notes),
        )
    )


_BEYOND = {Task.RANKING: "an order", Task.GENERATION: "a text"}


def _quality_in_words(files: Files, estimator: str | Path | None, production: _Production) -> tuple[list[Metric], str]:
    """Return the quality of recorded rankings or graded texts, as a log has it, and whose they are."""
    if estimator is not None:
        msg = f"a {files.task} model's file cannot be asked"
        raise UsageError(msg, hint="record its answers in the set, in a column of their own")
    evaluated = production.evaluated or _evaluated_rows(files, Model("", task=files.task), files.test.mapped.inputs)
    found = quality(evaluated.quality(None).only(is_root=True), evaluated.model)
    roles = files.test.mapped.roles
    by = roles.get("ranking", "") if files.task is Task.RANKING else f"the model and graded by {roles['outcome']}"
    return [found[0], *(metric for metric in found[1:] if metric.value is not None)], by


def _evaluated_rows(files: Files, model: Model, inputs: tuple[str, ...]) -> RowEvidence:
    """Return the rows to evaluate on as a log, whose views are in the files' connection from then on."""
    wanted = {"outcome", "ranking", "judge"} if model.task.in_words else {"outcome", "score", "prediction"}
    roles = {role: column for role, column in files.test.mapped.roles.items() if role in wanted}
    test = (files.test.table, files.test.types, Mapped(roles, inputs))
    views = create_views(files.test.connection, test, None, model.timezone)
    return RowEvidence(files.test.connection, model, views, 0, is_joined=True, is_recorded=False)


def _quality(files: Files, split: Split, estimator: str | Path | None) -> tuple[list[Metric], str]:
    """Return the quality of the set, and whose answers it is about."""
    outcomes = split.test_outcomes
    fitted = None if estimator is None else _fitted(files, Path(estimator))
    if files.has_classes or (fitted is not None and fitted.task is Task.MULTICLASS):
        return _class_quality(files, fitted), Path(estimator or files.test.mapped.roles.get("prediction", "")).name
    if fitted is not None and estimator is not None:
        found = fitted.answers(asked_of_model(files, fitted.columns))
        found = np.where(np.isfinite(found), found, np.nan)
        scores, answers = (found, None) if fitted.has_scores else (None, found)
        by = Path(estimator).name
    else:
        scores, answers = recorded_answers(files)
        by = " and ".join(
            files.test.mapped.roles[role] for role in ("score", "prediction") if role in files.test.mapped.roles
        )
    if files.task is Task.REGRESSION:
        return regression_quality(outcomes, answers), by
    return binary_quality(outcomes, scores, _decisions(answers)), by


def _class_quality(files: Files, fitted: Fitted | None) -> list[Metric]:
    right = recorded_rightness(files)
    if fitted is not None:
        places = places_of_outcomes(files, fitted.classes)
        answered = fitted.answers(asked_of_model(files, fitted.columns))
        right = np.where(np.isnan(places), np.nan, answered == places)
    return class_quality(right)


def _decisions(answers: Floats | None) -> Floats | None:
    """Return answers that are 0 or 1; what is neither says neither yes nor no."""
    return None if answers is None else np.where((answers == 0.0) | (answers == 1.0), answers, np.nan)


def _fitted(files: Files, path: Path) -> Fitted:
    estimator = load_estimator(path)
    named = tuple(str(name) for name in getattr(estimator, "feature_names_in_", ()))
    columns = named or files.asked.inputs or files.train.mapped.inputs
    count = getattr(estimator, "n_features_in_", len(columns))
    if count != len(columns):
        msg = f"the model takes {count} inputs, {files.train.name} seems to have {len(columns)}: {', '.join(columns)}"
        raise UsageError(msg, hint="name them in the model's order: --inputs a,b,c")
    classes = [word(value) for value in getattr(estimator, "classes_", ())]
    positive = files.positive or next(iter(classes[-1:]), "1")
    task = Task.MULTICLASS if len(classes) > 2 else files.task  # noqa: PLR2004 — yes and no
    return Fitted(estimator, columns, positive, task, bool(named))


def _production(evidence: RowEvidence, files: Files, window: Window | None) -> _Production:
    model = evidence.model
    known = dict.fromkeys([*evidence.inputs, *(feature.name for feature in model.features), *_read_by_cohorts(model)])
    inputs = tuple(name for name in known if name in files.test.types)
    evaluated = _evaluated_rows(files, model, inputs)
    told = next((one for bar in model.expectations if (one := told_offline(bar)) is not None), None)
    span = evidence.span
    online: Sequence[Online] = ()
    if told is not None and span is not None:
        online = measured_online(evidence, told, Window(span.end - PAST_WEEKS * _WEEK, span.end))
    is_answered = not model.task.in_words and {"score", "prediction"} & files.test.mapped.roles.keys()
    served = find_underserved(_by_cohorts(evaluated), None) if is_answered and model.cohorts else None
    covered = coverage(evidence, evaluated, window)
    return _Production(model, served, covered, told, tuple(online), evidence.as_of, evaluated)


def _by_cohorts(evaluated: RowEvidence) -> RowEvidence:
    """Return the rows to evaluate on with the inputs that declared cohorts read, so that only those are told apart."""
    read = _read_by_cohorts(evaluated.model)
    inputs = {name: column for name, column in evaluated.inputs.items() if name in read}
    return RowEvidence(evaluated.connection, evaluated.model, inputs, 0, is_joined=True, is_recorded=False)


def _read_by_cohorts(model: Model) -> list[str]:
    """Return the columns that declared cohorts are made from."""
    columns = [{one.by} if one.by else parse(one.where).columns() for one in model.cohorts]
    return sorted(name.removeprefix("inputs.") for name in set[str]().union(*columns))
