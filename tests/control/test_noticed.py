"""What a provider changes and nobody declares becomes a change: once, and only what is new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.model import Model
from setpoint.predictions.recorder import Recorder
from setpoint.project.log import Log, StoreSource
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

START = 1_767_225_600_000_000  # 2026-01-01


def noticed(layout: Layout) -> list[tuple[Any, ...]]:
    with Snapshot(layout, "m") as snapshot:
        return snapshot.connection.execute(
            "SELECT kind, subject, epoch_us(started_at), epoch_us(recorded_at), note, change_id FROM changes"
            " WHERE subject <> 'v1' ORDER BY started_at, kind, subject"
        ).fetchall()


def live(
    layout: Layout, recorder: Recorder, days: Iterable[Sequence[Mapping[str, str | None]]], tick_every: int
) -> None:
    """Make some calls a day, each with a prediction, and tick every so many days and at the end."""
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    for day, calls in enumerate(days):
        clock.set(START + day * DAY + HOUR)
        for fields in calls:
            name = recorder.record({"x": 1.0}, version="v1")
            recorder.call(name, provider="openai", **{"requested_model": "small", **fields})  # pyright: ignore[reportArgumentType] — fields of a Call
        if day % tick_every == 0:
            recorder.close()
            tick(layout)
    recorder.close()
    tick(layout)


SILENT = [
    [{"provider_model": "small-1"}],
    [{"provider_model": "small-1"}, {"provider_model": "small", "error": "status 500"}],
    [{"provider_model": "small-2"}],
    [{"provider_model": "small-1"}, {"provider_model": "small-2"}],
    [{"provider_model": "small-1"}],
]


@pytest.mark.parametrize("tick_every", [1, 2, 9])
def test_a_silent_change_of_the_providers_model_is_a_change_once_however_often_is_ticked(tick_every: int) -> None:
    with temporary_store(Model("m"), replay_now=START) as (layout, spool):
        live(layout, Recorder(layout, "m", spool=spool), SILENT, tick_every)
        assert tick(layout).noticed == []
        at = START + 2 * DAY + HOUR
        words = "answers for openai/small; before that openai/small-1 did"
        # By its name a row of another process is known to be the same.
        name = "a77d69b80638ac9a8a1721bb265a45"
        assert noticed(layout) == [("version", "openai/small-2", at, at, words, name)]


def test_models_side_by_side_and_one_that_is_asked_for_anew_are_no_changes() -> None:
    both: list[dict[str, str | None]] = [{"provider_model": "small-1"}, {"provider_model": "small-2"}]
    other: list[dict[str, str | None]] = [{"requested_model": "large", "provider_model": "large-1"}]
    unasked: list[dict[str, str | None]] = [{"requested_model": None, "provider_model": "tiny"}]
    with temporary_store(Model("m"), replay_now=START) as (layout, spool):
        live(layout, Recorder(layout, "m", spool=spool), [both, both[:1], both[1:], both[:1], other, unasked, other], 1)
        assert noticed(layout) == []


def test_a_new_prompt_is_a_change_and_prompts_of_several_apps_are_none() -> None:
    def prompts(*several: str) -> list[dict[str, str | None]]:
        return [{"provider_model": "small", "prompt_version": one} for one in several]

    days = [prompts("a", "b"), prompts("b"), prompts("a"), prompts("a", "c"), prompts("b")]
    with temporary_store(Model("m"), replay_now=START) as (layout, spool):
        live(layout, Recorder(layout, "m", spool=spool), days, 1)
        found = [row[:3] for row in noticed(layout)]
        assert found == [("prompt", "c", START + 3 * DAY + HOUR)]


def test_a_date_in_the_system_message_is_no_new_prompt_a_day_for_ever() -> None:
    days = [[{"provider_model": "small", "prompt_version": f"of day {day}"}] for day in range(45)]
    with temporary_store(Model("m"), replay_now=START) as (layout, spool):
        live(layout, Recorder(layout, "m", spool=spool), days, 45)
        assert [row[1] for row in noticed(layout)] == [f"of day {day}" for day in range(1, 20)]


def test_status_and_diff_show_it() -> None:
    with temporary_store(Model("m"), replay_now=START) as (layout, spool):
        live(layout, Recorder(layout, "m", spool=spool), SILENT, 1)
        log = Log(StoreSource(layout))
        for answer in (log.status("m"), log.diff("m")):
            assert any("version openai/small-2" in line for line in answer.because), answer.because
