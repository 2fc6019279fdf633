"""What wrapped clients left in a store, for the tests beside it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from setpoint import Model, Recorder
from setpoint.core.prices import Price, PriceBook
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

PER_MILLION = {"input": "1", "cached_read": "0.1", "cached_write": "1.25", "output": "10", "reasoning": "10"}
SECRET = "the customer's own words"  # noqa: S105 — not a password: what must not be found


class Recorded:
    """A recorder of its own, and what it wrote."""

    def __init__(self, layout: Layout, recorder: Recorder) -> None:
        self.layout = layout
        self.recorder = recorder

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        assert self.recorder.flush(30)
        assert self.recorder.spool.failed == 0
        with Snapshot(self.layout, "m") as snapshot:
            return snapshot.connection.execute(sql).fetchall()

    @property
    def predictions(self) -> list[tuple[Any, ...]]:
        return self.query("SELECT prediction, error FROM predictions ORDER BY prediction_id")

    @property
    def calls(self) -> list[tuple[Any, ...]]:
        return self.query(
            "SELECT attempt, error, input_tokens, output_tokens, cost_nano_usd FROM calls ORDER BY call_id"
        )

    def holds(self, words: str) -> bool:
        """Return whether words are anywhere in the store."""
        assert self.recorder.flush(30)
        files = [path.read_bytes() for path in self.layout.root.rglob("*") if path.is_file()]
        assert files
        return any(words.encode() in content for content in files)


@contextmanager
def recorded(model: Model | None = None) -> Generator[Recorded]:
    """Yield a store with a recorder, in which `small` has a price."""
    with temporary_store(model) as (layout, spool):
        layout.put_prices(PriceBook(tuple(_price(name) for name in ("small-2026-11-01", "claude-small-20261101"))))
        yield Recorded(layout, Recorder(layout, "m", version="v1", spool=spool))


def _price(name: str) -> Price:
    return Price("p", name, per_million_tokens={part: Decimal(usd) for part, usd in PER_MILLION.items()})
