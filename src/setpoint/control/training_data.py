"""Which predictions may become examples to train on: the declared policy, with a reason for each refusal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from setpoint.core.clock import text
from setpoint.core.contract import Contract, OnViolation
from setpoint.core.contract_faults import SEPARATOR
from setpoint.core.errors import UsageError
from setpoint.core.expression import parse
from setpoint.core.finding import Finding
from setpoint.core.metric import counted, number
from setpoint.core.model import Task, TrainingData
from setpoint.core.window import Window
from setpoint.store.engines.duck import at, literal, quoted, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.matching import examples

SELECTED = "training_rows"
"""The view of all root predictions of the window, with what is known of each and why it is excluded."""

NO_OUTCOME, IMMATURE, ERROR, CONTRACT, NO_CONSENT, UNSEEN = (
    "no final outcome",
    "not mature yet",
    "the request failed",
    "the contract was broken",
    "no consent",
    "shadow only: nobody got it",
)


@dataclass(frozen=True, slots=True)
class Selection:
    """What a policy selects.

    Attributes:
        rows: Predictions of the window, shadow rows too.
        kept: Those that may be trained on.
        excluded: How many were excluded, by reason.
        flagged: Kept rows whose outcome the model's own action brought about.
        exploration: Kept rows whose version or treatment was drawn by lot.
        columns: Columns of an example, in order.
        warnings: What a person should know, in words.
    """

    rows: int
    kept: int
    excluded: Mapping[str, int]
    flagged: int
    exploration: int
    columns: tuple[str, ...]
    warnings: tuple[str, ...]


def select(evidence: RowEvidence, window: Window, findings: Sequence[Finding], policy: TrainingData) -> Selection:
    """Decide about every prediction of a window; the rows are then in the view `SELECTED` of the evidence's connection.

    Args:
        evidence: The model's rows, as of the time that the data set is of.
        window: Predictions of this window.
        findings: Findings that are open at that time, and those that are over and freeze training data: what was
            predicted between the begin of one and its end may be spoilt by it.
        policy: What the model declares.

    Raises:
        UsageError: The policy names a column or a cohort that is not there.
    """
    connection = evidence.connection
    columns = _columns(evidence)
    picked = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in columns.items())
    cohorts = _quota_cohorts(evidence, policy)
    values = "".join(f", e.cohort_{n} AS {quoted(f'$cohort_{n}')}" for n in cohorts.values())
    drawn = "coalesce(p.assignment_probability < 1.0, false)"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {SELECTED} AS SELECT {picked}, {drawn} AS {quoted('$drawn')}{values},"
        f" {_reason(evidence, findings, policy)} AS reason FROM predictions AS p"
        f" JOIN ({examples(evidence.matching(window))}) AS e ON e.prediction_id = p.prediction_id"
        " ORDER BY p.prediction_id"
    )
    for (cohort, share), place in zip(policy.quotas, cohorts.values(), strict=True):
        _cut(evidence, cohort, share, place)
    counts = rows(connection, f"SELECT reason, count(*) FROM {SELECTED} GROUP BY reason ORDER BY 2 DESC, 1")
    excluded = {cast("str", reason): cast("int", count) for reason, count in counts if reason is not None}
    kept, flagged, exploration = cast("tuple[int, int, int]", rows(
        connection,
        f"SELECT count(*), count(*) FILTER (caused_by_action), count(*) FILTER ({quoted('$drawn')})"
        f" FROM {SELECTED} WHERE reason IS NULL",
    )[0])  # fmt: skip
    return Selection(
        kept + sum(excluded.values()), kept, excluded, flagged, exploration, tuple(columns),
        _warnings(evidence, kept, flagged, exploration, policy),
    )  # fmt: skip


def _columns(evidence: RowEvidence) -> dict[str, str]:
    """Return SQL of each column of an example, in order."""
    policy = evidence.model.training_data
    acted = _condition(evidence, policy.acted_where) if policy.acted_where else "NULL::BOOLEAN"
    fixed = {
        name: f"p.{name}"
        for name in ("prediction_id", "key", "unit", "predicted_at", "version", "endpoint", "feature_version")
    }
    inputs = {f"inputs.{name}": f"p.{column.sql}" for name, column in evidence.inputs.items()}
    return {
        **fixed,
        **dict(sorted(inputs.items())),
        "score": "e.score",
        **_answer(evidence.model.task),
        "value_usd": "e.value_usd",
        "weight": "e.weight",
        "assignment_probability": "p.assignment_probability",
        "caused_by_action": acted,
    }


def _answer(task: Task) -> dict[str, str]:
    """Return SQL of what was answered and of what came."""
    match task:
        case Task.MULTICLASS:
            return {"prediction": "e.decision_class", "scores": "p.scores", "outcome": "e.outcome_class"}
        case Task.RANKING:
            return {"ranking": "p.ranking", "outcome": "e.relevant"}
        case Task.GENERATION:
            return {"text": "p.text", "outcome": "e.outcome_number"}
        case _:
            return {"prediction": "e.decision", "outcome": "e.outcome_number"}


def _condition(evidence: RowEvidence, condition: str) -> str:
    from setpoint.store.expression_sql import condition_sql  # noqa: PLC0415 — brings sqlglot, slow to import

    return f"coalesce({condition_sql(parse(condition), evidence.column_and_kind)}, false)"


def _reason(evidence: RowEvidence, findings: Sequence[Finding], policy: TrainingData) -> str:
    """Return SQL for why a row is excluded; null when it is not. The first reason counts."""
    cases = [("p.parent_id IS NOT NULL", UNSEEN), ("p.error IS NOT NULL", ERROR)]
    cases.append((_broken(evidence.model.contract), CONTRACT))
    if policy.consent:
        cases.append((f"NOT {_condition(evidence, policy.consent)}", NO_CONSENT))
    zone = evidence.model.timezone
    for finding in findings:
        spoilt = f"p.predicted_at >= {at(finding.started_at)}"
        said = f"{finding.state} finding: {finding.kind} {finding.subject}".rstrip()
        said += f" since {text(finding.started_at, zone)}"
        if finding.ended_at is not None:
            spoilt += f" AND p.predicted_at < {at(finding.ended_at)}"
            said += f" until {text(finding.ended_at, zone)}"
        cases.append((spoilt, said))
    cases += [
        (f"p.predicted_at > {at(evidence.as_of - policy.maturity)}", IMMATURE),
        ("e.outcome_number IS NULL", NO_OUTCOME),
    ]
    return f"CASE {' '.join(f'WHEN {sql} THEN {literal(reason)}' for sql, reason in cases)} END"


def _broken(contract: Contract | None) -> str:
    """Return SQL of whether a row broke a rule that is not on trial."""
    rules = () if contract is None else contract.rules
    trial = [literal(rule.id) for rule in rules if rule.on_violation is OnViolation.SHADOW]
    told = "p.contract_violations IS NOT NULL AND p.contract_violations <> ''"
    noted = f"string_split(p.contract_violations, {literal(SEPARATOR)})"
    return f"{told} AND NOT list_has_all([{', '.join(trial)}], {noted})" if trial else told


def _quota_cohorts(evidence: RowEvidence, policy: TrainingData) -> dict[str, int]:
    known = [name for name, _ in evidence.matching(None).cohorts]
    for cohort, _ in policy.quotas:
        if cohort not in known:
            msg = f"training_data.quotas names {cohort!r}, which is no cohort"
            raise UsageError(msg, hint=f"declared cohorts: {', '.join(known) or 'none'}")
    return {cohort: known.index(cohort) for cohort, _ in policy.quotas}


def _cut(evidence: RowEvidence, cohort: str, share: float, place: int) -> None:
    """Exclude rows of a cohort's values that hold more than a share of what is kept; rows drawn by lot stay.

    Which ones is decided by the hash of their identifiers: the same ones every time.
    """
    column, drawn = quoted(f"$cohort_{place}"), quoted("$drawn")
    connection = evidence.connection
    counts = rows(connection, f"SELECT count(*) FROM {SELECTED} WHERE reason IS NULL GROUP BY {column}")
    most = largest_group([cast("int", row[0]) for row in counts], share)
    if counts and not most:
        msg = f"the examples have {counted(len(counts), 'value')} of {cohort}, which cannot have {100 * share:g} % each"
        raise UsageError(msg, hint="raise the quota, or put values together with a mapping")
    reason = literal(f"quota: more than {100 * share:g} % of one {cohort}")
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {SELECTED} AS
        WITH ranked AS (
          SELECT prediction_id, {drawn} AS drawn,
            row_number() OVER (PARTITION BY {column} ORDER BY {drawn} DESC, sha256(prediction_id)) AS place
          FROM {SELECTED} WHERE reason IS NULL
        ),
        cut AS (SELECT prediction_id FROM ranked WHERE place > {most} AND NOT drawn)
        SELECT s.* REPLACE (CASE WHEN c.prediction_id IS NOT NULL THEN {reason} ELSE s.reason END AS reason)
        FROM {SELECTED} AS s LEFT JOIN cut AS c USING (prediction_id) ORDER BY s.prediction_id
        """
    )


def largest_group(counts: Sequence[int], share: float) -> int:
    """Return how many rows a group may keep so that none has more than a share of what is left, as many as possible.

    Example:
        >>> largest_group([80, 20, 20], 0.5), largest_group([50, 50], 0.4)
        (40, 0)
    """
    total = float(sum(counts))
    while True:
        left = sum(min(count, share * total) for count in counts)
        if left >= total - 1e-9:
            return math.floor(share * total + 1e-9)
        total = left if left > 1.0 else 0.0


def _warnings(
    evidence: RowEvidence, kept: int, flagged: int, exploration: int, policy: TrainingData
) -> tuple[str, ...]:
    found: list[str] = []
    if not kept:
        found.append("no prediction may be trained on: see the reasons")
    if policy.exploration and exploration < policy.exploration * kept:
        have = exploration / kept if kept else 0.0
        found.append(
            f"only {number(have, 'share')} of the examples were drawn by lot, expected at least"
            f" {number(policy.exploration, 'share')}: the rest shows what the model chose to see"
        )
    if policy.acted_where and flagged:
        said = "outcomes were brought about by the model's own action: they confirm it, whatever it said"
        found.append(f"{flagged:,} {said}")
    if evidence.model.outcome_if_silent is not None:
        found.append("outcomes that are only silence are counted as outcomes")
    return tuple(found)
