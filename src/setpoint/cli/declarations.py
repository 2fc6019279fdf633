"""Declaring models: init, plan, apply, and the inventory of what is declared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from setpoint.cli import app
from setpoint.cli.options import AsOf, Json, Store, chosen_store, say, show
from setpoint.core.errors import UsageError

if TYPE_CHECKING:
    from setpoint.project.plan import Plan

_RUNS_CODE = "warning: loading {model} runs code from that file; do it only with files you trust"
Folder = Annotated[Path, typer.Argument(help="Where setpoint.yaml is.")]


@app.command()
def init(
    file: Annotated[str, typer.Argument(help="Predictions: Parquet, CSV or NDJSON, or a pattern.")] = "",
    outcomes: Annotated[str | None, typer.Option("--outcomes", help="A second file with the outcomes.")] = None,
    train: Annotated[str | None, typer.Option("--train", help="The rows a model was fitted on.")] = None,
    model: Annotated[Path | None, typer.Option("--model", help="The fitted model; loading it runs code.")] = None,
    holdout: Annotated[str | None, typer.Option("--holdout", help="Rows later than the training rows.")] = None,
    importance: Annotated[
        bool, typer.Option("--importance", help="How much each input matters: by --model, else by the recorded score.")
    ] = False,
    name: Annotated[str, typer.Option("--name", help="The model's name. [default: the file's]")] = "",
    tz: Annotated[
        str, typer.Option("--tz", "--timezone", help="The model's zone, and that of times without one.")
    ] = "UTC",
    column: Annotated[list[str] | None, typer.Option("--map", help="ROLE=COLUMN where a guess is wrong.")] = None,
    inputs: Annotated[str, typer.Option("--inputs", help="The inputs: a,b,c. [default: guessed]")] = "",
    out: Annotated[Path, typer.Option("--out", help="The project's folder.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace the model's file.")] = False,
    in_force: Annotated[bool, typer.Option("--apply", help="Put it in force too, as it is guessed.")] = False,
) -> None:
    """Write a first declaration from a file; every guess is said with its reason."""
    from setpoint.project import init as project

    columns = dict(_pair(text) for text in column or ())
    chosen = tuple(one.strip() for one in inputs.split(",")) if inputs else None
    given = project.Given(name, tz, columns, chosen)
    if train is None:
        if not file or holdout is not None or (model is not None and not importance):
            msg = "name a file of predictions, or --train and --model; or --model with --importance"
            raise UsageError(msg, hint="setpoint init predictions.parquet")
        if model is not None:
            say(_RUNS_CODE.format(model=model))
        found = project.draft(file, given, outcomes=outcomes, importance=importance, model_file=model)
    else:
        if file or outcomes or model is None:
            msg = "--train goes with --model, and without a file of predictions"
            raise UsageError(msg, hint="setpoint init --train train.parquet --model model.joblib")
        say(_RUNS_CODE.format(model=model))
        from setpoint.project.training import draft_trained

        found = draft_trained(train, model, given, holdout=holdout)
    say(f"guessed from {train or file}:")
    say("\n".join(found.said))
    for path in project.write(found, out, force=force):
        print(path)
    if in_force:
        apply(out)
    else:
        say(f"next: edit the model's file, then `setpoint plan {out}` and `setpoint apply {out}`")


def _pair(text: str) -> tuple[str, str]:
    role, equals, column = text.partition("=")
    if not equals:
        msg = f"not a column: {text!r}"
        raise UsageError(msg, hint="write --map outcome=is_fraud")
    return role.strip(), column.strip()


@app.command()
def declare(
    model: Annotated[str, typer.Argument(help="The model.")],
    settings: Annotated[
        list[str], typer.Argument(help="KEY=VALUE: keys of its file, values as YAML; KEY+=VALUE adds to a list.")
    ],
    folder: Annotated[Path, typer.Option("--folder", help="Where setpoint.yaml is.")] = Path(),
    in_force: Annotated[
        bool, typer.Option("--apply/--no-apply", help="Put it in force; otherwise only write the file.")
    ] = True,
) -> None:
    """Set keys of a model's declaration: an owner, a price, a guardrail. All else in its file stays, comments too."""
    from setpoint.project.editing import declare as declared

    found = declared(folder, model, settings, in_force=in_force)
    if found is None:
        say(f"next: `setpoint plan {folder}` and `setpoint apply {folder}`")
    else:
        _tell(found)


@app.command()
def plan(folder: Folder = Path()) -> None:
    """Say what the declarations would change in the store, and what that takes on disk."""
    from setpoint.project.plan import plan as planned

    found = planned(folder)
    print(found.text())
    found.check()


@app.command()
def apply(
    folder: Folder = Path(),
    lose_history: Annotated[
        bool, typer.Option("--lose-history", help="Also when days whose rows are gone lose their numbers.")
    ] = False,
) -> None:
    """Put the declarations in force; a second time there is nothing to change."""
    from setpoint.project.plan import apply as applied

    _tell(applied(folder, lose_history=lose_history))


def _tell(found: Plan) -> None:
    print(found.text(storage=False))
    if found.is_live:
        say("running services take the route with one of their next requests")
    elif not found.is_empty:
        say("running services take a changed declaration when they start again")


@app.command()
def models(
    debt: Annotated[bool, typer.Option("--debt", help="Only what is missing, and what to do about it.")] = False,
    days: Annotated[int, typer.Option("--days", min=1, help="Quiet for longer counts as missing.")] = 30,
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Which models are there, who answers for each, and what is missing?"""
    from setpoint.project.keeping import ship_if_free
    from setpoint.project.log import open_log
    from setpoint.project.overview import models_answer

    path = chosen_store(store)
    ship_if_free(path)
    with open_log(path) as log:
        show(models_answer(log, debt=debt, days=days, as_of=as_of), as_json=json)
