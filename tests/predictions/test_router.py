"""The last good plan stays in force whatever becomes of its file, and a new one is taken without a request failing."""

from __future__ import annotations

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
