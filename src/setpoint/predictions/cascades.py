"""What is lost when a cheap version's answers are taken, from requests that an expensive one answered too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from setpoint.core.model import Model
from setpoint.stats.special import FloatArray
from setpoint.store.versus import Pairs


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """Pairs whose loss is known, in the order in which it was.

    Attributes:
        known_at: When the answers and their outcome were known, microseconds.
        confidence: Of the cheap answer; nan where it said none.
        losses: How much better the expensive answer was: 1, 0 or -1.
        cheap_cost: Dollars; nan when unknown.
        cost: Dollars of the expensive answer; nan when unknown.
        is_agreement: Whether no outcome is known, so that a loss is an answer that differs from the expensive one.
    """

    known_at: FloatArray
    confidence: FloatArray
    losses: FloatArray
    cheap_cost: FloatArray
    cost: FloatArray
    is_agreement: bool


def losses_of(pairs: Pairs) -> Losses:
    """Return the loss of each pair by its outcome; by agreement when no outcome is known of any."""
    losses = pairs.success - pairs.cheap_success
    is_agreement = bool(np.isnan(losses).all())
    if is_agreement:
        losses = pairs.differs
    known = ~np.isnan(losses)
    known_at, confidence, cheap_cost, cost = (
        column[known] for column in (pairs.known_at, pairs.confidence, pairs.cheap_cost, pairs.cost)
    )
    return Losses(known_at, confidence, losses[known], cheap_cost, cost, is_agreement)


def audit_share(model: Model, versions: tuple[str, str]) -> float:
    """Return the share of accepted cheap answers that the declared cascade of two versions audits; 0 without one."""
    cascade = model.route.cascade if model.route else None
    return cascade.audit if cascade and {cascade.cheap, cascade.expensive} == set(versions) else 0.0
