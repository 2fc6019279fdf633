"""What a caller or a provider may say of a call: its row is never lost, and its cost is right or unknown, for good."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest

from setpoint import Recorder
from setpoint.core.prices import Price, PriceBook
from setpoint.predictions.pricing import reprice
from setpoint.store.shipper import ship
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

PER_TOKEN = {"input": Decimal(1), "cached_read": Decimal("0.5"), "output": Decimal(2)}
BOOK = PriceBook(
    (
        Price("a", "m", per_million_tokens=PER_TOKEN, per_tool_request=Decimal("0.1")),
        Price("a", "seconds", per_compute_second=Decimal("0.5"), per_refused_request=Decimal(0)),
    )
)
USED = {"input_tokens": 1, "output_tokens": 1}


def usage(**parts: object) -> dict[str, object]:
    return {"usage": {"prompt_tokens": 5, "completion_tokens": 7, **parts}}


UNKNOWN: list[dict[str, object]] = [
    *({**USED, "cached_read_tokens": odd} for odd in (10**30, "abc", "5", [1], math.nan, 0.4, -1, True)),
    *({**USED, "tool_requests": odd} for odd in (10**30, "x", 0.4, math.nan, -3)),
    {"input_tokens": "5", "output_tokens": 1},
    {"input_tokens": 5.4, "output_tokens": 1},
    *(usage(prompt_tokens_details={"cached_tokens": odd}) for odd in (10**30, "4", [4], -4, 50)),
    *(usage(server_tool_use={"web_search_requests": odd}) for odd in (10**30, "2", -2)),
    usage(prompt_tokens=None),
    usage(completion_tokens="7"),
    {"usage": "none"},
    {**USED, "tier": ["batch"]},
    {**USED, "provider": ["a"]},
    {**USED, "provider_model": {"name": "m"}},
    {"provider_model": "seconds", "error": ValueError("no")},
]
KNOWN: list[tuple[dict[str, object], int]] = [
    (usage(prompt_tokens_details={"cached_tokens": 4.0}), 1000 + 4 * 500 + 7 * 2000),
    (usage(prompt_tokens_details={"cached_tokens": None}), 5 * 1000 + 7 * 2000),
    (usage(prompt_tokens_details=None), 5 * 1000 + 7 * 2000),
    ({"input_tokens": np.int64(5), "output_tokens": 1.0}, 5 * 1000 + 2000),
    ({**USED, "tool_requests": np.int64(2)}, 3000 + 200_000_000),
]


@pytest.mark.parametrize(("fields", "cost"), [*((one, None) for one in UNKNOWN), *KNOWN])
def test_its_row_is_there_and_a_cost_that_is_unknown_stays_so(fields: dict[str, object], cost: int | None) -> None:
    with temporary_store() as (layout, spool):
        layout.put_prices(BOOK)
        recorder = Recorder(layout, "m", spool=spool)
        recorder.call("p", **{"provider": "a", "provider_model": "m", **fields})  # pyright: ignore[reportArgumentType] — that is what is tried
        assert recorder.close()
        for _ in range(2):
            with Snapshot(layout, "m") as snapshot:
                assert snapshot.connection.execute("SELECT cost_nano_usd FROM calls").fetchall() == [(cost,)]
            ship(layout)
            reprice(layout, "m", BOOK)
