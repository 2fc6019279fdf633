"""A service of a model whose route moves: its requests are drawn by the plan in force, and recorded as it would."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from setpoint.control.rollouts import Moved, advance
from setpoint.control.route_plans import publish
from setpoint.core.clock import HOUR, MICROS
from setpoint.core.model import BusinessMetric, Model, Owner
from setpoint.core.rollout import RedLine, RolloutRules
from setpoint.core.route_plan import Route, arm_of
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.route_file import last_plan
from setpoint.store.spool import Spool

START = 1_780_000_000_000_000
MINUTE = 60 * MICROS
RULES = RolloutRules(
    red_lines=(RedLine("error_ratio", 2.0),), steps=(0.01, 0.1, 0.5), soak=2 * MINUTE, last_soak=5 * MINUTE
)
OWNED = Model(
    "m",
    owner=Owner("risk", "risk-rota"),
    business_metric=BusinessMetric("loss_usd"),
    runbook="quality-fell",
    rollout=RULES,
)


@dataclass
class Version:
    """What one version is like.

    Attributes:
        errors: Share of its requests that fail.
        slower: Its latencies are those of v1 times this.
        is_down: Whether its requests leave no record.
    """

    errors: float = 0.01
    slower: float = 1.0
    wrong: float = 0.1
    is_down: bool = False


@dataclass
class Service:
    """Answers requests of a store's model, at the time that its clock says.

    Attributes:
        folder: The store's.
        model: Its declaration.
        versions: What each is like.
        rate: Requests a minute.
    """

    folder: Path
    model: Model = OWNED
    versions: dict[str, Version] = field(default_factory=lambda: {"v1": Version(), "v2": Version()})
    rate: int = 2000
    seed: int = 1

    def __post_init__(self) -> None:
        self.layout = Layout.create(self.folder, replay_now=START - HOUR)
        self.layout.declare(self.model)
        self.rng = np.random.default_rng(self.seed)
        self.asked = 0
        publish(self.layout, "m", Route("single", (("v1", 1.0),), stable="v1"))
        self.serve(1)

    @property
    def now(self) -> int:
        return self.layout.clock.now()

    def wait(self, length: int) -> None:
        clock = self.layout.clock
        assert isinstance(clock, ReplayClock)
        clock.set(clock.now() + length)
        clock.save()

    def serve(self, minutes: float, *, units: int = 0, outcomes: bool = False) -> None:
        """Let some minutes of requests come in, each of its own unit, or of one of some that return."""
        count, begun = round(self.rate * minutes), self.now
        plan = last_plan(self.layout, "m")
        assert plan is not None
        recorder = Recorder(self.layout, "m", spool=Spool(self.layout))
        for n in range(count):
            self.asked += 1
            unit = f"u{self.rng.integers(units)}" if units else f"u{self.asked}"
            arm = arm_of(plan, unit)
            version = self.versions[arm.version]
            at = begun + round(n / count * minutes * MINUTE)
            failed = self.rng.random() < version.errors
            wait = self.rng.lognormal(-3.0, 0.5) * version.slower
            wrong = self.rng.random() < version.wrong
            if version.is_down:
                continue
            name = recorder.record(
                {"x": 1.0},
                prediction=None if failed else 1.0,
                score=0.9,
                version=arm.version,
                role=arm.role,
                unit=unit,
                predicted_at=at,
                assignment_probability=arm.share,
                latency_seconds=wait,
                error="Boom" if failed else None,
            )
            if outcomes and not failed:
                recorder.outcome(0.0 if wrong else 1.0, prediction_id=name, observed_at=at + MINUTE)
        recorder.close()
        self.wait(round(minutes * MINUTE))

    def look(self) -> Moved | None:
        self.wait(3 * MICROS)
        return advance(self.layout, "m")

    def until_over(self, looks: int = 60, minutes: float = 1.0) -> list[Moved]:
        found: list[Moved] = []
        for _ in range(looks):
            self.serve(minutes)
            moved = self.look()
            if moved is None:
                break
            found.append(moved)
        return found
