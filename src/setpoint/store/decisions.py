"""Every decision that was made, with its evidence: written once, never changed."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from setpoint.core.decision import Decision, Recorded
from setpoint.store.control_tables import DECISIONS, as_noun, deciding, reading
from setpoint.store.layout import Layout


def record_decision(layout: Layout, one: Recorded) -> None:
    """Write a decision.

    Raises:
        StoreBusy: One of this name is there.
    """
    with deciding(layout) as connection:
        write_decision(connection, one)


def write_decision(connection: sa.Connection, one: Recorded) -> None:
    """Write a decision together with what follows from it."""
    connection.execute(
        sa.insert(DECISIONS).values(
            decision_id=one.decision_id,
            model=one.model,
            subject=one.subject,
            at=one.at,
            is_carried_out=one.is_carried_out,
            decision=msgspec.json.encode(one.decision),
        )
    )


def decisions_of(layout: Layout, *, model: str = "", subject: str = "") -> list[Recorded]:
    """Return what was decided, oldest first: all of it, of a model, or about a subject."""
    query = sa.select(DECISIONS).order_by(DECISIONS.c["at"], DECISIONS.c["decision_id"])
    query = query.where(DECISIONS.c["model"] == model) if model else query
    query = query.where(DECISIONS.c["subject"] == subject) if subject else query
    with reading(layout) as connection:
        if connection is None:
            return []
        return [
            as_noun(row, Recorded, decision=_decoder.decode(row["decision"]))
            for row in connection.execute(query).mappings()
        ]


_decoder = msgspec.json.Decoder(Decision)
