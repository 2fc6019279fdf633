"""A model with a fault from a known moment on: to see whether what went wrong is named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

import numpy as np

from setpoint.core.clock import DAY, HOUR, MICROS, text
from setpoint.core.contract import Contract, ContractField
from setpoint.core.model import Cohort, Feature, Model, Owner
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.spool import Spool

Fault = Literal[
    "none", "contract break", "missing up", "new value", "unit", "columns swapped", "constant feature",
    "stale feature", "feature version", "cohort", "model version", "price", "prompt", "upstream slow", "retries",
    "traffic mix", "outcome delay", "outcome source", "provider model", "cache", "threshold",
]  # fmt: skip
FAULTS: tuple[Fault, ...] = get_args(Fault)
START = 1_780_000_000_000_000 // DAY * DAY
HOURS = 24
FAULTY = Model(
    "m",
    owner=Owner("risk"),
    features=(Feature("updated_at", "time"),),
    cohorts=(Cohort("region", by="region"),),
    contract=Contract((ContractField("age", at_least=0, at_most=120),)),
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What goes wrong, how much, and what else changes at the same time without doing anything.

    Attributes:
        fault: What goes wrong half way; `none` for nothing.
        severity: Share of the rows it hits, or how strong it is, 0 to 1.
        harmless: Whether something else changes at the same time.
        rows_per_hour: How many predictions are made.
        seed: Of all that is drawn.
    """

    fault: Fault
    severity: float = 0.5
    harmless: bool = False
    rows_per_hour: int = 400
    seed: int = 1


def record_fault(layout: Layout, scenario: Scenario, model: str = "m") -> None:
    """Record a day of predictions, outcomes and calls into a store whose clock is a replay."""
    layout.declare(replace(FAULTY, name=model))
    recorder = Recorder(layout, model, spool=Spool(layout))
    clock = cast("ReplayClock", layout.clock)
    rng = np.random.default_rng(scenario.seed)
    due: list[tuple[int, str, float, str]] = []
    if scenario.harmless:
        clock.set(START + HOURS // 2 * HOUR)
        recorder.change("deploy", "logging", author="platform")
    for hour in range(HOURS):
        begun = START + hour * HOUR
        for n in range(scenario.rows_per_hour):
            at = begun + n * HOUR // scenario.rows_per_hour
            clock.set(at)
            due.append(_row(recorder, rng, scenario, at, is_on=hour >= HOURS // 2))
        clock.set(begun + HOUR)
        due = _report(recorder, due, begun + HOUR)
    clock.save()
    recorder.close()


def _report(recorder: Recorder, due: list[tuple[int, str, float, str]], now: int) -> list[tuple[int, str, float, str]]:
    clock = cast("ReplayClock", recorder.layout.clock)
    for at, name, outcome, source in sorted(one for one in due if one[0] <= now):
        clock.set(at)
        recorder.outcome(outcome, prediction_id=name, observed_at=at, source=source)
    clock.set(now)
    return [one for one in due if one[0] > now]


def _row(
    recorder: Recorder, rng: np.random.Generator, scenario: Scenario, at: int, *, is_on: bool
) -> tuple[int, str, float, str]:
    """Record a row, and return when its outcome is due, whose it is, what and from where."""
    fault = scenario.fault if is_on else "none"
    is_hit = is_on and bool(rng.random() < scenario.severity)
    shares = (
        [0.6, 0.3, 0.1]
        if fault != "traffic mix"
        else [0.6 - 0.5 * scenario.severity, 0.3, 0.1 + 0.5 * scenario.severity]
    )
    region = str(rng.choice(["north", "south", "east"], p=shares))
    amount, age, shop = float(rng.lognormal(3.0, 0.6)), float(rng.normal(45.0, 9.0)), str(rng.choice(["web", "app"]))
    truth = 1.6 * (np.log(amount) - 3.0) / 0.6 + 1.2 * (age - 45.0) / 9.0 + (0.5 if shop == "web" else -0.5)
    is_hard = region == "east"
    happened = float(rng.random() < 1.0 / (1.0 + np.exp(-truth * (0.3 if is_hard else 2.0))))
    inputs: dict[str, object] = {
        "amount": amount, "age": age, "shop": shop, "region": region,
        "updated_at": text(at - int(rng.exponential(600.0) * MICROS), "UTC") + "Z",
        "noise": float(rng.normal(0.0, 1.0)),
    }  # fmt: skip
    version, feature_version, source = "v1", "f1", "payments-etl-1"
    seen = truth
    if is_hit:
        seen = _hit(rng, fault, inputs, truth)
        version = "v2" if fault == "model version" else "v1"
        feature_version = "f2" if fault == "feature version" else "f1"
    if fault == "cohort" and region == "south":
        seen = truth - 4.0 * (0.5 + scenario.severity)
    if is_on and scenario.harmless and rng.random() < 0.3:
        source = "payments-etl-2"
    score = float(1.0 / (1.0 + np.exp(-seen)))
    limit = 0.7 + 0.3 * scenario.severity if fault == "threshold" else 0.5
    told = {"version": version, "feature_version": feature_version, "source": source}
    return _serve(recorder, rng, scenario, at, fault, inputs, score, limit, happened, told, is_hit=is_hit)


def _hit(rng: np.random.Generator, fault: Fault, inputs: dict[str, object], truth: float) -> float:
    """Spoil the inputs of a row, and return what the model makes of them."""
    match fault:
        case "contract break":
            inputs["age"] = -1.0
        case "missing up":
            inputs["amount"] = None
        case "new value":
            inputs["shop"] = "kiosk"
        case "unit":
            inputs["amount"] = cast("float", inputs["amount"]) * 100.0
        case "columns swapped":
            inputs["amount"], inputs["age"] = inputs["age"], inputs["amount"]
        case "constant feature":
            inputs["age"] = 45.0
        case "stale feature":
            inputs["updated_at"] = text(START - 3 * DAY, "UTC") + "Z"
        case "feature version" | "model version" | "prompt" | "provider model":
            pass
        case _:
            return truth
    return truth * 0.2 + float(rng.normal(0.0, 1.5)) - 0.5


def _serve(
    recorder: Recorder, rng: np.random.Generator, scenario: Scenario, at: int, fault: Fault,
    inputs: dict[str, object], score: float, limit: float, happened: float, told: dict[str, str], *, is_hit: bool,
) -> tuple[int, str, float, str]:  # fmt: skip
    upstream = float(rng.lognormal(-3.0, 0.3)) * ((1.0 + 2.0 * scenario.severity) if fault == "upstream slow" else 1.0)
    is_retried = bool(rng.random() < 0.02) or (fault == "retries" and is_hit)
    is_cached = bool(rng.random() < 0.4) and not (fault == "cache" and is_hit)
    again = float(rng.lognormal(-2.5, 0.3)) if is_retried else 0.0
    name = recorder.record(
        cast("dict[str, float]", inputs), score=score, prediction=float(score >= limit), predicted_at=at,
        latency_seconds=0.01 + (0.0 if is_cached else upstream + again),
        upstream_seconds=None if is_cached else upstream + again,
        version=told["version"], feature_version=told["feature_version"], source=told["source"],
    )  # fmt: skip
    nano = 1_000 * (1.0 + scenario.severity if fault == "price" else 1.0)
    tokens = int(rng.normal(500, 60)) * (2 if fault == "prompt" and is_hit else 1)
    model = "small-2" if fault == "provider model" and is_hit else "small-1"
    prompt = "p2" if fault == "prompt" and is_hit else "p1"
    if is_cached:
        recorder.call(name, called_at=at, cost_nano_usd=0, purpose="cache")
    else:
        for attempt in range(2 if is_retried else 1):
            recorder.call(
                name, called_at=at, cost_nano_usd=round(tokens * nano), input_tokens=tokens, attempt=attempt + 1,
                latency_seconds=again if attempt else upstream,
                provider="acme", provider_model=model, prompt_version=prompt,
            )  # fmt: skip
    source, delay = "ledger", float(rng.exponential(1200.0))
    if fault == "outcome delay":
        delay *= 1.0 + 6.0 * scenario.severity
    if fault == "outcome source" and is_hit:
        source, happened = "survey", float(rng.random() < 0.3)
    return at + round((60.0 + delay) * MICROS), name, happened, source


METRIC_OF: dict[Fault, str] = {
    "price": "cost_per_prediction_usd", "prompt": "cost_per_prediction_usd", "cache": "cost_per_prediction_usd",
    "retries": "latency_p95_seconds", "upstream slow": "latency_p95_seconds", "outcome delay": "outcome_ratio",
}  # fmt: skip
"""What is seen of a fault, where that is not accuracy."""
