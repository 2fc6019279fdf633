"""The judge of a candidate: simulated rollouts with a known truth, and what is kept between two looks."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from setpoint.control.judge import Batch, Counted, Judge, Judgement, Measured, Paired
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


def test_a_metric_of_the_history_finds_more_than_one_of_the_mean() -> None:
    rng, looks = np.random.default_rng(6), {"of": 0, "mean": 0}
    history = rng.lognormal(0.0, 0.8, 50_000)
    whole = Measured.of("cost", history, red_line=1.1, quantiles=())
    for _ in range(20):
        batches = [(rng.lognormal(0.0, 0.8, 450), 1.1 * rng.lognormal(0.0, 0.8, 50)) for _ in range(80)]
        for name, metric in (("of", whole), ("mean", dataclasses.replace(whole, likeness=None))):
            judge = Judge([metric])
            for held, tried in batches:
                judge.update({"cost": held}, {"cost": tried})
                looks[name] += 1
                if judge.judgement().is_worse:
                    break
    assert looks["of"] <= 20 * 22
    assert looks["of"] < looks["mean"]


def test_a_limit_holds_when_the_stable_version_is_as_bad() -> None:
    rng = np.random.default_rng(7)

    def said(rate: float, looks: int = 30) -> Judgement:
        judge = Judge([Counted("errors", limit=0.2)])
        for _ in range(looks):
            held, tried = ((rows, int(rng.binomial(rows, rate))) for rows in (900, 100))
            judge.update({"errors": held}, {"errors": tried})
        return judge.judgement()

    assert said(0.3).is_worse
    assert said(0.05).is_fine
    assert said(0.19).least_fine[0] == "errors at 0.2"
    assert sum(said(0.2).is_worse for _ in range(150)) <= 5
    assert sum(said(0.2, looks=10).is_fine for _ in range(150)) <= 14


def test_pairs_of_a_shadow_are_told_apart_sooner_than_strangers() -> None:
    rng, looks = np.random.default_rng(8), Counter[str]()
    metric = Measured.of("latency", rng.lognormal(0.0, 0.5, 20_000), red_line=1.1)
    for _ in range(20):
        judges = {"pairs": Judge([Paired(metric)]), "strangers": Judge([metric])}
        for name, judge in judges.items():
            while not judge.judgement().is_worse:
                size = rng.lognormal(0.0, 0.45, 40)
                held, tried = (size * rng.lognormal(0.0, 0.2, 40) for _ in range(2))
                if name == "strangers":
                    held = rng.permutation(rng.lognormal(0.0, 0.45, 40)) * rng.lognormal(0.0, 0.2, 40)
                judge.update({"latency": held}, {"latency": 1.1 * tried})
                looks[name] += 1
    assert looks["pairs"] < looks["strangers"]


def test_equal_pairs_are_no_evidence_and_worse_ones_are() -> None:
    rng = np.random.default_rng(9)

    def ends(worse: float, runs: int) -> int:
        count = 0
        for _ in range(runs):
            judge = Judge([Paired(Counted("wrong"))])
            for _ in range(40):
                hard = np.where(rng.random(100) < 0.1, 0.3, 0.0)
                pair = [(rng.random(100) < hard * by).astype(float) for by in (1.0, worse)]
                judge.update({"wrong": pair[0]}, {"wrong": pair[1]})
                if judge.judgement().is_worse:
                    count += 1
                    break
        return count

    assert ends(1.0, 150) <= 5
    assert ends(2.0, 30) >= 28


def test_units_that_return_are_evidence_once_a_step_apart_by_where_they_were() -> None:
    """As `bench/rollout_traps.py`, with the judge itself: new units, and those that may move at a new weight."""
    rng, false = np.random.default_rng(10), 0
    for _ in range(60):
        judge = Judge([Counted("errors")])
        bucket, rate = rng.random(400), rng.beta(0.25, 4.75, 400)
        last, was_candidate = np.full(400, -1), np.zeros(400, dtype=bool)
        for n in range(60):
            step, weight = n // 20, (0.05, 0.25, 0.5)[n // 20]
            evident = (rng.random(400) < 0.2) & ~was_candidate & (last < step)
            hit, is_candidate = rng.random(400) < rate, bucket < weight
            for before in range(-1, step):
                here = evident & (last == before)
                held, tried = (
                    (int((here & who).sum()), int((here & who & hit).sum())) for who in (~is_candidate, is_candidate)
                )
                judge.update({"errors": held}, {"errors": tried}, batch=f"{n}/seen in {before}")
            last[evident] = step
            was_candidate |= evident & is_candidate
            if judge.judgement().is_worse:
                false += 1
                break
    assert false <= 3


def test_a_metric_whose_outcomes_come_later_is_taken_under_the_same_batch_once() -> None:
    judge = Judge([Counted("errors"), Counted("wrong")])
    judge.update({"errors": (900, 4)}, {"errors": (100, 2)}, batch="7")
    judge.update({"wrong": (900, 4)}, {"wrong": (100, 2)}, batch="7")
    judge.update({"wrong": (900, 4), "errors": (900, 4)}, {"wrong": (100, 2), "errors": (100, 2)}, batch="7")
    evidence = judge.judgement().evidence
    assert evidence["errors"] == pytest.approx(evidence["wrong"])


def test_a_million_batches_are_kept_as_two_numbers() -> None:
    judge = Judge([Counted("errors")])
    for n in range(2_000):
        for kind in ("new", "moved"):
            judge.update({"errors": (9, 0)}, {"errors": (1, 0)}, batch=f"{n + 1_000_000}/{kind}")
    size = len(judge.dumps())
    assert size < 500
    judge.update({"errors": (9, 0)}, {"errors": (1, 0)}, batch="3/new")  # out of order
    assert len(judge.dumps()) < size + 20


def test_a_batch_that_both_judges_took_is_not_merged() -> None:
    first, second = Judge([Counted("errors")]), Judge([Counted("errors")])
    for n in range(5):
        first.update({"errors": (900, 4)}, {"errors": (100, 2)}, batch=f"{n}")
        second.update({"errors": (900, 4)}, {"errors": (100, 2)}, batch=f"{n + 4}")
    before = first.dumps()
    with pytest.raises(UsageError, match="taken by both judges"):
        first.merge(second)
    assert first.dumps() == before
    with pytest.raises(UsageError, match="looks at"):
        first.merge(Judge([Counted("errors", red_line=3.0)]))


@pytest.mark.parametrize("at", [10, 60, 120, -30])
def test_damaged_evidence_is_refused_and_what_there_is_stays(at: int) -> None:
    judge, other = Judge([Counted("errors")]), Judge([Counted("errors")])
    judge.update({"errors": (900, 4)}, {"errors": (100, 2)}, batch="1")
    other.update({"errors": (900, 4)}, {"errors": (100, 9)}, batch="2")
    kept, content = judge.dumps(), other.dumps()
    digit = next(n for n in range(at % len(content), len(content)) if content[n : n + 1].isdigit())
    changed = b"7" if content[digit : digit + 1] != b"7" else b"8"
    for damaged in (content[:at], content[:digit] + changed + content[digit + 1 :], b"", b"null", b"[]"):
        with pytest.raises(UsageError, match="evidence"):
            judge.loads(damaged)
    with pytest.raises(UsageError, match="looks at wrong otherwise"):
        judge.loads(Judge([Counted("errors"), Counted("wrong")]).dumps())
    assert judge.dumps() == kept
    judge.loads(content)
    assert judge.judgement() == other.judgement()


@pytest.mark.parametrize(
    ("stable", "candidate", "found"),
    [
        ({"errors": (900, -1)}, {"errors": (100, 1)}, "-1 of 900 rows for errors"),
        ({"errors": (900, 1)}, {"errors": (10, 11)}, "11 of 10 rows for errors"),
        ({"errors": (900.0, 1)}, {"errors": (100, 1)}, "expected rows and those"),
        ({"errors": [1.0, 0.0]}, {"errors": (100, 1)}, "expected rows and those"),
        ({"latency": (900, 1)}, {"latency": (100, 1)}, "expected a value of each row"),
        ({"latency": [1.0, math.nan]}, {"latency": [1.0]}, "1 of 2 values of latency are missing"),
        ({"latency": [1.0]}, {"latency": ["slow"]}, "expected a number of each row"),
        ({"latency": [[1.0]]}, {"latency": [1.0]}, "expected a value of each row"),
        ({"cost": [1.0]}, {"cost": [1.0]}, "evidence of cost, which this judge does not look at"),
        ({"wrong": [1.0]}, {"wrong": [1.0, 0.0]}, "1 rows of the stable version and 2 of the candidate"),
        ({"wrong": [0.5]}, {"wrong": [1.0]}, "neither 0 nor 1"),
    ],
)
def test_bad_evidence_is_refused_whole(stable: Batch, candidate: Batch, found: str) -> None:
    judge = Judge([Counted("fine"), Counted("errors"), LATENCY, Paired(Counted("wrong"))])
    before = judge.dumps()
    with pytest.raises(UsageError, match=found):
        judge.update({"fine": (9, 1), **stable}, {"fine": (9, 1), **candidate}, batch="1")
    assert judge.dumps() == before


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: Judge([]), "without a metric"),
        (lambda: Judge([Counted("errors", red_line=0.5)]), r"a red line of 0\.5 for errors"),
        (lambda: Judge([Counted("errors", red_line=math.nan)]), "a red line of nan for errors"),
        (lambda: Judge([Counted("errors", weight=0.0)]), "a weight of 0 for errors"),
        (lambda: Judge([Counted("errors", limit=20.0)]), "a limit of 20 for errors"),
        (lambda: Judge([Counted("errors"), Counted("errors")]), "two metrics that are called errors"),
        (lambda: Judge([Counted("errors")], risk=0.0), "a risk of 0"),
        (lambda: Judge([Counted("errors")], miss=1.0), "a miss of 1"),
        (lambda: Measured("latency", 1.0, 0.0, 2.0), "a variance of 0 for latency"),
        (lambda: Measured.of("latency", []), "a history of latency with 0 values"),
        (lambda: Measured.of("latency", [1.0, 1.0]), "expected several different ones"),
        (lambda: Measured.of("latency", [-1.0, 1.0]), "of 0 or above"),
    ],
)
def test_what_cannot_be_judged_is_refused(make: Callable[[], object], found: str) -> None:
    with pytest.raises(UsageError, match=found):
        make()
