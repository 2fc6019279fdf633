"""Why did a metric change: other rows, or the same rows judged otherwise?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.answers.causes import cause_table
from setpoint.answers.equal_age import equal_age
from setpoint.answers.groups import FIXED
from setpoint.control.causes import causes_of
from setpoint.core.clock import DAY
from setpoint.core.clock import text as time_text
from setpoint.core.errors import UsageError
from setpoint.core.metric import QUALITY_METRICS, Metric, difference, number
from setpoint.core.model import OutcomeKind, Task
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.feedback.baselines import skill_over_version, skills
from setpoint.feedback.mixture import Change, Mixture
from setpoint.feedback.proxies import rate
from setpoint.feedback.quality import arrival, quality_metric
from setpoint.stats.estimate import Estimate
from setpoint.store.evidence import RowEvidence, bucket_seconds
from setpoint.store.states import StateTable, merge

DEFAULT_LENGTH = 7 * DAY
_Days = list[tuple[int, StateTable]]
_SHOWN = 6
DIMENSION_COLUMNS = (
    "dimension",
    *(f"{part}{end}" for part in ("total", "mix", "within") for end in ("", "_low", "_high")),
    "reversal",
)
GROUP_COLUMNS = ("dimension", "group", "share_before", "share_after", "before", "after", "within")
SKILL_COLUMNS = ("baseline", "before", "before_low", "before_high", "after", "after_low", "after_high", "unknown")


@dataclass(frozen=True, slots=True)
class _Measured:
    """A metric, how it is computed from a state, and which states of days it takes.

    Attributes:
        name: Such as `auc` or `complaint_rate`.
        finish: The metric of a state.
        days: The states of the days of a window, split by a cohort.
    """

    name: str
    finish: Callable[[StateTable], Metric]
    days: Callable[[Window, str], _Days]


def why(
    evidence: RowEvidence, metric: str, *, current: Window | None = None, reference: Window | None = None
) -> Answer:
    """Return what a change of a metric between two windows came from.

    Args:
        evidence: The model's states.
        metric: A quality metric of the model's task, or the rate of a kind of outcome, such as `complaint_rate`.
        current: The later window; the last seven days by default.
        reference: The earlier one; the same length just before by default.

    Raises:
        UsageError: There is no such metric, or the predictions have no times.
    """
    measured = _measured(evidence, metric)
    if evidence.span is None and not evidence.is_recorded:
        msg = "the predictions have no times, so there are no two windows to compare"
        raise UsageError(msg, hint="name the time column: time='ts'")
    current = current or Window(evidence.as_of - DEFAULT_LENGTH, evidence.as_of)
    reference = reference or current.before()
    windows = (reference, current)
    states = tuple(_together(measured.days(window, "")) for window in windows)
    values = tuple(None if state is None else measured.finish(state) for state in states)
    is_known = all(value is not None and value.value is not None for value in values)
    changes = _changes(evidence, measured, windows) if is_known else []
    shares = [_share(evidence, window) for window in windows]
    return Answer(
        question="why",
        model=evidence.model.name,
        verdict=Verdict.OK if changes else Verdict.UNKNOWN,
        headline=_headline(evidence.model.name, metric, values, changes),
        because=_because(evidence, windows, shares, changes),
        unknowns=_unknowns(
            metric,
            values,
            equal_age(evidence, [evidence.arrivals_by_day(window) for window in windows], current),
            changes,
        ),
        as_of=evidence.as_of,
        zone=evidence.model.timezone,
        tables=(
            _dimension_table(changes, values),
            _group_table(changes, values),
            _skill_table(evidence, windows),
            *_causes(evidence, metric, windows),
        ),
    )


def _causes(evidence: RowEvidence, metric: str, windows: tuple[Window, Window]) -> list[Table]:
    """Return what may have caused it, of a recorded model's metric of quality whose rows are still there."""
    span = Window(windows[0].start, windows[1].end)
    known = {one.name for one in QUALITY_METRICS[evidence.model.task]}
    if not (evidence.is_recorded and metric in known and evidence.has_rows_of(span)):
        return []
    return [cause_table(causes_of(evidence, (metric,), span)[1], evidence.model.timezone)]


def _measured(evidence: RowEvidence, metric: str) -> _Measured:
    model = evidence.model
    # A final outcome that is a number says neither yes nor no.
    said = [kind for kind in model.outcomes if not (kind.final and model.task is Task.REGRESSION)]
    kinds = {f"{kind.name}_rate": kind for kind in said}
    names = [known.name for known in QUALITY_METRICS[model.task]]
    if metric in kinds:
        kind = kinds[metric]
        return _Measured(metric, lambda state: rate(state, kind), _days_of(evidence, kind))
    if metric not in names:
        msg = f"no metric is called {metric!r}"
        raise UsageError(msg, hint=f"known here: {', '.join([*names, *kinds])}")
    shift = evidence.definition.outcome_shift
    return _Measured(
        metric,
        lambda state: quality_metric(state, model, metric, outcome_shift=shift),
        lambda window, cohort: [
            (midnight, state.only(is_root=True)) for midnight, state in evidence.quality_by_day(window, cohort=cohort)
        ],
    )


def _days_of(evidence: RowEvidence, kind: OutcomeKind) -> Callable[[Window, str], _Days]:
    return lambda window, cohort: [
        (midnight, state.only(kind=kind.name)) for midnight, state in evidence.arrivals_by_day(window, cohort=cohort)
    ]


def _together(days: _Days) -> StateTable | None:
    found = [state for _, state in days if len(state)]
    return merge(found[0].kind, found) if found else None


def _share(evidence: RowEvidence, window: Window) -> float | None:
    return arrival(evidence.quality(window).only(is_root=True)).share


def _changes(evidence: RowEvidence, measured: _Measured, windows: tuple[Window, Window]) -> list[Change]:
    """Return the change split by each dimension that tells any rows apart, the one with most mix first."""
    found: list[Change] = []
    whole = tuple([state for _, state in measured.days(window, "") if len(state)] for window in windows)
    for dimension in (*FIXED, *(cohort.name for cohort in evidence.model.cohorts)):
        days = whole
        if dimension not in FIXED:
            days = tuple([s for _, s in measured.days(window, dimension) if len(s)] for window in windows)
        key = dimension if dimension in FIXED else "cohort_value"
        mixture = Mixture((days[0], days[1]), key, lambda state: measured.finish(state).value)
        if len(mixture.names) > 1 and (change := mixture.change(dimension)) is not None:
            found.append(change)
    if not found:  # nothing tells rows apart: then all of it happened inside
        mixture = Mixture((whole[0], whole[1]), "bucket", lambda state: measured.finish(state).value)
        change = mixture.change("")
        found = [] if change is None else [change]
    return sorted(found, key=lambda change: (not change.reversal, -abs(change.mix.value or 0.0)))


def _headline(name: str, metric: str, values: Sequence[Metric | None], changes: Sequence[Change]) -> str:
    subject = f"{name}: " if name else ""
    before, after = values
    if before is None or after is None or before.value is None or after.value is None or not changes:
        missing = next((value.unknown for value in values if value is not None and value.unknown), "")
        return f"{subject}cannot say: {missing or 'there are no predictions in one of the windows'}"
    change, unit = changes[0], before.unit
    total = change.total.value or 0.0
    moved = "did not change beyond the noise of its days" if _is_noise(change.total) else (
        f"{'rose' if total > 0 else 'fell'} by {difference(abs(total), unit)}"
    )  # fmt: skip
    said = f"{subject}{metric} {moved}, {number(before.value, unit)} → {number(after.value, unit)}"
    if change.reversal:
        return f"{said}. {change.reversal}"
    if not change.dimension:
        return f"{said}: no version, endpoint or cohort tells its rows apart"
    within, mix = (difference(part.value or 0.0, unit) for part in (change.within, change.mix))
    return f"{said}: {within} inside the groups, {mix} by another mix (by {change.dimension})"


def _is_noise(found: Estimate) -> bool:
    return found.low is not None and found.high is not None and found.low <= 0.0 <= found.high


def _because(
    evidence: RowEvidence, windows: tuple[Window, Window], shares: Sequence[float | None], changes: Sequence[Change]
) -> tuple[str, ...]:
    zone = evidence.model.timezone
    told = ["unknown" if share is None else number(share, "share") for share in shares]
    lines = [f"{windows[1].text(zone)} (outcomes arrived for {told[1]}) against {windows[0].text(zone)} ({told[0]})"]
    lines += [
        f"changed {time_text(change.started_at, zone)}: {change.kind} {change.subject}".rstrip()
        for change in evidence.changes(Window(windows[0].start, windows[1].end))[:3]
    ]
    lines += [change.reversal for change in changes[1:] if change.reversal]
    if any(change.total.low is not None for change in changes):
        lines.append("intervals assume that the days of a window are alike and independent")
    return tuple(lines)


def _unknowns(
    metric: str, values: Sequence[Metric | None], age: int | None, changes: Sequence[Change]
) -> tuple[str, ...]:
    found = [f"{metric}: {value.unknown}" for value in values if value is not None and value.unknown]
    if age is not None:
        found.append("whether slow outcomes would show the same: those of the later window are still coming")
    found += [f"how sure this is: {change.total.reason}" for change in changes[:1] if change.total.reason]
    return tuple(found)


def _ends(found: Estimate) -> tuple[Cell, Cell, Cell]:
    return found.value, found.low, found.high


def _dimension_table(changes: Sequence[Change], values: Sequence[Metric | None]) -> Table:
    unit = values[0].unit if values[0] is not None else "ratio"
    rows = [
        (change.dimension or "all rows", *_ends(change.total), *_ends(change.mix), *_ends(change.within),
         change.reversal or None)
        for change in changes
    ]  # fmt: skip
    lines = [
        (change.dimension or "all rows", *(_told(part, unit) for part in (change.mix, change.within)),
         "reversal" if change.reversal else "")
        for change in changes
    ]  # fmt: skip
    return Table("dimensions", DIMENSION_COLUMNS, rows, ("by", "other mix", "inside the groups", ""), lines)


def _told(found: Estimate, unit: str) -> str:
    said = difference(found.value or 0.0, unit)
    if found.low is None or found.high is None:
        return said
    return f"{said} [{difference(found.low, unit)}, {difference(found.high, unit)}]"


def _group_table(changes: Sequence[Change], values: Sequence[Metric | None]) -> Table:
    unit = values[0].unit if values[0] is not None else "ratio"
    rows: list[tuple[Cell, ...]] = [
        (change.dimension or "all rows", group.name, *group.shares, *group.values, group.within)
        for change in changes
        for group in change.groups
    ]
    lines: list[tuple[str, ...]] = []
    for group in changes[0].groups[:_SHOWN] if changes and changes[0].dimension else ():
        share = " → ".join(number(one, "share") for one in group.shares)
        value = " → ".join("unknown" if one is None else number(one, unit) for one in group.values)
        lines.append((group.name, share, value, difference(group.within, unit)))
    named = changes[0].dimension if changes else "group"
    return Table("groups", GROUP_COLUMNS, rows, (named, "share of rows", "inside it", "did to the whole"), lines)


def _skill_table(evidence: RowEvidence, windows: tuple[Window, Window]) -> Table:
    """Return the model's skill in both windows: what falls with the weather is no failure."""
    shift, model = evidence.definition.outcome_shift, evidence.model
    states = [evidence.quality(window).only(is_root=True) for window in windows]
    before = skills(states[0], None, model, outcome_shift=shift)
    after = skills(states[1], states[0], model, outcome_shift=shift)
    if pair := _pair(evidence, windows, states):
        for metrics, window in ((before, windows[0]), (after, windows[1])):
            hours = evidence.quality(window, bucket_seconds=bucket_seconds(model.timezone))
            metric = skill_over_version(hours, *pair, model, outcome_shift=shift)
            if metric is not None:
                metrics.append(metric)
    earlier = {metric.name: metric for metric in before}
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for metric in after:
        old = earlier.get(metric.name)
        ends = (None, None, None) if old is None else (old.value, old.low, old.high)
        rows.append((metric.name, *ends, metric.value, metric.low, metric.high, metric.unknown or None))
        lines.append((metric.name, "" if old is None else old.text(), metric.text()))
    return Table("skill", SKILL_COLUMNS, rows, ("skill against", "before", "after"), lines)


def _pair(
    evidence: RowEvidence, windows: tuple[Window, Window], states: Sequence[StateTable]
) -> tuple[str, str] | None:
    """Return the version of the later window, and the one before it or else one beside it; None of one alone."""
    earlier, later = map(_most_used, states)
    beside = _most_used(evidence.quality(windows[1]))
    others = [version for version in (*earlier[:1], *beside) if version not in later[:1]]
    return (later[0], others[0]) if later and others else None


def _most_used(state: StateTable) -> list[str]:
    """Return the versions of a state, the one with most rows first."""
    weights: dict[str, float] = {}
    for version, weight in zip(state.key("version"), state.column("weight").tolist(), strict=True):
        if version is not None:
            weights[str(version)] = weights.get(str(version), 0.0) + weight
    return sorted(weights, key=lambda version: (-weights[version], version))
