"""Every table of an answer: the question, its name, its columns, and what it holds."""

from __future__ import annotations

from typing import TypeAlias

from setpoint.answers import (
    aside,
    business,
    by_task,
    cascade,
    causes,
    cohorts,
    contract,
    cost,
    diff,
    drift,
    embedding_drift,
    estimates,
    evaluation,
    harm,
    incidents,
    inventory,
    meter,
    objectives,
    outcomes,
    prices,
    quality,
    rollout,
    route,
    scores,
    status,
    training_age,
    why,
    worth,
)
from setpoint.project import overview, retraining

AnswerTable: TypeAlias = tuple[str, str, tuple[str, ...], str]

_GROUPS = status.METRIC_COLUMNS[:7]
_BY = ("the group", "predictions", "outcome_share", "outcome_age_seconds", *_GROUPS)
_COSTS = ("the group", "cost_per_success_usd", "low_usd", "high_usd", "rows", "outcome_share", "unknown")
_WATCHING: tuple[AnswerTable, ...] = (
    ("status", "metrics", status.METRIC_COLUMNS, "One row a metric."),
    ("status", "by_GROUP", _BY, "With `--by`: one row a group, of the first metric."),
    (
        "status",
        "training",
        training_age.TRAINING_COLUMNS,
        "Where the end of the training data is declared: its age, the first and the latest mature weeks after it.",
    ),
    ("status", "quarantine", aside.QUARANTINE_COLUMNS, "Where rows were put aside: how many, in all tables."),
    (
        "status",
        "estimates",
        estimates.ESTIMATE_COLUMNS,
        "Before outcomes; `weighted_estimates`: inputs moved.",
    ),
    ("status of all models", "models", overview.COLUMNS, "Without a model's name: one row a model, worst first."),
    ("diff", "features", diff.COLUMNS, "One row a feature, the largest impact first."),
    ("diff", "by_GROUP", ("the group", *diff.COLUMNS), "With `--by`: one row a group and feature."),
    (
        "diff",
        "effects",
        harm.EFFECT_COLUMNS,
        "With `--explain`: what each changed feature alone does to the model's answers.",
    ),
    ("diff", "answers", diff.EXPLAINED_COLUMNS, "With `--explain`: one row an answer to a question."),
    ("drift", "features", drift.DRIFT_COLUMNS, "`DriftDetector`: one row a feature, the likeliest change first."),
    ("drift", "gross", drift.GROSS_COLUMNS, "What changed grossly within the last day; absent when nothing did."),
    ("embedding_drift", "distance", embedding_drift.COLUMNS, "One row: how far both sets lie from each other."),
)
_MONEY: tuple[AnswerTable, ...] = (
    ("cost", "metrics", cost.METRIC_COLUMNS, "Per correct prediction, and per unit of work."),
    ("cost", "by_GROUP", _COSTS, "With `--by`: one row a group."),
    (
        "cost",
        "lines",
        cost.LINE_COLUMNS,
        "The bill, one row a line; bounds where outcomes are estimated from kept rows.",
    ),
    (
        "cost",
        "priced",
        cost.PRICED_COLUMNS,
        "Where a price is missing: how many predictions have none, and lower bounds.",
    ),
    ("price check", "unpriced", prices.UNPRICED_COLUMNS, "Calls without a price, by model, tier and reason."),
    ("worth", "metrics", worth.METRIC_COLUMNS, "The gain, what it costs, and the net benefit at `--value`."),
    (
        "worth",
        "by_*NAME*",
        ("the cohort", *worth.GROUP_COLUMNS),
        "With `--by`: one row a group; intervals hold for all groups together.",
    ),
    ("worth", "versions", worth.SIDE_COLUMNS, "The candidate, and what it is held against."),
    ("cascade tune", "metrics", cascade.METRIC_COLUMNS, "The threshold, what it takes and loses, what it saves."),
    ("cascade tune", "curve", cascade.CURVE_COLUMNS, "What is lost at some thresholds; each interval for itself."),
)
_QUALITY: tuple[AnswerTable, ...] = (
    ("outcomes", "days", outcomes.DAY_COLUMNS, "One row a local day."),
    ("outcomes", "kinds", outcomes.KIND_COLUMNS, "One row a kind of outcome."),
    (
        "outcomes",
        "by_GROUP",
        ("the group", *outcomes.DELAY_COLUMNS),
        "With `--by`: one row a group, the slowest first.",
    ),
    (
        "quality",
        "by_GROUP",
        ("the group", *quality.GROUP_COLUMNS),
        "With `--by`, all cut alike.",
    ),
    ("quality", "operating_point", quality.POINT_COLUMNS, "Where scores are acted upon."),
    ("quality", "metrics", quality.METRIC_COLUMNS, "One row a metric."),
    ("quality", "reliability", scores.RELIABILITY_COLUMNS, "One row a band of scores."),
    ("quality", "brier", scores.BRIER_COLUMNS, "The Brier score in parts that add up."),
    ("quality", "classes", by_task.CLASS_COLUMNS, "Multiclass: one row a class, the lowest F1 first."),
    ("quality", "confusions", by_task.CONFUSION_COLUMNS, "Multiclass: one row a mistake, the most frequent first."),
    ("quality", "exposure", by_task.EXPOSURE_COLUMNS, "Ranking: how much of the catalogue is shown, how evenly."),
    ("quality", "items", by_task.ITEM_COLUMNS, "Ranking: the hundred items that are shown most."),
    ("quality", "grades", by_task.GRADE_COLUMNS, "Generation with a judge: who graded how many."),
    ("quality", "money", business.MONEY_COLUMNS, "What predictions were worth, when outcomes say it."),
    ("quality", "audits", quality.AUDIT_COLUMNS, "What was estimated of each week, and what came true."),
    ("quality", "weeks", business.WEEK_COLUMNS, "Quality and worth of each week."),
    ("why", "dimensions", why.DIMENSION_COLUMNS, "One row a version, endpoint or cohort that may explain it."),
    ("why", "groups", why.GROUP_COLUMNS, "One row a group of each of them."),
    ("why", "skill", why.SKILL_COLUMNS, "One row a baseline."),
    ("why", "causes", causes.CAUSE_COLUMNS, "One row a cause, the most likely first."),
    ("cohorts", "cohorts", cohorts.COHORT_COLUMNS, "One row a cohort and criterion, the largest excess first."),
    ("cohorts", "too_small", cohorts.TOO_SMALL_COLUMNS, "Cohorts with too few outcomes for a verdict."),
    ("check", "rules", contract.RULE_COLUMNS, "One row a rule of the contract."),
    ("evaluate", "leaks", evaluation.LEAK_COLUMNS, "One row a leak."),
    ("evaluate", "coverage", evaluation.COVERAGE_COLUMNS, "What production has and the set never saw."),
    ("evaluate", "quality", evaluation.QUALITY_COLUMNS, "What the set measures, and how many rows it lacks."),
    ("evaluate", "past", evaluation.PAST_COLUMNS, "How far offline and online disagreed before."),
    ("evaluate", "inputs", evaluation.INPUT_COLUMNS, "How strongly each input alone tells the outcome."),
    ("evaluate", "cohorts", cohorts.COHORT_COLUMNS, "Who is under-served in the set; as of `cohorts`."),
    ("evaluate", "too_small", cohorts.TOO_SMALL_COLUMNS, "Cohorts with too few outcomes in the set for a verdict."),
)
_SERVING: tuple[AnswerTable, ...] = (
    (
        "route",
        "shadows",
        route.SHADOW_COLUMNS,
        "One row a version in shadow: what became of the copies of requests, and whether it gave the same answer.",
    ),
    ("meter", "metrics", meter.METRIC_COLUMNS, "How much was asked, how fast, what failed and what was used."),
    ("meter", "latency", meter.PART_COLUMNS, "Where the time of a prediction goes; the parts sum to the mean."),
    ("meter", "errors", meter.ERROR_COLUMNS, "One row a kind of error, of all predictions, kept or not."),
    (
        "meter",
        "stage_errors",
        meter.STAGE_ERROR_COLUMNS,
        "One row a kind of error before another version was asked.",
    ),
    ("meter", "tokens", meter.TOKEN_COLUMNS, "One row a class of tokens in billed calls; each token is in one."),
    (
        "meter",
        "by_latency",
        meter.BAND_COLUMNS,
        "One row a band of latency, with `--by` a group and band: an association, no effect of latency.",
    ),
    ("route", "versions", route.COLUMNS, "One row a version and role: what is planned, and what it did since."),
    ("route", "plans", route.HISTORY_COLUMNS, "Every plan of the model, oldest first."),
    ("models", "models", inventory.COLUMNS, "The inventory."),
    ("models --debt", "debt", inventory.DEBT_COLUMNS, "What is missing, and what to do about it."),
    ("doctor", "checks", ("verdict", "what", "found"), "One row a check."),
    ("doctor", "figures", ("model", "figure", "value"), "The numbers behind them, one row a number."),
    ("doctor", "quarantine", ("model", "source_table", "reason", "rows"), "What was put aside, by reason."),
)
_ACTING: tuple[AnswerTable, ...] = (
    (
        "rollout",
        "metrics",
        rollout.METRIC_COLUMNS,
        "`status`: one row a metric and version, with what bets that the candidate is worse have won.",
    ),
    (
        "rollout",
        "readout",
        rollout.READOUT_COLUMNS,
        "Of a test: who is better in the business metric. A is the stable version, B the candidate.",
    ),
    ("rollout", "events", rollout.EVENT_COLUMNS, "One row an event, the last one says where it stands."),
    ("rollout", "decisions", rollout.DECISION_COLUMNS, "`explain`: one row a decision, with its alternatives."),
    (
        "rehearsal",
        "rehearsal",
        rollout.REHEARSAL_COLUMNS,
        "One row a candidate: one that is no worse, and one at each red line.",
    ),
    ("incidents", "incidents", incidents.LIST_COLUMNS, "Open incidents first."),
    ("incidents", "digest", incidents.DIGEST_COLUMNS, "What is wrong that nobody has to look at now."),
    ("incidents", "silences", incidents.SILENCE_COLUMNS, "When nobody is told, now or later."),
    ("incident", "timeline", incidents.TIMELINE_COLUMNS, "One row an entry, in the order of time."),
    (
        "incident_stats",
        "stats",
        incidents.STATS_COLUMNS,
        "Medians since an incident began, of all, by model, and by what found it.",
    ),
    ("retrainings", "retrainings", retraining.COLUMNS, "The latest first."),
    (
        "objectives",
        "objectives",
        objectives.OBJECTIVE_COLUMNS,
        "One row an objective, `left` is the share of its budget that is left.",
    ),
    (
        "objectives",
        "burns",
        objectives.BURN_COLUMNS,
        "One row an objective and window: how many times faster than it may the budget is spent, and in its last part.",
    ),
)

ANSWER_TABLES = (*_WATCHING, *_MONEY, *_QUALITY, *_SERVING, *_ACTING)
