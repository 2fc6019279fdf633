"""The aggregate primitives that every state is made of, as trees printed for an engine.

Each is defined once, here, and equals the plain NumPy reference of the conformance suite on every
engine. Bins use only exact arithmetic (subtract, divide, compare, floor) where they can, so two
engines never disagree about an edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import parse_one

from setpoint.store.counting import LATENCY_BINS_PER_OCTAVE, SCORE_BIN_LIMIT, SCORE_BINS_PER_LOGIT

if TYPE_CHECKING:
    from sqlglot.expressions import Expr  # sqlglot 28 calls it Expression

ENGINE = "duckdb"
VALUE_BINS = 64
_LOG_LOSS_CLIP = 1e-15


def printed(tree: Expr, engine: str = ENGINE) -> str:
    """Return a tree as an engine's SQL.

    Example:
        >>> printed(weight())
        'COALESCE(1.0 / keep_probability, 1.0)'
    """
    return tree.sql(dialect=engine)


def weight() -> Expr:
    """Rows a row stands for: one over the probability with which it was kept."""
    return parse_one("coalesce(1.0 / keep_probability, 1.0)")


def finite(column: str) -> Expr:
    """The value, or null when it is not a finite number."""
    return parse_one(f"CASE WHEN abs({column}) < 'Infinity'::DOUBLE THEN {column} END", dialect=ENGINE)


def is_missing(column: str, kind: str) -> Expr:
    """Whether a feature has no value: null, or not a number."""
    if kind == "DOUBLE":
        return parse_one(f"{column} IS NULL OR isnan({column})", dialect=ENGINE)
    return parse_one(f"{column} IS NULL")


def value_bin(column: str, center: float, scale: float) -> Expr:
    """The bin of a number on a scale squeezed into (-64, 64): fine near the centre, open at the ends.

    floor(64·z/(1+|z|)) with z = (x - center)/scale. Infinities fall into the outermost bins, null
    into none.
    """
    z = f"(({column} - ({center!r})) / ({scale!r}))"
    squeezed = f"CAST(floor({VALUE_BINS}.0 * ({z} / (1.0 + abs({z})))) AS INTEGER)"
    last = VALUE_BINS - 1
    return parse_one(
        f"CASE WHEN {column} = 'Infinity'::DOUBLE THEN {last} WHEN {column} = '-Infinity'::DOUBLE"
        f" THEN {-VALUE_BINS} ELSE least({squeezed}, {last}) END",
        dialect=ENGINE,
    )


def latency_bin(column: str) -> Expr:
    """The universal bin of a latency: floor(32·log2 seconds), from a nanosecond up."""
    clipped = f"greatest(least({column}, 1e9), 1e-9)"
    return parse_one(f"CAST(floor({LATENCY_BINS_PER_OCTAVE}.0 * log2({clipped})) AS INTEGER)", dialect=ENGINE)


def score_bin(column: str) -> Expr:
    """The universal bin of a probability: floor(32·logit), 0 and 1 in the outermost bins."""
    low, high = -SCORE_BIN_LIMIT, SCORE_BIN_LIMIT - 1
    logit = f"floor({SCORE_BINS_PER_LOGIT}.0 * ln({column} / (1.0 - {column})))"
    return parse_one(
        f"CASE WHEN {column} <= 0.0 THEN {low} WHEN {column} >= 1.0 THEN {high}"
        f" ELSE CAST(greatest({low}, least({high}, {logit})) AS INTEGER) END",
        dialect=ENGINE,
    )


def brier_loss(score: str, outcome: str) -> Expr:
    """The squared distance of a probability from what happened."""
    return parse_one(f"({score} - {outcome}) * ({score} - {outcome})")


def log_loss(score: str, outcome: str) -> Expr:
    """The negative log of the probability given to what happened, clipped at 1e-15."""
    given = f"CASE WHEN {outcome} = 1.0 THEN {score} ELSE 1.0 - {score} END"
    return parse_one(f"-ln(greatest({given}, {_LOG_LOSS_CLIP!r}))", dialect=ENGINE)


def bucket(column: str, seconds: int) -> Expr:
    """The start of the time bucket that holds a time, microseconds."""
    size = seconds * 1_000_000
    return parse_one(f"(epoch_us({column}) // {size}) * {size}", dialect=ENGINE)
