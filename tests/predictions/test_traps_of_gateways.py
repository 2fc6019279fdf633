"""Safety controls that silently did nothing in other products, each named after the thread that tells of it.

As a user does it: routes are declared and applied, versions are asked through an endpoint, and what came of it is
what `setpoint route` and `setpoint cost` say.
"""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from deltalake import DeltaTable
from typer.testing import CliRunner, Result

from setpoint import Endpoint, Reply, SetpointError
from setpoint.cli import app, commands
from setpoint.predictions.streams import AsyncStream
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot

assert commands  # importing it registers the commands

Inputs = Mapping[str, object]


class Service:
    """A folder with declarations, and what runs beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "models").mkdir()
        (folder / "setpoint.yaml").write_text("store: ./store\n")

    def invoke(self, *words: str) -> Result:
        return CliRunner().invoke(app, list(words), catch_exceptions=True)

    def route(self, text: str) -> Result:
        (self.folder / "models" / "m.yaml").write_text(f"name: m\nroute:\n  {text}\n")
        return self.invoke("apply", str(self.folder))

    def applied(self, text: str) -> None:
        done = self.route(text)
        assert done.exception is None, done.output

    def endpoint(self, **versions: object) -> Endpoint:
        return Endpoint(self.folder / "store", "m", versions)  # pyright: ignore[reportArgumentType] — functions, by name

    def answer(self, *words: str) -> dict[str, list[dict[str, object]]]:
        done = self.invoke(*words, "m", "--json", "--store", str(self.folder / "store"))
        return json.loads(done.stdout)["tables"]

    def told(self) -> dict[object, dict[str, object]]:
        return {row["version"]: row for row in self.answer("route")["versions"]}


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def one(_: Inputs) -> float:
    return 1.0


def two(_: Inputs) -> float:
    return 2.0


def follow(endpoint: Endpoint, generation: int) -> None:
    """Ask until the plan is in force: at most 20 ms."""
    while endpoint.router.plan().generation < generation:
        pass


def test_kserve_5335_and_4074_a_weight_that_was_ignored(service: Service) -> None:
    service.applied("{strategy: canary, versions: {v2: 0.1, v1: 0.9}, stable: v1}")
    endpoint = service.endpoint(v1=one, v2=two)
    found = Counter(endpoint.predict({}, unit=f"user-{n}").version for n in range(3000))
    assert endpoint.close()
    assert 230 < found["v2"] < 370
    told = service.told()
    assert told["v2"]["planned_ratio"] == 0.1
    assert told["v2"]["requests"] == found["v2"]
    for versions in ("{v2: 0.1, v1: 0.8}", "{v2: 0, v1: 1}", "{v2: -0.1, v1: 1.1}", "{v2: 0.00001, v1: 0.99999}"):
        refused = service.route(f"{{strategy: canary, versions: {versions}, stable: v1}}")
        assert refused.exception is not None, versions


class Refusing(OSError):
    calls = ({"provider": "p", "provider_model": "small"},)  # billed, and nobody knows how much


def refusing(_: Inputs) -> object:
    raise Refusing


def large(_: Inputs) -> object:
    call = {"provider": "p", "provider_model": "large", "cost_nano_usd": 20_000_000}
    return {"prediction": 1.0, "calls": [call]}


def test_litellm_8810_and_21023_a_cost_of_nothing_after_a_fallback(service: Service) -> None:
    service.applied("{strategy: fallback, versions: {v1: 1}, stable: v1, fallback: [v0], limits: {usd_per_hour: 0.05}}")
    endpoint = service.endpoint(v1=refusing, v0=large)
    for _ in range(3):
        assert endpoint.predict({}).prediction == 1.0
    with pytest.raises((Refusing, SetpointError)):  # the cap counts what the fallback costs
        endpoint.predict({})
    assert endpoint.close()
    lines = {row["line"]: row for row in service.answer("cost")["lines"]}
    assert lines["calls"]["usd"] is None  # the failed try has a price that nobody knows, which is not 0
    assert lines["calls"]["at_least_usd"] == pytest.approx(0.06)


def test_argo_4841_a_canary_keeps_a_weight_after_the_abort(service: Service) -> None:
    service.applied("{strategy: canary, versions: {v2: 0.5, v1: 0.5}, stable: v1}")
    endpoint = service.endpoint(v1=one, v2=two)
    assert {endpoint.predict({}, unit=str(n)).version for n in range(50)} == {"v1", "v2"}
    service.applied("{strategy: single, versions: {v1: 1}, stable: v1}")
    follow(endpoint, 2)
    assert {endpoint.predict({}, unit=str(n)).version for n in range(2000)} == {"v1"}
    assert endpoint.close()
    assert service.told()["v1"]["planned_ratio"] == 1.0
    assert service.told()["v2"]["planned_ratio"] in {None, 0.0}


def test_argo_2726_stickiness_mixes_the_arms(service: Service) -> None:
    service.applied("{strategy: canary, versions: {v2: 0.2, v1: 0.8}, stable: v1}")
    units = [f"user-{n}" for n in range(500)]
    first, second = service.endpoint(v1=one, v2=two), service.endpoint(v1=one, v2=two)
    before = [first.predict({}, unit=unit).version for unit in units]
    assert [second.predict({}, unit=unit).version for unit in units] == before
    service.applied("{strategy: canary, versions: {v2: 0.6, v1: 0.4}, stable: v1}")
    follow(first, 2)
    after = [first.predict({}, unit=unit).version for unit in units]
    assert all(later == "v2" for earlier, later in zip(before, after, strict=True) if earlier == "v2")
    assert after.count("v2") > before.count("v2")


def test_argo_4612_a_rollback_to_a_version_that_is_not_there(service: Service) -> None:
    service.applied("{strategy: canary, versions: {v2: 0.5, v1: 0.5}, stable: v1}")
    endpoint = service.endpoint(v1=one, v2=two)
    service.applied("{strategy: single, versions: {v0: 1}, stable: v0}")
    while not endpoint.router.fault:  # at most 20 ms
        assert endpoint.predict({}).version in {"v1", "v2"}
    assert endpoint.router.fault == "generation 2 names v0, which is not here"
    assert {endpoint.predict({}).version for _ in range(50)} == {"v1", "v2"}  # the last good plan
    fresh = service.endpoint(v1=one, v2=two)  # started after that: there is no last good plan, and the fault is said
    assert fresh.predict({}).version == "v1"
    assert fresh.router.fault


def test_argo_2235_an_outage_at_the_last_step(service: Service) -> None:
    service.applied("{strategy: canary, versions: {v2: 0.9, v1: 0.1}, stable: v1}")
    endpoint = service.endpoint(v1=one, v2=two)
    service.applied("{strategy: single, versions: {v2: 1}, stable: v2}")
    while endpoint.router.plan().generation < 2:
        assert endpoint.predict({}).prediction in {1.0, 2.0}
    assert {endpoint.predict({}, unit=str(n)).version for n in range(200)} == {"v2"}


def test_argo_1700_an_analysis_of_the_wrong_version(service: Service) -> None:
    service.applied("{strategy: canary, versions: {v2: 0.5, v1: 0.5}, stable: v1, fallback: [v0]}")
    endpoint = service.endpoint(v1=one, v2=refusing, v0=two)
    for n in range(40):
        endpoint.predict({}, unit=str(n))
    assert endpoint.close()
    told = service.told()
    assert (told["v1"]["errors"], told["v0"]["errors"]) == (0, 0)
    assert told["v0"]["requests"]
    assert told["v2"]["errors"] == told["v0"]["requests"]  # counted where it failed, not where it was mended


def test_tensorzero_4402_units_that_saw_two_variants_are_dropped(service: Service) -> None:
    service.applied("{strategy: ab, versions: {v2: 0.5, v1: 0.5}, stable: v1, fallback: [v1]}")
    calls: list[str] = []

    def flaky(inputs: Inputs) -> float:
        calls.append("v2")
        if len(calls) % 2:
            raise Refusing
        return two(inputs)

    endpoint = service.endpoint(v1=one, v2=flaky)
    seen: dict[str, list[str]] = {}
    for n in range(200):
        reply = endpoint.predict({}, unit=f"episode-{n % 20}")
        seen.setdefault(f"episode-{n % 20}", []).append(reply.version)
    assert endpoint.close()
    assert any(len(set(versions)) == 2 for versions in seen.values())
    asked = Counter(version for versions in seen.values() for version in versions)
    told = service.told()
    assert {name: told[name]["requests"] for name in ("v1", "v2")} == dict(asked)


def test_portkey_328_a_gateway_without_state_cannot_share_out(service: Service) -> None:
    service.applied("{strategy: ab, versions: {v2: 0.5, v1: 0.5}, stable: v1}")
    endpoints = [service.endpoint(v1=one, v2=two) for _ in range(4)]  # each knows nothing of the others
    found = Counter(endpoint.predict({}).version for _ in range(250) for endpoint in endpoints)
    assert 400 < found["v2"] < 600


def test_seldon_5157_what_is_not_ready_receives_traffic(service: Service) -> None:
    service.applied(
        "{strategy: fallback, versions: {v1: 1}, stable: v1, fallback: [v0], limits: {breaker_pause: 1h}}",
    )
    asked: list[Inputs] = []

    def starting(inputs: Inputs) -> object:
        asked.append(inputs)
        raise Refusing

    endpoint = service.endpoint(v1=starting, v0=two)
    assert {endpoint.predict({}).prediction for _ in range(200)} == {2.0}  # and no caller sees an error
    assert len(asked) == 5


def test_envoy_a_mirror_of_the_canary_doubles_its_traffic(service: Service) -> None:
    service.applied("{strategy: canary, versions: {v2: 0.5, v1: 0.5}, stable: v1, shadow: {v2: 1}}")
    asked: list[Inputs] = []
    endpoint = service.endpoint(v1=one, v2=lambda inputs: asked.append(inputs) or 2.0)
    for n in range(100):
        endpoint.predict({}, unit=str(n))
        endpoint.shadows.wait()
    assert len(asked) == 100  # what it answers itself is not sent to it once more


def test_flagger_244_a_mirror_that_was_refused(service: Service) -> None:
    service.applied("{strategy: shadow, versions: {v1: 1}, stable: v1, shadow: {v2: 1}}")
    endpoint = service.endpoint(v1=one, v2=refusing)
    for _ in range(20):
        assert endpoint.predict({}).prediction == 1.0
        endpoint.shadows.wait()
    assert endpoint.close()
    told = service.told()
    assert (told["v1"]["errors"], told["v2"]["errors"]) == (0, 20)  # none is lost without a word


def test_kserve_5983_requests_fail_while_a_canary_changes(service: Service) -> None:
    service.applied("{strategy: canary, versions: {v2: 0.1, v1: 0.9}, stable: v1}")
    endpoint = service.endpoint(v1=one, v2=two)
    is_over = threading.Event()
    answers: list[object] = []

    def ask() -> None:
        while not is_over.is_set():
            answers.append(endpoint.predict({}).prediction)

    asking = threading.Thread(target=ask)
    asking.start()
    for generation, share in enumerate((0.5, 1, 0.3, 0.1), start=2):
        split = f"canary, versions: {{v2: {share}, v1: {round(1 - share, 1)}}}, stable: v1"
        service.applied(f"{{strategy: {split if share < 1 else 'single, versions: {v2: 1}'}}}")
        follow(endpoint, generation)
    is_over.set()
    asking.join()
    assert set(answers) == {1.0, 2.0}
    assert endpoint.close()
    assert {row["errors"] for row in service.answer("route")["versions"]} == {0}


def test_mlflow_22836_a_model_whose_usage_is_missing_costs_nothing(service: Service) -> None:
    (service.folder / "prices.yaml").write_text(
        "prices: [{provider: p, model: m, per_million_tokens: {input: 1, output: 1}}]\n"
    )
    service.applied("{strategy: ab, versions: {v2: 0.5, v1: 0.5}, stable: v1}")
    billed = {"provider": "p", "provider_model": "m"}
    endpoint = service.endpoint(
        v1=lambda _: {"prediction": 1.0, "calls": [{**billed, "input_tokens": 1000, "output_tokens": 0}]},
        v2=lambda _: {"prediction": 2.0, "calls": [billed]},
    )
    found = Counter(endpoint.predict({}, unit=str(n)).version for n in range(40))
    assert endpoint.close()
    lines = {row["line"]: row for row in service.answer("cost")["lines"]}
    assert lines["calls"]["usd"] is None
    assert lines["calls"]["at_least_usd"] == pytest.approx(found["v1"] / 1000)
    (unpriced,) = service.answer("price", "check")["unpriced"]
    assert unpriced["calls"] == found["v2"]
    assert "the call reports none" in str(unpriced["unknown"])


ROW = {"x": 1.0}


async def _last(stream: AsyncStream) -> Reply | None:
    async for _ in stream:
        pass
    return stream.reply


def _streamed(endpoint: Endpoint) -> Reply | None:
    stream = endpoint.stream(ROW, unit="u")
    list(stream)
    return stream.reply


ASKED: dict[str, Callable[[Endpoint], Reply | None]] = {
    "predict": lambda endpoint: endpoint.predict(ROW, unit="u"),
    "predict_async": lambda endpoint: asyncio.run(endpoint.predict_async(ROW, unit="u")),
    "predict_many": lambda endpoint: endpoint.predict_many([ROW], units=["u"])[0],
    "predict_many_async": lambda endpoint: asyncio.run(endpoint.predict_many_async([ROW], units=["u"]))[0],
    "stream": _streamed,
    "stream_async": lambda endpoint: asyncio.run(_last(endpoint.stream_async(ROW, unit="u"))),
}


@pytest.mark.parametrize("way", ASKED)
def test_litellm_25843_10972_and_5512_a_fallback_that_differs_when_streaming(service: Service, way: str) -> None:
    service.applied(
        "{strategy: fallback, versions: {v1: 1}, stable: v1, fallback: [v0],"
        " limits: {attempts: 2, breaker_failures: 3}}"
    )
    endpoint = service.endpoint(v1=refusing, v0=large)
    for _ in range(3):
        reply = ASKED[way](endpoint)
        assert reply is not None
        assert (reply.version, reply.prediction, reply.is_fallback) == ("v0", 1.0, True)
    assert endpoint.close()
    told = service.told()
    assert (told["v0"]["requests"], told["v0"]["errors"], told["v1"]["errors"]) == (3, 0, 3)
    with Snapshot(Layout.open(service.folder / "store"), "m") as snapshot:
        found = snapshot.connection.execute("SELECT role, error, count(*) FROM predictions GROUP BY ALL").fetchall()
        billed = snapshot.connection.execute("SELECT count(*), count(cost_nano_usd) FROM calls").fetchall()
    assert sorted(found, key=str) == [("stable", None, 3), ("stage", "Refusing", 2), ("stage", "breaker open", 1)]
    assert billed == [(6, 3)]  # three tries before the breaker opened, at an unknown cost, and three answers


def test_litellm_12685_and_6404_memory_that_grows(service: Service) -> None:
    service.applied("{strategy: canary, versions: {v2: 0.5, v1: 0.5}, stable: v1}")
    endpoint = service.endpoint(v1=one, v2=two)

    def held_bytes(first: int, count: int) -> int:
        for n in range(first, first + count):
            endpoint.predict({"x": float(n)}, unit=f"user-{n}", key=f"key-{n}")
        assert endpoint.recorder.flush()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = held_bytes(0, 3000)
        grown = held_bytes(3000, 12000) - before
    finally:
        tracemalloc.stop()
    assert grown < 12000 * 4  # less than a reference for each request
    assert endpoint.close()


MANY = 32


@pytest.mark.parametrize("is_async", [False, True])
def test_litellm_21046_13546_9491_and_ray_42565_55473_46693_requests_that_wait_in_a_line(
    service: Service, *, is_async: bool
) -> None:
    """Each is answered when all of them are under way: were one to wait for another, none would be."""
    service.applied("{strategy: single, versions: {v1: 1}, stable: v1}")
    all_here, loop_here = threading.Barrier(MANY, timeout=60), asyncio.Barrier(MANY)

    def meet(_: Inputs) -> float:
        return float(all_here.wait() >= 0)

    async def meet_in_the_loop(_: Inputs) -> float:
        return float(await loop_here.wait() >= 0)

    endpoint = service.endpoint(v1=meet_in_the_loop if is_async else meet)

    async def gathered() -> list[Reply]:
        return await asyncio.gather(*(endpoint.predict_async({}) for _ in range(MANY)))

    replies = asyncio.run(gathered())
    if not is_async:
        with ThreadPoolExecutor(MANY) as threads:
            replies += threads.map(endpoint.predict, [ROW] * MANY)
    assert {reply.prediction for reply in replies} == {1.0}
    assert endpoint.close()


def test_ray_52745_streams_that_hold_each_other_up(service: Service) -> None:
    """Each goes on when the caller of every other one has its piece: were one held back, all would be."""
    service.applied("{strategy: single, versions: {v1: 1}, stable: v1}")
    taken = [asyncio.Barrier(MANY) for _ in range(3)]

    async def talking(_: Inputs) -> AsyncIterator[str]:
        for n in range(3):
            yield str(n)
            await taken[n].wait()

    async def heard() -> list[Reply | None]:
        return await asyncio.gather(*(_last(endpoint.stream_async(ROW)) for _ in range(MANY)))

    endpoint = service.endpoint(v1=talking)
    assert {reply.text for reply in asyncio.run(heard()) if reply is not None} == {"012"}
    assert endpoint.close()


@pytest.mark.parametrize("count", [1, 2, 300])
def test_bentoml_4670_and_3141_rows_that_came_together_are_asked_for_one_by_one(service: Service, count: int) -> None:
    service.applied("{strategy: single, versions: {v1: 1}, stable: v1}")
    asked: list[int] = []

    class Batch:
        def __call__(self, row: Inputs) -> object:
            raise AssertionError(row)

        def predict_many(self, rows: list[Inputs]) -> list[object]:
            asked.append(len(rows))
            return [row["x"] for row in rows]

    endpoint = service.endpoint(v1=Batch())
    replies = endpoint.predict_many({"x": [float(n) for n in range(count)]})
    assert [reply.prediction for reply in replies] == [float(n) for n in range(count)]
    assert asked == [count]
    assert endpoint.close()


def test_tensorzero_4341_and_373_a_store_that_is_gone_takes_the_predictions_with_it(service: Service) -> None:
    service.applied("{strategy: canary, versions: {v2: 0.5, v1: 0.5}, stable: v1}")
    endpoint, store, aside = service.endpoint(v1=one, v2=two), service.folder / "store", service.folder / "aside"
    endpoint.predict(ROW, unit="before")
    assert endpoint.recorder.flush()
    store.rename(aside)
    store.write_text("no folder")
    versions = {endpoint.predict(ROW, unit=f"user-{n}").version for n in range(50)}
    assert versions == {"v1", "v2"}  # by the last good plan
    store.unlink()
    aside.rename(store)
    assert endpoint.recorder.flush()
    assert endpoint.close()
    assert sum(int(str(row["requests"])) for row in service.answer("route")["versions"]) == 51


def test_kserve_3836_and_2922_a_log_that_one_reader_has_for_itself(service: Service) -> None:
    service.applied("{strategy: single, versions: {v1: 1}, stable: v1}")
    endpoint = service.endpoint(v1=one)
    for n in range(20):
        endpoint.predict({"x": float(n)}, key=f"key-{n}")
    assert endpoint.close()
    service.invoke("tick", "--store", str(service.folder / "store"))
    layout = Layout.open(service.folder / "store")
    told = DeltaTable(layout.lake("m", "predictions")).to_pyarrow_table()  # as any tool that reads Delta tables does
    assert told.num_rows == 20
    with Snapshot(layout, "m") as first, Snapshot(layout, "m") as second:
        counts = [seen.connection.execute("SELECT count(*) FROM predictions").fetchone() for seen in (first, second)]
    assert counts == [(20,), (20,)]
    assert service.told()["v1"]["requests"] == 20
