"""What a feature's declared kind means for its column, and how values of another type are cast to it.

The rule stands here twice, for single values in Python and for whole columns in SQL; a test holds
the two together. A text is a number when JSON spells one so: `"01234"` stays a text. What is not a
number (NaN) is no value, and fits everywhere as null.
"""

from __future__ import annotations

import math
import re

from setpoint.core.events import InputValue
from setpoint.core.model import Feature, FeatureKind, Model
from setpoint.core.spelling import spelled
from setpoint.store.primitives import finite
from setpoint.store.shapes import SPELLED

_TYPES: dict[FeatureKind, str] = {
    "numeric": "DOUBLE",
    "integer": "BIGINT",
    "categorical": "VARCHAR",
    "boolean": "BOOLEAN",
    "text": "VARCHAR",
    "time": "VARCHAR",
}
_INTEGER = "-?(0|[1-9][0-9]*)"
_NUMBER = rf"{_INTEGER}([.][0-9]+)?([eE][+-]?[0-9]+)?"
_LIMIT = 1 << 63
_DIGITS = 20
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_SPELLED_SQL = ", ".join(f"'{word}'" for word in sorted(SPELLED))


class Misfit(Exception):
    """A value cannot be told in a column's type."""


def declared_types(model: Model | None) -> dict[str, str]:
    """Return the column type of each feature whose declaration decides it.

    Example:
        >>> declared_types(Model("m", features=(Feature("a", "integer"), Feature("b"), Feature("c", policy="hash"))))
        {'a': 'BIGINT', 'c': 'VARCHAR'}
    """
    features = () if model is None else model.features
    return {feature.name: kind for feature in features if (kind := _type(feature)) is not None}


def _type(feature: Feature) -> str | None:
    if feature.policy in {"hash", "redact"}:
        return "VARCHAR"
    return None if feature.kind is None or feature.policy == "drop" else _TYPES[feature.kind]


def cast_value(value: object, kind: str) -> InputValue:
    """Return a value of a line as a column of some type holds it.

    Raises:
        Misfit: It does not fit.

    Example:
        >>> cast_value("12.5", "DOUBLE"), cast_value(80331.0, "VARCHAR"), cast_value(3.0, "BIGINT")
        (12.5, '80331', 3)
    """
    if value is None or (value == "NaN" and kind != "DOUBLE"):
        return None
    if not isinstance(value, str | float | int):
        raise Misfit
    if kind == "VARCHAR":
        return spelled(value)
    if kind == "BOOLEAN":
        return _truth(value)
    return _whole(value) if kind == "BIGINT" else _number(value)


def _truth(value: str | float) -> bool:
    text = value.lower() if isinstance(value, str) else spelled(value)
    if text not in _TRUTHS:
        raise Misfit
    return _TRUTHS[text]


def _whole(value: str | float) -> int:
    if isinstance(value, str):
        value = int(value) if len(value) <= _DIGITS and re.fullmatch(_INTEGER, value) else _number(value)
    # What is not finite is still spelled out, and no whole number.
    if isinstance(value, str) or value != math.floor(value) or not -_LIMIT <= value < _LIMIT:
        raise Misfit
    return int(value)


def _number(value: str | float) -> str | float:
    if not isinstance(value, str) or value in SPELLED:
        return value
    found = float(value) if re.fullmatch(_NUMBER, value) else math.inf
    if not math.isfinite(found):
        raise Misfit
    return found


def cast_sql(column: str, found: str, kind: str) -> str:
    """Return SQL of a column of one type as another; null where a value does not fit.

    Args:
        column: The column, as SQL.
        found: Its type.
        kind: The type wanted.
    """
    if kind == "VARCHAR":
        return _text_sql(column) if found == "DOUBLE" else f"CAST({column} AS VARCHAR)"
    if kind == "BOOLEAN":
        text = f"lower({column})" if found == "VARCHAR" else _text_sql(f"CAST({column} AS DOUBLE)")
        return f"CASE {text} WHEN 'true' THEN true WHEN '1' THEN true WHEN 'false' THEN false WHEN '0' THEN false END"
    if kind == "DOUBLE":
        return _number_sql(column) if found == "VARCHAR" else f"CAST({column} AS DOUBLE)"
    if found == "VARCHAR":
        whole = f"regexp_full_match({column}, '{_INTEGER}')"
        return f"CASE WHEN {whole} THEN TRY_CAST({column} AS BIGINT) ELSE {_whole_sql(_number_sql(column))} END"
    return _whole_sql(column) if found == "DOUBLE" else f"CAST({column} AS BIGINT)"


def misfit_sql(column: str, found: str, kind: str) -> str:
    """Return SQL for whether a value of a column is lost in another type; see `cast_sql`."""
    return f"({valued_sql(column, found)} AND {cast_sql(column, found, kind)} IS NULL)"


def valued_sql(column: str, found: str) -> str:
    """Return SQL for whether a column has a value: neither null nor not a number."""
    nothing = {"DOUBLE": f" AND NOT isnan({column})", "VARCHAR": f" AND {column} <> 'NaN'"}
    return f"({column} IS NOT NULL{nothing.get(found, '')})"


def _text_sql(column: str) -> str:
    whole = _whole_sql(column)
    return (
        f"CASE WHEN isnan({column}) THEN NULL WHEN isinf({column}) THEN"
        f" CASE WHEN {column} > 0 THEN 'Infinity' ELSE '-Infinity' END"
        f" ELSE coalesce(CAST({whole} AS VARCHAR), CAST({column} AS VARCHAR)) END"
    )


def _whole_sql(number: str) -> str:
    inside = f"{number} >= CAST({-_LIMIT} AS DOUBLE) AND {number} < CAST({_LIMIT} AS DOUBLE)"
    return f"CASE WHEN {inside} AND {number} = floor({number}) THEN CAST({number} AS BIGINT) END"


def _number_sql(text: str) -> str:
    number = f"TRY_CAST({text} AS DOUBLE)"
    return (
        f"CASE WHEN regexp_full_match({text}, '{_NUMBER}') THEN {finite(number)}"
        f" WHEN {text} IN ({_SPELLED_SQL}) THEN {number} END"
    )
