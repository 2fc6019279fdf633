"""The loop that senses, decides, acts and tells: tick from cron, or run in the foreground."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from setpoint.cli import app
from setpoint.cli.options import Store, chosen_store, say
from setpoint.core.errors import StoreBusy
from setpoint.core.metric import counted
from setpoint.core.verdict import EXIT_INTERNAL

if TYPE_CHECKING:
    from setpoint.control.loop import Tick


@app.command()
def tick(store: Store = None) -> None:
    """Ship, close hours, run the checks, move rollouts, act, tell. Run it from cron; as often as you like."""
    from setpoint.connect.notify import beat, send
    from setpoint.control.loop import tick as run_tick
    from setpoint.project.retraining import training
    from setpoint.project.runbooks import asking
    from setpoint.store.layout import Layout

    path = chosen_store(store)
    try:
        done = run_tick(Layout.open(path), send=send, ask=asking(path), train=training(path), beat=beat)
    except StoreBusy:
        print("another process runs the loop: nothing to do")
        return
    rows = f"{counted(done.shipment.rows, 'recorded row')} moved into the tables" if done.shipment else ""
    shipped = rows or "another process moves rows into the tables"
    noticed = counted(len(done.findings), "new finding")
    print(f"{shipped}, {counted(done.buckets, 'hour')} closed or recomputed, {noticed}")
    for line in _lines(done):
        say(line)
    if done.failing:
        raise typer.Exit(EXIT_INTERNAL)


@app.command()
def run(
    every: Annotated[float, typer.Option("--every", help="Seconds between two looks at rollouts.")] = 10.0,
    ticks: Annotated[float, typer.Option("--tick", help="Seconds between two ticks.")] = 60.0,
    hours: Annotated[float, typer.Option("--for", help="Hours to run for. [default: for good]")] = 0.0,
    store: Store = None,
) -> None:
    """Run the loop in the foreground until it is told to end. Several may run: one of them does the work."""
    from setpoint.connect.notify import beat, send
    from setpoint.control.loop import run as run_loop
    from setpoint.project.retraining import training
    from setpoint.project.runbooks import asking
    from setpoint.store.layout import Layout

    ended = threading.Event()

    def end(_signal: int, _frame: object) -> None:
        ended.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, end)
    path = chosen_store(store)
    layout, ask = Layout.open(path), asking(path)
    say(f"looking every {every:g} s, a tick every {ticks:g} s; another one may run beside it")
    for done in run_loop(
        layout,
        send=send,
        ask=ask,
        train=training(path),
        beat=beat,
        every_seconds=every,
        tick_seconds=ticks,
        for_seconds=hours * 3600.0 or None,
        ended=ended,
    ):
        for line in _lines(done):
            say(line)


def _lines(done: Tick) -> Iterator[str]:
    """Yield what one run of the loop did, in words."""
    for model, one in done.noticed:
        yield f"{model}: new {one.kind} in traffic: {one.subject}"
    for plan in done.tightened:
        yield f"{plan.model}: route plan {plan.generation} is in force: {plan.reason}"
    for moved in done.moved:
        if moved.event is not None:
            yield f"{moved.rollout.model}: {moved.rollout.candidate} is {moved.event.phase}: {moved.decision.said}"
        elif moved.plan is not None:
            yield f"{moved.plan.model}: route plan {moved.plan.generation} is in force: {moved.plan.reason}"
    for one in done.decided:
        how = "done" if one.is_carried_out else "not done, only recorded"
        yield f"{one.model}: {one.decision.action} ({how}): {one.decision.said}"
    for model, repriced in done.repriced:
        yield f"{model}: {repriced.text}"
    for finding in done.findings:
        yield f"{finding.model}: {finding.state} {finding.kind}: {finding.said}"
    yield from _told(done)


def _told(done: Tick) -> Iterator[str]:
    """Yield what people were told, and what could not be looked at."""
    for incident, events in done.incidents:
        yield f"incident {incident.incident_id} is {events[-1].state}: {incident.title}"
    for model, failing in done.failing.items():
        yield f"{model} cannot be looked at: {failing.said}"
    if done.unheard:
        yield f"heartbeat: {done.unheard}"
    for message in done.delivered:
        yield f"{message.address}: {message.state}{f': {message.error}' if message.error else ''}"
