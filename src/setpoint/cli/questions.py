"""The questions: status, diff and cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from setpoint.cli import app
from setpoint.cli.options import AsOf, By, Json, ModelName, Over, Store, chosen_store, say, show
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
    with _fresh(store) as log:
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
            help="The earlier window, or a file of rows. [default: as declared, or as long, just before]",
        ),
    ] = None,
    by: By = "",
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """What changed in the data between two windows?"""
    with _fresh(store) as log:
        show(log.diff(model, current=current, reference=reference, by=by, as_of=as_of), as_json=json)


@app.command()
def cost(
    model: ModelName = "",
    over: Over = None,
    by: Annotated[str, typer.Option("--by", help="One row a group: endpoint, version, day, or a cohort.")] = "",
    as_of: AsOf = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """What is our all-in cost per correct prediction?"""
    with _fresh(store) as log:
        show(log.cost(model, over=over, by=by, as_of=as_of), as_json=json)


def _fresh(store: Path | None) -> Log:
    """Open the store after shipping what is spooled: no daemon is needed to ask."""
    from setpoint.project.keeping import ship_if_free
    from setpoint.project.log import open_log

    path = chosen_store(store)
    try:
        ship_if_free(path)
    except StoreError as error:  # what is spooled is read there all the same
        say(f"not shipped: {error.message}")
    return open_log(path)
