"""The kept states of a model's hours and days: derived from rows, recomputed whole, never incremented.

A bucket is *dirty* when a shipment since the last refresh touched it: a late row, a late or revised
outcome, a call. Dirty and newly closed buckets are replaced in one transaction, so a reader sees all
of a refresh or none of it. The file may be deleted at any time; the next refresh makes it again, but for
days whose rows were let go. Those are carried over when a newer version changes the form of states.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import msgspec
import numpy as np

from setpoint.core.model import Model
from setpoint.core.rates import Rates, repriced
from setpoint.store.carrying import carry_over, save_forms
from setpoint.store.evidence import SCORE, Change
from setpoint.store.measures import PROFILE, Definition, Scale, Vocabulary, Words
from setpoint.store.states import StateKind, StateTable, merge

Grain = Literal["bucket", "day", "week"]
# Raise it when a state's columns, its bins or this file's tables change: states are then made anew where there
# are rows, and carried over where there are none. New bins need a new name of the kind: old ones do not fit them.
_VERSION = 10
_OLDEST = 8
CARRIED = "carried over"
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS states (
  kind TEXT NOT NULL, cohort TEXT NOT NULL, grain TEXT NOT NULL, start INTEGER NOT NULL, content BLOB NOT NULL,
  PRIMARY KEY (kind, cohort, grain, start)
) WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""


class Kept(NamedTuple):
    """What a series of kept states is of: a kind, and the cohort that splits it; empty for none."""

    kind: StateKind
    cohort: str = ""

    @property
    def is_by_day(self) -> bool:
        """Whether no state is kept for less than a local day: what is split by a cohort."""
        return self.cohort != ""


class Numeric(msgspec.Struct, tag="numeric"):
    """A `Scale` as it is stored."""

    center: float
    scale: float


class Categorical(msgspec.Struct, tag="categorical"):
    """A `Vocabulary` as it is stored."""

    named: tuple[str, ...]
    seen: tuple[str, ...]


class KnownWords(msgspec.Struct, tag="words"):
    """`Words` as they are stored."""

    center: float
    scale: float
    known: bytes


StoredFeatures = dict[str, Numeric | Categorical | KnownWords]


class Progress(msgspec.Struct, kw_only=True):
    """How far the summaries reach.

    Attributes:
        basis: Hash of the declaration's parts that states depend on; another one voids all states. `CARRIED`
            after an older version wrote them, which hashed other parts.
        ships: Last shipment of each table that is in them.
        versions: Last commit of each table when they were made: where there is no later one, nothing came.
        ticked_at: The time they hold for.
        closed_until: Buckets that start earlier are complete.
        first_at: Time of the first prediction; None without any.
        last_at: Time of the last prediction.
        last_counted_at: Time of the last billed call or tally, which may be later: of a judge, of rows not kept.
        last_outcome_at: When the last outcome was learned of.
        features: How features are binned.
        outcome_shift: Regression: outcomes are summed about it.
        changes: All changes known.
        marked: Buckets declared dirty from outside: rows were erased from them.
        let_go_before: Rows before it were let go: what is kept of them can never be made again.
        rates: What the costs in them were priced with. Where others hold now, buckets are dirty.
        lacking: Kinds of state that are not there for days let go, since an older version kept those days.
        lacking_before: Which days those are.
        told_apart: Values of each cohort that profiles tell apart. A new value joins them while there is
            room, so no value is ever counted under two names.
    """

    basis: str
    ships: dict[str, int]
    ticked_at: int
    closed_until: int
    first_at: int | None
    last_at: int | None
    last_counted_at: int | None = None
    last_outcome_at: int | None
    features: StoredFeatures
    outcome_shift: float
    changes: list[Change]
    versions: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    marked: list[int] = msgspec.field(default_factory=list[int])
    let_go_before: int = 0
    rates: Rates = msgspec.field(default_factory=Rates)
    lacking: list[str] = msgspec.field(default_factory=list[str])
    lacking_before: int = 0
    told_apart: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict[str, tuple[str, ...]])

    def holds_for(self, model: Model) -> bool:
        """Return whether the states are those of a declaration."""
        return self.basis in {basis(model), CARRIED}

    def repriced(self, rates: Rates, step: int) -> set[int]:
        """Return the closed buckets in which other rates hold than their costs were priced with."""
        if self.first_at is None:
            return set()
        found: set[int] = set()
        for window in repriced(rates, self.rates):
            start = max(window.start, self.first_at) // step * step
            found |= set(range(start, min(window.end, self.closed_until), step))
        return found

    @property
    def definition(self) -> Definition:
        """The frozen definition of the states."""
        return Definition(features_of(self.features), self.outcome_shift)


def _version(connection: sqlite3.Connection) -> int:
    """Return the version that wrote a file; 0 when it is no database, or has no states that can be carried over."""
    try:
        connection.execute("SELECT kind FROM states LIMIT 1").fetchall()
        found = cast("int", connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError:
        return 0
    return found if _OLDEST <= found <= _VERSION else 0


def _copied(connection: sqlite3.Connection) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:", isolation_level=None)
    connection.backup(copy)
    connection.close()
    return copy


def stored_features(definition: Definition) -> StoredFeatures:
    """Return a definition's features as they are stored."""

    def stored(how: Scale | Vocabulary) -> Numeric | Categorical | KnownWords:
        if isinstance(how, Words):
            return KnownWords(how.center, how.scale, how.known)
        return Numeric(how.center, how.scale) if isinstance(how, Scale) else Categorical(how.named, how.seen)

    return {name: stored(how) for name, how in definition.features.items()}


def features_of(stored: StoredFeatures) -> dict[str, Scale | Vocabulary]:
    """Return features from what is stored of them."""

    def feature(how: Numeric | Categorical | KnownWords) -> Scale | Vocabulary:
        if isinstance(how, KnownWords):
            return Words(how.center, how.scale, how.known)
        return Scale(how.center, how.scale) if isinstance(how, Numeric) else Vocabulary(how.named, how.seen)

    return {name: feature(how) for name, how in stored.items()}


def basis(model: Model) -> str:
    """Return the hash of what states depend on in a declaration; owners and bars do not count.

    What is left at its default does not count either: a key that a later version brings voids no states.
    """
    parts = (
        model.task,
        model.positive,
        replace(model.success, catalogue=None),
        model.cohorts,
        model.timezone,
        model.outcome_horizon,
        model.outcome_if_silent,
        model.final_kind,
        [kind.name for kind in model.outcomes],
        [(feature.name, feature.kind) for feature in model.features if feature.kind is not None],
        model.judge_kind,
    )
    return hashlib.blake2b(msgspec.json.encode(_spoken(parts)), digest_size=8).hexdigest()


def _spoken(told: object) -> object:
    """Return values with only those fields of dataclasses that are not at their default."""
    if isinstance(told, tuple | list):
        return [_spoken(one) for one in cast("list[object]", told)]
    if not is_dataclass(told) or isinstance(told, type):
        return told
    values = [(field, getattr(told, field.name)) for field in fields(cast("Any", told))]
    return {field.name: _spoken(value) for field, value in values if value != field.default}


class Summaries:
    """The file of one model's states, open for one reader or writer."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def reading(cls, path: Path) -> Generator[Summaries | None]:
        """Open for reading one consistent state of the file; None when there is no file."""
        if not path.exists():
            yield None
            return
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=10)
        try:
            connection.execute("BEGIN")
            version = _version(connection)
            if 0 < version < _VERSION:  # carried over in memory: a reader writes nothing
                connection = _copied(connection)
                cls(connection).carry()
            yield cls(connection) if version else None
        finally:
            connection.close()

    @classmethod
    @contextmanager
    def writing(cls, path: Path) -> Generator[Summaries]:
        """Open for one transaction: it is committed when the block ends, or nothing happened."""
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        version = _version(connection)
        if not version:
            connection.close()
            for damaged in path.parent.glob(f"{path.name}*"):  # derived: it is made anew from rows
                damaged.unlink()
            connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA secure_delete=ON")  # erased values must not stay in free pages
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN IMMEDIATE")
            if 0 < version < _VERSION:
                cls(connection).carry()
            yield cls(connection)
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()

    @staticmethod
    def rewrite(path: Path) -> None:
        """Write the file anew, without what SQLite leaves between values, also when it is to overwrite what goes."""
        if path.exists():
            with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @classmethod
    @contextmanager
    def amending(cls, path: Path) -> Generator[tuple[Summaries, Progress] | None]:
        """Open for a change of what is noted of the states; None when there are none. Saved when the block ends."""
        if not path.exists():
            yield None
            return
        with cls.writing(path) as summaries:
            progress = summaries.progress()
            yield None if progress is None else (summaries, progress)
            if progress is not None:
                summaries.save_progress(progress)

    def progress(self) -> Progress | None:
        """Return how far the states reach; None when there are none, or a damaged note of it."""
        try:
            found = self._connection.execute("SELECT content FROM meta WHERE name = 'progress'").fetchone()
            return None if found is None else msgspec.msgpack.decode(found[0], type=Progress)
        except (sqlite3.OperationalError, msgspec.MsgspecError):
            return None

    def save_progress(self, progress: Progress) -> None:
        """Note how far the states reach."""
        save_forms(self._connection)
        content = msgspec.msgpack.encode(progress)
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('progress', ?)", (content,))

    def carry(self) -> None:
        """Carry over what an older version kept of days whose rows were let go; drop the rest."""
        progress = self.progress()
        version = _version(self._connection)
        lacking = carry_over(self._connection, 0 if progress is None else progress.let_go_before, version)
        self._connection.execute("DELETE FROM meta WHERE name LIKE 'note %'")
        if progress is not None:
            progress.basis, progress.ships = CARRIED, {}
            progress.lacking, progress.lacking_before = lacking, progress.let_go_before
            self.save_progress(progress)

    def notes(self) -> dict[str, bytes]:
        """Return what checks found once and need not find again, by name."""
        found = self._connection.execute("SELECT substr(name, 6), content FROM meta WHERE name LIKE 'note %'")
        return dict(cast("Iterable[tuple[str, bytes]]", found))

    def save_notes(self, notes: Mapping[str, bytes]) -> None:
        """Put notes in the place of those of the same name."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", [(f"note {name}", note) for name, note in notes.items()]
        )

    def clear(self) -> None:
        """Drop all states."""
        self._connection.execute("DELETE FROM states")

    def starts(self, kept: Kept, grain: Grain, start: int, end: int) -> set[int]:
        """Return the starts of the kept states in a range."""
        found = self._connection.execute(
            "SELECT start FROM states WHERE kind = ? AND cohort = ? AND grain = ? AND start >= ? AND start < ?",
            (kept.kind.name, kept.cohort, grain, start, end),
        )
        return {cast("int", row[0]) for row in found}

    def tables(self, kept: Kept, grain: Grain, starts: Iterable[int]) -> list[StateTable]:
        """Return the kept states that start at the given times."""
        return list(self.tables_by_start(kept, grain, starts).values())

    def tables_by_start(self, kept: Kept, grain: Grain, starts: Iterable[int]) -> dict[int, StateTable]:
        """Return the kept states that start at the given times, each by its start; where there are no rows none."""
        wanted = set(starts)
        if not wanted:
            return {}
        found = self._connection.execute(
            "SELECT start, content FROM states"
            " WHERE kind = ? AND cohort = ? AND grain = ? AND start >= ? AND start <= ?",
            (kept.kind.name, kept.cohort, grain, min(wanted), max(wanted)),
        )
        return {start: StateTable.decode(kept.kind, content) for start, content in found if start in wanted}

    def rename(self, kind: StateKind, old: str, new: str) -> None:
        """Count a value under another name in every kept state that has it."""

        def renamed(table: StateTable) -> StateTable | None:
            if not any(isinstance(levels, list) and old in levels for levels in table.levels):
                return None
            table.levels = [
                [new if level == old else level for level in levels] if isinstance(levels, list) else levels
                for levels in table.levels
            ]
            return merge(kind, [table])

        self._rewrite(kind, renamed)

    def add_features(self, names: Sequence[str]) -> None:
        """Count features that no row had so far as missing in every row of the kept profiles."""

        def widened(table: StateTable) -> StateTable:
            rows = table.only(feature=SCORE, part="moments")  # every profile has one, with all rows
            blank = StateTable(rows.kind, rows.levels, rows.codes, rows.values.copy())
            blank.column("missing")[:] = blank.column("rows")
            for name in ("infinite", "shifted", "shifted_squares"):
                blank.column(name)[:] = 0.0
            blank.column("minimum")[:], blank.column("maximum")[:] = np.inf, -np.inf
            return merge(table.kind, [table, *(blank.at("feature", name) for name in names)])

        self._rewrite(PROFILE, widened)

    def _rewrite(self, kind: StateKind, change: Callable[[StateTable], StateTable | None]) -> None:
        found = self._connection.execute(
            "SELECT cohort, grain, start, content FROM states WHERE kind = ?", (kind.name,)
        ).fetchall()
        for cohort, grain, start, content in cast("list[tuple[str, Grain, int, bytes]]", found):
            changed = change(StateTable.decode(kind, content))
            if changed is not None:
                self.replace(Kept(kind, cohort), grain, {start: changed})

    def replace(self, kept: Kept, grain: Grain, tables: Mapping[int, StateTable | None]) -> None:
        """Put states in the place of what was there; None just removes."""
        which = (kept.kind.name, kept.cohort, grain)
        self._connection.executemany(
            "DELETE FROM states WHERE kind = ? AND cohort = ? AND grain = ? AND start = ?",
            [(*which, start) for start in tables],
        )
        self._connection.executemany(
            "INSERT INTO states VALUES (?, ?, ?, ?, ?)",
            [(*which, start, table.encode()) for start, table in tables.items() if table is not None and len(table)],
        )
