"""What a declaration may say: the shape of a model's YAML file, key by key.

The models below mirror `core.model` with spellings for people: `30d` for a duration, a list of names where
names are enough. Their docstrings are the descriptions in the JSON Schema that editors read.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from setpoint.core import model as core
from setpoint.core.clock import moment, parse_duration, parse_time
from setpoint.core.errors import SetpointError
from setpoint.core.expression import parse
from setpoint.core.rates import Rates
from setpoint.declare.spellings import (
    FIRST,
    CohortName,
    Condition,
    Duration,
    Name,
    NewFor,
    ReferenceText,
    ScalarText,
    Size,
    TimeText,
    Word,
    ZoneName,
    refuse,
    shape,
)

Share = Annotated[float, Field(ge=0, le=1)]
Usd = Annotated[float, Field(ge=0)]
Policy = Literal["keep", "hash", "redact", "drop"]
_LIST, _MAPPING, _TEXT = Tag("(list)"), Tag("(mapping)"), Tag("(text)")


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class OwnerDeclaration(_Part):
    """Who answers for the model, and who is woken."""

    team: Word
    """The team that owns the model."""
    on_call: str = ""
    """Where alerts go, such as a rota or a channel."""

    def to_core(self) -> core.Owner:
        """Return the core noun."""
        return core.Owner(self.team, self.on_call)


class BusinessMetricDeclaration(_Part):
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


class FeatureDeclaration(_Part):
    """One input of the model."""

    kind: Literal["numeric", "integer", "categorical", "boolean"] | None = None
    """integer refuses fractions; numeric is kept as a double. Without a kind: as the first values are."""
    importance: Share | None = None
    """Share of the model's skill it carries, 0 to 1."""
    policy: Policy = "keep"
    """What happens to its values before they are recorded."""


class CohortDeclaration(_Part):
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


class QualityDeclaration(_Part):
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


class OutcomeDeclaration(_Part):
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


class SuccessDeclaration(_Part):
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


class SilenceDeclaration(_Part):
    """Absence as an outcome."""

    value: float
    """The outcome that silence stands for."""
    after: Duration
    """How long to wait before silence counts."""


class RatesDeclaration(_Part):
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

    def to_core(self, zone: str, earlier: Rates | None) -> Rates:
        """Return the core noun."""
        since = None if self.since is None else parse_time(self.since, zone)
        return Rates(**self.model_dump(exclude={"since"}), since=since, earlier=earlier)


class ScheduleDeclaration(_Part):
    """When a batch-scoring job must have run."""

    every: Duration = "1d"
    """Time between two runs."""
    grace: Duration = "6h"
    """How late a run may be."""


class RetentionDeclaration(_Part):
    """How long and how much to keep; what is left out keeps everything."""

    age: Duration | None = None
    """Rows older than this are deleted."""
    size: Size | None = None
    """The oldest rows are deleted beyond this size, such as 50GB."""


class TrainingDataDeclaration(_Part):
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


Features = Annotated[
    Annotated[list[Word], _LIST] | Annotated[dict[Word, FeatureDeclaration | None], _MAPPING],
    Discriminator(shape, custom_error_type="shape", custom_error_message="a list of names or a mapping"),
]
Cohorts = list[
    Annotated[
        Annotated[CohortName, _TEXT] | Annotated[CohortDeclaration, _MAPPING],
        Discriminator(shape, custom_error_type="shape", custom_error_message="a column or a mapping with name"),
    ]
]
RatesHistory = Annotated[
    Annotated[RatesDeclaration, _MAPPING] | Annotated[list[RatesDeclaration], Field(min_length=1), _LIST],
    Discriminator(shape, custom_error_type="shape", custom_error_message="a mapping, or a list of them, oldest first"),
]
Outcomes = Annotated[
    Annotated[
        list[
            Annotated[
                Annotated[Word, _TEXT] | Annotated[NamedOutcomeDeclaration, _MAPPING],
                Discriminator(shape, custom_error_type="shape", custom_error_message="a name or a mapping"),
            ]
        ],
        _LIST,
    ]
    | Annotated[dict[Word, OutcomeDeclaration | None], _MAPPING],
    Discriminator(shape, custom_error_type="shape", custom_error_message="a list of names or a mapping"),
]


class ModelDeclaration(_Part):
    """What a team declares about a model in production."""

    name: Name | None = None
    """The model's name; must equal the file's name without .yaml."""
    task: Literal["binary", "regression", "multiclass", "ranking", "generation"] = "binary"
    """What kind of answer the model gives."""
    endpoint: str = ""
    """Where the model is served."""
    owner: OwnerDeclaration | None = None
    """Who answers for the model."""
    business_metric: BusinessMetricDeclaration | None = None
    """The number the business watches."""
    positive: ScalarText = ""
    """Binary: the value of prediction and outcome that means yes; leave out when they are 0 and 1."""
    success: SuccessDeclaration = SuccessDeclaration()
    """What counts as a correct prediction."""
    cost_unit: Word = "prediction"
    """What one unit of work is called."""
    features: Features = Field(default_factory=list[str])
    """The model's inputs: a list of names, or a mapping from name to kind, importance and policy."""
    cohorts: Cohorts = Field(default_factory=list)
    """The groups that are looked at one by one: columns, or conditions with a name."""
    quality: dict[Word, QualityDeclaration] = Field(default_factory=dict[str, QualityDeclaration])
    """The bar for each quality metric, such as auc or rmse."""
    reference: ReferenceText = ""
    """What comparisons start from: 2013-01-01..2013-04-01, 30d, last month, or a file such as train.parquet."""
    timezone: ZoneName = "UTC"
    """Days, weeks and seasons are local to it; an IANA name such as Europe/Berlin."""
    outcomes: Outcomes = Field(default_factory=lambda: ["final"])
    """The kinds of outcome; exactly one is final."""
    outcome_horizon: Duration = "30d"
    """An outcome by key belongs to the latest prediction at most this much older."""
    outcome_if_silent: SilenceDeclaration | None = None
    """What the absence of an outcome means."""
    rates: RatesHistory = RatesDeclaration()
    """Flat cost rates; a list of them, oldest first and each with its date, tells what was paid when."""
    schedule: ScheduleDeclaration | None = None
    """When a batch-scoring job must have run."""
    retention: RetentionDeclaration = RetentionDeclaration()
    """How long and how much to keep."""
    training_data: TrainingDataDeclaration = TrainingDataDeclaration()
    """Which predictions may become examples to train on."""
    trained_until: TimeText | None = None
    """End of the training data: 2013-04-01 (in the model's timezone) or a time with an offset."""
    keep: Share = 1.0
    """Share of predictions whose rows are kept; all are counted."""
    keep_where: Condition = ""
    """Rows where this holds are always kept."""
    free_text: Policy = "drop"
    """What happens to text inputs that no feature declares."""

    @field_validator("features")
    @classmethod
    def _features_once(cls, features: list[str] | dict[str, FeatureDeclaration | None]) -> object:
        if isinstance(features, list):
            _once("feature", features)
        return features

    @field_validator("cohorts")
    @classmethod
    def _cohorts_once(cls, cohorts: list[str | CohortDeclaration]) -> object:
        _once("cohort", [cohort if isinstance(cohort, str) else cohort.name for cohort in cohorts])
        return cohorts

    @field_validator("outcomes")
    @classmethod
    def _one_final(cls, outcomes: object) -> object:
        kinds = _outcome_kinds(outcomes)
        _once("outcome", [kind.name for kind in kinds])
        final = [kind.name for kind in kinds if kind.final]
        if len(final) != 1:
            found = " and ".join(final) if final else "none"
            refuse(f"found {found} marked final, expected exactly one", "write `final: true` at one kind")
        return outcomes

    @model_validator(mode="after")
    def _success_fits_task(self) -> Self:
        fits = _SUCCESS[self.task]
        for name, value in self.success.model_dump().items():
            if value is not None and name not in fits:
                hint = f"use {' or '.join(fits)}, or change task" if fits else "leave it out, or change task"
                refuse(f"found {name} for a {self.task} model", hint, at=("success", name), whole=True)
        return self

    @model_validator(mode="after")
    def _judge_fits_task(self) -> Self:
        judges = [kind for kind in _outcome_kinds(self.outcomes) if kind.judge]
        if judges and self.task != "generation":
            refuse(f"found a judge for a {self.task} model", "leave judge out, or change task", at=("outcomes",))
        if len(judges) > 1:
            refuse(f"found the judges {' and '.join(one.name for one in judges)}, expected one", at=("outcomes",))
        if any(one.final for one in judges):
            refuse(
                "found a judge marked final",
                "a judge is measured against another kind: make that final",
                at=("outcomes",),
            )
        return self

    @model_validator(mode="after")
    def _prices_in_order(self) -> Self:
        try:
            starts = [one.since for one in self._rates().periods if one.since is not None]
        except SetpointError as error:
            refuse(error.message, error.hint, at=("rates",), whole=True)
        if any(moment(start, self.timezone).minute for start in starts):
            refuse("found rates since a time within an hour, expected a whole hour", at=("rates",), whole=True)
        return self

    @model_validator(mode="after")
    def _conditions_can_hold(self) -> Self:
        """Refuse a condition on values that are hidden before anything is recorded or looked at."""
        hidden = {one.name: one.policy for one in self._features() if one.policy != "keep"}
        conditions = [("keep_where", self.keep_where, "")]
        conditions += [("cohorts", cohort.where, cohort.by) for cohort in self._cohorts()]
        for place, where, by in conditions:
            names = {by} if by else (parse(where).columns() if where else set[str]())
            for name in sorted(name.removeprefix("inputs.") for name in names):
                policy = hidden.get(name)
                if policy is not None and not (by and policy == "hash"):  # a hash still tells groups apart
                    refuse(
                        f"found {name}, whose policy is {policy}, so no condition on its values ever holds",
                        "use a feature that is kept, or change its policy",
                        at=(place,),
                        whole=True,
                    )
        return self

    @property
    def has_judge(self) -> bool:
        """Whether a kind of outcome is the grade of a judge model."""
        return any(kind.judge for kind in _outcome_kinds(self.outcomes))

    def to_model(self, name: str) -> core.Model:
        """Return the core noun under a name.

        Example:
            >>> ModelDeclaration(features=["delay"]).to_model("flights").features[0].name
            'delay'
        """
        silence, schedule, zone = self.outcome_if_silent, self.schedule, self.timezone
        return core.Model(
            name=name,
            task=core.Task(self.task),
            endpoint=self.endpoint,
            owner=self.owner and self.owner.to_core(),
            business_metric=self.business_metric and self.business_metric.to_core(),
            positive=self.positive,
            success=self.success.to_core(),
            cost_unit=self.cost_unit,
            features=self._features(),
            cohorts=self._cohorts(),
            expectations=tuple(
                core.Expectation(metric, bar.at_least, bar.at_most, bar.source) for metric, bar in self.quality.items()
            ),
            reference=self.reference,
            timezone=zone,
            outcomes=_outcome_kinds(self.outcomes),
            outcome_horizon=parse_duration(self.outcome_horizon),
            outcome_if_silent=silence and core.Silence(silence.value, parse_duration(silence.after)),
            rates=self._rates(),
            schedule=schedule and core.Schedule(parse_duration(schedule.every), parse_duration(schedule.grace)),
            retention=self._retention(),
            training_data=self._training_data(),
            trained_until=None if self.trained_until is None else parse_time(self.trained_until, zone),
            keep=self.keep,
            keep_where=self.keep_where,
            free_text=self.free_text,
        )

    def _rates(self) -> Rates:
        found: Rates | None = None
        for told in self.rates if isinstance(self.rates, list) else [self.rates]:
            found = told.to_core(self.timezone, found)
        return found or Rates()

    def _training_data(self) -> core.TrainingData:
        told = self.training_data
        maturity = 0 if told.maturity is None else parse_duration(told.maturity)
        return core.TrainingData(told.consent, maturity, tuple(told.quotas.items()), told.exploration, told.acted_where)

    def _retention(self) -> core.Retention:
        age = self.retention.age
        return core.Retention(None if age is None else parse_duration(age), self.retention.size)

    def _features(self) -> tuple[core.Feature, ...]:
        if isinstance(self.features, list):
            return tuple(core.Feature(name) for name in self.features)
        told = {name: feature or FeatureDeclaration() for name, feature in self.features.items()}
        return tuple(core.Feature(name, one.kind, one.importance, one.policy) for name, one in told.items())

    def _cohorts(self) -> tuple[core.Cohort, ...]:
        return tuple(
            core.Cohort(cohort, by=cohort) if isinstance(cohort, str) else cohort.to_cohort() for cohort in self.cohorts
        )


class ProjectDeclaration(_Part):
    """A project: where its store is and where its models are declared."""

    store: Word = "./store"
    """The store's folder, relative to this file, or a URL."""
    models: Word | None = None
    """The folder of model declarations, relative to this file; models when left out."""


_SUCCESS = {
    "binary": ("threshold",),
    "regression": ("tolerance",),
    "multiclass": (),
    "ranking": ("top", "catalogue"),
    "generation": ("at_least",),
}


def _once(noun: str, names: list[str]) -> None:
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        refuse(f"found the {noun} {twice[0]} twice")


def _outcome_kinds(outcomes: object) -> tuple[core.OutcomeKind, ...]:
    """Return declared outcomes as core nouns; a kind that is alone and silent about it is final."""
    pairs: list[tuple[str, OutcomeDeclaration | None]] = []
    if isinstance(outcomes, dict):
        pairs.extend(cast("dict[str, OutcomeDeclaration | None]", outcomes).items())
    elif isinstance(outcomes, list):
        listed = cast("list[str | NamedOutcomeDeclaration]", outcomes)
        pairs.extend((one, None) if isinstance(one, str) else (one.name, one) for one in listed)
    alone = len(pairs) == 1
    return tuple(_outcome_kind(name, one or OutcomeDeclaration(), is_alone=alone) for name, one in pairs)


def _outcome_kind(name: str, declared: OutcomeDeclaration, *, is_alone: bool) -> core.OutcomeKind:
    is_final = declared.final if "final" in declared.model_fields_set else is_alone
    return core.OutcomeKind(name, is_final, declared.source, declared.selection, declared.judge, declared.cost_usd)
