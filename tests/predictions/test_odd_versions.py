"""Versions and callers that are not what they look like: they are answered and recorded all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import numpy as np
import pytest

from setpoint import Endpoint, Recorder, cached
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store


async def answer(_: Mapping[str, object]) -> str:
    await asyncio.sleep(0)
    return "ham"


async def pieces(_: Mapping[str, object]) -> AsyncIterator[str]:
    for piece in ("h", "am"):
        await asyncio.sleep(0)
        yield piece


@pytest.mark.parametrize("asked", [answer, pieces])
@pytest.mark.parametrize("around", [lambda version: version, lambda version: cached(version, seconds=60)])
def test_what_a_plain_function_gives_to_be_awaited_is_awaited(
    asked: Callable[..., object], around: Callable[..., Callable[[Mapping[str, object]], object]]
) -> None:
    with temporary_store() as (layout, spool):
        version = around(lambda inputs: asked(inputs))  # noqa: PLW0108 — so that nobody sees what it is
        endpoint = Endpoint(layout, "m", {"v1": version}, recorder=Recorder(layout, "m", spool=spool))
        for _ in range(2):
            assert asyncio.run(endpoint.predict_async({"x": 1.0})).prediction == "ham"
        assert endpoint.close()
        with Snapshot(layout, "m") as snapshot:
            told = snapshot.connection.execute("SELECT count(*), count(error) FROM predictions").fetchall()
        assert told == [(2, 0)]


@pytest.mark.parametrize("inputs", [[1.0, 2.0], None, "text", 5])
def test_inputs_that_are_no_mapping_cost_themselves_and_not_the_row(inputs: object) -> None:
    with temporary_store() as (layout, spool):
        endpoint = Endpoint(layout, "m", {"v1": lambda _: 0.5}, recorder=Recorder(layout, "m", spool=spool))
        assert endpoint.predict(inputs, key="k").prediction == 0.5  # pyright: ignore[reportArgumentType] — that is what is tried
        assert spool.failed == 1
        assert endpoint.close()
        with Snapshot(layout, "m") as snapshot:
            told = snapshot.connection.execute("SELECT key, prediction FROM predictions").fetchall()
        assert told == [("k", 0.5)]


class Unspeakable:
    """Has no text."""

    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ({"checkpoint": np.array([1, 2])}, "v1@[1 2]"),
        ({"checkpoint": 0}, "v1@0"),
        ({"checkpoint": Unspeakable()}, "v1"),
        ({"checkpoint": None}, "v1"),
        ({"upstream_seconds": 10**400}, "v1"),
        ({"upstream_seconds": float("nan")}, "v1"),
    ],
)
def test_a_word_of_a_version_that_cannot_be_read_costs_no_row(told: dict[str, object], version: str) -> None:
    with temporary_store() as (layout, spool):
        versions = {"v1": lambda _: {"prediction": 1.0, **told}}
        endpoint = Endpoint(layout, "m", versions, recorder=Recorder(layout, "m", spool=spool))
        assert endpoint.predict({}).prediction == 1.0
        assert endpoint.close()
        with Snapshot(layout, "m") as snapshot:
            query = "SELECT version, upstream_seconds FROM predictions"
            assert snapshot.connection.execute(query).fetchall() == [(version, None)]


@pytest.mark.parametrize("inputs", [[1.0, 2.0], "text", 5])
def test_a_row_of_such_inputs_is_put_aside(inputs: object) -> None:
    with temporary_store() as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        recorder.record(inputs, prediction=0.5, key="k")  # pyright: ignore[reportArgumentType] — as above
        assert recorder.close()
        with Snapshot(layout, "m") as snapshot:
            ((reason, raw),) = snapshot.connection.execute("SELECT reason, raw FROM quarantine").fetchall()
        assert reason.startswith("it cannot be recorded: ")
        assert "'key': 'k'" in raw
