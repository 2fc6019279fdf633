"""What is wrong, and what people do about it: incident list, show, ack, mitigate, resolve, review, note, stats ..."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from setpoint.cli import incident
from setpoint.cli.options import Json, Store, chosen_store, say, show

if TYPE_CHECKING:
    from setpoint.core.incident import EventKind

Name = Annotated[str, typer.Argument(help="The incident, or its number.")]
Words = Annotated[str, typer.Option("--said", help="What is to be written beside it.")]
Actor = Annotated[str, typer.Option("--actor", help="Who says so. [default: the user]")]


@incident.command("list")
def list_(store: Store = None, json: Json = False) -> None:
    """What is wrong now? Open incidents first, then the others, and what nobody has to look at now."""
    from setpoint.project.incidents import list_incidents

    show(list_incidents(chosen_store(store)), as_json=json)


@incident.command("show")
def show_(name: Name, store: Store = None, json: Json = False) -> None:
    """What happened? Findings, decisions, changes and what people said, in the order of time."""
    from setpoint.project.incidents import show_incident

    show(show_incident(chosen_store(store), name), as_json=json)


@incident.command()
def ack(name: Name, said: Words = "", actor: Actor = "", store: Store = None) -> None:
    """Say that somebody looks: nobody is paged again."""
    _move(name, "acked", said, actor, store)


@incident.command()
def mitigate(name: Name, said: Words = "", actor: Actor = "", store: Store = None) -> None:
    """Say that it does no more harm."""
    _move(name, "mitigated", said, actor, store)


@incident.command()
def resolve(name: Name, said: Words = "", actor: Actor = "", store: Store = None) -> None:
    """Say that it is over; incidents that checks found end by themselves when what was found does."""
    _move(name, "resolved", said, actor, store)


@incident.command()
def note(name: Name, words: Annotated[str, typer.Argument(help="What to write.")], store: Store = None) -> None:
    """Write something into the timeline."""
    _move(name, "note", words, "", store)


@incident.command()
def review(
    name: Name,
    done: Annotated[bool, typer.Option("--done", help="It was reviewed.")] = False,
    actor: Actor = "",
    store: Store = None,
) -> None:
    """Print the review in Markdown, filled in as far as is known."""
    from setpoint.project.incidents import review_text

    print(review_text(chosen_store(store), name))
    if done:
        _move(name, "reviewed", "", actor, store)


@incident.command()
def report(
    model: Annotated[str, typer.Argument(help="The model.")],
    words: Annotated[str, typer.Argument(help="What is wrong.")],
    actor: Actor = "",
    store: Store = None,
) -> None:
    """Open an incident that a person found; what found incidents is counted, people included."""
    from setpoint.project.incidents import report as reported

    opened, _ = reported(chosen_store(store), model, words, actor=actor)
    print(f"{opened.incident_id} is open")


@incident.command()
def stats(store: Store = None, json: Json = False) -> None:
    """How quickly are incidents seen and mended? Medians by model and by what found them."""
    from setpoint.project.incidents import stats as counted

    show(counted(chosen_store(store)), as_json=json)


@incident.command()
def silence(
    model: Annotated[str, typer.Argument(help="The model, or all.")],
    length: Annotated[str, typer.Option("--for", help="How long, such as 2h; it always ends.")],
    reason: Annotated[str, typer.Option("--reason", help="Why.")],
    since: Annotated[str, typer.Option("--from", help="When it begins: a maintenance window. [default: now]")] = "",
    kind: Annotated[str, typer.Option("--kind", help="Only findings of this kind.")] = "",
    actor: Actor = "",
    store: Store = None,
) -> None:
    """Tell nobody about a model for a while: a maintenance window, or a known fault."""
    from setpoint.project.incidents import silence as silenced

    path = chosen_store(store)
    print(silenced(path, model, kind=kind, length=length, reason=reason, actor=actor, since=since))


@incident.command("test-page")
def prove(model: Annotated[str, typer.Argument(help="The model.")], store: Store = None) -> None:
    """Prove that whoever is on call for a model can be told."""
    from setpoint.connect.notify import send
    from setpoint.project.incidents import prove_delivery

    sent = prove_delivery(chosen_store(store), model, send)
    print(f"{sent.address}: {sent.state}{f': {sent.error}' if sent.error else ''}")
    raise typer.Exit(0 if sent.state == "delivered" else 1)


def _move(name: str, kind: EventKind, said: str, actor: str, store: Store) -> None:
    from setpoint.project.incidents import move

    moved, events = move(chosen_store(store), name, kind, actor=actor, said=said)
    say(f"{moved.incident_id} is {events[-1].state}")
