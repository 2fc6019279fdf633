"""Arguments and options that several commands share, and how an answer is printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from setpoint.answers.answer import Answer

ModelName = Annotated[str, typer.Argument(help="The model; may be left out when there is only one.")]
Store = Annotated[
    Path | None,
    typer.Option("--store", help="The store's folder. [default: $SETPOINT_STORE, setpoint.yaml, or ./store]"),
]
AsOf = Annotated[str | None, typer.Option("--as-of", help="Answer as if it were this time (ISO 8601).")]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Over = Annotated[str | None, typer.Option("--over", help='The window: 7d, "last week", or START..END.')]
By = Annotated[
    str, typer.Option("--by", help="One row a group: endpoint, version, version_family, version_age, or a cohort.")
]
ByOrDay = Annotated[
    str, typer.Option("--by", help="One row a group: endpoint, version, version_family, version_age, day, or a cohort.")
]


def chosen_store(store: Path | None) -> Path:
    """Return the store a command works on, and say which declarations beside it do not hold."""
    from setpoint.project.place import not_in_force, store_path

    path = store_path(store)
    if store is None and (wrong := not_in_force()):
        say(f"not in force, what was applied last is: {wrong}")
    return path


def say(words: str) -> None:
    """Print words for a person to stderr."""
    print(words, file=sys.stderr)


def show(answer: Answer, *, as_json: bool) -> None:
    """Print an answer and leave with its exit code."""
    print(json.dumps(answer.to_dict(), indent=2, allow_nan=False) if as_json else answer.text())
    raise typer.Exit(answer.exit_code)
