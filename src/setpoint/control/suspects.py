"""Rows that something is peculiar about since a change: of another version, from another source, of one cohort."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from setpoint.control.symptoms import Shift
from setpoint.core.cause import CauseKind
from setpoint.store.cause_rows import TABLE, CauseRows
from setpoint.store.engines.duck import literal, rows
from setpoint.store.evidence import RowEvidence


@dataclass(frozen=True, slots=True)
class Suspect:
    """What may have caused a change, and how the metric is recomputed without it.

    Attributes:
        kind: What sort of cause.
        subject: What it is about.
        said: One sentence.
        where: SQL of the rows that it hit, without which the metric is recomputed.
        restored: Instead, SQL of the value that a row would have had without it.
        reweighted: Instead, SQL of the weight that a row would have had.
        by_source: Whether it came with the inputs, so that their source is asked.
    """

    kind: CauseKind
    subject: str
    said: str
    where: str = ""
    restored: str = ""
    reweighted: str = ""
    by_source: bool = False


LABELS: tuple[tuple[CauseKind, str, str], ...] = (
    ("model_version", "version", "version {} answers"),
    ("feature_version", "feature_version", "features are made by {}"),
    ("input_source", "source", "inputs come from {}"),
    ("prompt", "prompt_version", "the prompt is {}"),
    ("provider_model", "provider_model", "the provider's model is {}"),
    ("outcome_source", "outcome_source", "outcomes come from {}"),
)
"""What a row is labelled with: the kind of cause, the column, and how one value of it is said."""
_FEWEST = 20
_LEAST_SHARE = 0.01
_FEW_GROUPS = 30
FRESH = 10.0
"""What was at most a tenth as frequent before is new: a change point is off by a little."""


def labels(evidence: RowEvidence, shift: Shift) -> Iterator[Suspect]:
    """Yield versions, sources, prompts and models that were not there before, and broken rules of the contract."""
    for kind, column, said in LABELS:
        for value, before, after in groups(evidence, shift, column):
            if value is not None and after > FRESH * before and after >= _LEAST_SHARE:
                yield Suspect(
                    kind,
                    value,
                    f"{said.format(value)} for {after:.0%} of the rows since",
                    where=f"{column} = {literal(value)}",
                    by_source=kind == "feature_version",
                )
    for rule, before, after in groups(evidence, shift, "unnest(string_split(contract_violations, ','))"):
        if rule is not None and after > 2.0 * before + _LEAST_SHARE:
            where = f"list_contains(string_split(contract_violations, ','), {literal(rule)})"
            said = f"{after:.0%} of the rows break {rule} of the contract, before {before:.0%}"
            yield Suspect("contract_break", rule.rpartition(".")[0] or rule, said, where=where, by_source=True)


def cohorts(evidence: RowEvidence, shift: Shift, table: CauseRows) -> Iterator[Suspect]:
    """Yield each value of the cohorts and of the inputs with few values, and a mix of them that is another."""
    for name, column in {**table.names, **table.cohorts}.items():
        found = [one for one in groups(evidence, shift, column) if one[0] is not None]
        if len(found) > _FEW_GROUPS:
            continue
        both = [(value, before, after) for value, before, after in found if before > 0.0 and after <= FRESH * before]
        for value, _, after in both:
            said = f"{name} {value}, {after:.0%} of the rows since, fares otherwise than the rest"
            yield Suspect("cohort", f"{name} {value}", said, where=f"{column} = {literal(str(value))}")
        moved = max((abs(after - before) for _, before, after in both), default=0.0)
        if moved >= 5 * _LEAST_SHARE and len(both) == len(found):
            cases = " ".join(f"WHEN {literal(str(v))} THEN {before / after!r}" for v, before, after in both if after)
            value, before, after = max(both, key=lambda one: abs(one[2] - one[1]))
            said = f"{after:.0%} of the rows have {name} {value}, before {before:.0%}"
            yield Suspect("traffic_mix", name, said, reweighted=f"CASE {column} {cases} ELSE 1.0 END")


def groups(evidence: RowEvidence, shift: Shift, value: str) -> list[tuple[str | None, float, float]]:
    """Return the share of rows before and since of each value with rows enough, the one with most since first."""
    turn = shift.current.start
    found = rows(
        evidence.connection,
        f"WITH whole AS (SELECT coalesce(sum(weight) FILTER (moment < {turn}), 0) AS before,"
        f" coalesce(sum(weight) FILTER (moment >= {turn}), 0) AS after FROM {TABLE}) SELECT CAST(g AS VARCHAR),"
        f" coalesce(sum(weight) FILTER (moment < {turn}), 0) / any_value(before),"
        f" coalesce(sum(weight) FILTER (moment >= {turn}), 0) / any_value(after)"
        f" FROM (SELECT moment, weight, {value} AS g FROM {TABLE}), whole GROUP BY g"
        f" HAVING count(*) FILTER (moment >= {turn}) >= {_FEWEST} ORDER BY 3 DESC, 1 LIMIT 100",
    )
    return [cast("tuple[str | None, float, float]", row) for row in found]
