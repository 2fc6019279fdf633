"""The public test kit: a clock that is set by hand, stores to throw away, simulated traffic and services."""

from __future__ import annotations

from setpoint.testing.clock import FakeClock
from setpoint.testing.service import Behaviour, SimulatedService
from setpoint.testing.stores import temporary_store
from setpoint.testing.traffic import Traffic, simulate

__all__ = ["Behaviour", "FakeClock", "SimulatedService", "Traffic", "simulate", "temporary_store"]
