"""How often declared limits on drift would have alarmed on the reference."""

from __future__ import annotations

from contextlib import closing

from setpoint.control.limit_checks import Replay, replayed
from setpoint.core.model import Model
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout
from setpoint.store.summaries import Summaries


def limits_replayed(layout: Layout | None, model: Model) -> tuple[Replay, ...]:
    """Return how often each declared limit would have alarmed on the days of the reference; unknown without a store.

    Args:
        layout: The store; None when there is none yet.
        model: The declaration.
    """
    if layout is None or not model.drift_limits:
        return tuple(Replay(limit, 0, 0, (), is_measured=False) for limit in model.drift_limits)
    now = layout.clock.now()
    with (
        Summaries.reading(layout.summaries(model.name)) as summaries,
        closing(KeptEvidence(layout, model, now, now, summaries)) as evidence,
    ):
        return tuple(replayed(evidence, now))
