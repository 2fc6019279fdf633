"""Replayed incidents on real data."""
