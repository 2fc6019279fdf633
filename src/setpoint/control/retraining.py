"""Begins retrainings: one at a time, and not again for a while; and says which ended without a candidate."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from setpoint.control.episode import Episode
from setpoint.core.clock import text
from setpoint.core.errors import StoreBusy, UsageError
from setpoint.core.model import Model
from setpoint.core.retraining import FAILED_RETRAINING, Retraining
from setpoint.core.rollout import Rollout
from setpoint.store.layout import Layout
from setpoint.store.messages import messages_of
from setpoint.store.retrainings import add_retraining, retrainings_of, update_retraining
from setpoint.store.rollouts import rollouts_of

Train = Callable[[Retraining], None]
"""Sees to it that a retraining that is due is run, without waiting for it."""


def begin(layout: Layout, model: Model, *, reason: str, actor: str) -> Retraining:
    """Write that a model is to be trained anew.

    Raises:
        UsageError: Nobody declared how, or one began a short time ago.
        StoreBusy: One is under way.
    """
    rules, now = model.retraining, layout.clock.now()
    if rules is None:
        msg = f"nobody declared how {model.name} is trained"
        raise UsageError(msg, hint="declare retraining: {command: python train.py}")
    known = retrainings_of(layout, model.name)
    if known and now < known[-1].begun_at + rules.cool_down:
        begun = text(known[-1].begun_at, model.timezone)
        again = text(known[-1].begun_at + rules.cool_down, model.timezone)
        msg = f"{model.name} was trained anew since {begun}; again from {again} on"
        raise UsageError(msg, hint="shorten retraining.cool_down when that is too long")
    one = Retraining(f"{model.name}/{len(known) + 1}", model.name, reason, actor, "due", now)
    add_retraining(layout, one)
    return one


def lease_of(one: Retraining) -> str:
    """Return the lease that the process of a retraining holds as long as it lives."""
    return f"retrain-{one.model}"


def give_up_lost(layout: Layout, model: str) -> None:
    """Write of a retraining whose process is gone how far it came; that it failed, unless somebody was told of it."""
    for one in retrainings_of(layout, model):
        if one.state == "running" and not _is_alive(layout, one):
            said = "its process ended without a word: see log.txt in its folder"
            lost = replace(one, state="failed", ended_at=layout.clock.now(), said=said)
            if message_of(one) in {message.message_id for message in messages_of(layout)}:
                lost = replace(one, state="asked", said="a message is written")
            elif rollout := _candidate(layout, one):
                lost = entered(layout, one, rollout)
            with contextlib.suppress(StoreBusy):  # it ended just now, and said what became of it
                update_retraining(layout, lost, expected=["running"])


def _candidate(layout: Layout, one: Retraining) -> Rollout | None:
    """Return the rollout of the version that a retraining's command has printed; None when none began."""
    path = folder_of(layout, one) / "printed.txt"
    printed = path.read_text(errors="replace").split() if path.exists() else []
    for rollout in rollouts_of(layout, one.model)[-1:]:
        if rollout.started_at >= one.begun_at and printed[-1:] == [rollout.candidate]:
            return rollout
    return None


def entered(layout: Layout, one: Retraining, rollout: Rollout) -> Retraining:
    """Return a retraining whose version is the candidate of a rollout."""
    said = f"{rollout.candidate} is a candidate in shadow: rollout {rollout.rollout_id}"
    return replace(one, state="done", version=rollout.candidate, said=said, ended_at=layout.clock.now())


def folder_of(layout: Layout, one: Retraining) -> Path:
    """Return the folder of a retraining: its data set, and what its command said."""
    return layout.root / "training" / one.retraining_id


def message_of(one: Retraining) -> str:
    """Return the name of the message by which a webhook is asked to train."""
    return f"retraining/{one.retraining_id}"


def _is_alive(layout: Layout, one: Retraining) -> bool:
    try:
        with layout.lease(lease_of(one)):
            return False
    except StoreBusy:
        return True


def failed_retrainings(layout: Layout, model: str) -> list[Episode]:
    """Return each retraining that ended without a candidate, until the next one begins."""
    known = retrainings_of(layout, model)
    return [
        Episode(
            *(FAILED_RETRAINING, "", one.retraining_id, one.begun_at),
            known[n + 1].begun_at if n + 1 < len(known) else None,
            "breach",
            f"retraining {one.retraining_id} failed: {one.said}",
            {"reason": one.reason},
            noticed_at=one.ended_at,
        )
        for n, one in enumerate(known)
        if one.state == "failed"
    ]
