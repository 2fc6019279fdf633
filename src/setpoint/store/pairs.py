"""What both versions made of the same request, while the candidate is in shadow: each unit once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from setpoint.core.clock import MICROS
from setpoint.core.rollout import Rollout
from setpoint.core.window import Window
from setpoint.store.engines.duck import at, literal, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.matching import examples


@dataclass(frozen=True, slots=True)
class Pairs:
    """Requests that both versions answered, in the order of time; of each unit the first one.

    Attributes:
        cost_usd: Of the stable version and of the candidate, NaN when unknown, shape (2, pairs).
        is_wrong: 1 or 0, NaN while no outcome is known, same shape.
    """

    cost_usd: npt.NDArray[np.float64]
    is_wrong: npt.NDArray[np.float64]


def pairs_of(
    evidence: RowEvidence, rollout: Rollout, window: Window, *, starts_at: int, within: int | None = None
) -> Pairs:
    """Return the pairs of units whose first copied request lies in a window.

    Args:
        evidence: The event log.
        rollout: The rollout.
        window: When.
        starts_at: Since when requests are copied to the candidate.
        within: Of outcomes only those that were learned so soon after their prediction; None for all.
    """
    source = examples(replace(evidence.matching(window), within=within))
    found = evidence.connection.execute(
        f"WITH e AS ({source}), firsts AS (SELECT coalesce(unit, root_id) AS unit, min(predicted_at) AS first_at"
        f" FROM predictions WHERE {_is_copy('predictions', rollout)} AND predicted_at >= {at(starts_at)} GROUP BY 1)"
        " SELECT r.cost_usd AS held_cost, s.cost_usd AS tried_cost, 1.0 - r.is_success AS held_wrong,"
        " 1.0 - s.is_success AS tried_wrong"
        " FROM e AS s JOIN e AS r ON r.prediction_id = s.root_id"
        " JOIN firsts AS f ON f.unit = coalesce(s.unit, s.root_id) AND f.first_at = s.predicted_at"
        f" WHERE {_is_copy('s', rollout)} AND r.version = {literal(rollout.stable)} AND s.error IS NULL"
        " ORDER BY s.predicted_at, s.prediction_id"
    ).fetchnumpy()
    columns = {
        name: np.asarray(np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan))
        for name, values in found.items()
    }
    return Pairs(
        np.stack([columns["held_cost"], columns["tried_cost"]]),
        np.stack([columns["held_wrong"], columns["tried_wrong"]]),
    )


def copy_errors_by_minute(evidence: RowEvidence, rollout: Rollout, since: int) -> list[tuple[int, int]]:
    """Return copies of requests to the candidate and how many of them failed, for each minute that has any."""
    found = rows(
        evidence.connection,
        f"SELECT count(*), count(error) FROM predictions WHERE {_is_copy('predictions', rollout)}"
        f" AND predicted_at >= {at(since)} GROUP BY epoch_us(predicted_at) // {60 * MICROS}"
        " ORDER BY min(epoch_us(predicted_at))",
    )
    return [(cast("int", row[0]), cast("int", row[1])) for row in found]


def _is_copy(name: str, rollout: Rollout) -> str:
    return f"{name}.role = 'shadow' AND {name}.version = {literal(rollout.candidate)}"
