"""Predictions as arrays of numbers: what happened to each, and which value of each dimension it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from setpoint.core.window import Window
from setpoint.store.defining import is_number_type
from setpoint.store.engines.duck import literal, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.matching import examples
from setpoint.store.measures import COHORT_VALUES, NO_VALUE

INPUT_VALUES = 20
"""An input is a dimension when it has at most as many values."""
MOST_DIMENSIONS = 20
_SAMPLE_ROWS = 10_000
_TABLE = "temp.coded_examples"
_NUMBERS = ("weight", "score", "decision", "outcome_number", "is_success")


@dataclass(frozen=True, slots=True)
class Dimension:
    """A cohort or an input with few values.

    Attributes:
        name: As it is shown.
        values: By code, as text, the most frequent one first.
    """

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CodedExamples:
    """The root predictions of a window.

    Attributes:
        numbers: `weight`, `score`, `decision`, `outcome_number` and `is_success` by name, nan for none, each of
            shape (rows,).
        is_second_half: A coin that each unit, or prediction without one, has tossed once, shape (rows,).
        codes: Which value of each dimension, -1 for a rare one, shape (dimensions, rows).
        dimensions: The declared cohorts first.
        absent: Declared cohorts that do not occur, or that all predictions are in.
        left_out: Inputs that are no dimension only because there are too many.
    """

    numbers: dict[str, NDArray[np.float64]]
    is_second_half: NDArray[np.bool_]
    codes: NDArray[np.int64]
    dimensions: tuple[Dimension, ...]
    absent: tuple[str, ...]
    left_out: tuple[str, ...]


def coded_examples(evidence: RowEvidence, window: Window | None) -> CodedExamples:
    """Return the root predictions of a window with their cohorts and few-valued inputs as codes.

    A declared cohort has its `COHORT_VALUES` most frequent values, an input all of its values, whole numbers,
    texts or booleans. A missing value is a value: what a model does with it is often what is wrong.

    Args:
        evidence: The model's rows.
        window: Predictions of this window; None for all.
    """
    declared = dict(evidence.matching(window).cohorts)
    taken = {cohort.by.removeprefix("inputs.") for cohort in evidence.model.cohorts if cohort.by}
    few, left_out = _few_valued(evidence, [name for name in evidence.inputs if name not in {*taken, *declared}])
    few = few[: max(MOST_DIMENSIONS - len(declared), 0)]
    sources = {**declared, **{name: _value(evidence, name) for name in few}}
    _load(evidence, window, list(sources.values()))
    try:
        found = [_dimension(evidence, n, name, is_declared=name in declared) for n, name in enumerate(sources)]
        wanted = [(n, dimension) for n, dimension in enumerate(found) if dimension is not None]
        arrays = _arrays(evidence, [f"{_case(n, dimension)} AS code_{n}" for n, dimension in wanted])
    finally:
        rows(evidence.connection, f"DROP TABLE IF EXISTS {_TABLE}")
    return CodedExamples(
        {name: arrays[name] for name in _NUMBERS},
        arrays["half"] > 0,
        np.array([arrays[f"code_{n}"] for n, _ in wanted], np.int64).reshape(len(wanted), len(arrays["half"])),
        tuple(Dimension(dimension.name, tuple(map(_text, dimension.values))) for _, dimension in wanted),
        tuple(name for name, dimension in zip(sources, found, strict=True) if dimension is None and name in declared),
        left_out,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    values: tuple[object, ...]


def _few_valued(evidence: RowEvidence, names: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the inputs with few different values among the first rows, and those that are one too many."""
    names = [name for name in names if _is_countable(evidence.inputs[name].kind)]
    if not names:
        return [], ()
    asked = [f"count(DISTINCT {_value(evidence, name)}), {_is_whole(evidence, name)}" for name in names]
    source = f"(SELECT * FROM predictions WHERE parent_id IS NULL LIMIT {_SAMPLE_ROWS}) AS p"
    counts = rows(evidence.connection, f"SELECT {', '.join(asked)} FROM {source}")[0]
    pairs = zip(names, counts[::2], counts[1::2], strict=True)
    few = [name for name, count, whole in pairs if cast("int", count) <= INPUT_VALUES and whole]
    importance = {feature.name: feature.importance or 0.0 for feature in evidence.model.features}
    few.sort(key=lambda name: -importance.get(name, 0.0))
    most = max(MOST_DIMENSIONS - len(evidence.model.cohorts), 0)
    return few[:most], tuple(few[most:])


def _is_countable(kind: str) -> bool:
    return kind in {"VARCHAR", "BOOLEAN"} or is_number_type(kind)


def _value(evidence: RowEvidence, name: str) -> str:
    column, kind = evidence.column(name), evidence.inputs[name].kind
    if kind in {"VARCHAR", "BOOLEAN"}:
        return column
    return f"CASE WHEN NOT isnan(CAST({column} AS DOUBLE)) THEN CAST({column} AS DOUBLE) END"


def _is_whole(evidence: RowEvidence, name: str) -> str:
    if evidence.inputs[name].kind in {"VARCHAR", "BOOLEAN"}:
        return "true"
    value = _value(evidence, name)
    return f"coalesce(bool_and({value} = floor({value})), true)"


def _load(evidence: RowEvidence, window: Window | None, sources: Sequence[str]) -> None:
    """Make the table of examples once: its values are looked at before they are coded."""
    named = [*((f"d{n}", sql) for n, sql in enumerate(sources)), ("unit", "p.unit")]
    matching = replace(evidence.matching(window), cohorts=tuple(named))
    # A file's rows may have no identifier: then its order, which is its own, stands in for one.
    place = "'row ' || row_number() OVER ()" if evidence.is_joined else "root_id"
    who = f"coalesce(cohort_{len(sources)}, nullif(root_id, ''), {place})"
    values = "".join(f", cohort_{n}" for n in range(len(sources)))
    rows(
        evidence.connection,
        f"CREATE OR REPLACE TEMP TABLE coded_examples AS SELECT {', '.join(_NUMBERS)}{values},"
        f" ascii(right(sha256({who}), 1)) % 2 AS half FROM ({examples(matching)}) WHERE is_root",
    )


def _dimension(evidence: RowEvidence, n: int, name: str, *, is_declared: bool) -> _Found | None:
    """Return a dimension's values, the most frequent first; None with fewer than two, or for an input of many."""
    found = rows(
        evidence.connection,
        f"SELECT cohort_{n}, count(*) AS rows FROM {_TABLE} GROUP BY cohort_{n}"
        f" ORDER BY rows DESC, cohort_{n} LIMIT {COHORT_VALUES + 1}",
    )
    values = tuple(row[0] for row in found)
    is_few = sum(value is not None for value in values) <= INPUT_VALUES
    is_whole = all(value.is_integer() for value in values if isinstance(value, float))
    if len(values) < 2 or not (is_declared or (is_few and is_whole)):  # noqa: PLR2004 — one value is no choice
        return None
    return _Found(name, values[:COHORT_VALUES])


def _case(n: int, dimension: _Found) -> str:
    column = f"cohort_{n}"
    codes = {value: code for code, value in enumerate(dimension.values)}
    none = f" WHEN {column} IS NULL THEN {codes.pop(None)}" if None in codes else ""
    cases = "".join(f" WHEN {column} = {_literal(value)} THEN {code}" for value, code in codes.items())
    return f"CASE{none}{cases} ELSE -1 END"


def _literal(value: object) -> str:
    return literal(value) if isinstance(value, str) else f"{value!r}".lower()


def _text(value: object) -> str:
    if value is None:
        return NO_VALUE
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _arrays(evidence: RowEvidence, codes: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    numbers = [f"coalesce({name}, CAST('NaN' AS DOUBLE)) AS {name}" for name in _NUMBERS]
    sql = f"SELECT {', '.join([*numbers, 'half', *codes])} FROM {_TABLE}"
    found = evidence.connection.execute(sql).fetchnumpy()
    return cast("dict[str, NDArray[np.float64]]", {name: np.asarray(array) for name, array in found.items()})
