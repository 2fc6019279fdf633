"""The demos: real data, replayed through everything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from setpoint.cli import demo

Folder = Annotated[Path, typer.Option("--folder", help="Where the project and its store are made.")]
Brief = Annotated[bool, typer.Option("--brief", help="Only the result, in one line.")]
NoFault = Annotated[bool, typer.Option("--no-fault", help="Nothing goes wrong: nothing may be seen.")]


@demo.callback(invoke_without_command=True)
def flights(
    context: typer.Context,
    store: Annotated[Path, typer.Option("--store", help="Where the demo's store is made.")] = Path("demo-store"),
) -> None:
    """Train on half a year of real flights, replay the other half, and answer the three questions."""
    if context.invoked_subcommand is None:
        from setpoint.demo.replay import run

        run(store)
