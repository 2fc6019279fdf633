"""How much of each error budget is left, and how fast is it spent?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.control.objectives import Spent, burning_words, spent
from setpoint.core.clock import text
from setpoint.core.metric import number
from setpoint.core.objective import FAST_BURN, SLOW_BURN
from setpoint.core.verdict import Verdict, worst
from setpoint.stats.estimate import Estimate
from setpoint.store.evidence import RowEvidence

OBJECTIVE_COLUMNS = (
    *("model", "objective", "metric", "budget", "verdict", "failed", "low", "high", "requests", "outcome_share"),
    *("left", "left_low", "left_high", "window_start", "window_end", "unknown"),
)
BURN_COLUMNS = ("model", "objective", "kind", "window_seconds", "rate", "rate_now", "limit", "is_too_fast")
_SHOWN = ("", "model", "objective", "failed", "budget left", "burns at")


def objectives(evidences: Iterable[RowEvidence]) -> Answer:
    """Return what became of the error budgets of some models.

    A budget is broken when more was spent than there was, by more than chance explains.

    Args:
        evidences: The states of each model, read one after the other.
    """
    found: list[tuple[str, Spent]] = []
    as_of = 0
    for evidence in evidences:
        as_of = max(as_of, evidence.as_of)
        found += [(evidence.model.name, spent(evidence, one, evidence.as_of)) for one in evidence.model.objectives]
    verdicts = [_verdict(one) for _, one in found]
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for (model, one), verdict in zip(found, verdicts, strict=True):
        objective, failed, left = one.objective, one.failed, one.left
        rows.append(
            (
                *(model, objective.name, objective.metric, objective.budget, verdict.value),
                *(failed.value, failed.low, failed.high, one.requests, one.outcome_share),
                *(left.value, left.low, left.high, one.window.start, one.window.end, failed.reason),
            )
        )
        rate = next((each.rate for each in one.burning if each.rate is not None), None)
        lines.append(
            (
                _MARKS[verdict],
                model,
                objective.name,
                f"{_text(failed)}, may be {number(objective.budget, 'share')}",
                _text(left),
                "" if rate is None else f"{rate:.1f} ×",
            )
        )
    burns: list[tuple[Cell, ...]] = [
        (
            *(model, one.objective.name, each.burn.kind, each.burn.long / 1e6, each.rate, each.now),
            *(each.burn.rate(one.objective.over), each.is_too_fast),
        )
        for model, one in found
        for each in one.burning
    ]
    return Answer(
        "objectives",
        "",
        worst(verdicts) if found else Verdict.UNKNOWN,
        _headline(found, verdicts),
        tuple(_because(found)),
        tuple(f"{model}: {one.objective.name}: {one.failed.reason}" for model, one in found if one.failed.value is None)
        if found
        else ("no objective is declared: write objectives: in a model's file",),
        as_of,
        "UTC",
        (
            Table("objectives", OBJECTIVE_COLUMNS, rows, _SHOWN, lines),
            Table("burns", BURN_COLUMNS, burns),
        ),
    )


_MARKS = {Verdict.OK: "✓", Verdict.WARNING: "!", Verdict.BREACH: "✗", Verdict.UNKNOWN: "?"}


def _verdict(one: Spent) -> Verdict:
    left = one.left
    if left.value is None:
        return Verdict.UNKNOWN
    if (left.high is not None and left.high < 0.0) or one.fastest(FAST_BURN):
        return Verdict.BREACH
    return Verdict.WARNING if left.value < 0.0 or one.fastest(SLOW_BURN) else Verdict.OK


def _headline(found: list[tuple[str, Spent]], verdicts: list[Verdict]) -> str:
    if not found:
        return "no objective is declared"
    bad = [(model, one) for (model, one), verdict in zip(found, verdicts, strict=True) if verdict is Verdict.BREACH]
    if bad:
        named = ", ".join(f"{one.objective.name} of {model}" for model, one in bad[:3])
        return f"{len(bad)} of {len(found)} error budgets broken or burning fast: {named}"
    known = [one.left.value for _, one in found if one.left.value is not None]
    return f"at least {number(min(known), 'share')} of each error budget is left" if known else "nothing was measured"


def _because(found: list[tuple[str, Spent]]) -> Iterator[str]:
    """Yield what is spent too fast, and what the numbers of quality rest on."""
    for model, one in found:
        fastest = one.fastest(FAST_BURN) or one.fastest(SLOW_BURN)
        if fastest:
            yield f"{model}: {burning_words(one.objective, fastest)}"
        if one.outcome_share is not None:
            yield (
                f"{model}: {one.objective.name} is of predictions until {text(one.window.end, 'UTC')} UTC, old enough"
                f" for their outcomes: {number(one.outcome_share, 'share')} of them have one"
            )


def _text(one: Estimate) -> str:
    if one.value is None:
        return "unknown"
    ends = "" if one.low is None or one.high is None else f" [{number(one.low, 'share')}, {number(one.high, 'share')}]"
    return f"{number(one.value, 'share')}{ends}"
