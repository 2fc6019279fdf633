"""An endpoint gives the answer of the version that the plan says, and every way out of a failure is recorded."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import cast

import numpy as np
import pandas as pd
import pytest

from setpoint import Endpoint, Recorder, Reply
from setpoint.control.loop import tick
from setpoint.control.route_plans import publish
from setpoint.core.errors import Refused, UsageError
from setpoint.core.model import Model, Rates
from setpoint.core.prices import Price, PriceBook
from setpoint.core.route_plan import Cascade, Limits, Route
from setpoint.predictions.details import RequestDetails
from setpoint.predictions.shadows import DEAD, QUEUE, WORKERS
from setpoint.predictions.versions import Version
from setpoint.project.log import open_log
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

Row = tuple[object, ...]


def constant(answer: object) -> Version:
    return lambda _: answer


def failing(error: Exception) -> Callable[[Mapping[str, object]], object]:
    def fail(_: Mapping[str, object]) -> object:
        raise error

    return fail


@contextmanager
def serving(
    route: Route | None,
    versions: Mapping[str, Version],
    *,
    model: Model | None = None,
    accept: Callable[[Reply], bool] | None = None,
) -> Generator[tuple[Endpoint, Layout]]:
    with temporary_store(model or Model("m")) as (layout, spool):
        if route is not None:
            publish(layout, "m", route)
        yield Endpoint(layout, "m", versions, recorder=Recorder(layout, "m", spool=spool), accept=accept), layout


def rows(endpoint: Endpoint, layout: Layout, columns: str = "version, role, prediction, error") -> list[Row]:
    """Return the recorded rows, the roots first."""
    assert endpoint.close()
    with Snapshot(layout, "m") as snapshot:
        sql = f"SELECT {columns} FROM predictions ORDER BY root_id, parent_id IS NOT NULL, prediction_id"
        return snapshot.connection.execute(sql).fetchall()


SINGLE = Route("single", (("v1", 1.0),), stable="v1")
FALLBACK = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",))


def test_units_keep_their_version_and_its_share_is_recorded() -> None:
    route = Route("canary", (("v2", 0.3), ("v1", 0.7)), stable="v1")
    with serving(route, {"v1": constant(1.0), "v2": constant(2.0)}) as (endpoint, layout):
        for _ in range(2):
            for n in range(200):
                reply = endpoint.predict({"x": 1.0}, unit=f"user-{n}", key=f"k{n}")
                assert reply.prediction == {"v1": 1.0, "v2": 2.0}[reply.version]
        found = rows(endpoint, layout, "unit, version, role, assignment_probability, prediction, key")
    by_unit: dict[object, set[object]] = {}
    for unit, version, role, share, prediction, key in found:
        by_unit.setdefault(unit, set()).add(version)
        expected = ("candidate", 0.3, 2.0) if version == "v2" else ("stable", 0.7, 1.0)
        assert (role, share, prediction) == expected
        assert key == str(unit).replace("user-", "k")
    assert all(len(seen) == 1 for seen in by_unit.values())
    assert Counter(next(iter(seen)) for seen in by_unit.values())["v2"] == pytest.approx(60, abs=25)


def test_without_a_unit_each_request_is_drawn_on_its_own() -> None:
    route = Route("ab", (("v2", 0.5), ("v1", 0.5)), stable="v1")
    with serving(route, {"v1": constant(1.0), "v2": constant(2.0)}) as (endpoint, _):
        found = Counter(endpoint.predict({}).version for _ in range(400))
        assert 130 < found["v1"] < 270


def test_a_unit_that_is_null_is_none() -> None:
    with serving(SINGLE, {"v1": constant(1.0)}) as (endpoint, layout):
        for unit in (None, float("nan"), pd.NA, pd.NaT):
            endpoint.predict({}, unit=unit)  # pyright: ignore[reportArgumentType] — as of a column with gaps
        endpoint.predict_many({"x": [1.0, 2.0]}, units=[float("nan"), 7.0])  # pyright: ignore[reportArgumentType]
        assert [row[0] for row in rows(endpoint, layout, "unit")] == [None] * 5 + ["7.0"]


def test_without_a_plan_the_first_version_answers() -> None:
    with serving(None, {"v1": constant("spam"), "v2": constant("ham")}) as (endpoint, layout):
        reply = endpoint.predict({"text": "hi"})
        assert (reply.prediction, reply.version, reply.is_fallback) == ("spam", "v1", False)
        assert rows(endpoint, layout) == [("v1", "stable", "spam", None)]
    with temporary_store() as (layout, _), pytest.raises(UsageError, match="without a version"):
        Endpoint(layout, "m", {})


def test_a_version_may_tell_more_than_its_answer() -> None:
    told = {"prediction": True, "score": 0.75, "calls": [{"provider": "p", "input_tokens": 3, "cost_nano_usd": 5}]}
    with serving(SINGLE, {"v1": constant(told)}) as (endpoint, layout):
        reply = endpoint.predict({}, source="etl-4", trace_id="t")
        assert (reply.prediction, reply.score) == (True, 0.75)
        columns = "prediction_id, prediction, score, source, trace_id, latency_seconds > 0, compute_seconds > 0"
        assert rows(endpoint, layout, columns) == [(reply.prediction_id, 1.0, 0.75, "etl-4", "t", True, True)]
        with Snapshot(layout, "m") as snapshot:
            calls = snapshot.connection.execute(
                "SELECT prediction_id, input_tokens, cost_nano_usd FROM calls"
            ).fetchall()
        assert calls == [(reply.prediction_id, 3, 5)]


def test_what_the_version_raises_is_raised_and_recorded() -> None:
    with serving(SINGLE, {"v1": failing(KeyError("amount"))}) as (endpoint, layout):
        with pytest.raises(KeyError, match="amount"):
            endpoint.predict({})
        assert rows(endpoint, layout) == [("v1", "stable", None, "KeyError")]


def test_a_version_that_fails_is_recorded_under_the_answer_of_another() -> None:
    with serving(FALLBACK, {"v1": failing(OSError()), "v0": constant(0.0)}) as (endpoint, layout):
        reply = endpoint.predict({"x": 1.0}, unit="u")
        assert (reply.version, reply.prediction, reply.is_fallback) == ("v0", 0.0, True)
        # Who answered in another's place was not drawn: no share, so it is no evidence.
        assert rows(endpoint, layout, "version, role, error, assignment_probability, parent_id") == [
            ("v0", "stable", None, None, None),
            ("v1", "stage", "OSError", 1.0, reply.prediction_id),
        ]
        tick(layout)
        with open_log(layout.root) as log:
            counts = {row[0]: (row[1], row[6]) for row in log.status("m").table("metrics").rows}
        assert counts["error_ratio"] == (0.0, 1)


def test_when_all_fail_the_first_error_is_told() -> None:
    with serving(FALLBACK, {"v1": failing(OSError("gone")), "v0": failing(ValueError())}) as (endpoint, layout):
        with pytest.raises(OSError, match="gone"):
            endpoint.predict({})
        assert rows(endpoint, layout) == [("v0", "stable", None, "ValueError"), ("v1", "stage", None, "OSError")]


def test_retries_stay_within_their_budget() -> None:
    calls: list[int] = []

    def flaky(_: Mapping[str, object]) -> float:
        calls.append(1)
        if len(calls) % 2:
            raise OSError
        return 1.0

    route = Route("single", (("v1", 1.0),), stable="v1", limits=Limits(attempts=2))
    with serving(route, {"v1": flaky}) as (endpoint, _):
        assert [endpoint.predict({}).prediction for _ in range(5)] == [1.0] * 5
        assert len(calls) == 10
    always = Route("single", (("v1", 1.0),), stable="v1", limits=Limits(attempts=5, breaker_failures=0))
    calls.clear()
    with serving(always, {"v1": lambda inputs: calls.append(1) or failing(OSError("down"))(inputs)}) as (endpoint, _):
        for _ in range(200):
            with pytest.raises(OSError, match="down"):
                endpoint.predict({})
    assert len(calls) <= 200 + 10 + 0.1 * 200  # ten at the start, then a tenth of the requests


def test_a_breaker_opens_and_one_request_tries_again() -> None:
    calls: list[int] = []
    is_well = False

    def sick(_: Mapping[str, object]) -> float:
        calls.append(1)
        if is_well:
            return 1.0
        raise OSError

    limits = Limits(breaker_failures=3, breaker_seconds=0.0)
    route = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=limits)
    with serving(route, {"v1": sick, "v0": constant(0.0)}) as (endpoint, layout):
        closed = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=Limits(breaker_failures=3))
        publish(layout, "m", closed)
        endpoint.router.look_at = 0.0
        for _ in range(10):
            assert endpoint.predict({}).version == "v0"
        assert len(calls) == 3
        errors = Counter(row[3] for row in rows(endpoint, layout) if row[1] == "stage")
        assert errors == {"OSError": 3, "breaker open": 7}
    calls.clear()
    with serving(route, {"v1": sick, "v0": constant(0.0)}) as (endpoint, _):
        for _ in range(5):
            endpoint.predict({})
        is_well = True
        assert endpoint.predict({}).version == "v1"
        assert endpoint.predict({}).version == "v1"


def test_a_breaker_without_a_fallback_refuses() -> None:
    route = Route("single", (("v1", 1.0),), stable="v1", limits=Limits(breaker_failures=1))
    with serving(route, {"v1": failing(OSError("down"))}) as (endpoint, layout):
        with pytest.raises(OSError, match="down"):
            endpoint.predict({})
        with pytest.raises(Refused, match="breaker open"):
            endpoint.predict({})
        assert [row[3] for row in rows(endpoint, layout)] == ["OSError", "breaker open"]


def test_a_cost_cap_goes_on_with_the_next_version() -> None:
    route = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=Limits(usd_per_hour=0.05))
    dear = constant({"prediction": 1.0, "calls": [{"cost_nano_usd": 20_000_000}]})
    with serving(route, {"v1": dear, "v0": constant({"prediction": 0.0})}) as (endpoint, _):
        assert [endpoint.predict({}).version for _ in range(6)] == ["v1"] * 3 + ["v0"] * 3


def test_a_cost_cap_counts_what_a_usage_block_costs() -> None:
    usage = {"input_tokens": 1_000_000, "output_tokens": 0}
    dear = constant({"prediction": 1.0, "calls": [{"provider": "p", "provider_model": "m", "usage": usage}]})
    route = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=Limits(usd_per_hour=5.0))
    with serving(route, {"v1": dear, "v0": constant({"prediction": 0.0})}) as (endpoint, _):
        endpoint.recorder.prices = PriceBook((Price("p", "m", per_million_tokens={"input": Decimal(2)}),))
        assert [endpoint.predict({}).version for _ in range(5)] == ["v1"] * 3 + ["v0"] * 2


def test_too_many_at_once_go_on_with_the_next_version() -> None:
    inside, leave = threading.Semaphore(0), threading.Event()

    def slow(_: Mapping[str, object]) -> float:
        inside.release()
        leave.wait()
        return 1.0

    route = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=Limits(concurrent=2))
    with serving(route, {"v1": slow, "v0": constant(0.0)}) as (endpoint, _):
        threads = [threading.Thread(target=endpoint.predict, args=({},)) for _ in range(2)]
        for thread in threads:
            thread.start()
            inside.acquire()
        assert endpoint.predict({}).version == "v0"
        leave.set()
        for thread in threads:
            thread.join()
        assert endpoint.predict({}).version == "v1"


def test_a_version_that_hangs_is_not_waited_for() -> None:
    leave = threading.Event()
    limits = Limits(timeout_seconds=0.05)
    route = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=limits)
    with serving(route, {"v1": lambda _: leave.wait(), "v0": constant(0.0)}) as (endpoint, layout):
        assert endpoint.predict({}).version == "v0"
        leave.set()
        assert rows(endpoint, layout)[1] == ("v1", "stage", None, "TimeoutError")


CASCADE = Route("cascade", (("small", 1.0),), stable="large", cascade=Cascade("small", "large", 0.8))


@pytest.mark.parametrize(("score", "version"), [(0.9, "small"), (0.1, "small"), (0.6, "large")])
def test_a_cascade_asks_the_expensive_version_for_hard_cases(score: float, version: str) -> None:
    versions = {"small": constant({"score": score, "prediction": 1.0}), "large": constant({"score": 0.99})}
    with serving(CASCADE, versions) as (endpoint, layout):
        reply = endpoint.predict({})
        assert (reply.version, reply.is_fallback) == (version, False)
        found = rows(endpoint, layout, "version, role, score, parent_id")
        if version == "small":
            assert found == [("small", "candidate", score, None)]
        else:
            assert found == [("large", "stable", 0.99, None), ("small", "stage", score, reply.prediction_id)]


def test_a_cascade_without_a_confidence_takes_no_cheap_answer() -> None:
    with serving(CASCADE, {"small": constant("yes"), "large": constant("no")}) as (endpoint, _):
        assert endpoint.predict({}).version == "large"
    with serving(CASCADE, {"small": constant("yes"), "large": constant("no")}, accept=lambda _: True) as (endpoint, _):
        assert endpoint.predict({}).version == "small"


def test_a_cheap_answer_is_better_than_none() -> None:
    versions = {"small": constant({"score": 0.5}), "large": failing(OSError())}
    with serving(CASCADE, versions) as (endpoint, layout):
        assert endpoint.predict({}).version == "small"
        assert rows(endpoint, layout) == [("small", "candidate", None, None), ("large", "stage", None, "OSError")]


def test_cheap_answers_are_audited_in_shadow() -> None:
    cascade = Cascade("small", "large", 0.8, audit=0.2)
    route = Route("cascade", (("small", 1.0),), stable="large", cascade=cascade)
    with serving(route, {"small": constant({"score": 0.9}), "large": constant({"score": 0.99})}) as (endpoint, layout):
        for _ in range(300):
            assert endpoint.predict({}).version == "small"
            endpoint.shadows.wait()
        found = Counter((row[0], row[1]) for row in rows(endpoint, layout))
        assert found["small", "candidate"] == 300
        assert 30 < found["large", "shadow"] < 95


def test_a_shadow_never_answers_and_never_fails_the_request() -> None:
    route = Route("shadow", (("v1", 1.0),), stable="v1", shadows=(("v2", 1.0), ("v3", 1.0)))
    versions = {"v1": constant(1.0), "v2": constant(2.0), "v3": failing(OSError())}
    with serving(route, versions, model=Model("m", rates=Rates(per_prediction_usd=0.01))) as (endpoint, layout):
        inputs: dict[str, object] = {"x": 1.0}
        reply = endpoint.predict(inputs, unit="u")
        inputs["x"] = 2.0  # what the caller does with it afterwards is no matter
        assert reply.prediction == 1.0
        found = rows(endpoint, layout, "version, role, prediction, error, parent_id, inputs.x")
        assert found[0] == ("v1", "stable", 1.0, None, None, 1.0)
        assert set(found[1:]) == {
            ("v2", "shadow", 2.0, None, reply.prediction_id, 1.0),
            ("v3", "shadow", None, "OSError", reply.prediction_id, 1.0),
        }
        tick(layout)
        with open_log(layout.root) as log:
            lines = {row[0]: row[1] for row in log.cost("m").table("lines").rows}
        assert (lines["predictions"], lines["shadow"]) == (0.01, 0.02)


def test_a_copy_says_where_the_request_came_from_and_by_which_pipeline() -> None:
    route = Route("shadow", (("v1", 1.0),), stable="v1", shadows=(("v2", 1.0),))
    with serving(route, {"v1": constant(1.0), "v2": constant(2.0)}) as (endpoint, layout):
        endpoint.predict({"x": 1.0}, source="partner", feature_version="normaliser-8", trace_id="t", key="k")
        found = rows(endpoint, layout, "version, source, feature_version, trace_id, key")
        assert set(found) == {
            ("v1", "partner", "normaliser-8", "t", "k"),
            ("v2", "partner", "normaliser-8", "t", None),
        }


def test_a_shadow_that_hangs_costs_the_caller_nothing_and_is_counted() -> None:
    leave = threading.Event()
    route = Route("shadow", (("v1", 1.0),), stable="v1", shadows=(("v2", 1.0),))
    with serving(route, {"v1": constant(1.0), "v2": lambda _: leave.wait()}) as (endpoint, layout):
        for _ in range(500):
            assert endpoint.predict({}).prediction == 1.0
        assert not endpoint.shadows.of("v2").has_room(time.perf_counter())
        leave.set()
        assert endpoint.close()
        with Snapshot(layout, "m") as snapshot:
            told = "SELECT sum(unsent), sum(requests) FROM tallies WHERE version = 'v2'"
            unsent, sent = snapshot.connection.execute(told).fetchall()[0]
        assert unsent + sent == 500
        assert QUEUE <= sent <= QUEUE + WORKERS


def test_coroutines_answer_as_functions_do() -> None:
    async def answer(inputs: Mapping[str, object]) -> float:
        await asyncio.sleep(0)
        return float(str(inputs["x"]))

    async def fail(_: Mapping[str, object]) -> float:
        raise OSError

    async def serve(endpoint: Endpoint) -> list[Reply]:
        return await asyncio.gather(*(endpoint.predict_async({"x": n}, unit=str(n)) for n in range(20)))

    with serving(FALLBACK, {"v1": answer, "v0": constant(0.0)}) as (endpoint, _):
        assert [reply.prediction for reply in asyncio.run(serve(endpoint))] == [float(n) for n in range(20)]
        with pytest.raises(UsageError, match="asynchronous"):
            Endpoint(endpoint.recorder.layout, "m", {"v1": answer}, recorder=endpoint.recorder).predict({"x": 1.0})
    with serving(FALLBACK, {"v1": fail, "v0": constant(0.0)}) as (endpoint, layout):
        assert {reply.version for reply in asyncio.run(serve(endpoint))} == {"v0"}
        assert len(rows(endpoint, layout)) == 40


def test_coroutines_are_asked_in_shadow_too() -> None:
    async def answer(_: Mapping[str, object]) -> float:
        await asyncio.sleep(0)
        return 2.0

    route = Route("shadow", (("v1", 1.0),), stable="v1", shadows=(("v2", 1.0),))
    with serving(route, {"v1": constant(1.0), "v2": answer}) as (endpoint, layout):
        endpoint.predict({})
        assert rows(endpoint, layout)[1] == ("v2", "shadow", 2.0, None)


def test_a_reply_that_a_version_gives_twice_is_told_apart() -> None:
    shared = Reply(prediction=1.0)
    with serving(SINGLE, {"v1": constant(shared)}) as (endpoint, _):
        first, second = endpoint.predict({}), endpoint.predict({})
        assert first.prediction_id != second.prediction_id
        assert shared.prediction_id == ""


def test_odd_inputs_and_units_cost_no_answer() -> None:
    with serving(SINGLE, {"v1": constant(1.0)}) as (endpoint, layout):
        for inputs in (None, 5, ["x"], {"x": object()}):
            assert endpoint.predict(inputs).prediction == 1.0  # pyright: ignore[reportArgumentType]
        assert endpoint.predict({}, unit=7, source="s").prediction == 1.0  # pyright: ignore[reportArgumentType]
        assert ("7",) in rows(endpoint, layout, "unit")


class Unreadable:
    def __str__(self) -> str:
        raise OSError


@pytest.mark.parametrize("odd", [7, b"x", object(), Unreadable()], ids=["number", "bytes", "object", "unreadable"])
@pytest.mark.parametrize("name", ["unit", "prediction_id"])
def test_an_odd_name_costs_no_answer_and_its_row_has_one_that_is_text(name: str, odd: object) -> None:
    route = Route("ab", (("v1", 0.5), ("v2", 0.5)), stable="v1")
    versions = {"v1": constant(1.0), "v2": constant(1.0)}
    with serving(route, versions) as (endpoint, layout):
        told: RequestDetails = {name: odd}  # pyright: ignore[reportAssignmentType] — not what it is for
        replies = [
            endpoint.predict({}, **told),
            asyncio.run(endpoint.predict_async({}, **told)),
            endpoint.predict({}, **told | RequestDetails(source="s")),
        ]
        assert [reply.prediction for reply in replies] == [1.0] * 3
        text = None if isinstance(odd, Unreadable) else str(odd)
        if name == "unit":
            assert {row[0] for row in rows(endpoint, layout, "unit")} == {text}
        else:
            assert {row[0] for row in rows(endpoint, layout, "prediction_id")} == {one.prediction_id for one in replies}
            assert text is None or {one.prediction_id for one in replies} == {text}


def test_a_version_that_changes_its_inputs_changes_them_for_no_other() -> None:
    def change(inputs: dict[str, object]) -> float:
        inputs["x"] = 99.0
        raise OSError

    seen: list[object] = []
    route = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), shadows=(("v2", 1.0),))
    versions = {"v1": change, "v0": lambda inputs: inputs["x"], "v2": lambda inputs: seen.append(inputs["x"])}
    with serving(route, versions) as (endpoint, layout):  # pyright: ignore[reportArgumentType] — versions
        mine: dict[str, object] = {"x": 1.0}
        assert endpoint.predict(mine).prediction == 1.0
        assert endpoint.predict_many({"x": [2.0]})[0].prediction == 2.0
        assert asyncio.run(endpoint.predict_async({"x": 3.0})).prediction == 3.0
        assert {row[0] for row in rows(endpoint, layout, "inputs.x")} == {1.0, 2.0, 3.0}
    assert sorted(map(str, seen)) == ["1.0", "2.0", "3.0"]
    assert mine == {"x": 1.0}


@pytest.mark.parametrize("limits", [Limits(), Limits(timeout_seconds=60.0)])
def test_a_process_that_is_to_end_is_recorded_and_is_no_failure_of_the_version(limits: Limits) -> None:
    def end(_: Mapping[str, object]) -> object:
        raise SystemExit(3)

    route = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=limits)
    with serving(route, {"v1": end, "v0": constant(0.0)}) as (endpoint, layout):
        for _ in range(6):  # no breaker opens
            with pytest.raises(SystemExit):
                endpoint.predict({})
        assert rows(endpoint, layout) == [("v1", "stable", None, "SystemExit")] * 6


def test_a_shadow_that_ends_its_thread_is_recorded_and_the_next_one_is_asked() -> None:
    def end(_: Mapping[str, object]) -> object:
        raise SystemExit

    route = Route("shadow", (("v1", 1.0),), stable="v1", shadows=(("v2", 1.0),))
    with serving(route, {"v1": constant(1.0), "v2": end}) as (endpoint, layout):
        for _ in range(5):
            endpoint.predict({})
            assert endpoint.shadows.wait()
        assert rows(endpoint, layout).count(("v2", "shadow", None, "SystemExit")) == 5


def test_a_caller_who_leaves_is_no_failure_of_the_version() -> None:
    async def never(_: Mapping[str, object]) -> float:
        await asyncio.Event().wait()
        return 1.0

    async def leave(endpoint: Endpoint) -> None:
        for _ in range(10):
            task = asyncio.create_task(endpoint.predict_async({}))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with serving(SINGLE, {"v1": never}) as (endpoint, layout):
        asyncio.run(leave(endpoint))
        assert {row[3] for row in rows(endpoint, layout)} == {"CancelledError"}  # and no breaker opened


def test_a_judgement_that_fails_takes_no_cheap_answer() -> None:
    def fail(_: Reply) -> bool:
        raise KeyError

    with serving(CASCADE, {"small": constant("yes"), "large": constant("no")}, accept=fail) as (endpoint, _):
        assert endpoint.predict({}).version == "large"
        assert endpoint.recorder.spool.failed == 1


HANGS = """
import sys, threading
from setpoint import Endpoint
endpoint = Endpoint(sys.argv[1], "m", {"v1": lambda _: threading.Event().wait(), "v0": lambda _: 0.0})
print(endpoint.predict({}).version)
endpoint.close()
"""


def test_a_version_that_hangs_does_not_keep_the_process_from_ending() -> None:
    with temporary_store() as (layout, _):
        limits = Limits(timeout_seconds=0.05)
        publish(layout, "m", Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=limits))
        command = [sys.executable, "-c", HANGS, str(layout.root)]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        assert told == "v0\n"


def test_a_forked_child_serves_on() -> None:
    inside, leave = threading.Event(), threading.Event()
    limits = Limits(timeout_seconds=5.0, concurrent=1)
    route = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",), limits=limits, shadows=(("v2", 1.0),))

    def once(_: Mapping[str, object]) -> float:
        inside.set()
        return 1.0 if leave.wait(30.0) else 0.0

    with serving(route, {"v1": once, "v0": constant(0.0), "v2": constant(2.0)}) as (endpoint, layout):
        waiting = threading.Thread(target=endpoint.predict, args=({},))
        waiting.start()
        assert inside.wait(10.0)
        child = os.fork()
        if not child:  # the parent's request holds its only place, in the parent
            leave.set()
            publish(layout, "m", Route("single", (("v1", 1.0),), stable="v1"))
            is_well = endpoint.predict({}).version == "v1" and endpoint.close()
            os._exit(0 if is_well else 1)
        assert os.waitpid(child, 0)[1] == 0
        leave.set()
        waiting.join()
        assert Counter(row[0] for row in rows(endpoint, layout))["v1"] == 2


def test_an_answer_of_numpy_is_a_plain_number() -> None:
    numpy = pytest.importorskip("numpy")
    with serving(SINGLE, {"v1": constant(numpy.float32(0.5))}) as (endpoint, layout):
        assert endpoint.predict({}).prediction == 0.5
        assert rows(endpoint, layout) == [("v1", "stable", 0.5, None)]


def test_what_is_no_time_costs_no_row() -> None:
    with serving(None, {"v1": constant({"prediction": 1.0, "upstream_seconds": "soon"})}) as (endpoint, layout):
        assert endpoint.predict({"x": 1.0}).prediction == 1.0
        assert rows(endpoint, layout, "prediction, upstream_seconds") == [(1.0, None)]


@pytest.mark.parametrize(
    "given",
    [
        {"prediction": 1.0, "confidence": "high"},
        {"prediction": 1.0, "confidence": 12},
        {"prediction": 1.0, "confidence": -0.1},
        {"score": "0.9"},
        {"score": 7.0},
        {"scores": [0.9, 0.1]},
        {"scores": {"a": None}},
    ],
)
@pytest.mark.parametrize("way", ["predict", "predict_async", "predict_many"])
def test_a_sureness_that_is_none_is_no_reason_to_take_a_cheap_answer(given: dict[str, object], way: str) -> None:
    with serving(CASCADE, {"small": constant(given), "large": constant(2.0)}) as (endpoint, _):
        if way == "predict_many":
            (reply,) = endpoint.predict_many([{"x": 1.0}])
        else:
            reply = asyncio.run(endpoint.predict_async({})) if way == "predict_async" else endpoint.predict({})
        assert (reply.version, reply.prediction) == ("large", 2.0)


@pytest.mark.parametrize("calls", [7, "abc", [1], [{"provider": "p", "nonsense": 1}], [{"cost_nano_usd": -5}]])
@pytest.mark.parametrize("is_many", [False, True])
def test_calls_that_cannot_be_read_cost_no_answer_and_have_an_unknown_cost(calls: object, *, is_many: bool) -> None:
    with serving(SINGLE, {"v1": constant({"prediction": 1.0, "calls": calls})}) as (endpoint, layout):
        reply = endpoint.predict_many([{"x": 1.0}])[0] if is_many else endpoint.predict({"x": 1.0})
        assert reply.prediction == 1.0
        assert endpoint.close()
        assert endpoint.recorder.spool.failed == 0
        with Snapshot(layout, "m") as snapshot:
            told = snapshot.connection.execute("SELECT prediction_id, cost_nano_usd FROM calls").fetchall()
        assert told == [(reply.prediction_id, None)]


@pytest.mark.parametrize("odd", [{"scores": [0.9, 0.1]}, {"scores": {"a": None}}, {"ranking": 5}, {"ranking": {"a"}}])
def test_scores_and_rankings_that_cannot_be_read_cost_neither_the_row_nor_its_bill(odd: dict[str, object]) -> None:
    given = {"prediction": "a", "calls": [{"cost_nano_usd": 5}], **odd}
    with serving(FALLBACK, {"v1": failing(ValueError("no")), "v0": constant(given)}) as (endpoint, layout):
        assert endpoint.predict({"x": 1.0}).prediction == "a"
        assert [row[:3] for row in rows(endpoint, layout)] == [("v0", "stable", "a"), ("v1", "stage", None)]
        assert endpoint.recorder.spool.failed == 1
        with Snapshot(layout, "m") as snapshot:
            assert snapshot.connection.execute("SELECT cost_nano_usd FROM calls").fetchall() == [(5,)]


def test_what_is_no_version_is_refused_before_anybody_asks() -> None:
    versions = cast("dict[str, Version]", {"v1": constant(1.0), "v2": 5})
    with pytest.raises(UsageError, match="v2 of m is 5, expected a function"), serving(None, versions):
        pass


def test_a_plan_that_cannot_be_followed_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with serving(SINGLE, {"v1": constant(1.0)}) as (endpoint, layout):
        publish(layout, "m", Route("single", (("v9", 1.0),), stable="v9"))
        while not endpoint.router.fault:
            endpoint.predict({})
        endpoint.router.look_at = 0.0  # pyright: ignore[reportPrivateUsage] — the next look, without waiting for it
        endpoint.predict({})
        said = [one for one in caplog.messages if "does not follow the route plan of m" in one]
        assert len(said) == 1
        assert "names v9, which is not here" in said[0]


def shadowed(layout: Layout) -> dict[object, tuple[object, ...]]:
    """Return by shadow version its requests, errors and copies that were not sent."""
    with Snapshot(layout, "m") as snapshot:
        told = "SELECT version, sum(requests), sum(errors), sum(unsent) FROM tallies WHERE role = 'shadow' GROUP BY 1"
        return {version: tuple(rest) for version, *rest in snapshot.connection.execute(told).fetchall()}


def test_a_shadow_that_hangs_holds_no_other_up_and_is_timed_out_where_the_route_says() -> None:
    leave = threading.Event()
    versions = {"v1": constant(1.0), "hangs": lambda _: leave.wait(), "well": constant(3.0)}
    shadows = (("hangs", 1.0), ("well", 1.0))
    route = Route("shadow", (("v1", 1.0),), stable="v1", shadows=shadows)
    with serving(route, versions) as (endpoint, layout):
        for _ in range(100):
            endpoint.predict({})
            assert endpoint.shadows.of("well").wait()
        leave.set()
        assert endpoint.close()
        assert shadowed(layout)["well"][0] == 100
    leave.clear()
    route = Route("shadow", (("v1", 1.0),), stable="v1", shadows=shadows, limits=Limits(timeout_seconds=1.0))
    with serving(route, versions) as (endpoint, layout):
        endpoint.predict({})
        assert endpoint.shadows.wait()
        leave.set()
        assert endpoint.close()
        assert shadowed(layout)["hangs"][:2] == (1, 1)


def test_a_shadow_that_fails_again_and_again_is_asked_once_in_a_while_until_it_does_not() -> None:
    answers = [*([OSError()] * DEAD), 2.0]

    def dying(_: Mapping[str, object]) -> object:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask(endpoint: Endpoint, count: int) -> None:
        for _ in range(count):
            assert endpoint.predict({}).version == "v1"
            assert endpoint.shadows.wait()

    route = Route("shadow", (("v1", 1.0),), stable="v1", shadows=(("v2", 1.0),))
    with serving(route, {"v1": constant(1.0), "v2": dying}) as (endpoint, layout):
        endpoint.shadows.of("v2")._rest_seconds = 3600.0
        ask(endpoint, DEAD + 50)
        endpoint.shadows.of("v2")._rests_until = 0.0  # an hour later
        ask(endpoint, 30)
        assert endpoint.close()
        assert shadowed(layout)["v2"] == (DEAD + 30, DEAD, 50)


def test_a_shadow_keeps_to_the_caps_and_what_they_refuse_is_counted() -> None:
    dear = {"prediction": 1.0, "calls": [{"provider": "p", "cost_nano_usd": 1_000_000_000}]}
    limits = Limits(usd_per_hour=2.0)
    route = Route("shadow", (("v1", 1.0),), stable="v1", shadows=(("v2", 1.0),), limits=limits)
    with serving(route, {"v1": constant(1.0), "v2": constant(dear)}) as (endpoint, layout):
        for _ in range(20):
            assert endpoint.predict({}).version == "v1"
            assert endpoint.shadows.wait()
        assert endpoint.close()
        assert shadowed(layout)["v2"] == (2, 0, 18)


@pytest.mark.parametrize(
    ("told", "cost"), [(np.int64(7), 7), (7.0, 7), (7.5, None), (True, None), (10**16, None), ("7", None)]
)
def test_a_cost_is_a_whole_number_of_nano_dollars_or_unknown(told: object, cost: int | None) -> None:
    with serving(SINGLE, {"v1": constant({"prediction": 1.0, "calls": [{"cost_nano_usd": told}]})}) as (
        endpoint,
        layout,
    ):
        assert endpoint.predict({}).prediction == 1.0
        assert endpoint.close()
        with Snapshot(layout, "m") as snapshot:
            assert snapshot.connection.execute("SELECT cost_nano_usd FROM calls").fetchall() == [(cost,)]
