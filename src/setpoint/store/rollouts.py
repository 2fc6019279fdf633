"""Rollouts as they are kept: what was fixed at the start, their events, and the evidence that was taken, each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import msgspec
import sqlalchemy as sa

from setpoint.core.decision import Recorded
from setpoint.core.errors import StoreBusy
from setpoint.core.rollout import Rollout, RolloutEvent
from setpoint.store.control_tables import EVIDENCE, LOOKS, ROLLOUT_EVENTS, ROLLOUTS, as_noun, deciding, reading
from setpoint.store.decisions import write_decision
from setpoint.store.layout import Layout


class Look(msgspec.Struct, frozen=True):
    """How far evidence was taken.

    Attributes:
        number: 0 for none, one more with every look.
        until: Of requests before this time, microseconds.
        state: What a judge made of it, as it gave it.
    """

    number: int
    until: int
    state: bytes


Numbers = Mapping[str, Mapping[str, list[float]]]
"""By version, then by metric: how many units, and how many of them had it, or the sums of values and squares."""


def begin(layout: Layout, rollout: Rollout, event: RolloutEvent) -> None:
    """Write a new rollout with its first event.

    Raises:
        StoreBusy: Another rollout of the model is under way.
    """
    with deciding(layout) as connection:
        refuse_second(_active(connection, rollout.model))
        connection.execute(
            sa.insert(ROLLOUTS).values(
                rollout_id=rollout.rollout_id,
                model=rollout.model,
                started_at=rollout.started_at,
                details=msgspec.json.encode(rollout),
            )
        )
        connection.execute(sa.insert(ROLLOUT_EVENTS).values(**asdict(event)))


def refuse_second(under_way: Rollout | None) -> None:
    """Refuse a rollout beside another one.

    Raises:
        StoreBusy: There is one.
    """
    if under_way is not None:
        msg = f"a rollout of {under_way.model} is under way, with {under_way.candidate}"
        raise StoreBusy(msg, hint=f"see `setpoint rollout status {under_way.model}`; one goes after the other")


def append(layout: Layout, event: RolloutEvent, decision: Recorded) -> None:
    """Write the next event of a rollout and the decision that it follows from: both, or neither.

    Raises:
        StoreBusy: Another controller wrote one of this number before.
    """
    with deciding(layout) as connection:
        connection.execute(sa.insert(ROLLOUT_EVENTS).values(**asdict(event)))
        write_decision(connection, decision)


def events_of(layout: Layout, rollout_id: str) -> list[RolloutEvent]:
    """Return the events of a rollout, in their order."""
    with reading(layout) as connection:
        return [] if connection is None else _events(connection, rollout_id)


def rollouts_of(layout: Layout, model: str) -> list[Rollout]:
    """Return every rollout of a model, oldest first."""
    with reading(layout) as connection:
        return [] if connection is None else _rollouts(connection, model)


def active_rollout(layout: Layout, model: str) -> Rollout | None:
    """Return the rollout of a model that is not over; None when there is none."""
    with reading(layout) as connection:
        return None if connection is None else _active(connection, model)


def last_look(layout: Layout, rollout: Rollout) -> Look:
    """Return how far evidence of a rollout was taken."""
    with reading(layout) as connection:
        query = sa.select(LOOKS.c["look"], LOOKS.c["until"], LOOKS.c["state"])
        row = connection and connection.execute(query.where(LOOKS.c["rollout_id"] == rollout.rollout_id)).first()
    return Look(0, rollout.started_at, b"") if row is None else Look(row[0], row[1], row[2])


def take(
    layout: Layout,
    rollout: Rollout,
    before: Look,
    after: Look,
    batches: Mapping[str, Numbers],
    decision: Recorded | None = None,
) -> None:
    """Write what a look saw and what the judge made of it: both, or neither.

    Args:
        layout: The store.
        rollout: Whose.
        before: The look that this one goes on from.
        after: This look.
        batches: What each batch held, by its name.
        decision: What was decided about the evidence; None for nothing.

    Raises:
        StoreBusy: Another controller has taken a look meanwhile, or a batch before.
    """
    name = rollout.rollout_id
    with deciding(layout) as connection:
        told = {"look": after.number, "until": after.until, "state": after.state}
        if before.number == 0:
            connection.execute(sa.insert(LOOKS).values(rollout_id=name, **told))
        else:
            is_next = (LOOKS.c["rollout_id"] == name) & (LOOKS.c["look"] == before.number)
            if connection.execute(sa.update(LOOKS).where(is_next).values(**told)).rowcount != 1:
                msg = f"somebody else looked at the rollout {name} meanwhile"
                raise StoreBusy(msg, hint="what they saw counts once; try again in a moment")
        if batches:
            rows = [
                {"rollout_id": name, "batch": batch, "look": after.number, "numbers": msgspec.json.encode(numbers)}
                for batch, numbers in batches.items()
            ]
            connection.execute(sa.insert(EVIDENCE), rows)
        if decision is not None:
            write_decision(connection, decision)


def evidence_of(layout: Layout, rollout_id: str) -> list[tuple[str, Numbers]]:
    """Return every batch that was taken, with what it held, oldest first."""
    with reading(layout) as connection:
        if connection is None:
            return []
        query = sa.select(EVIDENCE.c["batch"], EVIDENCE.c["numbers"]).where(EVIDENCE.c["rollout_id"] == rollout_id)
        found = connection.execute(query.order_by(EVIDENCE.c["look"], EVIDENCE.c["batch"])).all()
    return [(row[0], msgspec.json.decode(row[1], type=dict[str, dict[str, list[float]]])) for row in found]


def _active(connection: sa.Connection, model: str) -> Rollout | None:
    last = next(reversed(_rollouts(connection, model)), None)
    return None if last is None or _events(connection, last.rollout_id)[-1].phase.is_over else last


def _rollouts(connection: sa.Connection, model: str) -> list[Rollout]:
    query = sa.select(ROLLOUTS.c["details"]).where(ROLLOUTS.c["model"] == model)
    found = connection.execute(query.order_by(ROLLOUTS.c["started_at"], ROLLOUTS.c["rollout_id"]))
    return [msgspec.json.decode(row[0], type=Rollout) for row in found]


def _events(connection: sa.Connection, rollout_id: str) -> list[RolloutEvent]:
    query = sa.select(ROLLOUT_EVENTS).where(ROLLOUT_EVENTS.c["rollout_id"] == rollout_id)
    found = connection.execute(query.order_by(ROLLOUT_EVENTS.c["seq"])).mappings()
    return [as_noun(row, RolloutEvent) for row in found]
