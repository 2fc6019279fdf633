"""How a project spells who is told: people, and rotas in which they take turns."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Discriminator, Field, Tag, model_validator

from setpoint.core.clock import parse_duration, parse_time
from setpoint.core.contacts import Contacts, Person, Rota
from setpoint.declare.parts import Part
from setpoint.declare.spellings import Duration, TimeText, Word, refuse


class PersonDeclaration(Part):
    """Somebody who can be told something."""

    address: Word
    """Of a webhook (https://...), or of a service that apprise knows (slack://..., mailto://...)."""
    signed_with: str = ""
    """The environment variable with what messages to a webhook are signed with."""

    @model_validator(mode="after")
    def _has_address(self) -> Self:
        if "://" not in self.address:
            refuse(f"found {self.address}, expected an address such as https://pager.example/hook", at=("address",))
        return self


class RotaDeclaration(Part):
    """People who take turns."""

    members: Annotated[list[Word], Field(min_length=1)]
    """In the order of their turns."""
    since: TimeText
    """When the first turn began."""
    every: Duration = "7d"
    """How long a turn lasts."""


OnCall = dict[
    Word,
    Annotated[
        Annotated[PersonDeclaration, Tag("(person)")] | Annotated[RotaDeclaration, Tag("(rota)")],
        Discriminator(lambda value: "(rota)" if "members" in value else "(person)"),
    ],
]


def contacts_of(told: OnCall, heartbeat: str = "") -> Contacts:
    """Return who is who.

    Raises:
        PydanticCustomError: A rota has a member that is nobody.
    """
    people = {
        name: Person(name, one.address, one.signed_with)
        for name, one in told.items()
        if isinstance(one, PersonDeclaration)
    }
    rotas: dict[str, Rota] = {}
    for name, one in told.items():
        if isinstance(one, RotaDeclaration):
            strangers = [member for member in one.members if member not in people]
            if strangers:
                refuse(f"found {strangers[0]} in the rota {name}, expected a person", "declare their address beside it")
            rotas[name] = Rota(name, tuple(one.members), parse_time(one.since), parse_duration(one.every))
    return Contacts(people, rotas, heartbeat)
