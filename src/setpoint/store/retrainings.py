"""Retrainings as they are kept: at most one of a model is under way."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict

import sqlalchemy as sa

from setpoint.core.errors import StoreBusy
from setpoint.core.retraining import UNDER_WAY, Retraining, RetrainingState
from setpoint.store.control_tables import as_noun, deciding, reading
from setpoint.store.incident_tables import RETRAININGS
from setpoint.store.layout import Layout


def add_retraining(layout: Layout, one: Retraining) -> None:
    """Write a new retraining.

    Raises:
        StoreBusy: Another of the model is under way.
    """
    with deciding(layout) as connection:
        query = sa.select(RETRAININGS.c["retraining_id"]).where(
            RETRAININGS.c["model"] == one.model, RETRAININGS.c["state"].in_(UNDER_WAY)
        )
        if (other := connection.execute(query).first()) is not None:
            msg = f"retraining {other[0]} of {one.model} is under way"
            raise StoreBusy(msg, hint="see `setpoint retrain list`")
        connection.execute(sa.insert(RETRAININGS).values(**asdict(one)))


def update_retraining(layout: Layout, one: Retraining, *, expected: Collection[RetrainingState]) -> None:
    """Write what became of a retraining.

    Raises:
        StoreBusy: Somebody else wrote that before: it is in another state than expected.
    """
    with deciding(layout) as connection:
        told = sa.update(RETRAININGS).where(
            RETRAININGS.c["retraining_id"] == one.retraining_id, RETRAININGS.c["state"].in_(expected)
        )
        if not connection.execute(told.values(**asdict(one))).rowcount:
            msg = f"somebody else took retraining {one.retraining_id} on"
            raise StoreBusy(msg, hint="see `setpoint retrain list`")


def retrainings_of(layout: Layout, model: str = "") -> list[Retraining]:
    """Return every retraining, oldest first; of all models when none is named."""
    with reading(layout) as connection:
        if connection is None:
            return []
        query = sa.select(RETRAININGS).order_by(RETRAININGS.c["begun_at"], RETRAININGS.c["retraining_id"])
        if model:
            query = query.where(RETRAININGS.c["model"] == model)
        return [as_noun(row, Retraining) for row in connection.execute(query).mappings()]
