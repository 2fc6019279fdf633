"""What is billed for an answer that nobody waited for any more is in the bill, or the bill is known not to be whole."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from setpoint import Endpoint, Recorder, Reply
from setpoint.control.route_plans import publish
from setpoint.core.errors import UpstreamError
from setpoint.core.model import Model
from setpoint.core.route_plan import Limits, Route
from setpoint.predictions.versions import Version
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

Row = tuple[object, ...]
Inputs = Mapping[str, object]
CALL = {"provider": "p", "cost_nano_usd": 20_000_000}
# The timeout is v0's too, which has to have a thread by then on whatever machine this is.
SLOW = 0.5


@contextmanager
def serving(route: Route, **versions: Version) -> Generator[tuple[Endpoint, Layout]]:
    with temporary_store(Model("m")) as (layout, spool):
        publish(layout, "m", route)
        yield Endpoint(layout, "m", versions, recorder=Recorder(layout, "m", spool=spool)), layout


def fallback(timeout_seconds: float = SLOW, **limits: float) -> Route:
    told = Limits(timeout_seconds=timeout_seconds, **limits)  # pyright: ignore[reportArgumentType] — of its fields
    return Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=told)


def small(_: Inputs) -> float:
    return 0.0


def billed(layout: Layout) -> list[Row]:
    with Snapshot(layout, "m") as snapshot:
        if "error" not in snapshot.connection.table("calls").columns:
            return []
        found = "SELECT prediction_id, error, cost_nano_usd FROM calls ORDER BY call_id"
        return snapshot.connection.execute(found).fetchall()


def awaited(endpoint: Endpoint, layout: Layout) -> list[Row]:
    """Return the calls once there are any."""
    while True:
        assert endpoint.recorder.flush()
        if found := billed(layout):
            return found


class Slow:
    """Answers when it may, in every way, and is billed for it."""

    def __init__(self, *, fails: bool = False) -> None:
        self.may, self.fails = threading.Event(), fails

    def __call__(self, _: Inputs) -> object:
        self.may.wait()
        if self.fails:
            raise UpstreamError(kind="closed early", detail="", calls=[CALL])
        return {"prediction": 1.0, "calls": [CALL]}

    def predict_many(self, rows: list[Inputs]) -> list[object]:
        return [self(row) for row in rows]

    def stream(self, row: Inputs) -> Iterator[str]:
        self(row)
        try:
            yield "late"
        except GeneratorExit as error:
            raise UpstreamError(kind="closed by the caller", detail="", calls=[CALL]) from error


async def _taken(endpoint: Endpoint) -> None:
    async for _ in endpoint.stream_async({}):
        pass


ASKED: dict[str, Callable[[Endpoint], object]] = {
    "predict": lambda endpoint: endpoint.predict({}),
    "predict_async": lambda endpoint: asyncio.run(endpoint.predict_async({})),
    "predict_many": lambda endpoint: endpoint.predict_many([{}]),
    "predict_many_async": lambda endpoint: asyncio.run(endpoint.predict_many_async([{}])),
    "stream": lambda endpoint: list(endpoint.stream({})),
    "stream_async": lambda endpoint: asyncio.run(_taken(endpoint)),
}


@pytest.mark.parametrize("way", ASKED)
@pytest.mark.parametrize("fails", [False, True])
def test_it_is_a_call_of_its_request_and_counts_for_the_cap(way: str, *, fails: bool) -> None:
    slow = Slow(fails=fails)
    with serving(fallback(usd_per_hour=0.01), v1=slow, v0=small) as (endpoint, layout):
        ASKED[way](endpoint)
        slow.may.set()
        ((request, error, cost),) = awaited(endpoint, layout)
        assert (cost, error) == (20_000_000, "timeout")
        assert endpoint.predict({}).version == "v0"
        assert endpoint.close()
        with Snapshot(layout, "m") as snapshot:
            roots = snapshot.connection.execute(
                "SELECT prediction_id, version FROM predictions WHERE parent_id IS NULL ORDER BY 1"
            ).fetchall()
            refused = snapshot.connection.execute("SELECT error FROM predictions WHERE error LIKE '%cap%'").fetchall()
        assert roots[0] == (request, "v0")
        assert refused == [("cost cap reached",)]


def test_of_many_rows_each_gets_its_own() -> None:
    slow = Slow()
    route = Route("single", (("v1", 1.0),), stable="v1", limits=Limits(timeout_seconds=0.05, breaker_failures=1))
    with serving(route, v1=slow) as (endpoint, layout):
        replies = endpoint.predict_many([{}, {}, {}])
        slow.may.set()
        while len(found := awaited(endpoint, layout)) < 3:
            pass
        assert {row for row, *_ in found} == {reply.prediction_id for reply in replies}


def test_a_piece_that_comes_too_late_ends_the_stream_and_is_billed() -> None:
    leave = threading.Event()

    def halting(_: Inputs) -> Iterator[str]:
        yield "one "
        leave.wait()
        try:
            yield "late"
        finally:
            raise UpstreamError(kind="closed by the caller", detail="", calls=[CALL])

    with serving(fallback(), v1=halting, v0=small) as (endpoint, layout):
        stream = endpoint.stream({})
        assert next(stream) == "one "
        with pytest.raises(TimeoutError):
            next(stream)
        leave.set()
        assert awaited(endpoint, layout) == [(stream.prediction_id, "timeout", 20_000_000)]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_coroutine_that_is_cancelled_never_says_what_it_was_billed(*, is_stream: bool) -> None:
    hangs = False

    async def asked(_: Inputs) -> object:
        await asyncio.sleep(60 if hangs else 0)
        return {"prediction": 1.0, "calls": [CALL]}

    async def streamed(inputs: Inputs) -> AsyncIterator[object]:
        yield Reply.of(await asked(inputs))

    with serving(fallback(), v1=streamed if is_stream else asked, v0=small) as (endpoint, layout):
        way = ASKED["stream_async" if is_stream else "predict_async"]
        way(endpoint)
        hangs = True
        way(endpoint)
        assert endpoint.close()
        assert [told[1:] for told in billed(layout)] == [(None, 20_000_000), ("timeout", None)]


def test_a_version_that_nobody_charges_for_is_in_no_bill() -> None:
    slow = threading.Event()
    with serving(fallback(), v1=lambda _: slow.wait(), v0=small) as (endpoint, layout):
        endpoint.predict({})
        assert endpoint.close()
        assert billed(layout) == []
        slow.set()


def test_what_is_not_waited_for_to_its_end_has_a_bill_that_nobody_knows() -> None:
    slow = Slow()
    slow.is_billed = True  # pyright: ignore[reportAttributeAccessIssue] — as an upstream says of itself
    with serving(fallback(), v1=slow, v0=small) as (endpoint, layout):
        reply = endpoint.predict({})
        assert endpoint.close()
        assert billed(layout) == [(reply.prediction_id, "timeout", None)]
        slow.may.set()
        assert endpoint.predict({"is": "answered by the thread that was late, or by another"}).version == "v1"
        assert endpoint.close()
        assert len(billed(layout)) == 2  # what was given up, and the second request's: nothing is billed twice


ENDS = """
import sys, threading
from setpoint import Endpoint

class Slow:
    is_billed = True

    def __call__(self, inputs):
        threading.Event().wait()

endpoint = Endpoint(sys.argv[1], "m", {"v1": Slow(), "v0": lambda _: 0.0})
print(endpoint.predict({}).prediction_id)
"""


def test_a_process_that_ends_says_so_too(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "store")
    publish(layout, "m", fallback())
    asked = subprocess.run(
        [sys.executable, "-c", ENDS, str(layout.root)], capture_output=True, text=True, check=True, timeout=60
    )
    assert billed(layout) == [(asked.stdout.strip(), "timeout", None)]


def test_a_copy_s_is_the_copy_s_and_not_the_caller_s() -> None:
    slow = Slow()
    route = Route("shadow", (("v1", 1.0),), stable="v1", shadows=(("v2", 1.0),), limits=Limits(timeout_seconds=SLOW))
    with serving(route, v1=small, v2=slow) as (endpoint, layout):
        root = endpoint.predict({}).prediction_id
        assert endpoint.shadows.wait()
        slow.may.set()
        found = awaited(endpoint, layout)
        with Snapshot(layout, "m") as snapshot:
            copies = snapshot.connection.execute(
                "SELECT prediction_id, parent_id, error FROM predictions WHERE role = 'shadow'"
            ).fetchall()
        assert copies == [(found[0][0], root, "TimeoutError")]
        assert [told[1] for told in found] == ["timeout"]


@pytest.mark.parametrize("is_async", [False, True])
def test_an_answer_in_pieces_that_is_asked_for_the_whole_is_waited_for_no_longer(*, is_async: bool) -> None:
    leave = threading.Event()

    def halting(_: Inputs) -> Iterator[str]:
        yield "one "
        leave.wait(60)

    with serving(fallback(), v1=halting, v0=small) as (endpoint, _):
        reply = asyncio.run(endpoint.predict_async({})) if is_async else endpoint.predict({})
        assert reply.version == "v0"
        leave.set()
        assert endpoint.close()
