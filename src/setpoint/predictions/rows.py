"""Whatever callers hand over, as rows of inputs: arguments of a call, columns, frames and arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import cast

from setpoint.core.events import InputValue

Value = InputValue | object


def inputs_of(arguments: Mapping[str, object]) -> dict[str, Value]:
    """Return a call's arguments as inputs: mappings and objects with fields are spread out."""
    inputs: dict[str, Value] = {}
    for name, value in arguments.items():
        if name == "self":
            continue
        if isinstance(value, Mapping):
            inputs.update(cast("Mapping[str, Value]", value))
        elif hasattr(value, "model_dump"):
            inputs.update(cast("Callable[[], dict[str, Value]]", value.model_dump)())  # pyright: ignore[reportAttributeAccessIssue]
        elif hasattr(value, "__dataclass_fields__"):
            names = cast("Mapping[str, object]", value.__dataclass_fields__)  # pyright: ignore[reportAttributeAccessIssue]
            inputs.update({field: getattr(value, field) for field in names})
        else:
            inputs[name] = value
    return inputs


def rows_of(table: object) -> Iterator[dict[str, Value]]:
    """Yield the rows of columns by name, or of a polars, pandas or Arrow table."""
    columns = {name: _missing_as_none(values) for name, values in _columns_of(table).items()}
    names = list(columns)
    if not names and isinstance(table, list | tuple):  # rows that hold nothing are rows
        yield from ({} for _ in cast("Sequence[object]", table))
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(names, values, strict=True))


def _columns_of(table: object) -> Mapping[str, Sequence[Value]]:
    if isinstance(table, Mapping):
        items = cast("Mapping[str, Iterable[Value]]", table)
        return {name: _listed(values) for name, values in items.items()}
    if hasattr(table, "to_pydict"):
        return cast("Callable[[], dict[str, list[Value]]]", table.to_pydict)()  # pyright: ignore[reportAttributeAccessIssue]
    if not hasattr(table, "columns"):
        return _numbered(_listed(cast("Iterable[Value]", table)))
    names = cast("Iterable[str]", table.columns)  # pyright: ignore[reportAttributeAccessIssue]
    return {str(name): _listed(cast("Mapping[str, Iterable[Value]]", table)[name]) for name in names}


def _numbered(rows: Sequence[Value]) -> Mapping[str, Sequence[Value]]:
    """Return the columns of an array or a list of rows: by name when rows have names, else x0, x1 and so on."""
    named: list[Mapping[str, Value]] = []
    for row in rows:
        values = cast("Sequence[Value]", row) if isinstance(row, list | tuple) else [row]
        is_named = isinstance(row, Mapping)
        named.append(cast("Mapping[str, Value]", row) if is_named else {f"x{n}": v for n, v in enumerate(values)})
    names = list(dict.fromkeys(name for row in named for name in row))
    return {name: [row.get(name) for row in named] for name in names}


def _listed(values: Iterable[Value]) -> list[Value]:
    if hasattr(values, "tolist"):
        return cast("Callable[[], list[Value]]", values.tolist)()  # pyright: ignore[reportAttributeAccessIssue]
    if hasattr(values, "to_list"):
        return cast("Callable[[], list[Value]]", values.to_list)()  # pyright: ignore[reportAttributeAccessIssue]
    return list(values)


def _missing_as_none(values: Sequence[Value]) -> Sequence[Value]:
    """Return a column with None where pandas says NaN, NA or NaT; among numbers NaN stays what it is."""
    missing = [is_missing(value) for value in values]
    if not any(missing):
        return values
    present = [value for value, is_missing in zip(values, missing, strict=True) if not is_missing]
    is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)
    return [
        None if is_missing and not (is_number and isinstance(value, float)) else value
        for value, is_missing in zip(values, missing, strict=True)
    ]


def is_missing(value: Value) -> bool:
    """Return whether a value is what pandas says of one that is not there: NaN, NA or NaT."""
    # By name: pandas is not ours to import, and NA has no truth value.
    return (isinstance(value, float) and value != value) or type(value).__name__ in {"NAType", "NaTType"}  # noqa: PLR0124 — only NaN differs from itself


def column(values: Iterable[Value] | None, count: int) -> Sequence[Value]:
    """Return a column as a sequence; nulls when there is none.

    Raises:
        ValueError: It has another number of values.
    """
    found = [None] * count if values is None else _missing_as_none(_listed(values))
    if len(found) != count:
        msg = f"a column has {len(found)} values for {count} rows"
        raise ValueError(msg)
    return found
