"""What is measured of times among the inputs: how old each is when its prediction is made."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from setpoint.store.measures import Column
from setpoint.store.times import is_time_type, time_sql

AGE = " (age in days)"
"""What the name of an age ends on."""

NO_AGE = "is a time, and only one side knows when its rows were predicted: no age to hold against another"


def aged(
    columns: Mapping[str, Column], zone: str, *, is_timed: bool, declared: Collection[str] = ()
) -> dict[str, Column]:
    """Return columns with an age in the place of each time: a date that goes along with the calendar stays as old.

    Where rows have no time of their own all ages are 0, and only whether they are missing can be asked.

    Args:
        columns: Columns of predictions.
        zone: The zone of times that carry none.
        is_timed: Whether predictions have a time.
        declared: Columns of texts that are times.

    Example:
        >>> list(aged({"seen_at": Column("seen_at", "DATE"), "x": Column("x", "DOUBLE")}, "UTC", is_timed=True))
        ['seen_at (age in days)', 'x']
    """
    found: dict[str, Column] = {}
    for name, column in columns.items():
        if is_time_type(column.kind) or (name in declared and column.kind == "VARCHAR"):
            time = time_sql(column.sql, column.kind, zone)
            age = f"(epoch_us(predicted_at) - epoch_us({time})) / 86400e6" if is_timed else "0.0"
            found[f"{name}{AGE}"] = Column(f"CASE WHEN isfinite({time}) THEN {age} END", "DOUBLE")
        else:
            found[name] = column
    return found
