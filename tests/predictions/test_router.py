"""The last good plan stays in force whatever becomes of its file, and a new one is taken without a request failing."""

from __future__ import annotations

import pytest

from setpoint import Endpoint
from setpoint.control.route_plans import publish
from setpoint.core.route_plan import Route
from setpoint.predictions.router import Router
from setpoint.store.route_file import encoded
from setpoint.testing import temporary_store

VERSIONS = ("v1", "v2")


def canary(share: float, candidate: str = "v2") -> Route:
    return Route("canary", ((candidate, share), ("v1", 1.0 - share)), stable="v1")


def test_without_a_plan_the_first_version_answers_all() -> None:
    with temporary_store() as (layout, _):
        plan = Router(layout, "m", VERSIONS).plan()
        assert (plan.generation, plan.route.shares) == (0, (("v1", 1.0),))


def test_a_new_plan_is_taken_and_an_older_torn_or_missing_one_is_not() -> None:
    with temporary_store() as (layout, _):
        router = Router(layout, "m", VERSIONS, look_seconds=0.0)
        first = publish(layout, "m", canary(0.05))
        assert router.plan() == first
        second = publish(layout, "m", canary(0.5))
        assert (router.plan(), router.fault) == (second, "")
        path = layout.route("m")
        path.write_bytes(encoded(first))
        assert router.plan() == second
        assert router.fault == "generation 1 is older than 2, which stays"
        path.write_bytes(encoded(second)[:50])
        assert router.plan() == second
        assert "damaged" in router.fault
        path.unlink()
        assert router.plan() == second
        assert "is gone: generation 2 stays" in router.fault
        third = publish(layout, "m", canary(0.1))
        assert (router.plan(), router.fault) == (third, "")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'{"checksum":"0\xf9","plan":{}}', id="no text"),
        pytest.param(b"\0" * 400, id="zeros of a disk that was full"),
        pytest.param(b'{"checksum":"0","plan":' + b"[" * 100_000, id="nested too deep"),
        pytest.param(b"", id="empty"),
    ],
)
def test_whatever_the_file_holds_requests_are_answered_by_the_last_good_plan(content: bytes) -> None:
    with temporary_store() as (layout, _):
        endpoint = Endpoint(layout, "m", {"v1": lambda _: 1.0, "v2": lambda _: 2.0})
        publish(layout, "m", Route("single", (("v2", 1.0),), stable="v2"))
        endpoint.router.look_at = 0.0
        assert endpoint.predict({}).prediction == 2.0
        layout.route("m").write_bytes(content)
        endpoint.router.look_at = 0.0
        assert endpoint.predict({}).prediction == 2.0
        assert "damaged" in endpoint.router.fault
        assert endpoint.close()


def test_a_file_that_comes_back_as_it_was_is_followed_without_a_fault() -> None:
    with temporary_store() as (layout, _):
        router = Router(layout, "m", VERSIONS, look_seconds=0.0)
        good, path = publish(layout, "m", canary(0.05)), layout.route("m")
        assert (router.plan(), router.fault) == (good, "")
        path.rename(path.with_suffix(".aside"))
        assert router.plan() == good
        assert router.plan() == good  # looked at twice: it stays gone
        assert "is gone: generation 1 stays" in router.fault
        path.with_suffix(".aside").rename(path)
        assert (router.plan(), router.fault) == (good, "")


def test_a_plan_that_names_a_missing_version_is_not_followed() -> None:
    with temporary_store() as (layout, _):
        router = Router(layout, "m", VERSIONS, look_seconds=0.0)
        good = publish(layout, "m", canary(0.05))
        router.plan()
        publish(layout, "m", canary(0.05, "v9"))
        assert router.plan() == good
        assert router.fault == "generation 2 names v9, which is not here"


def test_the_file_is_looked_at_now_and_then_only() -> None:
    with temporary_store() as (layout, _):
        router = Router(layout, "m", VERSIONS, look_seconds=3600.0)
        publish(layout, "m", canary(0.05))
        assert router.plan().generation == 0
