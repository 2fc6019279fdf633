"""Tests of `setpoint.stats`."""
