"""Looking after a store: doctor, gc, forget, import, change."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from typing import Annotated

import typer

from setpoint.cli import app, change
from setpoint.cli.options import Json, Store, chosen_store, say, show
from setpoint.core.clock import moment, parse_duration, parse_time
from setpoint.core.errors import StoreReadOnly, UsageError
from setpoint.core.events import CHANGE_KINDS
from setpoint.core.metric import counted


@app.command()
def doctor(store: Store = None, json: Json = False) -> None:
    """Is Setpoint itself well? Lag, loss window, drops, quarantine, disk, versions."""
    from setpoint.project.doctor import doctor as examine

    show(examine(chosen_store(store)), as_json=json)


@app.command()
def clock(
    at: Annotated[str, typer.Argument(help="Let a new store's clock stand at this time (ISO 8601).")] = "",
    store: Store = None,
) -> None:
    """What time is it for the store? One for old files stands still, and says 'now' as of their end."""
    from setpoint.project.keeping import replay_clock

    print(replay_clock(chosen_store(store), at))


@app.command()
def gc(store: Store = None) -> None:
    """Let go of days beyond the declared retention; never of those whose outcomes may still come."""
    from setpoint.project.keeping import collect_garbage

    for model, done in collect_garbage(chosen_store(store)).items():
        said = f"days before {done.before} are gone ({done.files} files)" if done.before else "nothing to let go"
        print(f"{model}: {said}; {done.why}; {done.deleted} unused files deleted")


@app.command()
def forget(
    model: Annotated[str, typer.Argument(help="The model.")],
    key: Annotated[str, typer.Option("--key", help="The join key to forget.")] = "",
    unit: Annotated[str, typer.Option("--unit", help="The unit to forget, such as a user.")] = "",
    store: Store = None,
) -> None:
    """Erase all that was recorded of a key or a unit, and search every byte for what is left."""
    from setpoint.project.keeping import forget_unit

    done = forget_unit(chosen_store(store), model, key=key, unit=unit)
    print(f"{counted(done.total, 'row')} erased; no trace is left in the store")
    for table, count in done.rows.items():
        say(f"{table}: {count:,}")


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="A Parquet, CSV or NDJSON file or pattern.")],
    model: Annotated[str, typer.Option("--model", help="The model's name.")],
    outcomes: Annotated[bool, typer.Option("--outcomes", help="The file holds outcomes.")] = False,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="The file holds what another version would have answered to the same.")
    ] = False,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="ROLE=COLUMN, such as time=ts; repeatable.")
    ] = None,
    tz: Annotated[str, typer.Option("--timezone", help="The zone of times without one.")] = "",
    version: Annotated[str | None, typer.Option("--version", help="The version of rows that carry none.")] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="The batch-scoring run this is.")] = None,
    kind: Annotated[str, typer.Option("--kind", help="The kind of outcomes. [default: the final one]")] = "",
    store: Store = None,
) -> None:
    """Put history from a file into the store. The same file twice changes nothing."""
    from setpoint.project.keeping import import_file

    if outcomes and shadow:
        msg = "--outcomes and --shadow do not go together: outcomes are of requests, whichever version answered"
        raise UsageError(msg, hint="leave one of them out")
    done, notes = import_file(
        chosen_store(store),
        model,
        file,
        outcomes=outcomes,
        columns=_mapping(mapping or []),
        tz=tz,
        version=version,
        run_id=run_id,
        kind=kind,
        shadow=shadow,
    )
    for note in notes:
        say(note)
    if done.is_repeat:
        print("this file was imported before: nothing to do")
        return
    along = [counted(done.outcomes, "outcome")] if done.outcomes else []
    along += [counted(done.costs, "cost")] if done.costs else []
    aside = f", {done.quarantined:,} put aside in quarantine" if done.quarantined else ""
    what = counted(done.rows, "outcome" if outcomes else "prediction")
    where = " in shadow" if shadow else ""
    if shadow and done.rows:
        say(f"next: `setpoint worth {model} {version or 'VERSION'} --over STABLE` holds them against what was answered")
    print(f"{what}{where}{' with ' if along else ''}{' and '.join(along)} imported{aside}")


def _mapping(pairs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        role, separator, column = pair.partition("=")
        if not separator:
            msg = f"not a mapping: {pair!r}"
            raise UsageError(msg, hint="write it as --map time=COLUMN")
        found[role] = column
    return found


@change.command("add")
def add(
    model: Annotated[str, typer.Argument(help="The model.")],
    kind: Annotated[str, typer.Argument(help="deploy, config, feature, price, prompt, policy, promotion or holiday.")],
    subject: Annotated[str | None, typer.Option("--subject", help="What was changed, such as a version.")] = None,
    start: Annotated[str | None, typer.Option("--start", help="Since when. [default: now]")] = None,
    end: Annotated[str | None, typer.Option("--end", help="Until when. [default: for good]")] = None,
    expected: Annotated[str | None, typer.Option("--expected", help="What it is expected to move.")] = None,
    note: Annotated[str | None, typer.Option("--note", help="Anything else.")] = None,
    store: Store = None,
) -> None:
    """Say what was changed on purpose: answers name it beside what it may explain."""
    from setpoint.predictions.recorder import Recorder
    from setpoint.store.layout import Layout

    kind = _KIND_SYNONYMS.get(kind, kind)
    if kind not in CHANGE_KINDS:
        near = difflib.get_close_matches(kind, CHANGE_KINDS, n=1)
        msg = f"no kind of change is called {kind!r}"
        raise UsageError(msg, hint=f"did you mean {near[0]}?" if near else f"kinds: {', '.join(CHANGE_KINDS)}")
    layout = Layout.open(chosen_store(store))
    zone = layout.model(model).timezone
    started_at = _moment(start, zone) or moment(layout.clock.now())
    ended_at = _moment(end, zone)
    if ended_at is not None and ended_at < started_at:
        msg = f"the change ends before it starts: --end {end} is before {start or 'now'}"
        raise UsageError(msg, hint="give the earlier time as --start")
    recorder = Recorder(layout, model)
    recorder.change(
        kind,
        subject,
        started_at=started_at,
        ended_at=ended_at,
        expected=expected,
        note=note,
    )
    if not recorder.close():
        msg = f"the change could not be written: {recorder.spool.last_error}"
        raise StoreReadOnly(msg, hint="check the permissions of the store")
    print(f"noted: {kind} {subject or ''}".rstrip())


@app.command()
def snapshot(
    model: Annotated[str, typer.Argument(help="The model.")],
    reason: Annotated[str, typer.Option("--reason", help="Why its present quality is fine.")],
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Such as auc; more than one may be given. [default: the first]")
    ] = None,
    over: Annotated[str, typer.Option("--over", help="What is measured: one to four weeks.")] = "28d",
    expires: Annotated[str, typer.Option("--expires", help="How long the bar holds.")] = "90d",
    author: Annotated[str | None, typer.Option("--author", help="Who says so. [default: the user]")] = None,
    store: Store = None,
) -> None:
    """Freeze the present quality as what is expected from now on. Lowering a bar is a recorded change."""
    import getpass

    from setpoint.project.freezing import Freeze, freeze
    from setpoint.store.layout import Layout

    asked = Freeze(reason, author or getpass.getuser(), tuple(metric or ()), over, parse_duration(expires))
    for words in freeze(Layout.open(chosen_store(store)), model, asked):
        print(f"expected from now on: {words}")


# The concept is called a feature version, its kind of change `feature`.
_KIND_SYNONYMS = {"feature version": "feature", "feature_version": "feature", "feature-version": "feature"}


def _moment(value: str | None, zone: str) -> datetime | None:
    return None if value is None else moment(parse_time(value, zone)).astimezone(UTC)
