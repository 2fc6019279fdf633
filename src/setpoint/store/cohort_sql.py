"""The value of a declared cohort as SQL: of a column, of a condition, or derived from a column."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from setpoint.core.expression import parse
from setpoint.core.model import Cohort
from setpoint.store.engines.duck import literal
from setpoint.store.first_sight import is_new_sql

ELSEWHERE = "(other)"
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def cohort_sql(cohort: Cohort, column_and_kind: Callable[[str], tuple[str, str]], column: str, zone: str) -> str:
    """Return SQL for the value of a cohort over a prediction `p`; null where it has none.

    Args:
        cohort: The declaration.
        column_and_kind: How a condition reads a column, with its SQL type.
        column: SQL of the column that the cohort is by.
        zone: The zone that hours and weekdays are local to.
    """
    if cohort.where:
        from setpoint.store.expression_sql import condition_sql  # noqa: PLC0415 — brings sqlglot, slow to import

        return f"CASE WHEN {condition_sql(parse(cohort.where), column_and_kind)} THEN 'yes' ELSE 'no' END"
    if cohort.new_for is not None:
        return is_new_sql(cohort.new_for)
    if cohort.part:
        return _part(cohort.part, f"(CAST({column} AS TIMESTAMPTZ) AT TIME ZONE {literal(zone)})")
    if cohort.mapping:
        return _mapped(cohort.mapping, f"CAST({column} AS VARCHAR)")
    if cohort.edges or cohort.quantiles:
        return _banded(cohort.edges, f"TRY_CAST({column} AS DOUBLE)")
    return f"CAST({column} AS VARCHAR)"


def _part(part: str, local: str) -> str:
    if part == "hour":
        return f"strftime({local}, '%H')"
    names = ", ".join(literal(day) for day in _WEEKDAYS)
    return f"[{names}][isodow({local})]"


def _mapped(mapping: tuple[tuple[str, str], ...], text: str) -> str:
    cases = " ".join(f"WHEN {text} = {literal(value)} THEN {literal(group)}" for value, group in mapping)
    return f"CASE WHEN {text} IS NULL THEN NULL {cases} ELSE {literal(ELSEWHERE)} END"


def _banded(edges: tuple[float, ...], number: str) -> str:
    if not edges:  # to be frozen once there are rows
        return "CAST(NULL AS VARCHAR)"
    names = band_names(edges)
    cases = " ".join(
        f"WHEN {number} < {edge!r} THEN {literal(name)}" for edge, name in zip(edges, names[:-1], strict=True)
    )
    return f"CASE WHEN {number} IS NULL OR isnan({number}) THEN NULL {cases} ELSE {literal(names[-1])} END"


def band_names(edges: tuple[float, ...]) -> tuple[str, ...]:
    """Return what the bands between some edges are called; a band holds its lower edge.

    Example:
        >>> band_names((10.0, 100.0))
        ('below 10', '10 to 100', 'from 100')
    """
    told = [f"{edge:g}" for edge in edges]
    inner = [f"{low} to {high}" for low, high in pairwise(told)]
    return (f"below {told[0]}", *inner, f"from {told[-1]}")
