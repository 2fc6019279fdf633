"""The judge of a candidate: simulated rollouts with a known truth, and what is kept between two looks."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from setpoint.control.judge import Batch, Counted, Judge, Judgement, Measured
from setpoint.core.errors import UsageError

RNG = np.random.default_rng(0)
HISTORY = RNG.lognormal(0.0, 0.5, 100_000)
CLIP = float(np.quantile(HISTORY, 0.995))
CLIPPED = np.minimum(HISTORY, CLIP)
THRESHOLDS = tuple(float(one) for one in np.quantile(HISTORY, (0.5, 0.95, 0.99)))
LATENCY = Measured("latency", float(CLIPPED.mean()), float(CLIPPED.var()), CLIP, THRESHOLDS)


def batch(rng: np.random.Generator, rows: int, errors: float, slower: float = 1.0, tail: float = 0.0) -> Batch:
    waits = slower * rng.lognormal(0.0, 0.5, rows) * np.where(rng.random(rows) < tail, 3.0, 1.0)
    return {"errors": (rows, int(rng.binomial(rows, errors))), "latency": waits}


def ends(
    runs: int, seed: int, *, looks: int = 60, errors: float = 0.005, slower: float = 1.0, tail: float = 0.0
) -> list[tuple[str, int, Judgement]]:
    """Return how simulated rollouts ended, after how many looks; 900 rows a look are served by the stable version."""
    rng = np.random.default_rng(seed)

    def end() -> tuple[str, int, Judgement]:
        judge = Judge([Counted("errors"), LATENCY])
        said = judge.judgement()
        for look in range(1, looks + 1):
            judge.update(batch(rng, 900, 0.005), batch(rng, 100, errors, slower, tail))
            said = judge.judgement()
            if said.is_worse or said.is_fine:
                return "worse" if said.is_worse else "fine", look, said
        return "open", looks, said

    return [end() for _ in range(runs)]


def test_a_healthy_candidate_is_promoted_and_rolled_back_once_in_a_hundred() -> None:
    found = ends(100, seed=1)
    kinds = Counter(kind for kind, _, _ in found)
    assert kinds["worse"] <= 4
    assert kinds["fine"] >= 85
    assert np.median([look for _, look, _ in found]) <= 30


@pytest.mark.parametrize(
    ("change", "named", "looks"),
    [({"errors": 0.015}, "errors", 18), ({"slower": 1.25}, "latency", 3), ({"tail": 0.1}, "latency", 12)],
)
def test_a_bad_candidate_is_rolled_back_soon_and_its_metric_is_named(
    change: dict[str, float], named: str, looks: int
) -> None:
    found = ends(40, seed=2, **change)  # pyright: ignore[reportArgumentType] — one of the rates
    assert all(kind == "worse" for kind, _, _ in found)
    assert all(said.worse == (named,) for _, _, said in found)
    assert np.median([look for _, look, _ in found]) <= looks


@pytest.mark.parametrize("change", [{"errors": 0.00995}, {"slower": 1.25}])
def test_a_candidate_at_the_red_line_is_promoted_at_most_once_in_twenty(change: dict[str, float]) -> None:
    kinds = Counter(kind for kind, _, _ in ends(80, seed=3, looks=40, **change))  # pyright: ignore[reportArgumentType] — as above
    assert kinds["fine"] <= 9  # 4 expected at most


def test_many_metrics_share_one_risk_and_the_bad_one_is_named() -> None:
    rng, found = np.random.default_rng(4), Counter[tuple[str, ...]]()
    names = [f"errors of {n}" for n in range(8)]
    for _ in range(60):
        judge = Judge([Counted(name) for name in names])
        said = judge.judgement()
        while not said.is_worse:
            hits = {name: rng.binomial((900, 100), (0.01, 0.04 if name == names[3] else 0.01)) for name in names}
            judge.update(
                {name: (900, int(hits[name][0])) for name in names}, {name: (100, int(hits[name][1])) for name in names}
            )
            said = judge.judgement()
        found[said.worse] += 1
    assert found[(names[3],)] >= 57


def test_evidence_is_kept_merged_and_taken_once() -> None:
    rng = np.random.default_rng(5)
    batches = [(batch(rng, 900, 0.005), batch(rng, 100, 0.01)) for _ in range(20)]
    whole, first, second = (Judge([Counted("errors"), LATENCY]) for _ in range(3))
    for n, (stable, candidate) in enumerate(batches):
        whole.update(stable, candidate, batch=f"b{n}")
        (first, second)[n % 2].update(stable, candidate, batch=f"b{n}")
    again = Judge([Counted("errors"), LATENCY])
    again.loads(first.dumps())
    again.merge(second)
    again.update(*batches[3], batch="b3")  # as after a crash
    for name, value in whole.judgement().evidence.items():
        assert again.judgement().evidence[name] == pytest.approx(value)
    assert len(first.dumps()) < 2_000


def test_no_data_is_no_evidence() -> None:
    judge = Judge([Counted("errors"), LATENCY])
    judge.update({}, {})
    judge.update({"errors": (0, 0), "latency": np.zeros(0)}, {"errors": (0, 0), "latency": np.zeros(0)})
    said = judge.judgement()
    assert not said.is_worse
    assert not said.is_fine
    assert said.evidence == pytest.approx({"errors": 1.0, "latency": 1.0})
    assert math.isclose(said.least_fine[1], 1.0)


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(UsageError, match="without a metric"):
        Judge([])
    with pytest.raises(UsageError, match=r"a red line of 0\.5 for errors"):
        Judge([Counted("errors", red_line=0.5)])
