"""Have embeddings drifted? Two tables of vectors, without a store."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from setpoint.answers.answer import Answer, Table
from setpoint.core.errors import UsageError
from setpoint.core.metric import counted
from setpoint.core.verdict import Verdict
from setpoint.stats.energy import FEWEST, energy_test
from setpoint.stats.special import FloatArray

MOST_ROWS = 1000
"""Vectors of each side that are compared, drawn by chance: distances are counted for all pairs."""

BUDGET = 0.01
"""Chance of an alarm when nothing differs."""

COLUMNS = ("reference_rows", "current_rows", "distance", "coefficient", "low", "high", "p")


def embedding_drift(reference: ArrayLike, current: ArrayLike, *, seed: int = 0) -> Answer:
    """Have embeddings drifted from one table or window to another?

    The energy distance between the two, tested by dealing the vectors out anew 999 times. At most 1,000 vectors of each
    side are compared, so that it takes about a second however many there are. Only rows are taken for chance: days that
    differ by themselves differ here too, so look at the coefficient, and compare with two windows of the reference.

    Args:
        reference: One vector a row, shape (rows, dimensions).
        current: The same of later rows.
        seed: Which rows are drawn, and how they are dealt out.

    Raises:
        UsageError: These are no two tables of numbers with as many columns.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> before, now = rng.normal(0.0, 1.0, (500, 16)), rng.normal(0.3, 1.0, (500, 16))
        >>> embedding_drift(before, now).headline
        'embeddings drifted: coefficient 0.021 [0.017, 0.026] of 1, p 0.001'

    Source: `setpoint.stats.energy.energy_test`.
    """
    before, after = _vectors("reference", reference), _vectors("current", current)
    if before.shape[1] != after.shape[1]:
        msg = f"the reference has {before.shape[1]} dimensions, the current rows {after.shape[1]}"
        raise UsageError(msg, hint="compare embeddings of one model")
    rng = np.random.default_rng(seed)
    whole = [table[np.isfinite(table).all(axis=1)] for table in (before, after)]
    drawn = [table[np.sort(rng.permutation(len(table))[:MOST_ROWS])] for table in whole]
    left_out = sum(len(table) - len(kept) for table, kept in zip((before, after), whole, strict=True))
    unknowns = (
        (f"{counted(left_out, 'vector')} with a number that is missing or infinite: left out",) if left_out else ()
    )
    if min(map(len, drawn)) < FEWEST:
        headline = f"cannot say: {len(drawn[0])} and {len(drawn[1])} vectors, needs {FEWEST} of each"
        return Answer("embedding_drift", "", Verdict.UNKNOWN, headline, (), unknowns, 0, "UTC", ())
    found = energy_test(drawn[0], drawn[1], seed=seed)
    value, low, high = found.coefficient.value, found.coefficient.low, found.coefficient.high
    is_drift = found.p <= BUDGET
    said = f"coefficient {value:.3f} [{low:.3f}, {high:.3f}] of 1, p {found.p:.3g}"
    because = f"{len(drawn[0]):,} of {len(before):,} vectors against {len(drawn[1]):,} of {len(after):,}"
    return Answer(
        question="embedding_drift",
        model="",
        verdict=Verdict.WARNING if is_drift else Verdict.OK,
        headline=f"embeddings drifted: {said}" if is_drift else f"no drift of embeddings: {said}",
        because=(because, "only rows are taken for chance, not how days differ"),
        unknowns=(*unknowns, *(["whether this does harm: drift alone is not harm"] if is_drift else [])),
        as_of=0,
        zone="UTC",
        tables=(
            Table(
                "distance", COLUMNS, [(len(drawn[0]), len(drawn[1]), found.distance, value, low, high, found.p)],
                COLUMNS, [],
            ),
        ),
    )  # fmt: skip


def _vectors(name: str, given: ArrayLike) -> FloatArray:
    try:
        found = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"the {name} is no table of numbers"
        raise UsageError(msg, hint="one vector a row, all of one length") from error
    if found.ndim != 2 or not found.shape[1]:  # noqa: PLR2004 — rows and dimensions
        msg = f"the {name} has shape {found.shape}"
        raise UsageError(msg, hint="one vector a row: shape (rows, dimensions)")
    return found
