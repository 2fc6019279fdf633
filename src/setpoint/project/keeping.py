"""What a store needs to be looked after: ship, tick, import, forget, collect, and a doctor."""

from __future__ import annotations

from pathlib import Path

from setpoint.core.errors import StoreMissing
from setpoint.store import shipper
from setpoint.store.layout import Layout
from setpoint.store.shipper import Shipment


def ship_if_free(store: Path) -> Shipment | None:
    """Ship the spool when there is a store and no other process ships; None otherwise."""
    try:
        return shipper.ship_if_free(Layout.open(store))
    except StoreMissing:
        return None
