"""A version that remembers: what is asked again, what is recorded of a hit, and what it costs."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from typing import cast

import pytest

from setpoint import Endpoint, Reply, UsageError, cached
from setpoint.project.log import open_log
from setpoint.testing import temporary_store

Asked = list[dict[str, object]]


def counting(asked: Asked) -> object:
    def answer(inputs: Mapping[str, object]) -> Reply:
        asked.append(dict(inputs))
        return Reply(score=len(asked) / 100, calls=[{"cost_nano_usd": 7_000_000, "input_tokens": 5}])

    return answer


def test_a_hit_is_a_prediction_with_its_own_line_in_the_bill() -> None:
    asked: Asked = []
    with temporary_store() as (layout, _):
        endpoint = Endpoint(layout, "m", {"v1": cached(counting(asked), seconds=60)})  # pyright: ignore[reportArgumentType] — a version
        scores = [endpoint.predict({"x": x}, unit="u").score for x in (1.0, 2.0, 1.0, 2.0, 1.0)]
        assert endpoint.close()
        with open_log(layout.root) as log:
            answer = log.cost()
            status = log.status()
    assert scores == [0.01, 0.02, 0.01, 0.02, 0.01]
    assert len(asked) == 2
    lines = {row[0]: row[1:3] for row in answer.table("lines").rows}
    assert lines == {"calls": (0.014, 2), "cached": (0.0, 3)}
    assert {row[0]: row[1] for row in status.table("metrics").rows}["tokens_per_request"] == 2.0


def test_what_is_remembered_holds_for_its_time_and_the_oldest_goes_first() -> None:
    asked: Asked = []
    at_once = cached(counting(asked), seconds=1e-9)  # pyright: ignore[reportArgumentType] — as above
    for _ in range(3):
        at_once({"x": 1.0})
    assert len(asked) == 3
    two = cached(counting(asked), seconds=60, entries=2)  # pyright: ignore[reportArgumentType] — as above
    for x in (1, 2, 1, 3, 1, 2):  # 2 was not asked for the longest when 3 came
        two({"x": x})
    assert [one["x"] for one in asked[3:]] == [1, 2, 3, 2]


def test_failures_and_inputs_that_cannot_be_compared_are_asked_again() -> None:
    calls: list[object] = []

    def fail(inputs: Mapping[str, object]) -> object:
        calls.append(inputs)
        raise ConnectionResetError

    failing, listing = cached(fail, seconds=60), cached(calls.append, seconds=60)
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            failing({"x": 1})
        listing({"x": [1, 2]})
    assert len(calls) == 4


def test_coroutine_functions_and_plain_scores() -> None:
    asked: list[object] = []

    async def answer(inputs: Mapping[str, object]) -> float:
        await asyncio.sleep(0)
        asked.append(inputs)
        return 0.25

    with temporary_store() as (layout, _):
        endpoint = Endpoint(layout, "m", {"v1": cached(answer, seconds=60, is_score=True)})

        async def twice() -> list[float | None]:
            return [(await endpoint.predict_async({"x": 1.0})).score for _ in range(2)]

        assert asyncio.run(twice()) == [0.25, 0.25]
        endpoint.close()
    assert len(asked) == 1


def test_a_version_that_changes_its_inputs_is_remembered_by_what_it_was_asked() -> None:
    def add_one(inputs: dict[str, float]) -> float:
        inputs["x"] += 1.0
        return inputs["x"]

    answer = cached(add_one, seconds=60)  # pyright: ignore[reportArgumentType] — a version
    assert [answer({"x": x}).prediction for x in (1.0, 2.0, 1.0)] == [2.0, 3.0, 2.0]  # pyright: ignore[reportAttributeAccessIssue]


def test_true_is_not_one() -> None:
    answer = cached(lambda inputs: str(inputs["x"]), seconds=60)
    assert [answer({"x": x}).prediction for x in (1, True, 1.0, 1)] == ["1", "True", "1.0", "1"]  # pyright: ignore[reportAttributeAccessIssue]


class Doubles:
    """Takes many rows at once, and notes which."""

    def __init__(self) -> None:
        self.asked: list[list[object]] = []

    def __call__(self, inputs: Mapping[str, object]) -> object:
        return self.predict_many([inputs])[0]

    def predict_many(self, rows: Sequence[Mapping[str, object]]) -> list[object]:
        self.asked.append([row["x"] for row in rows])
        return [ValueError("none") if row["x"] is None else float(str(row["x"])) * 2 for row in rows]


def test_of_a_batch_only_what_is_not_known_is_asked_for_and_at_once() -> None:
    version = Doubles()
    with temporary_store() as (layout, _):
        endpoint = Endpoint(layout, "m", {"v1": cached(version, seconds=60)})
        for column in ([1.0, 2.0, None], [2.0, 3.0, None], [1.0, 3.0]):
            replies = endpoint.predict_many({"x": column})
            assert [reply.prediction for reply in replies] == [None if x is None else x * 2 for x in column]
        assert endpoint.close()
        with open_log(layout.root) as log:
            lines = {row[0]: row[2] for row in log.cost().table("lines").rows}
    assert version.asked == [[1.0, 2.0, None], [3.0, None]]
    assert lines["cached"] == 3


def test_an_endpoint_is_not_cached_but_its_versions_are() -> None:
    with temporary_store() as (layout, _):
        endpoint = Endpoint(layout, "m", {"v1": lambda _: 1.0})
        with pytest.raises(UsageError, match="Endpoint is no function of the inputs"):
            cached(endpoint, seconds=60)  # pyright: ignore[reportArgumentType] — that is the fault
        assert endpoint.close()


def test_a_cache_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="0 answers that hold for 60 s"):
        cached(len, seconds=60, entries=0)
    with pytest.raises(UsageError, match="hold for 0 s"):
        cached(len, seconds=0)


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    inside, leave = threading.Event(), threading.Event()

    class Compared:
        """A value that is compared for as long as the test likes, while the memory is looked at."""

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            inside.set()
            return leave.wait(60.0)

    answer = cached(lambda _: 1.0, seconds=60)
    answer({"x": Compared()})
    looking = threading.Thread(target=answer, args=({"x": Compared()},))
    looking.start()
    assert inside.wait(10.0)
    child = os.fork()
    if not child:
        signal.alarm(30)  # it must end, also when it waits
        os._exit(cast("Reply", answer({"x": 2.0})).prediction != 1.0)
    assert os.waitpid(child, 0)[1] == 0
    leave.set()
    looking.join()
