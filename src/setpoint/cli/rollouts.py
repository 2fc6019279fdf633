"""A candidate on its way: rollout start, status, explain, promote, pause, resume, rollback, watch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from setpoint.cli import rollout
from setpoint.cli.options import Json, Store, chosen_store, say, show

if TYPE_CHECKING:
    from setpoint.control.decision import Action

Model = Annotated[str, typer.Argument(help="The model.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is recorded.")]
Actor = Annotated[str, typer.Option("--actor", help="Who says so. [default: the user]")]


@rollout.command()
def start(
    model: Model,
    candidate: Annotated[str, typer.Argument(help="The version that is to take over.")],
    stable: Annotated[str, typer.Option("--stable", help="The version that answers now. [default: by route]")] = "",
    actor: Actor = "",
    store: Store = None,
) -> None:
    """Begin to give a candidate the units, step by step, as long as it is no worse."""
    from setpoint.control.ownership import undeclared
    from setpoint.project.rollouts import move, start_rollout
    from setpoint.store.layout import Layout

    path = chosen_store(store)
    begun, _ = start_rollout(path, model, candidate, stable=stable, actor=actor)
    missing = undeclared(Layout.open(path).model(model))
    if missing:
        say(f"it stays at 1 % of the units until somebody answers for {model}: declare {', '.join(missing)}")
    moved = move(path, model)
    lines = ", ".join(line.short for line in begun.rules.red_lines)
    where = f"{moved.event.phase} at {100 * moved.event.share:g} %" if moved and moved.event else "a draft"
    print(f"{begun.candidate} is {where}, held against {begun.stable}: {lines}")


@rollout.command()
def status(model: Model, store: Store = None, json: Json = False) -> None:
    """Where does the rollout stand, and what was found?"""
    from setpoint.project.rollouts import status_of

    show(status_of(chosen_store(store), model), as_json=json)


@rollout.command()
def explain(model: Model, store: Store = None, json: Json = False) -> None:
    """Why does it stand there? Every decision, its rule, its numbers and what else could have been."""
    from setpoint.project.rollouts import explain as explained

    show(explained(chosen_store(store), model), as_json=json)


@rollout.command()
def promote(
    model: Model,
    reason: Reason = "",
    actor: Actor = "",
    unowned: Annotated[bool, typer.Option("--unowned", help="Also when nobody answers for it; recorded.")] = False,
    store: Store = None,
) -> None:
    """Give the candidate all units now, whatever the evidence; it is recorded who said so."""
    _override(model, "promote", reason, actor, store, unowned=unowned)


@rollout.command()
def pause(model: Model, reason: Reason = "", actor: Actor = "", store: Store = None) -> None:
    """Leave the shares as they are until `resume`; what is worse is still rolled back."""
    _override(model, "pause", reason, actor, store)


@rollout.command()
def resume(model: Model, reason: Reason = "", actor: Actor = "", store: Store = None) -> None:
    """Go on after a pause, or after the horizon."""
    _override(model, "resume", reason, actor, store)


@rollout.command()
def rollback(model: Model, reason: Reason = "", actor: Actor = "", store: Store = None) -> None:
    """Give all units back to the stable version now."""
    _override(model, "roll_back", reason, actor, store)


@rollout.command()
def rehearse(
    model: Model,
    over: Annotated[str, typer.Option("--over", help="The past requests, such as 7d.")] = "7d",
    runs: Annotated[int, typer.Option("--runs", help="How often each candidate is rehearsed.")] = 20,
    stable: Annotated[
        str, typer.Option("--stable", help="Whose requests; of the version that answers by default.")
    ] = "",
    store: Store = None,
    json: Json = False,
) -> None:
    """What would the red lines have done to past requests, and how long does a rollout take? Changes nothing."""
    from setpoint.project.rollouts import rehearse_rollout

    show(rehearse_rollout(chosen_store(store), model, over=over, runs=runs, stable=stable), as_json=json)


@rollout.command()
def watch(
    model: Model,
    every: Annotated[float, typer.Option("--every", help="Seconds between two looks.")] = 10.0,
    hours: Annotated[float, typer.Option("--for", help="Hours to watch for, at most.")] = 24.0,
    store: Store = None,
    json: Json = False,
) -> None:
    """Look again and again, and do what follows, until the rollout is over."""
    from setpoint.project.rollouts import watch as watched

    until = time.monotonic() + 3600.0 * hours
    show(watched(chosen_store(store), model, every_seconds=every, until=until), as_json=json)


def _override(model: str, action: Action, reason: str, actor: str, store: Store, *, unowned: bool = False) -> None:
    from setpoint.control.rollouts import override
    from setpoint.store.layout import Layout

    moved = override(Layout.open(chosen_store(store)), model, action, actor=actor, reason=reason, unowned=unowned)
    event = moved.event
    where = f"{event.phase} at {100 * event.share:g} %" if event else "where it was"
    generation = f"; route plan {moved.plan.generation} is in force" if moved.plan else ""
    print(f"{moved.rollout.candidate} is {where}: {moved.decision.said}{generation}")
