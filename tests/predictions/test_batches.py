"""A batch is answered and recorded as its rows would be one by one, and a row that fails takes no other with it."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Mapping, Sequence

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint import Endpoint, Recorder, Reply, UsageError
from setpoint.control.route_plans import publish
from setpoint.core.route_plan import Cascade, Limits, Route
from setpoint.predictions.versions import Version
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

Inputs = Mapping[str, object]


class Together:
    """A version with a batch call, which notes how it was asked."""

    def __init__(self, *, worth: float = 1.0, is_strict: bool = False) -> None:
        self.worth, self.is_strict = worth, is_strict
        self.batches: list[int] = []

    def __call__(self, inputs: Inputs) -> object:
        self.batches.append(1)
        return self.answer(inputs)

    def answer(self, inputs: Inputs) -> Reply:
        x = float(str(inputs["x"]))
        if x < 0:
            msg = f"no root of {x}"
            raise ValueError(msg)
        score = min(math.sqrt(x) * self.worth / 10, 1.0)
        return Reply(prediction=score > 0.5, score=score, calls=[{"provider": "p", "cost_nano_usd": round(x) + 1}])

    def predict_many(self, rows: Sequence[Inputs]) -> list[object]:
        self.batches.append(len(rows))
        found: list[object] = []
        for row in rows:
            try:
                found.append(self.answer(row))
            except ValueError as error:
                if self.is_strict:
                    raise
                found.append(error)
        return found


def serving(layout: Layout, versions: Mapping[str, Version], route: Route | None = None) -> Endpoint:
    if route is not None:
        publish(layout, "m", route)
    return Endpoint(layout, "m", versions, recorder=Recorder(layout, "m"))


SHARES = (("v2", 0.4), ("v1", 0.6))
NO_BREAKER = Limits(breaker_failures=0)
ROUTES = [
    Route("canary", SHARES, stable="v1", fallback=("v0",), limits=NO_BREAKER),
    Route("ab", SHARES, stable="v1", shadows=(("v0", 0.5),), limits=Limits(breaker_failures=0, concurrent=2)),
    Route("cascade", (("v1", 1.0),), stable="v2", cascade=Cascade("v1", "v2", 0.7, audit=0.3), limits=NO_BREAKER),
]

ROWS = """
SELECT p.unit, p.key, p.version, p.role, p.assignment_probability, p.inputs.x, p.prediction, p.score, p.error, p.run_id,
    r.key AS root, r.version AS served, sum(c.cost_nano_usd) AS cost
FROM predictions AS p JOIN predictions AS r ON r.prediction_id = p.root_id
LEFT JOIN calls AS c ON c.prediction_id = p.prediction_id
GROUP BY ALL ORDER BY ALL
"""


def recorded(endpoint: Endpoint) -> list[tuple[object, ...]]:
    assert endpoint.close()
    with Snapshot(endpoint.recorder.layout, "m") as snapshot:
        return snapshot.connection.execute(ROWS).fetchall()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.strategy)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    xs=st.lists(st.integers(-3, 60), min_size=1, max_size=25),
    together=st.sets(st.sampled_from(["v0", "v1", "v2"])),
    is_strict=st.booleans(),
    is_awaited=st.booleans(),
)
def test_a_batch_records_what_its_rows_would_one_by_one(
    route: Route,
    xs: list[int],
    together: set[str],
    is_strict: bool,  # noqa: FBT001 — drawn by its name
    is_awaited: bool,  # noqa: FBT001 — as above
) -> None:
    worths = {"v0": 0.5, "v1": 1.0, "v2": 1.4}
    made = {name: Together(worth=worth, is_strict=is_strict) for name, worth in worths.items()}
    versions: dict[str, Version] = {name: one if name in together else one.answer for name, one in made.items()}
    units, keys = [f"u{n % 7}" for n in range(len(xs))], [f"k{n}" for n in range(len(xs))]
    with temporary_store() as (one, _), temporary_store() as (many, _):
        publish(one, "m", route)
        many.route("m").parent.mkdir(parents=True, exist_ok=True)
        many.route("m").write_bytes(one.route("m").read_bytes())  # the same salt, too
        singly, batch = serving(one, versions), serving(many, versions)
        expected: list[tuple[object, ...]] = []
        for x, unit, key in zip(xs, units, keys, strict=True):
            try:
                reply = singly.predict({"x": x}, unit=unit, key=key, run_id="r", prediction_id=key)
                expected.append((reply.version, reply.prediction, reply.score, reply.is_fallback, reply.calls, ""))
            except ValueError as error:
                expected.append((None, None, None, False, (), f"ValueError: {error}"))
            singly.shadows.wait()
        # Audits are drawn by the prediction's identifier: here by the same ones.
        made_id = iter(keys)
        requests = batch._request
        batch._request = lambda details: requests({**details, "prediction_id": next(made_id)})
        if is_awaited:
            replies = asyncio.run(batch.predict_many_async({"x": xs}, units=units, keys=keys, run_id="r"))
        else:
            replies = batch.predict_many({"x": xs}, units=units, keys=keys, run_id="r")
        found = [
            (None if r.error else r.version, r.prediction, r.score, r.is_fallback, r.calls, r.error) for r in replies
        ]
        assert found == expected
        assert recorded(batch) == recorded(singly)


def test_a_version_is_asked_once_for_all_of_its_rows() -> None:
    small, large = Together(), Together(worth=9.0)
    route = Route("cascade", (("small", 1.0),), stable="large", cascade=Cascade("small", "large", 0.8))
    with temporary_store() as (layout, _):
        endpoint = serving(layout, {"small": small, "large": large}, route)
        replies = endpoint.predict_many(pd.DataFrame({"x": range(100)}))
        easy = sum(reply.version == "small" for reply in replies)
        assert 0 < easy < 100
        assert (small.batches, large.batches) == ([100], [100 - easy])
        assert endpoint.close()
        with Snapshot(layout, "m") as snapshot:
            compute, latency = snapshot.connection.execute(
                "SELECT sum(compute_seconds), max(latency_seconds) FROM predictions"
            ).fetchall()[0]
        assert compute <= latency  # the time of one call is shared among its rows, not counted for each


def test_a_row_that_fails_takes_no_other_with_it() -> None:
    strict = Together(is_strict=True)
    with temporary_store() as (layout, _):
        endpoint = serving(layout, {"v1": strict})
        replies = endpoint.predict_many({"x": [1, -4, 9]}, keys=["a", "b", "c"])
        assert [reply.score for reply in replies] == [0.1, None, 0.3]
        assert [reply.error for reply in replies] == ["", "ValueError: no root of -4.0", ""]
        assert replies[1].prediction_id
        assert strict.batches == [3, 1, 1, 1]
        assert [(row[1], row[8]) for row in recorded(endpoint)] == [("a", None), ("b", "ValueError"), ("c", None)]


def test_a_version_that_is_down_is_not_asked_for_each_row() -> None:
    strict = Together(is_strict=True)
    with temporary_store() as (layout, _):
        replies = serving(layout, {"v1": strict}).predict_many({"x": [-1] * 1000})
        assert all(reply.error for reply in replies)
        assert strict.batches == [1000] + [1] * 5


def test_not_as_many_answers_as_rows_is_an_error_of_each() -> None:
    class Short:
        def __call__(self, _: Inputs) -> object:
            return 1.0

        def predict_many(self, rows: Sequence[Inputs]) -> Sequence[float]:
            return [1.0] * (len(rows) - 1)

    with temporary_store() as (layout, _):
        route = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",))
        replies = serving(layout, {"v1": Short(), "v0": lambda _: 0.0}, route).predict_many({"x": [1, 2, 3]})
        assert [(reply.version, reply.prediction, reply.is_fallback) for reply in replies] == [("v0", 0.0, True)] * 3
        replies = serving(layout, {"v1": Short()}, Route("single", (("v1", 1.0),), stable="v1")).predict_many(
            {"x": [1, 2]}
        )
        assert replies[0].error.startswith("UsageError: version v1 gave 1 answers to 2 rows")


def test_what_are_no_rows_is_told_and_a_run_without_rows_is_counted() -> None:
    with temporary_store() as (layout, _):
        endpoint = serving(layout, {"v1": Together()})
        with pytest.raises(UsageError, match="not the rows of a batch"):
            endpoint.predict_many({"x": [1, 2], "y": [1]})
        with pytest.raises(UsageError, match="1 values for 2 rows"):
            endpoint.predict_many({"x": [1, 2]}, units=["u"])
        assert endpoint.predict_many([], run_id="nightly") == []
        assert endpoint.close()
        with Snapshot(layout, "m") as snapshot:
            counted = snapshot.connection.execute("SELECT run_id, requests FROM tallies").fetchall()
        assert counted == [("nightly", 0)]


class Awaited:
    """A version that has to be awaited, also for several rows."""

    async def __call__(self, inputs: Inputs) -> float:
        await asyncio.sleep(0)
        return float(str(inputs["x"])) * 2

    async def predict_many(self, rows: Sequence[Inputs]) -> list[object]:
        await asyncio.sleep(0)
        return [ValueError("odd") if row["x"] == 3 else float(str(row["x"])) for row in rows]


def test_a_batch_of_coroutines_is_awaited_and_refused_where_nobody_can() -> None:
    async def alone(inputs: Inputs) -> float:
        return await Awaited()(inputs)

    with temporary_store() as (layout, _):
        endpoint = serving(layout, {"v1": Awaited()})
        replies = asyncio.run(endpoint.predict_many_async({"x": [1, 2, 3]}, keys=["a", "b", "c"]))
        assert [(reply.prediction, reply.error) for reply in replies] == [
            (1.0, ""),
            (2.0, ""),
            (None, "ValueError: odd"),
        ]
        assert [row[1] for row in recorded(endpoint)] == ["a", "b", "c"]
        replies = asyncio.run(serving(layout, {"v1": alone}).predict_many_async({"x": [1, 2]}))
        assert [reply.prediction for reply in replies] == [2.0, 4.0]
        for version in (Awaited(), alone):
            refused = serving(layout, {"v1": version}).predict_many({"x": [1]})
            assert refused[0].error.startswith("UsageError: version v1 is asynchronous")
        with pytest.raises(UsageError, match="1 values for 2 rows"):
            asyncio.run(serving(layout, {"v1": alone}).predict_many_async({"x": [1, 2]}, units=["u"]))


def test_a_batch_that_computes_does_not_hold_up_other_coroutines() -> None:
    leave = threading.Event()

    class Slow(Together):
        def predict_many(self, rows: Sequence[Inputs]) -> list[object]:
            loop.call_soon_threadsafe(leave.set)  # only a loop that goes on does that
            assert leave.wait(60)
            return super().predict_many(rows)

    async def serve(endpoint: Endpoint) -> list[Reply]:
        return await endpoint.predict_many_async({"x": [1, 4]})

    with temporary_store() as (layout, _):
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            replies = runner.run(serve(serving(layout, {"v1": Slow()})))
        assert [reply.score for reply in replies] == [0.1, 0.2]
