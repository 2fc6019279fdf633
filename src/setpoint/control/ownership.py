"""Who answers for a model: what has to be declared before a version gets more than a little traffic."""

from __future__ import annotations

from setpoint.control.episode import Episode
from setpoint.core.clock import DAY
from setpoint.core.finding import UNOWNED
from setpoint.core.model import Model
from setpoint.store.evidence import RowEvidence

_GRACE = 7 * DAY
"""Since the loop first sees a model somebody has so long to say who answers for it."""
_FIRST_SEEN = "first_seen"


def undeclared(model: Model) -> tuple[str, ...]:
    """Return the keys of a declaration that are missing, of those that say who answers for the model and how.

    Example:
        >>> from setpoint.core.model import Owner
        >>> undeclared(Model("fraud", owner=Owner("risk")))
        ('owner.on_call', 'business_metric', 'rollout.red_lines', 'runbook')
    """
    found = {
        "owner.team": model.owner is not None and model.owner.team,
        "owner.on_call": model.owner is not None and model.owner.on_call,
        "business_metric": model.business_metric,
        "rollout.red_lines": model.rollout is not None and model.rollout.red_lines,
        "runbook": model.runbook,
    }
    return tuple(key for key, told in found.items() if not told)


def unowned(evidence: RowEvidence, now: int) -> list[Episode]:
    """A model that the loop has looked at for a week, and nobody has said who answers for it and how.

    What is missing is the subject: who declares a part of it closes the finding, and what is left opens another. Where
    no rollout holds a version back, the red lines may be those of guardrails.
    """
    missing = ", ".join(_missing(evidence.model))
    known = [one for one in evidence.open_findings() if one.kind == UNOWNED]
    found = [
        _episode(one.subject, one.started_at, None if one.subject == missing else now, one.said, one.recorded_at)
        for one in known
    ]
    if not missing or any(one.subject == missing for one in known):
        return found
    if evidence.span is None:
        return found
    first = int(evidence.notes.setdefault(_FIRST_SEEN, str(now).encode()))
    if known or now >= first + _GRACE:
        said = f"nobody answers for {evidence.model.name}: declare {missing}"
        found.append(_episode(missing, now, None, said, now))
    return found


def _missing(model: Model) -> tuple[str, ...]:
    has_red_line = any(one.red_line is not None for one in model.guardrails)
    missing = (key for key in undeclared(model) if key != "rollout.red_lines" or not has_red_line)
    return tuple("guardrails" if key == "rollout.red_lines" else key for key in missing)


def _episode(subject: str, started_at: int, ended_at: int | None, said: str, noticed_at: int) -> Episode:
    return Episode(UNOWNED, "", subject, started_at, ended_at, "warning", said, {}, noticed_at=noticed_at)
