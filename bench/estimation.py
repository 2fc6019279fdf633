"""Quality before outcomes against NannyML's CBPE: the speed on a million rows, the error on the data that it ships.

NannyML runs in an environment of its own (`.make/peers/nannyml`), made here when it is not there; where that fails the
bench says so and prints our side alone. Speed: from two Parquet files (reference with outcomes, window without) to
estimated AUC, F1 and accuracy, the whole process. Error: mean absolute difference between the estimate of a chunk of
the window and what its outcomes say, both tools learning from the same reference.

Beside ours stand other ways to learn how often a score comes true, on the same data.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from bench.peers import PEERS, installed
from bench.table import table
from setpoint.stats import classification, ranking
from setpoint.stats.classification import BinaryState
from setpoint.stats.estimation import ScoreHistogram, expected_quality
from setpoint.stats.score_map import CalibrationMap, OutcomeHistogram, calibrate, log_odds, logistic
from setpoint.stats.special import FloatArray, IntArray, expit

ROWS = 1_000_000
DAYS = 30
"""Stretches of equal size that a reference is cut into: their data has no days, or one year in one."""
METRICS: dict[str, Callable[[BinaryState], Any]] = {
    "auc": ranking.auc,
    "accuracy": classification.accuracy,
    "precision": classification.precision,
    "recall": classification.recall,
    "f1": classification.f1,
}
THEIR_NAMES = {"auc": "roc_auc"}
DATA = {  # name: file stem, end of the outcomes' file, outcome, score, decision, rows a chunk
    "car loan": ("synthetic_car_loan", "_analysis_target.csv", "repaid", "y_pred_proba", "y_pred", 5_000),
    "work from home": ("synthetic_sample", "_analysis_gt.csv", "work_home_actual", "y_pred_proba", "y_pred", 5_000),
    "California housing": ("california_housing", "_analysis_gt.csv", "clf_target", "y_pred_proba", "y_pred", 1_000),
    "Massachusetts employment": (
        "employment_MA", "_analysis_target.pq", "employed", "predicted_probability", "prediction", 5_000,
    ),
}  # fmt: skip

OURS = """
import sys, duckdb, numpy as np
from setpoint.store.primitives import printed, score_bin
from setpoint.stats.estimation import ScoreHistogram, expected_quality
from setpoint.stats.score_map import OutcomeHistogram, calibrate
reference, window = sys.argv[1:]
con = duckdb.connect(config={"threads": 2})
keys = f"{printed(score_bin('score'))} AS bin, CAST(prediction AS BIGINT) AS decision"
def cells(path, sums):
    found = con.execute(f"SELECT {keys}, {sums} FROM read_parquet(?) GROUP BY 1, 2", [path]).fetchnumpy()
    return [np.asarray(column) for column in found.values()]
bins, said, rows, positives = cells(reference, "count(*)::DOUBLE, sum(outcome)::DOUBLE")
days = np.zeros(len(bins), dtype=np.int64)
learned = calibrate(OutcomeHistogram(days, bins.astype(np.int64), said, positives, rows, rows))
bins, said, rows, scores = cells(window, "count(*)::DOUBLE, sum(score)")
found = expected_quality(ScoreHistogram(bins.astype(np.int64), said, rows, rows, scores), learned)
print({name: found[name].estimate for name in ("auc", "f1", "accuracy")})
"""

THEIRS = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import os
os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
import nannyml, pandas as pd
job = json.load(open(sys.argv[1]))
nannyml.disable_usage_logging()
def read(path):
    return pd.read_parquet(path) if path.endswith((".pq", ".parquet")) else pd.read_csv(path)
answers = {}
for name, part in job.items():
    estimator = nannyml.CBPE(
        metrics=part["metrics"], y_pred_proba=part["score"], y_pred=part["decision"], y_true=part["outcome"],
        problem_type="classification_binary", chunk_size=part["chunk"],
    )
    estimator.fit(read(part["reference"]))
    found = estimator.estimate(read(part["window"])).filter(period="analysis").to_df()
    answers[name] = {m: found[(m, "value")].tolist() for m in part["metrics"]}
json.dump(answers, open(sys.argv[2], "w"))
"""


def main() -> None:
    """Print the tables."""
    peer = installed("nannyml")
    if peer is None:
        print("NannyML cannot be installed here: no ratio is printed")
    with tempfile.TemporaryDirectory() as folder:
        speed(peer, Path(folder))
        if peer is not None:
            errors(peer, Path(folder))


def speed(peer: Path | None, folder: Path) -> None:
    """Print what a million rows cost both."""
    reference, window = folder / "reference.parquet", folder / "window.parquet"
    for path, seed in ((reference, 1), (window, 2)):
        rng = np.random.default_rng(seed)
        log_odds = rng.normal(-1.5, 1.2, ROWS)
        scores, outcomes = expit(log_odds), (rng.random(ROWS) < expit(0.8 * log_odds)).astype(np.int64)
        frame = {"score": scores, "prediction": (scores >= 0.3).astype(np.int64), "outcome": outcomes}  # noqa: PLR2004 — any threshold
        relation = " , ".join(frame)
        connection = duckdb.connect()
        connection.register("frame", frame)
        connection.execute(f"COPY (SELECT {relation} FROM frame) TO '{path}' (FORMAT parquet)")
    job = folder / "job.json"
    names = {"score": "score", "decision": "prediction", "outcome": "outcome", "chunk": ROWS}
    files = {"reference": str(reference), "window": str(window), "metrics": ["roc_auc", "f1", "accuracy"]}
    job.write_text(json.dumps({"million": {**names, **files}}))
    ours = min(timed([sys.executable, "-c", OURS, str(reference), str(window)]) for _ in range(2))
    rows: list[list[str | float]] = [["setpoint", ours[0], ours[1], 1.0]]
    if peer is not None:
        theirs = min(timed([str(peer), "-c", THEIRS, str(job), str(folder / "answer.json")]) for _ in range(2))
        rows.append(["NannyML", theirs[0], theirs[1], theirs[0] / ours[0]])
    print(table(["AUC, F1, accuracy of 1M rows", "CPU seconds", "wall seconds", "times ours"], rows))


def timed(command: list[str]) -> tuple[float, float]:
    """Run a command and return its CPU and wall seconds, start included."""
    began = time.perf_counter()
    environment = {**os.environ, "NML_DISABLE_USAGE_LOGGING": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)  # noqa: S603 — our own command
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        msg = f"`{command[0]}` ended with {status}"
        raise RuntimeError(msg)
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - began


def errors(peer: Path, folder: Path) -> None:
    """Print the mean absolute error of both on the data that NannyML ships, and of other maps."""
    bundled = next((PEERS / "nannyml").glob("lib/python*/site-packages/nannyml/datasets/data"))
    job: dict[str, dict[str, object]] = {}
    for name, (stem, _, outcome, score, decision, chunk) in DATA.items():
        end = ".pq" if (bundled / f"{stem}_reference.pq").exists() else ".csv"
        files = {
            part: str(bundled / f"{stem}_{end_of}{end}")
            for part, end_of in (("reference", "reference"), ("window", "analysis"))
        }
        metrics = [THEIR_NAMES.get(metric, metric) for metric in METRICS]
        job[name] = {
            **files,
            "outcome": outcome,
            "score": score,
            "decision": decision,
            "chunk": chunk,
            "metrics": metrics,
        }
    (folder / "jobs.json").write_text(json.dumps(job))
    timed([str(peer), "-c", THEIRS, str(folder / "jobs.json"), str(folder / "answers.json")])
    theirs = json.loads((folder / "answers.json").read_text())
    rows: list[list[str | float]] = []
    for name, part in job.items():
        ours = our_errors(part, bundled / f"{DATA[name][0]}{DATA[name][1]}")
        all_of: list[list[float]] = []
        for metric in METRICS:
            truth, found = ours["truth"][metric], theirs[name][THEIR_NAMES.get(metric, metric)]
            kept = [value for n, value in enumerate(found) if n not in ours["skipped"][metric]]
            error = [abs(a - b) for a, b in zip(kept, truth, strict=True)]
            all_of.append([float(np.mean(one)) * 1e3 for one in (error, *(ours[way][metric] for way in MAPS))])
            rows.append([name, metric, len(truth), *all_of[-1], float(np.mean(ours["held"][metric]))])
        rows.append([name, "mean", "", *np.mean(all_of, axis=0).tolist(), ""])
    print()
    print(table(["data", "metric", "chunks", "NannyML", *MAPS, "in our interval"], rows))
    print("mean absolute errors in thousandths; the last column: share of chunks whose truth our 95 % interval holds")


def our_errors(part: dict[str, Any], outcomes: Path) -> dict[str, dict[str, list[float]]]:
    """Return the absolute errors of each map, the truth, and whether the interval held it, by metric and chunk."""
    score, decision, outcome = part["score"], part["decision"], part["outcome"]
    before = columns(f"SELECT {score}, {decision}, {outcome} FROM {read(part['reference'])}")
    now = columns(
        f"SELECT w.{score}, w.{decision}, o.{outcome} FROM {read(part['window'])} AS w"
        f" JOIN {read(str(outcomes))} AS o USING (id)"
        " ORDER BY id"
    )
    days = np.arange(len(before[0])) * DAYS // len(before[0])
    reference = OutcomeHistogram.from_rows(before[0], before[2], groups=days, decisions=before[1].astype(np.int64))
    learned = {name: make(reference) for name, make in MAPS.items()}
    found: dict[str, dict[str, list[float]]] = {
        way: {m: [] for m in METRICS} for way in ("truth", "held", "skipped", *MAPS)
    }
    for start in range(0, len(now[0]), part["chunk"]):
        scores, said, true = (column[start : start + part["chunk"]] for column in now)
        histogram = ScoreHistogram.from_rows(scores, decisions=said.astype(np.int64))
        state = BinaryState.from_rows(true, scores=scores, decisions=said)
        for way, calibration in learned.items():
            expected = expected_quality(
                histogram, calibration, tuple(METRICS), days=DAYS * len(scores) / len(before[0])
            )
            for metric, measure in METRICS.items():
                value, guess = measure(state).value, expected[metric]
                if value is None or isinstance(guess, str):
                    found["skipped"][metric].append(start // part["chunk"])
                    continue
                found[way][metric].append(abs(guess.value - value))
                if way == "ours":
                    found["truth"][metric].append(value)
                    low, high = guess.interval(0.025)
                    found["held"][metric].append(float(low <= value <= high))
    return found


def read(path: str) -> str:
    """Return SQL for the rows of a file."""
    return f"read_csv('{path}')" if path.endswith(".csv") else f"read_parquet('{path}')"


def columns(sql: str) -> list[FloatArray]:
    """Return the columns of a query as numbers."""
    found = duckdb.connect().execute(sql).fetchnumpy()
    return [np.asarray(column, dtype=np.float64) for column in found.values()]


class Steps(CalibrationMap):
    """Isotonic regression of the outcomes on the score, for comparison."""

    def probabilities(self, bin_index: IntArray) -> FloatArray:
        """Return the isotonic rate of each bin."""
        return np.clip(np.interp(bin_index, self.bins, pooled(self.positives / self.rows, self.rows)), 1e-9, 1.0 - 1e-9)


class Curve(CalibrationMap):
    """The smooth curve alone."""

    def probabilities(self, bin_index: IntArray) -> FloatArray:
        """Return the curve."""
        return self.curve(bin_index)


class Scores(CalibrationMap):
    """The scores, believed."""

    def probabilities(self, bin_index: IntArray) -> FloatArray:
        """Return the scores."""
        return logistic(log_odds(bin_index))


def pooled(rates: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the rising rates nearest to some rates, by pooling neighbours that fall."""
    blocks: list[tuple[float, float, int]] = []
    for rate, weight in zip(rates.tolist(), weights.tolist(), strict=True):
        value, total, count = rate, weight, 1
        while blocks and blocks[-1][0] >= value:
            other, mass, size = blocks.pop()
            value, total, count = (value * total + other * mass) / (total + mass), total + mass, count + size
        blocks.append((value, total, count))
    return np.repeat([value for value, _, _ in blocks], [count for _, _, count in blocks])


def other(way: type[CalibrationMap]) -> Callable[[OutcomeHistogram], CalibrationMap]:
    """Return how another map is learned."""
    return lambda reference: way(**{n: getattr(calibrate(reference), n) for n in CalibrationMap.__slots__})


MAPS: dict[str, Callable[[OutcomeHistogram], CalibrationMap]] = {
    "ours": calibrate,
    "isotonic": other(Steps),
    "curve alone": other(Curve),
    "score itself": other(Scores),
}


if __name__ == "__main__":
    main()
