"""Two versions side by side, from rows: sums of units for what each is worth, and pairs of answers to one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from setpoint.core.events import STAGE
from setpoint.core.model import Task
from setpoint.store.engines.duck import literal, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.matching import Matching, examples
from setpoint.store.measures import NO_VALUE
from setpoint.store.version_cohorts import version_named

HOLDOUT = "holdout"
"""The version that stands for units without a model: what they are answered costs nothing."""

FloatArray = NDArray[np.float64]
Versions = tuple[str, str]
Audits = Sequence[tuple[int, float]]
"""From when on which share of a cascade's accepted requests is audited, oldest first, microseconds; 0 where none is."""
UNAUDITED: Audits = ((0, 0.0),)


@dataclass(frozen=True, slots=True)
class Side:
    """The rows of one version.

    Attributes:
        rows: With a known outcome.
        weight: What those stand for.
        unpriced: Weight of those whose cost is unknown.
        predictions: Weight of all, with an outcome or without.
        units: Different units of those with a known outcome.
    """

    rows: int
    weight: float
    unpriced: float
    predictions: float
    units: int


@dataclass(frozen=True, slots=True, eq=False)
class Versus:
    """Two versions' rows, summed by unit; see `stats.worth.means`.

    Attributes:
        sums: Weight, success and cost of the first version, then of the second, shape (units, 6). Of a row without a
            price the cost is 0: see `Side.unpriced`.
        sides: What the sums of either version rest on.
    """

    sums: FloatArray
    sides: tuple[Side, Side]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Requests that a cheap and an expensive version both answered, a random share of all, as they became known.

    Attributes:
        known_at: When the answers and their outcome were known, microseconds.
        confidence: Of the cheap answer; nan where it said none.
        cheap_success: Whether the cheap answer was right, 1 or 0; nan where nobody knows yet.
        success: The same of the expensive one.
        differs: Whether the answers differ, 1 or 0; nan where they cannot be compared.
        cheap_cost: Dollars; nan when unknown.
        cost: Dollars of the expensive answer; nan when unknown.
        passed_on: Whether a cascade passed it on, 1 or 0.
        unit: A number for each unit.
        asked_at: When the request came, microseconds.
        heaviest: How many rows one stood for at most, before some were left out.
    """

    known_at: FloatArray
    confidence: FloatArray
    cheap_success: FloatArray
    success: FloatArray
    differs: FloatArray
    cheap_cost: FloatArray
    cost: FloatArray
    passed_on: FloatArray
    unit: FloatArray
    asked_at: FloatArray
    heaviest: FloatArray


def query_drawn(
    evidence: RowEvidence, matching: Matching, versions: Versions, span: tuple[int, int] | None, cohort: str = ""
) -> dict[str, Versus]:
    """Return what two versions answered to requests of their own, by the value of a cohort.

    When units were drawn, only rows that say with which chance count, each divided by it, so that a share that was
    raised meanwhile makes no difference.

    Args:
        evidence: The model's rows.
        matching: What examples are made from.
        versions: The first, and the one it is held against.
        span: When both were drawn, see `drawn_span`; None when they were not.
        cohort: The cohort that rows are split by; all are one, of the empty text, when empty.
    """
    chosen, weight = "is_root", "weight"
    if span is not None:
        chosen = f"{_DRAWN} AND asked_at BETWEEN {span[0]} AND {span[1]}"
        weight = "weight / chance"
    answers = _answers(matching, versions, cohort)
    return _versus(evidence, f"SELECT *, {weight} AS w FROM ({answers}) WHERE NOT is_shadow AND {chosen}", versions)


def drawn_span(evidence: RowEvidence, matching: Matching, versions: Versions) -> tuple[int, int] | None:
    """Return the first and the last time at which units of both versions were drawn; None when they never were."""
    answers = _answers(matching, versions)
    found = rows(
        evidence.connection,
        f"SELECT min(asked_at), max(asked_at) FROM ({answers}) WHERE NOT is_shadow AND {_DRAWN} GROUP BY version",
    )
    spans = cast("list[tuple[int, int]]", found)
    return (max(first for first, _ in spans), min(last for _, last in spans)) if len(spans) == len(versions) else None


_DRAWN = "chance > 0.0 AND chance < 1.0"


def query_paired(
    evidence: RowEvidence, matching: Matching, versions: Versions, audits: Audits, cohort: str = ""
) -> dict[str, Versus]:
    """Return what two versions answered to the same requests, by the value of a cohort.

    Of a cascade's requests those that were passed on have both answers, and of the others the share that is audited: so
    each of those counts as many times.

    Args:
        evidence: The model's rows.
        matching: What examples are made from.
        versions: The first, and the one it is held against.
        audits: Which share of a cascade's accepted requests both versions answered; one that was passed on while none
            was audited is left out.
        cohort: See `query_drawn`.
    """
    weight = "CASE WHEN is_passed_on OR audited = 0.0 THEN weight ELSE weight / audited END"
    known = "CASE WHEN count(success) OVER (PARTITION BY request) = 2 THEN success END AS success"
    pairs = _pairs(matching, versions, audits, cohort)
    return _versus(evidence, f"SELECT * REPLACE ({known}), {weight} AS w FROM ({pairs})", versions)


def query_constant(
    evidence: RowEvidence, matching: Matching, version: str, answer: str, cohort: str = ""
) -> dict[str, Versus]:
    """Return what a version answered beside one answer to all the same requests, which costs nothing.

    Args:
        evidence: The model's rows.
        matching: What examples are made from.
        version: The version.
        answer: What would be answered without a model.
        cohort: See `query_drawn`.
    """
    match evidence.model.task:
        case Task.MULTICLASS:
            is_right = f"came = {literal(answer)}"
        case Task.REGRESSION:
            is_right = f"abs(came - {float(answer)!r}) <= {evidence.model.success.tolerance!r}"
        case _:
            is_yes = (
                answer.lower() in {"1", "true"} if not evidence.model.positive else answer == evidence.model.positive
            )
            is_right = f"came = {float(is_yes)!r}"
    answers = f"SELECT *, weight AS w FROM ({_answers(matching, (version, ''), cohort)}) WHERE is_root"
    without = (
        f"'' AS version, 0.0 AS cost, CASE WHEN success IS NOT NULL THEN CAST({is_right} AS DOUBLE) END AS success"
    )
    return _versus(evidence, f"{answers} UNION ALL SELECT * REPLACE ({without}) FROM ({answers})", (version, ""))


def count_passed_on(evidence: RowEvidence, matching: Matching, versions: Versions) -> int:
    """Return how many requests a cascade passed on from one of two versions to the other."""
    pairs = _pairs(matching, versions, ((0, 1.0),))
    return cast("int", rows(evidence.connection, f"SELECT count(*) FROM ({pairs}) WHERE is_passed_on")[0][0]) // 2


def query_pairs(
    evidence: RowEvidence, matching: Matching, versions: Versions, audits: Audits, heaviest: float = 1.0
) -> Pairs:
    """Return the requests that a cheap and an expensive version both answered, as a random share of all.

    Of rows that were kept with different chances, and of a cascade's requests that were passed on while others are
    audited, as many are left out by lot as makes all chances equal while one share is audited: then each pair counts
    once.

    Args:
        evidence: The model's rows.
        matching: What examples are made from.
        versions: The cheap one and the expensive one.
        audits: See `query_paired`.
        heaviest: How many rows one stood for at most among pairs before these, which they are to go on from.
    """
    cheap, expensive = (f"FILTER (version = {literal(version)})" for version in versions)
    most = f"greatest(max(max(weight)) OVER (), {heaviest!r})"
    chance = f"max(weight) / {most} * CASE WHEN bool_or(is_passed_on) THEN any_value(audited) ELSE 1 END"
    lot = "md5_number_lower('pair ' || request) / 18446744073709551616.0"
    differs = f"CAST(any_value(answer) {cheap} <> any_value(answer) {expensive} AS DOUBLE)"
    if evidence.model.task is Task.REGRESSION:
        apart = f"abs(any_value(answer) {cheap} - any_value(answer) {expensive})"
        tolerance = evidence.model.success.tolerance
        differs = "NULL" if tolerance is None else f"CAST({apart} > {tolerance!r} AS DOUBLE)"
    values = {
        "known_at": "max(known_at)",
        "confidence": f"any_value(sureness) {cheap}",
        "cheap_success": f"any_value(success) {cheap}",
        "success": f"any_value(success) {expensive}",
        "differs": differs,
        "cheap_cost": f"any_value(cost) {cheap}",
        "cost": f"any_value(cost) {expensive}",
        "passed_on": "bool_or(is_passed_on)",
        "unit": "dense_rank() OVER (ORDER BY coalesce(max(unit), request))",
        "asked_at": "min(asked_at)",
        "heaviest": most,
    }
    selected = ", ".join(f"CAST({sql} AS DOUBLE) AS {name}" for name, sql in values.items())
    pairs = (
        f"SELECT request, {selected}, {chance} AS chance FROM ({_pairs(matching, versions, audits)}) GROUP BY request"
    )
    found = evidence.connection.execute(
        f"SELECT {', '.join(values)} FROM ({pairs}) WHERE {lot} < chance ORDER BY known_at, request"
    ).fetchnumpy()
    return Pairs(*(np.ma.filled(found[name], np.nan) for name in values))


def _answers(matching: Matching, versions: Versions, cohort: str = "") -> str:
    """Return SQL of what each of two versions made of each request, all its tries together.

    One that failed is not correct, whatever came; a try of another version is none of its own.
    """
    came = {Task.MULTICLASS: "outcome_class", Task.RANKING: "relevant"}.get(matching.model.task, "outcome_number")
    answer = {Task.MULTICLASS: "decision_class", Task.RANKING: "NULL", Task.GENERATION: "NULL"}
    places = [name for name, _ in matching.cohorts]
    group = f"coalesce(CAST(cohort_{places.index(cohort)} AS VARCHAR), {literal(NO_VALUE)})" if cohort else "''"
    # A file's rows are requests of their own, and may have no identifier.
    request = "CAST(row_number() OVER () AS VARCHAR)" if matching.is_joined else "root_id"
    version = f"{version_named('version', versions)} AS version"
    named = f"SELECT * REPLACE ({version}), {request} AS request, {group} AS cohort FROM ({examples(matching)})"
    return (
        "SELECT request, version, any_value(cohort) AS cohort, any_value(unit) AS unit,"
        " min(epoch_us(predicted_at)) AS asked_at,"
        " max(epoch_us(predicted_at) + greatest(coalesce(outcome_age, 0), 0)) AS known_at, max(weight) AS weight,"
        " max(assignment_probability) AS chance,"
        " bool_or(is_root) AS is_root, coalesce(bool_or(role = 'shadow'), false) AS is_shadow,"
        f" coalesce(bool_or(role = {literal(STAGE)} AND error IS NULL), false) AS is_stage,"
        f" max(CASE WHEN error IS NULL THEN is_success WHEN {came} IS NOT NULL THEN 0.0 END) AS success,"
        f" CASE WHEN version = {literal(HOLDOUT)} THEN 0.0"
        " WHEN count(cost_usd) = count(*) THEN sum(cost_usd) END AS cost,"
        f" max(sureness) AS sureness, any_value({came}) AS came,"
        f" any_value({answer.get(matching.model.task, 'decision')}) AS answer"
        f" FROM ({named}) WHERE version IN ({literal(versions[0])}, {literal(versions[1])}) GROUP BY request, version"
    )


def _pairs(matching: Matching, versions: Versions, audits: Audits, cohort: str = "") -> str:
    """Return SQL of the answers to requests that both versions answered, for a reason that is none of theirs.

    A version that answered since the other one failed is no match for it, nor one that was asked since the other one
    was not sure: unless some of those of which it was sure were audited then.
    """
    together = "OVER (PARTITION BY request)"
    passed_on = f"bool_or(is_stage) {together}"
    since = " ".join(f"WHEN min(asked_at) {together} >= {at} THEN {share!r}" for at, share in reversed(audits[1:]))
    audited = f"CASE {since} ELSE {audits[0][1]!r} END" if since else repr(audits[0][1])
    chosen = f"CASE WHEN {passed_on} THEN {audited} > 0.0 ELSE bool_or(is_shadow) {together} END"
    answers = _answers(matching, versions, cohort)
    return (
        f"SELECT *, {passed_on} AS is_passed_on, {audited} AS audited FROM ({answers})"
        f" QUALIFY count(*) {together} = 2 AND {chosen}"
    )


def _versus(evidence: RowEvidence, answers: str, versions: Versions) -> dict[str, Versus]:
    """Return sums by unit of answers with their weight `w`, by cohort."""
    known = [f"FILTER (version = {literal(version)} AND success IS NOT NULL)" for version in versions]
    sums = [f"coalesce(sum({term}) {one}, 0.0)" for one in known for term in ("w", "w * success", "w * cost")]
    counts = [
        f"coalesce(sum({term}) FILTER (version = {literal(version)}{more}), 0.0)"
        for version in versions
        for term, more in (("1", " AND success IS NOT NULL"), ("w", " AND success IS NOT NULL AND cost IS NULL"),
                           ("w", ""))
    ]  # fmt: skip
    numbers = ", ".join(f"CAST({sql} AS DOUBLE) AS c{n}" for n, sql in enumerate([*sums, *counts]))
    # A copy in shadow may not say whose request it was.
    whose = "coalesce(max(unit) OVER (PARTITION BY request), request)"
    found = evidence.connection.execute(
        f"SELECT cohort, {numbers} FROM (SELECT *, {whose} AS whose FROM ({answers})) GROUP BY cohort, whose"
        " ORDER BY cohort, whose"
    ).fetchnumpy()
    groups, places = np.unique(np.asarray(found["cohort"], dtype=str), return_inverse=True)
    table = np.column_stack([np.ma.filled(found[f"c{n}"], 0.0) for n in range(12)])
    return {str(group): _of_units(table[places == n]) for n, group in enumerate(groups)}


def _of_units(table: FloatArray) -> Versus:
    sums, totals = table[:, :6], table.sum(axis=0)
    sides = [
        Side(int(totals[6 + at]), float(totals[at]), float(totals[7 + at]), float(totals[8 + at]),
             int(np.count_nonzero(sums[:, at])))
        for at in (0, 3)
    ]  # fmt: skip
    return Versus(sums, (sides[0], sides[1]))
