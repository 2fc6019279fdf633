"""Which versions predicted in a window, for the questions that hold one against another by its rows."""

from __future__ import annotations

from collections.abc import Sequence

from setpoint.answers.cost import DEFAULT_LENGTH
from setpoint.core.errors import UsageError
from setpoint.core.window import Window
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable
from setpoint.store.version_cohorts import by_family

_SHOWN = 10


def window_of_rows(evidence: RowEvidence, window: Window | None) -> Window | None:
    """Return a window whose rows are all there, the last 30 days by default; None when nothing has a time.

    Raises:
        UsageError: Rows of it were let go.
    """
    if window is None and evidence.span is not None:
        window = Window(max(evidence.as_of - DEFAULT_LENGTH, evidence.span.start), evidence.as_of)
    if not evidence.has_rows_of(window):
        msg = "rows of this window were let go, and versions are compared by their rows"
        raise UsageError(msg, hint="choose a later one: --window 7d")
    return window


def versions_of(evidence: RowEvidence, window: Window | None) -> list[str]:
    """Return the versions that predicted in a window, families before checkpoints, each by how much it predicted."""
    state = evidence.quality(window)
    return [*dict.fromkeys([*_by_weight(by_family(state)), *_by_weight(state)])]


def _by_weight(state: StateTable) -> list[str]:
    weights = {one: state.only(version=one).total("weight") for one in dict.fromkeys(state.key("version"))}
    return [str(one) for one in sorted(weights, key=lambda one: -weights[one]) if one is not None]


def require_versions(wanted: Sequence[str], seen: Sequence[str]) -> None:
    """Refuse versions that did not predict, and to hold one against itself.

    Args:
        wanted: What a person asked for.
        seen: See `versions_of`.

    Raises:
        UsageError: One of them is not there, or there twice.
    """
    known = f"known here: {', '.join(seen[:_SHOWN]) or 'none; in a file, name their column with version='}"
    for name in wanted:
        if name not in seen:
            msg = f"no version called {name} predicted in this window"
            raise UsageError(msg, hint=f"{known}; or widen it: --window 90d")
    if len(set(wanted)) < len(wanted):
        msg = f"{wanted[0]} is held against itself"
        raise UsageError(msg, hint=known)
