"""What a declaration may say: the shape of a model's YAML file, key by key.

The models below mirror `core.model` with spellings for people: `30d` for a duration, a list of names where
names are enough. Their docstrings are the descriptions in the JSON Schema that editors read.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self, cast

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from setpoint.core import model as core
from setpoint.core.clock import moment, parse_duration, parse_time
from setpoint.core.contract import FieldKind
from setpoint.core.errors import SetpointError
from setpoint.core.expression import parse
from setpoint.core.rates import Rates
from setpoint.core.reference import ROLES
from setpoint.declare.contacts import OnCall, contacts_of
from setpoint.declare.contract import ContractDeclaration
from setpoint.declare.guardrails import GuardrailDeclaration
from setpoint.declare.objectives import ObjectiveDeclaration
from setpoint.declare.parts import (
    BusinessMetricDeclaration,
    CohortDeclaration,
    DriftLimitDeclaration,
    FeatureDeclaration,
    NamedOutcomeDeclaration,
    OutcomeDeclaration,
    OwnerDeclaration,
    Part,
    Policy,
    QualityDeclaration,
    RatesDeclaration,
    RetentionDeclaration,
    ScheduleDeclaration,
    Share,
    SilenceDeclaration,
    SuccessDeclaration,
    TrainingDataDeclaration,
)
from setpoint.declare.problems import did_you_mean
from setpoint.declare.retraining import RetrainingDeclaration
from setpoint.declare.rollout import RolloutDeclaration
from setpoint.declare.route import RouteDeclaration
from setpoint.declare.spellings import (
    CohortName,
    Condition,
    Duration,
    Name,
    ReferenceText,
    ScalarText,
    TimeText,
    Word,
    ZoneName,
    refuse,
    shape,
)

_LIST, _MAPPING, _TEXT = Tag("(list)"), Tag("(mapping)"), Tag("(text)")

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


class ModelDeclaration(Part):
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
    baseline: ScalarText = ""
    """What would be answered without a model, such as 0 or a class: what `setpoint worth --over none` compares with."""
    features: Features = Field(default_factory=list[str])
    """The model's inputs: a list of names, or a mapping from name to kind, importance, policy and source."""
    sources: dict[Word, Word] = Field(default_factory=dict[str, str])
    """What delivers inputs, outcomes or answers from outside, and the team that owns it: payments-etl: payments."""
    contract: ContractDeclaration | None = None
    """What the inputs promise."""
    cohorts: Cohorts = Field(default_factory=list)
    """The groups that are looked at one by one: columns, or conditions with a name."""
    quality: dict[Word, QualityDeclaration] = Field(default_factory=dict[str, QualityDeclaration])
    """The bar for each quality metric, such as auc or rmse."""
    drift_limits: list[DriftLimitDeclaration] = Field(default_factory=list[DriftLimitDeclaration])
    """How far a day may lie from the reference, by limits of the team's own."""
    reference: ReferenceText = ""
    """What comparisons start from: 2013-01-01..2013-04-01, 30d, last month, or a file such as train.parquet."""
    columns: dict[str, str] = Field(default_factory=dict[str, str])
    """Which column of the model's files plays which role, where a guess would be wrong; an empty text: none does."""
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
    flops_per_request: Annotated[float, Field(gt=0)] | None = None
    """Floating-point operations that one prediction takes; `setpoint meter` says how many a second that makes."""
    route: RouteDeclaration | None = None
    """Which versions answer, and for which share of the units; `setpoint apply` publishes it."""
    rollout: RolloutDeclaration | None = None
    """How a candidate takes the place of the stable version; `setpoint rollout start` begins one."""
    guardrails: list[GuardrailDeclaration] = Field(default_factory=list[GuardrailDeclaration])
    """What may not happen, and what is done when it does."""
    objectives: list[ObjectiveDeclaration] = Field(default_factory=list[ObjectiveDeclaration])
    """What share of requests may fail within some weeks: error budgets."""
    retraining: RetrainingDeclaration | None = None
    """How the model is trained anew: by a command of the team's own."""
    runbook: str = ""
    """What is done when something is wrong: the name of a runbook."""
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

    @field_validator("columns")
    @classmethod
    def _roles_are_known(cls, columns: dict[str, str]) -> dict[str, str]:
        for role in columns.keys() - set(ROLES):
            refuse(f"no role is called {role}", did_you_mean(role, ROLES) or f"roles: {', '.join(ROLES)}", at=(role,))
        return columns

    @field_validator("cohorts")
    @classmethod
    def _cohorts_once(cls, cohorts: list[str | CohortDeclaration]) -> object:
        _once("cohort", [cohort if isinstance(cohort, str) else cohort.name for cohort in cohorts])
        return cohorts

    @field_validator("drift_limits")
    @classmethod
    def _limits_once(cls, limits: list[DriftLimitDeclaration]) -> object:
        _once("limit", [limit.to_core().name for limit in limits])
        return limits

    @field_validator("guardrails")
    @classmethod
    def _guardrails_once(cls, guardrails: list[GuardrailDeclaration]) -> object:
        _once("guardrail", [one.name for one in guardrails])
        return guardrails

    @field_validator("objectives")
    @classmethod
    def _objectives_once(cls, objectives: list[ObjectiveDeclaration]) -> object:
        _once("objective", [one.name for one in objectives])
        return objectives

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
    def _sources_are_declared(self) -> Self:
        for one in self._features():
            if one.source and one.source not in self.sources:
                hint = did_you_mean(one.source, self.sources) or f"declare sources: {{{one.source}: TEAM}}"
                at = ("features", one.name, "source")
                refuse(f"found {one.source}, expected one of the model's sources", hint, at=at, whole=True)
        return self

    @model_validator(mode="after")
    def _success_fits_task(self) -> Self:
        fits = _SUCCESS[self.task]
        for name, value in self.success.model_dump().items():
            if value is not None and name not in fits:
                hint = f"use {' or '.join(fits)}, or change task" if fits else "leave it out, or change task"
                refuse(f"found {name} for a {self.task} model", hint, at=("success", name), whole=True)
        return self

    @model_validator(mode="after")
    def _baseline_fits_task(self) -> Self:
        expected = ""
        if self.task in {"ranking", "generation"}:
            expected = "none for such a model: give a version called holdout a share"
        elif self.task == "regression" and not _NUMBER.fullmatch(self.baseline):
            expected = "a number"
        elif self.task == "binary" and not self.positive and self.baseline.lower() not in {"0", "1", "true", "false"}:
            expected = "0 or 1"
        if self.baseline and expected:
            refuse(f"found the baseline {self.baseline}, expected {expected}", at=("baseline",))
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

    @property
    def feature_kinds(self) -> dict[str, FieldKind | None]:
        """All features, with their kinds where they say one."""
        return {one.name: "categorical" if one.kind == "text" else one.kind for one in self._features()}

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
            baseline=self.baseline,
            features=self._features(),
            contract=self.contract and self.contract.to_core(self.feature_kinds),
            cohorts=self._cohorts(),
            expectations=tuple(
                core.Expectation(metric, bar.at_least, bar.at_most, bar.source) for metric, bar in self.quality.items()
            ),
            drift_limits=tuple(limit.to_core() for limit in self.drift_limits),
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
            route=self.route and self.route.to_core(),
            rollout=self.rollout and self.rollout.to_core(),
            guardrails=tuple(one.to_core() for one in self.guardrails),
            objectives=tuple(one.to_core() for one in self.objectives),
            retraining=self.retraining and self.retraining.to_core(),
            runbook=self.runbook,
            flops_per_request=self.flops_per_request,
            columns=tuple(self.columns.items()),
            sources=tuple(self.sources.items()),
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
        return tuple(core.Feature(name, one.kind, one.importance, one.policy, one.source) for name, one in told.items())

    def _cohorts(self) -> tuple[core.Cohort, ...]:
        return tuple(
            core.Cohort(cohort, by=cohort) if isinstance(cohort, str) else cohort.to_cohort() for cohort in self.cohorts
        )


class ProjectDeclaration(Part):
    """A project: where its store is and where its models are declared."""

    store: Word = "./store"
    """The store's folder, relative to this file, or a URL."""
    models: Word | None = None
    """The folder of model declarations, relative to this file; models when left out."""
    on_call: OnCall = Field(default_factory=dict)
    """Who is told, by name: a person with an address, or a rota with members; an owner's on_call names one."""

    heartbeat: str = ""
    """An http address that is asked after each tick that could look at every model: whoever watches it hears when the
    loop itself stands still."""

    @field_validator("heartbeat")
    @classmethod
    def _is_address(cls, heartbeat: str) -> str:
        if heartbeat and not heartbeat.startswith(("http://", "https://")):
            refuse(f"found {heartbeat}, expected an address such as https://hc.example/ping/setpoint")
        return heartbeat

    @model_validator(mode="after")
    def _members_are_people(self) -> Self:
        contacts_of(self.on_call)
        return self


_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
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
