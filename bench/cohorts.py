"""Finding under-served cohorts: how often a real one is named, how often noise is, and how long it takes."""

# ruff: noqa: PLR2004 — the probabilities of a simulation

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np

import setpoint
from bench.table import table
from setpoint.stats.slices import Criterion, Part, Rows, search

RUNS = 200
SPEED_ROWS, DIMENSIONS, VALUES = 100_000, 10, 8
LIMIT_FOUND, LIMIT_WRONG, LIMIT_SECONDS = 0.9, 0.05, 0.5

Made = tuple[Rows, list[Criterion], Part | None]


def criteria(outcomes: np.ndarray, scores: np.ndarray, decisions: np.ndarray, weights: np.ndarray) -> list[Criterion]:
    """Return all three, recall when acting on the top fifth."""
    missed = np.where(outcomes == 1, scores < np.quantile(scores, 0.8), np.nan)
    return [
        Criterion.missed("recall", missed),
        Criterion.share("error_rate", np.abs(decisions - outcomes)),
        Criterion.gap("calibration_gap", outcomes, scores, weights),
    ]


def codes_of(random: np.random.Generator, rows: int, alike: float) -> np.ndarray:
    """Return ten dimensions of which the first goes along with each of the others in a share of rows."""
    codes = random.integers(0, VALUES, (DIMENSIONS, rows))
    codes[1:] = np.where(random.random((DIMENSIONS - 1, rows)) < alike, codes[0], codes[1:])
    return codes


def noise(
    rows: int, rate: float, alike: float, *, sampled: bool = False, distorted: bool = False
) -> Callable[[np.random.Generator], Made]:
    """Return traffic in which no cohort means anything; sampled, errors and one cohort are always kept."""

    def make(random: np.random.Generator) -> Made:
        codes = codes_of(random, rows, alike)
        logit = random.normal(0, 1.2, rows) + np.log(rate / (1 - rate))
        outcomes = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(float)
        scores = 1 / (1 + np.exp(-(1.5 * logit + 0.5 if distorted else logit)))
        decisions = (scores >= 0.5).astype(float)
        keep = np.where((decisions != outcomes) | (codes[0] == 1), 1.0, 0.2) if sampled else np.ones(rows)
        kept = random.random(rows) < keep
        weights = 1 / keep[kept]
        found = criteria(outcomes[kept], scores[kept], decisions[kept], weights)
        return Rows(codes[:, kept], weights, random.random(len(weights)) < 0.5), found, None

    return make


def planted(rows: int, alike: float, *, pair: bool = False) -> Callable[[np.random.Generator], Made]:
    """Return traffic with an error rate of 10 %, and of 20 % in one cohort of 2 %."""

    def make(random: np.random.Generator) -> Made:
        codes = codes_of(random, rows, alike)
        part: Part = ((3, VALUES), (6, VALUES)) if pair else ((3, VALUES),)
        share = 0.02 ** (1 / len(part))
        for dimension, code in part:
            codes[dimension] = np.where(random.random(rows) < share, code, codes[dimension])
        inside = np.logical_and.reduce([codes[d] == code for d, code in part])
        decisions = (random.random(rows) < 0.3).astype(float)
        wrong = random.random(rows) < np.where(inside, 0.2, 0.1)
        outcomes = np.where(wrong, 1 - decisions, decisions)
        scores = np.where(decisions == 1, random.beta(4, 2, rows), random.beta(2, 4, rows))
        found = criteria(outcomes, scores, decisions, np.ones(rows))
        return Rows(codes, np.ones(rows), random.random(rows) < 0.5), found, part

    return make


SCENES: dict[str, Callable[[np.random.Generator], Made]] = {
    "2 % with twice the errors, 20k rows": planted(20_000, 0.0),
    "the same, dimensions that go together": planted(20_000, 0.5),
    "the same, 100k rows": planted(100_000, 0.0),
    "a pair of 2 %, 100k rows": planted(100_000, 0.0, pair=True),
    "noise, 20k rows": noise(20_000, 0.2, 0.0),
    "noise, dimensions that go together": noise(20_000, 0.2, 0.8),
    "noise, outcomes of 1 %": noise(20_000, 0.01, 0.8),
    "noise, distorted scores": noise(20_000, 0.2, 0.5, distorted=True),
    "noise, sampled, errors always kept": noise(20_000, 0.2, 0.3, sampled=True),
}


def named(make: Callable[[np.random.Generator], Made]) -> tuple[float, float]:
    """Return the share of runs that name the planted cohort, and of those that name any other one."""
    hits, misnamed = 0, 0
    for seed in range(RUNS):
        rows, found, part = make(np.random.default_rng(seed))
        parts = {one.part for one in search(rows, found).named}
        hits += part in parts
        misnamed += bool(parts - {part})
    return hits / RUNS, misnamed / RUNS


def seconds(ask: Callable[[], object]) -> float:
    """Return the median of seven warm runs."""
    ask()
    times: list[float] = []
    for _ in range(7):
        began = time.perf_counter()
        ask()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def speed(folder: Path) -> list[tuple[str, float, float, str]]:
    """Return the seconds of the whole answer and of the search alone, beside a scan of the same columns."""
    path = folder / "predictions.parquet"
    texts = ", ".join(f"'v' || (hash(i + {k}) % {VALUES}) AS c{k}" for k in range(DIMENSIONS))
    duckdb.sql(
        f"COPY (SELECT lpad(i::VARCHAR, 12, '0') AS prediction_id, (hash(i) % 1000003) / 1000003.0 AS score,"
        f" CAST(hash(i + 7) % 1000 < (hash(i) % 1000) AS INTEGER) AS outcome, {texts} FROM range({SPEED_ROWS}) AS t(i))"
        f" TO '{path}'"
    )
    inputs = [f"c{k}" for k in range(DIMENSIONS)]
    log = setpoint.read(str(path), inputs=inputs, cohorts=[], time="")
    sums = ", ".join(["max(prediction_id)", "sum(score)", "sum(outcome)", *(f"max({name})" for name in inputs)])
    connection = duckdb.connect()
    connection.execute("SET threads=2")
    scan = seconds(lambda: connection.execute(f"SELECT {sums} FROM '{path}'").fetchall())
    answer = seconds(lambda: log.cohorts(budget=0.2))
    rows, found, _ = noise(SPEED_ROWS, 0.2, 0.0)(np.random.default_rng(0))
    alone = seconds(lambda: search(rows, found))
    return [
        ("scan of the same columns", scan, 1.0, ""),
        ("search alone, arrays in memory", alone, alone / scan, ""),
        ("whole answer, from the file", answer, answer / scan, f"<= {LIMIT_SECONDS:g} s"),
    ]


def main() -> None:
    """Print both."""
    rows: list[tuple[str, float, float, str]] = []
    for name, make in SCENES.items():
        found, wrong = named(make)
        is_promised = name.endswith("100k rows")
        limit = f">= {LIMIT_FOUND:g}, <= {LIMIT_WRONG:g}" if is_promised else f"<= {LIMIT_WRONG:g}"
        rows.append((name, found, wrong, limit))
    print(table([f"{RUNS} runs", "named", "another named", "limit"], rows))
    with tempfile.TemporaryDirectory() as folder:
        size = f"{SPEED_ROWS:,} rows, {DIMENSIONS} dimensions, two levels"
        print(table([size, "seconds", "times the scan", "limit"], speed(Path(folder))))
