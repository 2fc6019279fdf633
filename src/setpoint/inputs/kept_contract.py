"""A contract held against the rows that a model keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from setpoint.core.contract import Contract
from setpoint.core.expression import parse
from setpoint.core.window import Window
from setpoint.inputs.contracts import RuleResult, rule_results
from setpoint.store.contract_sql import Counts, count_broken, example_values
from setpoint.store.engines.duck import at, literal
from setpoint.store.evidence import RowEvidence
from setpoint.store.measures import Column
from setpoint.store.primitives import weight


@dataclass(frozen=True, slots=True)
class KeptRows:
    """What a pass over some rows of a model found of its contract.

    Attributes:
        counts: Rows, and those that break each rule.
        results: What that says of each rule.
        absent: Fields that no row has.
        source: SQL of the rows.
        columns: How each field is read.
    """

    counts: Counts
    results: tuple[RuleResult, ...]
    absent: tuple[str, ...]
    source: str
    columns: Mapping[str, Column]

    def examples(self, evidence: RowEvidence, contract: Contract) -> dict[str, str]:
        """Return a value that breaks each broken rule, by its id."""
        return example_values(evidence.connection, self.source, contract, self.columns, self.counts.broken)


def kept_rows(
    evidence: RowEvidence, contract: Contract, window: Window | None, *, now: int, version: str = ""
) -> KeptRows:
    """Hold the root rows of a window against a contract.

    Args:
        evidence: The model's rows.
        contract: The contract.
        window: Predictions of this window; None for all.
        now: As of when times must be fresh, microseconds.
        version: Rows of this version only; of all without.
    """
    limits = ["p.parent_id IS NULL"]
    if window is not None:
        limits += [f"p.predicted_at >= {at(window.start)}", f"p.predicted_at < {at(window.end)}"]
    if version:
        limits.append(f"p.version = {literal(version)}")
    hidden = tuple(feature.name for feature in evidence.model.features if feature.policy != "keep")
    columns = {
        name: Column(f"p.{column.sql}", column.kind) for name, column in evidence.inputs.items() if name not in hidden
    }
    source = f"predictions AS p WHERE {' AND '.join(limits)}"
    counts = count_broken(
        evidence.connection,
        source,
        contract,
        columns,
        weight=weight(),
        recorded="p.contract_violations" if evidence.is_recorded else "",
    )
    absent = tuple(name for name in named_fields(contract) if name not in columns and name not in hidden)
    results = tuple(rule_results(contract, counts, now=now, absent=absent, hidden=hidden))
    return KeptRows(counts, results, absent, source, columns)


def named_fields(contract: Contract) -> list[str]:
    """Return every field that a contract names, also in conditions."""
    found = [one.name for one in contract.fields]
    for condition in contract.conditions:
        found += sorted(name.removeprefix("inputs.") for name in parse(condition.where).columns())
    return list(dict.fromkeys(found))
