"""Does a table keep its contract? And are the rules broken as often online as in batch?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.core.contract import Contract, OnViolation
from setpoint.core.metric import counted
from setpoint.core.verdict import Verdict, worst
from setpoint.inputs.contracts import RuleResult

RULE_COLUMNS = (
    "rule", "verdict", "said", "broken_total", "broken_ratio", "low", "high", "tolerance", "recorded_total",
    "on_violation", "expected", "example",
)  # fmt: skip
_NAMED = 3


@dataclass(frozen=True, slots=True)
class CheckedTable:
    """A table that was held against its contract.

    Attributes:
        contract: The contract.
        results: What was found of each rule.
        examples: A value that breaks a rule, by its id.
        rows: How many rows there were.
        where: What was checked, in words.
        notes: What else a person should know.
        absent: Fields without a column.
        model: The model's name; may be empty.
        as_of: As of when, microseconds.
        zone: The zone that its times are shown in.
    """

    contract: Contract
    results: Sequence[RuleResult]
    examples: Mapping[str, str]
    rows: int
    where: str
    notes: Sequence[str] = ()
    absent: Sequence[str] = ()
    model: str = ""
    as_of: int = 0
    zone: str = "UTC"


def contract_answer(table: CheckedTable) -> Answer:
    """Return as an answer whether a table keeps its contract."""
    results = table.results
    differing = [result for result in results if result.differs]
    verdict = worst([result.verdict for result in results])
    if differing and verdict is Verdict.OK:
        verdict = Verdict.WARNING
    return Answer(
        question="check",
        model=table.model,
        verdict=verdict,
        headline=_headline(table, verdict),
        because=_because(table, differing),
        unknowns=tuple(f"{one.rule.id}: {one.said}" for one in results if one.verdict is Verdict.UNKNOWN and table.rows)
        or (() if table.rows or verdict is Verdict.BREACH else ("nothing can be said of a table without rows",)),
        as_of=table.as_of,
        zone=table.zone,
        tables=(_rules(table),),
    )


def _headline(table: CheckedTable, verdict: Verdict) -> str:
    rules = counted(len(table.results), "rule")
    if not table.results:
        return "cannot say: the contract has no rule"
    broken = [one for one in table.results if one.verdict is Verdict.BREACH]
    if broken:
        named = [one.rule.id for one in broken[:_NAMED]]
        more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        return f"{len(broken)} of {rules} broken in {table.where}: {', '.join(named)}{more}"
    if not table.rows:
        return f"cannot say: no rows in {table.where}"
    if verdict is Verdict.UNKNOWN:
        unknown = [one.rule.id for one in table.results if one.verdict is Verdict.UNKNOWN]
        return f"cannot say of {', '.join(unknown)}; all else is kept in {table.where}"
    if table.absent:
        kept = sum(one.verdict is Verdict.OK for one in table.results)
        return f"{kept} of {rules} kept in {table.where}, and nothing broken; no column for {', '.join(table.absent)}"
    return f"the contract is kept: {rules} in {counted(table.rows, 'row')} of {table.where}"


def _because(table: CheckedTable, differing: Sequence[RuleResult]) -> tuple[str, ...]:
    contract = table.contract
    version = f"version {contract.version}, " if contract.version else ""
    said = [f"contract {version}hash {contract.hash}"]
    if table.absent:
        said.append(f"no column for {', '.join(table.absent)}")
    said += [
        f"{one.rule.id}: {one.broken:,} rows break it now, and {one.recorded:,} were noted when recorded"
        for one in differing
    ]
    if differing:
        said.append("rows that are older than the contract, or casts on the way into the store, may be why")
    trial = [one for one in table.results if one.is_on_trial]
    if trial:
        said.append(f"on trial, so that nothing is broken by it: {', '.join(one.rule.id for one in trial)}")
    return (*said, *table.notes)


def _rules(table: CheckedTable) -> Table:
    is_recorded = any(one.recorded is not None for one in table.results)
    rows = [_row(one, table.examples.get(one.rule.id)) for one in table.results]
    lines: list[tuple[str, ...]] = []
    for one in table.results:
        if one.verdict is Verdict.OK and not one.broken and not one.differs:
            continue
        example = table.examples.get(one.rule.id, "")
        mark = "on trial" if one.is_on_trial else one.verdict.value
        noted = ("" if one.recorded is None else f"{one.recorded:,}",) if is_recorded else ()
        lines.append((one.rule.id, mark, f"{one.said}{f', such as {example}' if example else ''}", *noted))
    shown = ("rule", "verdict", "found", *(("noted online",) if is_recorded else ()))
    return Table("rules", RULE_COLUMNS, rows, shown, lines)


def _row(one: RuleResult, example: str | None) -> tuple[Cell, ...]:
    share = one.share
    ends = (None, None, None) if share is None else (share.value, share.low, share.high)
    rule = one.rule
    reaction = OnViolation(rule.on_violation).value
    return (
        rule.id, one.verdict.value, one.said, one.broken, *ends, rule.tolerance, one.recorded, reaction, rule.expected,
        example,
    )  # fmt: skip
