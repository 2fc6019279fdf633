"""Simulated traffic with everything that makes real logs hard, from a seed."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from setpoint.core.clock import DAY, HOUR, MICROS
from setpoint.core.model import Task
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.spool import Spool


@dataclass(frozen=True, slots=True)
class Traffic:
    """What to simulate.

    Attributes:
        start: First prediction, microseconds.
        days: Length.
        per_day: Predictions a day.
        seed: Same seed, same traffic.
        by_key: Share of outcomes that come by key rather than by identifier.
        late: Mean delay of outcomes, in hours.
        never: Share of outcomes that never come.
        revised: Share of outcomes that are revised, some of them twice.
        retracted: Share of outcomes that are taken back.
        children: Share of predictions with a shadow row.
        billed: Share of predictions with calls; some of them have no known price.
        keys: Number of distinct join keys; few keys mean many predictions a key.
        task: What is answered: three classes, rankings of twenty items, or texts that people grade and a judge.
    """

    start: int
    days: float = 2.0
    per_day: int = 500
    seed: int = 0
    by_key: float = 0.3
    late: float = 6.0
    never: float = 0.05
    revised: float = 0.1
    retracted: float = 0.03
    children: float = 0.1
    billed: float = 0.3
    keys: int = 300
    task: Task = Task.BINARY


@dataclass(order=True, slots=True)
class _Event:
    at: int
    order: int
    act: str = field(compare=False)
    arguments: dict[str, object] = field(compare=False, default_factory=dict[str, object])


def simulate(layout: Layout, spool: Spool, model: str, traffic: Traffic, *, pauses: tuple[int, ...] = ()) -> list[int]:
    """Record simulated traffic into a store whose clock is a replay.

    Args:
        layout: The store; its clock must be a replay.
        spool: Where the events go.
        model: The model's name.
        traffic: What to simulate.
        pauses: Times at which to stop and flush; the caller gets control at each through the return value.

    Returns:
        The times still to come: call it again with them to go on. Empty at the end.

    Raises:
        TypeError: The store's clock is not a replay.

    Example:
        >>> from setpoint.testing import temporary_store
        >>> with temporary_store(replay_now=0) as (layout, spool):
        ...     simulate(layout, spool, "m", Traffic(start=0, days=0.1))
        []
    """
    clock = layout.clock
    if not isinstance(clock, ReplayClock):
        msg = "simulated traffic needs a store on a replay clock"
        raise TypeError(msg)
    begun = clock.now()
    limit = pauses[0] if pauses else None
    recorder = Recorder(layout, model, spool=spool)
    for event in _events(traffic):
        if event.at < begun:
            continue
        if limit is not None and event.at >= limit:
            break
        clock.set(event.at)
        _perform(recorder, event)
    if limit is not None:
        clock.set(limit)
    spool.flush(60)
    return list(pauses[1:])


def _perform(recorder: Recorder, event: _Event) -> None:
    if event.act == "predict":
        recorder.record(**event.arguments)  # pyright: ignore[reportArgumentType] — made below
    elif event.act == "call":
        recorder.call(**event.arguments)  # pyright: ignore[reportArgumentType] — made below
    else:
        recorder.outcome(**event.arguments)  # pyright: ignore[reportArgumentType] — made below


def _events(traffic: Traffic) -> list[_Event]:
    """Return all events in the order in which they are recorded."""
    rng = random.Random(traffic.seed)  # noqa: S311 — a simulation
    events: list[_Event] = []
    count = round(traffic.days * traffic.per_day)
    for n in range(count):
        at = traffic.start + round((n + rng.random()) / count * traffic.days * DAY)
        events += _prediction(rng, traffic, n, at)
    if traffic.task.in_words:
        events = _in_words(random.Random(traffic.seed), traffic.task, events)  # noqa: S311 — a simulation
    for place, event in enumerate(events):
        event.order = place
    return sorted(events)


def _in_words(rng: random.Random, task: Task, events: list[_Event]) -> list[_Event]:
    """Return the events of a yes-or-no model as those of another one, which is right about as often."""
    found: list[_Event] = []
    for event in events:
        told = event.arguments
        found.append(event)
        if event.act == "predict":
            score = float(str(told.pop("score")))
            told.pop("prediction")
            told |= _answer(rng, task, score)
        elif event.act == "outcome" and "outcome" in told:
            is_yes = told["outcome"] is True
            told["outcome"] = _truth(rng, task, is_yes=is_yes)
            if task is Task.GENERATION and rng.random() < _JUDGED:
                judged = {**told, "kind": "judge", "outcome": 1.0 if is_yes else float(rng.random() < _FOOLED)}
                found.append(_Event(event.at + 1, 0, "outcome", judged))
    return found


def _answer(rng: random.Random, task: Task, score: float) -> dict[str, object]:
    if task is Task.MULTICLASS:
        return {"scores": {"high": score, "middle": 0.3 * (1.0 - score), "low": 0.7 * (1.0 - score)}}
    if task is Task.RANKING:
        return {"ranking": rng.sample(_ITEMS, 12)}
    return {"text": "an answer"}


def _truth(rng: random.Random, task: Task, *, is_yes: bool) -> object:
    if task is Task.MULTICLASS:
        return "high" if is_yes else rng.choice(["middle", "low"])
    if task is Task.GENERATION:
        return "pass" if is_yes else "fail"
    relevant = rng.sample(_ITEMS, rng.randrange(4))
    return {item: float(rng.randrange(1, 4)) for item in relevant} if is_yes else relevant


_ITEMS = [f"item-{n}" for n in range(20)]
_JUDGED, _FOOLED = 0.6, 0.4


def _prediction(rng: random.Random, traffic: Traffic, n: int, at: int) -> list[_Event]:
    name = f"p{n:08d}{traffic.seed:04d}"
    key = f"k{rng.randrange(traffic.keys)}"
    amount = rng.lognormvariate(3.0, 1.0)
    country = rng.choice(["de", "fr", "it", "es", "nl"])
    truth = 1.0 / (1.0 + math.exp(-(math.log(amount) - 3.5 + (country == "de"))))
    score = min(max(truth + rng.gauss(0.0, 0.1), 0.0), 1.0)
    outcome = rng.random() < truth
    inputs: dict[str, object] = {
        "amount": None if rng.random() < 0.02 else amount,
        "country": country,
        "age": rng.choice([math.nan, math.inf, 30.0, 41.5, 63.0]),
        "is_new": rng.random() < 0.3,
    }
    common: dict[str, object] = {
        "inputs": inputs,
        "predicted_at": at,
        "endpoint": rng.choice(["api", "batch"]),
        "latency_seconds": rng.expovariate(20.0),
        "compute_seconds": 0.01,
        "error": "timeout" if rng.random() < 0.01 else None,
    }
    found = [
        _Event(at, 0, "predict", {**common, "prediction_id": name, "key": key, "version": rng.choice(["v1", "v2"]),
                                  "role": "stable", "score": score, "prediction": score >= 0.5})
    ]  # fmt: skip
    if rng.random() < traffic.children:
        shadow = {**common, "prediction_id": f"{name}s", "root_id": name, "parent_id": name, "version": "v3",
                  "role": "shadow", "score": 1.0 - score, "prediction": score < 0.5}  # fmt: skip
        found.append(_Event(at + 1, 0, "predict", shadow))
    if rng.random() < traffic.billed:
        cost = None if rng.random() < 0.02 else rng.randrange(1_000, 3_000_000)
        attempts = 2 if rng.random() < 0.1 else 1
        found += [
            _Event(at + 2, 0, "call", {"prediction_id": name, "cost_nano_usd": cost, "attempt": attempt})
            for attempt in range(1, attempts + 1)
        ]
    return found + _outcomes(rng, traffic, at, name, key, outcome=outcome)


def _outcomes(rng: random.Random, traffic: Traffic, at: int, name: str, key: str, *, outcome: bool) -> list[_Event]:
    if rng.random() < traffic.never:
        return []
    link: dict[str, object] = {"key": key} if rng.random() < traffic.by_key else {"prediction_id": name}
    observed = at + round(rng.expovariate(1.0 / max(traffic.late, 1e-9)) * HOUR) + MICROS
    learned = observed + round(rng.expovariate(1.0) * HOUR)
    found = [_Event(learned, 0, "outcome", {**link, "outcome": outcome, "observed_at": observed, "value_usd": 1.5})]
    revisions = 0
    while rng.random() < traffic.revised:
        revisions += 1
        learned += round(rng.expovariate(0.2) * HOUR) + 1
        changed: dict[str, object] = {
            **link,
            "outcome": rng.random() < 0.5,
            "observed_at": observed,
            "revision": revisions,
        }
        found.append(_Event(learned, 0, "outcome", changed))
    if rng.random() < traffic.retracted:
        taken: dict[str, object] = {
            **link,
            "observed_at": observed,
            "revision": revisions + 1,
            "retracted": True,
        }
        found.append(_Event(learned + HOUR, 0, "outcome", taken))
    return found
