"""Profiles as files: profile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from setpoint.cli import app
from setpoint.cli.options import say


@app.command()
def profile(
    file: Annotated[str, typer.Argument(help="The rows: Parquet, CSV or NDJSON.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write. [default: FILE.profile]")
    ] = None,
    time: Annotated[
        str, typer.Option("--time", help="The column that says when each row was: then days are told apart.")
    ] = "",
    tz: Annotated[str, typer.Option("--tz", "--timezone", help="The zone whose days count.")] = "UTC",
    inputs: Annotated[str, typer.Option("--inputs", help="The columns: a,b,c. [default: all but the time]")] = "",
) -> None:
    """Write how a table looks into a file, to compare other rows with; no row is in it."""
    from setpoint.core.metric import counted
    from setpoint.project.saved_profiles import save_profile

    path = output or Path(f"{Path(file.replace('*', '_')).stem}.profile")
    chosen = [one.strip() for one in inputs.split(",")] if inputs else None
    saved = save_profile(file, path, time=time, tz=tz, inputs=chosen)
    days = saved.reach or "all rows as one day: name their times with --time"
    say(f"{path}: {counted(len(saved.kinds), 'column')}, {days}, {path.stat().st_size / 1000:.0f} KB")
    for odd in saved.said:
        say(f"  {odd}")
