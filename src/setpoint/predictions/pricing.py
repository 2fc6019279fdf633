"""Pricing calls that were recorded without a price, or at one that has changed: rows are added, none is rewritten."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import msgspec

from setpoint.core.events import Call
from setpoint.core.metric import counted
from setpoint.core.money import NANO
from setpoint.core.prices import TOKEN_CLASSES, PriceBook
from setpoint.store.engines.duck import at, literal
from setpoint.store.lake import LakeTable
from setpoint.store.layout import Layout
from setpoint.store.segment_sql import merged_columns, select_segments
from setpoint.store.shipper import LEASE
from setpoint.store.snapshot import Snapshot

_READ_AT_ONCE = 10_000
_COLUMNS = (
    *("call_id", "prediction_id", "attempt", "purpose", "provider", "provider_model", "tier"),
    *(f"{name}_tokens" for name in TOKEN_CLASSES),
    *("compute_seconds", "price_id", "cost_nano_usd"),
)
_OURS = "regexp_matches(price_id, '#[0-9a-f]{8}$')"  # what a caller said it cost is not for us to change


@dataclass(slots=True)
class Repriced:
    """What became of the calls of one model of a provider.

    Attributes:
        subject: Provider and model.
        calls: How many cost another amount now.
        unknown_before: How many of them had no price.
        nano_before: What they cost before, as far as that was known.
        nano_after: What they cost now.
        kept: How many more keep a price that the book no longer has: nothing prices them now.
    """

    subject: str
    calls: int = 0
    unknown_before: int = 0
    nano_before: int = 0
    nano_after: int = 0
    kept: int = 0

    @property
    def text(self) -> str:
        """What was done, in words."""
        amounts = f"${self.nano_before / NANO:.6g} before, ${self.nano_after / NANO:.6g} now"
        unknown = f", {self.unknown_before:,} of them had no price" if self.unknown_before else ""
        kept = f"{counted(self.kept, 'call')} kept at a price that the book no longer has" if self.kept else ""
        done = f"{counted(self.calls, 'call')} priced anew ({amounts}{unknown})" if self.calls else ""
        return f"{self.subject}: {'; '.join(part for part in (done, kept) if part)}"


def recorded_calls(connection: duckdb.DuckDBPyConnection, where: str) -> Iterator[Call]:
    """Yield calls, at their latest price.

    Args:
        connection: Where `calls` is a view.
        where: SQL of which.
    """
    found = connection.execute(f"SELECT epoch_us(called_at), {', '.join(_COLUMNS)} FROM calls WHERE {where}")
    while several := found.fetchmany(_READ_AT_ONCE):
        for called_at, *values in several:
            yield Call(**dict(zip(_COLUMNS, values, strict=True)), called_at=called_at, recorded_at=called_at)


def reprice(layout: Layout, model: str, *, since: int | None = None) -> list[Repriced]:
    """Add what the price book in force says of calls without a price, or at one that it no longer has.

    The rows of a call then add up to its price of now; a second time there is nothing to add.

    Args:
        layout: The store.
        model: The model whose calls they are.
        since: Only calls made from then on, microseconds.

    Returns:
        What changed, by provider model; empty when nothing did.

    Raises:
        StoreBusy: Another process ships.
    """
    book = layout.price_book()
    if not book.prices:
        return []
    sold = ", ".join(literal(name) for name in sorted({price.model for price in book.prices}))
    known = ", ".join(literal(name) for name in sorted(book.price_ids))
    where = f"((cost_nano_usd IS NULL AND provider_model IN ({sold})) OR ({_OURS} AND price_id NOT IN ({known})))"
    if since is not None:
        where += f" AND called_at >= {at(since)}"
    done: dict[str, Repriced] = {}
    with layout.lease(LEASE), Snapshot(layout, model, tables=("calls",)) as snapshot, TemporaryDirectory() as folder:
        lake = LakeTable(layout.lake(model, "calls"))
        path = Path(folder) / "adjustments.ndjson"
        now = layout.clock.now()
        with path.open("wb") as file:
            for call in recorded_calls(snapshot.connection, where):
                adjustment = _adjustment(call, book, done, now, lake.ship + 1)
                if adjustment is not None:
                    file.write(msgspec.json.encode(adjustment) + b"\n")
        if path.stat().st_size:
            columns = merged_columns("calls", lake.columns, lake.inputs, [], {})
            added = lake.shipment(select_segments("calls", [str(path)], columns))
            lake.append(snapshot.connection.sql(added), {})
    return sorted(done.values(), key=lambda one: one.subject)


def _adjustment(call: Call, book: PriceBook, done: dict[str, Repriced], now: int, ship: int) -> Call | None:
    """Return the row that makes a call cost what the book says, and count it; None when it does already."""
    priced = book.cost(call)
    before = call.cost_nano_usd
    if priced.nano_usd is None and before is None:
        return None
    subject = f"{call.provider}/{call.provider_model}"
    told = done.setdefault(subject, Repriced(subject))
    if priced.nano_usd is None:
        told.kept += 1
        return None
    told.calls += 1
    told.unknown_before += before is None
    told.nano_before += before or 0
    told.nano_after += priced.nano_usd
    return Call(
        call_id=hashlib.blake2b(f"{call.call_id}/{ship}".encode(), digest_size=15).hexdigest(),
        prediction_id=call.prediction_id,
        called_at=call.called_at,
        recorded_at=now,
        attempt=call.attempt,
        purpose=call.purpose,
        provider=call.provider,
        provider_model=call.provider_model,
        tier=call.tier,
        price_id=priced.price_id,
        cost_nano_usd=priced.nano_usd - (before or 0),
        adjusts=call.call_id,
    )
