"""The groups of a quality state: by version, its family or its age, by endpoint, by a cohort or by local day."""

from __future__ import annotations

from setpoint.core.clock import day_text
from setpoint.core.errors import UsageError
from setpoint.core.model import Model
from setpoint.core.window import Window
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable, merge
from setpoint.store.version_cohorts import VERSION_COHORTS

FIXED = ("version", "endpoint")
BY_DAY = "day"


def cohort_of(by: str, model: Model, *others: str) -> str:
    """Return the cohort that a state must be split by to answer by `by`; empty for version and endpoint.

    Args:
        by: What a person asked for; empty for nothing.
        model: The declaration.
        *others: Further words that are allowed here, such as `day`.

    Raises:
        UsageError: `by` is neither `version`, `endpoint`, one of `VERSION_COHORTS`, a declared cohort nor one of
            the others.
    """
    if not by or by in {*FIXED, *others}:
        return ""
    known = [*VERSION_COHORTS, *(cohort.name for cohort in model.cohorts)]
    if by not in known:
        msg = f"cannot group by {by!r}"
        raise UsageError(msg, hint=f"known here: {', '.join([*FIXED, *others, *known])}")
    return by


def overall(state: StateTable) -> StateTable:
    """Return a state that is split by a cohort as that of all rows: every row has one value of it."""
    return merge(state.kind, [state.at("cohort_value", None)])


def groups(state: StateTable, by: str) -> list[tuple[str, StateTable]]:
    """Return each group's name and state, largest first.

    By endpoint and by cohort only root rows count, the ones a caller got; by version, its family or its
    age all rows do, so a shadow version is judged too.

    Args:
        state: A quality state; by a cohort, one that is split by it.
        by: `version`, `endpoint` or the cohort.
    """
    chosen = state if by in {"version", *VERSION_COHORTS} else state.only(is_root=True)
    column = by if by in FIXED else "cohort_value"
    values = set(chosen.key(column))
    found = [(str(value) if value is not None else "(none)", chosen.only(**{column: value})) for value in values]
    return sorted(found, key=lambda item: (-item[1].total("weight"), item[0]))


def never_met(state: StateTable, by: str, model: Model) -> tuple[str, ...]:
    """Return that a cohort never occurs, in words: its condition was never met, or its column never filled.

    Args:
        state: A quality state that is split by the cohort.
        by: What a person asked for.
        model: The declaration.
    """
    cohort = next((one for one in model.cohorts if one.name == by), None)
    values = set(state.key("cohort_value"))
    if cohort is None or not values:
        return ()
    if cohort.where and "yes" not in values:
        return (f"cohort {by}: no prediction of this window meets `{cohort.where}`",)
    if cohort.mapping and values <= {"(other)", "(none)", None}:
        return (f"cohort {by}: no prediction of this window has one of the {len(cohort.mapping)} values it maps",)
    return (f"cohort {by}: no prediction of this window has a value of it",) if values <= {None, "(none)"} else ()


def days(evidence: RowEvidence, window: Window | None) -> list[tuple[str, StateTable]]:
    """Return each local day of a window and the state of its root rows, oldest first.

    Raises:
        UsageError: The rows have no time.
    """
    if not evidence.is_timed and not evidence.is_recorded:
        msg = "these rows have no time, so there are no days"
        raise UsageError(msg, hint="say which column holds it: time=COLUMN")
    zone = evidence.model.timezone
    found = evidence.quality_by_day(window)
    return [(day_text(midnight, zone), part.only(is_root=True)) for midnight, part in found]
