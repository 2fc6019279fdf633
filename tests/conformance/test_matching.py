"""Which outcome belongs to which prediction: the SQL equals a plain-Python reference on small, mean logs."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest

from setpoint.core.clock import DAY, HOUR
from setpoint.core.model import Model, OutcomeKind, Silence
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.matching import Matching, examples, latest_outcomes
from setpoint.store.shipper import ship
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool
from setpoint.testing import temporary_store

START = 1_767_225_600_000_000  # 2026-01-01
HORIZON = 30 * HOUR
TYPES = {"prediction": "DOUBLE", "outcome": "DOUBLE"}
MODEL = Model("m", outcome_horizon=HORIZON, outcomes=(OutcomeKind("final"), OutcomeKind("proxy", final=False)))


@dataclass(frozen=True)
class Predicted:
    at: int
    name: str
    root: str
    key: str | None


@dataclass(frozen=True)
class Observed:
    recorded_at: int
    order: int
    observed_at: int
    name: str | None
    key: str | None
    kind: str
    revision: int
    retracted: bool
    outcome: float


def make_log(seed: int) -> tuple[list[Predicted], list[Observed]]:
    """Return predictions and outcomes whose times, keys and revisions collide as often as they can."""
    rng = random.Random(seed)
    predicted: list[Predicted] = []
    for n in range(40):
        at = START + rng.randrange(60) * HOUR
        key = rng.choice(["a", "b", "c", None])
        predicted.append(Predicted(at, f"p{n:02d}", f"p{n:02d}", key))
        if rng.random() < 0.3:
            predicted.append(Predicted(at + 1, f"p{n:02d}s", f"p{n:02d}", rng.choice([key, None])))
    observed: list[Observed] = []
    for n in range(120):
        at = START + rng.randrange(-5, 110) * HOUR
        link = rng.choice(["name", "key", "both"])
        observed.append(
            Observed(
                recorded_at=START + rng.randrange(130) * HOUR,
                order=n,
                observed_at=at,
                name=rng.choice(predicted).root if link != "key" else None,
                key=rng.choice(["a", "b", "c", "nobody"]) if link != "name" else None,
                kind=rng.choice(["final", "final", "final", "proxy"]),
                revision=rng.choice([0, 0, 1, 2]),
                retracted=rng.random() < 0.2,
                outcome=float(rng.randrange(2)),
            )
        )
    observed.sort(key=lambda o: (o.recorded_at, o.order))
    return predicted, [*observed, *rng.sample(observed, 5)]  # some arrive twice


def record(layout: Layout, spool: Spool, predicted: list[Predicted], observed: list[Observed]) -> list[Observed]:
    """Record a log as its clock would have; return the outcomes with the order in which they came."""
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    recorder = Recorder(layout, "m", spool=spool)
    for event in sorted(predicted, key=lambda p: p.at):
        clock.set(event.at)
        recorder.record(
            {"x": 1.0}, prediction_id=event.name, root_id=event.root, key=event.key, score=0.5, prediction=1.0
        )
    came: list[Observed] = []
    for order, event in enumerate(observed):
        clock.set(event.recorded_at)
        recorder.outcome(
            event.outcome, prediction_id=event.name, key=event.key, kind=event.kind, observed_at=event.observed_at,
            revision=event.revision, retracted=event.retracted,
        )  # fmt: skip
        came.append(replace(event, order=order))
    spool.close()
    return came


def reference(predicted: list[Predicted], observed: list[Observed], as_of: int) -> dict[str, tuple[float, int, int]]:
    roots = [p for p in predicted if p.name == p.root and p.key is not None and p.at <= as_of]
    claims: dict[str, list[Observed]] = {}
    for o in observed:
        if o.kind != "final" or o.recorded_at > as_of:
            continue
        root = o.name
        if root is None:
            before = [p for p in roots if p.key == o.key and p.at <= o.observed_at]
            latest = max(before, key=lambda p: (p.at, p.name), default=None)
            if latest is None or o.observed_at - latest.at > HORIZON:
                continue
            root = latest.name
        claims.setdefault(root, []).append(o)
    winners = {
        root: max(rows, key=lambda o: (o.revision, o.observed_at, o.recorded_at, o.order))
        for root, rows in claims.items()
    }
    return {
        root: (o.outcome, o.observed_at, o.recorded_at) for root, o in winners.items() if not o.retracted
    }  # fmt: skip


def found(layout: Layout, as_of: int) -> dict[str, tuple[float, int, int]]:
    with Snapshot(layout, "m", as_of=as_of) as snapshot:
        sql = latest_outcomes(Matching(MODEL, TYPES, as_of))
        rows = snapshot.connection.execute(
            f"SELECT root_id, outcome, epoch_us(observed_at), epoch_us(learned_at) FROM ({sql})"
        ).fetchall()
    assert len({row[0] for row in rows}) == len(rows), "a root has two outcomes"
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize("seed", range(6))
def test_the_latest_outcome_of_each_root_equals_the_reference(seed: int) -> None:
    predicted, observed = make_log(seed)
    with temporary_store(MODEL, replay_now=START) as (layout, spool):
        came = record(layout, spool, predicted, observed)
        moments = [START + hours * HOUR for hours in (-1, 20, 55, 90, 200)]
        before = [reference(predicted, came, as_of) for as_of in moments]
        assert len(before[-1]) > 20
        assert [found(layout, as_of) for as_of in moments] == before
        ship(layout)
        assert [found(layout, as_of) for as_of in moments] == before, "the same from the lake"


def example_outcomes(layout: Layout, model: Model, as_of: int) -> dict[str, float | None]:
    with Snapshot(layout, "m", as_of=as_of) as snapshot:
        sql = examples(Matching(model, TYPES, as_of))
        return dict(snapshot.connection.execute(f"SELECT prediction_id, outcome_number FROM ({sql})").fetchall())


def test_children_inherit_the_outcome_of_their_root() -> None:
    predicted, observed = make_log(99)
    with temporary_store(MODEL, replay_now=START) as (layout, spool):
        came = record(layout, spool, predicted, observed)
        as_of = START + 20 * DAY
        expected = reference(predicted, came, as_of)
        numbers = example_outcomes(layout, MODEL, as_of)
        assert numbers == {p.name: expected[p.root][0] if p.root in expected else None for p in predicted}
        assert any(p.name != p.root and numbers[p.name] is not None for p in predicted)


def test_silence_becomes_an_outcome_when_it_is_ripe_and_a_late_outcome_breaks_it() -> None:
    model = Model("m", outcome_if_silent=Silence(0.0, 10 * HOUR))
    with temporary_store(model, replay_now=START) as (layout, spool):
        clock = layout.clock
        assert isinstance(clock, ReplayClock)
        recorder = Recorder(layout, "m", spool=spool)
        for name in ("silent", "early", "late", "taken back"):
            recorder.record({"x": 1.0}, prediction_id=name, score=0.5)
        clock.set(START + 5 * HOUR)
        recorder.outcome(1, prediction_id="early")
        recorder.outcome(1, prediction_id="taken back")
        clock.set(START + 20 * HOUR)
        recorder.outcome(1, prediction_id="late")
        recorder.outcome(prediction_id="taken back", retracted=True, revision=1)
        recorder.close()
        unknown = dict.fromkeys(("silent", "early", "late", "taken back"))
        assert example_outcomes(layout, model, START + 4 * HOUR) == unknown
        known = {**unknown, "early": 1.0, "taken back": 1.0}
        assert example_outcomes(layout, model, START + 9 * HOUR) == known
        assert example_outcomes(layout, model, START + 10 * HOUR) == {**known, "silent": 0.0, "late": 0.0}
        last = {"silent": 0.0, "early": 1.0, "late": 1.0, "taken back": 0.0}
        assert example_outcomes(layout, model, START + 21 * HOUR) == last


def test_an_outcome_at_the_edge_of_the_horizon_counts_and_one_beyond_does_not() -> None:
    with temporary_store(MODEL, replay_now=START) as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        for name in ("edge", "beyond", "before"):
            recorder.record({"x": 1.0}, prediction_id=name, key=name, score=0.5)
        for name, observed_at in (("edge", START + HORIZON), ("beyond", START + HORIZON + 1), ("before", START - 1)):
            recorder.outcome(1, key=name, observed_at=observed_at)
        recorder.close()
        assert set(found(layout, START + 90 * DAY)) == {"edge"}
