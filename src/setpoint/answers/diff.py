"""What changed in the data between two windows?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.answers.aside import aside_lines
from setpoint.answers.groups import cohort_of
from setpoint.charts.bars import bar_chart
from setpoint.core.clock import DAY
from setpoint.core.clock import text as time_text
from setpoint.core.errors import UsageError
from setpoint.core.metric import counted, number
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.inputs.drift import FeatureChange, compare, top_values
from setpoint.inputs.profiles import NAMES_OF_REST, QUANTILES, Profile, profiles
from setpoint.store.evidence import PREDICTION, SCORE, Change, RowEvidence
from setpoint.store.states import StateTable

_SHOWN = 8
_FEWEST = 20
_Profiles = Mapping[str, Profile]
_LABELS = {SCORE: "score", PREDICTION: "prediction"}
COLUMNS = (
    "feature",
    "impact",
    "moved_ratio",
    "importance",
    "note",
    *(f"{window}_{what}" for window in ("reference", "current") for what in (
        "rows", "missing_ratio", "mean", "sd", "minimum", "p5", "p25", "p50", "p75", "p95", "maximum", "top"
    )),
    "mean_shift_sd",
    "mean_shift_low",
    "mean_shift_high",
    "missing_shift",
    "missing_shift_low",
    "missing_shift_high",
    *(f"{name}{part}" for name in ("psi", "jensen_shannon", "wasserstein", "total_variation")
      for part in ("", "_expected", "_noise")),
    "new_values",
    "vanished_values",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sides:
    """The two windows of a comparison, and what stands in them.

    Attributes:
        reference: Profiles of the earlier window.
        current: Profiles of the later one.
        named: Both windows in words.
        changes: What was changed on purpose in between.
        retyped: Features whose type changed, in words.
    """

    reference: dict[str, Profile]
    current: dict[str, Profile]
    named: tuple[str, str]
    changes: tuple[Change, ...] = ()
    retyped: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Reference:
    """Rows that are not among the predictions, such as the training data, to compare them with.

    Attributes:
        rows: The rows, binned as the predictions are.
        name: What they are called.
        retyped: Inputs that are numbers on one side and text on the other, in words.
    """

    rows: RowEvidence
    name: str
    retyped: Mapping[str, str]


def diff(
    evidence: RowEvidence, *, current: Window | None = None, reference: Window | Reference | None = None, by: str = ""
) -> Answer:
    """Return what changed between two windows of a model, or since other rows.

    Args:
        evidence: The model's states.
        current: The later window; the last seven days by default.
        reference: The earlier one, or other rows; the declared window, else the same length just before by default.
        by: `endpoint`, `version` or a cohort's name: also what changed inside each group.

    Raises:
        UsageError: The predictions have no times, so there are no two windows; or there is no such group.
    """
    cohort_of(by, evidence.model)
    if isinstance(reference, Reference):
        return _since(evidence, reference, current, by)
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
    reference = reference or current.before()
    sides = Sides(
        profiles(evidence.profile(reference), evidence.definition),
        profiles(evidence.profile(current), evidence.definition),
        (reference.text(zone), current.text(zone)),
        tuple(evidence.changes(Window(reference.start, current.end))),
    )
    answer = compared(evidence, sides)
    if before:
        answer = replace(answer, because=(*answer.because, before))
    if not by:
        return answer
    return _with_groups(answer, by, evidence, evidence.profile(reference, cohort=by), current)


def _since(evidence: RowEvidence, reference: Reference, current: Window | None, by: str) -> Answer:
    """Return what changed since rows that are not among the predictions."""
    span = _span(evidence)
    if current is None and span is not None:
        current = _last_days(evidence, span)
    rows = reference.rows
    before = profiles(rows.profile(None), rows.definition)
    after = profiles(evidence.profile(current), evidence.definition)
    for answered in _LABELS:  # other rows need not have the model's answers
        if not _has_any(before.get(answered)):
            after.pop(answered, None)
    sides = Sides(
        before,
        after,
        (reference.name, current.text(evidence.model.timezone) if current else "all predictions"),
        tuple(evidence.changes(current)),
        reference.retyped,
    )
    answer = compared(evidence, sides)
    return _with_groups(answer, by, evidence, rows.profile(None, cohort=by), current) if by else answer


def _span(evidence: RowEvidence) -> Window | None:
    """Return from the first to the last prediction; of a log without any the moment of asking."""
    if evidence.span is None and evidence.is_recorded:
        return Window(evidence.as_of, evidence.as_of)
    return evidence.span


def _last_days(evidence: RowEvidence, span: Window) -> Window:
    return Window(max(evidence.as_of - 7 * DAY, span.start), evidence.as_of)


def _with_groups(
    answer: Answer, by: str, evidence: RowEvidence, reference: StateTable, current: Window | None
) -> Answer:
    """Return an answer that also says what changed inside each group."""
    groups = _groups(evidence, reference, evidence.profile(current, cohort=by))
    return replace(answer, tables=(_group_table(by, groups), *answer.tables))


def compared(evidence: RowEvidence, sides: Sides) -> Answer:
    """Return the comparison of two sets of profiles, ranked by impact."""
    found = _ranked(evidence, sides.reference, sides.current, sides.retyped)
    moved = [change for change in found if change.moved > 0]
    rows = (_rows(sides.reference), _rows(sides.current))
    known = (_rows(sides.reference, are_effective=True), _rows(sides.current, are_effective=True))
    is_unknown = min(known) < _FEWEST or not any(change.has_values for change in found)
    return Answer(
        question="diff",
        model=evidence.model.name,
        verdict=Verdict.UNKNOWN if is_unknown else (Verdict.WARNING if moved else Verdict.OK),
        headline=_headline(evidence.model.name, found, moved, known),
        because=_because(evidence, sides, rows),
        unknowns=_unknowns(known),
        as_of=evidence.as_of,
        zone=evidence.model.timezone,
        tables=(_table(found),),
        figure=bar_chart(
            [(_LABELS.get(c.feature, c.feature), c.moved, number(c.moved, "share")) for c in moved[:_SHOWN]],
            "rows moved beyond chance, by feature",
        ),
    )


def _ranked(
    evidence: RowEvidence, reference: _Profiles, current: _Profiles, retyped: Mapping[str, str] | None = None
) -> list[FeatureChange]:
    """Return how each feature changed, strongest first."""
    names = list(dict.fromkeys([*reference, *current]))
    importances = _importances(evidence, names)
    found = [
        compare(name, reference.get(name), current.get(name), importances[name], (retyped or {}).get(name, ""))
        for name in names
        # A model need not give a score; an input without a value is seen.
        if name not in _LABELS or _has_any(reference.get(name)) or _has_any(current.get(name))
    ]
    return sorted(found, key=lambda change: (-change.impact, change.feature))


def _rows(side: _Profiles, *, are_effective: bool = False) -> float:
    """Return the rows of a window: those that there were, or the independent ones that are known of them."""
    return max((p.effective_rows if are_effective else p.rows for p in side.values()), default=0.0)


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    reference_rows: float
    current_rows: float
    fewest: float
    changes: list[FeatureChange]

    @property
    def moved(self) -> list[FeatureChange]:
        """The changes beyond chance; none where there are too few rows to tell."""
        return [change for change in self.changes if change.moved > 0] if self.fewest >= _FEWEST else []


def _groups(evidence: RowEvidence, reference: StateTable, current: StateTable) -> list[_Group]:
    """Return what changed inside each group, the most changed first."""
    found: list[_Group] = []
    for value in dict.fromkeys([*reference.key("cohort_value"), *current.key("cohort_value")]):
        before, after = (
            profiles(state.only(cohort_value=value), evidence.definition) for state in (reference, current)
        )
        name = NAMES_OF_REST.get(str(value), str(value))
        fewest = min(_rows(side, are_effective=True) for side in (before, after))
        found.append(_Group(name, _rows(before), _rows(after), fewest, _ranked(evidence, before, after)))
    return sorted(found, key=lambda group: (-max((c.impact for c in group.moved), default=0.0), group.name))


def _group_table(by: str, groups: list[_Group]) -> Table:
    rows = [(group.name, *_row(change)) for group in groups for change in group.changes]
    lines = [
        (
            group.name,
            number(group.reference_rows, "rows"),
            number(group.current_rows, "rows"),
            _inside(group),
        )
        for group in groups[:_SHOWN]
    ]
    if len(groups) > _SHOWN:
        lines.append((f"… {len(groups) - _SHOWN} more", "", "", "see --json"))
    return Table(f"by_{by}", (by, *COLUMNS), rows, (by, "reference rows", "current rows", "changed inside"), lines)


def _inside(group: _Group) -> str:
    if group.fewest < _FEWEST:
        return f"unknown: needs {_FEWEST} rows in both windows"
    return "; ".join(_said(change) for change in group.moved[:2]) or "nothing beyond chance"


def _has_any(profile: Profile | None) -> bool:
    return profile is not None and profile.present > 0


def _importances(evidence: RowEvidence, names: list[str]) -> dict[str, float]:
    """Return declared importances; undeclared ones share what is left, the model's answers get none."""
    inputs = [name for name in names if name not in _LABELS]
    declared = {
        feature.name: feature.importance for feature in evidence.model.features if feature.importance is not None
    }
    rest = [name for name in inputs if name not in declared]
    left = max(1.0 - sum(declared.get(name, 0.0) for name in inputs), 0.0)
    share = left / len(rest) if rest else 0.0
    return {name: 0.0 if name in _LABELS else declared.get(name, share) for name in names}


def _headline(name: str, found: list[FeatureChange], moved: list[FeatureChange], rows: tuple[float, ...]) -> str:
    subject = f"{name}: " if name else ""
    if min(rows) < _FEWEST:
        short = "reference" if rows[0] == min(rows) else "current"
        count = f"{counted(min(rows), 'prediction')}, needs {_FEWEST}" if min(rows) else "no predictions"
        return f"{subject}cannot compare: the {short} window has {count}"
    inputs = [change for change in moved if change.feature not in _LABELS]
    total = sum(change.feature not in _LABELS and change.has_values for change in found)
    if not any(change.has_values for change in found):
        return f"{subject}cannot compare: no feature has a value in either window"
    if not moved:
        empty = sum(not change.has_values for change in found)
        without = f"; {empty} more without a value" if empty else ""
        return f"{subject}nothing changed beyond chance in {counted(total, 'feature')}{without}"
    if not inputs:
        return f"{subject}no input changed beyond chance, but the model's answers did"
    named = ", ".join(_said(change) for change in inputs[:3])
    more = f" and {len(inputs) - 3} more" if len(inputs) > 3 else ""  # noqa: PLR2004 — three are named
    return f"{subject}{len(inputs)} of {total} features changed beyond chance: {named}{more}"


def _said(change: FeatureChange) -> str:
    name = _LABELS.get(change.feature, change.feature)
    if change.note:
        return f"{name} {change.note}"
    before, after = change.reference, change.current
    if before is None or after is None:
        return name
    missing = (before.missing_ratio or 0.0, after.missing_ratio or 0.0)
    if change.missing_shift.value is not None and abs(missing[1] - missing[0]) >= 0.5 * change.moved:
        return f"{name} missing {number(missing[0], 'share')} → {number(missing[1], 'share')}"
    if before.mean is not None and after.mean is not None:
        return f"{name} mean {before.mean:.4g} → {after.mean:.4g}"
    if change.new_values:
        return f"{name} has new values"
    return f"{name} mix moved by {number(change.moved, 'share')}"


def _because(evidence: RowEvidence, sides: Sides, rows: tuple[float, ...]) -> tuple[str, ...]:
    sizes = [counted(count, "row") for count in rows]
    lines = [f"{sides.named[1]} ({sizes[1]}) against {sides.named[0]} ({sizes[0]})"]
    zone = evidence.model.timezone
    for change in sides.changes[:4]:
        expected = f", expected to move {change.expected}" if change.expected else ""
        lines.append(f"changed {time_text(change.started_at, zone)}: {change.kind} {change.subject}{expected}".rstrip())
    return (*lines, *aside_lines(evidence))


def _unknowns(rows: tuple[float, ...]) -> tuple[str, ...]:
    if min(rows) < _FEWEST:
        return (f"what changed: needs at least {_FEWEST} predictions in both windows",)
    return ("whether this does harm: quality is in `setpoint status`, drift alone is not harm",)


def _table(found: list[FeatureChange]) -> Table:
    rows = [_row(change) for change in found]
    lines = [_line(change) for change in found if change.moved > 0 or not change.has_values][:_SHOWN]
    shown = ("feature", "reference", "current", "rows moved", "PSI", "PSI by chance", "note")
    return Table("features", COLUMNS, rows, shown, lines)


def _line(change: FeatureChange) -> tuple[str, ...]:
    psi = change.distances.get("psi")
    measured = "" if psi is None or psi.value is None else f"{psi.value:.3f}"
    chance = "" if psi is None or psi.noise is None else f"up to {psi.noise:.3f}"
    notes = [change.note] if change.note else []
    if change.new_values:
        notes.append("new: " + ", ".join(change.new_values[:3]))
    if change.vanished_values:
        notes.append("gone: " + ", ".join(change.vanished_values[:3]))
    return (
        _LABELS.get(change.feature, change.feature),
        _brief(change.reference),
        _brief(change.current),
        number(change.moved, "share"),
        measured,
        chance,
        "; ".join(notes),
    )


def _brief(profile: Profile | None) -> str:
    if profile is None or not profile.rows:
        return "absent"
    if not profile.present:
        return f"{number(1.0, 'share')} missing"
    missing = f", {number(profile.missing_ratio or 0.0, 'share')} missing" if profile.missing else ""
    if profile.kind == "categorical":
        named = top_values(profile, 2)
        return ", ".join(f"{value} {number(share, 'share')}" for value, share in named[:2]) + missing
    if profile.mean is None:
        return f"no value{missing}"
    spread = "" if profile.sd is None else f" ± {profile.sd:.3g}"
    return f"{profile.mean:.4g}{spread}{missing}"


def _row(change: FeatureChange) -> tuple[Cell, ...]:
    cells: list[Cell] = [
        _LABELS.get(change.feature, change.feature),
        change.impact,
        change.moved,
        change.importance,
        change.note or None,
    ]
    for profile in (change.reference, change.current):
        cells += _profile_cells(profile)
    for shift in (change.mean_shift, change.missing_shift):
        cells += [shift.value, shift.low, shift.high]
    for name in ("psi", "jensen_shannon", "wasserstein", "total_variation"):
        distance = change.distances.get(name)
        cells += [None] * 3 if distance is None else [distance.value, distance.expected, distance.noise]
    cells += [", ".join(change.new_values) or None, ", ".join(change.vanished_values) or None]
    return tuple(cells)


def _profile_cells(profile: Profile | None) -> list[Cell]:
    if profile is None:
        return [None] * 12
    quantiles = [profile.quantile(probability) for probability in QUANTILES]
    top = ", ".join(f"{value}: {share:.4f}" for value, share in top_values(profile)) or None
    return [
        profile.rows,
        profile.missing_ratio,
        profile.mean,
        profile.sd,
        profile.minimum,
        *quantiles,
        profile.maximum,
        top,
    ]
