"""Which cohorts a model serves worse than the rest: searched among declared cohorts and few-valued inputs.

Every root prediction of the window counts, the one a caller got. What looks worst on one half of the
rows is confirmed on the other, see `stats.slices`; all rows of a unit are in the same half.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.core.metric import counted
from setpoint.core.model import Task
from setpoint.core.window import Window
from setpoint.feedback.quality import NO_SCORE, Arrival
from setpoint.stats.slices import FEWEST_ROWS, MATERIAL, Comparison, Criterion, Named, Part, Rows, search
from setpoint.stats.special import FloatArray
from setpoint.store.dimensions import CodedExamples, Dimension, coded_examples
from setpoint.store.evidence import RowEvidence

ERROR_RATE, RECALL, GAP, ABSOLUTE = "error_rate", "recall", "calibration_gap", "mean_absolute_error"


@dataclass(frozen=True, slots=True)
class Acting:
    """Which predictions are acted on: what recall is about.

    Attributes:
        share: Share of predictions acted on, 0 to 1.
        cut: The lowest score acted on; None where the model's own decision counts.
        unknown: Why recall cannot be measured; empty when it can.
    """

    share: float
    cut: float | None
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class UnderServed:
    """A cohort that was confirmed to be served worse than the rest, by one criterion.

    Attributes:
        cohort: Such as `carrier=VX`, or `carrier=VX & origin=JFK`.
        criterion: `error_rate`, `recall`, `calibration_gap` or `mean_absolute_error`.
        rows: Predictions in it, before weighting.
        share: Share of the traffic, 0 to 1.
        comparison: With the rest.
        gap: Mean score less base rate, of the cohort and of the rest; None for a regression.
        is_under_forecast: Whether more happened than was forecast, and by more than in the rest.
        p_adjusted: Holm's adjusted p-value, over all tests of the search.
    """

    cohort: str
    criterion: str
    rows: int
    share: float
    comparison: Comparison
    gap: Comparison | None
    is_under_forecast: bool
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class TooSmall:
    """A cohort of which something cannot be said.

    Attributes:
        cohort: Such as `carrier=HA`.
        rows: Predictions in it, before weighting.
        share: Share of the traffic, 0 to 1.
        reason: What is missing.
    """

    cohort: str
    rows: int
    share: float
    reason: str


@dataclass(frozen=True, slots=True)
class Search:
    """What a search for under-served cohorts came to.

    Attributes:
        found: Confirmed cohorts, the one to look at first first.
        too_small: Single cohorts that cannot be judged, largest first.
        acting: What recall is about; None for all but yes-or-no models.
        arrival: How complete the outcomes are.
        dimensions: What was searched.
        left_out: Inputs that were not, since there are too many.
        tests: Tests that the correction covers.
        looked_at: Comparisons that had enough rows to be looked at.
        unknown: Why nothing can be said; empty otherwise.
    """

    found: tuple[UnderServed, ...]
    too_small: tuple[TooSmall, ...]
    acting: Acting | None
    arrival: Arrival
    dimensions: tuple[str, ...]
    left_out: tuple[str, ...]
    tests: int
    looked_at: int
    unknown: str = ""


def find_underserved(evidence: RowEvidence, window: Window | None, budget: float | None = None) -> Search:
    """Search the predictions of a window for cohorts that are served worse than the rest.

    Args:
        evidence: The model's rows.
        window: Predictions of this window; None for all.
        budget: Share of predictions that can be acted on, between 0 and 1: the highest scores. None for those the
            model itself says yes to.
    """
    coded = coded_examples(evidence, window)
    numbers = coded.numbers
    acting: Acting | None = None
    task = evidence.model.task
    if task is Task.REGRESSION:
        criteria = [Criterion.size(ABSOLUTE, np.abs(numbers["decision"] - numbers["outcome_number"]))]
    elif task is not Task.BINARY:
        criteria = [Criterion.share(ERROR_RATE, 1.0 - numbers["is_success"])]
        if task is Task.MULTICLASS:  # the outcome is whether the answer was right, the score how sure it was
            criteria.append(Criterion.gap(GAP, numbers["outcome_number"], numbers["score"], numbers["weight"]))
    else:
        acting, acted = _acting(numbers, budget)
        criteria = _criteria(numbers, acted)
    unknown = _unknown(coded, is_binary=acting is not None)
    rows = Rows(coded.codes, numbers["weight"], coded.is_second_half)
    searched = search(rows, [] if unknown else criteria)
    gap = next((criterion for criterion in criteria if criterion.name == GAP), None)
    return Search(
        tuple(_ranked([_under_served(coded, rows, named, gap) for named in searched.named])),
        tuple(_too_small(coded, rows, {(small.part, small.criterion): small.rows for small in searched.untested})),
        acting,
        _arrival(numbers),
        tuple(dimension.name for dimension in coded.dimensions),
        coded.left_out,
        searched.tests,
        searched.looked_at,
        unknown,
    )


def _acting(numbers: Mapping[str, FloatArray], budget: float | None) -> tuple[Acting, FloatArray]:
    """Return what is acted on, 1 or 0 a row, nan where that is not known."""
    weights, scores, decisions = numbers["weight"], numbers["score"], numbers["decision"]
    if budget is None:
        known = ~np.isnan(decisions)
        total = float(weights[known].sum())
        share = float(weights[known] @ decisions[known]) / total if total else 0.0
        why = "" if 0.0 < share < 1.0 else "the model says the same to all of them: name a budget"
        return Acting(share, None, why), decisions if not why else np.full(len(weights), np.nan)
    known = np.flatnonzero(~np.isnan(scores))
    if not len(known):
        return Acting(0.0, None, NO_SCORE), np.full(len(weights), np.nan)
    values, place = np.unique(-scores[known], return_inverse=True)
    reached = np.cumsum(np.bincount(place, weights[known])) / float(weights[known].sum())
    nearest = int(np.argmin(np.abs(reached - budget)))  # equal scores are acted on together
    cut = -float(values[nearest])
    acted = np.where(np.isnan(scores), np.nan, (scores >= cut).astype(np.float64))
    why = "" if nearest < len(values) - 1 else "too many scores are equal to act on a part of them"
    return Acting(float(reached[nearest]), cut, why), acted if not why else np.full(len(weights), np.nan)


def _criteria(numbers: Mapping[str, FloatArray], acted: FloatArray) -> list[Criterion]:
    outcomes = numbers["outcome_number"]
    wrong = np.abs(numbers["decision"] - outcomes)
    return [
        Criterion.missed(RECALL, np.where(outcomes == 1.0, 1.0 - acted, np.nan)),
        Criterion.share(ERROR_RATE, wrong),
        Criterion.gap(GAP, outcomes, numbers["score"], numbers["weight"]),
    ]


def _arrival(numbers: Mapping[str, FloatArray]) -> Arrival:
    known = ~np.isnan(numbers["outcome_number"])
    weights = numbers["weight"]
    return Arrival(float(weights.sum()), float(weights[known].sum()), int(np.count_nonzero(known)))


def _unknown(coded: CodedExamples, *, is_binary: bool) -> str:
    """Return why nothing can be said; empty when something can."""
    outcomes = coded.numbers["outcome_number"]
    outcomes = outcomes[~np.isnan(outcomes)]
    if not len(coded.is_second_half):
        return "there is no prediction in this window"
    if not len(outcomes):
        return "no outcome has arrived for this window"
    if not coded.dimensions:
        return "no cohort is declared, and no input has from 2 to 20 values"
    if is_binary and float(outcomes.min()) == float(outcomes.max()):
        kind = "positive" if outcomes[0] else "negative"
        return f"all {counted(len(outcomes), 'outcome')} that have arrived are {kind}"
    return ""


def _under_served(coded: CodedExamples, rows: Rows, named: Named, gap: Criterion | None) -> UnderServed:
    inside = rows.inside(named.part)
    compared = named.comparisons.get(GAP)
    return UnderServed(
        _words(coded.dimensions, named.part),
        named.criterion,
        int(np.count_nonzero(inside)),
        float(rows.weights[inside].sum() / rows.weights.sum()),
        named.comparison,
        compared,
        gap is not None and compared is not None and _is_under_forecast(compared, gap.base),
        named.p_adjusted,
    )


def _is_under_forecast(gap: Comparison, base: float) -> bool:
    value, high, rest = gap.value.value, gap.value.high, gap.rest.value
    return (
        value is not None and high is not None and rest is not None and high < rest and rest - value >= MATERIAL * base
    )


def _words(dimensions: Sequence[Dimension], part: Part) -> str:
    return " & ".join(f"{dimensions[d].name}={dimensions[d].values[code]}" for d, code in part)


def _ranked(found: Iterable[UnderServed]) -> list[UnderServed]:
    """Return cohorts low in recall and under-forecast first, each group by how many rows are worse off."""

    def key(one: UnderServed) -> tuple[bool, float]:
        return (not (one.criterion == RECALL and one.is_under_forecast), -abs(one.comparison.excess))

    first: dict[str, tuple[bool, float]] = {}
    ordered = sorted(found, key=key)
    for one in ordered:
        first.setdefault(one.cohort, key(one))
    return sorted(ordered, key=lambda one: (first[one.cohort], one.cohort, key(one)))


def _too_small(coded: CodedExamples, rows: Rows, lacking: Mapping[tuple[Part, str], float]) -> list[TooSmall]:
    by_part: dict[Part, dict[str, float]] = {}
    for (part, criterion), size in lacking.items():
        by_part.setdefault(part, {})[criterion] = size
    found = [TooSmall(name, 0, 0.0, "it does not occur in this window, or nothing else does") for name in coded.absent]
    for part, sizes in by_part.items():
        inside = rows.inside(part)
        share = float(rows.weights[inside].sum() / rows.weights.sum())
        count = int(np.count_nonzero(inside))
        found.append(TooSmall(_words(coded.dimensions, part), count, share, _reason(sizes, count)))
    return sorted(found, key=lambda small: (-small.rows, small.cohort))


def _reason(sizes: Mapping[str, float], count: int) -> str:
    """Return what a cohort lacks, in words: the first of what it lacks that explains the others.

    Args:
        sizes: What it has in its smaller half, by criterion.
        count: Predictions in it.
    """
    for criterion, noun in ((ERROR_RATE, "outcome"), (ABSOLUTE, "outcome"), (RECALL, "positive outcome")):
        if criterion in sizes:
            only = "" if criterion != RECALL else "recall: "
            size = float(np.floor(sizes[criterion]))
            in_all = f", about {math.ceil(count * FEWEST_ROWS / size):,} predictions in all" if size else ""
            return f"{only}{counted(size, noun)} in the smaller half, needs {FEWEST_ROWS}{in_all}"
    return "calibration: nearly all of its outcomes are the same"
