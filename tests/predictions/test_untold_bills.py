"""Who raises without a word about its bill may have been billed: of a version that is, the cost is unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest

from setpoint import Endpoint, Recorder, Reply, UsageError
from setpoint.control.route_plans import publish
from setpoint.core.route_plan import Limits, Route
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

SINGLE = Route("single", (("v1", 1.0),), stable="v1")
SHADOW = Route("shadow", (("v0", 1.0),), stable="v0", shadows=(("v1", 1.0),))
TWICE = Route("single", (("v1", 1.0),), stable="v1", limits=Limits(attempts=2))
IN_TIME = Route("single", (("v1", 1.0),), stable="v1", limits=Limits(timeout_seconds=30.0))
BILL = 1_000


class Provider:
    """A version that is billed; what it is to raise is an input."""

    def __init__(self, *, is_known: bool = True) -> None:
        self.is_billed = is_known

    def __call__(self, inputs: Mapping[str, object]) -> Reply:
        wrong = inputs.get("wrong", [])
        assert isinstance(wrong, list)
        if wrong:
            raise wrong.pop()
        return Reply("ham", calls=[{"cost_nano_usd": BILL}])


class Streaming(Provider):
    """The same in pieces."""

    def stream(self, inputs: Mapping[str, object]) -> Iterator[str]:
        """Yield an answer."""
        yield "ha"
        self(inputs)
        yield "m"


def asked(endpoint: Endpoint, *wrong: Exception) -> None:
    with pytest.raises(type(wrong[0])):
        endpoint.predict({"wrong": [*wrong]})


def awaited(endpoint: Endpoint, *wrong: Exception) -> None:
    with pytest.raises(type(wrong[0])):
        asyncio.run(endpoint.predict_async({"wrong": [*wrong]}))


def streamed(endpoint: Endpoint, *wrong: Exception) -> None:
    with pytest.raises(type(wrong[0])):
        list(endpoint.stream({"wrong": [*wrong]}))


def in_a_batch(endpoint: Endpoint, *wrong: Exception) -> None:
    (reply,) = endpoint.predict_many([{"wrong": [*wrong]}])
    assert reply.error


def calls(layout: Layout) -> list[tuple[str | None, int | None]]:
    with Snapshot(layout, "m") as snapshot:
        return snapshot.connection.execute("SELECT error, cost_nano_usd FROM calls ORDER BY ALL").fetchall()


def serve(layout: Layout, route: Route, version: Provider) -> Endpoint:
    publish(layout, "m", route)
    return Endpoint(layout, "m", {"v0": lambda _: "ham", "v1": version}, recorder=Recorder(layout, "m"))


@pytest.mark.parametrize("route", [SINGLE, IN_TIME])
@pytest.mark.parametrize("ask", [asked, awaited, streamed, in_a_batch])
@pytest.mark.parametrize("wrong", [OSError("reset"), TimeoutError("read")])
def test_an_error_of_a_billed_version_is_a_call_of_unknown_cost(
    route: Route, ask: Callable[..., None], wrong: Exception
) -> None:
    with temporary_store() as (layout, _):
        endpoint = serve(layout, route, Streaming())
        ask(endpoint, wrong)
        assert endpoint.close()
        assert calls(layout) == [(type(wrong).__name__, None)]


def test_so_is_a_try_that_another_one_followed() -> None:
    with temporary_store() as (layout, _):
        endpoint = serve(layout, TWICE, Provider())
        assert endpoint.predict({"wrong": [OSError()]}).prediction == "ham"
        assert endpoint.close()
        assert calls(layout) == [("OSError", None), (None, BILL)]


def test_so_is_a_copy_in_shadow() -> None:
    with temporary_store() as (layout, _):
        endpoint = serve(layout, SHADOW, Provider())
        assert endpoint.predict({"wrong": [OSError()]}).version == "v0"
        assert endpoint.close()
        assert calls(layout) == [("OSError", None)]


def test_a_version_is_billed_once_it_told_of_a_call_and_one_that_never_did_costs_nothing() -> None:
    with temporary_store() as (layout, _):
        endpoint = serve(layout, SINGLE, Provider(is_known=False))
        asked(endpoint, OSError())
        endpoint.predict({})
        asked(endpoint, OSError())
        assert endpoint.close()
        assert calls(layout) == [("OSError", None), (None, BILL)]


def test_what_tells_its_bill_or_was_refused_by_us_is_believed() -> None:
    told = OSError()
    told.calls = ()  # pyright: ignore[reportAttributeAccessIssue] — that nothing was billed
    with temporary_store() as (layout, _):
        endpoint = serve(layout, SINGLE, Provider())
        asked(endpoint, told)
        asked(endpoint, UsageError("nothing was sent"))
        assert endpoint.close()
        assert calls(layout) == []
