"""The database of what was decided: append-only tables in which order matters, changed by compare-and-set.

SQLite in the store's folder: a write-ahead log, and a commit is on the disk before it returns.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from setpoint.core.errors import StoreBusy, StoreError, StoreMissing
from setpoint.store.layout import Layout, writing

Noun = TypeVar("Noun")
METADATA = sa.MetaData()
_WAIT_SECONDS = 10.0

ROLLOUTS = sa.Table(
    "rollouts",
    METADATA,
    sa.Column("rollout_id", sa.String, primary_key=True),
    sa.Column("model", sa.String, nullable=False, index=True),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("details", sa.LargeBinary, nullable=False),
)
ROLLOUT_EVENTS = sa.Table(
    "rollout_events",
    METADATA,
    sa.Column("rollout_id", sa.String, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("phase", sa.String, nullable=False),
    sa.Column("share", sa.Float, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("cause", sa.String, nullable=False),
    sa.Column("said", sa.String, nullable=False),
    sa.Column("after_generation", sa.Integer, nullable=False),
)
EVIDENCE = sa.Table(
    "rollout_evidence",
    METADATA,
    sa.Column("rollout_id", sa.String, primary_key=True),
    sa.Column("batch", sa.String, primary_key=True),
    sa.Column("look", sa.Integer, nullable=False),
    sa.Column("numbers", sa.LargeBinary, nullable=False),
)
LOOKS = sa.Table(
    "rollout_looks",
    METADATA,
    sa.Column("rollout_id", sa.String, primary_key=True),
    sa.Column("look", sa.Integer, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
)
BEGUN = sa.Table(
    "begun_decisions",
    METADATA,
    sa.Column("decision_id", sa.String, primary_key=True),
    sa.Column("model", sa.String, nullable=False, index=True),
    sa.Column("decision", sa.LargeBinary, nullable=False),
)
DECISIONS = sa.Table(
    "decisions",
    METADATA,
    sa.Column("decision_id", sa.String, primary_key=True),
    sa.Column("model", sa.String, nullable=False, index=True),
    sa.Column("subject", sa.String, nullable=False, index=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("is_carried_out", sa.Boolean, nullable=False),
    sa.Column("decision", sa.LargeBinary, nullable=False),
)


@contextmanager
def reading(layout: Layout) -> Generator[sa.Connection | None]:
    """Give a connection to read with; None while nothing was ever decided.

    Raises:
        StoreBusy: The database cannot be read now.
        StoreMissing: The whole store is gone: nobody knows what was decided.
    """
    path = _path(layout)
    if not path.exists():
        if not layout.root.exists():
            msg = f"the store at {layout.root} is gone"
            raise StoreMissing(msg, hint="look whether its disk is mounted; services keep the routes they read last")
        yield None
        return
    with _told(path), _engine(path).connect() as connection:
        yield connection


@contextmanager
def deciding(layout: Layout) -> Generator[sa.Connection]:
    """Give a connection whose changes are all made when the block ends, or none of them.

    Raises:
        StoreBusy: Somebody else wrote a row of the same name before, or holds the database.
        StoreReadOnly: The store cannot be written.
    """
    path = _path(layout)
    with writing(layout.root), _told(path), _engine(path).begin() as connection:
        yield connection


def as_noun(row: sa.RowMapping, kind: type[Noun], **decoded: object) -> Noun:
    """Return a row of a table as the noun whose fields are its columns.

    Args:
        row: The row.
        kind: The noun.
        decoded: Fields that the table has as bytes.
    """
    # SQLAlchemy's names are texts of a kind of their own.
    return msgspec.convert({**{str(name): value for name, value in row.items()}, **decoded}, kind)


def _path(layout: Layout) -> Path:
    return layout.root / "control.db"


@cache
def _engine(path: Path) -> sa.Engine:
    # No pool: a process that forks must not share a connection with its child.
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool, connect_args={"timeout": _WAIT_SECONDS})
    event.listen(engine, "connect", _settle)
    event.listen(engine, "begin", _begin)
    from setpoint.store import incident_tables  # noqa: PLC0415 — its tables are made with these

    del incident_tables
    METADATA.create_all(engine)
    return engine


def _settle(connection: DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy begins and commits, not the driver
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later would fail where another wrote between: it waits here instead.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _told(path: Path) -> Generator[None]:
    try:
        yield
    except IntegrityError as error:
        msg = "somebody else decided meanwhile"
        raise StoreBusy(msg, hint="look at what they did, then try again") from error
    except OperationalError as error:
        said = str(error.orig)
        if "locked" in said or "unable to open" in said:
            msg = f"{path} cannot be used now: {said}"
            raise StoreBusy(msg, hint="try again in a moment; traffic stays at the last good route plan") from error
        raise
    except DatabaseError as error:
        msg = f"{path} is damaged: {error.orig}"
        raise StoreError(msg, hint="restore it from a backup; traffic stays at the last good route plan") from error
