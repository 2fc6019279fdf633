"""A breaker that is open lets one request in at a time, whatever else is under way or ends meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from setpoint import Endpoint, Reply
from setpoint.control.route_plans import publish
from setpoint.core.errors import Refused
from setpoint.core.route_plan import Limits, Route
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

WAIT = 30.0


class Sick(OSError):
    """What the version raises, with what it was billed all the same."""

    def __init__(self, name: object) -> None:
        super().__init__(f"down for {name}")
        self.calls = [{"provider_model": "m", "error": "closed early"}]


class Waiting:
    """A version whose answers wait until they are let go."""

    def __init__(self, *names: str) -> None:
        self.came = {name: threading.Event() for name in names}
        self.may_go = {name: threading.Event() for name in names}
        self.fails = set[str]()

    def __call__(self, inputs: Mapping[str, object]) -> float:
        name = str(inputs["name"])
        if name in self.came:
            self.came[name].set()
            assert self.may_go[name].wait(WAIT)
        if name in self.fails:
            raise Sick(name)
        return 1.0

    def begin(self, endpoint: Endpoint, name: str, pool: ThreadPoolExecutor) -> Future[Reply]:
        """Send a request, and come back when it is under way."""
        found = pool.submit(endpoint.predict, {"name": name})
        assert self.came[name].wait(WAIT)
        return found


def endpoint_of(layout: Layout, version: Waiting, limits: Limits) -> Endpoint:
    publish(layout, "m", Route("single", (("v1", 1.0),), stable="v1", limits=limits))
    return Endpoint(layout, "m", {"v1": version})


def test_an_older_request_that_ends_while_one_tries_lets_no_second_one_try() -> None:
    version = Waiting("older", "trial")
    version.fails = {"older", "second"}
    limits = Limits(breaker_failures=1, breaker_seconds=0.0, concurrent=100)
    with temporary_store() as (layout, _), ThreadPoolExecutor() as pool:
        endpoint = endpoint_of(layout, version, limits)
        older = version.begin(endpoint, "older", pool)
        with pytest.raises(Sick):
            endpoint.predict({"name": "second"})
        trial = version.begin(endpoint, "trial", pool)
        version.may_go["older"].set()
        with pytest.raises(Sick):
            older.result(WAIT)
        with pytest.raises(Refused, match="breaker open"):
            endpoint.predict({"name": "third"})
        version.may_go["trial"].set()
        assert trial.result(WAIT).prediction == 1.0
        assert endpoint.predict({"name": "fourth"}).prediction == 1.0
        assert endpoint.close()


@pytest.mark.parametrize("concurrent", [None, 100])
def test_a_breaker_that_an_older_request_closed_while_one_tried_opens_and_tries_again(concurrent: int | None) -> None:
    version = Waiting("older", "trial")
    version.fails = {"second", "third"}
    limits = Limits(breaker_failures=1, breaker_seconds=0.0, concurrent=concurrent, timeout_seconds=WAIT)
    with temporary_store() as (layout, _), ThreadPoolExecutor() as pool:
        endpoint = endpoint_of(layout, version, limits)
        older = version.begin(endpoint, "older", pool)
        with pytest.raises(Sick):
            endpoint.predict({"name": "second"})
        trial = version.begin(endpoint, "trial", pool)
        version.may_go["older"].set()
        assert older.result(WAIT).prediction == 1.0
        version.may_go["trial"].set()
        assert trial.result(WAIT).prediction == 1.0
        with pytest.raises(Sick):
            endpoint.predict({"name": "third"})
        assert endpoint.predict({"name": "fourth"}).prediction == 1.0
        assert endpoint.close()


def test_a_request_that_was_let_in_before_the_breaker_opened_fails_of_its_own_error() -> None:
    version = Waiting("older")
    version.fails = {"older", "second"}
    with temporary_store() as (layout, _), ThreadPoolExecutor() as pool:
        endpoint = endpoint_of(layout, version, Limits(breaker_failures=1, breaker_seconds=600.0))
        older = version.begin(endpoint, "older", pool)
        with pytest.raises(Sick, match="second"):
            endpoint.predict({"name": "second"})
        version.may_go["older"].set()
        with pytest.raises(Sick, match="older"):
            older.result(WAIT)
        with pytest.raises(Refused, match="breaker open"):
            endpoint.predict({"name": "third"})
        assert endpoint.close()
        with Snapshot(layout, "m") as snapshot:
            errors = snapshot.connection.execute("SELECT error FROM predictions ORDER BY error").fetchall()
            assert errors == [("Sick",), ("Sick",), ("breaker open",)]
            assert snapshot.connection.execute("SELECT count(*) FROM calls").fetchall() == [(2,)]


def test_who_leaves_while_it_is_asked_again_is_no_failure_of_it() -> None:
    again = asyncio.Event()
    asked = 0

    async def answer(_: Mapping[str, object]) -> float:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise OSError
        if asked == 2:
            again.set()
            await asyncio.Event().wait()
        return 1.0

    async def left(endpoint: Endpoint) -> None:
        task = asyncio.create_task(endpoint.predict_async({}))
        await asyncio.wait_for(again.wait(), WAIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await endpoint.predict_async({})).prediction == 1.0  # the breaker would be open

    limits = Limits(attempts=2, breaker_failures=2, breaker_seconds=3600.0)
    with temporary_store() as (layout, _):
        publish(layout, "m", Route("single", (("v1", 1.0),), stable="v1", limits=limits))
        endpoint = Endpoint(layout, "m", {"v1": answer})
        asyncio.run(left(endpoint))
        assert endpoint.close()
