"""What is lost when a cheap version's answers are taken, from requests that an expensive one answered too."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from setpoint.stats.special import FloatArray
from setpoint.store.evidence import RowEvidence
from setpoint.store.versus import Audits, Pairs, Versions

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """Pairs whose loss is known, in the order in which it was.

    Attributes:
        known_at: When the answers and their outcome were known, microseconds.
        confidence: Of the cheap answer; nan where it said none.
        losses: How much better the expensive answer was: 1, 0 or -1.
        cheap_cost: Dollars; nan when unknown.
        cost: Dollars of the expensive answer; nan when unknown.
        passed_on: Whether a cascade passed it on, so that nothing was lost.
        unit: A number for each unit.
        is_agreement: Whether no outcome is known, so that a loss is an answer that differs from the expensive one.
        asked_at: When the request came, microseconds.
        heaviest: See `Pairs`.
    """

    known_at: FloatArray
    confidence: FloatArray
    losses: FloatArray
    cheap_cost: FloatArray
    cost: FloatArray
    passed_on: BoolArray
    unit: FloatArray
    is_agreement: bool
    asked_at: FloatArray
    heaviest: FloatArray


def losses_of(pairs: Pairs, *, as_of: float = math.inf, horizon: int = 0) -> Losses:
    """Return the loss of each pair by its outcome; by agreement when no outcome is known of any.

    Args:
        pairs: The pairs.
        as_of: The present, microseconds.
        horizon: How long an outcome is waited for before agreement stands in for it, microseconds.
    """
    losses, known_at = pairs.success - pairs.cheap_success, pairs.known_at
    is_agreement = bool(np.isnan(losses).all())
    if is_agreement:
        losses, known_at = pairs.differs, known_at + horizon
    known = ~np.isnan(losses) & (known_at <= as_of)
    return Losses(
        known_at[known],
        pairs.confidence[known],
        losses[known],
        pairs.cheap_cost[known],
        pairs.cost[known],
        pairs.passed_on[known] > 0.0,
        pairs.unit[known],
        is_agreement,
        pairs.asked_at[known],
        pairs.heaviest[known],
    )


def audits(evidence: RowEvidence, versions: Versions) -> Audits:
    """Return which share of the cheap answers that a cascade of two versions accepted was audited, and since when.

    As the plans that were in force say, and before the first one as that does; as declared while none was published.
    """
    routes = [(plan.published_at, plan.route) for plan in evidence.plans] or [(0, evidence.model.route)]
    found: list[tuple[int, float]] = []
    for since, route in routes:
        cascade = route.cascade if route else None
        share = cascade.audit if cascade and {cascade.cheap, cascade.expensive} == set(versions) else 0.0
        if not found or found[-1][1] != share:
            found.append((since, share))
    return found
