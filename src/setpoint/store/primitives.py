"""The aggregate primitives that every state is made of, written once and printed for an engine.

Each equals the plain NumPy reference of the conformance suite on every engine. They are written in
DuckDB's SQL, so the embedded engine needs no translation: importing sqlglot takes longer than many
answers (ADR 0002). Bins use only exact arithmetic (subtract, divide, floor) where they can, so two
engines never disagree about an edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from setpoint.core.clock import DAY
from setpoint.store.counting import LATENCY_BINS_PER_OCTAVE, SCORE_BIN_LIMIT, SCORE_BINS_PER_LOGIT

ENGINE = "duckdb"
VALUE_BINS = 64
AGE_BINS_PER_OCTAVE = 4
_LOG_LOSS_CLIP = 1e-15


def printed(sql: str, engine: str = ENGINE) -> str:
    """Return a primitive as an engine's SQL.

    Example:
        >>> printed(weight())
        'coalesce(1.0 / keep_probability, 1.0)'
        >>> printed(latency_bin("seconds"), "spark")
        'CAST(FLOOR(32.0 * LOG(2, GREATEST(LEAST(seconds, 1e9), 1e-9))) AS INT)'
    """
    if engine == ENGINE:
        return sql
    from sqlglot import parse_one  # noqa: PLC0415 — slow to import, and no other engine is asked often

    return parse_one(sql, dialect=ENGINE).sql(dialect=engine)


def weight() -> str:
    """Rows a row stands for: one over the probability with which it was kept."""
    return "coalesce(1.0 / keep_probability, 1.0)"


def keeps(column: str, probability: str) -> str:
    """Whether a root's row is kept at a probability: as `core.ids.keeps` decides."""
    return f"(CAST('0x' || substr(sha256({column}), 1, 13) AS BIGINT) < {probability} * {1 << 52})"


def finite(column: str) -> str:
    """The value, or null when it is not a finite number."""
    return f"CASE WHEN abs({column}) < CAST('Infinity' AS DOUBLE) THEN {column} END"


def is_missing(column: str, kind: str) -> str:
    """Whether a feature has no value: null, or not a number."""
    return f"({column} IS NULL OR isnan({column}))" if kind == "DOUBLE" else f"({column} IS NULL)"


def value_bin(column: str, center: float, scale: float) -> str:
    """The bin of a number on a scale squeezed into [-64, 64]: fine near the centre, open at the ends.

    floor(64·z/(1+|z|)) with z = (x - center)/scale, a double. Null for null, not a number for what is
    not finite; a number some 2⁵³ scales above the centre reads 64, which counts as bin 63.
    """
    z = f"(({column} - ({center!r})) / ({scale!r}))"
    return f"floor({VALUE_BINS}.0 * ({z} / (1.0 + abs({z}))))"


def latency_bin(column: str) -> str:
    """The universal bin of a latency: floor(32·log2 seconds), from a nanosecond up."""
    clipped = f"greatest(least({column}, 1e9), 1e-9)"
    return f"CAST(floor({LATENCY_BINS_PER_OCTAVE}.0 * log2({clipped})) AS INTEGER)"


def score_bin(column: str) -> str:
    """The universal bin of a probability: floor(32·logit), 0 and 1 in the outermost bins."""
    low, high = -SCORE_BIN_LIMIT, SCORE_BIN_LIMIT - 1
    logit = f"floor({SCORE_BINS_PER_LOGIT}.0 * ln({column} / (1.0 - {column})))"
    return (
        f"CASE WHEN {column} <= 0.0 THEN {low} WHEN {column} >= 1.0 THEN {high}"
        f" ELSE CAST(greatest({low}, least({high}, {logit})) AS INTEGER) END"
    )


def age_bin(microseconds: str) -> str:
    """The universal bin of an outcome's age: floor(4·log2 seconds), 19 % wide, from a second up."""
    found = f"CAST(floor({AGE_BINS_PER_OCTAVE}.0 * log2({microseconds} / 1e6)) AS INTEGER)"
    return f"CASE WHEN {microseconds} <= 1e6 THEN 0 ELSE {found} END"


def brier_loss(score: str, outcome: str) -> str:
    """The squared distance of a probability from what happened."""
    return f"(({score} - {outcome}) * ({score} - {outcome}))"


def log_loss(score: str, outcome: str) -> str:
    """The negative log of the probability given to what happened, clipped at 1e-15."""
    given = f"CASE WHEN {outcome} = 1.0 THEN {score} ELSE 1.0 - {score} END"
    return f"(-ln(greatest({given}, {_LOG_LOSS_CLIP!r})))"


def local_day(column: str, midnights: Sequence[int]) -> str:
    """The local midnight before a time, microseconds.

    Args:
        column: The time.
        midnights: Every local midnight, from that before the first time on.
    """
    time = f"epoch_us({column})"
    cases, start = "", midnights[0]
    for midnight, after in pairwise(midnights):
        if after - midnight != DAY:  # the clocks change: this day by itself, and those before it
            cases += f" WHEN {time} < {midnight} THEN {_whole_days(time, start)} WHEN {time} < {after} THEN {midnight}"
            start = after
    return f"CASE{cases} ELSE {_whole_days(time, start)} END" if cases else _whole_days(time, start)


def _whole_days(time: str, start: int) -> str:
    return f"{start} + ({time} - {start}) // {DAY} * {DAY}"


def bucket(column: str, seconds: int) -> str:
    """The start of the time bucket that holds a time, microseconds."""
    size = seconds * 1_000_000
    return f"(epoch_us({column}) // {size}) * {size}"
