"""The questions: status, diff, cost and cohorts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from setpoint.cli import app
from setpoint.cli.options import AsOf, By, ByOrDay, Json, ModelName, Over, Store, chosen_store, say, show
from setpoint.core.errors import StoreError

if TYPE_CHECKING:
    from setpoint.project.log import Log


@app.command()
def status(
    model: ModelName = "",
    over: Over = None,
    by: By = "",
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Is this model still working as expected? Without a name: all models, worst first."""
    with fresh(store) as log:
        if not model and len(log.models()) > 1:
            from setpoint.project.overview import overview

            show(overview(log, as_of=as_of), as_json=json)
        show(log.status(model, over=over, by=by, as_of=as_of), as_json=json)


@app.command()
def diff(
    model: ModelName = "",
    current: Annotated[str | None, typer.Option("--current", help="The later window. [default: 7d]")] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            "--against",
            help="The earlier window, a file of rows, training, last-year, same-weekdays or version:NAME."
            " [default: as declared, or as long, just before]",
        ),
    ] = None,
    by: By = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Also every answer about every feature, and how alarms were shared out.")
    ] = False,
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """What changed in the data between two windows?"""
    with fresh(store) as log:
        answer = log.diff(model, current=current, reference=reference, by=by, explain=explain, as_of=as_of)
        show(answer, as_json=json)


@app.command()
def objectives(
    model: Annotated[str, typer.Argument(help="The model. [default: all of them]")] = "",
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """How much of each error budget is left, and how fast is it spent?"""
    from setpoint.project.overview import objectives_answer

    with fresh(store) as log:
        show(objectives_answer(log, model, as_of=as_of), as_json=json)


@app.command()
def cost(
    model: ModelName = "",
    over: Over = None,
    by: ByOrDay = "",
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """What is our all-in cost per correct prediction?"""
    with fresh(store) as log:
        show(log.cost(model, over=over, by=by, as_of=as_of), as_json=json)


@app.command()
def meter(
    model: ModelName = "",
    over: Over = None,
    by: By = "",
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Where does the time go, what failed, what was used, and do slow answers fare worse?"""
    with fresh(store) as log:
        show(log.meter(model, over=over, by=by, as_of=as_of), as_json=json)


@app.command()
def cohorts(
    model: ModelName = "",
    over: Over = None,
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            help="Act on this share of predictions, the highest scores. [default: where the model says yes]",
        ),
    ] = None,
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Who is under-served? Searches cohorts and inputs with few values, and pairs of them."""
    with fresh(store) as log:
        show(log.cohorts(model, over=over, budget=budget, as_of=as_of), as_json=json)


@app.command()
def outcomes(
    model: ModelName = "",
    over: Over = None,
    by: By = "",
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """How complete are the outcomes, and when will they be?"""
    with fresh(store) as log:
        show(log.outcomes(model, over=over, by=by, as_of=as_of), as_json=json)


@app.command()
def quality(
    model: ModelName = "",
    over: Over = None,
    by: ByOrDay = "",
    budget: Annotated[
        float | None, typer.Option("--budget", help="Share of predictions that is acted on: the highest scores.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Score that is acted on. [default: as declared, or 0.5]")
    ] = None,
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """How good is it in detail: where it is acted upon, how honest its scores are, and for whom?"""
    with fresh(store) as log:
        answer = log.quality(model, over=over, by=by, budget=budget, threshold=threshold, as_of=as_of)
        show(answer, as_json=json)


@app.command()
def why(
    subject: Annotated[str, typer.Argument(help="The model's name; or an incident, or its number.")],
    metric: Annotated[
        str, typer.Argument(help="Of a model: such as auc or rmse, latency_p95_seconds, or the rate of an outcome.")
    ] = "",
    cohort: Annotated[
        str, typer.Option("--cohort", help="Only of this declared cohort, such as carrier=VX; by default of all time.")
    ] = "",
    current: Annotated[str | None, typer.Option("--current", help="The later window. [default: 7d]")] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", help="The earlier window. [default: as long, just before]")
    ] = None,
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Why did a metric change, or what caused an incident? Causes, most likely first, and what to do."""
    with fresh(store) as log:
        if not metric:
            from setpoint.project.causes import explain_incident

            show(explain_incident(chosen_store(store), subject, as_of=as_of), as_json=json)
        show(log.why(subject, metric, cohort=cohort, current=current, reference=reference, as_of=as_of), as_json=json)


def fresh(store: Path | None) -> Log:
    """Open the store after shipping what is spooled: no daemon is needed to ask."""
    from setpoint.project.keeping import ship_if_free
    from setpoint.project.log import open_log

    path = chosen_store(store)
    try:
        ship_if_free(path)
    except StoreError as error:  # what is spooled is read there all the same
        say(f"not shipped: {error.message}")
    return open_log(path)
