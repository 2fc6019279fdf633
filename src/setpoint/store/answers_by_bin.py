"""What a model answered, and how often it was right, by the value of one feature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import duckdb

from setpoint.core.model import Task
from setpoint.store.engines.duck import quoted, rows
from setpoint.store.matching import Matching, examples
from setpoint.store.measures import Column, Definition, Scale
from setpoint.store.primitives import VALUE_BINS, finite, printed, value_bin
from setpoint.store.profiling import value_label
from setpoint.store.texts import measured, sources_of, texts_of

ANSWERS = ("score", "positive", "success")
"""The mean score, or prediction of a number; the share that was answered yes; the share that was right."""

Sums = tuple[float, float, float]
"""Rows, sum and sum of squares of a number."""


def query_answers_by_bin(
    connection: duckdb.DuckDBPyConnection,
    matching: Matching,
    definition: Definition,
    columns: Mapping[str, Column],
    feature: str,
) -> dict[str, dict[str | None, Sums]]:
    """Return the sums of each of `ANSWERS` by bin or value of a feature, as profiles name it; None is missing.

    Rows without the number are left out of its sums.

    Args:
        connection: Where `predictions` is a view.
        matching: Which rows, and how outcomes belong to them.
        definition: How features are binned.
        columns: How each is read.
        feature: Which, of these or a part of a text.
    """
    how = definition.features[feature]
    text = "" if feature in columns else sources_of(definition)[feature]
    column = columns[text or feature]
    task = matching.model.task
    answered = {
        "score": "decision" if task is Task.REGRESSION else "score",
        "positive": "decision" if task is Task.BINARY else "NULL",
        "success": "is_success",
    }
    numbers = ", ".join(f"{printed(finite(f'CAST({sql} AS DOUBLE)'))} AS {name}" for name, sql in answered.items())
    rooted = examples(replace(matching, cohorts=(("feature", column.sql),)))
    source = f"(SELECT cohort_0 AS feature, weight, {numbers} FROM ({rooted}) WHERE is_root) AS p"
    read = "feature"
    if text:
        read = quoted(feature)
        source = (
            f"({measured({text: ('feature', texts_of(definition)[text].known)}, source, ('weight', *ANSWERS))}) AS p"
        )
    if isinstance(how, Scale):
        binned = printed(value_bin(f"CAST({read} AS DOUBLE)", how.center, how.scale))
        last = VALUE_BINS - 1  # as in `profiling`: what is not finite is in none
        label = (
            f"CASE WHEN {binned} <= {VALUE_BINS}.0 THEN CAST(CAST(least({binned}, {last}.0) AS BIGINT) AS VARCHAR) END"
        )
    else:
        label = f"CASE WHEN {read} IS NOT NULL THEN {value_label(how)} END"
    sums = ", ".join(
        f"coalesce(sum(weight) FILTER ({name} IS NOT NULL), 0.0), coalesce(sum(weight * {name}), 0.0),"
        f" coalesce(sum(weight * {name} * {name}), 0.0)"
        for name in ANSWERS
    )
    found = rows(
        connection,
        f"SELECT {label} AS label, {sums} FROM (SELECT *, CAST({read} AS VARCHAR) AS value FROM {source}) AS p"
        " GROUP BY label",
    )
    answers: dict[str, dict[str | None, Sums]] = {name: {} for name in ANSWERS}
    for label, *each in found:
        for n, name in enumerate(ANSWERS):
            three = cast("Sums", tuple(each[3 * n : 3 * n + 3]))
            if three[0] > 0.0:
                answers[name][cast("str | None", label)] = three
    return answers
