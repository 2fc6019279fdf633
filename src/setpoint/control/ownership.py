"""Who answers for a model: what has to be declared before a version gets more than a little traffic."""

from __future__ import annotations

from setpoint.core.model import Model


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
