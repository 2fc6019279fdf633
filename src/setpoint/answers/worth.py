"""Is +X % quality worth +Y % cost?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.answers.aside import aside_lines
from setpoint.answers.cost import shared_cost
from setpoint.answers.equal_age import equal_age, old_enough
from setpoint.answers.groups import cohort_of
from setpoint.answers.versions import require_versions, versions_of, window_of_rows
from setpoint.answers.worth_words import Judged, outcome_share, why_unpriced
from setpoint.core.clock import duration_text
from setpoint.core.errors import UsageError
from setpoint.core.metric import counted, number
from setpoint.core.model import Task
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.predictions.cascades import audits
from setpoint.stats.estimate import LEVEL
from setpoint.stats.worth import means
from setpoint.store.evidence import RowEvidence
from setpoint.store.version_cohorts import VERSION_COHORTS
from setpoint.store.versus import (
    HOLDOUT,
    Versus,
    count_passed_on,
    drawn_span,
    query_constant,
    query_drawn,
    query_paired,
)

NONE, RULE = "none", "rule"
FEWEST_UNITS = 10
"""Units with an outcome that each version needs."""
FEWEST_PAIRS = 100
"""Requests with both answers from which on those are compared, rather than what either was drawn for."""
METRIC_COLUMNS = ("metric", "value", "low", "high", "unit", "rows", "unknown")
SIDE_COLUMNS = ("version", "success_share", "cost_usd", "rows", "units", "outcome_share", "unpriced_share")
GROUP_COLUMNS = (
    "gain",
    "gain_low",
    "gain_high",
    "cost_per_extra_success_usd",
    "low_usd",
    "high_usd",
    "rows",
    "unknown",
)


@dataclass(frozen=True, slots=True)
class _Compared:
    """How two versions were compared, and what was found.

    Attributes:
        names: The candidate, and what it is held against.
        by_group: The rows of all, under the empty text, or of each group.
        said: How they were compared and what that takes for granted, in words.
        is_fair: Whether chance decided who got which version, or both answered the same.
        overhead_usd: What the first one costs a prediction besides its rows.
        unknown: Why they cannot be compared; empty when they can.
    """

    names: tuple[str, str]
    by_group: Mapping[str, Versus]
    said: str = ""
    is_fair: bool = True
    overhead_usd: float | None = 0.0
    unknown: str = ""


def worth(
    evidence: RowEvidence,
    candidate: str,
    *,
    over: str,
    value_usd: float | None = None,
    window: Window | None = None,
    by: str = "",
) -> Answer:
    """Return what a version's extra correct answers cost, and whether they are worth it.

    Args:
        evidence: The model's rows.
        candidate: The version in question.
        over: The version it is held against; `none` for no model: a version called `holdout`, or the declared baseline.
        value_usd: What a correct answer is worth; None leaves the judgement to the reader.
        window: The window; the last 30 days by default.
        by: A cohort: also what each of its groups gains.

    Raises:
        UsageError: No such version predicted in the window, the value is not positive, or rows were let go.
    """
    if value_usd is not None and not (math.isfinite(value_usd) and value_usd > 0.0):
        msg = f"a correct answer is worth {value_usd:g}, expected dollars above 0"
        raise UsageError(msg, hint="write --value 0.40")
    window = window_of_rows(evidence, window)
    cohort = cohort_of(by, evidence.model, "") if by else ""
    if by and (not cohort or cohort in VERSION_COHORTS):
        msg = f"cannot split what a version is worth by {by}"
        raise UsageError(msg, hint="name a declared cohort")
    compared = _compare(evidence, candidate, over, window, "")
    found = compared.by_group.get("")
    why = compared.unknown or (_too_few(found, compared.names) if found else "no prediction in this window")
    if why or found is None:
        return _answer(evidence, Verdict.UNKNOWN, f"cannot say: {why}", compared, (why,), ())
    judged = _judged(compared, found, value_usd)
    tables = [_metrics_table(judged), _sides_table(judged)]
    if cohort:
        tables.insert(1, _group_table(_compare(evidence, candidate, over, window, cohort), by))
    verdict = Verdict.WARNING if judged.verdict is Verdict.OK and not compared.is_fair else judged.verdict
    because = (*judged.because, compared.said, *_where(window, evidence), *_completeness(found), _ONE_LOOK)
    return _answer(evidence, verdict, judged.headline, compared, judged.unknowns, because, tables)


_ONE_LOOK = "intervals are of 95 %, for one look: who looks until a gain is proven proves too much"


def _compare(evidence: RowEvidence, candidate: str, over: str, window: Window | None, cohort: str) -> _Compared:
    """Compare two versions in the fairest way that the rows allow."""
    model = evidence.model
    seen = versions_of(evidence, window)
    require_versions([candidate], seen)
    other = HOLDOUT if over == NONE else over
    names = (candidate, over)
    if model.task is Task.REGRESSION and model.success.tolerance is None:
        return _Compared(names, {}, unknown="nothing says what counts as correct: declare success.tolerance")
    if other in seen:
        require_versions([candidate, other], seen)
        overhead = shared_cost(evidence, window) if other == HOLDOUT else 0.0
        return replace(_versions_compared(evidence, (candidate, other), window, cohort), overhead_usd=overhead)
    if over == NONE and model.baseline:
        found = query_constant(evidence, evidence.matching(window), candidate, model.baseline, cohort)
        said = (
            f"held against {model.baseline} for every request, the declared baseline, at no cost; as if outcomes"
            " came the same without a model"
        )
        return _Compared(names, found, said, overhead_usd=shared_cost(evidence, window))
    if over not in {NONE, RULE, HOLDOUT}:
        require_versions([over], seen)
    missing = f"no version called {other} predicted in this window: give it a share of the units in the route"
    return _Compared(names, {}, unknown=missing + (", or declare a baseline" if over == NONE else ""))


def _versions_compared(
    evidence: RowEvidence, versions: tuple[str, str], window: Window | None, cohort: str
) -> _Compared:
    """Compare two versions by the requests that both answered, else by those that either was drawn for."""
    matching = evidence.matching(window)
    shares = audits(evidence, versions)
    audited = [share for _, share in shares if share]
    pairs = 0
    if evidence.model.task is not Task.GENERATION:  # a grade is of the one answer that somebody got
        paired = query_paired(evidence, matching, versions, shares, cohort)
        pairs = sum(one.sides[0].rows for one in paired.values())
        if pairs >= FEWEST_PAIRS:
            said = "held against each other on requests that both answered; as if the outcome came the same either way"
            if audited and not evidence.plans:
                said += f", and {audited[-1]:.3g} of the accepted requests had been audited all the time"
            return _Compared(versions, paired, said)
    if not audited and count_passed_on(evidence, matching, versions):
        why = "a cascade gives each version other requests: audit a share of the cheap answers (route.cascade.audit)"
        return _Compared(versions, {}, unknown=why)
    sides = [[(day, state.only(version=one)) for day, state in evidence.arrivals_by_day(window)] for one in versions]
    age = equal_age(evidence, sides, window)
    if age is not None and window is not None:
        matching = replace(evidence.matching(old_enough(window, age, evidence.as_of)), within=age)
    early = "" if age is None else f", with outcomes of {duration_text(age)}"
    span = drawn_span(evidence, matching, versions)
    found = query_drawn(evidence, matching, versions, span, cohort)
    if span is not None:
        said = f"units were drawn, each row counts by the chance it was drawn with, and a unit once{early}"
        return _Compared(versions, found, said)
    said = f"units were not drawn{early}: this holds only if both versions met the same kind of requests"
    said += f"; {counted(pairs, 'request')} that both answered are too few, {FEWEST_PAIRS} are needed" if pairs else ""
    return _Compared(versions, found, said, is_fair=False)


def _judged(compared: _Compared, found: Versus, value_usd: float | None = None, level: float = LEVEL) -> Judged:
    """Return what rows say, with what the first version costs besides them."""
    sums = found.sums.copy()
    sums[:, 2] += (compared.overhead_usd or 0.0) * sums[:, 0]
    unpriced = why_unpriced(found, compared.names)
    if compared.overhead_usd is None:
        unpriced = unpriced or "the monthly or labelling cost is unknown"
    return Judged(compared.names, found, means(sums), value_usd, unpriced, level)


def _too_few(found: Versus, names: tuple[str, str]) -> str:
    """Return how many units with an outcome are missing; empty when there are enough."""
    return "; ".join(
        f"{name} needs {counted(FEWEST_UNITS - side.units, 'more unit')} with an outcome"
        for name, side in zip(names, found.sides, strict=True)
        if side.units < FEWEST_UNITS
    )


def _where(window: Window | None, evidence: RowEvidence) -> tuple[str, ...]:
    zone = evidence.model.timezone
    return (f"{window.text(zone)} ({zone})",) if window else ()


def _completeness(found: Versus) -> tuple[str, ...]:
    first, second = (outcome_share(side) for side in found.sides)
    if first is None or second is None:
        return ()
    shares = number(first, "share") if first == second else f"{number(first, 'share')} and {number(second, 'share')}"
    return (f"measured on the {shares} whose outcome is known",)


def _answer(
    evidence: RowEvidence,
    verdict: Verdict,
    headline: str,
    compared: _Compared,
    unknowns: tuple[str, ...],
    because: tuple[str, ...],
    tables: Sequence[Table] = (),
) -> Answer:
    name = evidence.model.name
    first, second = compared.names
    return Answer(
        question="worth",
        model=name,
        verdict=verdict,
        headline=f"{f'{name}: ' if name else ''}{first} over {second}: {headline}",
        because=(*because, *aside_lines(evidence)),
        unknowns=unknowns,
        as_of=evidence.as_of,
        zone=evidence.model.timezone,
        tables=tuple(tables) or (Table("metrics", METRIC_COLUMNS, []),),
    )


def _metrics_table(judged: Judged) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (m.name, m.value, m.low, m.high, m.unit, m.rows, m.unknown or None) for m in judged.metrics
    ]
    return Table("metrics", METRIC_COLUMNS, rows)


def _sides_table(judged: Judged) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for n, (name, side) in enumerate(zip(judged.names, judged.found.sides, strict=True)):
        success, cost = judged.means.values[2 * n : 2 * n + 2].tolist()
        unpriced = side.unpriced / side.weight
        rows.append(
            (name, success, None if judged.unpriced else cost, side.rows, side.units, outcome_share(side), unpriced)
        )
    return Table("versions", SIDE_COLUMNS, rows)


def _group_table(compared: _Compared, by: str) -> Table:
    """Return each group's gain and its price, with intervals that hold for all groups together."""
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    enough = {name: one for name, one in compared.by_group.items() if not _too_few(one, compared.names)}
    level = 1.0 - (1.0 - LEVEL) / max(len(enough), 1)
    for name, found in sorted(compared.by_group.items(), key=lambda item: -item[1].sides[0].weight):
        count, why = found.sides[0].rows, _too_few(found, compared.names)
        if why:
            rows.append((name, *[None] * 6, count, why))
            lines.append((name, "unknown", why, f"{count:,}"))
            continue
        judged = _judged(compared, found, level=level)
        gain, price = judged.gain, judged.per_extra
        ends = (gain.value, gain.low, gain.high, price.value, price.low, price.high)
        rows.append((name, *ends, count, price.reason or None))
        lines.append((name, *judged.told, f"{count:,}"))
    together = f"correct, in all {counted(len(enough), 'group')} together (Bonferroni)"
    return Table(f"by_{by}", (by, *GROUP_COLUMNS), rows, (by, together, "per extra correct", "rows"), lines)
