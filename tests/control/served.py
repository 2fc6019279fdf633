"""A service of a declared model, whose rollout is moved by the test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from setpoint.control.rollouts import Moved, advance
from setpoint.control.route_plans import publish
from setpoint.core.clock import HOUR, MICROS
from setpoint.core.model import BusinessMetric, Model, Owner
from setpoint.core.rollout import RedLine, RolloutRules
from setpoint.core.route_plan import Route
from setpoint.store.layout import Layout
from setpoint.testing import Behaviour, SimulatedService

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


class Service(SimulatedService):
    """A service in a folder of its own, with a minute of requests to its stable version."""

    def __init__(
        self,
        folder: Path,
        declared: Model = OWNED,
        versions: dict[str, Behaviour] | None = None,
        *,
        rate: int = 2000,
        seed: int = 1,
        carriers: Sequence[str] = (),
    ) -> None:
        layout = Layout.create(folder, replay_now=START - HOUR)
        layout.declare(declared)
        versions = versions or {"v1": Behaviour(), "v2": Behaviour()}
        super().__init__(layout, "m", versions, requests_per_minute=rate, seed=seed, carriers=carriers)
        self.folder = folder
        self.declared = declared
        publish(layout, "m", Route("single", (("v1", 1.0),), stable="v1"))
        self.serve(1)

    def look(self) -> Moved | None:
        self.wait(3 * MICROS)
        return advance(self.layout, "m")

    def until_over(self, looks: int = 60) -> list[Moved]:
        found: list[Moved] = []
        for _ in range(looks):
            self.serve(1)
            moved = self.look()
            if moved is None:
                break
            found.append(moved)
        return found
