"""Training data as files: examples in Parquet, and a lock that says what is in it, why, and how to make it again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import duckdb
import msgspec

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.control.guardrails import spoiling
from setpoint.control.training_data import SELECTED, Selection, select
from setpoint.core.clock import moment, parse_time, text
from setpoint.core.errors import StoreReadOnly, UsageError
from setpoint.core.finding import Finding
from setpoint.core.metric import counted
from setpoint.core.model import TrainingData
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.project.log import Log, StoreSource
from setpoint.project.table_diff import diff_tables
from setpoint.store.engines.duck import connect, literal, quoted, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.findings import read_findings
from setpoint.store.layout import Layout, write_atomically

LOCK_SCHEMA = "setpoint.dataset/1"
LOCK_ENDING, EXCLUDED_ENDING = ".lock.json", ".excluded.parquet"


@dataclass(frozen=True, slots=True)
class Built:
    """A data set that was built.

    Attributes:
        path: The Parquet file of examples.
        lock: The lock beside it.
        excluded: The Parquet file that names every excluded prediction, with its reason.
        selection: What was selected.
        content_hash: Hash of the examples, whatever engine wrote them.
        said: What a person should know, in words.
    """

    path: Path
    lock: Path
    excluded: Path
    selection: Selection
    content_hash: str
    said: tuple[str, ...]


def build(layout: Layout, model: str, out: Path, *, over: str = "", as_of: str = "") -> Built:
    """Build a data set from a model's predictions and outcomes.

    Args:
        layout: The store.
        model: The model's name.
        out: The Parquet file to write; its lock and the excluded predictions go beside it.
        over: Predictions of this window; all until now when empty.
        as_of: With what was known then; now when empty.

    Raises:
        UsageError: The window or the policy cannot be.
        StoreReadOnly: The files cannot be written.
    """
    declared = layout.model(model)
    now = parse_time(as_of, declared.timezone) if as_of else layout.clock.now()
    with Log(StoreSource(layout)).evidence(model, now) as evidence:
        span = evidence.span
        if span is None:
            msg = f"{model} has no predictions as of {text(now, declared.timezone)}"
            raise UsageError(msg, hint="name a later --as-of")
        whole = Window(span.start, max(now, span.end))
        window = Window.parse(over, now=now, zone=declared.timezone) if over else whole
        return _write(layout, evidence, window, declared.training_data, out, None)


def rebuild(layout: Layout, lock: Path, out: Path) -> Built:
    """Build the data set of a lock again: the same bytes, unless rows were erased, which it then says.

    Raises:
        UsageError: The lock cannot be read, or its model is not in this store.
        StoreReadOnly: The files cannot be written.
    """
    told = read_lock(lock)
    policy = msgspec.convert(told["policy"], TrainingData)
    window = Window(*(parse_time(told["window"][end]) for end in ("start", "end")))
    with Log(StoreSource(layout)).evidence(told["model"], parse_time(told["as_of"])) as evidence:
        return _write(layout, evidence, window, policy, out, told)


def read_lock(path: Path) -> dict[str, Any]:
    """Return a lock.

    Raises:
        UsageError: There is none, it is damaged, or a newer version wrote it.
    """
    try:
        told = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        msg = f"no lock at {path}"
        raise UsageError(msg, hint=f"it lies beside the data set: NAME.parquet{LOCK_ENDING}") from error
    except ValueError as error:
        msg = f"{path} is no lock: {error}"
        raise UsageError(msg, hint="take it from where the data set was built") from error
    if told.get("schema") != LOCK_SCHEMA:
        msg = f"{path} has the schema {told.get('schema')!r}, this version knows {LOCK_SCHEMA!r}"
        raise UsageError(msg, hint="install the version of setpoint that wrote it")
    return told


def _write(
    layout: Layout,
    evidence: RowEvidence,
    window: Window,
    policy: TrainingData,
    out: Path,
    before: dict[str, Any] | None,
) -> Built:
    model, as_of = evidence.model.name, evidence.as_of
    known = [one for one in read_findings(layout, model) if one.recorded_at <= as_of]
    findings = spoiling(layout, model, known)
    if before is not None:
        findings = [one for one in findings if one.finding_id in before["findings"]]
    selection = select(evidence, window, findings, policy)
    if before is not None and before["examples"] and not selection.kept:
        msg = f"nothing is left of the {counted(before['examples'], 'example')} of this lock"
        raise UsageError(msg, hint="its rows were erased or let go, or this store is another one")
    paths = out, out.with_name(out.name + LOCK_ENDING), out.with_name(out.name + EXCLUDED_ENDING)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _write_rows(evidence.connection, selection, paths[0], paths[2])
    except (OSError, duckdb.Error) as error:
        msg = f"{out} cannot be written: {str(error).splitlines()[0]}"
        raise StoreReadOnly(msg, hint="name another file with --out") from error
    content_hash, days = _hashes(evidence, selection)
    lock = _lock(evidence, window, policy, findings, selection, content_hash, days)
    write_atomically(paths[1], (json.dumps(lock, indent=2) + "\n").encode())
    said = (*selection.warnings, *(_differences(before, lock) if before is not None else ()))
    return Built(paths[0], paths[1], paths[2], selection, content_hash, said)


def _write_rows(connection: duckdb.DuckDBPyConnection, selection: Selection, out: Path, excluded: Path) -> None:
    """Write both files in one order and by one thread: the same rows are the same bytes."""
    columns = ", ".join(quoted(name) for name in selection.columns)
    threads = rows(connection, "SELECT current_setting('threads')")[0][0]
    connection.execute("SET threads = 1")
    try:
        for path, sql in (
            (out, f"SELECT {columns} FROM {SELECTED} WHERE reason IS NULL ORDER BY prediction_id"),
            (excluded, f"SELECT prediction_id, reason FROM {SELECTED} WHERE reason IS NOT NULL ORDER BY prediction_id"),
        ):
            connection.execute(f"COPY ({sql}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)")
    finally:
        connection.execute(f"SET threads = {threads}")


def _hashes(evidence: RowEvidence, selection: Selection) -> tuple[str, dict[str, list[object]]]:
    """Return the hash of all examples, and count and hash of each UTC day's: they tell which days lost rows."""
    columns = ", ".join(quoted(name) for name in selection.columns)
    row = f"sha256(CAST(struct_pack({', '.join(f'{quoted(n)} := {quoted(n)}' for n in selection.columns)}) AS VARCHAR))"
    found = rows(
        evidence.connection,
        f"SELECT CAST(epoch_us(predicted_at) // 86400000000 AS BIGINT) AS day, count(*),"
        f" sha256(string_agg({row}, '' ORDER BY prediction_id)) FROM (SELECT {columns} FROM {SELECTED}"
        " WHERE reason IS NULL) GROUP BY day ORDER BY day",
    )
    days = {
        moment(cast("int", day) * 86_400_000_000).date().isoformat(): [count, digest] for day, count, digest in found
    }
    whole = hashlib.sha256("".join(f"{day}{digest}" for day, (_, digest) in days.items()).encode()).hexdigest()
    return whole, days


def _lock(
    evidence: RowEvidence,
    window: Window,
    policy: TrainingData,
    findings: list[Finding],
    selection: Selection,
    content_hash: str,
    days: dict[str, list[object]],
) -> dict[str, object]:
    versions = rows(
        evidence.connection,
        f"SELECT coalesce(feature_version, '(none)') AS v, count(*) FROM {SELECTED} WHERE reason IS NULL GROUP BY v"
        " ORDER BY v",
    )
    return {
        "schema": LOCK_SCHEMA,
        "model": evidence.model.name,
        "as_of": moment(evidence.as_of).isoformat(),
        "window": {"start": moment(window.start).isoformat(), "end": moment(window.end).isoformat()},
        "policy": asdict(policy),
        "outcome_kind": evidence.model.final_kind,
        "findings": [finding.finding_id for finding in findings],
        "predictions": selection.rows,
        "examples": selection.kept,
        "caused_by_action": selection.flagged,
        "drawn_by_lot": selection.exploration,
        "excluded": dict(selection.excluded),
        "columns": list(selection.columns),
        "feature_versions": {cast("str", version): count for version, count in versions},
        "content_hash": content_hash,
        "days": days,
        "engine": f"duckdb {duckdb.__version__}",
    }


def _differences(before: dict[str, Any], after: dict[str, object]) -> tuple[str, ...]:
    """Return what a data set that was built again lacks, in words; nothing when it is the same."""
    if before["content_hash"] == after["content_hash"]:
        return ()
    found: list[str] = []
    days = cast("dict[str, list[object]]", after["days"])
    gone = before["predictions"] - cast("int", after["predictions"])
    why = "the declaration or the features changed since"
    if gone > 0 and before["policy"]["quotas"]:
        why = "the quotas chose anew among what is left"
    elif gone < 0:
        why = "predictions of that time were imported since"
    for day, (count, digest) in before["days"].items():
        have, same = days.get(day, [0, ""])
        if cast("int", have) < count:
            found.append(f"rows erased: {count - cast('int', have):,} of {counted(count, 'example')} of {day} are gone")
        elif same != digest:
            found.append(f"examples of {day} are not what they were: {why}")
    if gone > 0:
        found.insert(0, f"rows erased: {gone:,} of {counted(before['predictions'], 'prediction')} are gone")
    return (*found, *(f"examples of {day} are new" for day in days if day not in before["days"]))


def dataset_diff(first: Path, second: Path) -> Answer:
    """Return what differs between two data sets: their rows by reason, and their features.

    Args:
        first: The earlier data set: the Parquet file, its lock beside it.
        second: The later one.

    Raises:
        UsageError: A file or its lock is missing.
    """
    locks = [read_lock(path.with_name(path.name + LOCK_ENDING)) for path in (first, second)]
    connection = connect()
    try:
        for name, path in (("a", first), ("b", second)):
            if not path.exists():
                msg = f"no file at {path}"
                raise UsageError(msg, hint="its lock can build it again: setpoint dataset build --lock")
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({literal(str(path))})")
        counts = _counts(connection, locks)
    finally:
        connection.close()
    inputs = [name for name in locks[0]["columns"] if name.startswith("inputs.")]
    inputs = [name for name in inputs if name in locks[1]["columns"]]
    features = diff_tables(str(first), str(second), inputs=[*inputs, "outcome"])
    rows_of = Table("rows", ("rows", "count"), list(counts.items()), ("rows", "count"), [
        (name, f"{count:,}") for name, count in counts.items()
    ])  # fmt: skip
    same = locks[0]["content_hash"] == locks[1]["content_hash"]
    more, fewer, corrected = (f"{counts[name]:,}" for name in ("added", "removed", "corrected"))
    moved = f"{more} examples more, {fewer} fewer, {corrected} corrected outcomes"
    said = "the two data sets are the same" if same else f"{moved}; {features.headline}"
    models = list(dict.fromkeys(cast("str", lock["model"]) for lock in locks))
    headline = f"{' and '.join(models)}: {said}"
    apart = ("these are examples of two models: no row can be in both",) if len(models) > 1 else ()
    return Answer(
        question="dataset diff",
        model=locks[1]["model"],
        verdict=Verdict.OK if same else features.verdict,
        headline=headline,
        because=(*apart, *(_told(path, lock) for path, lock in zip((first, second), locks, strict=True))),
        unknowns=(),
        as_of=parse_time(locks[1]["as_of"]),
        zone="UTC",
        tables=(rows_of, _reason_table(locks), *features.tables),
    )


def _counts(connection: duckdb.DuckDBPyConnection, locks: list[dict[str, Any]]) -> dict[str, int]:
    both = "SELECT count(*) FROM a JOIN b USING (prediction_id)"
    shared, corrected = (
        cast("int", rows(connection, sql)[0][0]) for sql in (both, f"{both} WHERE a.outcome IS DISTINCT FROM b.outcome")
    )
    sizes = [cast("int", lock["examples"]) for lock in locks]
    return {"in both": shared, "added": sizes[1] - shared, "removed": sizes[0] - shared, "corrected": corrected}


def _told(path: Path, lock: dict[str, Any]) -> str:
    examples, of = counted(lock["examples"], "example"), counted(lock["predictions"], "prediction")
    return f"{path.name}: {examples} of {of}, as of {text(parse_time(lock['as_of']), 'UTC')} UTC"


def _reason_table(locks: list[dict[str, Any]]) -> Table:
    reasons = list(dict.fromkeys(reason for lock in locks for reason in lock["excluded"]))
    found: list[tuple[Cell, ...]] = [(one, *(lock["excluded"].get(one, 0) for lock in locks)) for one in reasons]
    lines = [(str(one), *(f"{count:,}" for count in counts)) for one, *counts in found]
    return Table("excluded", ("reason", "first", "second"), found, ("excluded for", "first", "second"), lines)
