"""The demo: real flights, replayed through everything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from setpoint.cli import app


@app.command()
def demo(
    store: Annotated[Path, typer.Option("--store", help="Where the demo's store is made.")] = Path("demo-store"),
) -> None:
    """Train on half a year of real flights, replay the other half, and answer the three questions."""
    from setpoint.demo.replay import run

    run(store)
