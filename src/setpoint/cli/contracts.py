"""Contracts: check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from setpoint.cli import app
from setpoint.cli.options import AsOf, Json, Over, Store, chosen_store, show
from setpoint.core.errors import UsageError


@app.command()
def check(
    file: Annotated[str, typer.Argument(help="Rows: Parquet, CSV or NDJSON. [default: kept predictions]")] = "",
    model: Annotated[str, typer.Option("--model", help="The model in the store whose contract holds.")] = "",
    contract: Annotated[Path | None, typer.Option("--contract", help="A file that declares one.")] = None,
    over: Over = None,
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Does a file keep its contract? Without a file: do the predictions, and was the same noted online?"""
    from setpoint.core.clock import parse_time
    from setpoint.project.contracts import check_table, contract_model

    if contract is not None:
        if model or not file:
            msg = "--contract goes with a file, and without --model"
            raise UsageError(msg, hint="setpoint check rows.parquet --contract models/fraud.yaml")
        found = contract_model(contract)
        show(check_table(file, found, as_of=None if as_of is None else parse_time(as_of, found.timezone)), as_json=json)
    from setpoint.project.keeping import ship_if_free
    from setpoint.project.log import open_log

    path = chosen_store(store)
    ship_if_free(path)
    with open_log(path) as log:
        show(log.check(model, file or None, over=over, as_of=as_of), as_json=json)
