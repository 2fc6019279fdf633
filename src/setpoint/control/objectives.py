"""How much of an error budget is left, and how fast it is spent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from setpoint.control.episode import Episode
from setpoint.control.estimate_checks import maturity
from setpoint.control.event_counts import EventCounts, counted_events
from setpoint.core.clock import duration_text
from setpoint.core.finding import Severity
from setpoint.core.metric import QUALITY_METRICS, number
from setpoint.core.model import Model
from setpoint.core.objective import BURNS, FAST_BURN, SLOW_BURN, Burn, Objective
from setpoint.core.window import Window
from setpoint.feedback.quality import arrival
from setpoint.stats.estimate import Estimate
from setpoint.store.evidence import RowEvidence, horizon


@dataclass(frozen=True, slots=True)
class Burning:
    """How fast a budget is spent over one window.

    Attributes:
        burn: What is looked at.
        rate: How many times faster than it may, in the long window; None without requests.
        now: The same in the short window.
        is_too_fast: Whether both are too fast, and the long one by more than chance explains.
        is_over: Whether it is not too fast any more.
    """

    burn: Burn
    rate: float | None
    now: float | None
    is_too_fast: bool
    is_over: bool


@dataclass(frozen=True, slots=True)
class Spent:
    """What became of a budget.

    Attributes:
        objective: Whose.
        window: Predictions of this window; of quality it ends where outcomes are mature.
        failed: The share of requests that failed, with its interval.
        requests: How many there were; of quality those whose outcome is known.
        outcome_share: The share of predictions whose outcome is known; None where none is needed.
        burning: How fast it is spent, over windows of several lengths.
        since: Since when it is likely to be spent too fast, microseconds.
    """

    objective: Objective
    window: Window
    failed: Estimate
    requests: int
    outcome_share: float | None
    burning: tuple[Burning, ...]
    since: int

    @property
    def left(self) -> Estimate:
        """The share of the budget that is left, with its interval; below 0 when more was spent than there was."""
        if self.failed.value is None or self.failed.low is None or self.failed.high is None:
            return self.failed
        low, value, high = (
            1.0 - share / self.objective.budget for share in (self.failed.high, self.failed.value, self.failed.low)
        )
        return Estimate(value, low, high)

    def fastest(self, kind: str) -> Burning | None:
        """Return what is spent too fast of a kind, the shortest window first; None when nothing is."""
        return next((one for one in self.burning if one.burn.kind == kind and one.is_too_fast), None)


def spent(evidence: RowEvidence, objective: Objective, now: int, *, is_whole: bool = True) -> Spent:
    """Return how much of a budget is left, and how fast it is spent.

    Args:
        evidence: The model's states.
        objective: The budget.
        now: Microseconds.
        is_whole: Whether it is to be known what is left, and not only how fast it is spent.
    """
    until = now - mature_after(evidence, now) if objective.is_of_quality else now
    longest = max(one.long for one in objective.burns)
    window = Window(until - (objective.over if is_whole else longest), until)
    counts = counted_events(evidence, objective.metric, objective.at_most or 0.0, window)
    lately = counts.since_then(until - longest)
    share = arrival(evidence.quality(window).only(is_root=True)).share if objective.is_of_quality and is_whole else None
    return Spent(
        objective,
        window,
        counts.ratio if counts.total or not objective.is_of_quality else Estimate.unknown(_IMMATURE),
        int(counts.total),
        share,
        tuple(_burning(counts, objective, burn, until) for burn in objective.burns),
        lately.since(objective.budget) if lately.total else window.start,
    )


_IMMATURE = "no prediction of this window is old enough for its outcome, and has one"


def mature_after(evidence: RowEvidence, now: int) -> int:
    """Return how old a prediction is when its outcome counts: as late as most came so far, or as they can at most."""
    known = maturity(evidence, now)
    return horizon(evidence.model) if known is None else known


def unfed_objective(model: Model, objective: Objective) -> str:
    """Return in words why an objective is about nothing of this model; empty when it is about something."""
    known = [one.name for one in QUALITY_METRICS[model.task]]
    if objective.is_of_quality and objective.metric not in known:
        return f"{objective.metric} is no metric of a {model.task} model: {', '.join(known)}"
    if objective.metric == "within_tolerance" and model.success.tolerance is None:
        return "nothing says what counts as correct: declare success.tolerance"
    return ""


def _burning(counts: EventCounts, objective: Objective, burn: Burn, until: int) -> Burning:
    long, short = counts.since_then(until - burn.long), counts.since_then(until - burn.short)
    limit = burn.rate(objective.over)
    rate, now = _rate(long, objective), _rate(short, objective)
    is_fast = rate is not None and rate >= limit and now is not None and now >= limit
    # Nothing heard is nothing mended: without requests it goes on.
    is_over = now is not None and now < limit
    return Burning(burn, rate, now, is_fast and long.is_beyond(objective.budget), is_over)


def _rate(counts: EventCounts, objective: Objective) -> float | None:
    failed = counts.ratio.value
    return None if failed is None else failed / objective.budget


def burning_budgets(kind: str, evidence: RowEvidence, now: int) -> list[Episode]:
    """Budgets that are spent too fast; over when they are not any more in the short window."""
    begun = {one.subject: one for one in evidence.open_findings() if one.kind == kind}
    found: list[Episode] = []
    for objective in evidence.model.objectives:
        one, before = spent(evidence, objective, now, is_whole=False), begun.get(objective.name)
        fastest = one.fastest(kind)
        said = before.said if before else burning_words(objective, fastest) if fastest else ""
        if not said:
            continue
        is_over = fastest is None and all(each.is_over for each in one.burning if each.burn.kind == kind)
        found.append(
            Episode(
                kind,
                "",
                objective.name,
                before.started_at if before else min(one.since, now),
                now if is_over else None,
                _SEVERITY[kind],
                said,
                {"failed": one.failed.value, "budget": objective.budget},
                noticed_at=before.recorded_at if before else now,
            )
        )
    return found


_SEVERITY: Mapping[str, Severity] = {FAST_BURN: "breach", SLOW_BURN: "warning"}
BURN_CHECKS: Mapping[str, Callable[[RowEvidence, int], list[Episode]]] = {
    kind: partial(burning_budgets, kind) for kind in dict.fromkeys(burn.kind for burn in BURNS)
}


def burning_words(objective: Objective, burning: Burning) -> str:
    """Return in words how fast a budget is spent."""
    rate = burning.rate or 0.0
    return (
        f"{objective.metric}: {number(rate * objective.budget, 'share')} of requests failed within"
        f" {duration_text(burning.burn.long)}, {rate:.1f} times what the budget of {objective.name} allows"
        f" ({number(objective.budget, 'share')}): so it is spent in {duration_text(round(objective.over / rate))}"
    )
