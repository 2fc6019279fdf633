"""A value is cast alone as its column is cast as a whole."""

from __future__ import annotations

import math
import random
import struct
from contextlib import closing

import pytest

from setpoint.core.events import InputValue
from setpoint.store.engines.duck import connect, literal
from setpoint.store.kinds import Misfit, cast_sql, cast_value, misfit_sql, valued_sql
from setpoint.store.shapes import scalar

TEXTS = [
    "", " ", "n/a", "a lot", "0", "-0", "7", "-7", "007", "01234", "+5", " 5", "5 ", "5.", ".5", "5.0", "-2.50", "1e3",
    "1E+3", "1e-3", "1e999", "-1e999", "1_000", "1,5", "0x10", "٣", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "9" * 400, "9" * 5000, "NaN", "nan", "Infinity", "-Infinity", "inf", "true", "True",
    "FALSE", "yes", "1.0", "1\n", "it's",
]  # fmt: skip
NUMBERS = [
    0.0, -0.0, 1.0, -1.0, 0.5, 2.5, 0.1, 80331.0, 1e15, 1e16, 123456789012345680.0, 9.2e18, 2.0**63, -(2.0**63), 1e19,
    1e20, 1.5e300, 5e-324, 1e-7, math.nan, math.inf, -math.inf,
]  # fmt: skip
BITS = [x for (x,) in struct.iter_unpack("<d", random.Random(7).randbytes(8 * 2000)) if math.isfinite(x)]
COLUMNS: dict[str, list[InputValue]] = {
    "VARCHAR": [*TEXTS],
    "DOUBLE": [*NUMBERS, *BITS],
    "BIGINT": [0, 1, -1, 2, 80331, 2**53 + 1, 2**63 - 1, -(2**63)],
    "BOOLEAN": [True, False],
}


def as_sql(value: InputValue, kind: str) -> str:
    return f"CAST({literal(str(value).lower() if kind == 'BOOLEAN' else str(value))} AS {kind})"


def alone(value: InputValue, kind: str) -> tuple[InputValue, bool]:
    """A value as a line holds it, cast, and whether it does not fit; a double as the engine reads the line."""
    try:
        found = cast_value(scalar(value), kind)
    except Misfit:
        return None, True
    return (found if found is None or kind != "DOUBLE" else float(found)), False


@pytest.mark.parametrize("found", COLUMNS)
@pytest.mark.parametrize("kind", ["DOUBLE", "BIGINT", "VARCHAR", "BOOLEAN"])
def test_a_value_in_a_line_and_a_column_in_a_table_are_cast_alike(found: str, kind: str) -> None:
    if found == kind:
        return
    values = COLUMNS[found]
    with closing(connect()) as connection:
        listed = ", ".join(f"({n}, {as_sql(value, found)})" for n, value in enumerate(values))
        cast = connection.execute(
            f"SELECT {cast_sql('x', found, kind)}, {misfit_sql('x', found, kind)}, typeof({cast_sql('x', found, kind)})"
            f" FROM (VALUES {listed}) AS v(n, x) ORDER BY n"
        ).fetchall()
    assert {row[2] for row in cast} == {kind}
    for value, (told, misfit, _) in zip(values, cast, strict=True):
        expected, is_misfit = alone(value, kind)
        assert (repr(told), misfit) == (repr(expected), is_misfit), repr(value)


def test_null_and_what_is_not_a_number_are_no_values_and_fit_everywhere() -> None:
    assert cast_value(None, "BIGINT") is None
    with closing(connect()) as connection:
        for found in COLUMNS:
            for kind in COLUMNS:
                if found != kind:
                    null = f"SELECT {valued_sql('x', found)}, {misfit_sql('x', found, kind)} FROM"
                    assert connection.execute(f"{null} (SELECT NULL::{found} AS x)").fetchall() == [(False, False)]
        nan = f"SELECT {valued_sql('x', 'DOUBLE')} FROM (SELECT 'NaN'::DOUBLE AS x)"
        assert connection.execute(nan).fetchall() == [(False,)]


def test_a_text_is_a_number_when_json_spells_one_so() -> None:
    assert cast_value("12.50", "DOUBLE") == 12.5
    for text in ("01234", "+5", "5.", "1_000", "٣", "1e999"):
        with pytest.raises(Misfit):
            cast_value(text, "DOUBLE")


def test_what_no_column_holds_fits_none() -> None:
    with pytest.raises(Misfit):
        cast_value([1, 2], "VARCHAR")
