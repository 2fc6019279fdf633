"""The file of a route plan: replaced whole, with a checksum, so that a reader knows a torn one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from setpoint.core.errors import DeclarationError, StoreError
from setpoint.core.route_plan import RoutePlan
from setpoint.store.layout import Layout


class _File(msgspec.Struct):
    checksum: str
    plan: msgspec.Raw


def encoded(plan: RoutePlan) -> bytes:
    """Return a plan as the bytes of its file, on one line."""
    body = msgspec.json.encode(plan)
    return msgspec.json.encode(_File(_checksum(body), msgspec.Raw(body)))


def decoded(content: bytes, path: Path) -> RoutePlan:
    """Return the plan in the bytes of its file.

    Args:
        content: The bytes.
        path: Where they are from, for the error.

    Raises:
        StoreError: They are not what was written.
    """
    try:
        file = msgspec.json.decode(content, type=_File)
        body = bytes(file.plan)
        if _checksum(body) == file.checksum:
            return msgspec.json.decode(body, type=RoutePlan)
        fault = "its checksum differs"
    except (msgspec.MsgspecError, DeclarationError, UnicodeDecodeError, RecursionError) as error:
        fault = str(error)
    msg = f"{path} is damaged: {fault}"
    raise StoreError(msg, hint="run `setpoint apply` again; services go on with the last good plan")


def read_plan(path: Path) -> RoutePlan | None:
    """Return the plan of a file; None when there is none.

    Raises:
        StoreError: It is damaged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return decoded(content, path)


def last_plan(layout: Layout, model: str) -> RoutePlan | None:
    """Return the plan in force, also when its file is gone or damaged: every plan is in the history too."""
    try:
        found = read_plan(layout.route(model))
    except StoreError:
        found = None
    plans = history(layout, model) if found is None else [found]
    return plans[-1] if plans else None


def plans_in_force(layout: Layout, model: str) -> list[RoutePlan]:
    """Return every plan of a model up to the one in force, which is the last."""
    last = last_plan(layout, model)
    # The history may end with one that a crash kept from coming into force.
    return [plan for plan in history(layout, model) if last is not None and plan.generation <= last.generation]


def history(layout: Layout, model: str) -> list[RoutePlan]:
    """Return every plan of a model, oldest first; a line that a crash tore is left out."""
    path = history_path(layout.route(model))
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found: list[RoutePlan] = []
    for line in lines:
        try:
            found.append(decoded(line, path))
        except StoreError:
            continue
    return found


def history_path(path: Path) -> Path:
    """Return the file of every plan that was, beside that of the one in force."""
    return path.with_suffix(".ndjson")


def _checksum(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=8).hexdigest()
