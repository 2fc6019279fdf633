"""What to check and what follows: runbook list, show, run, test."""

from __future__ import annotations

from typing import Annotated

import typer

from setpoint.cli import runbook
from setpoint.cli.options import Store, chosen_store
from setpoint.core.errors import UsageError

_MARKS = {True: "ok", False: "not well", None: "could not be run"}


@runbook.command("list")
def list_(store: Store = None) -> None:
    """The runbooks in force: the project's own, and those that are shipped."""
    from setpoint.control.runbooks import runbooks_of
    from setpoint.store.layout import Layout

    for name, one in sorted(runbooks_of(Layout.open(chosen_store(store))).items()):
        print(f"{name}  version {one.version}  {one.title}: {', '.join(one.when)}")


@runbook.command("show")
def show_(name: Annotated[str, typer.Argument(help="The runbook.")], store: Store = None) -> None:
    """What a runbook checks, what follows, and what to do."""
    from setpoint.control.runbooks import runbooks_of
    from setpoint.store.layout import Layout

    known = runbooks_of(Layout.open(chosen_store(store)))
    if name not in known:
        msg = f"no runbook is called {name!r}"
        raise UsageError(msg, hint=f"known: {', '.join(sorted(known))}")
    one = known[name]
    print(f"{one.title} ({name}, version {one.version})")
    for check in one.checks:
        how = check.query or check.answer or " ".join(check.command)
        print(f"  check {check.name}: {how}\n    expects {check.expect}; otherwise {check.otherwise}")
    for rule in one.decide:
        print(f"  {' and '.join(rule.failed) or 'otherwise'}: {rule.verdict}: {rule.said}")
    for action in one.actions:
        print(f"  do: {action}")
    if one.text:
        print(f"\n{one.text}")


@runbook.command("run")
def run_(
    incident: Annotated[str, typer.Argument(help="The incident, or its number.")],
    name: Annotated[str, typer.Option("--runbook", help="Which. [default: the one that is for it]")] = "",
    store: Store = None,
) -> None:
    """Run the checks of a runbook against an incident, and write what they saw into its timeline."""
    from setpoint.project.runbooks import run_for

    found, book, results, rule = run_for(chosen_store(store), incident, name)
    print(f"{found.incident_id}: {book.title} ({book.name}, version {book.version})")
    for one in results:
        print(f"  {one.name}: {_MARKS[one.is_well]}: {one.said}")
    if rule is not None:
        print(f"  {rule.verdict}: {rule.said}")


@runbook.command("test")
def try_all_(store: Store = None) -> None:
    """Run every check of every runbook against the last incident, changing nothing; fails when one cannot be run."""
    from setpoint.project.runbooks import try_all

    broken = 0
    for book, results in try_all(chosen_store(store)):
        failed = [one for one in results if one.is_well is None]
        broken += len(failed)
        print(f"{book.name}: {len(results) - len(failed)} of {len(results)} checks can be run")
        for one in failed:
            print(f"  {one.name}: {one.said}")
    raise typer.Exit(1 if broken else 0)
