"""A billed attempt as it is recorded: its tokens by class, and its price by the book in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from setpoint.core.events import Call
from setpoint.core.prices import PriceBook
from setpoint.core.usage import token_fields


def priced_call(book: PriceBook, usage: object, fields: Mapping[str, object]) -> Call:
    """Return a call, priced unless its cost is known.

    Args:
        book: What providers charge.
        usage: What the provider reported; what is no mapping is left out.
        fields: The fields of the call, which go before what was reported.

    Raises:
        TypeError: A field that calls do not have.
    """
    reported = token_fields(cast("Mapping[str, object]", usage)) if isinstance(usage, Mapping) else {}
    call = Call(**{**reported, **fields})  # pyright: ignore[reportArgumentType] — checked by the struct's names at run time
    if call.cost_nano_usd is None:
        priced = book.cost(call)
        call.cost_nano_usd, call.price_id = priced.nano_usd, priced.price_id
    return call
