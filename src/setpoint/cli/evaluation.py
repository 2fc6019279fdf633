"""Offline evaluation under suspicion: evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from setpoint.cli import app
from setpoint.cli.options import AsOf, Json, Over, chosen_store, say, show
from setpoint.core.errors import UsageError


@app.command()
def evaluate(
    test: Annotated[str, typer.Argument(help="The rows to evaluate on, with outcomes: Parquet, CSV or NDJSON.")],
    train: Annotated[
        str | None, typer.Option("--train", help="The training rows. [default: the model's declared reference]")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="The model in the store: compare with production.")] = "",
    store: Annotated[
        Path | None, typer.Option("--store", help="The store's folder, with --model found as for other commands.")
    ] = None,
    estimator: Annotated[
        Path | None, typer.Option("--estimator", help="A fitted model, to measure it; loading it runs code.")
    ] = None,
    column: Annotated[list[str] | None, typer.Option("--map", help="ROLE=COLUMN where a guess is wrong.")] = None,
    inputs: Annotated[str, typer.Option("--inputs", help="The inputs: a,b,c. [default: guessed]")] = "",
    entity: Annotated[
        list[str] | None, typer.Option("--entity", help="A column whose values are to be on one side only; repeatable.")
    ] = None,
    observed: Annotated[
        list[str] | None, typer.Option("--observed", help="INPUT=COLUMN: when its value was observed; repeatable.")
    ] = None,
    tz: Annotated[str, typer.Option("--tz", "--timezone", help="The zone of times without one.")] = "",
    over: Over = None,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """Can an evaluation set be trusted? Leaks, what it lacks of production, its size. A sanity check, no more."""
    from setpoint.project.evaluation import evaluate as evaluated

    if estimator is not None:
        say(f"warning: loading {estimator} runs code from that file; do it only with files you trust")
    answer = evaluated(
        test,
        train=train,
        store=chosen_store(store) if model or store is not None else None,
        model=model,
        estimator=estimator,
        inputs=[one.strip() for one in inputs.split(",")] if inputs else None,
        entities=entity,
        observed=dict(_pair(text, "--observed amount=amount_known_at") for text in observed or ()),
        tz=tz,
        over=over,
        as_of=as_of,
        **dict(_pair(text, "--map outcome=is_fraud") for text in column or ()),
    )
    show(answer, as_json=json)


def _pair(text: str, example: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not equals:
        msg = f"not a column: {text!r}"
        raise UsageError(msg, hint=f"write {example}")
    return name.strip(), column.strip()
