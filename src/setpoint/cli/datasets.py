"""Training data: build, and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from setpoint.cli import dataset
from setpoint.cli.options import AsOf, Json, Store, chosen_store, say, show
from setpoint.core.errors import UsageError
from setpoint.core.metric import counted


@dataset.command("build")
def build(
    model: Annotated[str, typer.Argument(help="The model; left out with --lock.")] = "",
    out: Annotated[Path, typer.Option("--out", help="The Parquet file to write.")] = Path("dataset.parquet"),
    over: Annotated[str, typer.Option("--over", help="Predictions of this window. [default: all]")] = "",
    lock: Annotated[Path | None, typer.Option("--lock", help="Build the data set of this lock again.")] = None,
    as_of: AsOf = None,
    store: Store = None,
) -> None:
    """Write the predictions that may be trained on, by the declared policy, with a lock that can make them again."""
    from setpoint.project.datasets import build as build_dataset
    from setpoint.project.datasets import rebuild
    from setpoint.project.keeping import ship_if_free
    from setpoint.store.layout import Layout

    if bool(model) == (lock is not None):
        msg = "name the model" if lock is None else "a lock names its model"
        raise UsageError(msg, hint="setpoint dataset build MODEL, or setpoint dataset build --lock FILE")
    if lock is not None and (over or as_of):
        msg = "a lock says which window, and as of when"
        raise UsageError(msg, hint="leave --over and --as-of out")
    path = chosen_store(store)
    ship_if_free(path)
    layout = Layout.open(path)
    if lock is None:
        made = build_dataset(layout, model, out, over=over, as_of=as_of or "")
    else:
        made = rebuild(layout, lock, out)
    selection = made.selection
    print(f"{counted(selection.kept, 'example')} of {counted(selection.rows, 'prediction')} in {made.path}")
    for reason, count in selection.excluded.items():
        print(f"  {count:,} excluded: {reason}")
    print(f"lock: {made.lock}, content {made.content_hash[:12]}")
    for words in made.said:
        say(f"warning: {words}")


@dataset.command("diff")
def diff(
    first: Annotated[Path, typer.Argument(help="The earlier data set.")],
    second: Annotated[Path, typer.Argument(help="The later one.")],
    json: Json = False,
) -> None:
    """What differs between two data sets: rows, outcomes, reasons and features."""
    from setpoint.project.datasets import dataset_diff

    show(dataset_diff(first, second), as_json=json)
