"""Who is told: people, rotas and addresses of services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from setpoint.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can be told something.

    Attributes:
        name: What they are called.
        address: An address of a webhook, or one that apprise knows.
        signed_with: The environment variable with what messages to a webhook are signed with; empty for none.
    """

    name: str
    address: str
    signed_with: str = ""


@dataclass(frozen=True, slots=True)
class Rota:
    """People who take turns.

    Attributes:
        name: What it is called.
        members: Names of people, in the order of their turns.
        since: When the first turn began, microseconds.
        every: How long a turn lasts, microseconds.
    """

    name: str
    members: tuple[str, ...]
    since: int
    every: int

    def on_duty(self, now: int) -> str:
        """Return whose turn it is.

        Example:
            >>> rota = Rota("risk", ("ada", "bob"), since=0, every=10)
            >>> [rota.on_duty(at) for at in (0, 9, 10, 25)]
            ['ada', 'ada', 'bob', 'ada']
        """
        return self.members[(now - self.since) // self.every % len(self.members)]


@dataclass(frozen=True, slots=True)
class Contacts:
    """Everybody who can be told something, by name.

    Attributes:
        people: Those who can be.
        rotas: In which they take turns.
        heartbeat: The address that is asked after each tick that could look at every model; empty for none.
    """

    people: Mapping[str, Person] = field(default_factory=dict[str, Person])
    rotas: Mapping[str, Rota] = field(default_factory=dict[str, Rota])
    heartbeat: str = ""

    def knows(self, named: str) -> bool:
        """Return whether somebody would be told.

        Example:
            >>> Contacts().knows("https://pager.example/hook"), Contacts().knows("ada")
            (True, False)
        """
        return named in self.rotas or named in self.people or "://" in named

    def on_call(self, named: str, now: int) -> Person:
        """Return who is told: whose turn it is in a rota, a person, or whoever is behind an address.

        Args:
            named: A rota, a person, or an address.
            now: Microseconds.

        Raises:
            UsageError: Nobody is called so.

        Example:
            >>> Contacts().on_call("https://pager.example/hook", 0).address
            'https://pager.example/hook'
        """
        name = self.rotas[named].on_duty(now) if named in self.rotas else named
        if name in self.people:
            return self.people[name]
        if "://" in name:
            return Person(name, name)
        msg = f"nobody is called {name!r}"
        known = ", ".join([*self.rotas, *self.people]) or "nobody yet"
        raise UsageError(msg, hint=f"declare them under on_call in setpoint.yaml; known: {known}")
