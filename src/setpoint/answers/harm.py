"""What a change of the inputs means for the model: what it answers now, and whether it is any worse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.answers.answer import Cell, Table
from setpoint.answers.held_against import held_against
from setpoint.answers.sides import Sides
from setpoint.core.errors import UsageError
from setpoint.core.metric import Metric, number
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.feedback.estimates import estimates
from setpoint.feedback.quality import quality, shown_first
from setpoint.inputs.drift import FeatureChange
from setpoint.inputs.profiles import Profile
from setpoint.stats.estimate import Estimate, Z
from setpoint.stats.reweighting import reweighted_change
from setpoint.store.answers_by_bin import ANSWERS, Sums
from setpoint.store.evidence import LABELS, SCORE, RowEvidence

EFFECT_COLUMNS = (
    "feature",
    *(f"{name}_change{end}" for name in ("score", "positive_rate", "success_rate") for end in ("", "_low", "_high")),
    "unknown",
)


@dataclass(frozen=True, slots=True)
class Harm:
    """What there is to say of harm.

    Attributes:
        known: Sentences that outcomes or scores support.
        unknown: What is not known, or not yet.
    """

    known: Sequence[str] = ()
    unknown: Sequence[str] = ()


def harm(evidence: RowEvidence, sides: Sides, reference: Window | None, current: Window | None) -> Harm:
    """Return what a change between two windows means for the model.

    Measured quality counts where outcomes have come; where they have not, its estimate, which assumes that the concept
    is unchanged.

    Args:
        evidence: The model's states.
        sides: The windows' profiles.
        reference: The earlier window; None when it is other rows, which have no outcomes here.
        current: The later window; None for all predictions.
    """
    known = [said] if (said := _scores(sides)) else []
    if reference is None:
        return Harm(known, ["whether this does harm: quality is in `setpoint status`, drift alone is not harm"])
    try:
        roots = evidence.quality(current).only(is_root=True)
        metrics = quality(roots, evidence.model, outcome_shift=evidence.definition.outcome_shift)
        name = shown_first(metrics, evidence.model)
        now = next((metric for metric in metrics if metric.name == name), None)
        if now is None:  # the bar of a metric that there is not: `status` says so, too
            return Harm(known, [f"whether this does harm: no metric is called {name!r}"])
        held = held_against(evidence, now, current, reference)
    except UsageError as error:  # rows that are needed were let go
        return Harm(known, [f"whether this does harm: {error.message}"])
    if held.verdict is not Verdict.UNKNOWN:
        said = "harmless so far" if held.verdict is Verdict.OK else "worse too, for this or another reason"
        return Harm([*known, f"{said}: {name} {held.after.text()}{held.outcomes}, before {held.before.text()}"])
    why = held.after.unknown or held.before.unknown or "outcomes are too few for an interval"
    found = estimates(evidence, current)
    estimate = next((one for one in found.metrics if one.name == f"estimated_{name}" and one.value is not None), None)
    if estimate is not None:
        known.append(f"estimated {name} {estimate.text()}; {found.assumed}")
    return Harm(known, [f"whether this does harm: {name} is not known yet ({why})"])


def _scores(sides: Sides) -> str:
    """Return how the mean score moved, with what chance explains; empty without scores."""
    before, after = (side.profiles.get(SCORE) for side in (sides.reference, sides.current))
    if before is None or after is None or before.moments is None or after.moments is None:
        return ""
    half = Z * math.sqrt(sum(m.sd**2 / max(m.rows, 1.0) for m in (before.moments, after.moments)))
    gap = after.moments.mean - before.moments.mean
    moved = f"{number(gap, 'ratio')} [{number(gap - half, 'ratio')}, {number(gap + half, 'ratio')}]"
    means = f"{number(before.moments.mean, 'ratio')} → {number(after.moments.mean, 'ratio')}"
    return f"the model's mean score went {means}, by {moved}"


def effects(evidence: RowEvidence, reference: Window | None, changed: Sequence[FeatureChange]) -> Table:
    """Return what one feature alone does when it comes as in the later window.

    To the mean score, the share answered yes and the share that is right: from the rows of the earlier one, those of a
    bin taken to be scored, decided and right as they were.
    """
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for change in changed:
        if change.feature in LABELS or change.is_other_column or change.current is None:
            continue
        found = _effects(evidence, reference, change.current)
        ends = [end for one in found.values() for end in (one.value, one.low, one.high)]
        unknown = [f"{name}: {one.reason}" for name, one in found.items() if one.reason]
        rows.append((change.feature, *ends, "; ".join(unknown) or None))
        units = zip(found.values(), ("ratio", "share", "share"), strict=True)
        lines.append((change.feature, *(_moved(one, unit) for one, unit in units)))
    shown = ("feature", "alone moves the mean score by", "the share of yes by", "the share that is right by")
    return Table("effects", EFFECT_COLUMNS, rows, shown, lines)


def _moved(found: Estimate, unit: str) -> str:
    return Metric("", found.value, found.low, found.high, unit, "none", 0, found.reason).text()


def _effects(evidence: RowEvidence, reference: Window | None, now: Profile) -> dict[str, Estimate]:
    """Return the effect on each of `ANSWERS`."""
    if reference is None:
        return dict.fromkeys(ANSWERS, Estimate.unknown("other rows have no answers of this model"))
    if not evidence.has_rows_of(reference):
        return dict.fromkeys(ANSWERS, Estimate.unknown("the rows of the reference were let go"))
    counts: dict[str | None, float] = {**now.values, None: now.missing}
    counts |= {str(place): count for place, count in zip(now.index.tolist(), now.counts.tolist(), strict=True)}
    answers = evidence.answers_by_bin(now.feature, reference)
    return {name: _effect(before, counts, now.effective_rows) for name, before in answers.items()}


def _effect(before: Mapping[str | None, Sums], counts: Mapping[str | None, float], rows_now: float) -> Estimate:
    if not before:
        return Estimate.unknown("no row of the reference has one")
    labels = list({**before, **counts})
    rows, sums, squares = np.array([before.get(label, (0.0, 0.0, 0.0)) for label in labels]).T
    weights = np.array([counts.get(label, 0.0) for label in labels])
    return reweighted_change(rows, sums, squares, weights, rows_now=rows_now)
