"""Contracts: check, and the notations of others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from setpoint.cli import app
from setpoint.cli import contract as group
from setpoint.cli.options import AsOf, Json, Over, Store, chosen_store, say, show
from setpoint.core.errors import StoreReadOnly, UsageError

if TYPE_CHECKING:
    from setpoint.answers.answer import Answer
    from setpoint.core.model import Model

Object = Annotated[str, typer.Option("--object", help="Which object of an ODCS file. [default: its only one]")]


@app.command()
def check(
    file: Annotated[str, typer.Argument(help="Rows: Parquet, CSV or NDJSON. [default: kept predictions]")] = "",
    model: Annotated[str, typer.Option("--model", help="The model in the store whose contract holds.")] = "",
    contract: Annotated[
        Path | None, typer.Option("--contract", help="A file with one: a model's YAML, ODCS, or JSON Schema.")
    ] = None,
    object_name: Object = "",
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write JUnit's XML there.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Also write Markdown there.")] = None,
    over: Over = None,
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Does a file keep its contract? Without a file: do the predictions, and was the same noted online?"""
    if contract is not None and (model or not file):
        msg = "--contract goes with a file, and without --model"
        raise UsageError(msg, hint="setpoint check rows.parquet --contract models/fraud.yaml")
    if file and over:
        msg = "--over goes without a file: all rows of a file are checked"
        raise UsageError(msg, hint="leave it out")
    answer = _of_file(file, contract, object_name, as_of) if contract else _of_store(file, model, over, as_of, store)
    from setpoint.answers import contract_reports

    for path, text in ((junit, contract_reports.junit), (markdown, contract_reports.markdown)):
        if path is not None:
            _write(path, text(answer))
    show(answer, as_json=json)


def _of_file(file: str, contract: Path, object_name: str, as_of: str | None) -> Answer:
    from setpoint.core.clock import parse_time
    from setpoint.project.contracts import check_table

    found = _read(contract, object_name)
    return check_table(file, found, as_of=None if as_of is None else parse_time(as_of, found.timezone))


def _of_store(file: str, model: str, over: str | None, as_of: str | None, store: Path | None) -> Answer:
    from setpoint.project.keeping import ship_if_free
    from setpoint.project.log import open_log
    from setpoint.store.layout import Layout

    path = chosen_store(store)
    ship_if_free(path)
    with open_log(path) as log:
        if file and file in Layout.open(path).models() and not Path(file).exists():
            msg = f"{file} is a model and no file"
            raise UsageError(msg, hint=f"`setpoint check --model {file}` looks at its predictions")
        return log.check(model, file or None, over=over, as_of=as_of)


def _read(path: Path, object_name: str) -> Model:
    from setpoint.project.contract_files import read_contract

    found, lost = read_contract(path, object_name)
    for words in lost:
        say(f"warning: {words}")
    return found


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise StoreReadOnly(msg, hint="name another file") from error


@group.command("import")
def import_contract(
    file: Annotated[Path, typer.Argument(help="An ODCS 3.1 file, or a JSON Schema.")],
    object_name: Object = "",
    into: Annotated[Path | None, typer.Option("--into", help="Write it into this model's file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the contract of that file.")] = False,
) -> None:
    """Print a contract as YAML, or write it into a model's file; what cannot be carried over is named."""
    from setpoint.project.contract_files import contract_text, put_contract

    found = _read(file, object_name)
    if into is None:
        print(contract_text(found), end="")
        return
    put_contract(found, into, force=force)
    print(into)
    say(f"next: `setpoint plan` and `setpoint apply` where {into} belongs")


@group.command("export")
def export(
    model: Annotated[str, typer.Argument(help="The model; may be left out when there is only one.")] = "",
    notation: Annotated[str, typer.Option("--format", help="odcs or json-schema.")] = "odcs",
    contract: Annotated[Path | None, typer.Option("--contract", help="A file with the contract, instead.")] = None,
    store: Store = None,
) -> None:
    """Print a model's contract as ODCS 3.1 or JSON Schema; what cannot be carried over is named."""
    from setpoint.project.contract_files import export_contract

    if contract is not None:
        if model:
            msg = "--contract goes without a model's name"
            raise UsageError(msg, hint="leave one of them out")
        found = _read(contract, "")
    else:
        from setpoint.project.log import open_log

        with open_log(chosen_store(store)) as log:
            found = log.declared(model)
    made = export_contract(found, notation)
    for words in made.lost:
        say(f"warning: {words}")
    print(made.text, end="")
