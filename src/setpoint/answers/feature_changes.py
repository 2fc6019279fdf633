"""How features changed between two windows: ranked, in words, and as the cells of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping

from setpoint.answers.answer import Cell
from setpoint.answers.sides import Sides
from setpoint.core.metric import number
from setpoint.inputs.detection import FEWEST_ROWS, Answered, Drift, in_words
from setpoint.inputs.drift import FeatureChange, compare, top_values
from setpoint.inputs.profiles import Profile
from setpoint.store.ages import AGE
from setpoint.store.evidence import LABELS, RowEvidence
from setpoint.store.texts import PARTS, sources_of

FEWEST = 20
"""Rows that the current window must have."""

TOO_FEW = f"unknown: needs {FEWEST_ROWS} rows in the reference and {FEWEST} in the current window"

_DISTANCES = ("psi", "kullback_leibler", "jensen_shannon", "wasserstein", "total_variation")
COLUMNS = (
    "feature",
    "impact",
    "moved_ratio",
    "importance",
    "changed",
    "p",
    "question",
    "days",
    "effect",
    "effect_low",
    "effect_high",
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
    *(f"{name}{part}" for name in _DISTANCES
      for part in ("", "_expected", "_noise")),
    "new_values",
    "vanished_values",
)  # fmt: skip


def ranked(evidence: RowEvidence, sides: Sides, drifts: Mapping[str, Drift]) -> list[FeatureChange]:
    """Return how each feature changed, strongest first."""
    reference, current = sides.reference.profiles, sides.current.profiles
    names = list(dict.fromkeys([*reference, *current]))
    importances = _importances(evidence, names)
    found = [
        compare(
            name,
            reference.get(name),
            current.get(name),
            importances[name],
            None if is_too_few(sides) else drifts.get(name),
            TOO_FEW if is_too_few(sides) else sides.retyped.get(name, ""),
        )
        for name in names
        # A model need not give a score; an input without a value is seen.
        if name not in LABELS or has_any(reference.get(name)) or has_any(current.get(name))
    ]
    return sorted(found, key=lambda change: (not change.is_changed, -change.impact, change.p, change.feature))


def is_too_few(sides: Sides) -> bool:
    """Return whether there are too few rows to compare."""
    return sides.reference.effective_rows < FEWEST_ROWS or sides.current.effective_rows < FEWEST


def has_any(profile: Profile | None) -> bool:
    """Return whether a window has a value of a feature."""
    return profile is not None and profile.present > 0


def _importances(evidence: RowEvidence, names: list[str]) -> dict[str, float]:
    """Return declared importances; undeclared ones share what is left, the model's answers get none."""
    inputs = [name for name in names if name not in LABELS]
    declared = {
        feature.name: feature.importance for feature in evidence.model.features if feature.importance is not None
    }
    for part, text in (sources_of(evidence.definition) if declared else {}).items():  # a table's costs a scan
        if text in declared:
            declared.setdefault(part, declared[text] / len(PARTS))
    declared |= {f"{name}{AGE}": importance for name, importance in declared.items() if f"{name}{AGE}" in inputs}
    rest = [name for name in inputs if name not in declared]
    left = max(1.0 - sum(declared.get(name, 0.0) for name in inputs), 0.0)
    share = left / len(rest) if rest else 0.0
    return {name: 0.0 if name in LABELS else declared.get(name, share) for name in names}


def in_brief(change: FeatureChange) -> str:
    """Return what changed most in a few words, such as `delay mean 9.4 → 12.1`."""
    name = LABELS.get(change.feature, change.feature)
    before, after, drift = change.reference, change.current, change.drift
    if change.note or before is None or after is None or drift is None or not drift.alarms:
        return f"{name} {change.note}".rstrip()
    most = drift.foremost
    said = in_words(most)
    if most.question == "missing":
        shares = [number(side.missing_ratio or 0.0, "share") for side in (before, after)]
        said = f"missing {' → '.join(shares)}"
    elif most.question in {"location", "unseen"} and before.mean is not None and after.mean is not None:
        said = f"mean {before.mean:.4g} → {after.mean:.4g}"
    elif most.question == "spread" and before.sd is not None and after.sd is not None:
        said = f"sd {before.sd:.4g} → {after.sd:.4g}"
    elif most.question == "unseen" and change.new_values:
        said = f"has new values: {', '.join(change.new_values[:3])}"
    elif most.question == "shape" and after.kind == "categorical":
        said = f"mix moved by {number(abs(most.effect), 'share')}"
    return f"{name} {said}"


def with_days(answer: Answered, days: int) -> str:
    """Return what a question came to, and in which days when not in all of the current window."""
    if answer.days >= days:
        return in_words(answer)
    return f"{in_words(answer)} in the last {'day' if answer.days == 1 else f'{answer.days} days'}"


def line(change: FeatureChange, days: int) -> tuple[str, ...]:
    """Return a feature as a line of the printed table; `days` are those of the current window."""
    psi = change.distances.get("psi")
    measured = "" if psi is None or psi.value is None else f"{psi.value:.3f}"
    chance = "" if psi is None or psi.noise is None else f"up to {psi.noise:.3f}"
    notes = [change.note] if change.note else []
    if change.new_values:
        notes.append("new: " + ", ".join(change.new_values[:3]))
    if change.vanished_values:
        notes.append("gone: " + ", ".join(change.vanished_values[:3]))
    drift = change.drift if change.drift is not None and change.drift.alarms else None
    return (
        LABELS.get(change.feature, change.feature),
        _brief(change.reference),
        _brief(change.current),
        with_days(drift.foremost, days) if drift else "",
        number(change.moved, "share"),
        f"{drift.p:.0e}" if drift else "",
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
        return f"{'too large for a mean' if profile.is_too_large else 'no value'}{missing}"
    spread = "" if profile.sd is None else f" ± {profile.sd:.3g}"
    return f"{profile.mean:.4g}{spread}{missing}"


def row(change: FeatureChange) -> tuple[Cell, ...]:
    """Return a feature as the cells of `COLUMNS`."""
    cells: list[Cell] = [
        LABELS.get(change.feature, change.feature),
        change.impact,
        change.moved,
        change.importance,
        change.is_changed if change.is_judged else None,
        *judged(change.drift),
        change.note or None,
    ]
    for profile in (change.reference, change.current):
        cells += _profile_cells(profile)
    for shift in (change.mean_shift, change.missing_shift):
        cells += [shift.value, shift.low, shift.high]
    for name in _DISTANCES:
        distance = change.distances.get(name)
        cells += [None] * 3 if distance is None else [distance.value, distance.expected, distance.noise]
    cells += [", ".join(change.new_values) or None, ", ".join(change.vanished_values) or None]
    return tuple(cells)


def judged(drift: Drift | None) -> list[Cell]:
    """Return how a feature was judged, by the question that says most of it."""
    if drift is None:
        return [None] * 6
    most = drift.foremost
    ends = [end if math.isfinite(end) else None for end in (most.low, most.high)]
    return [drift.p, most.question, most.days, most.effect, *ends]


def _profile_cells(profile: Profile | None) -> list[Cell]:
    if profile is None:
        return [None] * 12
    top = ", ".join(f"{value}: {share:.4f}" for value, share in top_values(profile)) or None
    return [
        profile.rows,
        profile.missing_ratio,
        profile.mean,
        profile.sd,
        profile.minimum,
        *profile.quantiles,
        profile.maximum,
        top,
    ]
