"""What predictions took: parts, kinds, classes, the machine, and success by latency; against sums made by hand."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

import setpoint
from setpoint import Endpoint, Recorder, UsageError
from setpoint.answers.answer import Answer
from setpoint.control.route_plans import publish
from setpoint.core.errors import UpstreamError
from setpoint.core.model import Cohort, Feature, Model
from setpoint.core.route_plan import Route
from setpoint.core.verdict import Verdict
from setpoint.project.log import open_log
from setpoint.project.metrics import metrics_text
from setpoint.stats import intervals
from setpoint.store.layout import Layout
from setpoint.store.machine import Machine, processors
from setpoint.testing import temporary_store

ROWS = 400


def rows_of(answer: Answer, table: str) -> list[Any]:
    return answer.table(table).rows


def cells(answer: Answer, table: str) -> dict[Any, Any]:
    return {row[0]: row for row in rows_of(answer, table)}


def recorded(layout: Layout, model: Model) -> None:
    """Record rows of which the slow ones are wrong more often, in one of two countries."""
    rng = random.Random(5)
    layout.declare(model)
    recorder = Recorder(layout, model.name, version="v1")
    for n in range(ROWS):
        slow, country = n % 4 == 0, "de" if n % 2 else "fr"
        key = f"k{n}"
        recorder.record(
            {"country": country}, prediction=True, key=key,
            latency_seconds=1.0 if slow else 0.1, compute_seconds=0.04, queue_seconds=0.01, features_seconds=0.02,
            upstream_seconds=0.02, first_chunk_seconds=0.05, error="timeout" if n % 100 == 0 else None,
        )  # fmt: skip
        right = rng.random() > (0.5 if slow else 0.05)
        recorder.outcome(right, key=key, value_usd=2.0 if right else -1.0)
    assert recorder.close()


@pytest.fixture
def layout() -> Iterator[Layout]:
    with temporary_store() as (made, _):
        yield made


def model_of(**more: object) -> Model:
    return Model("m", features=(Feature("country"),), cohorts=(Cohort("country", by="country"),), **more)  # pyright: ignore[reportArgumentType] — fields of a model


def test_every_part_is_the_mean_of_its_rows(layout: Layout) -> None:
    recorded(layout, model_of(flops_per_request=2e9))
    with open_log(layout.root) as log:
        answer = log.meter()
    parts = {part: row[1] for part, row in cells(answer, "latency").items()}
    mean = 1.0 * 0.25 + 0.1 * 0.75
    expected = {"queue": 0.01, "features": 0.02, "model": 0.04, "upstream": 0.02, "overhead": mean - 0.09}
    assert parts == pytest.approx(expected)
    assert sum(row[2] for row in rows_of(answer, "latency")) == pytest.approx(1.0)
    metrics = {name: row[1] for name, row in cells(answer, "metrics").items()}
    assert metrics["effective_flops_per_second"] == pytest.approx(2e9 / 0.04)
    assert 0.0 < metrics["cpu_utilisation"] <= 1.0
    assert metrics["gpu_utilisation"] is None
    assert metrics["first_chunk_p95_seconds"] == pytest.approx(0.05, rel=0.03)
    assert cells(answer, "errors")["timeout"][1] == 4
    share = intervals.wilson(4, ROWS)
    assert cells(answer, "errors")["timeout"][2:] == pytest.approx((share.value, share.low, share.high))
    assert answer.verdict is Verdict.OK
    assert "P50 99.9 ms, P95 1.02 s: 72.3 % overhead" in answer.headline


def test_success_by_latency_within_a_cohort_is_that_of_the_rows(layout: Layout) -> None:
    recorded(layout, model_of())
    with open_log(layout.root) as log:
        answer = log.meter(by="country")
        plain = log.meter()
    columns = answer.table("by_latency").columns
    found = [dict[str, Any](zip(columns, row, strict=True)) for row in rows_of(answer, "by_latency")]
    assert {row["country"] for row in found} == {"de", "fr"}
    assert sum(row["predictions"] for row in found) == ROWS
    slow = [row for row in found if row["from_seconds"] > 0.05]
    assert [row["country"] for row in slow] == ["fr"]  # every fourth row is slow, and those are of France
    assert slow[0]["success_high"] < min(row["success_low"] for row in found if row is not slow[0])
    rate = slow[0]["success_rate"]
    assert slow[0]["mean_value_usd"] == pytest.approx(2.0 * rate - (1.0 - rate))
    assert slow[0]["value_low_usd"] < slow[0]["mean_value_usd"] < slow[0]["value_high_usd"]
    assert any("associations" in line for line in answer.because)
    assert plain.table("by_latency").columns[0] == "from_seconds"
    assert sum(row[2] for row in rows_of(plain, "by_latency")) == ROWS


def test_tokens_are_told_by_class_and_errors_of_an_endpoint_by_kind(layout: Layout) -> None:
    def sometimes(inputs: object) -> object:
        if inputs == {"x": 0.0}:
            raise OSError
        usage = {"input_tokens": 10, "cached_read_tokens": 90, "reasoning_tokens": 7, "output_tokens": 3}
        return {"prediction": 1.0, "upstream_seconds": 1e-9, "calls": [usage]}

    endpoint = Endpoint(layout, "m", {"v1": sometimes})
    for n in range(40):
        try:
            endpoint.predict({"x": float(n % 4)}, queue_seconds=0.5)
        except OSError:
            continue
    assert endpoint.close()
    with open_log(layout.root) as log:
        answer = log.meter()
    classes = {name: row[1:] for name, row in cells(answer, "tokens").items()}
    assert classes == {
        "input": (300, 7.5), "cached_read": (2700, 67.5), "output": (90, 2.25), "reasoning": (210, 5.25),
    }  # fmt: skip
    assert list(cells(answer, "errors")) == ["OSError"]
    assert cells(answer, "latency")["queue"][1] == pytest.approx(0.5)
    assert cells(answer, "latency")["queue"][2] > 0.9  # the caller waited for its turn too


def test_stages_are_a_part_of_what_their_caller_waited_and_their_errors_are_told(layout: Layout) -> None:
    def down(_: object) -> object:
        error = UpstreamError(kind="status 500", detail="no")
        error.upstream_seconds = 0.25
        raise error

    publish(layout, "m", Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",)))
    endpoint = Endpoint(layout, "m", {"v1": down, "v0": lambda _: {"prediction": 1.0, "upstream_seconds": 2}})
    for _ in range(4):
        endpoint.predict({}, queue_seconds=8.0)
    assert endpoint.close()
    with open_log(layout.root) as log:
        answer = log.meter()
    assert [name for name, *_ in rows_of(answer, "latency")] == ["queue", "upstream", "overhead"]  # what somebody told
    assert cells(answer, "latency")["upstream"][1] == pytest.approx(2.25)
    assert rows_of(answer, "stage_errors") == [("status 500", 4)]
    assert [table.name for table in answer.tables if table.name == "errors"] == []  # no caller saw one


def test_tokens_are_those_of_the_calls_whoever_was_kept(layout: Layout) -> None:
    layout.declare(model_of(keep=0.1))
    publish(layout, "m", Route("shadow", (("v1", 1.0),), stable="v1", shadows=(("v2", 1.0),)))
    usages = iter([{"input_tokens": -50, "output_tokens": 4}])  # as of a provider that contradicts itself

    def large(_: object) -> object:
        return {"prediction": 1.0, "calls": [next(usages, {"input_tokens": 10})]}

    endpoint = Endpoint(layout, "m", {"v1": large, "v2": lambda _: {"prediction": 1.0, "calls": [{"input_tokens": 3}]}})
    for _ in range(60):
        endpoint.predict({})
        assert endpoint.shadows.wait()
    assert endpoint.close()
    with open_log(layout.root) as log:
        answer = log.meter()
        with log.evidence("m") as evidence:
            tokens = evidence.traffic(None).only(measure="tokens")
        text = metrics_text(layout.root)
    assert {name: row[1] for name, row in cells(answer, "tokens").items()} == {"input": 590 + 180, "output": 4}
    assert tokens.only(role="shadow").total("amount") == 180
    assert 'setpoint_predictions_total{model="m",role=' not in text  # of a row that was not kept only tokens are told
    assert 'setpoint_predictions_total{model="m",version="v1",role="stable"} 60' in text


def test_rows_of_a_file_are_metered_by_the_latencies_they_have(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    table = pl.DataFrame({
        "time": pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 2), "6m", time_zone="UTC", eager=True),
    }).with_columns(
        latency_seconds=pl.Series(rng.lognormal(-3.0, 1.0, 241)), compute_seconds=pl.lit(0.001),
        prediction=pl.lit(1), outcome=pl.Series(rng.integers(0, 2, 241)), error=pl.lit(None, pl.String),
    )  # fmt: skip
    table.write_parquet(tmp_path / "rows.parquet")
    answer = setpoint.read(tmp_path / "rows.parquet", task="binary").meter()
    parts = {part: row[1] for part, row in cells(answer, "latency").items()}
    assert parts["model"] == pytest.approx(0.001)
    assert cells(answer, "metrics")["request_rate"][1] == pytest.approx(241 / 86_400, rel=1e-3)
    assert sum(parts.values()) == pytest.approx(float(table["latency_seconds"].to_numpy().mean()))
    bands = rows_of(answer, "by_latency")
    assert [row[2] for row in bands] == pytest.approx([120, 73, 36, 12], abs=8)
    assert sum(row[6] for row in bands) == 241


def test_nothing_recorded_is_unknown_and_a_group_nobody_declared_is_refused(layout: Layout) -> None:
    layout.declare(model_of())
    with open_log(layout.root) as log:
        answer = log.meter("m")
        assert (answer.verdict, answer.is_silent) == (Verdict.UNKNOWN, True)
        assert answer.unknowns == ("where the time goes: no latency was recorded",)
        with pytest.raises(UsageError, match="cannot group by 'nobody'"):
            log.meter("m", by="nobody")


def test_the_machine_tells_what_there_was_and_what_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = ModuleType("pynvml")  # stands in for NVIDIA's library: no card is here
    told = {
        "NVMLError": OSError, "nvmlInit": lambda: None, "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda n: n,
        "nvmlDeviceGetUtilizationRates": lambda n: SimpleNamespace(gpu=[100, 50][n]),
    }  # fmt: skip
    for name, value in told.items():
        setattr(nvml, name, value)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    machine = Machine()
    sum(range(100_000))
    found = machine.look()
    assert 0.0 < found["cpu"] <= found["cpu_limit"]
    assert found["gpu"] / found["gpu_limit"] == pytest.approx(0.75)
    assert found["cpu_limit"] / processors() == pytest.approx(found["gpu_limit"] / 2)


def test_a_machine_whose_driver_is_missing_has_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise OSError

    nvml = ModuleType("pynvml")
    for name, value in {"NVMLError": OSError, "nvmlInit": missing}.items():
        setattr(nvml, name, value)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert set(Machine().look()) == {"cpu", "cpu_limit"}


def test_files_say_the_parts_of_a_latency_by_their_columns() -> None:
    frame = pl.DataFrame(
        {
            "y": [n % 2 for n in range(200)],
            "score": [0.2 + 0.6 * (n % 2) for n in range(200)],
            "latency_ms": [100.0 if n % 4 else None for n in range(200)],
            "compute_ms": [40.0] * 200,
            "queue_ms": [5.0 + n % 4 for n in range(200)],  # 7 on the mean of the rows with a latency
            "feature_s": [0.01] * 200,
            "upstream_seconds": [None if n % 2 else 0.02 for n in range(200)],
            "ttft_ms": [25.0] * 200,
        }
    )
    log = setpoint.read(frame, compute_seconds="compute_ms")
    assert "queue_seconds='queue_ms', features_seconds='feature_s', upstream_seconds='upstream_seconds'" in log.notes[0]
    assert "first_chunk_seconds='ttft_ms'" in log.notes[0]
    answer = log.meter()
    parts = {part: row[1] for part, row in cells(answer, "latency").items()}
    upstream = 0.02 * 50 / 150
    expected = {"queue": 0.007, "features": 0.01, "model": 0.04, "upstream": upstream, "overhead": 0.043 - upstream}
    assert parts == pytest.approx(expected)
    metrics = {name: row[1] for name, row in cells(answer, "metrics").items()}
    assert metrics["first_chunk_p50_seconds"] == pytest.approx(0.025, rel=0.03)
    assert metrics["compute_seconds"] == pytest.approx(0.04)


def test_what_is_computed_is_a_part_of_the_latency_only_where_there_is_one(layout: Layout) -> None:
    recorder = Recorder(layout, "m", version="v1")
    for n in range(40):
        recorder.record({"x": 1.0}, score=0.5, latency_seconds=0.1 if n < 10 else None, compute_seconds=0.04)
    assert recorder.close()
    with open_log(layout.root) as log:
        answer = log.meter()
    assert {part: row[1] for part, row in cells(answer, "latency").items()} == pytest.approx(
        {"model": 0.04, "overhead": 0.06}
    )
