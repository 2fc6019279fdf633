"""Quality of rankings and of generated texts, of which an outcome says how good each one was."""

from __future__ import annotations

from setpoint.core.metric import counted
from setpoint.core.model import Model
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import mean_of_shares
from setpoint.stats.judging import ASSUMED, Grades, Judged, judge_agreement, judge_bias, judged_mean
from setpoint.store.states import StateTable

NO_JUDGE = "no kind of outcome is declared as the grade of a judge model"


def ranking_estimates(state: StateTable) -> dict[str, Estimate]:
    """Return the metrics of a ranking state, root rows of one group; rows without outcome are left out."""
    known = state.only(has_outcome=1)
    weight, squares = known.total("weight"), known.total("weight_squares")
    if not weight:
        none = Estimate.unknown("no outcome has arrived for this window")
        return dict.fromkeys(("ndcg_at_k", "recall_at_k", "hit_rate_at_k"), none)
    hits = known.only(success=1).total("weight")
    return {
        "ndcg_at_k": mean_of_shares(known.total("ndcg"), known.total("ndcg_squares"), weight, squares),
        "recall_at_k": mean_of_shares(known.total("recall"), known.total("recall_squares"), weight, squares),
        "hit_rate_at_k": mean_of_shares(hits, hits, weight, squares),
    }


def generation_estimates(state: StateTable, model: Model) -> dict[str, Estimate]:
    """Return the metrics of a generation state, root rows of one group.

    Args:
        state: The state.
        model: The declaration: with a judge, its grades count too, less its bias.
    """
    right, grades = _judged(state, is_success=True), _judged(state, is_success=False)
    found = {
        "success_rate": judged_mean(right, is_share=True),
        "mean_grade": judged_mean(grades, is_share=False),
    }
    if not model.judge_kind:
        return {**found, **dict.fromkeys(("judge_bias", "judge_agreement"), Estimate.unknown(NO_JUDGE))}
    same = sum(state.only(success=said, judged=said).total("weight") for said in (0, 1))
    return {**found, "judge_bias": judge_bias(grades.both), "judge_agreement": judge_agreement(same, right.both)}


def judge_words(state: StateTable, model: Model) -> str:
    """Return how much of quality rests on a judge, and what that assumes; empty when nothing does."""
    others = state.only(has_outcome=0).without(judged=None).total("weight") if model.judge_kind else 0.0
    if not others:
        return ""
    told = counted(others, "prediction")
    return f"{told} that only {model.judge_kind} graded count too, less its bias; assumes that {ASSUMED}"


def _judged(state: StateTable, *, is_success: bool) -> Judged:
    """Return who graded which rows how: by the grade itself, or by whether it counts as correct."""
    graded, ungraded = state.only(has_outcome=1), state.only(has_outcome=0)
    both, people_only = graded.without(judged=None), graded.only(judged=None)
    parts = (both, people_only, ungraded.without(judged=None))
    return Judged(*(_successes(part) if is_success else _grades(part) for part in parts))


def _successes(state: StateTable) -> Grades:
    right, judged = state.only(success=1), state.only(judged=1)
    people, judge = right.total("weight"), judged.total("weight")
    both = right.only(judged=1).total("weight")
    return Grades(state.total("weight"), state.total("weight_squares"), people, people, judge, judge, both)


def _grades(state: StateTable) -> Grades:
    names = ("weight", "weight_squares", "grade", "grade_squares", "judge", "judge_squares", "grade_judge")
    return Grades(*(state.total(name) for name in names))
