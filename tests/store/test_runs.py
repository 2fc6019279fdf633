"""Predictions that look alike are admitted at once, with the same result as one by one."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from itertools import pairwise

import msgspec
import pytest

from setpoint.core.clock import QUARTER_HOUR
from setpoint.core.events import Event, Prediction, Quarantined
from setpoint.core.model import Feature, Model
from setpoint.store import admission as admissions
from setpoint.store.admission import Admission, Batches
from setpoint.store.counting import Counting, latency_bin, latency_bins, score_bin, score_bins
from setpoint.store.runs import run_of

START = 1_767_225_600_000_000  # 2026-01-01
ROWS = 2_000
Oddity = Callable[[random.Random, dict[str, object]], object]


def _set(**values: object) -> Oddity:
    return lambda _, row: row.update(values)


def _set_input(name: str, *values: object) -> Oddity:
    def change(rng: random.Random, row: dict[str, object]) -> None:
        inputs = row["inputs"]
        assert isinstance(inputs, dict)
        inputs[name] = rng.choice(values)

    return change


ODDITIES: dict[str, Oddity] = {
    "nothing": lambda _, __: None,
    "no value": _set_input("amount", None),
    "no number": _set_input("amount", math.nan, math.inf, -math.inf),
    "whole numbers": _set_input("amount", 3, 10**400, -(2**63)),
    "true and false": _set_input("amount", *(True, False)),
    "a text among numbers": _set_input("amount", "a lot"),
    "a long text": _set_input("country", "x" * 300),
    "a broken text": _set_input("country", "\ud800"),
    "another input": _set_input("other", 1.0, None),
    "a list": _set_input("country", [1, 2], {"a": 1}),
    "a fraction": _set_input("count", 2.5, 2.0, 1e300),
    "no inputs": _set(inputs=None),
    "a score that is none": _set(score=math.nan),
    "a score outside": _set(score=1.5),
    "a certain score": _set(score=1.0),
    "a score as text": _set(score="high"),
    "no latency": _set(latency_seconds=None),
    "latency of nothing": _set(latency_seconds=0),
    "compute": _set(compute_seconds=math.inf),
    "an upstream": _set(upstream_seconds=0.5, queue_seconds=math.inf),
    "a first chunk": _set(first_chunk_seconds=0.25, features_seconds=-1.0),
    "an error": _set(error="timeout"),
    "another version": _set(version="v2"),
    "a text answer": _set(prediction="yes"),
    "a spelled answer": _set(prediction="NaN"),
    "a true answer": _set(prediction=True),
    "an answer that is none": _set(prediction=math.inf),
    "a shadow row": _set(role="shadow", parent_id="root"),
    "another hour": _set(predicted_at=START + 3 * QUARTER_HOUR),
}


def events(oddity: Oddity, share: float) -> Iterator[tuple[str, Event, bool]]:
    rng = random.Random(7)
    for n in range(ROWS):
        row: dict[str, object] = {
            "prediction_id": f"p{n}",
            "root_id": f"p{n}",
            "predicted_at": START + n,
            "recorded_at": START + n,
            "version": "v1",
            "key": f"k{n}" if n % 3 else None,
            "inputs": {"amount": rng.random(), "country": rng.choice(["nl", "de"]), "count": rng.randrange(9)},
            "score": rng.random(),
            "prediction": rng.randrange(2),
            "latency_seconds": rng.random(),
        }
        if rng.random() < share:
            oddity(rng, row)
        yield "m", Prediction(**row), n % 10 > 0  # pyright: ignore[reportArgumentType] — odd values are the point


def _quarantined(table: str, event: Event, reason: str) -> Event:
    name = getattr(event, "prediction_id", "")
    return Quarantined(quarantine_id=name, source_table=table, recorded_at=0, reason=reason, raw="")


def admitted(oddity: Oddity, share: float, model: Model) -> tuple[dict[str, list[str]], list[object], list[object]]:
    """Return the events of each table, the tallies, and the columns of the predictions."""
    counting = Counting()
    admission = Admission(model, counting, _quarantined)
    found: dict[str, list[str]] = {}
    items = list(events(oddity, share))
    for start, end in pairwise([*range(0, ROWS, 700), ROWS]):
        batches: Batches = admission.admit(items[start:end])[0]
        for table, batch in batches.items():
            found.setdefault(table, []).extend(repr(msgspec.to_builtins(event)) for event in batch)
    tallies = sorted(repr(_rounded(msgspec.structs.asdict(tally))) for tally in counting.drain("p", 1, 0))
    known = admission.columns("predictions")
    return {table: sorted(rows) for table, rows in found.items()}, [*tallies], [known.fixed, known.inputs]


def _rounded(tally: dict[str, object]) -> dict[str, object]:
    def rounded(value: object) -> object:
        if isinstance(value, dict):
            return sorted((key, rounded(one)) for key, one in value.items())
        return round(value, 9) if isinstance(value, float) else value

    return {name: rounded(value) for name, value in tally.items()}


@pytest.mark.parametrize("share", [0.002, 0.3, 1.0])
@pytest.mark.parametrize("case", ODDITIES)
def test_rows_at_once_are_admitted_as_one_by_one(case: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    models = (Model("m"), Model("m", features=(Feature("count", "integer"), Feature("amount", "numeric"))))
    for model in models:
        at_once = admitted(ODDITIES[case], share, model)
        with monkeypatch.context() as patch:
            patch.setattr(admissions, "run_of", lambda _: None)
            assert at_once == admitted(ODDITIES[case], share, model)


def test_most_rows_are_admitted_at_once() -> None:
    rows = [event for _, event, _ in events(ODDITIES["no value"], 0.3) if isinstance(event, Prediction)]
    run = run_of(rows[:256])
    assert run is not None
    assert run.rows == 256
    assert run.missing["amount"] > 0


def test_bins_at_once_are_those_of_each() -> None:
    rng = random.Random(1)
    seconds = [rng.lognormvariate(0, 3) for _ in range(2_000)]
    for some in (seconds, [*seconds, 0.0, 1e-12, 1e12, 1e9, 2.0, 0.5], [], [3]):
        assert latency_bins(some) == _count(map(latency_bin, some))
    scores = [rng.random() for _ in range(2_000)]
    for some in (scores, [*scores, 0.0, 1.0, 1e-9, 1 - 1e-12, 0.5], [1.5, -1.0], []):
        assert score_bins(some) == _count(score_bin(score) for score in some if 0 <= score <= 1)


def _count(bins: Iterator[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for place in bins:
        found[place] = found.get(place, 0) + 1
    return found
