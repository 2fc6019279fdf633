"""A service whose versions are as good or bad as we say: to rehearse rollouts, guardrails and incidents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from setpoint.core.clock import MICROS
from setpoint.core.errors import UsageError
from setpoint.core.route_plan import Route, RoutePlan, arm_of, shadows_of
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.route_file import last_plan
from setpoint.store.spool import Spool

_MINUTE = 60 * MICROS


@dataclass
class Behaviour:
    """What a version is like.

    Attributes:
        errors: Share of its requests that fail, 0 to 1.
        errors_of: By carrier the share that fails, where it is another.
        inputs: What it is asked with, where that is otherwise.
        slower: Its latencies are the usual ones, of about 50 ms, times this.
        wrong: Share of its answers that are wrong, 0 to 1.
        cost_usd: What a request costs; None for nothing recorded.
        times_of: By carrier how many times that a request takes and costs.
        worth_usd: What an answer that is right is worth; None for nothing recorded.
        late_minutes: How long the store learns nothing of the outcome of an answer; it does when `serve` is called.
        is_down: Whether its requests leave no record at all.
        learns: Whether it never stops learning: every minute another checkpoint of it answers.
    """

    errors: float = 0.01
    errors_of: Mapping[str, float] = field(default_factory=dict[str, float])
    inputs: Mapping[str, float | str] = field(default_factory=dict[str, float | str])
    slower: float = 1.0
    wrong: float = 0.1
    cost_usd: float | None = None
    times_of: Mapping[str, float] = field(default_factory=dict[str, float])
    worth_usd: float | None = None
    late_minutes: float = 0.0
    is_down: bool = False
    learns: bool = False

    def version(self, name: str, at: int) -> str:
        """Return under which version it answers."""
        return f"{name}@{at // _MINUTE}" if self.learns else name


class SimulatedService:
    """Answers requests of a model as its route in force says, at the time that the store's clock says.

    The first version answers everybody while no route was published. The same seed gives the same requests.

    Args:
        store: A store whose clock is a replay, or its folder.
        model: The model's name.
        versions: What each is like; may be changed at any time.
        requests_per_minute: How many come in.
        seed: Of the requests.
        carriers: Values of an input `carrier`, dealt out in turn; without any there is no such input.

    Raises:
        UsageError: The store's clock is no replay.

    Example:
        >>> from setpoint.testing import Behaviour, SimulatedService, temporary_store
        >>> with temporary_store(replay_now=1_780_000_000_000_000) as (layout, _):
        ...     service = SimulatedService(layout, "m", {"v1": Behaviour(errors=0.2)}, requests_per_minute=500)
        ...     service.serve(2)
        1000
    """

    def __init__(
        self,
        store: str | Path | Layout,
        model: str,
        versions: Mapping[str, Behaviour],
        *,
        requests_per_minute: int = 2000,
        seed: int = 1,
        carriers: Sequence[str] = (),
    ) -> None:
        layout = store if isinstance(store, Layout) else Layout.open(Path(store))
        if not isinstance(layout.clock, ReplayClock):
            msg = "a simulated service needs a store whose clock is a replay"
            raise UsageError(msg, hint="temporary_store(replay_now=...) makes one, and `setpoint clock TIME`")
        self.layout = layout
        self.model = model
        self.versions = dict(versions)
        self.requests_per_minute = requests_per_minute
        self._clock = layout.clock
        self._rng = np.random.default_rng(seed)
        self._asked = 0
        self._carriers = carriers
        self._due: list[tuple[int, int, str, float, float | None]] = []

    @property
    def now(self) -> int:
        """The time that the service has reached, microseconds."""
        return self._clock.now()

    def wait(self, length: int) -> None:
        """Let time pass in which nobody asks, microseconds; a negative length is a clock that jumps back."""
        self._clock.set(self.now + length)
        self._clock.save()

    def serve(self, minutes: float, *, units: int = 0, outcomes: bool = False) -> int:
        """Let requests come in for a while, and record them.

        Args:
            minutes: How long.
            units: How many units return again and again; 0 for one of its own for each request.
            outcomes: Whether the outcome of each answer comes a minute later.

        Returns:
            How many requests came.
        """
        count, begun = round(self.requests_per_minute * minutes), self.now
        first = next(iter(self.versions))
        plan = last_plan(self.layout, self.model) or RoutePlan(
            self.model, 0, Route("single", ((first, 1.0),), stable=first)
        )
        recorder = Recorder(self.layout, self.model, spool=Spool(self.layout))
        self._report(recorder)
        for n in range(count):
            self._asked += 1
            unit = f"unit-{self._rng.integers(units) if units else self._asked}"
            arm = arm_of(plan, unit)
            version, at = self.versions[arm.version], begun + round(n / count * minutes * _MINUTE)
            carrier = self._carriers[self._asked % len(self._carriers)] if self._carriers else ""
            inputs: dict[str, float | str] = {"x": 1.0, **({"carrier": carrier} if carrier else {}), **version.inputs}
            is_failed = self._rng.random() < version.errors_of.get(carrier, version.errors)
            is_wrong = self._rng.random() < version.wrong
            times = version.times_of.get(carrier, 1.0)
            wait = float(self._rng.lognormal(-3.0, 0.5) * version.slower * times)
            if version.is_down:
                continue
            name = recorder.record(
                inputs,
                prediction=None if is_failed else 1.0,
                score=0.9,
                version=version.version(arm.version, at),
                role=arm.role,
                unit=unit,
                predicted_at=at,
                assignment_probability=arm.share,
                latency_seconds=wait,
                error="Boom" if is_failed else None,
            )
            if version.cost_usd is not None:
                recorder.call(name, called_at=at, cost_nano_usd=round(version.cost_usd * times * 1e9))
            if not is_failed:
                self._copy(recorder, plan, unit, name, at, inputs, is_wrong=is_wrong)
            if outcomes and not is_failed:
                due = at + round(version.late_minutes * _MINUTE) if version.late_minutes else begun
                worth = None if version.worth_usd is None else (0.0 if is_wrong else version.worth_usd)
                self._due.append((due, at, name, 0.0 if is_wrong else 1.0, worth))
        self._report(recorder)
        recorder.close()
        self.wait(round(minutes * _MINUTE))
        return count

    def _report(self, recorder: Recorder) -> None:
        """Record the outcomes that are due."""
        for _, at, name, outcome, worth in (one for one in self._due if one[0] <= self.now):
            recorder.outcome(outcome, prediction_id=name, observed_at=max(at, self.now + _MINUTE), value_usd=worth)
        self._due = [one for one in self._due if one[0] > self.now]

    def _copy(
        self,
        recorder: Recorder,
        plan: RoutePlan,
        unit: str,
        root: str,
        at: int,
        inputs: Mapping[str, float | str],
        *,
        is_wrong: bool,
    ) -> None:
        """Record what versions in shadow answer: hard requests are hard for them too."""
        for name in shadows_of(plan, unit):
            version = self.versions[name]
            carrier = str(inputs.get("carrier", ""))
            is_failed = self._rng.random() < version.errors_of.get(carrier, version.errors)
            extra = max(version.wrong - self.versions[plan.route.stable].wrong, 0.0)
            is_worse = is_wrong or self._rng.random() < extra
            child = recorder.record(
                inputs,
                prediction=None if is_failed else 1.0 - float(is_worse != is_wrong),
                score=0.9,
                version=version.version(name, at),
                role="shadow",
                unit=unit,
                root_id=root,
                parent_id=root,
                predicted_at=at,
                error="Boom" if is_failed else None,
            )
            if version.cost_usd is not None:
                cost_usd = version.cost_usd * version.times_of.get(carrier, 1.0)
                recorder.call(child, called_at=at, cost_nano_usd=round(cost_usd * 1e9))
