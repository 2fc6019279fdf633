"""The groups of a quality state: by version, by endpoint or by a cohort."""

from __future__ import annotations

from setpoint.core.errors import UsageError
from setpoint.core.model import Model
from setpoint.store.states import StateTable


def groups(state: StateTable, by: str, model: Model) -> list[tuple[str, StateTable]]:
    """Return each group's name and state, largest first.

    By endpoint and by cohort only root rows count, the ones a caller got; by version all rows do, so
    a shadow version is judged too.

    Raises:
        UsageError: `by` is neither `version`, `endpoint` nor a declared cohort.
    """
    if by in {"version", "endpoint"}:
        chosen = state.only(cohort=None) if by == "version" else state.only(cohort=None, is_root=True)
        column = by
    elif by in {cohort.name for cohort in model.cohorts}:
        chosen = state.only(cohort=by, is_root=True)
        column = "cohort_value"
    else:
        known = ", ".join(["version", "endpoint", *(cohort.name for cohort in model.cohorts)])
        msg = f"cannot group by {by!r}"
        raise UsageError(msg, hint=f"known here: {known}")
    values = set(chosen.key(column))
    found = [(str(value) if value is not None else "(none)", chosen.only(**{column: value})) for value in values]
    return sorted(found, key=lambda item: (-item[1].total("weight"), item[0]))
