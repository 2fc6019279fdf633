"""Every decision that was made, with its evidence: written once, never changed.

One that is carried out outside of this database is written as begun before, so that after a crash somebody knows of it.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from setpoint.core.decision import Decision, Recorded
from setpoint.store.control_tables import BEGUN, DECISIONS, as_noun, deciding, reading
from setpoint.store.layout import Layout


def begin_decision(layout: Layout, one: Recorded) -> None:
    """Write that a decision is about to be carried out: it stays begun until it is recorded.

    Raises:
        StoreBusy: One of this name is begun.
    """
    with deciding(layout) as connection:
        values = {"decision_id": one.decision_id, "model": one.model, "decision": msgspec.json.encode(one)}
        connection.execute(sa.insert(BEGUN).values(**values))


def begun_decisions(layout: Layout, model: str) -> list[Recorded]:
    """Return what was begun of a model and never recorded: a crash came between."""
    query = sa.select(BEGUN.c["decision"]).where(BEGUN.c["model"] == model).order_by(BEGUN.c["decision_id"])
    with reading(layout) as connection:
        if connection is None:
            return []
        return [msgspec.json.decode(row[0], type=Recorded) for row in connection.execute(query)]


def record_decision(layout: Layout, one: Recorded) -> None:
    """Write a decision, which is not begun any more.

    Raises:
        StoreBusy: One of this name is there.
    """
    with deciding(layout) as connection:
        write_decision(connection, one)
        connection.execute(sa.delete(BEGUN).where(BEGUN.c["decision_id"] == one.decision_id))


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
