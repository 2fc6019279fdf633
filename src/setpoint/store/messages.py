"""Messages on their way to people: each is written once, and stays until it is delivered or given up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, Self

import sqlalchemy as sa

from setpoint.core.contacts import Person
from setpoint.store.control_tables import as_noun, deciding, reading
from setpoint.store.incident_tables import MESSAGES
from setpoint.store.layout import Layout

SCHEMA = "setpoint.message/1"
MessageState = Literal["waiting", "delivered", "given_up"]


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody is to be told.

    Attributes:
        message_id: Its name: the same thing is told to the same person once.
        address: Where to.
        signed_with: The environment variable with what it is signed with; empty for not at all.
        body: JSON.
        written_at: When it was written, microseconds.
        state: Whether it has arrived.
        attempts: How often it was tried.
        due_at: When it is tried next.
        error: Why the last try failed.
    """

    message_id: str
    address: str
    signed_with: str
    body: bytes
    written_at: int
    state: MessageState = "waiting"
    attempts: int = 0
    due_at: int = 0
    error: str = ""

    @classmethod
    def to(cls, person: Person, message_id: str, body: Mapping[str, object], now: int) -> Self:
        """Return a message to somebody, with its name in it."""
        text = json.dumps({"id": message_id, **body}).encode()
        return cls(message_id, person.address, person.signed_with, text, now)


def put_message(layout: Layout, message: Message) -> bool:
    """Write a message; return whether it is new: what was told is told once."""
    with deciding(layout) as connection:
        known = sa.select(MESSAGES.c["message_id"]).where(MESSAGES.c["message_id"] == message.message_id)
        if connection.execute(known).first() is not None:
            return False
        connection.execute(sa.insert(MESSAGES).values(**asdict(message)))
    return True


def update_message(layout: Layout, message: Message) -> None:
    """Write what became of a message."""
    with deciding(layout) as connection:
        told = sa.update(MESSAGES).where(MESSAGES.c["message_id"] == message.message_id)
        connection.execute(told.values(**asdict(message)))


def messages_of(layout: Layout) -> list[Message]:
    """Return every message, oldest first."""
    with reading(layout) as connection:
        if connection is None:
            return []
        query = sa.select(MESSAGES).order_by(MESSAGES.c["written_at"], MESSAGES.c["message_id"])
        return [as_noun(row, Message) for row in connection.execute(query).mappings()]
