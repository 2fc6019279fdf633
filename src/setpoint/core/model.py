"""A model and what it promises: plain frozen values, whether declared in YAML or in Python."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from setpoint.core.clock import DAY, HOUR
from setpoint.core.contract import Contract
from setpoint.core.errors import UsageError
from setpoint.core.guardrail import Guardrail
from setpoint.core.metric import Direction, Distance
from setpoint.core.objective import Objective
from setpoint.core.rates import Rates
from setpoint.core.reference import is_table_file
from setpoint.core.retraining import RetrainingRules
from setpoint.core.rollout import RolloutRules
from setpoint.core.route_plan import Route


class Task(StrEnum):
    """What kind of answer the model gives."""

    BINARY = "binary"
    REGRESSION = "regression"
    MULTICLASS = "multiclass"
    RANKING = "ranking"
    GENERATION = "generation"

    @property
    def in_words(self) -> bool:
        """Whether outcomes are kept as texts: classes, items and grades, of which some may be spelled as numbers."""
        return self not in {Task.BINARY, Task.REGRESSION}


NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"  # a model's name is a folder, and part of file names
NAME_RULE = "at most 100 letters, digits, dots, dashes and underscores, a letter or digit first"

# What answers can group by without a cohort: no cohort can have one of these names.
GROUPINGS = ("version", "endpoint", "day")

FeatureKind = Literal["numeric", "integer", "categorical", "boolean", "text", "time"]
Policy = Literal["keep", "hash", "redact", "drop"]


@dataclass(frozen=True, slots=True)
class Owner:
    """Who answers for a model, and who is woken.

    Attributes:
        team: Who answers for it.
        on_call: Who is told: a rota, a person or an address; empty for nobody.
        escalate_to: Who is told too when a page stays unanswered; empty for nobody.
        escalate_after: How long it may, microseconds.
    """

    team: str
    on_call: str = ""
    escalate_to: str = ""
    escalate_after: int = HOUR // 2


@dataclass(frozen=True, slots=True)
class BusinessMetric:
    """The number the business watches, such as `fraud_loss_usd`."""

    name: str
    unit: str = "usd"
    better: Direction = "higher"


@dataclass(frozen=True, slots=True)
class Feature:
    """One declared input.

    Attributes:
        name: As the recorder sees it.
        kind: `integer` refuses fractions; `numeric` is kept as a double; `text` is free text; `time` an ISO
            time, or date, watched by its age. None: as the first values are.
        importance: Share of the model's skill it carries, 0 to 1; None when unknown.
        policy: What happens to its values before they are queued.
        source: Which of the model's sources delivers it; empty when nobody said.
    """

    name: str
    kind: FeatureKind | None = None
    importance: float | None = None
    policy: Policy = "keep"
    source: str = ""


@dataclass(frozen=True, slots=True)
class Cohort:
    """A named condition on predictions: one cohort a value of `by`, or the rows where `where` holds.

    Attributes:
        name: What reports call it.
        by: A column; of a part the time it is of, `predicted_at` when left out.
        where: A condition, instead of a column.
        part: The local hour or weekday of a time, instead of the time.
        mapping: Values and what each is put together under; all others are `(other)`.
        edges: Where a number is cut into bands, rising; a band holds its lower edge.
        quantiles: How many bands of about as many rows there are to be; `edges` are then frozen once, from rows.
        new_for: How long after its first prediction a unit is `new`, microseconds, before it is `returning`; 0 is
            that prediction alone.
    """

    name: str
    by: str = ""
    where: str = ""
    part: Literal["", "hour", "weekday"] = ""
    mapping: tuple[tuple[str, str], ...] = ()
    edges: tuple[float, ...] = ()
    quantiles: int = 0
    new_for: int | None = None


@dataclass(frozen=True, slots=True)
class Expectation:
    """A declared bar for one quality metric.

    Attributes:
        metric: Such as `auc` or `rmse`.
        at_least: The lowest value that is fine; None when higher is not better.
        at_most: The highest value that is fine; None when lower is not better.
        source: Where the bar comes from, in words.
        expires_at: Until when it holds, microseconds; None for good.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    source: str = ""
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class DriftLimit:
    """How far a day may lie from the reference, by a limit of the team's own.

    Attributes:
        metric: The distance.
        at_most: The largest value that is fine.
        feature: The input, or `score` or `prediction`; empty for each that has no limit of its own.
    """

    metric: Distance
    at_most: float
    feature: str = ""

    @property
    def name(self) -> str:
        """What reports call it.

        Example:
            >>> DriftLimit("psi", 0.2).name, DriftLimit("psi", 0.2, "fare").name
            ('psi', 'psi of fare')
        """
        return f"{self.metric} of {self.feature}" if self.feature else self.metric


@dataclass(frozen=True, slots=True)
class OutcomeKind:
    """One kind of outcome; exactly one of a model's kinds is final, others are proxies.

    Attributes:
        name: Such as `chargeback` or `complaint`.
        final: Whether quality is judged by it.
        source: Where it comes from, in words: a click log, the support desk.
        selection: Whose outcomes are seen, when not everybody's: only customers who wrote in.
        judge: Generation: whether a model gives it, whose bias is measured where the final kind came too.
        cost_usd: What one of them costs, such as a judge's call; None when unknown, or not billed.
    """

    name: str = "final"
    final: bool = True
    source: str = ""
    selection: str = ""
    judge: bool = False
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Success:
    """What counts as a correct prediction.

    Attributes:
        threshold: Binary: a score at or above it predicts the positive class; None uses the
            recorded prediction.
        tolerance: Regression: correct when |prediction - outcome| is at most this.
        at_least: Generation: correct when the grade is at least this; a pass, a yes and a win are 1.
        top: Ranking: correct when one of the first so many items is relevant; the k of every metric.
        catalogue: Ranking: how many items there are to choose from; None when unknown.
    """

    threshold: float | None = None
    tolerance: float | None = None
    at_least: float = 1.0
    top: int = 10
    catalogue: int | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a batch-scoring job must have run: every `every`, at most `grace` late (microseconds)."""

    every: int = DAY
    grace: int = DAY // 4


@dataclass(frozen=True, slots=True)
class Silence:
    """Absence as an outcome: no outcome `after` this long means `value`."""

    value: float
    after: int


@dataclass(frozen=True, slots=True)
class Retention:
    """How long and how much to keep; None keeps everything."""

    age: int | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Which predictions may become examples to train on, besides having a final outcome and a kept contract.

    Attributes:
        consent: A condition that says that a person agreed; empty when nobody has to.
        maturity: How old a prediction must be, microseconds, so that its outcome is not likely to be corrected.
        quotas: Cohorts, and the largest share of the examples that one value may have.
        exploration: The share of examples that should have been drawn by lot; less is said.
        acted_where: A condition that says that the model's own action brought the outcome about.
    """

    consent: str = ""
    maturity: int = 0
    quotas: tuple[tuple[str, float], ...] = ()
    exploration: float = 0.0
    acted_where: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """A named production responsibility with an owner.

    Attributes:
        name: Letters, digits, dot, dash and underscore.
        task: What kind of answer it gives.
        positive: Binary: the value of prediction and outcome that means yes, as text; empty when they are 0/1.
        cost_unit: What one unit of work is called: prediction, ticket, session.
        baseline: What would be answered without a model, as text; empty when nobody said.
        reference: What comparisons start from: a window, as `Window.parse` reads it, or a file of rows such as
            the training data; empty when undeclared.
        columns: Role and column of the model's files, where a guess would be wrong; no column: there is none.
        timezone: Days, weeks and seasons are local to it.
        outcome_horizon: An outcome by key belongs to the latest prediction at most this much older.
        trained_until: End of the training window, microseconds; None when unknown.
        contract: What the inputs promise; None when nothing.
        route: Which versions answer, as declared; a rollout may have moved on from it. None when nothing is said.
        rollout: How a candidate takes the place of the stable version; None when nobody said.
        guardrails: What may not happen, and what is done when it does.
        retraining: How it is trained anew; None when nobody said.
        objectives: What share of requests may fail within some weeks.
        runbook: What is done when something is wrong: the name of a runbook; empty when there is none.
        keep: Share of predictions whose rows are kept, 0 to 1. Tallies count all of them.
        flops_per_request: Floating-point operations of one prediction; None when nobody said.
        sources: What delivers inputs, outcomes or answers from outside, and the team that owns it.
    """

    name: str
    task: Task = Task.BINARY
    endpoint: str = ""
    owner: Owner | None = None
    business_metric: BusinessMetric | None = None
    positive: str = ""
    success: Success = field(default_factory=Success)
    cost_unit: str = "prediction"
    baseline: str = ""
    features: tuple[Feature, ...] = ()
    cohorts: tuple[Cohort, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    drift_limits: tuple[DriftLimit, ...] = ()
    reference: str = ""
    timezone: str = "UTC"
    outcomes: tuple[OutcomeKind, ...] = (OutcomeKind(),)
    outcome_horizon: int = 30 * DAY
    outcome_if_silent: Silence | None = None
    rates: Rates = field(default_factory=Rates)
    schedule: Schedule | None = None
    retention: Retention = field(default_factory=Retention)
    trained_until: int | None = None
    keep: float = 1.0
    keep_where: str = ""
    training_data: TrainingData = field(default_factory=TrainingData)
    free_text: Policy = "drop"
    contract: Contract | None = None
    route: Route | None = None
    rollout: RolloutRules | None = None
    guardrails: tuple[Guardrail, ...] = ()
    objectives: tuple[Objective, ...] = ()
    retraining: RetrainingRules | None = None
    runbook: str = ""
    flops_per_request: float | None = None
    columns: tuple[tuple[str, str], ...] = ()
    sources: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Take a task that is spelled as a text.

        Raises:
            UsageError: No task is spelled so.
        """
        if self.task not in list(Task):
            msg = f"no task is called {self.task!r}"
            raise UsageError(msg, hint=f"known: {', '.join(Task)}")
        object.__setattr__(self, "task", Task(self.task))

    @property
    def final_kind(self) -> str:
        """The kind of outcome that quality is judged by."""
        return next(kind.name for kind in self.outcomes if kind.final)

    @property
    def judge_kind(self) -> str:
        """The kind of outcome that a judge model gives; empty when there is none."""
        return next((kind.name for kind in self.outcomes if kind.judge), "")

    @property
    def reference_file(self) -> str:
        """The file that comparisons start from; empty when it is a window, or undeclared."""
        return self.reference if is_table_file(self.reference) else ""

    def feature(self, name: str) -> Feature | None:
        """Return the declared feature of this name, if any."""
        return next((feature for feature in self.features if feature.name == name), None)

    def source_of(self, subject: str) -> str:
        """Return the declared source of an input, or of the first one that a cause or a rule names; empty for none."""
        names = [subject, subject.rpartition(".")[0], subject.rpartition(" of ")[2], *subject.split(" and ")]
        return next((one.source for name in names if (one := self.feature(name)) is not None and one.source), "")

    def whom_to_ask(self, source: str) -> str:
        """Return the team that owns a source, with the source; the source alone when nobody declared it.

        A source is also one that a declared name begins: what follows it, such as a version, does not matter.

        Example:
            >>> model = Model("m", sources=(("payments-etl", "payments"),))
            >>> model.whom_to_ask("payments-etl-2"), model.whom_to_ask("payments-etl2")
            ('payments (payments-etl-2)', 'payments-etl2')
        """
        fits = [name for name, _ in self.sources if re.match(rf"{re.escape(name)}(?![A-Za-z0-9])", source)]
        return f"{dict(self.sources)[max(fits, key=len)]} ({source})" if fits else source
