"""Puts history from files into the lake, once a file: the same bytes imported twice change nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import duckdb

from setpoint.core.errors import ColumnError
from setpoint.core.events import DECIDED_BY_DATA, PARTITIONED_BY, column_types
from setpoint.core.model import Model
from setpoint.store.broken_lines import BrokenLine
from setpoint.store.cells import ODD
from setpoint.store.defining import is_number_type
from setpoint.store.engines.duck import at, literal, quoted, rows
from setpoint.store.files import FILE, SECONDS
from setpoint.store.fitting import INPUT
from setpoint.store.imported_inputs import event_sql, input_sql, misfits, mostly_numbers, policy_of
from setpoint.store.lake import SHIP, LakeTable
from setpoint.store.layout import Layout
from setpoint.store.measures import Column, tallies_of_rows
from setpoint.store.shipper import LEASE
from setpoint.store.task_sql import spelled

IMPORTED = "import-"
"""What the source of an imported row begins with; its file's name for its content follows."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Attributes:
        rows: Rows now in the lake: predictions, or outcomes when the files hold those.
        quarantined: Rows and lines put aside: a value does not fit its column, the time is missing, or no row at all.
        is_repeat: Whether these very files were imported before; then nothing was done.
        outcomes: Outcomes that came along with the predictions.
        judged: Grades of a judge model that came along with them.
        worthless: Values in dollars beside no outcome; left out, since a value is that of an outcome.
        costs: Predictions that came with what they cost.
        unpriced: Predictions whose cost the file leaves open, although others have one: unknown, not free.
        future: Rows with a time after the store's clock.
        odd_scores: Scores outside 0 to 1.
        misfits: Outcomes put aside because they are no numbers, as those of the model are, or no words.
    """

    rows: int
    quarantined: int
    is_repeat: bool = False
    outcomes: int = 0
    judged: int = 0
    worthless: int = 0
    costs: int = 0
    unpriced: int = 0
    future: int = 0
    odd_scores: int = 0
    misfits: int = 0


@dataclass(frozen=True, slots=True)
class Files:
    """The files of an import.

    Attributes:
        tokens: Name of each file's content, from `file_token`, by what stands in the column `FILE`.
        broken: Lines that are no rows, by their file's token.
        columns: Column by role, as they are read.
    """

    tokens: Mapping[str, str]
    broken: Sequence[tuple[str, BrokenLine]] = ()
    columns: Mapping[str, str] = field(default_factory=dict[str, str])


def file_token(path: Path) -> str:
    """Return a name for the content of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=12))
    return f"{IMPORTED}{digest.hexdigest()}"


def outcome_mark(model: Model, token: str, kind: str) -> str:
    """Return the name under which the outcomes of a kind in a file are imported: once a kind."""
    return token if kind == model.final_kind else f"{token}/{kind}"


def read_otherwise(lakes: Sequence[LakeTable], marks: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Return those of some columns, by role, that a file which is in was not read with; empty names mean none.

    Args:
        lakes: The table that the rows went to, and others that had a column of the files later.
        marks: The names there under which the files are in; what is not known of one does not count.
        columns: Column by role.
    """
    known = [mark for mark in marks if lakes[0].shipped(f"{mark}:columns")]
    return {
        role: name
        for role, name in columns.items()
        if role in _REMEMBERED
        and not all(any(lake.shipped(f"{mark}:{role}={name}") for lake in lakes) for mark in known)
    }


_REMEMBERED = ("time", "key", "score", "prediction", "outcome", "cost_usd")


def import_predictions(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    model: Model,
    features: Mapping[str, Column],
    files: Files,
    *,
    version: str | None = None,
    run_id: str | None = None,
    kind: str = "",
    has_costs: bool = False,
) -> Imported:
    """Commit the `predictions` view of files to the lake, with its tallies and the outcomes and costs in it.

    A row counts as recorded when it was predicted, so that `--as-of` works on history too; its
    outcome when it was observed, and without such a time when it was predicted. A row goes in whole
    or is put aside whole.

    Args:
        connection: Where the files' views are.
        layout: The store.
        model: The declaration: kinds and privacy policies of features.
        features: How each feature is read.
        files: The files.
        version: The version of rows that carry none.
        run_id: The batch-scoring run that the files are the output of.
        kind: The kind of outcomes; the final one by default.
        has_costs: Whether a column says what predictions cost: then a row without a cost is of unknown price.

    Raises:
        StoreBusy: Another process ships.
        ColumnError: The rows have no times.
    """
    if not rows(connection, "SELECT 1 FROM predictions WHERE predicted_at IS NOT NULL LIMIT 1"):
        msg = "no row has a time, and a prediction without one belongs to no day"
        raise ColumnError(msg, hint="name the column: --map time=COLUMN")
    layout.make()
    with layout.lease(LEASE):
        batch = _Batch(connection, layout, model, "predictions", files, lambda token: token)
        if not batch.tokens:
            return Imported(0, 0, is_repeat=True)
        kept = {name: column for name, column in features.items() if policy_of(model, name) != "drop"}
        kept |= mostly_numbers(connection, model, kept, batch.lake, files.tokens)
        prediction = batch.fitting("prediction", "predictions")
        outcome = batch.fitting("outcome", "outcomes")
        batch.gather(
            {
                **_UNPLACED,
                "its prediction_id stands in an earlier row": "is_double",
                _NO_NUMBER: f"{quoted(ODD)} IS NOT NULL",
                _MISFIT: f"{prediction.misfit} OR {outcome.misfit}",
                **misfits(model, kept, batch.lake),
            }
        )
        who = f"coalesce(version, {literal(version) if version else 'NULL'})"
        columns = _prediction_columns(who, run_id, prediction.sql)
        hidden = [column.sql for name, column in features.items() if policy_of(model, name) != "keep"]
        event = event_sql(model, columns, kept, batch.lake, column_types("predictions"))
        put_aside = batch.put_aside(hidden, event)
        counts = _counts(layout.clock.now(), has_costs=has_costs)
        found = dict(zip(counts, batch.ask(f"SELECT {', '.join(counts.values())} FROM identified"), strict=True))
        # The commit of the rows is what says that a file is in, so it comes last: an import that was
        # killed is done again, and finds what it had committed of the rest.
        batch.commit("tallies", _tallies(batch.tokens[0], who))
        if found["outcomes"]:
            of_kind = kind or model.final_kind
            batch.commit("outcomes", _outcomes_of_rows(outcome.sql, of_kind), lambda t: outcome_mark(model, t, of_kind))
        if found["judged"] and (judge := model.judge_kind):
            grades = _outcomes_of_rows(batch.fitting("judge", "outcomes").sql, judge, "judge")
            batch.commit("outcomes", grades, lambda t: outcome_mark(model, t, judge))
        if has_costs:
            batch.commit("calls", _calls_of_rows())
        inputs = ", ".join(
            f"{quoted(name)} := {input_sql(model, name, column, batch.lake)}" for name, column in kept.items()
        )
        if not batch.ask("SELECT count(prediction) FROM imported")[0]:
            del columns["prediction"]  # a later file or recorder decides what it holds
        struct = f", struct_pack({inputs}) AS inputs" if inputs else ""
        batch.commit("predictions", f"SELECT {_picked('predictions', columns)}{struct} FROM imported")
    return Imported(found.pop("rows"), put_aside, is_repeat=False, **found)


def import_outcomes(
    connection: duckdb.DuckDBPyConnection, layout: Layout, model: Model, files: Files, *, kind: str
) -> Imported:
    """Commit the `outcomes` view of files to the lake; an outcome counts as learned when observed."""
    layout.make()
    with layout.lease(LEASE):
        batch = _Batch(connection, layout, model, "outcomes", files, lambda token: outcome_mark(model, token, kind))
        if not batch.tokens:
            return Imported(0, 0, is_repeat=True)
        outcome = batch.fitting("outcome", "outcomes")
        batch.gather(
            {
                "no outcome": "outcome IS NULL AND NOT retracted",
                "no time": "observed_at IS NULL",
                "neither prediction_id nor key": "prediction_id IS NULL AND key IS NULL",
                _MISFIT: outcome.misfit,
            }
        )
        put_aside = batch.put_aside()
        (misfits,) = batch.ask(f"SELECT count(*) FROM brought WHERE reason = {literal(_MISFIT)}")
        ahead = f"count(*) FILTER (observed_at > {at(layout.clock.now())})"
        count, future = batch.ask(f"SELECT count(*), {ahead} FROM imported")
        given = ("key", "observed_at", "recorded_at", "revision", "retracted")
        named = {"source": "coalesce(source, token)", **{name: name for name in given}}
        columns = {**_outcome_columns(outcome.sql, kind), **named}
        batch.commit("outcomes", f"SELECT {_picked('outcomes', columns)} FROM imported", batch.mark)
    return Imported(count, put_aside, future=future, misfits=misfits)


@dataclass(frozen=True, slots=True)
class _Fitting:
    """How a column of varying type goes into the lake, and when a value of it does not."""

    sql: str
    misfit: str


class _Batch:
    """The files of an import that a table has not yet, and their rows.

    For the SQL of `ask` and `commit` the rows are `brought`, those of them that fit `imported`, and
    `identified` are these and the ones of which only an input does not fit: they may come back, and what
    they cost and came to is known meanwhile, as it is of a recorded row. All have the columns of the view
    and `token`, `row_place` (in its file, from 1), `reason` (why it does not fit) and `is_double`.

    Attributes:
        lake: The table that the rows go to.
        tokens: The files.
        mark: The name in that table that says that a file is in.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        layout: Layout,
        model: Model,
        table: str,
        files: Files,
        mark: Callable[[str], str],
    ) -> None:
        self._connection = connection
        self._layout = layout
        self._model = model
        self._table = table
        self._files = files
        self.mark = mark
        self.lake = self._lake(table)
        self.tokens = [token for token in files.tokens.values() if not self.lake.shipped(mark(token))]

    def _lake(self, table: str) -> LakeTable:
        return LakeTable(self._layout.lake(self._model.name, table))

    def fitting(self, column: str, table: str) -> _Fitting:
        """Return how a column whose type the data decides goes into a table: as it is there, else as in the file."""
        kind = cast("str", rows(self._connection, f"SELECT any_value(typeof({column})) FROM {self._table}")[0][0])
        positive = self._model.positive
        # A CSV's yes and no are read as true and false; with a word declared for yes only words count.
        in_words = self._model.task.in_words
        is_number = not in_words and (is_number_type(kind) or (kind == "BOOLEAN" and not positive))
        have = self._lake(table).columns.get(column) or ("DOUBLE" if is_number else "VARCHAR")
        value = spelled(column, kind) if in_words else column
        if kind == "BOOLEAN" and positive and have == "VARCHAR":
            value = (
                f"CASE WHEN {column} THEN {literal(positive)} WHEN NOT {column} THEN {literal(f'not {positive}')} END"
            )
        found = f"TRY_CAST({value} AS {have})"
        return _Fitting(found, f"({column} IS NOT NULL AND {found} IS NULL)")

    def gather(self, faults: Mapping[str, str]) -> None:
        """Number the rows of each file and find those that do not fit.

        Args:
            faults: SQL condition by reason, the first that holds counts.
        """
        is_predictions = self._table == "predictions"
        self._number(with_doubles=is_predictions)
        cases = " ".join(f"WHEN {condition} THEN {literal(reason)}" for reason, condition in faults.items())
        named = f" REPLACE ({_IDENTIFIER} AS prediction_id)" if is_predictions else ""
        rows(
            self._connection,
            f"CREATE OR REPLACE TEMP VIEW gathered AS SELECT *{named}, CASE {cases} END AS reason FROM ("
            f"SELECT n.* EXCLUDE (place, {quoted(FILE)}), f.token, n.place - f.first + 1 AS row_place,"
            " n.place IN (FROM doubles) AS is_double"
            f" FROM numbered AS n JOIN import_files AS f ON f.path = n.{quoted(FILE)})",
        )

    def _number(self, *, with_doubles: bool) -> None:
        """Make the tables that `gathered` reads: rows, files, rows with an earlier one's identifier, broken lines."""
        named = ", ".join(f"({literal(path)}, {literal(token)})" for path, token in self._files.tokens.items())
        first = f"SELECT {quoted(FILE)} AS path, min(place) AS first FROM numbered GROUP BY ALL"
        doubles = "PARTITION BY prediction_id ORDER BY place" if with_doubles else "ORDER BY 1"
        given = "prediction_id <> ''" if with_doubles else "false"
        tables = {
            "numbered": f"SELECT row_number() OVER () AS place, * FROM {self._table}",
            "import_files": f"FROM (VALUES {named}) AS named(path, token) JOIN ({first}) USING (path)",
            "doubles": f"SELECT place FROM numbered WHERE {given} QUALIFY row_number() OVER ({doubles}) > 1",
            "broken_lines": "SELECT '' AS token, 0::BIGINT AS line_number, '' AS why, '' AS raw LIMIT 0",
        }
        for name, select in tables.items():
            rows(self._connection, f"CREATE OR REPLACE TEMP TABLE {name} AS {select}")
        broken = [
            f"({literal(token)}, {line.number}, {literal(line.why)}, {literal(self._shown(line))})"
            for token, line in self._files.broken
        ]
        if broken:
            rows(self._connection, f"INSERT INTO broken_lines VALUES {', '.join(broken)}")

    def _shown(self, line: BrokenLine) -> str:
        """Return what is kept of a broken line: nothing when it may hold what the declaration hides."""
        is_open = all(feature.policy == "keep" for feature in self._model.features)
        return line.raw if is_open else "[not kept: the declaration hides features]"

    def ask(self, select: str) -> tuple[int, ...]:
        """Return the one row of counts that a query over all the files has."""
        return cast("tuple[int, ...]", rows(self._connection, self._over(self.tokens, select))[0])

    def put_aside(self, hidden: Sequence[str] = (), event: str = "NULL") -> int:
        """Commit what does not fit to the quarantine, as JSON text without hidden columns; return how much it is.

        Args:
            hidden: Columns that are not kept.
            event: SQL of a row of which only an input does not fit, as a recorder would have recorded it.
        """
        bad = "SELECT count(*) FROM brought WHERE reason IS NOT NULL"
        count = sum(self.ask(f"SELECT ({bad}), (SELECT count(*) FROM broken)"))
        if count:
            shown = f"* EXCLUDE ({', '.join(hidden)})" if hidden else "*"
            columns = {
                "quarantine_id": "substr(sha256(token || reason || line_number), 1, 30)",
                "source_table": literal(self._table),
                "recorded_at": at(self._layout.clock.now()),
                "process": "token",
                **{name: name for name in ("reason", "raw", "line_number")},
            }
            self.commit(
                "quarantine",
                f"SELECT {_picked('quarantine', columns)} FROM ("
                "SELECT token, row_place AS line_number, reason, CAST(to_json(bad) AS VARCHAR) AS raw"
                f" FROM (SELECT {shown} FROM brought WHERE reason IS NOT NULL AND NOT {_IS_INPUT}) AS bad"
                f" UNION ALL SELECT token, row_place, reason, {event} FROM brought WHERE {_IS_INPUT}"
                " UNION ALL SELECT token, line_number, why, raw FROM broken)",
                lambda token: f"{self._table}/{self.mark(token)}",
            )
        return count

    def commit(self, table: str, select: str, mark: Callable[[str], str] | None = None) -> None:
        """Commit rows to a table: of those files only that it has not yet, since an import was killed after it.

        Args:
            table: The table.
            select: SQL of its columns.
            mark: The name that says that a file is in the table; the file's token by default.
        """
        lake = self._lake(table)
        marks = {token: token if mark is None else mark(token) for token in self.tokens}
        missing = [token for token, name in marks.items() if not lake.shipped(name)]
        if missing:
            day = f"CAST({PARTITIONED_BY[table]} AS DATE) AS day"
            whole = f"SELECT *, {day}, {lake.ship + 1}::BIGINT AS {SHIP} FROM ({select})"
            done = [marks[token] for token in missing]
            if table == self._table:  # what `read_otherwise` asks for
                columns = self._files.columns
                said = ["columns", *(f"{role}={columns.get(role, '')}" for role in _REMEMBERED)]
                done += [f"{mark}:{one}" for mark in done for one in said]
            lake.append(self._connection.sql(self._over(missing, whole)), dict.fromkeys(done, 1))

    def _over(self, tokens: Sequence[str], select: str) -> str:
        which = f"token IN ({', '.join(literal(token) for token in tokens)})"
        return (
            f"WITH brought AS (FROM gathered WHERE {which}), imported AS (FROM brought WHERE reason IS NULL),"
            f" identified AS (FROM brought WHERE reason IS NULL OR {_IS_INPUT}),"
            f" broken AS (FROM broken_lines WHERE {which}) {select}"
        )


_UNPLACED = {
    "no prediction has its key or prediction_id": "role = 'shadow' AND parent_id IS NULL",
    "no time": "predicted_at IS NULL",
}
_NO_NUMBER = "a text stands where a number must"
_MISFIT = "a value does not fit its column"
_IS_INPUT = f"starts_with(coalesce(reason, ''), {literal(INPUT)})"
_IDENTIFIER = (
    "CASE WHEN prediction_id IS NULL OR prediction_id = '' THEN lpad(to_hex(epoch_us(predicted_at)), 14, '0')"
    " || substr(sha256(token || row_place), 1, 16) ELSE prediction_id END"
)
_NANO_USD = "TRY_CAST(round(cost_usd * 1e9) AS BIGINT)"
_OBSERVED = "coalesce(observed_at, predicted_at)"


def _counts(now: int, *, has_costs: bool) -> dict[str, str]:
    """Return SQL over the rows that are identified for each number that `Imported` tells of predictions."""
    return {
        "rows": "count(*) FILTER (reason IS NULL)",
        "outcomes": "count(outcome)",
        "judged": "count(judge)",
        "worthless": "count(value_usd) FILTER (outcome IS NULL)",
        "costs": f"count({_NANO_USD})",
        "unpriced": f"count(*) - count({_NANO_USD})" if has_costs else "0",
        "future": f"count(*) FILTER (predicted_at > {at(now)} OR (outcome IS NOT NULL AND {_OBSERVED} > {at(now)}))",
        "odd_scores": "count(*) FILTER (score < 0 OR score > 1 OR isnan(score))",
    }


def _picked(table: str, columns: Mapping[str, str]) -> str:
    """Return the fixed columns of a table as SQL: those given, and null for the rest."""
    found = {name: f"CAST({columns.get(name, 'NULL')} AS {kind})" for name, kind in column_types(table).items()}
    for name in DECIDED_BY_DATA:
        found.pop(name, None)
        if name in columns:
            found[name] = columns[name]
    return ", ".join(f"{sql} AS {quoted(name)}" for name, sql in found.items())


_AS_THEY_ARE = (
    "prediction_id", "predicted_at", "key", "unit", "endpoint", "role", "error", "score", "scores", "ranking",
    *SECONDS, "keep_probability",
)  # fmt: skip


def _prediction_columns(version: str, run_id: str | None, prediction: str) -> dict[str, str]:
    return {
        **{name: name for name in _AS_THEY_ARE},
        "root_id": "coalesce(parent_id, prediction_id)",
        "parent_id": "parent_id",
        "recorded_at": "predicted_at",
        "version": version,
        "prediction": prediction,
        "run_id": literal(run_id) if run_id else "NULL",
    }


def _outcome_columns(outcome: str, kind: str) -> dict[str, str]:
    return {
        "outcome_id": f"substr(sha256(token || {literal(kind)} || row_place), 1, 30)",
        "prediction_id": "prediction_id",
        "kind": literal(kind),
        "revision": "0",
        "retracted": "false",
        "outcome": outcome,
        "value_usd": "value_usd",
        "source": "token",
    }


def _outcomes_of_rows(outcome: str, kind: str, column: str = "outcome") -> str:
    columns = {**_outcome_columns(outcome, kind), "observed_at": _OBSERVED, "recorded_at": _OBSERVED}
    if column != "outcome":
        columns["value_usd"] = "NULL"  # what it was worth is said of the final outcome
    return f"SELECT {_picked('outcomes', columns)} FROM identified WHERE {column} IS NOT NULL"


def _calls_of_rows() -> str:
    columns = {
        "call_id": "substr(sha256(token || 'call' || row_place), 1, 30)",
        "prediction_id": "prediction_id",
        "called_at": "predicted_at",
        "recorded_at": "predicted_at",
        "attempt": "1",
        "cost_nano_usd": _NANO_USD,
    }
    return f"SELECT {_picked('calls', columns)} FROM identified"


def _tallies(process: str, version: str) -> str:
    """Return SQL that counts every request, also one whose row is put aside."""
    counted = f"WITH predictions AS (FROM brought WHERE NOT is_double) SELECT * FROM ({tallies_of_rows()}) AS tally"
    columns = {
        **{name: name for name in column_types("tallies")},
        "process": literal(process),
        "sequence": "1",
        "recorded_at": "bucket_at",
        "version": version,
    }
    return f"SELECT {_picked('tallies', columns)} FROM ({counted}) AS counted WHERE bucket_at IS NOT NULL"
