"""A rollout: a candidate that takes the place of the stable version step by step, and what may not happen meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from setpoint.core.clock import DAY, HOUR
from setpoint.core.errors import DeclarationError
from setpoint.core.metric import Direction, number
from setpoint.core.route_plan import Route

RolloutMetric = Literal["error_ratio", "latency_seconds", "cost_usd", "wrong_ratio", "loss_usd"]
"""What a red line can be on: failed requests, seconds and dollars a request, wrong answers, dollars lost."""
Mode = Literal["observe", "propose", "act"]
AtHorizon = Literal["hold", "promote", "roll_back"]
BusinessValue = Literal["value_usd", "outcome", "success"]
"""What of a unit the business metric is: dollars that its outcomes say, the mean of these, or of right answers."""
AtReadout = Literal["hold", "promote"]

USUAL_RED_LINES: Mapping[RolloutMetric, float] = {
    "error_ratio": 2.0,
    "latency_seconds": 1.25,
    "cost_usd": 1.1,
    "wrong_ratio": 1.2,
    "loss_usd": 1.5,
}
"""Times the stable version's value that is too bad when nobody says another."""
COUNTED = frozenset({"error_ratio", "wrong_ratio"})
"""The metrics that happen or do not; the others have values."""
LATE = frozenset({"wrong_ratio", "loss_usd"})
"""The metrics that are known with the outcome only."""


class Phase(StrEnum):
    """Where a rollout stands."""

    DRAFT = "draft"
    SHADOW = "shadow"
    CANARY = "canary"
    PROMOTING = "promoting"
    STABLE = "stable"
    PAUSED = "paused"
    INCONCLUSIVE = "inconclusive"
    READ_OUT = "read_out"
    FALLEN_BACK = "fallen_back"
    ROLLED_BACK = "rolled_back"

    @property
    def is_over(self) -> bool:
        """Whether nothing more is decided: the candidate is the stable version, or it is gone."""
        return self in {Phase.STABLE, Phase.ROLLED_BACK, Phase.READ_OUT, Phase.FALLEN_BACK}


@dataclass(frozen=True, slots=True)
class RedLine:
    """How much worse than the stable version is too bad.

    Attributes:
        metric: Of what.
        times: The stable version's value times this, above 1; of a ratio the odds.
        tail_times: Of values: times the odds of one above the usual P50, P95 and P99.
        weight: How much of the risk of a false rollback it may take, beside the others.
        cohort: Only requests of this cohort; all when empty.
        value: The cohort's value.
        above: Of what happens or does not: the highest share of the candidate's units that is fine, whatever befalls
            the stable version; None for no such.

    Example:
        >>> RedLine("error_ratio", 3.0, cohort="carrier", value="VX").name
        'error_ratio of carrier VX'
    """

    metric: RolloutMetric
    times: float
    tail_times: float = 2.0
    weight: float = 1.0
    cohort: str = ""
    value: str = ""
    above: float | None = None

    @property
    def name(self) -> str:
        """What reports call what it is on."""
        return f"{self.metric} of {self.cohort} {self.value}" if self.cohort else self.metric

    @property
    def of(self) -> tuple[str, str]:
        """The cohort and its value; both empty of all requests."""
        return self.cohort, self.value

    @property
    def said(self) -> str:
        """What is too bad, in words.

        Example:
            >>> RedLine("error_ratio", 2.0, above=0.02).said, RedLine("cost_usd", 1.1).said
            ('2 times the odds, or above 2.0 %', '1.1 times')
        """
        return f"{self.times:g} times{' the odds' if self.metric in COUNTED else ''}{self._or_above(', or')}"

    @property
    def short(self) -> str:
        """What is too bad of what, in few words.

        Example:
            >>> RedLine("error_ratio", 2.0, above=0.02).short
            'error_ratio x 2 or above 2.0 %'
        """
        return f"{self.name} x {self.times:g}{self._or_above(' or')}"

    def _or_above(self, lead: str) -> str:
        return "" if self.above is None else f"{lead} above {number(self.above, 'share')}"

    def __post_init__(self) -> None:
        """Refuse a line that a version as good as the stable one is beyond.

        Raises:
            DeclarationError: Some number is not above 1, the weight not above 0, or the highest share none.
        """
        for name, value in (("times", self.times), ("tail_times", self.tail_times)):
            if not value > 1.0:
                msg = f"a red line of {name} {value:g} on {self.metric}, expected more than 1"
                raise DeclarationError(msg, hint="2 is twice the stable version's; what is better is never too bad")
        if not self.weight > 0.0:
            msg = f"a red line of weight {self.weight:g} on {self.metric}, expected more than 0"
            raise DeclarationError(msg, hint="leave the red line out instead")
        if self.above is not None and self.metric not in COUNTED:
            msg = f"a red line above {self.above:g} on {self.metric}, expected times"
            raise DeclarationError(msg, hint=f"above is for {' and '.join(sorted(COUNTED))}; a guardrail takes others")
        if self.above is not None and not 0.0 < self.above < 1.0:
            msg = f"a red line above {self.above:g} on {self.metric}, expected a share between 0 and 1"
            raise DeclarationError(msg, hint="0.02 is one request in fifty")


@dataclass(frozen=True, slots=True)
class AbRules:
    """That a rollout is a test which is read out on the business metric, and how.

    Attributes:
        value: What of each unit is compared.
        between: The least and the largest value of a unit; what is beyond counts as these.
        smallest: The smallest difference that matters, above 0, in the unit of the values; None when nobody said, and
            then it is never said that there is none.
        at_readout: What is done when the candidate is better; else the stable version stays.
    """

    value: BusinessValue = "value_usd"
    between: tuple[float, float] = (0.0, 1.0)
    smallest: float | None = None
    at_readout: AtReadout = "hold"

    def __post_init__(self) -> None:
        """Refuse bounds that do not rise, and a difference that is none.

        Raises:
            DeclarationError: Either of these.
        """
        low, high = self.between
        if not low < high:
            msg = f"values between {low:g} and {high:g}, expected two that rise"
            raise DeclarationError(msg, hint="write between: [0, 200]")
        if self.smallest is not None and not 0.0 < self.smallest < high - low:
            msg = f"a smallest difference of {self.smallest:g}, expected one above 0 and below {high - low:g}"
            raise DeclarationError(msg, hint="leave it out when nobody knows it")


@dataclass(frozen=True, slots=True)
class RolloutRules:
    """How a candidate takes over, as declared. Durations in microseconds.

    Attributes:
        red_lines: What may not happen; the usual ones on what data feeds when empty.
        steps: Shares of the units that the candidate gets one after the other, rising, above 0 and below 1.
        soak: How long each step lasts at least.
        last_soak: How long the last one does: a day has hours that others have not.
        shadow: How long the candidate is asked in shadow before the first step; 0 for not at all.
        warm_up: How long after each change of the shares nothing is evidence: caches are cold.
        exposure: How long what a unit meets is one piece of evidence, since its first request of a step; 0 for what
            it does within one look.
        outcome_age: How old a prediction is when its outcome is looked at, in both versions alike.
        silent_after: How long a candidate may answer nobody before the rollout pauses.
        horizon: How long the steps may take in all.
        at_horizon: What is done then.
        watch: How long after the last step the previous version stays runnable.
        risk: Of rolling back a candidate that is no worse, in all.
        miss: Of promoting one as bad as a red line.
        mode: Whether decisions are written only, proposed, or carried out.
        ab: How it is read out, when it is a test of the business metric.
    """

    red_lines: tuple[RedLine, ...] = ()
    steps: tuple[float, ...] = (0.01, 0.05, 0.25, 0.5)
    soak: int = HOUR
    last_soak: int = DAY
    shadow: int = 0
    warm_up: int = 0
    exposure: int = 0
    outcome_age: int = DAY
    silent_after: int = HOUR
    horizon: int = 14 * DAY
    at_horizon: AtHorizon = "hold"
    watch: int = 7 * DAY
    risk: float = 0.01
    miss: float = 0.05
    mode: Mode = "act"
    ab: AbRules | None = None

    def __post_init__(self) -> None:
        """Refuse rules that cannot be followed.

        Raises:
            DeclarationError: Steps that do not rise between 0 and 1, a metric twice, a risk that is none.
        """
        if not self.steps or list(self.steps) != sorted(set(self.steps)) or not 0 < self.steps[0] <= self.steps[-1] < 1:
            found = ", ".join(f"{one:g}" for one in self.steps) or "(none)"
            msg = f"found the steps {found}, expected shares that rise"
            raise DeclarationError(msg, hint="write steps: [0.01, 0.05, 0.25, 0.5]")
        names = [line.name for line in self.red_lines]
        if len(names) > len(set(names)):
            msg = "a metric has two red lines"
            raise DeclarationError(msg, hint="give it one: the stricter of them")
        for name, value in (("risk", self.risk), ("miss", self.miss)):
            if not 0.0 < value < 1.0:
                msg = f"found a {name} of {value:g}, expected more than 0 and less than 1"
                raise DeclarationError(msg, hint=f"write {name}: 0.01")


@dataclass(frozen=True, slots=True)
class Usual:
    """What the stable version was like before a rollout: what it is held against is fixed beforehand.

    Attributes:
        mean: Of its values, or how often it happened.
        rows: Of how many requests.
        quantiles: Of values, from the least to the largest at equal distances; empty of what happens or does not.
    """

    mean: float
    rows: int
    quantiles: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Rollout:
    """One candidate on its way, as it was started: all that is fixed beforehand.

    Attributes:
        rollout_id: Its name, and the salt that units are drawn with.
        model: Whose.
        stable: The version that answered before.
        candidate: The version that is to take its place.
        rules: As they were declared when it began.
        usual: By metric, and by the name of a red line on one cohort, what is usual.
        before: The route in force when it began; its fallback is what answers when going back does not help.
        started_at: When, microseconds.
        business_metric: What a test is read out on; empty when it is none.
        better: Whether more of that is better, or less.
    """

    rollout_id: str
    model: str
    stable: str
    candidate: str
    rules: RolloutRules
    usual: Mapping[str, Usual]
    before: Route
    started_at: int
    business_metric: str = ""
    better: Direction = "higher"

    @property
    def others(self) -> tuple[str, ...]:
        """The versions that the route falls back to, besides the two of it."""
        return tuple(name for name in self.before.fallback if name not in {self.stable, self.candidate})


@dataclass(frozen=True, slots=True)
class RolloutEvent:
    """One step on the way of a rollout. The last one says where it stands; none is ever changed.

    Attributes:
        rollout_id: Whose.
        seq: 0 for the first; each number once, so that of two controllers one is too late.
        at: When, microseconds.
        phase: Where it stands since.
        share: Of the units that the candidate has since.
        actor: Who decided: `setpoint`, or a person.
        cause: The rule that did, such as `red_line`.
        said: One sentence.
        after_generation: The route plan in force when it was decided; a later one carries it out.
    """

    rollout_id: str
    seq: int
    at: int
    phase: Phase
    share: float
    actor: str
    cause: str
    said: str
    after_generation: int


def standing(events: Sequence[RolloutEvent]) -> RolloutEvent:
    """Return the event that says who gets what: a pause leaves that as it is."""
    return next(one for one in reversed(events) if one.phase not in {Phase.PAUSED, Phase.INCONCLUSIVE})
