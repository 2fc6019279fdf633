"""A first contract from a file: what holds of all its rows, with room for rows that are yet to come."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

import duckdb

from setpoint.core.contract import Contract, ContractField, FieldKind
from setpoint.core.contract_faults import SEPARATOR
from setpoint.core.metric import counted, number
from setpoint.core.model import FeatureKind
from setpoint.core.spelling import spelled
from setpoint.stats.intervals import wilson
from setpoint.store.engines.duck import quoted, rows

FEWEST = 100
"""Fewer rows say little about what never happens: of 100 rows without a gap one in 33 may still have one."""
_ROOM = 0.5
MOST_LEVELS = 20
_ROWS_A_LEVEL = 20


def guessed_contract(
    connection: duckdb.DuckDBPyConnection, table: str, kinds: Mapping[str, FeatureKind], few: Collection[str]
) -> tuple[Contract | None, dict[str, tuple[str, str]]]:
    """Return a contract that a table keeps, and of each field what was guessed and why.

    Args:
        connection: Where the table is.
        table: Its name.
        kinds: Its inputs, with what their values are.
        few: Those of which the first rows have few different values.
    """
    named: dict[str, FieldKind] = {
        name: "categorical" if kind == "text" else kind for name, kind in kinds.items() if SEPARATOR not in name
    }
    seen = _seen(connection, table, named, few) if named else {}
    if not seen or next(iter(seen.values()))[0] < FEWEST:
        return None, {}
    fields: list[ContractField] = []
    reasons: dict[str, tuple[str, str]] = {}
    for name, facts in seen.items():
        kind = named[name]
        told: dict[str, Any] = {}
        words: list[tuple[str, str]] = [(kind, f"{kind} in {counted(facts[0], 'row')}")]
        for keys, what, why in _guesses(facts):
            told |= keys
            words.append((what, why))
        fields.append(ContractField(name, kind, **told))
        reasons[name] = ("; ".join(what for what, _ in words), "guessed: " + "; ".join(why for _, why in words))
    return Contract(tuple(fields), version="1"), reasons


Facts = tuple[int, int, float | None, float | None, list[str] | None]


def _seen(
    connection: duckdb.DuckDBPyConnection, table: str, kinds: Mapping[str, FieldKind], few: Collection[str]
) -> dict[str, Facts]:
    """Return of each column: rows, rows without a value, lowest and highest number, the values when they are few."""
    parts: list[str] = []
    for name, kind in kinds.items():
        column = quoted(name)
        if kind == "numeric":
            value = f"CAST({column} AS DOUBLE)"
            finite = f"CASE WHEN isfinite({value}) THEN {value} END"
            missing = f"count(*) FILTER (WHERE {column} IS NULL OR isnan({value}))"
            parts += ["count(*)", missing, f"min({finite})", f"max({finite})", "NULL"]
        else:
            text = f"CAST({column} AS VARCHAR)"
            listed = f"list_sort(list(DISTINCT {text}) FILTER (WHERE {column} IS NOT NULL))"
            levels = listed if kind == "categorical" and name in few else "NULL"
            parts += ["count(*)", f"count(*) - count({column})", "NULL", "NULL", levels]
    values = rows(connection, f"SELECT {', '.join(parts)} FROM {quoted(table)}")[0]
    return {name: cast("Facts", tuple(values[5 * n : 5 * n + 5])) for n, name in enumerate(kinds)}


def _guesses(facts: Facts) -> Iterator[tuple[dict[str, object], str, str]]:
    """Yield keys with their values, what they say, and why."""
    total, missing, low, high, levels = facts
    if missing:
        share = wilson(missing, total)
        limit = math.ceil(100 * (1 + _ROOM) * (share.high or 0.0)) / 100
        if limit < 1.0:
            why = f"{number(missing / total, 'share')} are missing, and half as many more may be"
            yield {"missing_ratio": limit}, f"at most {100 * limit:g} % missing", why
    else:
        yield {"required": True}, "required", "none is missing"
    if low is not None and high is not None and low < high:
        ends = _with_room(low, high)
        why = f"numbers from {low:g} to {high:g}, with half of that range more on each side"
        yield {"at_least": ends[0], "at_most": ends[1]}, f"{spelled(ends[0])} to {spelled(ends[1])}", why
    if levels and 1 < len(levels) <= MOST_LEVELS and total - missing >= _ROWS_A_LEVEL * len(levels):
        yield {"allowed": tuple(levels)}, f"one of {len(levels)} values", f"{len(levels)} different values"


def _with_room(low: float, high: float) -> tuple[float, float]:
    """Return a range with room on both sides, rounded outward; what is never below 0 stays so.

    Example:
        >>> _with_room(3.0, 97.0), _with_room(-1.0, 1.0)
        ((0.0, 150.0), (-2.0, 2.0))
    """
    room = _ROOM * (high - low)
    if not math.isfinite(room):
        return low, high
    step = 10.0 ** math.floor(math.log10(high - low))
    ends = math.floor((low - room) / step) * step, math.ceil((high + room) / step) * step
    ends = (float(f"{ends[0]:.12g}"), float(f"{ends[1]:.12g}"))
    return max(ends[0], 0.0) if low >= 0 else ends[0], min(ends[1], 0.0) if high <= 0 else ends[1]
