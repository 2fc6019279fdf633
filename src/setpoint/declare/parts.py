"""The parts of a model's declaration, each with its spelling for people."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from setpoint.core import model as core
from setpoint.core.clock import parse_duration, parse_time
from setpoint.core.metric import Distance
from setpoint.core.rates import Rates
from setpoint.declare.spellings import (
    FIRST,
    CohortName,
    Condition,
    Duration,
    NewFor,
    ScalarText,
    Size,
    TimeText,
    Word,
    refuse,
)

Share = Annotated[float, Field(ge=0, le=1)]
Usd = Annotated[float, Field(ge=0)]
Policy = Literal["keep", "hash", "redact", "drop"]


class Part(BaseModel):
    """What all parts have in common: no unknown key, no value of another type."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class OwnerDeclaration(Part):
    """Who answers for the model, and who is woken."""

    team: Word
    """The team that owns the model."""
    on_call: str = ""
    """Where alerts go, such as a rota or a channel."""
    escalate_to: str = ""
    """Who is told too when a page stays unanswered."""
    escalate_after: Duration = "30m"
    """How long it may."""

    def to_core(self) -> core.Owner:
        """Return the core noun."""
        return core.Owner(self.team, self.on_call, self.escalate_to, parse_duration(self.escalate_after))


class BusinessMetricDeclaration(Part):
    """The number the business watches."""

    name: Word
    """Such as fraud_loss_usd."""
    unit: Word = "usd"
    """The unit it is counted in."""
    better: Literal["higher", "lower", "none"] = "higher"
    """Which direction is better."""

    def to_core(self) -> core.BusinessMetric:
        """Return the core noun."""
        return core.BusinessMetric(self.name, self.unit, self.better)


class FeatureDeclaration(Part):
    """One input of the model."""

    kind: Literal["numeric", "integer", "categorical", "boolean", "text", "time"] | None = None
    """integer refuses fractions; numeric is kept as a double; text is free text, watched by its words; time an ISO
    time or date, watched by its age when its prediction is made.

    Without a kind: as the first values are.
    """
    importance: Share | None = None
    """Share of the model's skill it carries, 0 to 1."""
    policy: Policy = "keep"
    """What happens to its values before they are recorded."""
    source: str = ""
    """Which of the model's sources delivers it: whose team is asked when it is at fault."""


class CohortDeclaration(Part):
    """A named group of predictions: one for each value of `by`, or the rows where `where` holds."""

    name: CohortName
    """What reports call it; not version, endpoint or day."""
    by: str = ""
    """A column: one cohort for each of its values."""
    where: Condition = ""
    """A condition, such as: carrier = 'AA' AND delay > 60."""
    part: Literal["hour", "weekday"] | None = None
    """The local hour or weekday of a time; of predicted_at when `by` is left out."""
    mapping: dict[ScalarText, Word] = Field(default_factory=dict[str, str])
    """Values of `by`, and what each is put together under: {EWR: New Jersey, JFK: New York}."""
    edges: list[float] = Field(default_factory=list[float])
    """Where the numbers of `by` are cut into bands: [10, 100] makes three."""
    quantiles: Annotated[int, Field(ge=2, le=20)] | None = None
    """How many bands of about as many rows the numbers of `by` are cut into; edges are frozen once, or given."""
    new_for: NewFor | None = None
    """How long after its first prediction a unit is new, before it is returning: 7d; or first, for that one alone."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if bool(self._by) == bool(self.where):
            found = "both by and where" if self.by else "neither by nor where"
            refuse(f"found {found}, expected one of them", whole=True)
        return self

    @model_validator(mode="after")
    def _derived_once(self) -> Self:
        bands = ("quantiles", self.quantiles) if self.quantiles else ("edges", self.edges)
        ways = dict([("part", self.part), ("mapping", self.mapping), bands, ("new_for", self.new_for)])
        ways |= {"where": self.where}
        given = [name for name, way in ways.items() if way]
        if len(given) > 1:
            refuse(f"found {' and '.join(given)}, expected one of them", whole=True)
        if sorted(set(self.edges)) != self.edges or not all(map(math.isfinite, self.edges)):
            refuse("found edges that do not rise", "write them in order, each once: [10, 100]", at=("edges",))
        if self.quantiles and len(self.edges) >= self.quantiles:
            found = f"{len(self.edges)} edges for {self.quantiles} bands"
            refuse(f"found {found}, expected at most {self.quantiles - 1}", at=("edges",))
        if self.new_for and self.by not in {"", "unit"}:
            refuse(f"found {self.by}, expected unit: that is what is new or returning", at=("by",))
        return self

    @property
    def _by(self) -> str:
        if self.by or self.where:
            return self.by
        return "predicted_at" if self.part else "unit" if self.new_for else ""

    def to_cohort(self) -> core.Cohort:
        """Return the core noun."""
        new_for = self.new_for and (0 if self.new_for == FIRST else parse_duration(self.new_for))
        return core.Cohort(
            self.name,
            self._by,
            self.where,
            self.part or "",
            tuple(self.mapping.items()),
            tuple(self.edges),
            self.quantiles or 0,
            None if new_for is None else int(new_for),
        )


class QualityDeclaration(Part):
    """The bar for one quality metric."""

    at_least: float | None = None
    """The lowest value that is fine."""
    at_most: float | None = None
    """The highest value that is fine."""
    source: str = ""
    """Where the bar comes from, in words."""

    @model_validator(mode="after")
    def _has_a_bar(self) -> Self:
        if self.at_least is None and self.at_most is None:
            refuse("found no bar, expected at_least or at_most", whole=True)
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            refuse(f"found at_least {self.at_least:g} above at_most {self.at_most:g}", whole=True)
        return self


class DriftLimitDeclaration(Part):
    """A limit of the team's own on how far a day of a feature may lie from the reference."""

    metric: Distance
    """The distance."""
    at_most: float
    """The largest value that is fine; `plan` says how often the reference itself is beyond it."""
    feature: str = ""
    """An input, or score or prediction; without it each that has no limit of its own."""

    @model_validator(mode="after")
    def _can_be_met_and_missed(self) -> Self:
        highest = 1.0 if self.metric in {"jensen_shannon", "total_variation"} else math.inf
        if not 0.0 < self.at_most < highest:
            expected = "more than 0" if math.isinf(highest) else "between 0 and 1"
            refuse(f"found {self.at_most:g}, expected {expected}", at=("at_most",))
        return self

    def to_core(self) -> core.DriftLimit:
        """Return the core noun."""
        return core.DriftLimit(self.metric, self.at_most, self.feature)


class OutcomeDeclaration(Part):
    """One kind of outcome."""

    final: bool = False
    """Whether quality is judged by it; exactly one kind is final, others are proxies."""
    source: str = ""
    """Where it comes from, in words: the click log, the support desk."""
    selection: str = ""
    """Whose outcomes are seen, when not everybody's: only customers who wrote in."""
    judge: bool = False
    """Generation: a model gives it; its bias is measured where the final kind came too, and taken off."""
    cost_usd: Usd | None = None
    """What one of them costs, such as a judge's call."""


class NamedOutcomeDeclaration(OutcomeDeclaration):
    """One kind of outcome, named."""

    name: Word
    """Such as arrived or refunded."""


class SuccessDeclaration(Part):
    """What counts as a correct prediction."""

    threshold: float | None = None
    """Binary: a score at or above it predicts yes; without it the recorded prediction counts."""
    tolerance: Annotated[float, Field(ge=0)] | None = None
    """Regression: correct when prediction and outcome differ by at most this."""
    at_least: float | None = None
    """Generation: correct from this grade on; 1 when left out, which a pass, a yes and a win are."""
    top: Annotated[int, Field(ge=1)] | None = None
    """Ranking: correct when one of the first so many items is relevant, and the k of every metric; else 10."""
    catalogue: Annotated[int, Field(ge=1)] | None = None
    """Ranking: how many items there are to choose from."""

    def to_core(self) -> core.Success:
        """Return the core noun."""
        told = {name: value for name, value in self.model_dump().items() if value is not None}
        return core.Success(**told)


class SilenceDeclaration(Part):
    """Absence as an outcome."""

    value: float
    """The outcome that silence stands for."""
    after: Duration
    """How long to wait before silence counts."""


class RatesDeclaration(Part):
    """Flat cost rates in US dollars; what is left out is unknown, not free."""

    since: TimeText | None = None
    """From when on they are paid, a whole hour; without it from the next hour on, the first ones since ever."""
    per_prediction_usd: Usd | None = None
    """Cost of one prediction."""
    per_compute_second_usd: Usd | None = None
    """Cost of one second of compute."""
    per_month_usd: Usd | None = None
    """Fixed cost of a month."""
    per_outcome_usd: Usd | None = None
    """Cost of learning one outcome, such as a human label."""
    per_idle_hour_usd: Usd | None = None
    """Cost of an hour of capacity in which nothing was computed; what was, is paid by per_compute_second_usd."""
    capacity: Annotated[float, Field(gt=0)] | None = None
    """How much compute there is at a time, such as 2 for two machines."""

    def to_core(self, zone: str, earlier: Rates | None) -> Rates:
        """Return the core noun."""
        since = None if self.since is None else parse_time(self.since, zone)
        return Rates(**self.model_dump(exclude={"since"}), since=since, earlier=earlier)


class ScheduleDeclaration(Part):
    """When a batch-scoring job must have run."""

    every: Duration = "1d"
    """Time between two runs."""
    grace: Duration = "6h"
    """How late a run may be."""


class RetentionDeclaration(Part):
    """How long and how much to keep; what is left out keeps everything."""

    age: Duration | None = None
    """Rows older than this are deleted."""
    size: Size | None = None
    """The oldest rows are deleted beyond this size, such as 50GB."""


class TrainingDataDeclaration(Part):
    """Which predictions may become examples to train on; each needs a final outcome and a kept contract."""

    consent: Condition = ""
    """A condition that says that a person agreed, such as: has_consent = true."""
    maturity: Duration | None = None
    """How old a prediction must be, so that its outcome is not likely to be corrected."""
    quotas: dict[Word, Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=dict[str, float])
    """Cohorts, and the largest share of the examples that one value of each may have."""
    exploration: Share = 0.0
    """The share of examples that should have been drawn by lot."""
    acted_where: Condition = ""
    """A condition that says that the model's own action brought the outcome about, such as: prediction = true."""
