"""A profile as a file: how the rows of a table looked, day by day, to hold others against. No row is in it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from setpoint.core.errors import UsageError
from setpoint.store.measures import PROFILE, Definition
from setpoint.store.states import StateTable
from setpoint.store.summaries import StoredFeatures, features_of, stored_features

PROFILE_ENDING = ".profile"
_MAGIC = b"setpoint profile 1\n"


@dataclass(frozen=True, slots=True)
class SavedProfile:
    """How the rows of a table looked.

    Attributes:
        name: What they are called.
        zone: Whose local days are told apart.
        is_timed: Whether rows had times; if not, all are one day.
        kinds: SQL type of each column.
        definition: How each is binned.
        days: The state of each day by its midnight, oldest first.
        aside: Columns that are no input: identifiers, nested ones, the time of the rows.
        said: What is odd about the columns and the rows, in words.
        reach: How many days the rows are of, in words; empty without times.
    """

    name: str
    zone: str
    is_timed: bool
    kinds: dict[str, str]
    definition: Definition
    days: list[tuple[int, StateTable]]
    aside: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    reach: str = ""

    def write(self, path: Path) -> int:
        """Write it, and return how many bytes that took."""
        features = stored_features(self.definition)
        days = [(midnight, state.encode()) for midnight, state in self.days]
        odd = self.aside, self.said, self.reach
        stored = _Stored(self.name, self.zone, self.is_timed, self.kinds, features, days, *odd)
        content = msgspec.msgpack.encode(stored)
        return path.write_bytes(_MAGIC + zlib.compress(content, 9))

    @classmethod
    def read(cls, path: Path) -> SavedProfile:
        """Read a file that `write` made.

        Raises:
            UsageError: There is no such file, or it is no profile.
        """
        if not path.is_file():
            msg = f"no file at {path}"
            raise UsageError(msg, hint="make one: setpoint profile FILE")
        content = path.read_bytes()
        try:
            stored = msgspec.msgpack.decode(zlib.decompress(content.removeprefix(_MAGIC)), type=_Stored)
        except (zlib.error, msgspec.MsgspecError) as error:  # what has no mark is nothing that can be unpacked
            msg = f"{path.name} is no profile, or of another version"
            raise UsageError(msg, hint="make it anew: setpoint profile FILE") from error
        days = [(midnight, StateTable.decode(PROFILE, state)) for midnight, state in stored.days]
        definition = Definition(features_of(stored.features))
        odd = stored.aside, stored.said, stored.reach
        return cls(stored.name, stored.zone, stored.is_timed, stored.kinds, definition, days, *odd)


class _Stored(msgspec.Struct):
    name: str
    zone: str
    is_timed: bool
    kinds: dict[str, str]
    features: StoredFeatures
    days: list[tuple[int, bytes]]
    aside: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    reach: str = ""
