"""Versions on threads: as few as are needed, no more than the limit, and none that another version waits for."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Mapping

import pytest

from setpoint import Endpoint, Reply
from setpoint.control.route_plans import publish
from setpoint.core.route_plan import Limits, Route
from setpoint.predictions.threads import LIMIT, Threads
from setpoint.testing import temporary_store


def test_an_idle_thread_is_used_again() -> None:
    threads = Threads()
    names = {threads.begin(threading.get_ident).result() for _ in range(50)}
    assert len(names) == 1


def test_no_more_threads_than_the_limit_and_all_are_answered() -> None:
    seen: set[int] = set()

    def answer(inputs: Mapping[str, object]) -> object:
        seen.add(threading.get_ident())
        return inputs["x"]

    async def serve(endpoint: Endpoint) -> list[Reply]:
        return await asyncio.gather(*(endpoint.predict_async({"x": n}) for n in range(1000)))

    with temporary_store() as (layout, _):
        endpoint = Endpoint(layout, "m", {"v1": answer})
        assert [reply.prediction for reply in asyncio.run(serve(endpoint))] == list(range(1000))
        assert len(seen) <= LIMIT
        assert endpoint.close()


def test_a_version_that_hangs_holds_up_no_other() -> None:
    leave = threading.Event()

    async def serve(endpoint: Endpoint) -> list[Reply]:
        return await asyncio.gather(*(endpoint.predict_async({}) for _ in range(3 * LIMIT)))

    with temporary_store() as (layout, _):
        limits = Limits(timeout_seconds=0.2, breaker_failures=0)
        publish(layout, "m", Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=limits))
        endpoint = Endpoint(layout, "m", {"v1": lambda _: leave.wait(), "v0": lambda _: 0.0})
        assert {reply.version for reply in asyncio.run(serve(endpoint))} == {"v0"}
        leave.set()
        publish(layout, "m", Route("single", (("v1", 1.0),), stable="v1"))
        endpoint.router.look_at = 0.0
        assert asyncio.run(endpoint.predict_async({})).version == "v1"  # its threads are free again
        assert endpoint.close()


def test_what_was_cancelled_before_its_turn_is_not_done() -> None:
    threads, leave, done = Threads(limit=1), threading.Event(), list[int]()
    first = threads.begin(leave.wait)
    second = threads.begin(lambda: done.append(1))
    third = threads.begin(lambda: done.append(2))
    assert second.cancel()
    with pytest.raises(TimeoutError):
        threads.result(lambda: done.append(3), 0.01)
    leave.set()
    assert first.result()
    third.result()
    assert done == [2]


def test_what_times_out_while_all_threads_hang_is_not_kept() -> None:
    threads, leave = Threads(limit=2), threading.Event()
    hanging = [threads.begin(leave.wait) for _ in range(2)]
    kept = weakref.WeakSet[object]()

    class Work:
        def __call__(self) -> object:
            return None

    for _ in range(100):
        work = Work()
        kept.add(work)
        with pytest.raises(TimeoutError):
            threads.result(work, 0.0)
        del work
    gc.collect()
    assert len(kept) == 0
    leave.set()
    assert all(one.result() for one in hanging)
    assert threads.begin(lambda: 7).result(10) == 7


@pytest.mark.parametrize("is_many", [False, True])
def test_a_version_that_raises_stop_iteration_is_not_waited_for_forever(*, is_many: bool) -> None:
    async def ask(endpoint: Endpoint) -> Reply:
        if is_many:
            return (await endpoint.predict_many_async([{"x": 1.0}]))[0]
        return await endpoint.predict_async({"x": 1.0})

    with temporary_store() as (layout, _):
        publish(layout, "m", Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",)))
        endpoint = Endpoint(layout, "m", {"v1": lambda _: next(iter(())), "v0": lambda _: 2.0})
        assert asyncio.run(asyncio.wait_for(ask(endpoint), 60.0)).version == "v0"
        assert endpoint.close()
