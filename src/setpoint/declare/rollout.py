"""How a declaration spells how a candidate takes the place of the stable version."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import Annotated, Self

from pydantic import Discriminator, Field, Tag, model_validator

from setpoint.core.clock import parse_duration
from setpoint.core.errors import DeclarationError
from setpoint.core.rollout import (
    USUAL_RED_LINES,
    AbRules,
    AtHorizon,
    AtReadout,
    BusinessValue,
    Mode,
    RedLine,
    RolloutMetric,
    RolloutRules,
)
from setpoint.declare.parts import Part, Share
from setpoint.declare.spellings import CohortName, Duration, ScalarText, duration_spelling, refuse, shape


class RedLineDeclaration(Part):
    """How much worse than the stable version is too bad."""

    times: float | None = None
    """The stable version's value times this; of a ratio the odds. As usual when only above is said."""
    above: float | None = None
    """Of error_ratio and wrong_ratio: the highest share that is fine, whatever befalls the stable version."""
    tail_times: float = 2.0
    """Of values: times the odds of one above the usual P50, P95 and P99."""
    weight: float = 1.0
    """How much of the risk of a false rollback it may take, beside the others."""

    def to_core(self, metric: RolloutMetric) -> RedLine:
        """Return the core noun."""
        if self.times is None and self.above is None:
            msg = f"a red line on {metric} without times, and without above"
            raise DeclarationError(msg, hint="write times: 2, or for a share that is too high in any case above: 0.02")
        times = USUAL_RED_LINES[metric] if self.times is None else self.times
        return RedLine(metric, times, self.tail_times, self.weight, above=self.above)


RedLines = dict[
    RolloutMetric,
    Annotated[
        Annotated[float, Tag("(number)")] | Annotated[RedLineDeclaration, Tag("(mapping)")],
        Discriminator(
            lambda value: "(number)" if isinstance(value, int | float) else shape(value),
            custom_error_type="shape",
            custom_error_message="a number or a mapping with times or above",
        ),
    ],
]
_NONE = "0s"


class AbDeclaration(Part):
    """That a rollout is a test which is read out on the business metric, and how."""

    value: BusinessValue
    """What of each unit is compared: value_usd, the dollars that its outcomes say; outcome, their mean; success, the
    mean of right answers."""
    between: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """The least and the largest value of a unit; what is beyond counts as these. Of outcomes 0 and 1."""
    smallest: float | None = None
    """The smallest difference that matters; without it nothing is ever called no difference."""
    at_readout: AtReadout = "hold"
    """What is done when the candidate is better."""

    def to_core(self) -> AbRules:
        """Return the core noun."""
        if self.between is None and self.value == "value_usd":
            msg = "a test of value_usd without the least and the largest value of a unit"
            raise DeclarationError(msg, hint="write between: [0, 200]; what is beyond counts as these")
        low, high = self.between or (0.0, 1.0)
        return AbRules(self.value, (low, high), self.smallest, self.at_readout)


class RolloutDeclaration(Part):
    """How a candidate takes the place of the stable version; what is left out is as usual."""

    red_lines: RedLines = Field(default_factory=dict)
    """What may not happen, by metric: error_ratio: 2 is twice as many errors as the stable version."""
    cohort_red_lines: dict[CohortName, dict[ScalarText, RedLines]] = Field(default_factory=dict)
    """What may not happen in one cohort, by its name and value: they share the risk with those on all."""
    steps: list[Share] = Field(default_factory=lambda: list(RolloutRules().steps))
    """Shares of the units that the candidate gets one after the other."""
    soak: Duration = "1h"
    """How long each step lasts at least."""
    last_soak: Duration = "1d"
    """How long the last one does."""
    shadow: Duration | None = None
    """How long the candidate is asked in shadow before the first step."""
    warm_up: Duration | None = None
    """How long after each change of the shares nothing is evidence."""
    exposure: Duration | None = None
    """How long what a unit meets is one piece of evidence; without it what it does within one look."""
    outcome_age: Duration = "1d"
    """How old a prediction is when its outcome is looked at, in both versions alike."""
    silent_after: Duration = "1h"
    """How long a candidate may answer nobody before the rollout pauses."""
    horizon: Duration = "14d"
    """How long the steps may take in all."""
    at_horizon: AtHorizon = "hold"
    """What is done then."""
    watch: Duration = "7d"
    """How long after the last step the previous version stays runnable."""
    risk: float = 0.01
    """Of rolling back a candidate that is no worse, in all."""
    miss: float = 0.05
    """Of promoting one as bad as a red line."""
    mode: Mode = "act"
    """Whether decisions are written only, proposed, or carried out."""
    ab: AbDeclaration | None = None
    """When it is a test of the business metric: how it is read out."""

    @model_validator(mode="after")
    def _can_be_followed(self) -> Self:
        try:
            self.to_core()
        except DeclarationError as error:
            refuse(error.message, error.hint, whole=True)
        return self

    def to_core(self) -> RolloutRules:
        """Return the core noun."""
        lines = _lines(self.red_lines)
        for cohort, values in self.cohort_red_lines.items():
            for value, told in values.items():
                lines += [replace(line, cohort=cohort, value=value) for line in _lines(told)]
        durations = {name: parse_duration(getattr(self, name) or _NONE) for name in _DURATIONS}
        return RolloutRules(
            red_lines=tuple(lines),
            steps=tuple(self.steps),
            at_horizon=self.at_horizon,
            risk=self.risk,
            miss=self.miss,
            mode=self.mode,
            ab=self.ab and self.ab.to_core(),
            **durations,
        )


def _lines(told: RedLines) -> list[RedLine]:
    return [
        line.to_core(metric) if isinstance(line, RedLineDeclaration) else RedLine(metric, line)
        for metric, line in told.items()
    ]


_DURATIONS = (
    *("soak", "last_soak", "shadow", "warm_up", "exposure"),
    *("outcome_age", "silent_after", "horizon", "watch"),
)


def told_rollout(rules: RolloutRules | None) -> dict[str, object] | None:
    """Return rules as the values of their declaration, without those at their default; None for no rules."""
    if rules is None:
        return None
    usual = RolloutRules()
    told: dict[str, object] = {
        one.name: value
        for one in fields(rules)
        if (value := getattr(rules, one.name)) != getattr(usual, one.name) and one.name != "red_lines"
    }
    told |= {name: duration_spelling(getattr(rules, name)) for name in _DURATIONS if name in told}
    if "steps" in told:
        told["steps"] = list(rules.steps)
    if rules.ab is not None:
        told["ab"] = {**asdict(rules.ab), "between": list(rules.ab.between)}
    lines = {line.metric: _told_line(line) for line in rules.red_lines if not line.cohort}
    of_cohorts: dict[str, dict[str, dict[str, object]]] = {}
    for line in rules.red_lines:
        if line.cohort:
            of_cohorts.setdefault(line.cohort, {}).setdefault(line.value, {})[line.metric] = _told_line(line)
    return {"red_lines": lines or None, "cohort_red_lines": of_cohorts or None, **told}


def _told_line(line: RedLine) -> object:
    usual = RedLine(line.metric, line.times)
    if replace(line, cohort="", value="") == usual:
        return line.times
    return {name: getattr(line, name) for name in ("times", "above", "tail_times", "weight")}
