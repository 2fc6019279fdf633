"""A billed attempt as it is recorded: its tokens by class, and its price by the book in force."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import cast

from setpoint.core.events import Call
from setpoint.core.money import NANO
from setpoint.core.prices import TOKEN_CLASSES, PriceBook
from setpoint.core.usage import NO_COUNT, token_fields, whole


def priced_call(book: PriceBook, usage: object, fields: Mapping[str, object]) -> Call:
    """Return a call, priced unless its cost is known; one that cannot be read has the error `unreadable` and no cost.

    One that was never sent, with the error `unreachable`, costs nothing.

    Args:
        book: What providers charge.
        usage: What the provider reported; what is no mapping is left out.
        fields: The fields of the call, which go before what was reported. A cost that is none counts as unknown.
    """
    reported = token_fields(cast("Mapping[str, object]", usage)) if isinstance(usage, Mapping) else {}
    if not _NAMES.issuperset(fields):
        known = {name: fields[name] for name in ("call_id", "prediction_id", "called_at", "recorded_at")}
        return Call(**known, error=UNREADABLE)  # pyright: ignore[reportArgumentType] — as below
    call = Call(**{**reported, **fields})  # pyright: ignore[reportArgumentType] — checked by the struct's names
    for name in _COUNTS:  # what a table would not keep as it was told must not be priced without it later on
        if (told := cast("object", getattr(call, name))) is not None:
            setattr(call, name, NO_COUNT if (count := whole(told)) is None else count)
    if call.cost_nano_usd is not None:
        call.cost_nano_usd = _cost(call.cost_nano_usd)
    elif call.error == UNREACHABLE:
        call.cost_nano_usd = 0
    else:
        priced = book.cost(call)
        call.cost_nano_usd, call.price_id = priced.nano_usd, priced.price_id
    return call


UNREADABLE = "unreadable"
UNREACHABLE = "unreachable"
"""The error of a call that was never sent: nobody bills it."""
_NAMES = frozenset(Call.__struct_fields__)
_COUNTS = (*(f"{name}_tokens" for name in TOKEN_CLASSES), "tool_requests")
_MOST_NANO = 1_000_000 * NANO
"""Nobody bills a million dollars for a call."""


def _cost(told: object) -> int | None:
    """Return what a call is said to have cost; None when that is no whole number of nano-dollars, or an absurd one."""
    found = whole(told)
    return found if found is not None and 0 <= found < _MOST_NANO else None


def known_usd(book: PriceBook, calls: Sequence[Mapping[str, object]], at: int) -> float:
    """Return what calls cost together, as far as that is known.

    Args:
        book: What providers charge.
        calls: The fields of each that are known.
        at: When they were made, microseconds.
    """
    nobody = {"call_id": "", "prediction_id": "", "called_at": at, "recorded_at": at}
    told = [{name: value for name, value in call.items() if name != "usage"} for call in calls]
    priced = (priced_call(book, call.get("usage"), {**nobody, **one}) for call, one in zip(calls, told, strict=True))
    return sum(one.cost_nano_usd or 0 for one in priced) / NANO


def prompt_version(template: str) -> str | None:
    """Return by what a prompt's template is known in `calls`: a hash of it, so that no text is kept; None without one.

    Example:
        >>> prompt_version("Is this spam? {text}")
        '8a55653c98bb'
    """
    return hashlib.sha256(template.encode()).hexdigest()[:12] if template else None


def answered_model(asked: str, reported: object) -> dict[str, str | None]:
    """Return the fields of a call that say which model it was.

    Args:
        asked: The model that was asked for.
        reported: The one that the answer names; when it names none it counts as the one that was asked for.

    Example:
        >>> answered_model("small", "small-2026-11-01")
        {'provider_model': 'small-2026-11-01', 'requested_model': 'small'}
    """
    model = reported if isinstance(reported, str) and reported else asked
    return {"provider_model": model, "requested_model": None if model == asked else asked}
