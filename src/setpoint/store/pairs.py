"""What both versions made of the same request, while the candidate is in shadow: each unit once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from setpoint.core.clock import MICROS
from setpoint.core.rollout import Rollout
from setpoint.core.window import Window
from setpoint.store.arms import OneCohort, is_of_cohort
from setpoint.store.drawn import is_candidate, is_stable
from setpoint.store.engines.duck import at, rows
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
    evidence: RowEvidence,
    rollout: Rollout,
    window: Window,
    *,
    starts_at: int,
    within: int | None = None,
    cohort: OneCohort = ("", ""),
) -> Pairs:
    """Return the pairs of units whose first copied request lies in a window.

    Args:
        evidence: The event log.
        rollout: The rollout.
        window: When.
        starts_at: Since when requests are copied to the candidate.
        within: Of outcomes only those that were learned so soon after their prediction; None for all.
        cohort: A declared cohort and its value: only requests that are of it; of all without a name.
    """
    matching = replace(evidence.matching(window), within=within)
    source = examples(matching)
    found = evidence.connection.execute(
        f"WITH e AS ({source}), firsts AS (SELECT coalesce(unit, root_id) AS unit, min(predicted_at) AS first_at"
        f" FROM predictions WHERE {_is_copy('predictions', rollout)} AND predicted_at >= {at(starts_at)} GROUP BY 1)"
        " SELECT r.cost_usd AS held_cost, s.cost_usd AS tried_cost, 1.0 - r.is_success AS held_wrong,"
        " 1.0 - s.is_success AS tried_wrong"
        " FROM e AS s JOIN e AS r ON r.prediction_id = s.root_id"
        " JOIN firsts AS f ON f.unit = coalesce(s.unit, s.root_id) AND f.first_at = s.predicted_at"
        f" WHERE {_is_copy('s', rollout)} AND {is_stable('r', rollout)} AND s.error IS NULL"
        f" AND {is_of_cohort(matching, cohort, 'r')}"
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


def copy_errors_by_minute(
    evidence: RowEvidence, rollout: Rollout, since: int, cohort: OneCohort = ("", "")
) -> list[tuple[int, int]]:
    """Return copies of requests (of a cohort) to the candidate and how many failed, for each minute that has any."""
    matching = evidence.matching(Window(since, evidence.as_of + 1))
    source = f"({examples(matching)})" if cohort[0] else "predictions"
    found = rows(
        evidence.connection,
        f"SELECT count(*), count(error) FROM {source} AS e WHERE {_is_copy('e', rollout)}"
        f" AND predicted_at >= {at(since)} AND {is_of_cohort(matching, cohort)}"
        f" GROUP BY epoch_us(predicted_at) // {60 * MICROS}"
        " ORDER BY min(epoch_us(predicted_at))",
    )
    return [(cast("int", row[0]), cast("int", row[1])) for row in found]


def _is_copy(name: str, rollout: Rollout) -> str:
    return f"{name}.role = 'shadow' AND {is_candidate(name, rollout)}"
