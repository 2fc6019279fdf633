"""An endpoint as a version of another: each records its own, they share a trace, and one cost is in each once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from setpoint import Endpoint, UsageError
from setpoint.control.route_plans import publish
from setpoint.core.errors import UpstreamError
from setpoint.core.route_plan import Cascade, Limits, Route
from setpoint.predictions.details import RequestDetails
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

CALL = {"provider": "p", "cost_nano_usd": 5}


def select(layout: Layout, model: str, sql: str) -> list[tuple[object, ...]]:
    with Snapshot(layout, model) as snapshot:
        return snapshot.connection.execute(sql).fetchall()


def cascading(layout: Layout) -> Endpoint:
    """Return an endpoint whose answer costs 5 at first and 50 where it goes on."""
    cascade = Cascade("cheap", "dear", 0.8)
    publish(layout, "inner", Route("cascade", (("cheap", 1.0),), stable="dear", cascade=cascade))
    versions = {
        "cheap": lambda inputs: {"score": inputs["x"], "prediction": True, "calls": [CALL]},
        "dear": lambda _: {"score": 0.99, "prediction": True, "calls": [{**CALL, "cost_nano_usd": 50}]},
    }
    return Endpoint(layout, "inner", versions)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("timeout", [None, 30.0])
def test_the_unit_goes_in_and_the_confidence_and_the_cost_come_out(*, is_async: bool, timeout: float | None) -> None:
    with temporary_store() as (layout, _):
        inner = cascading(layout)
        limits = Limits(timeout_seconds=timeout)
        publish(layout, "outer", Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=limits))
        outer = Endpoint(layout, "outer", {"v1": inner, "v0": lambda _: 0.0})
        details: RequestDetails = {"unit": "u", "key": "k", "run_id": "r"}
        if is_async:
            reply = asyncio.run(outer.predict_async({"x": 0.6}, **details))
        else:
            reply = outer.predict({"x": 0.6}, **details)
        assert (reply.version, reply.prediction, reply.score, reply.is_fallback) == ("v1", True, 0.99, False)
        assert [call["cost_nano_usd"] for call in reply.calls] == [5, 50]
        assert outer.close()
        assert inner.close()
        rows = "SELECT version, role, unit, key, run_id, trace_id, score FROM predictions ORDER BY role"
        trace = reply.prediction_id
        assert select(layout, "outer", rows) == [("v1", "stable", "u", "k", "r", trace, 0.99)]
        assert select(layout, "inner", rows) == [
            ("dear", "stable", "u", "k", "r", trace, 0.99),
            ("cheap", "stage", "u", None, "r", trace, 0.6),
        ]
        cost = "SELECT sum(cost_nano_usd), count(*) FROM calls"
        assert select(layout, "outer", cost) == [(55, 2)]
        assert select(layout, "inner", cost) == [(55, 2)]


def test_a_trace_of_the_callers_is_kept() -> None:
    with temporary_store() as (layout, _):
        inner = Endpoint(layout, "inner", {"v1": lambda _: 1.0})
        outer = Endpoint(layout, "outer", {"v1": inner})
        outer.predict({}, trace_id="t")
        replies = outer.predict_many({"x": [1, 2]}, units=["a", "b"])
        assert outer.close()
        joined = "SELECT unit, trace_id FROM predictions ORDER BY unit NULLS FIRST"
        expected = [(None, "t"), ("a", replies[0].prediction_id), ("b", replies[1].prediction_id)]
        assert select(layout, "outer", joined) == expected
        assert select(layout, "inner", joined) == expected


def test_an_inner_endpoint_that_fails_is_fallen_back_from_by_the_kind_of_its_error() -> None:
    def fail(_: Mapping[str, object]) -> object:
        raise UpstreamError(kind="status 500", detail="", calls=[CALL])

    with temporary_store() as (layout, _):
        publish(layout, "outer", Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",)))
        inner = Endpoint(layout, "inner", {"v1": fail})
        outer = Endpoint(layout, "outer", {"v1": inner, "v0": lambda _: 0.0})
        reply = outer.predict({})
        assert (reply.version, reply.is_fallback, reply.calls) == ("v0", True, [CALL])
        assert outer.close()
        assert select(layout, "outer", "SELECT error FROM predictions WHERE role = 'stage'") == [("status 500",)]
        for model in ("inner", "outer"):
            assert select(layout, model, "SELECT sum(cost_nano_usd), count(*) FROM calls") == [(5, 1)]


def test_an_inner_endpoint_is_asked_in_shadow_too() -> None:
    with temporary_store() as (layout, _):
        inner = Endpoint(layout, "inner", {"v1": lambda _: 2.0})
        publish(layout, "outer", Route("shadow", (("v1", 1.0),), stable="v1", shadows=(("v2", 1.0),)))
        outer = Endpoint(layout, "outer", {"v1": lambda _: 1.0, "v2": inner})
        trace = outer.predict({}, unit="u").prediction_id
        assert outer.close()
        rows = "SELECT role, prediction, unit FROM predictions ORDER BY role"
        assert select(layout, "outer", rows) == [("shadow", 2.0, "u"), ("stable", 1.0, "u")]
        assert select(layout, "inner", "SELECT trace_id, unit FROM predictions") == [(trace, "u")]


def test_an_endpoint_that_would_ask_itself_is_refused() -> None:
    with temporary_store() as (layout, _), temporary_store() as (elsewhere, _):
        first = Endpoint(layout, "a", {"v1": lambda _: 1.0})
        second = Endpoint(layout, "b", {"v1": first})
        for inner in (first, second):
            with pytest.raises(UsageError, match="an endpoint of a with a version that asks a"):
                Endpoint(layout, "a", {"v2": inner})
        assert Endpoint(elsewhere, "a", {"v1": second}).predict({}).prediction == 1.0
