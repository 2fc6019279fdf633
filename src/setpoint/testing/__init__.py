"""The public test kit: a clock that is set by hand, stores to throw away, and simulated traffic."""

from __future__ import annotations

from setpoint.testing.clock import FakeClock
from setpoint.testing.stores import temporary_store
from setpoint.testing.traffic import Traffic, simulate

__all__ = ["FakeClock", "Traffic", "simulate", "temporary_store"]
