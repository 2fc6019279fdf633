"""What counts say about a contract: which rules a table keeps, and where serving and batch differ."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from setpoint.core.clock import duration_text
from setpoint.core.contract import Contract, OnViolation, Rule, RuleSort
from setpoint.core.expression import parse
from setpoint.core.metric import counted, number
from setpoint.core.verdict import Verdict
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import wilson


class Counted(Protocol):
    """What a pass over a table counted; see `store.contract_sql.Counts`."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        ...

    @property
    def broken(self) -> Mapping[str, int]:
        """How many break a rule, by its id."""
        ...

    @property
    def weight(self) -> float:
        """How many rows they stand for."""
        ...

    @property
    def weights(self) -> Mapping[str, float]:
        """How many the broken ones stand for, by the rule's id."""
        ...

    @property
    def newest(self) -> Mapping[str, int | None]:
        """The latest time of each field that must be fresh, microseconds."""
        ...

    @property
    def recorded(self) -> Mapping[str, int]:
        """Rows for which serving noted the rule, by its id."""
        ...


@dataclass(frozen=True, slots=True)
class RuleResult:
    """Whether a table keeps one rule.

    Attributes:
        rule: The rule.
        verdict: Whether it is kept; a rule on trial breaks nothing.
        said: What was found, in words.
        broken: How many rows break it; None where rows are not counted.
        share: Which share of all rows that is, as a guess at the share where they come from.
        recorded: For how many of the same rows serving noted it; None where nothing was recorded.
    """

    rule: Rule
    verdict: Verdict
    said: str
    broken: int | None = None
    share: Estimate | None = None
    recorded: int | None = None

    @property
    def is_on_trial(self) -> bool:
        """Whether the rule is counted and breaks nothing."""
        return self.rule.on_violation is OnViolation.SHADOW

    @property
    def differs(self) -> bool:
        """Whether serving noted the rule for more or fewer rows than break it now."""
        return self.recorded is not None and self.broken is not None and self.recorded != self.broken


def rule_results(
    contract: Contract, counts: Counted, *, now: int, absent: Collection[str] = (), hidden: Collection[str] = ()
) -> Iterator[RuleResult]:
    """Yield what was found of each rule, in the order of the contract.

    Args:
        contract: The contract.
        counts: What a pass over the table counted.
        now: As of when times are fresh, microseconds.
        absent: Fields that the table has no column for.
        hidden: Fields whose values were hidden before they were kept: what serving noted stands for them.
    """
    for rule in contract.rules:
        gone = sorted(_named(rule) & set(absent))
        if rule.sort is RuleSort.ROW_COUNT:
            yield _row_count(contract, rule, counts)
        elif not counts.rows:
            yield RuleResult(rule, Verdict.UNKNOWN, "no rows")
        elif gone:
            yield _absent(rule, counts, gone)
        elif rule.sort is RuleSort.FRESHNESS:
            yield _freshness(contract, rule, counts, now)
        elif rule.field in hidden:
            yield _hidden(rule, counts)
        else:
            yield _share(rule, counts)


def _named(rule: Rule) -> set[str]:
    """Return the fields that a rule asks; a condition is its own words."""
    if rule.sort is not RuleSort.ROW:
        return {rule.field}
    return {name.removeprefix("inputs.") for name in parse(rule.expected).columns()}


def _row_count(contract: Contract, rule: Rule, counts: Counted) -> RuleResult:
    low, high = contract.rows_at_least or 0, contract.rows_at_most
    is_kept = low <= counts.rows and (high is None or counts.rows <= high)
    said = f"{counted(counts.rows, 'row')}, expected {rule.expected}"
    return RuleResult(rule, Verdict.OK if is_kept else Verdict.BREACH, said)


def _absent(rule: Rule, counts: Counted, gone: Sequence[str]) -> RuleResult:
    """Return that a column is not there: a breach where that breaks the rule, and never a rule that is kept."""
    found = _share(rule, counts) if rule.id in counts.broken else RuleResult(rule, Verdict.UNKNOWN, "")
    said = f"there is no column {', '.join(gone)}"
    if found.broken and rule.sort is RuleSort.ROW:
        said = f"{found.said}; {said}"
    is_silent = found.verdict is Verdict.OK and not found.is_on_trial
    return replace(found, verdict=Verdict.WARNING if is_silent else found.verdict, said=said)


def _freshness(contract: Contract, rule: Rule, counts: Counted, now: int) -> RuleResult:
    newest, field = counts.newest.get(rule.field), contract.field(rule.field)
    if newest is None or field is None or field.fresh_within is None:
        return RuleResult(rule, Verdict.UNKNOWN, f"{rule.field} has no time in any row")
    age = now - newest
    if age < 0:
        said = f"the latest time is {duration_text(-age)} in the future"
        return RuleResult(rule, Verdict.WARNING, said)
    verdict = Verdict.BREACH if age > field.fresh_within else Verdict.OK
    return RuleResult(
        rule, _tried(rule, verdict), f"the latest time is {duration_text(age)} old, expected {rule.expected}"
    )


def _hidden(rule: Rule, counts: Counted) -> RuleResult:
    noted = counts.recorded.get(rule.id)
    if noted is None:
        return RuleResult(rule, Verdict.UNKNOWN, "its values are hidden by the field's policy")
    verdict = _tried(rule, Verdict.BREACH if noted > rule.tolerance * counts.rows else Verdict.OK)
    said = f"noted in {counted(noted, 'row')} when they were recorded; the values themselves are hidden"
    return RuleResult(rule, verdict, said, None, None, noted)


def _share(rule: Rule, counts: Counted) -> RuleResult:
    broken, weight = counts.broken[rule.id], counts.weights[rule.id]
    share = wilson(min(weight, counts.weight), counts.weight, float(counts.rows))
    verdict = _tried(rule, Verdict.BREACH if weight > rule.tolerance * counts.weight else Verdict.OK)
    recorded = counts.recorded.get(rule.id)
    if not broken:
        return RuleResult(rule, verdict, "kept in every row", broken, share, recorded)
    said = f"{_asked(rule)} in {broken:,} of {counted(counts.rows, 'row')} ({_interval(share)})"
    if rule.tolerance:
        said += f", at most {100 * rule.tolerance:g} % are tolerated"
    return RuleResult(rule, verdict, said, broken, share, recorded)


def _tried(rule: Rule, verdict: Verdict) -> Verdict:
    return Verdict.OK if rule.on_violation is OnViolation.SHADOW else verdict


def _asked(rule: Rule) -> str:
    match rule.sort:
        case RuleSort.REQUIRED | RuleSort.MISSING:
            return "no value"
        case RuleSort.UNIQUE:
            return "a value once more"
        case _:
            return f"not {rule.expected}"


def _interval(share: Estimate) -> str:
    if share.value is None or share.low is None or share.high is None:
        return share.reason
    ends = [number(end, "share").removesuffix(" %") for end in (share.low, share.high)]
    return f"{number(share.value, 'share')} [{ends[0]}–{ends[1]}]"
