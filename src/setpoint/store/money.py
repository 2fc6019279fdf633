"""What outcomes were worth: the state behind the business metric, whose few large amounts decide everything."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from setpoint.store.matching import Matching, examples
from setpoint.store.measures import query_grouped
from setpoint.store.primitives import finite, latency_bin, printed
from setpoint.store.states import StateKind, StateTable

MONEY = StateKind(
    "money",
    ("bucket", "version", "endpoint", "cohort_value", "sign", "bin"),
    ("rows", "weight", "weight_squares", "amount", "amount_squares"),
)
"""Root predictions with a final outcome, by what it was worth in dollars. `sign` is 1, 0 or -1, null where nobody said;
`bin` is the universal bin of the size, null for 0; `amount` sums the sizes, never negative."""


def query_money(
    connection: duckdb.DuckDBPyConnection,
    matching: Matching,
    *,
    cohorts: Sequence[str] = ("",),
    time: str = "",
) -> dict[str, StateTable]:
    """Return the money state of a window from rows for each cohort; see `query_quality`."""
    amount = printed(finite("value_usd"))
    source = (
        f"(SELECT *, {amount} AS amount, CAST(sign(amount) AS INTEGER) AS sign, abs(amount) AS size,"
        f" CASE WHEN size > 0 THEN {printed(latency_bin('size'))} END AS bin"
        f" FROM ({examples(matching)}) AS e WHERE is_root AND has_outcome)"
    )
    sums = ("count(*)", "sum(weight)", "sum(weight * weight)", "sum(weight * size)", "sum(weight * size * size)")
    return query_grouped(connection, MONEY, source, matching, {}, sums, cohorts=cohorts, time=time)
