"""The file of a route plan: replaced whole, with a checksum, so that a reader knows a torn one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from setpoint.core.errors import DeclarationError, StoreError
from setpoint.core.route_plan import RoutePlan


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
    except (msgspec.MsgspecError, DeclarationError) as error:
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


def _checksum(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=8).hexdigest()
