"""The questions that hold one version against another: worth, and cascade tune."""

from __future__ import annotations

from typing import Annotated

import typer

from setpoint.cli import app, cascade
from setpoint.cli.options import AsOf, Json, ModelName, Store, show
from setpoint.cli.questions import fresh

Rows = Annotated[str | None, typer.Option("--window", help="Predictions of this window. [default: the last 30 days]")]


@app.command()
def worth(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    candidate: Annotated[str, typer.Argument(help="The version in question.")],
    over: Annotated[
        str, typer.Option("--over", help="The version it is held against, such as rule or holdout; none for no model.")
    ],
    value: Annotated[
        float | None, typer.Option("--value", help="What a correct answer is worth, in dollars, such as 0.40.")
    ] = None,
    window: Rows = None,
    by: Annotated[str, typer.Option("--by", help="Also what each group of this cohort gains.")] = "",
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Is +X % quality worth +Y % cost?"""
    with fresh(store) as log:
        answer = log.worth(candidate, over=over, model=model, value=value, window=window, by=by, as_of=as_of)
        show(answer, as_json=json)


@cascade.command()
def tune(
    cheap: Annotated[str, typer.Option("--cheap", help="The version that is asked first.")],
    expensive: Annotated[str, typer.Option("--expensive", help="The one that is asked when the first is not sure.")],
    model: ModelName = "",
    loss: Annotated[
        float, typer.Option("--loss", help="How many more of all answers may be wrong than by the expensive one alone.")
    ] = 0.01,
    window: Rows = None,
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """From which confidence on may the cheap version answer, and what does that save?"""
    with fresh(store) as log:
        answer = log.cascade_tune(model, cheap=cheap, expensive=expensive, loss=loss, window=window, as_of=as_of)
        show(answer, as_json=json)
