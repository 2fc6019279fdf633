"""Estimates held against the truth, week by week: were they right, and does a score still mean what it meant?

All of it is computed from what was known of each prediction by one age, so a week never changes once it is over and
that old: run early, late or twice, an audit is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from setpoint.stats.estimation import Expected, ScoreHistogram, expected_quality, measured_quality
from setpoint.stats.loss_estimation import LossCurve, LossHistogram, expected_loss, missing_losses
from setpoint.stats.score_map import OutcomeHistogram, calibrate, log_odds, logistic, missing_outcomes

REFERENCE_WEEKS = (6, 12)
"""Weeks that teach what scores mean: at least, and at most the latest."""

LENGTHS = (1, 2, 4, 8)
"""Latest weeks that are looked at together, so that a small change is found too, later."""

NEW_USUAL_WEEKS = 8
"""Weeks after a change until what scores mean since is the usual."""

FALSE_ALARMS_A_YEAR = 0.05
"""Chance that a year in which the concept does not change has a finding, at most, if days differ independently."""

COMPLETE = 0.9
"""Share of outcomes, of the reference's share, below which a week says nothing."""


@dataclass(frozen=True, slots=True)
class Week:
    """A local week of one version's predictions, as known of each by one age.

    Attributes:
        start: Its Monday, microseconds.
        end: The next one.
        known_at: When all of its predictions are that old.
        version: The version most of its predictions are of; only they count.
        days: Scores with outcomes of each day; or the absolute errors of a regression.
        arrived: Share of predictions that have an outcome, 0 to 1.
    """

    start: int
    end: int
    known_at: int
    version: str
    days: tuple[OutcomeHistogram, ...] | tuple[LossHistogram, ...]
    arrived: float


@dataclass(frozen=True, slots=True)
class Audit:
    """What was expected of some weeks, and what came true.

    Attributes:
        start: First week's start.
        end: Last week's end.
        metric: Such as `auc`; `mae` of a regression.
        expected: What was to be expected, learned from the weeks before.
        measured: What came true.
        outcomes: Outcomes of the weeks, weighted.
        learned_from: Start of the first week that it was learned from.
    """

    start: int
    end: int
    metric: str
    expected: Expected
    measured: float
    outcomes: float
    learned_from: int

    @property
    def gap(self) -> float:
        """Measured less expected."""
        return self.measured - self.expected.value

    @property
    def standard_errors(self) -> float:
        """The gap, in standard deviations of what was expected to be measured."""
        return self.gap / max(self.expected.standard_error, 1e-12)

    def is_beyond(self, tail: float) -> bool:
        """Return whether the truth lies outside what is expected but for a chance of `tail` at either end."""
        low, high = self.expected.interval(tail)
        return not low - 1e-12 <= self.measured <= high + 1e-12


@dataclass(frozen=True, slots=True)
class ConceptDrift:
    """A time from which scores mean something else.

    Attributes:
        audit: The weeks in which it showed, and by how much.
        noticed_at: When it could first be known.
        ended_at: When what scores mean since is the usual, or another version took over; None while it is news.
    """

    audit: Audit
    noticed_at: int
    ended_at: int | None


@dataclass(slots=True)
class _Run:
    """Weeks of one version since it came, or since the last change became usual."""

    weeks: list[Week] = field(default_factory=list[Week])

    def is_complete(self, week: Week) -> bool:
        known = [one.arrived for one in self.weeks[-REFERENCE_WEEKS[1] :]]
        return not known or week.arrived >= COMPLETE * float(np.median(known))


def weekly_audits(weeks: Sequence[Week], metrics: Sequence[str]) -> list[Audit]:
    """Return, for each week, the estimate that could be made when it ended, and what came true.

    Args:
        weeks: In order of time.
        metrics: Of `stats.estimation.METRICS`.
    """
    found: list[Audit] = []
    for week in weeks:
        before = [one for one in weeks if one.known_at <= week.end and one.version == week.version]
        found += audit([week], before[-REFERENCE_WEEKS[1] :], metrics)
    return found


def concept_drifts(weeks: Sequence[Week], metrics: Sequence[str]) -> list[ConceptDrift]:
    """Return when scores began to mean something else.

    Each week, its latest 1, 2, 4 and 8 weeks are held against what the weeks before them let expect. All tests of a
    year together have a chance of `FALSE_ALARMS_A_YEAR` (a union bound, so they may depend on each other), spread
    evenly. A change is said once; what follows is compared again when it has been the usual for eight weeks.

    Args:
        weeks: In order of time.
        metrics: Of `stats.estimation.METRICS`.
    """
    tail = FALSE_ALARMS_A_YEAR / (52 * len(LENGTHS) * len(metrics) * 2)
    found: list[ConceptDrift] = []
    run, version, wait = _Run(), "", 0
    for week in weeks:
        if week.version != version:
            run, version, wait = _Run(), week.version, 0
            _end(found, week.known_at)
        if not run.is_complete(week):
            continue
        run.weeks.append(week)
        if wait:
            wait -= 1
            if not wait:
                _end(found, week.known_at)
            continue
        worst = _worst(run.weeks, metrics, tail)
        if worst is not None:
            found.append(ConceptDrift(worst, week.known_at, None))
            run, wait = _Run(), NEW_USUAL_WEEKS
    return found


def _end(found: list[ConceptDrift], at: int) -> None:
    if found and found[-1].ended_at is None:
        last = found.pop()
        found.append(ConceptDrift(last.audit, last.noticed_at, at))


def _worst(weeks: Sequence[Week], metrics: Sequence[str], tail: float) -> Audit | None:
    """Return the audit that lies furthest from what was expected, if it is beyond all chance."""
    beyond: list[Audit] = []
    for length in LENGTHS:
        made = audit(weeks[-length:], weeks[:-length][-REFERENCE_WEEKS[1] :], metrics, careful=True)
        beyond += [one for one in made if one.is_beyond(tail)]
    return max(beyond, key=lambda one: abs(one.standard_errors), default=None)


def audit(
    window: Sequence[Week], reference: Sequence[Week], metrics: Sequence[str], *, careful: bool = False
) -> list[Audit]:
    """Return what was to be expected of some weeks, learned from others, and what came true.

    Only rows whose outcome came are compared: who has none is another question.

    Args:
        window: Weeks in order of time.
        reference: Weeks before them, of the same version.
        metrics: Of `stats.estimation.METRICS`.
        careful: Whether a gap is to be no noise: then on the safe side about days that go together.

    Returns:
        Empty with too little to learn from, or too little to measure.
    """
    if len(reference) < REFERENCE_WEEKS[0]:
        return []
    learned, outcomes = together(reference), together(window)
    sizes = np.bincount(outcomes.group, outcomes.weight) if len(outcomes.group) else np.zeros(1)
    days = float(sizes.sum()) ** 2 / float(sizes @ sizes) if sizes.any() else None
    if isinstance(learned, LossHistogram) and isinstance(outcomes, LossHistogram):
        pairs = _of_losses(learned, outcomes, days, careful=careful)
    elif isinstance(learned, OutcomeHistogram) and isinstance(outcomes, OutcomeHistogram):
        pairs = _of_scores(learned, outcomes, metrics, days, careful=careful)
    else:
        return []  # the task was another one
    return [
        Audit(window[0].start, window[-1].end, name, expected, measured, float(sizes.sum()), reference[0].start)
        for name, (expected, measured) in pairs.items()
    ]


def _of_scores(
    learned: OutcomeHistogram,
    outcomes: OutcomeHistogram,
    metrics: Sequence[str],
    days: float | None,
    *,
    careful: bool,
) -> dict[str, tuple[Expected, float]]:
    if missing_outcomes(learned):
        return {}
    expected = expected_quality(scores_of(outcomes), calibrate(learned), metrics, days=days, careful=careful)
    measured = measured_quality(outcomes, metrics)
    return {
        name: (one, value)
        for name, one in expected.items()
        if isinstance(one, Expected) and not isinstance(value := measured[name], str)
    }


def _of_losses(
    learned: LossHistogram, outcomes: LossHistogram, days: float | None, *, careful: bool
) -> dict[str, tuple[Expected, float]]:
    """Return the mean absolute error. A few large errors decide the squared one: its interval is none to judge by."""
    total = float(np.sum(outcomes.weight))
    if missing_losses(learned) or total <= 0.0:
        return {}
    curve = LossCurve(learned)
    cells = (outcomes.bin_index, outcomes.weight, outcomes.weight_of_squares)
    expected = expected_loss(curve, *cells, days=days, careful=careful)
    return {"mae": (expected, float(np.sum(outcomes.loss)) / total)}


def together(weeks: Sequence[Week]) -> OutcomeHistogram | LossHistogram:
    """Return the rows of some weeks, a group a day, in order."""
    days = [day for week in weeks for day in week.days]
    kind = type(days[0]) if days else OutcomeHistogram
    columns: Mapping[str, list[np.ndarray]] = {
        one.name: [getattr(day, one.name) for day in days] for one in fields(kind) if one.name != "group"
    }
    group = np.repeat(np.arange(len(days), dtype=np.int64), [len(day.group) for day in days])
    return kind(group, **{name: np.concatenate(parts) for name, parts in columns.items()})


def scores_of(outcomes: OutcomeHistogram) -> ScoreHistogram:
    """Return the scores of rows alone; those of a bin count as its middle, as they do when they are measured."""
    return ScoreHistogram(
        outcomes.bin_index,
        outcomes.decision,
        outcomes.weight,
        outcomes.weight_of_squares,
        outcomes.weight * logistic(log_odds(outcomes.bin_index)),
    )
