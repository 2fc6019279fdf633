"""What changed in the data between two windows?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.answers.aside import aside_lines
from setpoint.answers.diff_groups import groups, groups_since, table_of_groups
from setpoint.answers.feature_changes import COLUMNS, FEWEST, has_any, in_brief, is_too_few, line, ranked, row
from setpoint.answers.groups import cohort_of
from setpoint.answers.harm import Harm, effects, harm
from setpoint.answers.references import by_name, of_windows
from setpoint.answers.shown_items import ShownItems, shown_items
from setpoint.answers.sides import Side, Sides, side_of_days
from setpoint.charts.bars import bar_chart
from setpoint.core.clock import DAY
from setpoint.core.clock import text as time_text
from setpoint.core.errors import UsageError
from setpoint.core.metric import counted, number
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.inputs.detection import BUDGET, FEWEST_DAYS, FEWEST_ROWS, TESTS, Drift, in_words
from setpoint.inputs.drift import STARTED_TO_VARY, FeatureChange
from setpoint.inputs.exposure_drift import EXPOSURE_BUDGET
from setpoint.store.evidence import LABELS, RowEvidence
from setpoint.store.measures import Definition

_SHOWN = 8
EXPLAINED_COLUMNS = ("feature", "question", "days", "p", "is_alarm", "effect", "effect_low", "effect_high")


@dataclass(frozen=True, slots=True)
class Reference:
    """Rows that are not among the predictions, such as the training data, to compare them with.

    Attributes:
        side: How they look.
        retyped: Inputs that are numbers on one side and text on the other, in words.
        definition: How the predictions must be binned to be compared; None when the rows are binned as they are.
        rows: The rows; None when only their profile was kept.
    """

    side: Side
    retyped: Mapping[str, str]
    definition: Definition | None = None
    rows: RowEvidence | None = None


def diff(
    evidence: RowEvidence,
    *,
    current: Window | None = None,
    reference: Window | Reference | str | None = None,
    by: str = "",
    explain: bool = False,
) -> Answer:
    """Return what changed between two windows of a model, or since other rows.

    Args:
        evidence: The model's states.
        current: The later window; the last seven days by default.
        reference: The earlier one, other rows, or one of `references.NAMES`; the declared window, else the same length
            just before by default.
        by: `endpoint`, `version` or a cohort's name: also what changed inside each group.
        explain: Also how each question about each feature was answered, and how the budget of false alarms was spent.

    Raises:
        UsageError: The predictions have no times, so there are no two windows; both windows are the same; or there is
            no such group.
    """
    cohort_of(by, evidence.model)
    if isinstance(reference, Reference):
        return _since(evidence, reference, current, by, explain=explain)
    span = _span(evidence)
    if span is None:
        msg = "the predictions have no times, so there are no two windows to compare"
        raise UsageError(msg, hint="name the time column, or compare two files: setpoint.diff(train, current)")
    zone = evidence.model.timezone
    before = ""
    if reference is None and evidence.model.reference and not evidence.model.reference_file:
        reference = Window.parse(evidence.model.reference, now=evidence.as_of, zone=zone)
        if reference.end <= span.start:
            before = f"the declared reference ({reference.text(zone)}) lies before the first prediction: not used"
            reference = None
    if current is None:
        current = _last_days(evidence, span)
        if reference is None and current.length > span.length // 2:
            current = Window(span.start + span.length // 2, span.end)
    if isinstance(reference, str):
        found = by_name(evidence, reference, current)
    else:
        found = of_windows(evidence, reference or current.before(), current)
    overlap = _overlap(found.reference, current, zone) if found.reference else ""
    answer = compared(evidence, found.sides, (found.reference, current), explain=explain)
    said = [words for words in (before, overlap, found.said) if words]
    answer = replace(answer, because=(*answer.because, *said))
    if not by:
        return answer
    if found.reference is None:
        msg = f"groups are compared between two windows, not with {reference}"
        raise UsageError(msg, hint="leave `by` out, or name a window as the reference")
    inside = groups(evidence, found.reference, current, by)
    return replace(answer, tables=(table_of_groups(by, inside), *answer.tables))


def _overlap(reference: Window, current: Window, zone: str) -> str:
    """Return that the current window is not after the reference, in words; empty when it is.

    Raises:
        UsageError: Both are the same.
    """
    if not current.length or current.start >= reference.end:
        return ""
    if reference == current:
        msg = f"the current window and the reference are the same: {current.text(zone)}"
        raise UsageError(msg, hint="name an earlier reference")
    if current.end <= reference.start:
        return "the current window lies before the reference"
    shared = Window(max(reference.start, current.start), min(reference.end, current.end))
    return f"the windows overlap: the rows of {shared.text(zone)} are in both, so that a change shows in part"


def _since(evidence: RowEvidence, reference: Reference, current: Window | None, by: str, *, explain: bool) -> Answer:
    """Return what changed since rows that are not among the predictions."""
    span = _span(evidence)
    if current is None and span is not None:
        current = _last_days(evidence, span)
    if current is not None:
        states = evidence.profile_by_day(current, definition=reference.definition)
        after = side_of_days(evidence, current, states, reference.definition)
    elif reference.definition is None:
        after = Side.of("all predictions", evidence.profile(None), evidence.definition)
    else:
        msg = "the predictions have no times, so that a profile cannot be compared with some of them"
        raise UsageError(msg, hint='compare the file itself: setpoint.diff("train.profile", "now.parquet")')
    for answered in LABELS:  # other rows need not have the model's answers
        if not has_any(reference.side.profiles.get(answered)):
            after.profiles.pop(answered, None)
    sides = Sides(reference.side, after, (), tuple(evidence.changes(current)), reference.retyped)
    answer = compared(evidence, sides, (None, current), explain=explain)
    if not by:
        return answer
    if reference.rows is None:
        msg = "groups are compared with rows or windows, not with a profile"
        raise UsageError(msg, hint="leave `by` out, or give the file that the profile was made of")
    found = groups_since(evidence, (reference.rows, current), by)
    return replace(answer, tables=(table_of_groups(by, found), *answer.tables))


def _span(evidence: RowEvidence) -> Window | None:
    """Return from the first to the last prediction; of a log without any the moment of asking."""
    if evidence.span is None and evidence.is_recorded:
        return Window(evidence.as_of, evidence.as_of)
    return evidence.span


def _last_days(evidence: RowEvidence, span: Window) -> Window:
    return Window(max(evidence.as_of - 7 * DAY, span.start), evidence.as_of)


def compared(
    evidence: RowEvidence,
    sides: Sides,
    windows: tuple[Window | None, Window | None] = (None, None),
    *,
    explain: bool = False,
) -> Answer:
    """Return the comparison of two windows, ranked by impact; see `diff`.

    Args:
        evidence: The model's states.
        sides: Both windows.
        windows: Their times; None for rows that are not among the predictions.
        explain: Also how each question about each feature was answered.
    """
    found = ranked(evidence, sides, sides.drifts)
    changed = [change for change in found if change.is_changed]
    shown = ShownItems() if is_too_few(sides) else shown_items(evidence, *windows)
    is_changed = bool(changed or shown.changed)
    meant = harm(evidence, sides, *windows) if is_changed and not is_too_few(sides) else Harm()
    is_unknown = is_too_few(sides) or not (shown.drifts or any(change.has_values for change in found))
    return Answer(
        question="diff",
        model=evidence.model.name,
        verdict=Verdict.UNKNOWN if is_unknown else _verdict(changed, shown),
        headline=_headline(evidence.model.name, sides, found, shown),
        because=(*_because(evidence, sides), *meant.known, *(_budgets_in_words(sides, shown) if explain else [])),
        unknowns=(*_unknowns(sides, found, shown), *meant.unknown),
        as_of=evidence.as_of,
        zone=evidence.model.timezone,
        tables=(
            _table(found, shown, len(sides.current.days)),
            *([effects(evidence, windows[0], changed[:_SHOWN]), _explained(sides, shown)] if explain else []),
        ),
        figure=bar_chart(
            [(LABELS.get(c.feature, c.feature), c.moved, number(c.moved, "share")) for c in changed[:_SHOWN]],
            "rows moved, at least, by feature that changed",
        ),
    )


def _verdict(changed: Sequence[FeatureChange], shown: ShownItems) -> Verdict:
    if any(change.note == STARTED_TO_VARY for change in changed):
        return Verdict.BREACH
    return Verdict.WARNING if changed or shown.changed else Verdict.OK


def _headline(name: str, sides: Sides, found: Sequence[FeatureChange], shown: ShownItems) -> str:
    subject = f"{name}: " if name else ""
    for window, fewest, called in ((sides.reference, FEWEST_ROWS, "reference"), (sides.current, FEWEST, "current")):
        if (rows := window.effective_rows) < fewest:
            count = f"{counted(rows, 'prediction')}, needs {fewest}" if rows else "no predictions"
            return f"{subject}cannot compare: the {called} window has {count}"
    features = [change for change in found if change.feature not in LABELS and change.has_values]
    if not shown.drifts and not any(change.has_values for change in found):
        return f"{subject}cannot compare: no feature has a value in either window"
    inputs = [change for change in features if change.is_changed]
    if shown.changed and not inputs:
        return f"{subject}no input changed beyond chance, but what is shown did: {shown.said}"
    if not any(change.is_changed for change in found):
        empty = sum(not change.has_values for change in found)
        without = f"; {empty} more without a value" if empty else ""
        return f"{subject}nothing changed beyond chance in {counted(len(features), 'feature')}{without}"
    if not inputs:
        return f"{subject}no input changed beyond chance, but the model's answers did"
    named = ", ".join(in_brief(change) for change in inputs[:3])
    more = f" and {len(inputs) - 3} more" if len(inputs) > 3 else ""  # noqa: PLR2004 — three are named
    return f"{subject}{len(inputs)} of {len(features)} features changed beyond chance: {named}{more}"


def _because(evidence: RowEvidence, sides: Sides) -> tuple[str, ...]:
    both = sides.current, sides.reference
    current, reference = (f"{side.named} ({counted(side.rows, 'row')})" for side in both)
    lines = [f"{current} against {reference}", _noise_in_words(sides)]
    if any(side.is_weighted for side in both):
        lines.append("counts of rows are estimates: each row that was kept counts as 1 / its keep_probability")
    zone = evidence.model.timezone
    for change in sides.changes[-4:]:
        expected = f", expected to move {change.expected}" if change.expected else ""
        lines.append(f"changed {time_text(change.started_at, zone)}: {change.kind} {change.subject}{expected}".rstrip())
    return (*lines, *sides.said, *aside_lines(evidence))


def _noise_in_words(sides: Sides) -> str:
    """Return what a change had to be more than."""
    if sides.days_known:
        return f"beyond chance: more than rows and the usual difference between {sides.days_known} days explain"
    return (
        "beyond chance: more than rows explain and what does not matter (.03 sd, 10 % of the variance, .5 % of the"
        f" rows, 2 % elsewhere); how days differ is unknown, that takes {FEWEST_DAYS} of them"
    )


def _unknowns(sides: Sides, found: Sequence[FeatureChange], shown: ShownItems) -> tuple[str, ...]:
    if is_too_few(sides):
        return (
            f"what changed: needs at least {FEWEST_ROWS} predictions in the reference, {FEWEST} in the current window",
        )
    short = [change.feature for change in found if change.has_values and not change.is_judged]
    lines = [f"whether {', '.join(short)} changed: fewer than {FEWEST_ROWS} values a day"] if short else []
    large = [change.feature for change in found if change.is_too_large]
    lines += [f"mean or deviation of {', '.join(large)}: its numbers are too large for one"] if large else []
    return (*lines, *([f"whether what is shown changed: {shown.unknown}"] if shown.unknown else []))


def _table(found: Sequence[FeatureChange], shown_items: ShownItems, days: int) -> Table:
    lines = [line(change, days) for change in found if change.is_changed or not change.has_values][:_SHOWN]
    shown = ("feature", "reference", "current", "what", "rows moved", "by chance", "PSI", "PSI by chance", "note")
    rows = [*(row(change) for change in found), *shown_items.rows()]
    return Table("features", COLUMNS, rows, shown, [*lines, *shown_items.lines()])


def _budgets_in_words(sides: Sides, shown: ShownItems) -> list[str]:
    """Return how the budget of false alarms was spent, and that of what rankings show."""
    spent = (list(sides.drifts.values()), "feature", BUDGET), (shown.drifts, "exposure measure", EXPOSURE_BUDGET)
    return [_budget_in_words(drifts, noun, budget) for drifts, noun, budget in spent if drifts]


def _budget_in_words(drifts: Sequence[Drift], noun: str, budget: float) -> str:
    asked = sum(len(drift.answers) for drift in drifts)
    limit = max((drift.limit for drift in drifts), default=0.0)
    return (
        f"{counted(asked, 'answer')} of {counted(len(drifts), noun)}, worth {TESTS:g} independent ones a {noun},"
        f" share a chance of {number(budget, 'share')} of any false alarm:"
        f" one that is as likely by chance as {limit:.1e} is an alarm"
    )


def _explained(sides: Sides, shown_items: ShownItems) -> Table:
    """Return every answer about every feature, those of the likeliest changes first."""
    drifts = sorted([*sides.drifts.values(), *shown_items.drifts], key=lambda drift: (drift.p, drift.answers[0].p))
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for drift in drifts:
        feature = LABELS.get(drift.feature, drift.feature)
        for answer in drift.answers:
            is_alarm = answer in drift.alarms
            ends = [end if math.isfinite(end) else None for end in (answer.low, answer.high)]
            rows.append((feature, answer.question, answer.days, answer.p, is_alarm, answer.effect, *ends))
            if is_alarm:
                lines.append((feature, answer.question, f"{answer.days}", f"{answer.p:.1e}", in_words(answer)))
    shown = ("feature", "question", "last days", "by chance", "what")
    return Table("answers", EXPLAINED_COLUMNS, rows, shown, lines)
