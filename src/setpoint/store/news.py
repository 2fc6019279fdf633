"""In which tables something arrived since states were made of them."""

from __future__ import annotations

from setpoint.store.lake import LakeTable, last_version
from setpoint.store.layout import Layout
from setpoint.store.segments import open_segments
from setpoint.store.summaries import Progress


def has_news(layout: Layout, model: str, table: str, progress: Progress) -> bool:
    """Return whether a table has rows that the states do not know.

    Args:
        layout: The store.
        model: The model.
        table: Such as `predictions`.
        progress: How far the states reach.

    Cost: a listing of two folders; where something was committed or lies in the spool, some milliseconds.
    """
    path, segments = layout.lake(model, table), open_segments(layout.spool(model, table))
    if not segments and last_version(path) == progress.versions.get(table):
        return False
    try:
        lake = LakeTable(path)
        unshipped = any(segment.name.sequence > lake.shipped(segment.name.process) for segment in segments)
    finally:
        for segment in segments:
            segment.close()
    return unshipped or lake.ship > progress.ships.get(table, 0)
