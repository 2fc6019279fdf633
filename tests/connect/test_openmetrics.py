"""Counters are those of the tallies, in a form that parsers read, over a real server."""

from __future__ import annotations

import asyncio
import re
import threading
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

import setpoint
from setpoint import Endpoint, Recorder
from setpoint.connect.openmetrics import CONTENT_TYPE, MetricsApp
from setpoint.control.route_plans import publish
from setpoint.core.errors import StoreError
from setpoint.core.route_plan import Route
from setpoint.project.metrics import metrics_app, metrics_text
from setpoint.store.layout import Layout

SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\} ([0-9.e+-]+)')


def filled(store: Path) -> Path:
    layout = Layout.create(store)
    publish(layout, "m", Route("fallback", (("v1", 1.0),), stable="v1", fallback=('v"0\n',)))

    def fail_some(inputs: object) -> object:
        if inputs == {"x": 0.0}:
            raise OSError
        return {"prediction": 1.0, "calls": [{"input_tokens": 10, "output_tokens": 2, "cost_nano_usd": 5_000_000}]}

    endpoint = Endpoint(layout, "m", {"v1": fail_some, 'v"0\n': lambda _: 0.0})
    for n in range(40):
        endpoint.predict({"x": float(n % 4)})
    assert endpoint.close()
    recorder = Recorder(layout, "other")
    recorder.record({"x": 1.0}, latency_seconds=0.1)
    recorder.record({"x": 1.0}, latency_seconds=3.0)
    recorder.close()
    return store


def samples(text: str) -> dict[str, float]:
    lines = text.splitlines()
    assert lines[-1] == "# EOF"
    found: dict[str, float] = {}
    families: list[str] = []
    for line in lines[:-1]:
        if line.startswith("# TYPE "):
            families.append(line.split()[2])
            continue
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            assert match[1].startswith(families[-1])
            name = f"{match[1]}{{{match[2]}}}"
            assert name not in found
            found[name] = float(match[3])
    assert len(families) == len(set(families))
    return found


def test_counts_are_those_of_the_tallies(tmp_path: Path) -> None:
    found = samples(metrics_text(filled(tmp_path / "store")))
    assert found['setpoint_predictions_total{model="m",version="v1",role="stable"}'] == 30
    assert found['setpoint_predictions_total{model="m",version="v1",role="stage"}'] == 10
    assert found['setpoint_errors_total{model="m",version="v1",role="stage"}'] == 10
    assert found['setpoint_predictions_total{model="m",version="v\\"0\\n",role="stable"}'] == 10
    assert found['setpoint_calls_cost_usd_total{model="m",version="v1",line="calls"}'] == 0.15
    assert found['setpoint_tokens_total{model="m",version="v1",role="stable",class="input"}'] == 300
    assert found['setpoint_tokens_total{model="m",version="v1",role="stable",class="output"}'] == 60
    assert found['setpoint_errors_by_kind_total{model="m",version="v1",role="stage",kind="OSError"}'] == 10
    latency = found['setpoint_latency_part_seconds_total{model="other",role="stable",part="latency"}']
    assert latency == pytest.approx(3.1)
    machine = 'setpoint_machine_seconds_total{model="other",role="stable",of='
    used, had = found[f'{machine}"cpu"}}'], found[f'{machine}"cpu_limit"}}']
    assert 0.0 < used <= had
    other = 'setpoint_latency_seconds_bucket{model="other",role="stable",le='
    assert [found[f'{other}"{end}"}}'] for end in ("0.0625", "0.125", "2.0", "4.0", "+Inf")] == [0, 1, 1, 2, 2]
    assert abs(found['setpoint_latency_seconds_sum{model="other",role="stable"}'] - 3.1) < 0.05


def test_checkpoints_of_a_continuous_learner_are_counted_by_their_family(tmp_path: Path) -> None:
    recorder = Recorder(Layout.create(tmp_path / "store"), "ranker")
    for n in range(60):
        recorder.record({"x": 1.0}, version=f"als@{n}", latency_seconds=0.1, error="OSError" if n < 2 else None)
    recorder.close()
    text = metrics_text(tmp_path / "store")
    found = samples(text)
    assert found['setpoint_predictions_total{model="ranker",version="als",role="stable"}'] == 60
    assert found['setpoint_errors_by_kind_total{model="ranker",version="als",role="stable",kind="OSError"}'] == 2
    assert found['setpoint_latency_seconds_count{model="ranker",version="als",role="stable"}'] == 60
    assert "@" not in text


def test_one_model_alone(tmp_path: Path) -> None:
    assert 'model="m"' not in metrics_text(filled(tmp_path / "store"), "other")


def test_a_server_answers_with_them(tmp_path: Path) -> None:
    app = metrics_app(filled(tmp_path / "store"))

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            """Say nothing."""

    with make_server("127.0.0.1", 0, app.wsgi, handler_class=Quiet) as server:  # pyright: ignore[reportArgumentType]
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
            body, kind = answer.read(), answer.headers["content-type"]
        thread.join()
    assert kind == CONTENT_TYPE
    sent: list[dict[str, object]] = []

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    asyncio.run(setpoint.metrics_app(tmp_path / "store")({"type": "http"}, receive, send))  # pyright: ignore[reportArgumentType]
    told = sent[1]["body"]
    assert isinstance(told, bytes)
    assert samples(told.decode()) == pytest.approx(samples(body.decode()))  # sums of doubles, in whatever order


def test_a_loop_goes_on_while_the_counters_are_read() -> None:
    has_run = threading.Event()

    async def both() -> bool:
        app = MetricsApp(lambda: "yes" if has_run.wait(5.0) else "no")
        bodies: list[object] = []

        async def send(message: Mapping[str, object]) -> None:
            bodies.append(message.get("body"))

        async def receive() -> dict[str, object]:
            return {"type": "http.request"}

        reading = asyncio.create_task(app({"type": "http"}, receive, send))  # pyright: ignore[reportArgumentType]
        await asyncio.sleep(0)
        has_run.set()
        await reading
        return b"yes" in bodies

    assert asyncio.run(both())


def test_a_model_that_cannot_be_read_keeps_back_no_other_and_is_told(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    (store / "models").mkdir()
    (store / "models" / "m.json").write_text('{"name":')
    found = samples(metrics_text(store))
    assert found['setpoint_unreadable{model="m"}'] == 1.0
    assert found['setpoint_predictions_total{model="other",role="stable"}'] == 2.0
    with pytest.raises(StoreError, match="damaged"):
        metrics_text(store, "m")
