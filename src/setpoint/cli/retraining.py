"""Training a model anew: retrain start, run, done, list."""

from __future__ import annotations

from typing import Annotated

import typer

from setpoint.cli import retrain
from setpoint.cli.options import Json, Store, chosen_store, show

Name = Annotated[str, typer.Argument(help="The retraining.")]


@retrain.command()
def start(
    model: Annotated[str, typer.Argument(help="The model.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "asked for",
    actor: Annotated[str, typer.Option("--actor", help="Who says so. [default: the user]")] = "",
    store: Store = None,
) -> None:
    """Say that a model is to be trained anew; the next tick runs the declared command."""
    from setpoint.project.retraining import begin_retraining

    one = begin_retraining(chosen_store(store), model, reason=reason, actor=actor)
    name = one.retraining_id
    print(f"{name} is due: the next `setpoint tick` runs it, or `setpoint retrain run {name}`")


@retrain.command()
def run(name: Name, store: Store = None) -> None:
    """Build the data set, run the declared command, and make the new version a candidate in shadow."""
    from setpoint.project.retraining import run_retraining

    done = run_retraining(chosen_store(store), name)
    print(f"{done.retraining_id} is {done.state}: {done.said}")
    raise typer.Exit(1 if done.state == "failed" else 0)


@retrain.command()
def done(name: Name, version: Annotated[str, typer.Argument(help="The new version.")], store: Store = None) -> None:
    """Say which version came of a retraining that a webhook was asked for: it becomes a candidate in shadow."""
    from setpoint.project.retraining import enter

    print(enter(chosen_store(store), name, version).said)


@retrain.command("list")
def list_(
    model: Annotated[str, typer.Argument(help="Only of this model.")] = "", store: Store = None, json: Json = False
) -> None:
    """What was trained anew, why, and what came of it?"""
    from setpoint.project.retraining import list_retrainings

    show(list_retrainings(chosen_store(store), model), as_json=json)
