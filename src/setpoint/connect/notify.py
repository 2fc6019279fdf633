"""Delivers messages: to a webhook by HTTP, signed; to anything else that apprise knows."""

from __future__ import annotations

import hashlib
import hmac
import importlib
import json
import os
import time
import urllib.request
from http.client import HTTPException
from typing import Any, cast
from urllib.error import HTTPError, URLError

from setpoint.core.errors import NotDelivered, UsageError
from setpoint.store.messages import Message

TIMEOUT_SECONDS = 5.0


def send(message: Message) -> None:
    """Deliver a message.

    A webhook gets the JSON body with `X-Setpoint-Delivery`, the same on every try, so that a receiver can tell a
    second one; and, with a secret, `X-Setpoint-Signature: t=SECONDS,v1=HEX`, an HMAC-SHA256 of `SECONDS.BODY`.

    Raises:
        NotDelivered: The receiver did not take it.
        UsageError: The address is none of a webhook, and apprise is not installed or does not know it.
    """
    if message.address.startswith(("http://", "https://")):
        _post(message)
    else:
        _notify(message)


def beat(address: str) -> None:
    """Ask an address, so that whoever watches it knows that the loop lives.

    Raises:
        NotDelivered: It did not answer.
    """
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS):  # noqa: S310 — http or https, as declared
            return
    except (URLError, OSError, HTTPException, ValueError) as error:
        msg = f"{address} cannot be reached: {getattr(error, 'reason', error)}"
        raise NotDelivered(msg, hint="the next tick asks again") from error


def signature(secret: str, body: bytes, seconds: int) -> str:
    """Return the signature of a body sent at a time; what a receiver compares with.

    Example:
        >>> signature("key", b"{}", 1)[:11]
        't=1,v1=1ba6'
    """
    signed = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={signed}"


def _post(message: Message) -> None:
    headers = {"Content-Type": "application/json", "X-Setpoint-Delivery": message.message_id}
    if message.signed_with:
        headers["X-Setpoint-Signature"] = signature(_secret(message), message.body, int(time.time()))
    try:
        request = urllib.request.Request(message.address, message.body, headers, method="POST")  # noqa: S310 — http or https
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310 — as above
            return
    except HTTPError as error:
        error.close()
        msg = f"{message.address} answered {error.code}"
    except (URLError, OSError, HTTPException, ValueError) as error:  # the last of an address that is none
        msg = f"{message.address} cannot be reached: {getattr(error, 'reason', error)}"
    raise NotDelivered(msg, hint="it is tried again")


def _secret(message: Message) -> str:
    found = os.environ.get(message.signed_with)
    if found is None:
        msg = (
            f"the environment variable {message.signed_with} is not set, so nothing to {message.address} can be signed"
        )
        raise UsageError(msg, hint="set it where `setpoint tick` or `setpoint run` is started")
    return found


def _notify(message: Message) -> None:
    try:
        apprise = cast("Any", importlib.import_module("apprise"))
    except ImportError as error:
        msg = f"{message.address} is no webhook, and apprise is not installed"
        raise UsageError(msg, hint="pip install 'setpoint[notify]', or use an http address") from error
    body = cast("dict[str, object]", json.loads(message.body))
    service = apprise.Apprise()
    if not service.add(message.address):
        msg = f"apprise knows no address like {message.address}"
        raise UsageError(msg, hint="see its list of services for the spelling")
    told = "\n".join(f"{name}: {value}" for name, value in body.items() if isinstance(value, str))
    if not service.notify(title=str(body["title"]), body=told):
        msg = f"{message.address} did not take a message"
        raise NotDelivered(msg, hint="it is tried again")
