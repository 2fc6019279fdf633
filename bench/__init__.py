"""Benchmarks: each prints a ratio between two things measured in the same run."""
