"""What arrived since states were made is noticed, in the spool and in the lake; a merge of files is none."""

from __future__ import annotations

from setpoint.control.loop import tick
from setpoint.predictions.recorder import Recorder
from setpoint.store.lake import LakeTable, last_version
from setpoint.store.layout import Layout
from setpoint.store.news import has_news
from setpoint.store.shipper import ship
from setpoint.store.spool import Spool
from setpoint.store.summaries import Summaries
from setpoint.testing import temporary_store


def news(layout: Layout) -> bool:
    with Summaries.reading(layout.summaries("m")) as summaries:
        assert summaries is not None
        progress = summaries.progress()
    assert progress is not None
    return has_news(layout, "m", "predictions", progress)


def record(layout: Layout, spool: Spool, x: float) -> None:
    recorder = Recorder(layout, "m", spool=spool)
    recorder.record({"x": x})
    recorder.close()


def test_rows_are_news_until_states_are_made_of_them_and_merged_files_are_none() -> None:
    with temporary_store() as (layout, spool):
        record(layout, spool, 1.0)
        tick(layout)
        assert not news(layout)
        record(layout, spool, 2.0)
        assert news(layout)
        ship(layout, grace_seconds=0.0)
        assert news(layout)
        tick(layout)
        assert not news(layout)
        table = LakeTable(layout.lake("m", "predictions"))
        table.compact()
        assert last_version(table.path) != table.version
        assert not news(layout)


def test_the_last_commit_is_read_from_the_log_alone() -> None:
    with temporary_store() as (layout, spool):
        path = layout.lake("m", "predictions")
        assert last_version(path) is None
        for n in range(18):  # past the first checkpoint
            record(layout, spool, float(n))
            ship(layout, grace_seconds=0.0)
            assert last_version(path) == LakeTable(path).version
