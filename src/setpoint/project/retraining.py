"""Trains a model anew: builds its data set, runs the team's command, and makes what came of it a candidate."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.control.retraining import Train, begin, entered, folder_of, lease_of, message_of
from setpoint.core.clock import MICROS, duration_text, text
from setpoint.core.errors import NotTrained, SetpointError, StoreBusy, UsageError
from setpoint.core.metric import counted
from setpoint.core.model import NAME_PATTERN, Model
from setpoint.core.retraining import UNDER_WAY, Retraining, RetrainingRules
from setpoint.core.verdict import Verdict
from setpoint.project.datasets import Built, build
from setpoint.project.keeping import ship_if_free
from setpoint.project.rollouts import start_rollout
from setpoint.store.layout import Layout
from setpoint.store.messages import SCHEMA, Message, put_message
from setpoint.store.retrainings import retrainings_of, update_retraining

COLUMNS = ("retraining", "model", "state", "actor", "begun_at", "ended_at", "version", "reason", "said")
_SHOWN = ("retraining", "state", "since", "version", "")


def begin_retraining(store: Path, model: str, *, reason: str, actor: str = "") -> Retraining:
    """Write that a model is to be trained anew; `run_retraining`, or the next tick, does it."""
    layout = Layout.open(store)
    return begin(layout, layout.model(model), reason=reason, actor=actor or getpass.getuser())


def training(store: Path) -> Train:
    """Return what starts retrainings that are due, each in a process of its own that lives on without this one."""

    def train(one: Retraining) -> None:
        log = folder_of(Layout.open(store), one) / "log.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "setpoint", "retrain", "run", one.retraining_id, "--store", str(store)]
        with log.open("ab") as file:
            process = subprocess.Popen(  # noqa: S603 — our own command line
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        # Waited for, so that no zombie is left while this process lives.
        threading.Thread(target=process.wait, name=one.retraining_id, daemon=True).start()

    return train


def run_retraining(store: Path, retraining_id: str) -> Retraining:
    """Run a retraining that is due, and return what became of it. It takes as long as the team's command.

    Raises:
        UsageError: There is none of this name.
        StoreBusy: Somebody else runs it, or did.
    """
    layout = Layout.open(store)
    one = _find(layout, retraining_id)
    with layout.lease(lease_of(one)):
        running = replace(one, state="running")
        update_retraining(layout, running, expected=["due"])
        try:
            done = _trained(layout, running)
        except (SetpointError, OSError) as error:
            said = error.message if isinstance(error, SetpointError) else str(error)
            done = replace(running, state="failed", said=said, ended_at=layout.clock.now())
        update_retraining(layout, done, expected=["running"])
    return done


def enter(store: Path, retraining_id: str, version: str) -> Retraining:
    """Write which version came of a retraining that a webhook was asked for, and make it a candidate.

    Raises:
        UsageError: Nobody waits for it, or this is no name of a version.
    """
    layout = Layout.open(store)
    one = _find(layout, retraining_id)
    if one.state != "asked":
        msg = f"retraining {one.retraining_id} is {one.state}"
        raise UsageError(msg, hint="only one that a webhook was asked for waits for a version")
    done = _entered(layout, one, version)
    update_retraining(layout, done, expected=["asked"])
    return done


def list_retrainings(store: Path, model: str = "") -> Answer:
    """Return every retraining, the latest first."""
    layout = Layout.open(store)
    known = retrainings_of(layout, layout.model(model).name if model else "")[::-1]
    rows: list[tuple[Cell, ...]] = [
        (
            *(one.retraining_id, one.model, one.state, one.actor, one.begun_at, one.ended_at),
            *(one.version, one.reason, one.said),
        )
        for one in known
    ]
    lines = [
        (one.retraining_id, one.state, text(one.begun_at, "UTC"), one.version, one.said or one.reason) for one in known
    ]
    under_way = sum(one.state in UNDER_WAY for one in known)
    verdict = Verdict.WARNING if known and known[0].state == "failed" else Verdict.OK
    return Answer(
        "retrainings",
        model,
        verdict,
        f"{counted(len(known), 'retraining')}, {under_way} under way",
        (),
        (),
        layout.clock.now(),
        "UTC",
        (Table("retrainings", COLUMNS, rows, _SHOWN, lines),),
    )


def _find(layout: Layout, retraining_id: str) -> Retraining:
    for one in retrainings_of(layout):
        if one.retraining_id == retraining_id:
            return one
    msg = f"no retraining is called {retraining_id!r}"
    raise UsageError(msg, hint="see `setpoint retrain list`")


def _trained(layout: Layout, one: Retraining) -> Retraining:
    """Build the data set, and have a version made of it."""
    model = layout.model(one.model)
    rules = model.retraining
    if rules is None:
        msg = f"nobody declares any more how {model.name} is trained"
        raise UsageError(msg, hint="declare retraining: {command: python train.py}")
    folder = folder_of(layout, one)
    ship_if_free(layout.root)
    built = build(layout, one.model, folder / "examples.parquet", over=rules.over)
    if not built.selection.kept:
        msg = "no prediction may be trained on"
        raise UsageError(msg, hint=f"the reasons are in {built.excluded}")
    if rules.webhook:
        return _asked(layout, one, rules, built)
    return _entered(layout, one, _run(rules, _told(layout, one, built), folder))


def _told(layout: Layout, one: Retraining, built: Built) -> Mapping[str, str]:
    return {
        "SETPOINT_MODEL": one.model,
        "SETPOINT_RETRAINING": one.retraining_id,
        "SETPOINT_STORE": str(layout.root),
        "SETPOINT_DATASET": str(built.path.resolve()),
        "SETPOINT_DATASET_LOCK": str(built.lock.resolve()),
    }


def _asked(layout: Layout, one: Retraining, rules: RetrainingRules, built: Built) -> Retraining:
    now = layout.clock.now()
    person = layout.contacts().on_call(rules.webhook, now)
    body = {
        "schema": SCHEMA,
        "model": one.model,
        "title": f"{one.model} is to be trained anew: {one.reason}",
        "retraining": one.retraining_id,
        "dataset": str(built.path.resolve()),
        "dataset_lock": str(built.lock.resolve()),
        "examples": built.selection.kept,
        "next": f"setpoint retrain done {one.retraining_id} VERSION",
    }
    put_message(layout, Message.to(person, message_of(one), body, now))
    return replace(one, state="asked", said=f"{person.name} is told")


def _run(rules: RetrainingRules, told: Mapping[str, str], folder: Path) -> str:
    """Run the team's command, and return the last line that it prints."""
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 — the team declared it, word by word; no shell reads it
            rules.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **told},
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=rules.timeout / MICROS)
        except subprocess.TimeoutExpired as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            msg = f"the command took longer than {duration_text(rules.timeout)}"
            raise NotTrained(msg, hint="raise retraining.timeout") from error
    (folder / "printed.txt").write_bytes(printed)
    if process.returncode:
        said = _last_line((folder / "log.txt").read_bytes())
        msg = f"the command ended with {process.returncode}{f': {said}' if said else ''}"
        raise NotTrained(msg, hint=f"all that it said is in {folder / 'log.txt'}")
    return _last_line(printed)


def _last_line(printed: bytes) -> str:
    lines = printed.decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _entered(layout: Layout, one: Retraining, version: str) -> Retraining:
    """Make a new version the candidate of a rollout that begins in shadow."""
    if not re.fullmatch(NAME_PATTERN, version):
        msg = f"found {version!r} as the name of the new version, expected letters, digits, dots and dashes"
        raise UsageError(msg, hint="the command's last line is the version's name, such as v13")
    model: Model = layout.model(one.model)
    shadow = model.retraining.shadow if model.retraining else 0
    try:
        rollout, _ = start_rollout(layout.root, one.model, version, actor=one.actor, least_shadow=shadow)
        return entered(layout, one, rollout)
    except (StoreBusy, UsageError) as error:
        said = f"{version} is trained, and no candidate yet: {error.message}"
    return replace(one, state="done", version=version, said=said, ended_at=layout.clock.now())
