"""Contracts put to use: a file, or a model's kept predictions, held against what its inputs promise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from setpoint.answers.answer import Answer
from setpoint.answers.contract import CheckedTable, contract_answer
from setpoint.core.clock import DAY, SystemClock
from setpoint.core.contract import Contract
from setpoint.core.contract_faults import check_contract
from setpoint.core.errors import EmptyFile, UsageError
from setpoint.core.model import Model
from setpoint.core.window import Window
from setpoint.inputs.contracts import rule_results
from setpoint.inputs.kept_contract import kept_rows, named_fields
from setpoint.store.contract_sql import Counts, columns_of, count_broken, example_values
from setpoint.store.engines.duck import connect, quoted
from setpoint.store.evidence import RowEvidence
from setpoint.store.files import Source, load
from setpoint.store.measures import Column

_TABLE = "checked"
_LENGTH = 7 * DAY
_EXTRA = 8


def check_table(
    table: Source, contract: Contract | Model, *, as_of: int | None = None, name: str = "", zone: str = "UTC"
) -> Answer:
    """Does a table keep its contract?

    Args:
        table: A Parquet, CSV or NDJSON path or pattern, or any object with the Arrow C stream.
        contract: What it is held against, or the model that declares it.
        as_of: As of when times must be fresh, microseconds; now by default.
        name: The model's name, for the answer.
        zone: The zone that the answer's times are shown in.

    Raises:
        UsageError: The table cannot be read, or the contract contradicts itself.

    Example:
        >>> import duckdb
        >>> from setpoint.core.contract import ContractField
        >>> table = duckdb.sql("SELECT i - 1.0 AS delay FROM range(10) t(i)")
        >>> print(check_table(table, Contract((ContractField("delay", at_least=0, required=True),))).headline)
        1 of 4 rules broken in the table: delay.range
    """
    if isinstance(contract, Model):
        name, zone = contract.name, contract.timezone
        contract = contract_of(contract)
    if not isinstance(contract, Contract):  # pyright: ignore[reportUnnecessaryIsInstance] — of callers without types
        msg = f"found {type(contract).__name__}, expected a contract or a model that declares one"
        raise UsageError(msg, hint="setpoint.Contract((setpoint.ContractField('amount', at_least=0),))")
    check_contract(contract)
    where = Path(table).name if isinstance(table, str | Path) else "the table"
    now = SystemClock().now() if as_of is None else as_of
    connection = connect()
    try:
        types = load(connection, table, _TABLE)
    except EmptyFile:
        return _answer(contract, Counts(0, {}), {}, where, name=name, now=now, zone=zone)
    else:
        return _of_rows(
            connection, contract, types, where, name=name, now=now, zone=zone, is_untyped=_is_untyped(table)
        )
    finally:
        connection.close()


def contract_of(model: Model) -> Contract:
    """Return the contract that a model declares.

    Raises:
        UsageError: It declares none.
    """
    if model.contract is None:
        msg = f"{model.name} declares no contract"
        raise UsageError(msg, hint="write contract: into its file, or let `setpoint init` guess one from your data")
    return model.contract


def _of_rows(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    types: Mapping[str, str],
    where: str,
    *,
    name: str,
    now: int,
    zone: str,
    is_untyped: bool,
) -> Answer:
    columns = columns_of(types, contract)
    counts = count_broken(connection, _TABLE, contract, columns, is_untyped=is_untyped)
    examples = example_values(connection, _TABLE, contract, columns, counts.broken, is_untyped=is_untyped)
    used = {column.sql for column in columns.values()}
    extra = [column for column in types if quoted(column) not in used]
    more = f" and {len(extra) - _EXTRA} more" if len(extra) > _EXTRA else ""
    notes = [f"columns that the contract does not name: {', '.join(extra[:_EXTRA])}{more}"] if extra else []
    return _answer(contract, counts, examples, where, columns=columns, notes=notes, name=name, now=now, zone=zone)


def _answer(
    contract: Contract,
    counts: Counts,
    examples: Mapping[str, str],
    where: str,
    *,
    columns: Mapping[str, Column] | None = None,
    notes: list[str] | None = None,
    name: str,
    now: int,
    zone: str,
) -> Answer:
    absent = [] if columns is None else [one for one in named_fields(contract) if one not in columns]
    results = tuple(rule_results(contract, counts, now=now, absent=absent))
    table = CheckedTable(
        contract, results, examples, counts.rows, where, notes or (), absent, model=name, as_of=now, zone=zone
    )
    return contract_answer(table)


def _is_untyped(table: Source) -> bool:
    """Whether texts of a table may be numbers: Parquet and tables in memory say what they hold."""
    first = table[0] if isinstance(table, list | tuple) and table else table
    return isinstance(first, str | Path) and Path(first).suffix.lower() != ".parquet"


def check_kept(evidence: RowEvidence, window: Window | None = None) -> Answer:
    """Do the predictions of a model keep its contract, and was the same noted when they were recorded?

    Args:
        evidence: The model's rows.
        window: Predictions of this window; by default the last seven days, all of a file.
    """
    model = evidence.model
    contract = contract_of(model)
    if window is None and evidence.is_recorded:
        window = Window(evidence.as_of - _LENGTH, evidence.as_of)
    found = kept_rows(evidence, contract, window, now=evidence.as_of)
    where = "the rows" if window is None else window.text(model.timezone)
    return contract_answer(
        CheckedTable(
            contract, found.results, found.examples(evidence, contract), found.counts.rows, where,
            absent=found.absent, model=model.name, as_of=evidence.as_of, zone=model.timezone,
        )
    )  # fmt: skip
