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
from setpoint.core.prices import INPUT_CLASSES, TOKEN_CLASSES, PriceBook
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
    *("tool_requests", "compute_seconds", "price_id", "cost_nano_usd", "error"),
)
_FAR = 1 << 60
_OURS = "regexp_matches(c.price_id, '#[0-9a-f]{8}$')"  # what a caller said it cost is not for us to change


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
        where: SQL of which, of a call `c`.
    """
    found = connection.execute(f"SELECT epoch_us(called_at), {', '.join(_COLUMNS)} FROM calls AS c WHERE {where}")
    while several := found.fetchmany(_READ_AT_ONCE):
        for called_at, *values in several:
            yield Call(**dict(zip(_COLUMNS, values, strict=True)), called_at=called_at, recorded_at=called_at)


def reprice(layout: Layout, model: str, book: PriceBook, *, since: int | None = None) -> list[Repriced]:
    """Add what a price book says of calls without a price, or at one that does not hold for them.

    The rows of a call then add up to its price of now; a second time there is nothing to add.

    Args:
        layout: The store.
        model: The model whose calls they are.
        book: The prices.
        since: Only calls made from then on, microseconds.

    Returns:
        What changed, by provider model; empty when nothing did.

    Raises:
        StoreBusy: Another process ships.
    """
    if not book.prices:
        return []
    done: dict[str, Repriced] = {}
    with layout.lease(LEASE), Snapshot(layout, model, tables=("calls",)) as snapshot, TemporaryDirectory() as folder:
        lake = LakeTable(layout.lake(model, "calls"))
        path = Path(folder) / "adjustments.ndjson"
        now = layout.clock.now()
        with path.open("wb") as file:
            for call in recorded_calls(snapshot.connection, _doubtful(book, since)):
                adjustment = _adjustment(call, book, done, now, lake.ship + 1)
                if adjustment is not None:
                    file.write(msgspec.json.encode(adjustment) + b"\n")
        if path.stat().st_size:
            columns = merged_columns("calls", lake.columns, lake.inputs, [], {})
            added = lake.shipment(select_segments("calls", [str(path)], columns))
            lake.append(snapshot.connection.sql(added), {})
    return sorted(done.values(), key=lambda one: one.subject)


def _doubtful(book: PriceBook, since: int | None) -> str:
    """Return SQL of the calls that may cost another amount than they say: few, so that to look often costs little."""
    sold = ", ".join(literal(name) for name in sorted({price.model for price in book.prices}))
    tokens = " + ".join(f"coalesce({name}_tokens, 0)" for name in INPUT_CLASSES)
    held = ", ".join(
        f"({literal(one.price_id)}, {', '.join(map(_clamped, (one.start, one.end, one.above, one.upto)))})"
        for several in book.in_force.values()
        for one in several
    )
    is_held = (
        f"EXISTS (SELECT 1 FROM (VALUES {held}) AS h(price_id, start, until, above, upto) WHERE h.price_id = c.price_id"
        f" AND epoch_us(called_at) >= start AND epoch_us(called_at) < until AND {tokens} > above AND {tokens} <= upto)"
    )
    where = f"((cost_nano_usd IS NULL AND provider_model IN ({sold})) OR ({_OURS} AND NOT {is_held}))"
    return where if since is None else f"{where} AND called_at >= {at(since)}"


def _clamped(number: float) -> str:
    return str(round(min(max(number, -_FAR), _FAR)))


def _adjustment(call: Call, book: PriceBook, done: dict[str, Repriced], now: int, ship: int) -> Call | None:
    """Return the row that makes a call cost what the book says, and count it; None when it does already."""
    priced = book.cost(call)
    before = call.cost_nano_usd
    if priced.nano_usd == before:  # also when both are unknown
        return None
    subject = "/".join(name for name in (call.provider, call.provider_model) if name)
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
