"""What keeps a store in order: ship what is spooled, import history, erase, let go of old days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from setpoint.core.clock import parse_time, text
from setpoint.core.errors import ColumnError, StoreMissing, UsageError
from setpoint.core.model import Model
from setpoint.core.reference import ROLES
from setpoint.project.guess import ColumnFacts, check_roles, guess, guess_kinds, guess_task, look_at, said, warnings
from setpoint.store import shipper
from setpoint.store.broken_lines import BrokenLine
from setpoint.store.engines.duck import connect, quoted, rows
from setpoint.store.erasure import Erased, forget
from setpoint.store.files import (
    SOURCE,
    Mapped,
    create_views,
    files_of,
    load_history,
)
from setpoint.store.imported_copies import put_beside_requests
from setpoint.store.imports import (
    Files,
    Imported,
    file_token,
    import_outcomes,
    import_predictions,
    outcome_mark,
    read_otherwise,
)
from setpoint.store.lake import LakeTable
from setpoint.store.layout import Layout, ReplayClock, check_name
from setpoint.store.retention import Collected, collect
from setpoint.store.shipper import Shipment
from setpoint.store.times import shifted_times


def ship_if_free(store: Path) -> Shipment | None:
    """Ship the spool when there is a store and no other process ships; None otherwise."""
    try:
        return shipper.ship_if_free(Layout.open(store))
    except StoreMissing:
        return None


def import_file(
    store: Path,
    model: str,
    path: str,
    *,
    outcomes: bool = False,
    columns: Mapping[str, str] | None = None,
    tz: str = "",
    version: str | None = None,
    run_id: str | None = None,
    kind: str = "",
    shadow: bool = False,
) -> tuple[Imported, list[str]]:
    """Put the history of a file into a store, once.

    Outcomes and costs that stand beside the predictions go in with them. Of a pattern only the files
    that are not in yet are read, so it can be imported again when files were added.

    Args:
        store: The store's folder; made when it is not there.
        model: The model's name.
        path: A Parquet, CSV or NDJSON file or pattern.
        outcomes: Whether the file holds outcomes only, rather than predictions.
        columns: Column by role, as `setpoint.read` takes them; as declared, else guessed, when left out.
        tz: The zone of times without one; the declared zone by default.
        version: The version of predictions that carry none.
        run_id: The batch-scoring run whose output it is.
        kind: The kind of outcomes; the final one by default.
        shadow: Whether the file holds what another version would have answered to requests that the store has.

    Returns:
        What was done, and what was guessed or is odd in words.

    Raises:
        UsageError: The file cannot be read, or its columns do not fit.
        StoreError: The store cannot be written.
    """
    if shadow:
        ship_if_free(store)
    layout = Layout.prospective(store)  # an import that is refused leaves nothing behind
    declared = layout.declaration(check_name(model)) or Model(name=model)
    given = dict(columns or {})
    check_roles(given, (*ROLES, SOURCE) if outcomes else ROLES)
    kind = kind or declared.final_kind
    found = _files(path)
    lake = LakeTable(layout.lake(model, "outcomes" if outcomes else "predictions"))
    mark = partial(outcome_mark, declared, kind=kind) if outcomes else str
    fresh = {token: file for token, file in found.items() if not lake.shipped(mark(token))}
    told = _told(declared, outcomes=outcomes, shadow=shadow)
    lakes = [lake, LakeTable(layout.lake(model, "outcomes"))]  # outcomes of a file may have come with --outcomes
    otherwise = read_otherwise(lakes, [mark(token) for token in found if token not in fresh], told | given)
    if not (fresh or otherwise):
        return Imported(0, 0, is_repeat=True), []
    notes = [f"in already: {len(found) - len(fresh):,} of {len(found):,} files"] if len(fresh) < len(found) else []
    with TemporaryDirectory() as folder, closing(connect()) as connection:
        types, behind, broken = load_history(connection, list((fresh or found).values()), _TABLE, Path(folder))
        given = {role: name for role, name in told.items() if not name or name in types} | given
        notes += _otherwise_words({role: name for role, name in otherwise.items() if role in given}, found, fresh)
        if not fresh:
            return Imported(0, 0, is_repeat=True), []
        token_of = {file: token for token, file in fresh.items()}
        files = Files(
            {named: token_of[file] for named, file in behind.items()},
            [(token_of[line.path], line) for line in broken],
        )
        source = _Source(connection, layout, declared, types, tz or declared.timezone, shadow)
        if outcomes:
            done, said_now = _import_outcomes(source, given, files, kind)
        else:
            done, said_now = _import_predictions(source, given, files, version, run_id, kind)
    notes += [*said_now, *_broken_words(broken)]
    if done.future:
        notes.append(
            f"times after the store's clock ({text(layout.clock.now())} UTC): {done.future:,} of {done.rows:,} rows;"
            " is it the right column, and the right --timezone?"
        )
    return done, notes


_TABLE = "raw_predictions"
_OF_REQUESTS = ("time", "observed_at", "outcome", "judge", "value_usd", "unit", "endpoint", "keep_probability")
_OF_OUTCOMES = {"key", "prediction_id", "outcome", "observed_at", "value_usd", "revision", "retracted"}


@dataclass(frozen=True, slots=True)
class _Source:
    """Loaded files on their way into a store."""

    connection: duckdb.DuckDBPyConnection
    layout: Layout
    declared: Model
    types: Mapping[str, str]
    zone: str
    is_shadow: bool = False


def _import_outcomes(source: _Source, given: Mapping[str, str], files: Files, kind: str) -> tuple[Imported, list[str]]:
    facts = look_at(source.connection, _TABLE, source.types)
    wanted = {"time" if role == "observed_at" else role: column for role, column in given.items()}
    named = {SOURCE: SOURCE} if SOURCE in facts and SOURCE not in wanted.values() else {}
    mapped = guess(facts, {"prediction": "", "score": "", "version": "", "endpoint": "", **named, **wanted}, ())
    if "outcome" not in mapped.roles:
        msg = f"no outcome column among {', '.join(source.types)}"
        raise UsageError(msg, hint="name it: --map outcome=COLUMN")
    if "time" not in mapped.roles:
        msg = f"no column says when the outcomes were observed: {', '.join(source.types)}"
        raise ColumnError(msg, hint="name it: --map time=COLUMN")
    if not {"prediction_id", "key"} & set(mapped.roles):
        msg = "nothing says which predictions these outcomes belong to"
        raise UsageError(msg, hint="name the column: --map key=COLUMN or --map prediction_id=COLUMN")
    views = ((_TABLE, source.types, Mapped(mapped.roles, ())), (_TABLE, source.types, mapped))
    create_views(source.connection, *views, source.zone, names_files=True)
    files = replace(files, columns=mapped.roles)
    done = import_outcomes(source.connection, source.layout, source.declared, files, kind=kind)
    notes = _notes(mapped, wanted, source.zone)
    if done.misfits:
        notes.append(
            f"outcomes that do not fit those of {source.declared.name}: {done.misfits:,}{_odd_one(source.connection)};"
            " all kinds of one model are numbers, with 1 and 0 for yes and no, or all are words"
        )
    return done, notes


def _odd_one(connection: duckdb.DuckDBPyConnection) -> str:
    """Return an outcome that is no number, in words; empty without one."""
    sql = "SELECT min(CAST(outcome AS VARCHAR)) FROM outcomes WHERE TRY_CAST(outcome AS DOUBLE) IS NULL"
    found = rows(connection, sql)[0][0]
    return "" if found is None else f", such as {found!r}"


def _import_predictions(
    source: _Source, given: Mapping[str, str], files: Files, version: str | None, run_id: str | None, kind: str
) -> tuple[Imported, list[str]]:
    connection, layout, declared = source.connection, source.layout, source.declared
    facts = look_at(connection, _TABLE, source.types)
    mapped = _mapped(source, facts, given)
    features = create_views(connection, (_TABLE, source.types, mapped), None, source.zone, names_files=True)
    if source.is_shadow:
        if version is None and "version" not in mapped.roles:
            msg = "nothing says which version answered so"
            raise UsageError(msg, hint="name it: --version v2")
        put_beside_requests(connection, LakeTable(layout.lake(declared.name, "predictions")), version or "")
    is_new = layout.declaration(declared.name) is None
    if is_new:
        task, kinds = guess_task(facts, mapped), guess_kinds(mapped)
        declared = replace(declared, task=task, timezone=source.zone, outcomes=kinds)
    done = import_predictions(
        connection,
        layout,
        declared,
        features,
        replace(files, columns=mapped.roles),
        version=version,
        run_id=run_id,
        kind=kind,
        has_costs="cost_usd" in mapped.roles,
    )
    if is_new:
        layout.declare(declared)
    time = mapped.roles.get("time")
    skipped = shifted_times(connection, _TABLE, time, source.types[time], source.zone) if time else 0
    notes = [*_notes(mapped, given, source.zone), f"inputs: {', '.join(mapped.inputs) or 'none'}"]
    notes += _kind_words(source, mapped)
    notes += [*warnings(facts, mapped, declared=declared), *_along_words(done, mapped.roles, declared.judge_kind)]
    if done.odd_scores:
        notes.append(
            f"scores outside 0 to 1: {done.odd_scores:,} of {done.rows:,} rows, in no quality number;"
            f" if {mapped.roles['score']!r} is no probability, map it as the prediction"
        )
    if skipped:
        notes.append(f"{skipped:,} times do not exist in {source.zone} (daylight saving): moved one hour on")
    return done, notes


def _mapped(source: _Source, facts: Mapping[str, ColumnFacts], given: Mapping[str, str]) -> Mapped:
    """Return the role of each column, as `guess` has it but for what only an import asks for."""
    known = {
        *LakeTable(source.layout.lake(source.declared.name, "predictions")).inputs,
        *(feature.name for feature in source.declared.features),
    }
    if source.is_shadow:  # its request says when that was, of whom, with which inputs and how it ended
        return guess(facts, {**dict.fromkeys(_OF_REQUESTS, ""), **given}, ())
    wanted = dict(given)
    mapped = guess(facts, wanted, None, known)
    name = mapped.roles.get("prediction_id")
    if name and "prediction_id" not in wanted and not _is_unique(source.connection, name):
        wanted["prediction_id"] = ""
    if "observed_at" not in {*wanted, *known} and "observed_at" in mapped.inputs and "outcome" in mapped.roles:
        wanted["observed_at"] = "observed_at"
    mapped = guess(facts, wanted, None, known)
    # What is declared as a kind of outcome was not known when the prediction was made.
    kinds = {kind.name for kind in source.declared.outcomes} - known
    return replace(mapped, inputs=tuple(name for name in mapped.inputs if name not in kinds))


def _kind_words(source: _Source, mapped: Mapped) -> list[str]:
    """Return which columns are left out because a kind of outcome is called so."""
    used = {*mapped.inputs, *mapped.roles.values(), *mapped.left_out}
    return [
        f"left out: {kind.name}, declared as a kind of outcome; import it with --outcomes --kind {kind.name}"
        for kind in source.declared.outcomes
        if kind.name in source.types and kind.name not in used
    ]


def _is_unique(connection: duckdb.DuckDBPyConnection, column: str) -> bool:
    found = rows(connection, f"SELECT count({quoted(column)}) = count(DISTINCT {quoted(column)}) FROM {_TABLE}")
    return bool(found[0][0])


def _along_words(done: Imported, roles: Mapping[str, str], judge: str) -> list[str]:
    """Return what happened to outcomes, a judge's grades and costs that stand beside the predictions."""
    notes: list[str] = []
    if "outcome" in roles:
        observed = roles.get("observed_at")
        when = f"observed at {observed!r}" if observed else "observed when predicted, unless --map observed_at=COLUMN"
        left = done.rows - done.outcomes
        missing = f"; none yet in {left:,} of {done.rows:,} rows" if left else ""
        notes.append(f"outcomes: {roles['outcome']!r}, {when}{missing}")
    if done.judged:
        kept = f"{done.judged:,} grades" if judge else "left out: no kind of outcome is declared as a judge's"
        notes.append(f"judge: {roles['judge']!r}, {kept}")
    if done.worthless:
        notes.append(f"values in {roles['value_usd']!r} beside no outcome: {done.worthless:,}, left out")
    if done.unpriced:
        notes.append(f"no {roles['cost_usd']!r} in {done.unpriced:,} of {done.rows:,} rows: unknown, not nothing")
    return notes


def _told(declared: Model, *, outcomes: bool, shadow: bool) -> dict[str, str]:
    """Return the declared column of each role that a file of outcomes, or of answers in shadow, can have."""
    told = {role: name for role, name in declared.columns if not outcomes or role in _OF_OUTCOMES}
    return {role: name for role, name in told.items() if not shadow or role not in _OF_REQUESTS}


def _otherwise_words(columns: Mapping[str, str], found: Mapping[str, Path], fresh: Mapping[str, Path]) -> list[str]:
    """Return that files are in which were not read with some columns; refuse when there is nothing else to import."""
    if not columns:
        return []
    spelled = ", ".join(f"{role}={name}" for role, name in columns.items())
    if fresh:
        return [f"of these some were not imported with {spelled}: {_ANEW}"]
    what = "this file was" if len(found) == 1 else "of these files some were"
    added = (
        "--outcomes adds outcomes alone, and their column stays an input; else " if set(columns) == {"outcome"} else ""
    )
    msg = f"{what} imported before, and not with {spelled}"
    raise UsageError(msg, hint=f"{added}{_ANEW}")


_ANEW = (
    "rows that are in stay as they were read. Start anew: name another folder by --store, or as `store` in"
    " setpoint.yaml and `setpoint apply`; then import all files again"
)


def _broken_words(broken: Sequence[BrokenLine]) -> list[str]:
    words: list[str] = []
    for why in dict.fromkeys(line.why for line in broken):
        alike = [f"{line.path} line {line.number}" for line in broken if line.why == why]
        more = f" and {len(alike) - 3:,} more" if len(alike) > 3 else ""  # noqa: PLR2004 — as many as one reads
        words.append(f"{why}, put aside: {', '.join(alike[:3])}{more}")
    return words


def forget_unit(store: Path, model: str, *, key: str = "", unit: str = "") -> Erased:
    """Erase all that was recorded of a key or a unit.

    Raises:
        UsageError: Neither or both are given.
        StoreError: The text is still found somewhere in the store.
    """
    if bool(key) == bool(unit):
        msg = "say what to forget: a key or a unit, not both"
        raise UsageError(msg, hint="setpoint forget MODEL --key KEY")
    layout = Layout.open(store)
    return forget(layout, layout.model(model), key=key, unit=unit)


def replay_clock(store: Path, at: str = "") -> str:
    """Return what time it is for a store, in words; a new one, or one that has no rows, may be told to stand there.

    Args:
        store: The store's folder; made when a time is given and it is not there.
        at: The time that is now for it, from now on; it stays until it is set again.

    Raises:
        StoreMissing: There is no store, and no time is given.
        UsageError: The store was written with the system's clock.
    """
    if not at:
        return _clock_words(Layout.open(store))
    now = parse_time(at, "UTC")
    layout = Layout.prospective(store, replay_now=now)
    if not isinstance(layout.clock, ReplayClock) and any((layout.root / name).exists() for name in ("spool", "lake")):
        msg = f"{store} was written with the system's clock, and goes on with it"
        raise UsageError(
            msg, hint="a store for old files is one of its own: name another with --store, or $SETPOINT_STORE"
        )
    layout.make()
    layout.save_replay_now(now)
    return _clock_words(Layout.open(store))


def _clock_words(layout: Layout) -> str:
    now = f"{text(layout.clock.now(), 'UTC')} UTC"
    is_replay = isinstance(layout.clock, ReplayClock)
    return f"{now}: a replay, which stands until it is set" if is_replay else f"{now}: the system's clock"


def collect_garbage(store: Path) -> dict[str, Collected]:
    """Let go of what is beyond each model's retention."""
    layout = Layout.open(store)
    shipper.ship_if_free(layout)
    return {name: collect(layout, layout.model(name), layout.clock.now()) for name in layout.models()}


def _notes(mapped: Mapped, given: Mapping[str, str], zone: str) -> list[str]:
    guessed = said(mapped, given)
    notes = [f"columns: {guessed}"] if guessed else []
    return [*notes, f"times without a zone are read as {zone}"]


def _files(path: str) -> dict[str, Path]:
    """Return the files that a path or pattern stands for by the name of their content: copies count once."""
    found: dict[str, Path] = {}
    for file in files_of([path]):
        if not file.exists():
            msg = f"no file at {file}"
            raise UsageError(msg, hint="give a path, or a pattern such as 'predictions/*.parquet'")
        found.setdefault(file_token(file), file)
    if not found:
        msg = f"no file matches {path}"
        raise UsageError(msg, hint="check the pattern")
    return found
