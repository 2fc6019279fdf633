"""The demos: real data, replayed through everything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from setpoint.cli import demo
from setpoint.cli.options import say
from setpoint.core.errors import DataMissing, UsageError

if TYPE_CHECKING:
    from setpoint.demo.moderation import Fault

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


@demo.command()
def moderation(
    folder: Folder = Path("demo-moderation"),
    brief: Brief = False,
    fault: Annotated[str, typer.Option("--fault", help="What goes wrong: upper, tags or none.")] = "upper",
) -> None:
    """Replay a moderation model that over-flags since an upstream pipeline changed."""
    from setpoint.demo.moderation import FAULTS, run

    if fault not in FAULTS:
        msg = f"no fault is called {fault!r}"
        raise UsageError(msg, hint=f"known: {', '.join(FAULTS)}")
    try:
        report = run(folder, fault=cast("Fault", fault))
    except DataMissing as error:
        if not brief:
            raise
        print(f"moderation: not run: {error.message}; {error.hint}")  # one of several, which go on
        return
    print(report.line() if brief else report.text())
    if not brief:
        say(f"go on asking in {folder}: setpoint incident show 0001, setpoint diff, setpoint route")


@demo.command("lead-scoring")
def lead_scoring(folder: Folder = Path("demo-lead-scoring"), brief: Brief = False, no_fault: NoFault = False) -> None:
    """Leads of one kind are never called, and AUC looks good: real flights, scored by a model of the winter."""
    from setpoint.demo.lead_scoring import run

    report = run(folder, fault=not no_fault)
    print(report.line() if brief else report.text())
    if not brief:
        asked = "setpoint cohorts --budget 0.2, setpoint why lead-scoring recall --cohort carrier=VX"
        say(f"go on asking in {folder}: {asked}")
