"""The composition root: opens stores and files, and owns `Log`."""
