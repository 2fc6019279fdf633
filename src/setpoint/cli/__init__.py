"""The command line: parse, call, print. No logic.

Data goes to stdout, words to stderr. Exit codes: 0 ok or warning, 1 breach, 2 usage, 3 not enough
evidence, 4 source silent, 5 internal error.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from setpoint.core.errors import SetpointError
from setpoint.core.verdict import EXIT_INTERNAL, EXIT_USAGE

ORDER = (
    "init", "declare", "plan", "apply", "import", "clock", "models",
    "status", "diff", "cost", "worth", "why", "quality", "outcomes", "cohorts", "objectives", "meter", "metrics",
    "snapshot", "check", "contract", "evaluate", "dataset", "profile", "change", "price",
    "tick", "run", "incident", "runbook", "route", "rollout", "cascade", "retrain",
    "doctor", "gc", "forget", "demo",
)  # fmt: skip
"""The commands as a new user comes to them: declare, ask, promise, act, keep."""


class _InOrder(TyperGroup):
    """Lists commands in that order, whatever file they stand in."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 — typer's own copy of click has no public types
        return sorted(super().list_commands(ctx), key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


app = typer.Typer(
    name="setpoint",
    cls=_InOrder,
    help="Is this model still working? What changed? What does a correct prediction cost?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
change = typer.Typer(help="Say what was changed on purpose.", no_args_is_help=True)
app.add_typer(change, name="change")
dataset = typer.Typer(help="Predictions that may be trained on, as files that can be made again.", no_args_is_help=True)
app.add_typer(dataset, name="dataset")
contract = typer.Typer(help="What inputs promise, in the notations of others.", no_args_is_help=True)
app.add_typer(contract, name="contract")
price = typer.Typer(help="What providers charge, and which calls nobody has a price for.", no_args_is_help=True)
app.add_typer(price, name="price")
cascade = typer.Typer(help="A cheap version first, an expensive one for hard cases.", no_args_is_help=True)
app.add_typer(cascade, name="cascade")
rollout = typer.Typer(help="A candidate takes over step by step, or is rolled back.", no_args_is_help=True)
app.add_typer(rollout, name="rollout")
incident = typer.Typer(help="What is wrong, since when, and what is done about it.", no_args_is_help=True)
app.add_typer(incident, name="incident")
demo = typer.Typer(help="Real data, replayed through everything.")
app.add_typer(demo, name="demo")
retrain = typer.Typer(help="Train a model anew: a data set by policy, a command, a candidate.", no_args_is_help=True)
app.add_typer(retrain, name="retrain")
runbook = typer.Typer(help="What to check when something is wrong, and what follows.", no_args_is_help=True)
app.add_typer(runbook, name="runbook")


def main() -> None:
    """Run the command line; every failure becomes words and an exit code, never a traceback."""
    try:
        with _ending_with_its_reader():
            _command()()
    except SetpointError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        raise SystemExit(EXIT_USAGE) from None
    except Exception as error:  # the last resort: whatever it is, the user gets words
        if os.environ.get("SETPOINT_DEBUG"):
            raise
        print(f"internal error: {type(error).__name__}: {error}", file=sys.stderr)
        print("hint: run it again with SETPOINT_DEBUG=1 and report what it prints", file=sys.stderr)
        raise SystemExit(EXIT_INTERNAL) from None


@cache
def _command() -> Callable[[], object]:
    """Return all commands, put together once: that takes longer than many of them do."""
    import_module("setpoint.cli.commands")  # registers them
    return typer.main.get_command(app)


@contextmanager
def _ending_with_its_reader() -> Generator[None]:
    """Let `| head` end us as it ends any tool, not with exit code 1; but not who calls us, at a socket of theirs."""
    if not hasattr(signal, "SIGPIPE"):
        yield
        return
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        yield
    finally:
        sys.stdout.flush()
        signal.signal(signal.SIGPIPE, before)
