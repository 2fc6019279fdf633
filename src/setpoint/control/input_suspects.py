"""Rows whose inputs are not as they were: missing, new, in another unit, swapped, constant, stale."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import cast

from setpoint.control.suspects import FRESH, Suspect, groups
from setpoint.control.symptoms import Shift
from setpoint.core.cause import CauseKind
from setpoint.store.ages import AGE
from setpoint.store.cause_rows import TABLE, CauseRows
from setpoint.store.engines.duck import literal, rows
from setpoint.store.evidence import RowEvidence

_LEAST = 0.02
_UNITS = (10.0, 24.0, 25.4, 60.0, 100.0, 1000.0, 3600.0, 1e6)
_NEAR = 1.6
_MANY_VALUES = 20
_PAIRS = 12  # of more numbers pairs are not looked for


def inputs(evidence: RowEvidence, shift: Shift, table: CauseRows) -> Iterator[Suspect]:
    """Yield what happened to the inputs of the model."""
    for name, column in {**table.numbers, **table.names}.items():
        yield from _missing(evidence, shift, name, column)
    for name, column in table.names.items():
        yield from _new_values(evidence, shift, name, column)
    usual = {name: _usual(evidence, shift, column) for name, column in table.numbers.items()}
    for name, column in table.numbers.items():
        yield from _out_of_range(evidence, shift, name, column, usual[name])
        yield from _constant(evidence, shift, name, column)
    known = [name for name in table.numbers if usual[name] is not None][:_PAIRS]
    for one, other in combinations(known, 2):
        places = (table.numbers[one], table.numbers[other])
        yield from _swapped(evidence, shift, f"{one} and {other}", places, (usual[one], usual[other]))


_Usual = tuple[float, float, float, float, float, int]


def _usual(evidence: RowEvidence, shift: Shift, column: str) -> _Usual | None:
    """Return the ends, the middle and the quartiles of a number before the change, and how many values it has."""
    low, middle, high, first, third, values = rows(
        evidence.connection,
        f"SELECT quantile_cont({column}, 0.001), quantile_cont({column}, 0.5), quantile_cont({column}, 0.999),"
        f" quantile_cont({column}, 0.25), quantile_cont({column}, 0.75), count(DISTINCT {column}) FROM {TABLE}"
        f" WHERE moment < {shift.surely_before} AND isfinite({column})",
    )[0]
    if low is None:
        return None
    return cast("_Usual", (low, middle, high, first, third, values))


def _shares(evidence: RowEvidence, shift: Shift, where: str) -> tuple[float, float]:
    """Return the share of rows before and since for which a condition holds."""
    found = {value: (before, after) for value, before, after in groups(evidence, shift, f"coalesce({where}, false)")}
    return found.get("true", (0.0, 0.0))


def _missing(evidence: RowEvidence, shift: Shift, name: str, column: str) -> Iterator[Suspect]:
    where = f"{column} IS NULL"
    before, after = _shares(evidence, shift, where)
    if after > 2.0 * before + _LEAST:
        said = f"{name} is missing in {after:.0%} of the rows, before in {before:.0%}"
        yield Suspect("missing_up", name, said, where=where, by_source=True)


def _new_values(evidence: RowEvidence, shift: Shift, name: str, column: str) -> Iterator[Suspect]:
    found = [one for one in groups(evidence, shift, column) if one[0] is not None and one[2] > FRESH * one[1]]
    after = sum(one[2] for one in found)
    if after >= _LEAST / 2 and len(found) <= _MANY_VALUES:
        listed = ", ".join(literal(str(value)) for value, _, _ in found)
        said = (
            f"{name} is {', '.join(str(value) for value, _, _ in found[:3])} in {after:.0%} of the rows, never before"
        )
        yield Suspect("new_value", name, said, where=f"{column} IN ({listed})", by_source=True)


def _out_of_range(
    evidence: RowEvidence, shift: Shift, name: str, column: str, usual: _Usual | None
) -> Iterator[Suspect]:
    if usual is None:
        return
    low, middle, high, *_ = usual
    where = f"({column} > {high!r} OR {column} < {low!r})"
    _, after = _shares(evidence, shift, where)
    if after < _LEAST:
        return
    odd = cast(
        "float",
        rows(
            evidence.connection,
            f"SELECT median({column}) FROM {TABLE} WHERE {where} AND moment >= {shift.current.start}",
        )[0][0],
    )
    kind: CauseKind = "value_range"
    said = f"{name} is outside {low:.4g} to {high:.4g} in {after:.0%} of the rows, about {odd:.4g}"
    ratio = abs(odd / middle) if odd and middle else 1.0
    times = max(ratio, 1.0 / ratio)
    if name.endswith(AGE) and odd > high:
        kind, said = "stale_feature", f"{name.removesuffix(AGE)} is {odd:.3g} days old, before at most {high:.3g}"
    elif any(unit / _NEAR <= times <= unit * _NEAR for unit in _UNITS):
        kind, said = "unit_changed", f"{said}: another unit, {times:.3g} times {'more' if ratio > 1 else 'less'}"
    yield Suspect(kind, name.removesuffix(AGE), said, where=where, by_source=True)


def _constant(evidence: RowEvidence, shift: Shift, name: str, column: str) -> Iterator[Suspect]:
    for value, before, after in groups(evidence, shift, column)[:1]:
        if value is not None and after > FRESH * before and after > 5 * _LEAST:
            said = f"{name} is {value} in {after:.0%} of the rows, before in {before:.0%}"
            yield Suspect("constant_feature", name, said, where=f"{column} = {value}::DOUBLE", by_source=True)


def _swapped(
    evidence: RowEvidence, shift: Shift, names: str, columns: tuple[str, str], usual: tuple[_Usual | None, ...]
) -> Iterator[Suspect]:
    one, other = usual
    if one is None or other is None:
        return
    spreads = [max(end[4] - end[3], 1e-9) for end in (one, other)]

    def far(column: str, place: int) -> str:
        return f"least(abs({column} - {usual[place][1]!r}) / {spreads[place]!r}, 20.0)"  # pyright: ignore[reportOptionalSubscript] — both are known here

    left, right = columns
    where = f"{far(left, 1)} + {far(right, 0)} + 1.0 < {far(left, 0)} + {far(right, 1)}"
    where = (
        f"({where} AND ({left} BETWEEN {other[0]!r} AND {other[2]!r}) AND ({right} BETWEEN {one[0]!r} AND {one[2]!r}))"
    )
    before, after = _shares(evidence, shift, where)
    if after > 3.0 * before + _LEAST:
        said = f"{names} look swapped in {after:.0%} of the rows"
        yield Suspect("columns_swapped", names, said, where=where, by_source=True)
