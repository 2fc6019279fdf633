"""What one recorded prediction costs the caller, beside an OpenTelemetry span; and the writer's CPU."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from bench.table import table
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout
from setpoint.store.spool import Spool

ROWS = 60_000
CHUNK = 200
LIMIT_MICROSECONDS, LIMIT_RATIO = 3.0, 10.0


class Discard(SpanExporter):
    """Takes spans and forgets them: the cheapest export there can be."""

    def export(self, spans: object) -> SpanExportResult:
        """Forget."""
        del spans
        return SpanExportResult.SUCCESS


def inputs() -> list[dict[str, float | str]]:
    """Return rows of 12 numbers and 6 texts."""
    rng = random.Random(0)  # noqa: S311 — a benchmark's data
    return [
        {**{f"n{k}": rng.random() for k in range(12)}, **{f"c{k}": rng.choice("abcd") for k in range(6)}}
        for _ in range(1000)
    ]


def median_microseconds(act: Callable[[dict[str, float | str]], object], pause: Callable[[], object]) -> float:
    """Return the median cost of one call, in chunks, the queue emptied now and then."""
    rows = inputs()
    chunks: list[float] = []
    for start in range(0, ROWS, CHUNK):
        batch = [rows[(start + n) % 1000] for n in range(CHUNK)]
        began = time.perf_counter()
        for row in batch:
            act(row)
        chunks.append((time.perf_counter() - began) / CHUNK * 1e6)
        if start % 20_000 == 0:
            pause()
    return statistics.median(chunks)


def spans() -> tuple[float, float]:
    """Return what an OpenTelemetry span of the same rows costs the caller, and in all, microseconds each."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Discard(), max_queue_size=2 * ROWS))
    tracer = provider.get_tracer("bench")

    def span(row: dict[str, float | str]) -> None:
        with tracer.start_as_current_span("predict") as current:
            current.set_attributes(row)

    cpu = time.process_time()
    theirs = median_microseconds(span, provider.force_flush)
    provider.shutdown()
    span_total = (time.process_time() - cpu) / ROWS * 1e6
    return theirs, span_total


def main() -> None:
    """Print the cost to the caller, the ratio to a span, and the CPU with the writer's thread."""
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout.create(Path(folder) / "store")
        recorder = Recorder(layout, "m", version="v1", spool=Spool(layout))
        recorder.record(inputs()[0], score=0.1)
        recorder.flush()
        cpu = time.process_time()
        ours = median_microseconds(
            lambda row: recorder.record(row, score=0.5, prediction=True, key="k", latency_seconds=0.01), recorder.flush
        )
        recorder.close()
        total = (time.process_time() - cpu) / ROWS * 1e6
    nothing = median_microseconds(lambda _row: None, lambda: None)
    theirs, span_total = spans()
    ours, theirs = ours - nothing, theirs - nothing
    print(
        table(
            ["per prediction, 18 features", "µs", "limit"],
            [
                ["added to the caller, median", ours, f"<= {LIMIT_MICROSECONDS}"],
                ["an OpenTelemetry span with batch export", theirs, ""],
                ["times cheaper", theirs / ours, f">= {LIMIT_RATIO:.0f}"],
                ["CPU in all, with the writer thread", total, ""],
                ["CPU in all of the span, export discarded", span_total, ""],
            ],
        )
    )
