"""Where everything lies in a store's folder, and which format it has.

STORE/setpoint-store.json        format version, and the clock when it is a replay
STORE/spool/MODEL/TABLE/*.ndjson one segment a process and sequence, appended and fsynced
STORE/lake/MODEL/TABLE/          Delta tables, partitioned by UTC day
STORE/summaries/MODEL.db         states of hours and days: derived, may be deleted
STORE/models/MODEL.json          the declaration in force
STORE/routes/MODEL.json          the route plan in force
STORE/routes/MODEL.ndjson        every plan that was, one a line
STORE/prices.json                the price book in force
STORE/contacts.json              who is told, as it is in force
STORE/runbooks.json              the project's runbooks in force
STORE/loop.json                  when the loop last ran
STORE/control.db                 rollouts, decisions, incidents, messages
STORE/locks/NAME                 leases, held by the kernel for a living process
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from setpoint.core.clock import Clock, SystemClock
from setpoint.core.contacts import Contacts
from setpoint.core.errors import (
    SetpointError,
    StoreBusy,
    StoreError,
    StoreFormatError,
    StoreMissing,
    StoreReadOnly,
    UnknownModel,
    UsageError,
)
from setpoint.core.model import NAME_PATTERN, NAME_RULE, Model
from setpoint.core.prices import PriceBook
from setpoint.core.runbook import Runbook

InForce = TypeVar("InForce")
FORMAT = 1
_MARKER = "setpoint-store.json"
_PRICES, _CONTACTS, _RUNBOOKS = "prices.json", "contacts.json", "runbooks.json"
_ODD_LETTERS = frozenset("%#?")
_NAME = re.compile(NAME_PATTERN)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class Marker(msgspec.Struct, omit_defaults=True):
    """The file that makes a folder a store."""

    format: int
    replay_now: int | None = None


class Layout:
    """The paths of one store, its format and its clock.

    Example:
        >>> import tempfile
        >>> layout = Layout.create(Path(tempfile.mkdtemp()) / "store")
        >>> layout.models()
        []
    """

    def __init__(self, root: Path, marker: Marker) -> None:
        odd = sorted(set(str(root.absolute())) & _ODD_LETTERS)
        if odd:
            msg = f"a store's path cannot hold {' or '.join(odd)}: {root}"
            raise UsageError(msg, hint="the Delta libraries read such a path as an address; name another folder")
        self.root = root.absolute()  # a process may change its folder
        self._marker = marker
        replayed = marker.replay_now
        self.clock: Clock = SystemClock() if replayed is None else ReplayClock(self, replayed)

    @classmethod
    def create(cls, root: Path, *, replay_now: int | None = None) -> Layout:
        """Make a store, or open the one that is there.

        Raises:
            StoreReadOnly: The folder cannot be written.
        """
        layout = cls.prospective(root, replay_now=replay_now)
        layout.make()
        return layout

    @classmethod
    def prospective(cls, root: Path, *, replay_now: int | None = None) -> Layout:
        """Open the store that is there, or return the one that `make` will make: until then nothing is written."""
        return cls.open(root) if (root / _MARKER).exists() else cls(root, Marker(FORMAT, replay_now))

    def make(self) -> None:
        """Make the store when it is not there.

        Raises:
            StoreReadOnly: The folder cannot be written.
        """
        if not (self.root / _MARKER).exists():
            with writing(self.root):
                self.root.mkdir(parents=True, exist_ok=True)
                write_atomically(self.root / _MARKER, msgspec.json.encode(self._marker))

    @classmethod
    def open(cls, root: Path) -> Layout:
        """Open the store at `root`.

        Raises:
            StoreMissing: There is none.
            StoreFormatError: A newer version wrote it.
        """
        try:
            marker = msgspec.json.decode((root / _MARKER).read_bytes(), type=Marker)
        except (FileNotFoundError, NotADirectoryError) as error:
            msg = f"there is no store at {root}"
            raise StoreMissing(
                msg, hint="record a prediction, or run `setpoint apply` or `setpoint import FILE`"
            ) from error
        except msgspec.MsgspecError as error:
            msg = f"{root / _MARKER} is damaged: {error}"
            raise StoreError(msg, hint=f'write {{"format":{FORMAT}}} into it; nothing else is kept there') from error
        if marker.format > FORMAT:
            msg = f"the store at {root} has format {marker.format}; this version knows {FORMAT}"
            raise StoreFormatError(msg, hint="install a newer setpoint")
        return cls(root, marker)

    def spool(self, model: str, table: str) -> Path:
        """Return the folder of a table's segments."""
        return self.root / "spool" / model / table

    def lake(self, model: str, table: str) -> Path:
        """Return the folder of a Delta table."""
        return self.root / "lake" / model / table

    def summaries(self, model: str) -> Path:
        """Return the file of a model's states."""
        return self.root / "summaries" / f"{model}.db"

    def route(self, model: str) -> Path:
        """Return the file of a model's route plan."""
        return self.root / "routes" / f"{model}.json"

    def models(self) -> list[str]:
        """Return the names of all models that are declared or have events."""
        folders = [*_folders(self.root / "spool"), *_folders(self.root / "lake")]
        declared = [name.removesuffix(".json") for name in _names(self.root / "models")]
        return sorted({*folders, *declared})

    def declaration(self, model: str) -> Model | None:
        """Return the declaration in force, if there is one.

        Raises:
            StoreError: Its file is damaged.
        """
        path = self.root / "models" / f"{model}.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Model)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            msg = f"{path} is damaged: {error}"
            raise StoreError(msg, hint="run `setpoint apply` again, or delete the file") from error

    def declare(self, model: Model) -> None:
        """Put a declaration in force."""
        with writing(self.root):
            path = self.root / "models" / f"{check_name(model.name)}.json"
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, msgspec.json.encode(model))

    def price_book(self) -> PriceBook:
        """Return the price book in force; one without prices when none is.

        Raises:
            StoreError: Its file is damaged.
        """
        return _in_force(self.root / _PRICES, PriceBook, PriceBook())

    def put_prices(self, book: PriceBook) -> None:
        """Put a price book in force."""
        with writing(self.root):
            write_atomically(self.root / _PRICES, msgspec.json.encode(book))

    def contacts(self) -> Contacts:
        """Return who is told, as it is in force; nobody when nothing is.

        Raises:
            StoreError: Its file is damaged.
        """
        return _in_force(self.root / _CONTACTS, Contacts, Contacts())

    def runbooks(self) -> dict[str, Runbook]:
        """Return the project's runbooks in force, by name; those that are shipped are not among them.

        Raises:
            StoreError: Their file is damaged.
        """
        return _in_force(self.root / _RUNBOOKS, dict[str, Runbook], {})

    def put_runbooks(self, runbooks: Mapping[str, Runbook]) -> None:
        """Put the project's runbooks in force."""
        with writing(self.root):
            write_atomically(self.root / _RUNBOOKS, msgspec.json.encode(runbooks))

    def put_contacts(self, contacts: Contacts) -> None:
        """Put in force who is told."""
        with writing(self.root):
            write_atomically(self.root / _CONTACTS, msgspec.json.encode(contacts))

    def model(self, name: str) -> Model:
        """Return the declaration in force, or an undeclared model that has events.

        Raises:
            UnknownModel: Neither is there.
        """
        declared = self.declaration(name)
        if declared is not None:
            return declared
        known = self.models()
        if name in known:
            return Model(name=name)
        msg = f"no model is called {name!r} in {self.root}"
        raise UnknownModel(msg, hint=f"known: {', '.join(known) or 'none yet'}")

    def save_replay_now(self, now: int) -> None:
        """Remember the time of a replay."""
        self._marker.replay_now = now
        with writing(self.root):
            write_atomically(self.root / _MARKER, msgspec.json.encode(self._marker))

    @contextmanager
    def lease(self, name: str) -> Generator[None]:
        """Hold a lease that the kernel gives back when this process ends, however it ends.

        Raises:
            StoreBusy: Another process, or another thread of this one, holds it.
            StoreError: The disk had no room for what was to be written under it.
        """
        with writing(self.root):
            path = self.root / "locks" / name
            path.parent.mkdir(exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if not locked(descriptor):
                msg = f"another process holds the lease `{name}` of {self.root}"
                raise StoreBusy(msg, hint="it will do the work; try again in a moment")
            with _telling_when_full(self.root):
                yield
        finally:
            os.close(descriptor)


def _in_force(path: Path, kind: type[InForce], otherwise: InForce) -> InForce:
    """Return what a file puts in force; something else when there is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, NotADirectoryError):
        return otherwise
    except msgspec.MsgspecError as error:
        msg = f"{path} is damaged: {error}"
        raise StoreError(msg, hint="run `setpoint apply` again, or delete the file") from error


class ReplayClock:
    """The clock of a store whose traffic is replayed: it stands until it is set."""

    def __init__(self, layout: Layout, now: int) -> None:
        self._layout = layout
        self._now = now

    def now(self) -> int:
        """Return the time the replay has reached."""
        return self._now

    def set(self, now: int) -> None:
        """Move the replay on; `save` makes other processes see it."""
        self._now = now

    def save(self) -> None:
        """Persist the time reached."""
        self._layout.save_replay_now(self._now)


def check_name(name: str) -> str:
    """Return a model's name when it can be a folder.

    Raises:
        UsageError: It cannot.
    """
    if _NAME.fullmatch(name) is None:
        msg = f"not a model's name: {name!r}"
        raise UsageError(msg, hint=f"use {NAME_RULE}")
    return name


def locked(descriptor: int) -> bool:
    """Try to take the exclusive lock of an open file; a dead process holds none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that readers see the old or the new content, also after a crash."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


@contextmanager
def writing(root: Path) -> Generator[None]:
    """Turn the system's refusals into errors that say what to do.

    Raises:
        StoreReadOnly: The store cannot be written.
        StoreError: The disk is full.
    """
    try:
        yield
    except OSError as error:
        raise _refusal(root, error) from error


def _refusal(root: Path, error: OSError) -> SetpointError:
    if error.errno in _READ_ONLY:
        return StoreReadOnly(f"the store at {root} cannot be written: {error.strerror}", hint="check its permissions")
    if error.errno == errno.ENOSPC:
        return _full(root)
    return StoreError(f"the store at {root} cannot be used: {error}")


def _full(root: Path) -> StoreError:
    hint = "free some space and run it again: nothing that was recorded is lost"
    return StoreError(f"the disk of {root} is full", hint=hint)


@contextmanager
def _telling_when_full(root: Path) -> Generator[None]:
    """Turn what the system, SQLite, DuckDB or deltalake say about a full disk into one error of ours."""
    try:
        yield
    except Exception as error:
        said = str(error).lower()
        if any(words in said for words in ("no space left on device", "disk is full", "disk quota exceeded")):
            raise _full(root) from error
        raise


def _folders(folder: Path) -> list[str]:
    return [name for name in _names(folder) if (folder / name).is_dir()]


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
