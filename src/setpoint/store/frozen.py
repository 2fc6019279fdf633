"""The expectations that `setpoint snapshot` froze: who set each bar, why, and until when it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from setpoint.core.errors import StoreError
from setpoint.core.model import Expectation, Model
from setpoint.store.layout import Layout, write_atomically, writing

LEASE = "snapshot"


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """One frozen expectation. Nothing is overwritten: a later one of the same metric takes its place.

    Attributes:
        expectation: The bar; its source says what was measured, and on which window.
        author: Who froze it.
        reason: Why.
        frozen_at: When, microseconds.
    """

    expectation: Expectation
    author: str
    reason: str
    frozen_at: int


def read_frozen(layout: Layout, model: str) -> list[Frozen]:
    """Return all that was ever frozen of a model, oldest first.

    Raises:
        StoreError: The file is damaged.
    """
    path = _path(layout, model)
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Frozen])
    except FileNotFoundError:
        return []
    except msgspec.MsgspecError as error:
        msg = f"{path} is damaged: {error}"
        raise StoreError(msg, hint="delete it, and take the snapshots anew") from error


def add_frozen(layout: Layout, model: str, frozen: Sequence[Frozen]) -> None:
    """Add frozen expectations.

    Raises:
        StoreBusy: Another process adds some.
        StoreReadOnly: The store cannot be written.
    """
    with layout.lease(LEASE), writing(layout.root):
        path = _path(layout, model)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, msgspec.json.encode([*read_frozen(layout, model), *frozen]))


def with_frozen(model: Model, frozen: Sequence[Frozen], at: int) -> Model:
    """Return a model with the latest frozen expectation of each metric that it declares no bar for, as of a time."""
    declared = {one.metric for one in model.expectations}
    latest = {one.expectation.metric: one.expectation for one in frozen if one.frozen_at <= at}
    found = tuple(expectation for metric, expectation in latest.items() if metric not in declared)
    return replace(model, expectations=(*model.expectations, *found)) if found else model


def _path(layout: Layout, model: str) -> Path:
    return layout.root / "snapshots" / f"{model}.json"
